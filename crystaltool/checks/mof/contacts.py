"""The bonds on which the rules of MOFs rest: those perceived, and weak bonds of metals besides.

`crystaltool.mof.perception` takes for bonds what holds a framework together. A perchlorate 2.5 A from copper, an oxygen
2.8 A from lead are weak bonds too: for a rule that asks what is free or bare they count. By bond valences: a metal and
a donor are bound if the bond has a valence of at least 0.1, or 0.04 for metals of one charge, which spread it over six
to ten neighbours (Brown and Altermatt, Acta Cryst. 1985, B41, 244: 0.04 of the cation's valence; parameters of O'Keeffe
and Brese, J. Am. Chem. Soc. 1991, 113, 3226). On 1,000 structures of QMOF this comes closer to MOFChecker's table of
cut-offs than covalent radii do.
"""

from __future__ import annotations

import numpy as np

from crystaltool.arrays import Float, Int
from crystaltool.bonds import UNKNOWN_ORDER, BondGraph
from crystaltool.checks.mof.oxidation import SOFTNESS, one_valence_length
from crystaltool.crystal import Crystal
from crystaltool.errors import InputError
from crystaltool.mof.elements import COVALENT_RADIUS, METAL
from crystaltool.mof.perception import neighbours, perceive_bonds

LEAST_VALENCE, LEAST_VALENCE_OF_ONE = 0.1, 0.04
"""Valence units; a single bond has 1. Gives Cu-O 2.32, Zn-O 2.51, Cd-O 2.69, Pb-O 2.95; Ag-O 2.87, Na-O 3.03, K-O 3.34,
Tl-O 3.36 A."""

ONE_CHARGE = (3, 11, 19, 37, 47, 55, 81, 87)
"""Li Na K Rb Ag Cs Tl Fr."""

DONORS = (7, 8, 9, 15, 16, 17, 34, 35, 52, 53)
"""N O F P S Cl Se Br Te I."""

NEAR_TOLERANCE = 0.3
"""A, as between nonmetals in `crystaltool.mof.perception`."""

_HYDROGEN = 1


def check_bonds(crystal: Crystal) -> BondGraph:
    """Bonds of a crystal, weak ones of metals included; of overlapping atoms every near pair is one."""
    try:
        strong = perceive_bonds(crystal)
    except InputError:  # atoms overlap
        strong = _all_near_pairs(crystal)
    weak = _weak_bonds(crystal)
    pairs = np.concatenate([strong.pairs, weak.pairs])
    images = np.concatenate([strong.images, weak.images])
    _, first = np.unique(np.column_stack([pairs, images]), axis=0, return_index=True)  # both list pairs alike
    return BondGraph(pairs[first], images[first], np.full(len(first), UNKNOWN_ORDER))


def longest_weak_bond(first: Int[np.ndarray, "..."], second: Int[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Length in Angstrom at which a bond between elements has the least valence; 0 unless metal and donor."""
    single = np.isin(np.where(METAL[first], first, second), ONE_CHARGE)
    least = np.where(single, LEAST_VALENCE_OF_ONE, LEAST_VALENCE)
    lengths = one_valence_length(first, second) - SOFTNESS * np.log(least)
    donor_1, donor_2 = np.isin(first, DONORS), np.isin(second, DONORS)
    return np.where((METAL[first] & donor_2) | (METAL[second] & donor_1), lengths, 0.0)


def _weak_bonds(crystal: Crystal) -> BondGraph:
    kinds = np.unique(crystal.numbers)
    cutoff = float(longest_weak_bond(kinds[:, None], kinds[None]).max())
    return _pairs_within(crystal, max(cutoff, 0.1), longest_weak_bond)


def _all_near_pairs(crystal: Crystal) -> BondGraph:
    """Every pair of atoms, but two hydrogens, within the sum of their covalent radii and a tolerance."""

    def limits(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        sums = COVALENT_RADIUS[first] + COVALENT_RADIUS[second] + NEAR_TOLERANCE
        return np.where((first == _HYDROGEN) & (second == _HYDROGEN), 0.0, sums)

    return _pairs_within(crystal, 2 * float(COVALENT_RADIUS[crystal.numbers].max()) + NEAR_TOLERANCE, limits)


def _pairs_within(crystal: Crystal, cutoff: float, limits) -> BondGraph:
    first, second, images, distances = neighbours(crystal, cutoff)
    near = distances <= limits(crystal.numbers[first], crystal.numbers[second])
    pairs = np.column_stack([first, second])[near]
    return BondGraph(pairs, images[near], np.full(len(pairs), UNKNOWN_ORDER))
