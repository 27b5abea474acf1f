"""`Crystal`: the noun for one periodic structure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crystaltool.arrays import Float, Int
from crystaltool.errors import InputError

MAX_ATOMIC_NUMBER = 118


def _determinant(lattice: Float[np.ndarray, "3 3"]) -> float:
    """As numpy's, in a third of its time, which reading many small structures spends to a tenth."""
    (a, b, c), (d, e, f), (g, h, i) = lattice.tolist()
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)


@dataclass(frozen=True)
class Crystal:
    """A periodic structure with every atom of the cell written out.

    Args:
        lattice: cell vectors a, b, c as rows, in Angstrom; shape (3, 3), right-handed.
        frac_coords: fractional coordinates, any image; shape (n_atoms, 3).
        numbers: atomic numbers 1-118; shape (n_atoms,).
        name: block name, may be empty.

    Raises:
        InputError: on a non-finite number, a left-handed or flat cell, no atoms, or an atomic number out of range.
    """

    lattice: Float[np.ndarray, "3 3"]
    frac_coords: Float[np.ndarray, "n_atoms 3"]
    numbers: Int[np.ndarray, " n_atoms"]
    name: str = ""

    def __post_init__(self) -> None:
        if len(self.numbers) == 0:
            raise InputError("structure has no atoms")
        if len(self.numbers) != len(self.frac_coords):
            raise InputError(f"{len(self.numbers)} species but {len(self.frac_coords)} positions")
        if not np.isfinite(self.lattice).all():
            raise InputError("cell is not finite")
        if not np.isfinite(self.frac_coords).all():
            bad = int(np.argmax(~np.isfinite(self.frac_coords).all(axis=1)))
            raise InputError(f"coordinates of site {bad + 1} are not finite")
        if (volume := _determinant(self.lattice)) <= 1e-6:
            raise InputError(f"cell volume is {volume:.3g} A^3, expected a positive one")
        if self.numbers.min() < 1 or self.numbers.max() > MAX_ATOMIC_NUMBER:
            raise InputError(f"atomic number out of range 1-{MAX_ATOMIC_NUMBER}")

    @property
    def n_atoms(self) -> int:
        """Number of atoms in the cell."""
        return len(self.numbers)

    @property
    def volume(self) -> float:
        """Cell volume in cubic Angstrom."""
        return float(np.linalg.det(self.lattice))

    @property
    def cart_coords(self) -> Float[np.ndarray, "n_atoms 3"]:
        """Cartesian coordinates in Angstrom; shape (n_atoms, 3)."""
        return self.frac_coords @ self.lattice
