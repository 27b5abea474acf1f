"""The free coordinates of an asymmetric unit: what may move when a space group is kept exactly.

A structure of a given group has few freedoms: the free coordinates u of each orbit (its atoms are R_j u + t_j) and
the strains that commute with the point group. `SymmetricCoordinates` maps a vector of them to a primitive cell, and
the forces and stress there back to a gradient, by the chain rule. Every vector is a structure of the group, so
nothing needs symmetrising. Group 1 frees every atom and all six strains.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from crystaltool.arrays import Float, Int
from crystaltool.asymunit import AsymUnit
from crystaltool.crystal import Crystal
from crystaltool.errors import SymmetryError
from crystaltool.forcefield.interface import Evaluation
from crystaltool.symmetry import space_group

#: Rows of a primitive cell in terms of the conventional a, b, c, right-handed (Int. Tables A, table 5.1.3.1;
#: R: obverse setting on hexagonal axes).
PRIMITIVE_ROWS = {
    "P": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "A": [[1, 0, 0], [0, 1 / 2, -1 / 2], [0, 1 / 2, 1 / 2]],
    "B": [[1 / 2, 0, -1 / 2], [0, 1, 0], [1 / 2, 0, 1 / 2]],
    "C": [[1 / 2, 1 / 2, 0], [-1 / 2, 1 / 2, 0], [0, 0, 1]],
    "I": [[-1 / 2, 1 / 2, 1 / 2], [1 / 2, -1 / 2, 1 / 2], [1 / 2, 1 / 2, -1 / 2]],
    "F": [[0, 1 / 2, 1 / 2], [1 / 2, 0, 1 / 2], [1 / 2, 1 / 2, 0]],
    "R": [[2 / 3, 1 / 3, 1 / 3], [-1 / 3, 1 / 3, 1 / 3], [-1 / 3, -2 / 3, 1 / 3]],
}

#: Two affine maps or translations closer than this (fractional) are the same; all are multiples of 1/24.
SAME_TRANSLATION = 1e-6


class SymmetricCoordinates:
    """Vectors q of free coordinates around one asymmetric unit, q = 0.

    The components are scaled so that |q| is the length in Angstrom over all atoms of the primitive cell: for an
    orbit, of the displacements themselves; for the strain, of those at one atomic distance (the cube root of the
    volume per atom). That makes the curvature alike in all directions, about a bond's stiffness.

    Args:
        unit: the starting structure.
        fixed_cell: leave the strains out.
    """

    def __init__(self, unit: AsymUnit, fixed_cell: bool = False) -> None:
        group = space_group(unit.group)
        self.start = unit
        self._rows = np.array(PRIMITIVE_ROWS[group.centring])
        centring = group.translations[(group.rotations == np.eye(3)).all(axis=(1, 2))]
        members = [_members_of_primitive_cell(unit.group, int(position), centring) for position in unit.positions]
        self._counts = np.array([len(rotations) for rotations, _ in members])
        self._orbit = np.repeat(np.arange(len(members)), self._counts)
        self._rotations = np.concatenate([rotations for rotations, _ in members]).astype(float)
        self._translations = np.concatenate([translations for _, translations in members])
        self.n_atoms = len(self._orbit)
        self._steps = self._position_steps()
        strains = np.zeros((0, 3, 3)) if fixed_cell else invariant_strains(unit.lattice, group.rotations)
        atomic_distance = (abs(np.linalg.det(self._rows @ unit.lattice)) / self.n_atoms) ** (1 / 3)
        self._strains = strains / (np.sqrt(self.n_atoms) * atomic_distance)
        self.n_free = len(self._steps) + len(self._strains)

    def _position_steps(self) -> Float[np.ndarray, "n_position_freedoms n_orbits 3"]:
        """Change of all free coordinates u per unit of each component of q."""
        freedom = [space_group(self.start.group).positions[p].degrees_of_freedom for p in self.start.positions]
        steps = np.zeros((sum(freedom), len(freedom), 3))
        row = 0
        for orbit, n_free in enumerate(freedom):
            first = int(np.argmax(self._orbit == orbit))
            arms = self._rotations[first].T[:n_free] @ self.start.lattice  # displacement in A per unit of u, as rows
            scale = np.linalg.inv(np.linalg.cholesky(arms @ arms.T)) if n_free else np.zeros((0, 0))
            steps[row : row + n_free, orbit, :n_free] = scale / np.sqrt(self._counts[orbit])
            row += n_free
        return steps

    def unit(self, q: Float[np.ndarray, " n_free"]) -> AsymUnit:
        """The asymmetric unit at q, in the conventional cell."""
        n_positions = len(self._steps)
        free_coords = self.start.free_coords + np.tensordot(q[:n_positions], self._steps, axes=1)
        return replace(self.start, lattice=self.start.lattice @ self._deformation(q), free_coords=free_coords)

    def _deformation(self, q: Float[np.ndarray, " n_free"]) -> Float[np.ndarray, "3 3"]:
        return np.eye(3) + np.tensordot(q[len(self._steps) :], self._strains, axes=1)

    def crystal(self, q: Float[np.ndarray, " n_free"]) -> Crystal:
        """The primitive cell at q, all its atoms."""
        unit = self.unit(q)
        frac_coords = np.einsum("aij,aj->ai", self._rotations, unit.free_coords[self._orbit]) + self._translations
        return Crystal(
            self._rows @ unit.lattice, frac_coords @ np.linalg.inv(self._rows), unit.numbers[self._orbit], unit.name
        )

    def gradient(self, q: Float[np.ndarray, " n_free"], found: Evaluation) -> Float[np.ndarray, " n_free"]:
        """dE/dq in eV/A from the forces and the stress on `crystal(q)`.

        Positions: dE/du = sum_j R_j^T dE/dx_j. Cell: with L = L_0 F, dE = V sigma : F^-1 dF.
        """
        deformation = self._deformation(q)
        lattice = self.start.lattice @ deformation
        by_frac_coords = -found.forces @ lattice.T
        by_atom = np.einsum("aij,ai->aj", self._rotations, by_frac_coords)
        by_free = np.zeros_like(self.start.free_coords)
        np.add.at(by_free, self._orbit, by_atom)
        volume = abs(np.linalg.det(self._rows @ lattice))
        by_deformation = volume * np.linalg.solve(deformation, found.stress)
        return np.concatenate(
            [np.tensordot(self._steps, by_free, axes=2), np.tensordot(self._strains, by_deformation, axes=2)]
        )

    def largest_move(self, step: Float[np.ndarray, " n_free"]) -> float:
        """The larger of the longest displacement of an atom and the strain's at one atomic distance, in Angstrom."""
        n_positions = len(self._steps)
        free = np.tensordot(step[:n_positions], self._steps, axes=1)
        moves = np.einsum("aij,aj->ai", self._rotations, free[self._orbit]) @ self.start.lattice
        strain = step[n_positions:] / np.sqrt(self.n_atoms)
        return max(float(np.linalg.norm(moves, axis=1).max()), float(np.linalg.norm(strain)))


