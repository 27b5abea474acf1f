"""What every force field gives: energy, forces and stress of one crystal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from crystaltool.arrays import Float
from crystaltool.crystal import Crystal


@dataclass(frozen=True)
class Evaluation:
    """Energy of one cell and its derivatives.

    Args:
        energy: eV per cell.
        forces: -dE/dr, eV/A; shape (n_atoms, 3).
        stress: 1/V dE/d(strain), eV/A^3, symmetric, positive under tension; shape (3, 3). The strain e takes
            the rows of the lattice to L (1 + e), atoms at fixed fractional coordinates.
    """

    energy: float
    forces: Float[np.ndarray, "n_atoms 3"]
    stress: Float[np.ndarray, "3 3"]

    @property
    def max_force(self) -> float:
        """Length of the largest force in eV/A."""
        return float(np.linalg.norm(self.forces, axis=1).max())

    @property
    def max_stress(self) -> float:
        """Largest absolute component of the stress in eV/A^3."""
        return float(np.abs(self.stress).max())


@runtime_checkable
class ForceField(Protocol):
    """A potential energy surface.

    `name` is the name on the command line, `version` says which code and which parameters, for the provenance line.
    """

    name: str
    version: str

    def evaluate(self, crystal: Crystal) -> Evaluation:
        """Energy, forces and stress.

        Raises:
            InputError: if the crystal is outside what the force field describes (element, isolated atom, size).
        """
        ...


def single_point(force_field: ForceField, crystal: Crystal) -> float:
    """Energy in eV per cell, without derivatives where the force field has a cheaper way (a method `energy`).

    Raises:
        InputError: as `ForceField.evaluate`.
    """
    energy = getattr(force_field, "energy", None)
    return float(energy(crystal) if energy is not None else force_field.evaluate(crystal).energy)
