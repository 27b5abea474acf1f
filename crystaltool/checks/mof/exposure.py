"""How much of the sphere around a metal its neighbours leave open."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from crystaltool.arrays import Float
from crystaltool.checks.mof.coordination import Coordination
from crystaltool.checks.mof.elements import ALKALI, VDW_RADIUS
from crystaltool.checks.mof.oxidation import LOWEST_STATE, keeps_lone_pair
from crystaltool.mof.valence import bond_valence

OPEN_ANGLE = 150.0
"""Degrees: a metal is exposed if its neighbours fit into a cone with the metal at its tip that leaves more than this
of 360 (MOFChecker 2.0)."""

EXPOSED_COORDINATION = 6
"""A metal with as many neighbours is never called exposed (MOFChecker 2.0)."""

LEAST_LONE_PAIR_SUM = 0.65
"""Of a metal with a lone pair: share of its oxidation state that its bonds' valences sum to if none is missing."""

LEAST_ALKALI_SUM = 0.8
"""The same of an alkali or alkaline earth metal."""

MOST_PULL = 0.45
"""Length of the sum of bond-valence vectors over the sum of the valences: three bonds flat 0, at right angles 0.58."""

_DIRECTIONS = 4000
_REFINEMENTS = 6


def exposed_metal(coordination: Coordination) -> dict[int, str]:
    """Metals with fewer than six neighbours, all on one side.

    One with a lone pair (Tl(I), Sn(II), Pb(II), Sb(III)) has them so by nature, arenes cover alkali
    metals: such a metal is exposed if its bonds lack valence, too, and near atoms that are no neighbours leave it open.
    """
    found: dict[int, str] = {}
    few = coordination.is_metal & (coordination.n_bonds < EXPOSED_COORDINATION) & (coordination.n_bonds > 0)
    for atom in np.flatnonzero(few).tolist():
        near = coordination.strong_neighbours(atom)
        near = near if len(near) else coordination.neighbours(atom)
        angle = 360.0 - cone_angle(near.vectors, VDW_RADIUS[coordination.numbers[near.atoms]])
        if angle > OPEN_ANGLE and not _complete(coordination, atom):
            found[atom] = f"{len(near)} neighbours, open angle {angle:.0f} degrees"
    return found


def _complete(coordination: Coordination, atom: int) -> bool:
    """Whether a lone pair or atoms beyond the neighbours fill what the neighbours of a metal leave open."""
    number, valence = int(coordination.numbers[atom]), float(coordination.valence_sums[atom])
    if ALKALI[number]:
        return has_full_valence(coordination, atom)
    if not keeps_lone_pair(number, valence):
        return False
    if valence >= LEAST_LONE_PAIR_SUM * LOWEST_STATE[number]:
        return True
    near = coordination.surroundings(atom)
    return 360.0 - cone_angle(near.vectors, VDW_RADIUS[coordination.numbers[near.atoms]]) <= OPEN_ANGLE


def has_full_valence(coordination: Coordination, atom: int) -> bool:
    """Whether the valences of all that is near to an alkali or alkaline earth metal are enough, and pull on all sides.

    Around an ion without lone pair the vectors of bond valences sum to nothing (Harvey et al., Acta Cryst. 2006, B62,
    1038), be they few and short (Li-N 2.0 A) or those of arenes.
    """
    number = coordination.numbers[atom]
    near = coordination.surroundings(atom)
    if coordination.valence_sums[atom] < LEAST_ALKALI_SUM * LOWEST_STATE[number]:
        return False
    valences = bond_valence(np.full(len(near), number), coordination.numbers[near.atoms], near.distances)
    pull = np.linalg.norm((near.vectors / near.distances[:, None] * valences[:, None]).sum(axis=0))
    return bool(pull <= MOST_PULL * valences.sum())


def cone_angle(vectors: Float[np.ndarray, "k 3"], radii: Float[np.ndarray, " k"]) -> float:
    """Full angle in degrees of the smallest cone, its tip at the origin, that holds all spheres.

    Exact cone angle of a ligand: Allen et al., J. Comput. Chem. 2013, 34, 1189. Here the axis is searched on the
    sphere, to within 0.1 degree. A sphere around the tip itself counts as half of space.

    Args:
        vectors: centres of the spheres, Angstrom. radii: Angstrom.
    """
    distances = np.linalg.norm(vectors, axis=1)
    units = vectors / distances[:, None]
    half_widths = np.arcsin(np.minimum(radii / distances, 1.0))
    axes, width = _directions(), 0.12
    best, axis = np.inf, axes[0]
    for _ in range(_REFINEMENTS):
        halves = (np.arccos(np.clip(axes @ units.T, -1.0, 1.0)) + half_widths).max(axis=1)
        at = int(np.argmin(halves))
        if halves[at] < best:
            best, axis = float(halves[at]), axes[at]
        axes = axis + width * _directions()[::10]
        axes /= np.linalg.norm(axes, axis=1)[:, None]
        width /= 3
    return float(min(np.degrees(2 * best), 360.0))


@lru_cache(maxsize=1)
def _directions() -> Float[np.ndarray, "m 3"]:
    """Unit vectors spread evenly: Fibonacci's spiral on the sphere."""
    steps = np.arange(_DIRECTIONS)
    z = 1 - (2 * steps + 1) / _DIRECTIONS
    turn = np.pi * (3 - np.sqrt(5)) * steps
    radius = np.sqrt(1 - z * z)
    return np.column_stack([radius * np.cos(turn), radius * np.sin(turn), z])
