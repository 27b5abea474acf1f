"""Metals that belong to a linker: one that a single organic ligand holds on all sides, as a porphyrin or a salen does,
and one between the rings of a sandwich, as in ferrocene. Such a metal joins nothing that would fall apart without it.
"""

from __future__ import annotations

import numpy as np

from crystaltool.arrays import Bool, Int
from crystaltool.bonds import BondGraph
from crystaltool.mof.elements import METAL
from crystaltool.mof.quotient import find_pieces

HOLDING_ATOMS = 4
"""Atoms with which a ligand holds its metal at least: N4 of a porphyrin, N2O2 of a salen, four of a ring's carbons."""

_CARBON = 6


def linker_metals(numbers: Int[np.ndarray, " n"], bonds: BondGraph) -> Bool[np.ndarray, " n"]:
    """Which atoms are metals of linkers.

    Ligands that are bound to this metal alone (an axial water, the carbonyls of a half sandwich) do not count. Each
    of the others holds it by four atoms or more; there is one such ligand, with carbon, or all these atoms are carbons.
    """
    metal = METAL[numbers]
    if not (bonds.valences(len(numbers))[metal] >= HOLDING_ATOMS).any():
        return np.zeros(len(numbers), dtype=bool)
    inner = ~metal[bonds.pairs].any(axis=1)
    ligands = find_pieces(len(numbers), bonds.pairs[inner], bonds.images[inner])
    first, second, images = bonds.directed
    across = metal[first] & ~metal[second]
    held: dict[int, dict[tuple[int, ...], list[int]]] = {}  # metal -> copy of a ligand -> its atoms at the metal
    holders: dict[int, set[tuple[int, ...]]] = {}  # ligand -> metals, as seen from it
    for i, j, cell in zip(first[across].tolist(), second[across].tolist(), images[across], strict=True):
        copy = (cell - ligands.offsets[j]).tolist()
        ligand = int(ligands.labels[j])
        held.setdefault(i, {}).setdefault((ligand, *copy), []).append(j)
        holders.setdefault(ligand, set()).add((i, *copy))
    carbons = np.bincount(ligands.labels, weights=numbers == _CARBON, minlength=len(ligands))
    to_metals = set(first[metal[first] & metal[second]].tolist())
    chosen = np.zeros(len(numbers), dtype=bool)
    for atom, copies in held.items():
        shared = {copy: atoms for copy, atoms in copies.items() if len(holders[copy[0]]) > 1}
        shared = shared or {copy: atoms for copy, atoms in copies.items() if len(atoms) >= HOLDING_ATOMS}
        if not shared or atom in to_metals:
            continue
        ends = [end for atoms in shared.values() for end in atoms]
        alone = len(shared) == 1 and carbons[next(iter(shared))[0]] > 0
        held_fast = all(len(atoms) >= HOLDING_ATOMS for atoms in shared.values())
        chosen[atom] = held_fast and (alone or (numbers[ends] == _CARBON).all())
    return _finite(numbers, bonds, chosen)


def _finite(numbers: np.ndarray, bonds: BondGraph, chosen: np.ndarray) -> np.ndarray:
    """Without the metals that would join ligands to a piece without end (a chain of sandwiches)."""
    if not chosen.any():
        return chosen
    inner = ~(METAL[numbers] & ~chosen)[bonds.pairs].any(axis=1)
    pieces = find_pieces(len(numbers), bonds.pairs[inner], bonds.images[inner])
    return chosen & (np.array(pieces.ranks)[pieces.labels] == 0)