def _members_of_primitive_cell(
    number: int, position_index: int, centring: Float[np.ndarray, "n_centrings 3"]
) -> tuple[Int[np.ndarray, "n 3 3"], Float[np.ndarray, "n 3"]]:
    """The R_j, t_j of a Wyckoff position, one of each set that differs by centring translations."""
    position = space_group(number).positions[position_index]
    kept: list[int] = []
    for j in range(position.multiplicity):
        same_rotation = [k for k in kept if (position.rotations[k] == position.rotations[j]).all()]
        apart = position.translations[j] - position.translations[same_rotation]
        offsets = apart[:, None] - centring
        if not (np.abs(offsets - np.round(offsets)) < SAME_TRANSLATION).all(axis=2).any():
            kept.append(j)
    if len(kept) * len(centring) != position.multiplicity:
        raise SymmetryError(
            f"position {position.letter} of group {number}: {len(kept)} atoms in the primitive cell, "
            f"expected {position.multiplicity} / {len(centring)}"
        )
    return position.rotations[kept], position.translations[kept]


def invariant_strains(
    lattice: Float[np.ndarray, "3 3"], rotations: Int[np.ndarray, "n_ops 3 3"]
) -> Float[np.ndarray, "n_strains 3 3"]:
    """Orthonormal symmetric Cartesian strains that commute with every rotation: 1 (cubic) to 6 (triclinic)."""
    # Column vectors: r = L^T x, so the rotation x -> R x is r -> L^T R L^-T r.
    cartesian = lattice.T @ rotations @ np.linalg.inv(lattice.T)
    pairs = [(i, j) for i in range(3) for j in range(i, 3)]
    basis = np.zeros((6, 3, 3))
    for k, (i, j) in enumerate(pairs):
        basis[k, i, j] = basis[k, j, i] = 1.0 if i == j else np.sqrt(0.5)
    averaged = np.einsum("oji,kjl,olm->kim", cartesian, basis, cartesian) / len(rotations)
    projector = np.tensordot(averaged, basis, axes=((1, 2), (1, 2)))
    eigenvalues, vectors = np.linalg.eigh((projector + projector.T) / 2)
    return np.tensordot(vectors[:, eigenvalues > 0.5].T, basis, axes=1)
