"""How much of the sphere around a metal its neighbours leave open."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from crystaltool.arrays import Float
from crystaltool.checks.mof.coordination import Coordination
from crystaltool.checks.mof.elements import VDW_RADIUS

OPEN_ANGLE = 150.0
"""Degrees: a metal is exposed if its neighbours fit into a cone with the metal at its tip that leaves more than this
of 360 (MOFChecker 2.0)."""

EXPOSED_COORDINATION = 6
"""A metal with as many neighbours is never called exposed (MOFChecker 2.0)."""

_DIRECTIONS = 4000
_REFINEMENTS = 6


def exposed_metal(coordination: Coordination) -> dict[int, str]:
    """Metals with fewer than six neighbours, all on one side."""
    found: dict[int, str] = {}
    few = coordination.is_metal & (coordination.n_bonds < EXPOSED_COORDINATION) & (coordination.n_bonds > 0)
    for atom in np.flatnonzero(few).tolist():
        near = coordination.neighbours(atom)
        angle = 360.0 - cone_angle(near.vectors, VDW_RADIUS[coordination.numbers[near.atoms]])
        if angle > OPEN_ANGLE:
            found[atom] = f"{len(near)} neighbours, open angle {angle:.0f} degrees"
    return found


def cone_angle(vectors: Float[np.ndarray, "k 3"], radii: Float[np.ndarray, "k"]) -> float:
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
