"""A Lennard-Jones force field: the analytic oracle for the minimiser. Lattice sums are known for it."""

from __future__ import annotations

import itertools

import numpy as np

from crystaltool.crystal import Crystal
from crystaltool.forcefield.interface import Evaluation


class LennardJones:
    """V(r) = 4 epsilon ((sigma/r)^12 - (sigma/r)^6), one species.

    The cutoff is plain, or with `smooth` energy and force are shifted to vanish there.
    """

    name = "lennard-jones"
    version = "test double"

    def __init__(self, epsilon: float = 0.1, sigma: float = 2.5, cutoff: float = 12.5, smooth: bool = False) -> None:
        self.epsilon, self.sigma, self.cutoff = epsilon, sigma, cutoff
        self.n_calls = 0
        sixth = (sigma / cutoff) ** 6
        self.shift = 4 * epsilon * (sixth**2 - sixth) if smooth else 0.0
        self.slope = 24 * epsilon * (sixth - 2 * sixth**2) / cutoff if smooth else 0.0

    def evaluate(self, crystal: Crystal) -> Evaluation:
        self.n_calls += 1
        heights = 1 / np.linalg.norm(np.linalg.inv(crystal.lattice), axis=0)
        reach = [range(-n, n + 1) for n in np.ceil(self.cutoff / heights).astype(int) + 1]
        images = np.array(list(itertools.product(*reach)), dtype=float)
        wrapped = crystal.frac_coords % 1.0
        energy, forces, virial = 0.0, np.zeros((crystal.n_atoms, 3)), np.zeros((3, 3))
        for i in range(crystal.n_atoms):
            vectors = (wrapped[None] + images[:, None] - wrapped[i]).reshape(-1, 3) @ crystal.lattice
            squares = np.einsum("ni,ni->n", vectors, vectors)
            near = (squares > 1e-12) & (squares < self.cutoff**2)
            vectors, squares = vectors[near], squares[near]
            sixth = (self.sigma**2 / squares) ** 3
            distances = np.sqrt(squares)
            pair = 4 * self.epsilon * (sixth**2 - sixth) - self.shift - self.slope * (distances - self.cutoff)
            energy += 0.5 * float(pair.sum())
            by_distance = 24 * self.epsilon * (sixth - 2 * sixth**2) / squares - self.slope / distances  # (dV/dr) / r
            forces[i] = (by_distance[:, None] * vectors).sum(axis=0)
            virial += 0.5 * np.einsum("n,ni,nj->ij", by_distance, vectors, vectors)
        return Evaluation(energy, forces, virial / crystal.volume)
