"""`BondGraph`: the noun for the bonds of a periodic structure, each with the image it reaches into."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crystaltool.arrays import Float, Int
from crystaltool.crystal import Crystal
from crystaltool.errors import InputError

UNKNOWN_ORDER = 0.0
AROMATIC_ORDER = 1.5


@dataclass(frozen=True)
class BondGraph:
    """Bonds of a crystal; each stands once.

    Args:
        pairs: atoms i and j of every bond; shape (n_bonds, 2).
        images: the cell, counted in a, b, c from that of atom i, where atom j of the bond lies, for the fractional
            coordinates as the crystal gives them (unwrapped); shape (n_bonds, 3).
        orders: 1, 2, 3, 1.5 for aromatic, 0 where not known; shape (n_bonds,).
    """

    pairs: Int[np.ndarray, "n_bonds 2"]
    images: Int[np.ndarray, "n_bonds 3"]
    orders: Float[np.ndarray, " n_bonds"]

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def directed(self) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"], Int[np.ndarray, "m 3"]]:
        """Every bond both ways: from, to, image of `to`."""
        first, second = self.pairs.T
        return (
            np.concatenate([first, second]),
            np.concatenate([second, first]),
            np.concatenate([self.images, -self.images]),
        )

    def vectors(self, crystal: Crystal) -> Float[np.ndarray, "n_bonds 3"]:
        """Cartesian vectors from i to j in Angstrom."""
        first, second = self.pairs.T
        return (crystal.frac_coords[second] + self.images - crystal.frac_coords[first]) @ crystal.lattice

    def lengths(self, crystal: Crystal) -> Float[np.ndarray, " n_bonds"]:
        """Bond lengths in Angstrom."""
        return np.linalg.norm(self.vectors(crystal), axis=1)

    def valences(self, n_atoms: int) -> Int[np.ndarray, " n_atoms"]:
        """Number of bonds of every atom."""
        return np.bincount(self.pairs.ravel(), minlength=n_atoms)


def assert_bonds(bonds: BondGraph, n_atoms: int) -> None:
    """The invariants of a bond graph over `n_atoms` atoms.

    Raises:
        InputError: shapes that do not fit, an atom out of range, a bond of an atom to itself, a bond twice.
    """
    n = len(bonds.pairs)
    if bonds.images.shape != (n, 3) or bonds.orders.shape != (n,):
        raise InputError(f"{n} bonds but {len(bonds.images)} images and {len(bonds.orders)} orders")
    if n == 0:
        return
    if bonds.pairs.min() < 0 or bonds.pairs.max() >= n_atoms:
        raise InputError(f"a bond to atom {bonds.pairs.max() + 1} of {n_atoms}")
    first, second, images = bonds.directed
    if ((first == second) & (images == 0).all(axis=1)).any():
        raise InputError("a bond of an atom to itself")
    keys = np.column_stack([first, second, images])
    if len(np.unique(keys, axis=0)) != 2 * n:
        raise InputError("a bond stands twice")
