"""A small triclinic framework with every kind of atom, and directions."""

from __future__ import annotations

import numpy as np

from crystaltool.crystal import Crystal

LATTICE = np.array([[9.0, 0.0, 0.0], [2.0, 10.0, 0.0], [-1.5, 3.0, 11.0]])
CRYSTAL = Crystal(
    LATTICE,
    np.array([[0.0, 0.0, 0.0], [0.2, -0.1, 0.05], [0.9, 1.1, 0.1], [0.1, 0.1, 0.9]]),
    np.array([30, 8, 6, 1]),
    "small",
)
CHARGES = np.array([0.9, -0.8, -0.3, 0.2])


def directions(rng, n):
    vectors = rng.normal(size=(n, 3))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def pair_energy(squares, epsilon, sigma):
    powers = (sigma**2 / squares) ** 3
    return 4 * epsilon * (powers**2 - powers)
