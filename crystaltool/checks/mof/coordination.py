"""The bonds of a structure as the rules of MOFs look at them: who is bound to whom, how far, in which direction.

Bonds are always perceived from the geometry. They are found once a structure; the rules share them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from crystaltool.arrays import Bool, Float, Int
from crystaltool.bonds import BondGraph
from crystaltool.checks.mof.contacts import check_bonds
from crystaltool.crystal import Crystal
from crystaltool.mof.elements import METAL
from crystaltool.mof.perception import neighbours
from crystaltool.mof.quotient import Pieces, find_pieces


@dataclass(frozen=True)
class Neighbours:
    """What one atom is bound to: atoms, distances in Angstrom, vectors to them; shapes (k,), (k,), (k, 3)."""

    atoms: Int[np.ndarray, "k"]
    distances: Float[np.ndarray, "k"]
    vectors: Float[np.ndarray, "k 3"]

    def __len__(self) -> int:
        return len(self.atoms)

    def keep(self, mask: Bool[np.ndarray, "k"]) -> Neighbours:
        """Some of them."""
        return Neighbours(self.atoms[mask], self.distances[mask], self.vectors[mask])


class Coordination:
    """A crystal and its bonds.

    Args:
        crystal: every atom of the cell.
    """

    def __init__(self, crystal: Crystal) -> None:
        self.crystal = crystal
        self.numbers = crystal.numbers
        self.is_metal = METAL[crystal.numbers]

    @cached_property
    def bonds(self) -> BondGraph:
        """The bonds, perceived."""
        return check_bonds(self.crystal)

    @cached_property
    def pieces(self) -> Pieces:
        """Parts that hang together."""
        return find_pieces(self.crystal.n_atoms, self.bonds.pairs, self.bonds.images)

    @cached_property
    def _table(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Bonds both ways, sorted by atom: other atom, length, vector; and where each atom's begin."""
        first, second, _ = self.bonds.directed
        vectors = self.bonds.vectors(self.crystal)
        vectors = np.concatenate([vectors, -vectors])
        order = np.argsort(first, kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(first, minlength=self.crystal.n_atoms))])
        vectors = vectors[order]
        return second[order], np.linalg.norm(vectors, axis=1), vectors, starts

    def neighbours(self, atom: int) -> Neighbours:
        """What an atom is bound to."""
        others, distances, vectors, starts = self._table
        here = slice(starts[atom], starts[atom + 1])
        return Neighbours(others[here], distances[here], vectors[here])

    @cached_property
    def n_bonds(self) -> Int[np.ndarray, "n"]:
        """Number of bonds of every atom."""
        return np.diff(self._table[3])

    @cached_property
    def n_metal_bonds(self) -> Int[np.ndarray, "n"]:
        """Number of bonds of every atom to metals."""
        others, _, _, starts = self._table
        counts = np.concatenate([[0], np.cumsum(self.is_metal[others])])
        return counts[starts[1:]] - counts[starts[:-1]]

    @cached_property
    def contacts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Pairs of atoms within `CONTACT_CUTOFF`: first, second, distance."""
        first, second, _, distances = neighbours(self.crystal, CONTACT_CUTOFF)
        return first, second, distances


CONTACT_CUTOFF = 2.7
"""Angstrom: more than any covalent radius, so that every overlap is among the contacts."""

_last: tuple[Crystal, Coordination] | None = None


def coordination_of(crystal: Crystal) -> Coordination:
    """The coordination of a crystal; the last one is kept, so that checks on one structure share it."""
    global _last
    if _last is None or _last[0] is not crystal:
        _last = (crystal, Coordination(crystal))
    return _last[1]
