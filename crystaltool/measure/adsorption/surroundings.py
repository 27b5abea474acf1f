"""The energy of one molecule in an empty framework: Lennard-Jones terms of all atoms in reach, and the potential."""

from __future__ import annotations

import numpy as np
from scipy.spatial import KDTree

from crystaltool.arrays import Float
from crystaltool.crystal import Crystal
from crystaltool.measure.adsorption.gases import COULOMB, Gas
from crystaltool.measure.adsorption.parameters import framework_parameters
from crystaltool.measure.adsorption.potential import Potential

CUTOFF = 12.0
"""A; truncated, no tail correction."""

CLASH = 2.0
"""A Lennard-Jones site this near to an atom of the framework, in A, weighs nothing."""

CHARGED_CLASH = 1.4
"""The same where atoms have charges, which draw a molecule nearer to a bare metal; A."""

BIN = 5.0
CHUNK = 2000


def replicas(lattice: Float[np.ndarray, "3 3"], cutoff: float = CUTOFF) -> np.ndarray:
    """Repeats along a, b, c that make every width of the box twice the cutoff at least; shape (3,)."""
    widths = 1 / np.linalg.norm(np.linalg.inv(lattice), axis=0)
    return np.ceil(2 * cutoff / widths - 1e-9).astype(int)


class Surroundings:
    """The atoms of a crystal and of its images within reach of a molecule in the cell.

    Args:
        crystal: every atom of the cell.
        gas: the molecule.
        temperature: K, for the quantum correction.
        charges: of the atoms in e, None for none; shape (n_atoms,).

    Raises:
        InputError: an element without Lennard-Jones parameters.
    """

    def __init__(
        self, crystal: Crystal, gas: Gas, temperature: float, charges: Float[np.ndarray, " n_atoms"] | None = None
    ) -> None:
        self.lattice, self.gas = crystal.lattice, gas
        self.spread = gas.spread(temperature)
        parameters = framework_parameters(crystal.numbers)
        reach = (CUTOFF + gas.reach) / (1 / np.linalg.norm(np.linalg.inv(crystal.lattice), axis=0))
        steps = [np.arange(-int(np.ceil(r)), int(np.ceil(r)) + 1) for r in reach]
        shifts = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).reshape(-1, 1, 3)
        images = crystal.frac_coords % 1 + shifts
        near = ((images > -reach - 1e-9) & (images < 1 + reach + 1e-9)).all(axis=-1)
        self.coords = images[near] @ crystal.lattice
        self.epsilon, self.sigma = np.broadcast_to(parameters, (len(shifts), *parameters.shape))[near].T
        self.tree = KDTree(self.coords)
        charged = charges is not None and bool(np.any(gas.columns[2]))
        self.potential = Potential(crystal, charges) if charges is not None and charged else None
        self.clash = CHARGED_CLASH if charged else CLASH

    def energies(self, frac_coords: Float[np.ndarray, "n 3"], axes: Float[np.ndarray, "n 3"]) -> np.ndarray:
        """Energy of each placement in K, infinite where a site clashes; shape (n,).

        Args:
            frac_coords: of the centre. axes: unit vectors.
        """
        centres = frac_coords @ self.lattice
        free = np.arange(len(centres))
        epsilon, _, charges, places = self.gas.columns
        for place in sorted(places[epsilon > 0].tolist(), key=abs):
            distance = self.tree.query(centres[free] + place * axes[free], distance_upper_bound=self.clash)[0]
            free = free[distance > self.clash]
        found = np.full(len(centres), np.inf)
        bins = np.floor(centres[free] / BIN).astype(int)
        order = np.lexsort(bins.T)
        edges = np.flatnonzero(np.diff(bins[order], axis=0).any(axis=1)) + 1
        for group in np.split(free[order], edges) if len(free) else []:
            found[group] = self._group_energies(centres[group], axes[group])
        if self.potential is not None:
            inverse = np.linalg.inv(self.lattice)
            for charge, place in zip(charges.tolist(), places.tolist(), strict=True):
                sites = frac_coords[free] + place * axes[free] @ inverse
                found[free] += COULOMB * charge * self.potential(sites)
        return found

    def _group_energies(self, centres: Float[np.ndarray, "n 3"], axes: Float[np.ndarray, "n 3"]) -> np.ndarray:
        """Lennard-Jones energies of placements near each other."""
        middle = (centres.min(axis=0) + centres.max(axis=0)) / 2
        radius = np.linalg.norm(centres - middle, axis=1).max() + self.gas.reach + CUTOFF
        near = self.tree.query_ball_point(middle, radius)
        atoms = (self.coords[near] - middle).astype(np.float32)
        energies = np.zeros(len(centres))
        for epsilon, sigma, _, place in zip(*self.gas.columns, strict=True):
            if epsilon == 0:
                continue
            depth = (4 * np.sqrt(self.epsilon[near] * epsilon)).astype(np.float32)
            squares = (((self.sigma[near] + sigma) / 2) ** 2).astype(np.float32)
            sites = (centres - middle + place * axes).astype(np.float32)
            for start in range(0, len(sites), CHUNK):
                part = sites[start : start + CHUNK]
                distances = (part**2).sum(axis=1)[:, None] + (atoms**2).sum(axis=1) - 2 * part @ atoms.T
                ratios = squares / np.maximum(distances, 0.5)
                powers = ratios * ratios * ratios
                terms = powers * powers - powers
                if self.spread:
                    terms += np.float32(self.spread) * (132 * powers * powers - 30 * powers) / distances
                terms *= distances < CUTOFF**2
                energies[start : start + CHUNK] += terms @ depth
        return energies
