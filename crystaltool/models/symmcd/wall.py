"""A soft wall between atoms: it pushes those of a sample apart that came too close, and leaves all others alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crystaltool.asymunit import AsymUnit
from crystaltool.checks.contacts import pair_vectors
from crystaltool.checks.distance import LEMAT_FACTOR, LEMAT_OFFSET
from crystaltool.checks.elements import LEMAT_RADIUS
from crystaltool.crystal import Crystal
from crystaltool.errors import InputError
from crystaltool.forcefield.interface import Evaluation
from crystaltool.forcefield.minimise import minimise

STIFFNESS = 10.0
"""eV/A^2, a bond's; only the ratio to the descent's first guess of the curvature matters."""

STEPS, FORCE = 60, 0.01
"""Evaluations at most, and the force (eV/A) at which the descent ends: a thousandth of an Angstrom."""


@dataclass
class Wall:
    """Energy k/2 (l - d)^2 for each pair nearer than l, `factor` times LeMat-GenBench's least distance.

    A `ForceField` (see `forcefield.interface`).
    """

    factor: float
    name: str = "wall"
    version: str = "1"

    def evaluate(self, crystal: Crystal) -> Evaluation:
        """Energy, forces and stress; atoms in one place feel nothing of each other."""
        halves = self.factor * LEMAT_FACTOR * (LEMAT_OFFSET / 2 + LEMAT_RADIUS[crystal.numbers])
        first, second, vectors = pair_vectors(crystal.lattice, crystal.frac_coords, 2 * float(halves.max()))
        distances = np.linalg.norm(vectors, axis=1)
        depths = halves[first] + halves[second] - distances
        near = (depths > 0) & (distances > 0)
        first, vectors, distances, depths = first[near], vectors[near], distances[near], depths[near]
        pushes = STIFFNESS * (depths / distances)[:, None] * vectors
        forces = np.zeros((len(crystal.numbers), 3))
        np.subtract.at(forces, first, pushes)
        stress = -0.5 * vectors.T @ pushes / crystal.volume  # every pair is there from both ends
        return Evaluation(0.25 * STIFFNESS * float(np.square(depths).sum()), forces, stress)


def separate(unit: AsymUnit, factor: float) -> AsymUnit:
    """The structure with atoms pushed apart to `factor` times LeMat-GenBench's least distances, within its group.

    Free coordinates and cell move together, as little as the push needs; what cannot be mended comes back as far as it
    came.
    """
    try:
        return minimise(unit, Wall(factor), max_force=FORCE, max_steps=STEPS, max_stress=FORCE / 100).unit
    except InputError:  # atoms so close that no direction leads apart
        return unit
