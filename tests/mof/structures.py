"""Metal-organic frameworks for tests: well known ones from `tests/data`, and tiny ones made by hand."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from crystaltool.crystal import Crystal
from crystaltool.io.cif import CifBlock
from crystaltool.io.stream import iter_blocks

CURATED = Path(__file__).resolve().parents[1] / "data" / "curated_mofs.cif"

TEREPHTHALATE = "*<-O=C([O-]->*)c1ccc(C(=O->*)[O-]->*)cc1"
TRIMESATE = "*<-O=C([O-]->*)c1cc(C(=O->*)[O-]->*)cc(C(=O->*)[O-]->*)c1"
METHYLIMIDAZOLATE = "*<-n1cc[n-](->*)c1C"
DIOXIDOTEREPHTHALATE = "*<-O=C(c1cc([O-](->*)->*)c(C([O-]->*)=O(->*)->*)cc1[O-](->*)->*)[O-](->*)->*"


@lru_cache
def curated() -> dict[str, Crystal]:
    """The well known ones by name."""
    blocks = list(iter_blocks([str(CURATED)]))
    return {block.name: block.crystal for block in blocks if isinstance(block, CifBlock)}


def cyanides(directions: str = "xyz", edge: float = 5.1, metal: int = 30, gap: float = 12.0) -> Crystal:
    """Metal atoms joined by cyanide along some of x, y and z (a primitive cubic net along all three)."""
    lengths = np.array([edge if axis in directions else gap for axis in "xyz"])
    rows, numbers = [np.zeros(3)], [metal]
    for axis, letter in enumerate("xyz"):
        if letter in directions:
            for place, number in ((1.97, 6), (3.13, 7)):
                rows.append(np.eye(3)[axis] * place)
                numbers.append(number)
    return Crystal(np.diag(lengths), np.array(rows) / lengths, np.array(numbers), "cyanides")


def add_atoms(crystal: Crystal, cart_coords: list[tuple[float, float, float]], numbers: list[int]) -> Crystal:
    """The crystal with more atoms, Cartesian coordinates in A."""
    frac = np.concatenate([crystal.frac_coords, np.array(cart_coords) @ np.linalg.inv(crystal.lattice)])
    return Crystal(crystal.lattice, frac, np.concatenate([crystal.numbers, numbers]), crystal.name)


def supercell(crystal: Crystal, repeats: tuple[int, int, int]) -> Crystal:
    """The crystal in a cell of several."""
    cells = np.stack(np.meshgrid(*map(np.arange, repeats), indexing="ij"), axis=-1).reshape(-1, 3)
    frac = (crystal.frac_coords[None] + cells[:, None]).reshape(-1, 3) / np.array(repeats)
    lattice = crystal.lattice * np.array(repeats)[:, None]
    return Crystal(lattice, frac, np.tile(crystal.numbers, len(cells)), crystal.name)


def shuffled(crystal: Crystal, seed: int) -> Crystal:
    """The same structure: another origin, the atoms in another order, each in another image."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(crystal.n_atoms)
    frac = crystal.frac_coords[order] + rng.random(3) + rng.integers(-2, 3, (crystal.n_atoms, 3))
    return Crystal(crystal.lattice, frac, crystal.numbers[order], crystal.name)
