"""A pool of placements of one molecule in an empty framework, and what Widom's method makes of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import qmc

from crystaltool.arrays import Float
from crystaltool.crystal import Crystal
from crystaltool.measure.adsorption.gases import Gas
from crystaltool.measure.adsorption.surroundings import Surroundings

VOXEL = 0.6
"""Side of the small cells in which the weight of placements is gathered, A."""

POOL_SIZE, ROUNDS = 2**16, 5
"""Placements of a round, and rounds at most after the even one."""

POOL_ERROR = 0.01
"""Relative standard error of Widom's mean at which no further round is drawn."""


NO_ROOM = 1e-12
"""A mean Boltzmann factor that means that there is no room."""


@dataclass(frozen=True)
class Pool:
    """Placements of one molecule in the unit cell.

    Args:
        gas: the molecule.
        temperature: K.
        lattice: rows a, b, c in A. frac_coords: of the centre; shape (n, 3). axes: unit vectors; shape (n, 3).
        energies: in the empty framework in K, infinite where there is no room; shape (n,).
        weights: Boltzmann factors of the energies over the density the placements were drawn with (1 where they
            fill the cell evenly); shape (n,).
    """

    gas: Gas
    temperature: float
    lattice: Float[np.ndarray, "3 3"]
    frac_coords: Float[np.ndarray, "n 3"]
    axes: Float[np.ndarray, "n 3"]
    energies: Float[np.ndarray, " n"]
    weights: Float[np.ndarray, " n"]

    @property
    def mean_weight(self) -> float:
        """Widom's mean: 1 in an empty cell."""
        return float(self.weights.mean())

    @property
    def relative_error(self) -> float:
        """Standard error of the mean weight over it, as if placements were independent."""
        mean = self.mean_weight
        return float(self.weights.std() / np.sqrt(len(self.weights)) / mean) if mean > 0 else 1.0

    @property
    def mean_energy(self) -> tuple[float, float]:
        """Mean energy in K of a lone molecule in the framework, and its standard error; nan without room."""
        if self.mean_weight < NO_ROOM:
            return float("nan"), float("nan")
        used = self.weights > 0
        weights, energies = self.weights[used] / self.weights.sum(), self.energies[used]
        mean = float(weights @ energies)
        return mean, float(np.sqrt((weights**2) @ (energies - mean) ** 2))


@dataclass(frozen=True)
class PoolEffort:
    """How many placements: `size` spread evenly, then up to `rounds` more times as many where they weigh most, until
    the relative error of the mean weight is `error`."""

    error: float = POOL_ERROR
    size: int = POOL_SIZE
    rounds: int = ROUNDS


USUAL = PoolEffort()


def make_pool(
    crystal: Crystal,
    gas: Gas,
    temperature: float,
    charges: Float[np.ndarray, " n_atoms"] | None = None,
    *,
    seed: int | tuple[int, ...] = 0,
    effort: PoolEffort = USUAL,
) -> Pool:
    """Placements of a molecule, as many as `effort` says.

    Each round draws small cells by the root mean square weight found in them so far (a tenth of the draws stay even),
    and all placements are weighed by the density of the whole mixture (adaptive importance sampling, balance
    heuristic).

    Args:
        crystal: the framework. charges: of its atoms in e, None for none. temperature: K.

    Raises:
        InputError: an element without Lennard-Jones parameters.
    """
    rng, size, rounds = np.random.default_rng(seed), effort.size, effort.rounds
    surroundings = Surroundings(crystal, gas, temperature, charges)
    grid = np.ceil(np.linalg.norm(crystal.lattice, axis=1) / VOXEL).astype(int)
    density = np.ones(grid.prod())  # of the whole mixture, in units of the even one
    frac_coords, axes = qmc.Sobol(3, rng=rng).random(size), directions(rng, size)
    energies = surroundings.energies(frac_coords, axes)
    for done in range(1, rounds + 2):
        voxels = np.ravel_multi_index((frac_coords % 1 * grid).astype(int).clip(max=grid - 1).T, grid)
        factors = np.exp(-np.clip(energies / temperature, -300, 300)) * (energies < np.inf)
        pool = Pool(gas, temperature, crystal.lattice, frac_coords, axes, energies, factors / density[voxels])
        if pool.relative_error < effort.error or done > rounds or not factors.any():
            break
        squares = np.bincount(voxels, factors * pool.weights, len(density))
        share = np.sqrt(_smoothed(squares.reshape(grid)).ravel())
        share = 0.1 / len(density) + 0.9 * share / share.sum()
        drawn = np.array(np.unravel_index(rng.choice(len(density), size, p=share), grid)).T
        more, more_axes = (drawn + rng.random((size, 3))) / grid, directions(rng, size)
        frac_coords, axes = np.concatenate([frac_coords, more]), np.concatenate([axes, more_axes])
        energies = np.concatenate([energies, surroundings.energies(more, more_axes)])
        density = (density * done + share * len(density)) / (done + 1)
    return pool


def _smoothed(grid: np.ndarray) -> np.ndarray:
    """Mean over the cells around each, across the faces of the unit cell."""
    for axis in range(3):
        grid = (np.roll(grid, 1, axis) + 2 * grid + np.roll(grid, -1, axis)) / 4
    return grid


def directions(rng: np.random.Generator, n: int) -> Float[np.ndarray, "n 3"]:
    """Unit vectors, evenly over the sphere."""
    vectors = rng.normal(size=(n, 3))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
