"""Which checks a structure gets: those of inorganic crystals or those of metal-organic frameworks.

The kind is told by the skeleton of carbon, not by what the rules ask for: a framework whose hydrogens or metals are
missing is one still, and fails the rule on what it lacks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crystaltool.arrays import Int
from crystaltool.bonds import BondGraph
from crystaltool.errors import InputError
from crystaltool.mof.elements import METAL

if TYPE_CHECKING:
    from crystaltool.crystal import Crystal
    from crystaltool.io.cif import CifBlock

INORGANIC, MOF = "inorganic", "mof"
KINDS = (INORGANIC, MOF)

ATOM_VOLUMES = (5.0, 14.0, 27.0)
"""A^3 that hydrogen, an element of the second period and a heavier one fill in crystals of molecules (Hofmann, Acta
Cryst. 2002, B58, 489)."""

ROOM = 1.5
"""A crystal of molecules alone with so many times their volume has lost what held it open."""

LEAST_LIGAND = 3
"""Atoms but hydrogen of a molecule that can be a ligand (formate)."""

LINEAR = 155.0
"""Degrees: the carbon of CO2, a cyanate or a dicyanamide has two neighbours at a larger angle."""

LIGHT = 10
"""Elements up to it have the second of `ATOM_VOLUMES`."""

_HYDROGEN, _CARBON = 1, 6
_CHALCOGENS = (8, 16, 34, 52)


def kind_of(block: CifBlock) -> str:
    """A framework states its bonds, or has organic carbon and a metal, a net of bonds, or room for a metal.

    Organic carbon is bound to hydrogen or to other carbon in a group of nonmetals that ends somewhere; carbonates,
    cyanides, carbides and graphite are inorganic. Organic nets without metals (COFs) are judged as frameworks, which
    they fail to be; so are molecules that leave room for a metal or whose charges ask for one, others are judged as
    crystals. Of the 9,046 crystals of MP-20's test set seven are, three of them oxalates frameworks.
    """
    return MOF if block.bonds is not None else kind_of_atoms(block.crystal)


def kind_of_atoms(crystal: Crystal) -> str:
    """The kind of a crystal whose bonds are not stated; see `kind_of`."""
    numbers = crystal.numbers
    if not (numbers == _CARBON).any():
        return INORGANIC
    if METAL[numbers].any() and (numbers == _HYDROGEN).any():
        return MOF
    return MOF if _is_organic_framework(crystal) else INORGANIC


def _is_organic_framework(crystal: Crystal) -> bool:
    """Whether the bonds of a crystal with carbon make it a framework, whole or not."""
    from crystaltool.mof.perception import perceive_bonds
    from crystaltool.mof.quotient import find_pieces

    numbers = crystal.numbers
    metal = METAL[numbers]
    if (numbers[~metal] == _CARBON).all() or not (metal.any() or (numbers == _HYDROGEN).any()):
        return False
    try:
        bonds = perceive_bonds(crystal)
    except InputError:  # atoms overlap
        return False
    inside = ~metal[bonds.pairs].any(axis=1)
    bonds = BondGraph(bonds.pairs[inside], bonds.images[inside], bonds.orders[inside])
    pieces = find_pieces(crystal.n_atoms, bonds.pairs, bonds.images)
    rank = np.array(pieces.ranks)[pieces.labels]
    organic = _organic_carbon(crystal, bonds)
    only_carbon = np.bincount(pieces.labels, weights=numbers != _CARBON, minlength=len(pieces)) == 0
    if metal.any():
        return bool((organic & (rank == 0) & ~only_carbon[pieces.labels]).any())
    if not organic.any():
        return False
    if (organic & (rank >= 2)).any():
        return True
    filled = np.select([numbers == _HYDROGEN, numbers <= LIGHT], ATOM_VOLUMES[:2], ATOM_VOLUMES[2]).sum()
    n_heavy = np.bincount(pieces.labels, weights=numbers != _HYDROGEN)
    if n_heavy.max() >= LEAST_LIGAND and crystal.volume > ROOM * filled:
        return True
    return _has_ions_alone(crystal)


def _has_ions_alone(crystal: Crystal) -> bool:
    """Whether the molecules have charges that do not cancel: ligands whose metals are missing."""
    from crystaltool.checks.mof.coordination import coordination_of
    from crystaltool.checks.mof.framework_charge import ligands_of
    from crystaltool.checks.mof.ligand_charge import cheapest_charge

    charges = [cheapest_charge(ligand) for ligand, _ in ligands_of(coordination_of(crystal))]
    return None not in charges and sum(charge or 0 for charge in charges) != 0


def _organic_carbon(crystal: Crystal, bonds: BondGraph) -> np.ndarray:
    """Carbons that are no carbonate's, cyanide's or carbide's, by their nonmetal neighbours."""
    numbers: Int[np.ndarray, " n"] = crystal.numbers
    first, second, _ = bonds.directed
    vectors = bonds.vectors(crystal)
    vectors = np.concatenate([vectors, -vectors])
    organic = np.zeros(len(numbers), dtype=bool)
    for atom in np.flatnonzero(numbers == _CARBON).tolist():
        mine = np.flatnonzero(first == atom)
        around = numbers[second[mine]]
        if (around == _HYDROGEN).any():
            organic[atom] = True
        elif len(mine) == 2:
            one, other = vectors[mine] / np.linalg.norm(vectors[mine], axis=1, keepdims=True)
            organic[atom] = np.degrees(np.arccos(np.clip(one @ other, -1.0, 1.0))) < LINEAR
        elif len(mine) > 2:
            organic[atom] = not np.isin(around, _CHALCOGENS).all()
    return organic
