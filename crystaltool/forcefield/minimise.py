"""Relax cell and positions together within one space group: L-BFGS on the symmetric coordinates.

The two-loop recursion is Nocedal and Wright, Numerical Optimization (2006), algorithm 7.4. Each step is shortened to
`MAX_MOVE`, and halved or better (quadratic interpolation) until the energy falls (Armijo's rule), so a bad guess of
the curvature costs an evaluation, not the structure.

Calls of CHGNet to 0.05 eV/A and 0.1 GPa on 24 MP-20 structures moved by up to 0.4 A (`benchmarks/relax.py`, seed 0),
mean and most: this 11.4 and 39, dense BFGS without line search 12.2 and 29, FIRE 49.4 and 80; all three converge 24 of
24, to the lowest of their three energies within 1 meV/atom in 24, 24 and 23.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from crystaltool.arrays import Float
from crystaltool.asymunit import AsymUnit
from crystaltool.crystal import Crystal
from crystaltool.defaults import MAX_FORCE, MAX_STEPS
from crystaltool.errors import InputError, UsageError
from crystaltool.forcefield.interface import Evaluation, ForceField
from crystaltool.forcefield.symmetric_coordinates import SymmetricCoordinates

EV_PER_CUBIC_ANGSTROM_IN_GPA = 160.21766208
"""1 eV/A^3 in GPa (CODATA 2014 elementary charge; the digits that differ from 2018 are beyond use here)."""

MAX_STRESS = 0.1 / EV_PER_CUBIC_ANGSTROM_IN_GPA
"""eV/A^3 (0.1 GPa): with a bulk modulus of 100 GPa the lattice constants are then within 0.03 % of their end."""

MAX_VOLUME_FACTOR = 2.0
"""A cell that has doubled or halved is leaving for a gas or a collapse outside the potential's training."""

MIN_DISTANCE = 0.5
"""Angstrom: nearer atoms are no structure (CDVAE's validity rule), and machine-learned potentials, never trained there,
may pull them together without end."""

MAX_MOVE = 0.2
"""Angstrom: longest move of an atom in one step, and of the cell (strain times the atomic distance)."""

FIRST_CURVATURE = 10.0
"""eV/A^2: the guess before any step has been taken; a bond's stiffness, and a bulk modulus times a volume per atom."""

MEMORY = 20
"""Pairs of steps and gradient changes kept."""

SUFFICIENT_DECREASE = 1e-4
"""Armijo's constant (Nocedal and Wright, section 3.1)."""

ENERGY_NOISE = 1e-6
"""Relative rounding of a float32 energy, within which a step may climb."""

MAX_SHORTENINGS = 6
"""Shorter steps tried before the memory is dropped for steepest descent, and then before giving up."""


@dataclass(frozen=True)
class Criteria:
    """When a structure is relaxed, and when to give up.

    Args:
        max_force: largest force on an atom at the end, eV/A.
        max_steps: evaluations of the force field.
        fixed_cell: keep the lattice as it is and ignore the stress.
        max_stress: largest component of the stress at the end, eV/A^3.

    Raises:
        UsageError: if a limit is out of range.
    """

    max_force: float = MAX_FORCE
    max_steps: int = MAX_STEPS
    fixed_cell: bool = False
    max_stress: float = MAX_STRESS

    def __post_init__(self) -> None:
        if not self.max_force > 0:
            raise UsageError(f"largest force is {self.max_force:g} eV/A, expected a positive number")
        if self.max_steps < 0:
            raise UsageError(f"number of steps is {self.max_steps}, expected 0 or more")

    @property
    def stress(self) -> float:
        """The stress to stay below, infinite for a fixed cell."""
        return float("inf") if self.fixed_cell else self.max_stress


@dataclass(frozen=True)
class RelaxationEnd:
    """How a relaxation ended.

    Args:
        energy_per_atom: eV/atom.
        max_force: largest force on an atom, eV/A.
        max_stress: largest component of the stress, eV/A^3.
        steps: evaluations of the force field.
        converged: forces, and stress unless the cell was fixed, are below their limits.
        reason: why not, empty when converged.
    """

    energy_per_atom: float
    max_force: float
    max_stress: float
    steps: int
    converged: bool
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Relaxation(RelaxationEnd):
    """The end of a relaxation within a group; the first evaluation is not counted.

    Args:
        unit: the relaxed asymmetric unit, same group and positions.
    """

    unit: AsymUnit


def minimise(
    unit: AsymUnit,
    force_field: ForceField,
    max_force: float = MAX_FORCE,
    max_steps: int = MAX_STEPS,
    fixed_cell: bool = False,
    max_stress: float = MAX_STRESS,
) -> Relaxation:
    """Move the free coordinates of a structure to a minimum of the energy; its group is kept exactly.

    Args:
        unit: the structure; group 1 for no symmetry at all.
        force_field: evaluated on the primitive cell.
        max_force: largest force on an atom at the end, eV/A.
        max_steps: evaluations of the force field after the first.
        fixed_cell: keep the lattice as it is and ignore the stress.
        max_stress: largest component of the stress at the end, eV/A^3.

    Raises:
        InputError: if the force field cannot describe the starting structure, or atoms coincide in it.
        UsageError: if a limit is out of range.
    """
    criteria = Criteria(max_force, max_steps, fixed_cell, max_stress)
    return _Descent(SymmetricCoordinates(unit, fixed_cell), force_field, criteria).run()


