"""The bonds on which the rules of MOFs rest: those of `crystaltool.mof.perception`, whatever the structure.

Where atoms overlap, that perception refuses; the rules must still name them.
"""

from __future__ import annotations

import numpy as np

from crystaltool.bonds import UNKNOWN_ORDER, BondGraph
from crystaltool.crystal import Crystal
from crystaltool.errors import InputError
from crystaltool.mof.elements import COVALENT_RADIUS
from crystaltool.mof.perception import NONMETAL_TOLERANCE, neighbours, perceive_bonds

_HYDROGEN = 1


def check_bonds(crystal: Crystal) -> BondGraph:
    """Bonds of a crystal; where atoms overlap, every near pair is one besides."""
    try:
        return perceive_bonds(crystal)
    except InputError:  # atoms overlap
        bonds, near = perceive_bonds(crystal, overlaps=True), _all_near_pairs(crystal)
    pairs, images = np.concatenate([bonds.pairs, near.pairs]), np.concatenate([bonds.images, near.images])
    _, first = np.unique(np.column_stack([pairs, images]), axis=0, return_index=True)  # both list pairs alike
    return BondGraph(pairs[first], images[first], np.full(len(first), UNKNOWN_ORDER))


def _all_near_pairs(crystal: Crystal) -> BondGraph:
    """Every pair of atoms, but two hydrogens, within the sum of their covalent radii and a tolerance."""
    numbers = crystal.numbers
    first, second, images, distances = neighbours(
        crystal, 2 * float(COVALENT_RADIUS[numbers].max()) + NONMETAL_TOLERANCE
    )
    near = distances <= COVALENT_RADIUS[numbers[first]] + COVALENT_RADIUS[numbers[second]] + NONMETAL_TOLERANCE
    near &= (numbers[first] != _HYDROGEN) | (numbers[second] != _HYDROGEN)
    pairs = np.column_stack([first, second])[near]
    return BondGraph(pairs, images[near], np.full(len(pairs), UNKNOWN_ORDER))
