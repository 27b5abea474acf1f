"""The bonds of a structure as the rules of MOFs look at them: which atoms are bound, how far, in which direction.

Bonds are always perceived from the geometry. They are found once a structure; the rules share them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from crystaltool.arrays import Bool, Float, Int
from crystaltool.bonds import BondGraph
from crystaltool.checks.mof.contacts import check_bonds
from crystaltool.checks.mof.oxidation import LOWEST_STATE
from crystaltool.crystal import Crystal
from crystaltool.mof.elements import METAL
from crystaltool.mof.perception import LEAST_SHARE, neighbours
from crystaltool.mof.quotient import Pieces, find_pieces
from crystaltool.mof.valence import bond_valence


@dataclass(frozen=True)
class Neighbours:
    """What one atom is bound to: atoms, distances in Angstrom, vectors to them; shapes (k,), (k,), (k, 3)."""

    atoms: Int[np.ndarray, " k"]
    distances: Float[np.ndarray, " k"]
    vectors: Float[np.ndarray, "k 3"]

    def __len__(self) -> int:
        return len(self.atoms)

    def keep(self, mask: Bool[np.ndarray, " k"]) -> Neighbours:
        """Some of them."""
        return Neighbours(self.atoms[mask], self.distances[mask], self.vectors[mask])


class Coordination:
    """A crystal and its bonds.

    Args:
        crystal: every atom of the cell.
        bonds: between them; perceived if not given.
    """

    def __init__(self, crystal: Crystal, bonds: BondGraph | None = None) -> None:
        self.crystal = crystal
        self._bonds = bonds
        self.numbers = crystal.numbers
        self.is_metal = METAL[crystal.numbers]

    @cached_property
    def bonds(self) -> BondGraph:
        """The bonds, as given or perceived."""
        return check_bonds(self.crystal) if self._bonds is None else self._bonds

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

    def strong_neighbours(self, atom: int) -> Neighbours:
        """What a metal is bound to by bonds that would count if its valence were whole.

        Where neighbours are missing the valences of the others sum to less, and weak contacts pass for bonds.
        """
        near = self.neighbours(atom)
        number = self.numbers[atom]
        valences = bond_valence(np.full(len(near), number), self.numbers[near.atoms], near.distances)
        return near.keep(self.is_metal[near.atoms] | (valences >= LEAST_SHARE * LOWEST_STATE[number]))

    @cached_property
    def n_bonds(self) -> Int[np.ndarray, " n"]:
        """Number of bonds of every atom."""
        return np.diff(self._table[3])

    @cached_property
    def n_metal_bonds(self) -> Int[np.ndarray, " n"]:
        """Number of bonds of every atom to metals."""
        others, _, _, starts = self._table
        counts = np.concatenate([[0], np.cumsum(self.is_metal[others])])
        return counts[starts[1:]] - counts[starts[:-1]]

    @cached_property
    def _far_contacts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Pairs of atoms within `VALENCE_CUTOFF`, one a metal at least, none a hydrogen; as `neighbours` gives them."""
        heavy = np.flatnonzero(self.numbers != 1)
        crystal = Crystal(self.crystal.lattice, self.crystal.frac_coords[heavy], self.numbers[heavy])
        first, second, images, distances = neighbours(crystal, VALENCE_CUTOFF)
        keep = self.is_metal[heavy[first]] | self.is_metal[heavy[second]]
        return heavy[first[keep]], heavy[second[keep]], images[keep], distances[keep]

    @cached_property
    def valence_sums(self) -> Float[np.ndarray, " n"]:
        """Sums of the valences that metals have with nonmetals within `VALENCE_CUTOFF`; 0 for nonmetals.

        An atom that only lies behind a neighbour (the carbon of a carboxylate) adds nothing. Carbon, boron and the
        like count: an arene on an alkali metal is what it is bound to.
        """
        sums = np.zeros(self.crystal.n_atoms)
        first, second, _, distances = self._far_contacts
        mixed = self.is_metal[first] != self.is_metal[second]
        metal = np.where(self.is_metal[first], first, second)[mixed]
        other = np.where(self.is_metal[first], second, first)[mixed]
        distances = distances[mixed]
        direct = ~self._lies_behind(metal, other, distances)
        metal, other = metal[direct], other[direct]
        valences = bond_valence(self.numbers[metal], self.numbers[other], distances[direct])
        np.add.at(sums, metal, valences)
        return sums

    def _lies_behind(self, metals: np.ndarray, others: np.ndarray, distances: np.ndarray) -> np.ndarray:
        """Which of some atoms have a bond to an atom that is bound to the same metal and clearly nearer to it."""
        near: dict[tuple[int, int], float] = {}
        for metal in np.flatnonzero(self.is_metal).tolist():
            mine = self.neighbours(metal)
            for atom, distance in zip(mine.atoms.tolist(), mine.distances.tolist(), strict=True):
                near[metal, atom] = min(distance, near.get((metal, atom), np.inf))
        behind = np.zeros(len(metals), dtype=bool)
        for k, (metal, atom) in enumerate(zip(metals.tolist(), others.tolist(), strict=True)):
            between = self.neighbours(atom).atoms.tolist()
            behind[k] = any(near.get((metal, one), np.inf) < distances[k] - BEHIND for one in between)
        return behind

    def surroundings(self, atom: int) -> Neighbours:
        """What lies around a metal within `SURROUNDINGS`: metals, and nonmetals with some valence, bound or not."""
        first, second, images, distances = self._far_contacts
        coords, lattice = self.crystal.frac_coords, self.crystal.lattice
        valences = bond_valence(self.numbers[first], self.numbers[second], distances)
        strong = valences >= COVERING_SHARE * LOWEST_STATE[self.numbers[atom]]
        mine = (distances <= SURROUNDINGS) & (strong | (self.is_metal[first] & self.is_metal[second]))
        ahead, back = mine & (first == atom), mine & (second == atom)
        forward = (coords[second] + images - coords[first]) @ lattice
        return Neighbours(
            np.concatenate([second[ahead], first[back]]),
            np.concatenate([distances[ahead], distances[back]]),
            np.concatenate([forward[ahead], -forward[back]]),
        )

    @cached_property
    def contacts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Pairs of atoms within `CONTACT_CUTOFF`: first, second, distance."""
        first, second, _, distances = neighbours(self.crystal, CONTACT_CUTOFF)
        return first, second, distances


CONTACT_CUTOFF = 2.7
"""Angstrom: more than any covalent radius, so that every overlap is among the contacts."""

VALENCE_CUTOFF = 4.0
"""Angstrom: beyond it a bond to caesium has 0.02 valence units."""

SURROUNDINGS = 3.5
"""Angstrom: atoms this near to a metal cover it."""

COVERING_SHARE = 0.02
"""Share of a metal's charge that a nonmetal's valence must have to cover it."""

BEHIND = 0.25
"""Angstrom, as `CHELATE_EXCESS` in `crystaltool.mof.perception`."""

_last: tuple[Crystal, Coordination] | None = None


def coordination_of(crystal: Crystal) -> Coordination:
    """The coordination of a crystal; the last one is kept, so that checks on one structure share it."""
    global _last
    if _last is None or _last[0] is not crystal:
        _last = (crystal, Coordination(crystal))
    return _last[1]