class _Descent:
    """One run: the point reached, and the evaluations spent."""

    def __init__(self, coordinates: SymmetricCoordinates, force_field: ForceField, criteria: Criteria) -> None:
        self.coordinates, self.force_field, self.criteria = coordinates, force_field, criteria
        self.q = np.zeros(coordinates.n_free)
        crystal = coordinates.crystal(self.q)
        if collapsed(crystal):
            raise InputError(f"two atoms are closer than {MIN_DISTANCE:g} A, not a structure to relax")
        self.start_volume = crystal.volume
        self.found = force_field.evaluate(crystal)
        if not _finite(self.found):
            raise InputError(f"{force_field.name} gives no finite energy and forces for this structure")
        self.gradient = coordinates.gradient(self.q, self.found)
        self.pairs: deque[tuple[np.ndarray, np.ndarray]] = deque(maxlen=MEMORY)
        self.steps = 0

    def run(self) -> Relaxation:
        reason = ""
        while not (converged := self._at_rest()) and not reason:
            reason = self._advance()
        return Relaxation(
            self.found.energy / self.coordinates.n_atoms,
            self.found.max_force,
            self.found.max_stress,
            self.steps,
            converged,
            "" if converged else reason,
            unit=self.coordinates.unit(self.q),
        )

    def _at_rest(self) -> bool:
        return self.found.max_force < self.criteria.max_force and self.found.max_stress < self.criteria.stress

    def _advance(self) -> str:
        """One accepted step; returns why there was none."""
        step = -two_loop(self.gradient, self.pairs)
        for attempt in range(2):
            if attempt or step @ self.gradient >= 0:
                self.pairs.clear()
                step = -self.gradient / FIRST_CURVATURE
            step = step * min(1.0, MAX_MOVE / max(self.coordinates.largest_move(step), 1e-12))
            for _ in range(MAX_SHORTENINGS):
                if self.steps >= self.criteria.max_steps:
                    return f"not converged in {self.criteria.max_steps} steps"
                slope = float(step @ self.gradient)
                trial = self._evaluate(self.q + step)
                if isinstance(trial, str):
                    return trial
                climb = trial.energy - self.found.energy
                noise = ENERGY_NOISE * abs(self.found.energy)
                if climb <= SUFFICIENT_DECREASE * slope + noise:
                    self._accept(step, trial)
                    return ""
                # Minimum of the parabola through both energies and the slope, kept between a tenth and a half.
                step = step * float(np.clip(-slope / (2 * (climb - slope)), 0.1, 0.5))
        return "no step lowers the energy"

    def _evaluate(self, q: Float[np.ndarray, " n_free"]) -> Evaluation | str:
        self.steps += 1
        try:
            crystal = self.coordinates.crystal(q)
            factor = crystal.volume / self.start_volume
            if not 1 / MAX_VOLUME_FACTOR < factor < MAX_VOLUME_FACTOR:
                return f"stopped, the cell runs away: volume {factor:.2f} times that of the start"
            if collapsed(crystal):
                return f"stopped, atoms come closer than {MIN_DISTANCE:g} A"
            found = self.force_field.evaluate(crystal)
        except InputError as error:
            return f"stopped, {error}"
        return found if _finite(found) else f"stopped, {self.force_field.name} gives no finite energy and forces"

    def _accept(self, step: Float[np.ndarray, " n_free"], found: Evaluation) -> None:
        self.q = self.q + step
        gradient = self.coordinates.gradient(self.q, found)
        change = gradient - self.gradient
        if step @ change > 1e-10 * np.linalg.norm(step) * np.linalg.norm(change):
            self.pairs.append((step, change))
        self.found, self.gradient = found, gradient


def _finite(found: Evaluation) -> bool:
    return bool(np.isfinite(found.energy) and np.isfinite(found.forces).all() and np.isfinite(found.stress).all())


def collapsed(crystal: Crystal) -> bool:
    """Whether two atoms of the cell are nearer than `MIN_DISTANCE`.

    Rounding the fractional difference finds the nearest image of any pair that close, if the cell's heights exceed
    2 `MIN_DISTANCE`.
    """
    for atom in range(1, crystal.n_atoms):
        apart = crystal.frac_coords[:atom] - crystal.frac_coords[atom]
        vectors = (apart - np.round(apart)) @ crystal.lattice
        if (np.einsum("ai,ai->a", vectors, vectors) < MIN_DISTANCE**2).any():
            return True
    return False


def two_loop(
    gradient: Float[np.ndarray, " n_free"], pairs: deque[tuple[np.ndarray, np.ndarray]]
) -> Float[np.ndarray, " n_free"]:
    """Inverse Hessian times gradient from (step, change of gradient) pairs, oldest first."""
    direction, factors = gradient.copy(), []
    for step, change in reversed(pairs):
        factor = (step @ direction) / (step @ change)
        direction -= factor * change
        factors.append(factor)
    if pairs:
        step, change = pairs[-1]
        direction *= (step @ change) / (change @ change)
    else:
        direction /= FIRST_CURVATURE
    for (step, change), factor in zip(pairs, reversed(factors), strict=True):
        direction += (factor - (change @ direction) / (step @ change)) * step
    return direction
