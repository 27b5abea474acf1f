"""Sites of known crystals are told from new ones, however they are labelled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crystaltool.asymunit import AsymUnit, expand, reduce, tabulate
from crystaltool.crystal import Crystal
from crystaltool.errors import CheckpointError
from crystaltool.models.symmcd.known_sites import KNOWN_SITES, KnownSites, read_known_sites, sites_hash
from tests.models.tiny import textbook_table


def of(unit: AsymUnit) -> int:
    return sites_hash(unit.group, unit.positions, unit.numbers)


def test_another_origin_changes_the_letters_and_not_the_sites() -> None:
    """Rock salt from either ion, perovskite from A or B: other letters, found by an independent detector."""
    changed = 0
    for unit in textbook_table():
        crystal = expand(unit)
        for shift in ([0.5, 0.5, 0.5], [0.5, 0.0, 0.0], [0.0, 0.5, 0.5], [0.0, 0.0, 0.5]):
            moved = reduce(Crystal(crystal.lattice, (crystal.frac_coords + shift) % 1.0, crystal.numbers), 0.01)
            assert moved.group == unit.group
            assert of(moved) == of(unit)
            changed += sorted(moved.positions.tolist()) != sorted(unit.positions.tolist())
    assert changed > 0


def test_other_elements_positions_and_groups_are_other_sites() -> None:
    rocksalt, swapped = np.array([0, 1]), np.array([1, 0])
    sodium_chloride = np.array([11, 17])
    assert sites_hash(225, rocksalt, sodium_chloride) == sites_hash(225, swapped, sodium_chloride)
    others = {
        sites_hash(225, rocksalt, np.array([11, 35])),
        sites_hash(225, np.array([0, 2]), sodium_chloride),  # fluorite's positions
        sites_hash(225, np.array([2, 0]), sodium_chloride),  # antifluorite
        sites_hash(221, rocksalt, sodium_chloride),
        sites_hash(225, np.array([0, 1, 2]), np.array([11, 17, 17])),
    }
    assert len(others) == 5 and sites_hash(225, rocksalt, sodium_chloride) not in others


def test_a_table_knows_its_own_crystals_alone(tmp_path: Path) -> None:
    table = textbook_table()
    units = list(table)
    known = KnownSites.of_table(tabulate(units[::2]))
    known.write(tmp_path / KNOWN_SITES)
    read = read_known_sites(tmp_path)
    assert np.array_equal(read.hashes, known.hashes)
    own = {of(unit) for unit in units[::2]}
    assert all(read.has(unit.group, unit.positions, unit.numbers) == (of(unit) in own) for unit in units)
    assert not all(of(unit) in own for unit in units)


def test_a_checkpoint_without_them_knows_none(tmp_path: Path) -> None:
    assert not read_known_sites(tmp_path).has(225, np.array([0, 1]), np.array([11, 17]))


@pytest.mark.parametrize(
    "hashes", [np.array([2, 1], dtype=np.uint64), np.array([1.0, 2.0]), np.zeros((2, 2), np.uint64)]
)
def test_damaged_ones_are_named(tmp_path: Path, hashes: np.ndarray) -> None:
    with open(tmp_path / KNOWN_SITES, "wb") as handle:
        np.savez(handle, hashes=hashes)
    with pytest.raises(CheckpointError, match=r"known_sites\.npz: its hashes are not ascending"):
        read_known_sites(tmp_path)
    (tmp_path / KNOWN_SITES).write_bytes(b"no zip")
    with pytest.raises(CheckpointError, match=r"known_sites\.npz: not a file of known sites"):
        read_known_sites(tmp_path)
