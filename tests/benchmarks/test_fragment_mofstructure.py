"""The common form of two divisions of a MOF into blocks."""

from __future__ import annotations

import numpy as np

from benchmarks.fragment_mofstructure import Division, steps_to_agree


def division(symbols: str, bonds: dict[tuple[int, int], float], cut: set[tuple[int, int]], bridges=()) -> Division:
    """Atoms in one cell; blocks are what hangs together without the cut bonds, numbered by their first atom."""
    numbers = np.array([{"Zn": 30, "O": 8, "H": 1, "C": 6}[word] for word in symbols.split()])
    labels = np.arange(len(numbers))
    for _ in numbers:
        for i, j in bonds:
            if (i, j) not in cut:
                labels[[i, j]] = labels[[i, j]].min()
    pairs = np.array(list(bonds))
    is_cut = np.array([pair in cut for pair in bonds])
    images = np.zeros((len(pairs), 3), dtype=np.int64)
    return Division(numbers, labels, pairs, images, np.array(list(bonds.values())), is_cut, frozenset(bridges))


ROD = "Zn O H Zn"
ROD_BONDS = {(0, 1): 2.0, (1, 2): 1.0, (1, 3): 2.0}


def test_a_rod_cut_into_blocks_is_the_whole_rod() -> None:
    mine = division(ROD, ROD_BONDS, {(0, 1), (1, 3)}, bridges=[1])
    whole = division(ROD, ROD_BONDS, set())
    assert mine.formulas == {"Zn": 2, "HO": 1}
    assert steps_to_agree(mine, whole) == ("rods",)


def test_metals_joined_on_one_side_alone() -> None:
    apart = division("Zn O Zn", {(0, 1): 2.0, (1, 2): 2.0}, {(1, 2)})
    joined = division("Zn O Zn", {(0, 1): 2.0, (1, 2): 2.0, (0, 2): 2.9}, {(1, 2)})
    assert steps_to_agree(apart, joined) == ("metals",)


def test_a_hydrogen_bond_joins_nothing() -> None:
    mine = division("C O H O C", {(0, 1): 1.3, (1, 2): 1.0, (3, 4): 1.3}, set())
    other = division("C O H O C", {(0, 1): 1.3, (1, 2): 1.0, (2, 3): 1.5, (3, 4): 1.3}, set())
    assert steps_to_agree(mine, other) == ("hydrogens",)


def test_a_bound_ligand_becomes_a_block() -> None:
    held = division("Zn O C", {(0, 1): 2.0, (1, 2): 1.3}, set())
    freed = division("Zn O C", {(0, 1): 2.0, (1, 2): 1.3}, {(0, 1)})
    assert steps_to_agree(held, freed) == ("ligands",)


def test_another_bond_stays_a_difference() -> None:
    mine = division("C C C", {(0, 1): 1.4}, set())
    other = division("C C C", {(1, 2): 1.4}, set())
    assert steps_to_agree(mine, other) is None
