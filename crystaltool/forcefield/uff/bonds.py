"""The bonds on which a framework is relaxed: those that its block states, where the geometry bears them out.

On a list that lacks bonds the force field pushes bound atoms apart, a bond that is none draws atoms together: either
destroys the structure. Bonds between blocks put together by `assemble` may still be open, they are not tested.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from crystaltool.bonds import AROMATIC_ORDER, UNKNOWN_ORDER, BondGraph
from crystaltool.crystal import Crystal
from crystaltool.forcefield.uff.resonance import organic_orders
from crystaltool.mof.elements import COVALENT_RADIUS, METAL
from crystaltool.mof.perception import perceive_bonds
from crystaltool.mof.valence import bond_valence

STRONG_VALENCE = 0.2
"""Valence units from which on a bond of a metal must be stated; weak ones (K-O, Ag-O 2.5 A) are a matter of opinion."""

SURE_EXCESS = 0.15
"""A: nonmetals this much nearer than the longest bond that is perceived are bound for certain."""

FALSE_EXCESS = 0.5
"""A: a stated bond longer than the sum of the covalent radii by more than perception allows and this is none."""

MOST_BONDS = {1: 1, 6: 4, 9: 1}
"""Bonds to nonmetals that hydrogen (but on boron), carbon and fluorine have at most."""

_PERCEIVED_EXCESS = 0.3
_BORON, _HYDROGEN = 5, 1


def perceived_bonds(crystal: Crystal) -> BondGraph:
    """Bonds from the geometry, with orders between nonmetals."""
    bonds = perceive_bonds(crystal)
    orders = organic_orders(crystal.numbers, bonds)
    plain = np.isin(orders, [1.0, AROMATIC_ORDER, 2.0, 3.0])
    return BondGraph(bonds.pairs, bonds.images, np.where(plain, orders, UNKNOWN_ORDER))


def fault_of(crystal: Crystal, stated: BondGraph, label: Callable[[int], str]) -> str:
    """What the geometry says against stated bonds, empty if nothing.

    Args:
        crystal: every atom of the cell. stated: bonds, images for its coordinates. label: name of an atom.

    Raises:
        InputError: atoms overlap.
    """
    numbers = crystal.numbers
    lengths = stated.lengths(crystal)
    first, second = stated.pairs.T
    metal = METAL[numbers]
    n_metals = metal[first].astype(int) + metal[second]
    radii = COVALENT_RADIUS[numbers[first]] + COVALENT_RADIUS[numbers[second]]
    too_long = np.flatnonzero((n_metals < 2) & (lengths > radii + _PERCEIVED_EXCESS + FALSE_EXCESS + n_metals * 0.5))
    if len(too_long):
        worst = int(too_long[np.argmax(lengths[too_long])])
        said = f"{label(int(first[worst]))} and {label(int(second[worst]))} are {lengths[worst]:.2f} A apart"
        return f"{len(too_long)} of {len(stated)} stated bonds are none ({said})"
    inner = n_metals == 0
    ends, others = np.concatenate([first[inner], second[inner]]), np.concatenate([second[inner], first[inner]])
    counted = ~((numbers[ends] == _HYDROGEN) & (numbers[others] == _BORON))
    n_bonds = np.bincount(ends[counted], minlength=crystal.n_atoms)
    for number, most in MOST_BONDS.items():
        crowded = np.flatnonzero((numbers == number) & (n_bonds > most))
        if len(crowded):
            return f"{label(int(crowded[0]))} has {n_bonds[crowded[0]]} stated bonds, {most} at most are possible"
    return _missing(crystal, stated, label)


def _missing(crystal: Crystal, stated: BondGraph, label: Callable[[int], str]) -> str:
    """Which sure bonds of the geometry are not stated."""
    seen = perceive_bonds(crystal)
    numbers, lengths = crystal.numbers, seen.lengths(crystal)
    first, second = seen.pairs.T
    metal = METAL[numbers]
    n_metals = metal[first].astype(int) + metal[second]
    radii = COVALENT_RADIUS[numbers[first]] + COVALENT_RADIUS[numbers[second]]
    centre, other = np.where(metal[first], first, second), np.where(metal[first], second, first)
    strong = bond_valence(numbers[centre], numbers[other], lengths) >= STRONG_VALENCE
    sure = np.where(n_metals == 0, lengths <= radii + _PERCEIVED_EXCESS - SURE_EXCESS, (n_metals == 1) & strong)
    known = _keys(stated)
    lacking = [row for row, key in enumerate(_keys_in_order(seen)) if sure[row] and key not in known]
    if not lacking:
        return ""
    row = lacking[0]
    said = f"{label(int(first[row]))} to {label(int(second[row]))}, {lengths[row]:.2f} A"
    return f"{len(lacking)} of {int(sure.sum())} bonds that the geometry shows are not stated ({said})"


def _keys(bonds: BondGraph) -> set[tuple[int, int, tuple[int, ...]]]:
    return set(_keys_in_order(bonds))


def _keys_in_order(bonds: BondGraph) -> list[tuple[int, int, tuple[int, ...]]]:
    """Both ends and the image of every bond, one way of two."""
    keys = []
    for (i, j), image in zip(bonds.pairs.tolist(), bonds.images.tolist(), strict=True):
        back = (j, i, tuple(-cell for cell in image))
        keys.append(min((i, j, tuple(image)), back))
    return keys
