"""Metals that belong to linkers, on bond graphs made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from crystaltool.bonds import BondGraph
from crystaltool.mof.linker_metals import linker_metals

ZINC, IRON = 30, 26


class Sketch:
    """Atoms and bonds, all in one cell unless an image is given."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.pairs: list[tuple[int, int]] = []
        self.images: list[tuple[int, int, int]] = []

    def atom(self, number: int, *bound: int) -> int:
        self.numbers.append(number)
        for other in bound:
            self.bond(other, len(self.numbers) - 1)
        return len(self.numbers) - 1

    def bond(self, i: int, j: int, image: tuple[int, int, int] = (0, 0, 0)) -> None:
        self.pairs.append((i, j))
        self.images.append(image)

    def ring(self, numbers: list[int]) -> list[int]:
        atoms = [self.atom(number) for number in numbers]
        for k, atom in enumerate(atoms):
            self.bond(atoms[k - 1], atom)
        return atoms

    def linker_metals(self) -> list[int]:
        graph = BondGraph(np.array(self.pairs), np.array(self.images), np.zeros(len(self.pairs)))
        return np.flatnonzero(linker_metals(np.array(self.numbers), graph)).tolist()


def macrocycle(n_donors: int = 4) -> tuple[Sketch, int]:
    """A metal in a ring of N-C-C-N, with an oxygen at either side that binds a metal of a node."""
    sketch = Sketch()
    ring = sketch.ring([7, 6, 6] * n_donors)
    metal = sketch.atom(ZINC, *ring[::3])
    for carbon in (ring[1], ring[4]):
        sketch.atom(ZINC, sketch.atom(8, carbon))
    return sketch, metal


def test_a_macrocycle_holds_its_metal() -> None:
    sketch, metal = macrocycle()
    assert sketch.linker_metals() == [metal]


def test_three_atoms_do_not_hold_a_metal() -> None:
    assert macrocycle(3)[0].linker_metals() == []


def test_an_axial_water_does_not_count_and_a_pillar_does() -> None:
    sketch, metal = macrocycle()
    oxygen = sketch.atom(8, metal)
    assert sketch.linker_metals() == [metal]
    sketch.atom(ZINC, oxygen)
    assert sketch.linker_metals() == []


def test_a_metal_of_two_macrocycles_joins_them() -> None:
    sketch, metal = macrocycle()
    sketch.bond(metal, 0, (1, 0, 0))  # the next copy's nitrogen
    assert sketch.linker_metals() == []


@pytest.mark.parametrize("size", [5, 6])
def test_a_sandwich(size: int) -> None:
    sketch = Sketch()
    rings = [sketch.ring([6] * size) for _ in range(2)]
    metal = sketch.atom(IRON, *rings[0], *rings[1])
    for ring in rings:
        sketch.atom(ZINC, sketch.atom(8, ring[0]))
    assert sketch.linker_metals() == [metal]


def test_a_chain_of_sandwiches_is_no_linker() -> None:
    sketch = Sketch()
    ring = sketch.ring([6] * 5)
    metal = sketch.atom(19, *ring)
    for carbon in ring:
        sketch.bond(metal, carbon, (1, 0, 0))
    sketch.atom(ZINC, sketch.atom(8, ring[0]))
    assert sketch.linker_metals() == []
