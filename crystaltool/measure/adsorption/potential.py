"""The electrostatic potential of a framework's point charges, on a grid that is interpolated.

Every charge is a narrow Gaussian on the grid, Poisson's equation is solved in reciprocal space, and cubic splines give
the potential between the points. Beyond 2 A a Gaussian of this width differs from a point by 2e-5 of its potential; no
site of a gas comes nearer with any weight. The mean potential of the cell is zero, as in Ewald's sum.
"""

from __future__ import annotations

import numpy as np
from scipy.fft import irfftn, next_fast_len, rfftn
from scipy.ndimage import map_coordinates, spline_filter

from crystaltool.arrays import Float
from crystaltool.crystal import Crystal

WIDTH = 1.5
"""alpha of exp(-(alpha r)^2), 1/A."""

SPACING = 0.3
"""A: the sampled Gaussians are then exact to 1e-5."""

REACH = 2.3
"""A: exp(-(1.5 * 2.3)^2) is 7e-6."""


class Potential:
    """The potential of charges in a periodic cell.

    Args:
        crystal: every atom of the cell.
        charges: of the atoms, in e; their sum is taken off evenly. shape (n_atoms,).
    """

    def __init__(self, crystal: Crystal, charges: Float[np.ndarray, " n_atoms"]) -> None:
        lattice = crystal.lattice
        charges = charges - charges.mean()
        widths = 1 / np.linalg.norm(np.linalg.inv(lattice), axis=0)
        lengths = np.linalg.norm(lattice, axis=1)
        self.shape = tuple(next_fast_len(int(np.ceil(length / SPACING)), real=True) for length in lengths)
        density = _density(crystal, charges, np.array(self.shape), widths)
        waves = [np.fft.fftfreq(n, 1 / n) for n in self.shape[:2]] + [np.fft.rfftfreq(self.shape[2], 1 / self.shape[2])]
        reciprocal = 2 * np.pi * np.linalg.inv(lattice).T
        squares = np.zeros((self.shape[0], self.shape[1], self.shape[2] // 2 + 1))
        for axis in range(3):
            part = [
                np.reshape(h, [-1 if i == d else 1 for i in range(3)]) * reciprocal[d, axis]
                for d, h in enumerate(waves)
            ]
            squares += (part[0] + part[1] + part[2]) ** 2
        squares[0, 0, 0] = np.inf
        values = irfftn(rfftn(density) * (4 * np.pi / squares), s=self.shape)
        self._splines = spline_filter(values, order=3, mode="grid-wrap", output=np.float32)

    def __call__(self, frac_coords: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
        """The potential at fractional coordinates in e/A."""
        places = (frac_coords % 1.0 * np.array(self.shape)).T
        return map_coordinates(self._splines, places, order=3, mode="grid-wrap", prefilter=False).astype(float)


def _density(
    crystal: Crystal, charges: Float[np.ndarray, " n_atoms"], shape: np.ndarray, widths: Float[np.ndarray, "3"]
) -> np.ndarray:
    """Gaussians of the charges on the grid in e/A^3, each with exactly its charge."""
    density = np.zeros(tuple(shape))
    steps = np.ceil(REACH / widths * shape).astype(int)
    around = np.stack(np.meshgrid(*[np.arange(-n, n + 1) for n in steps], indexing="ij"), axis=-1).reshape(-1, 3)
    per_point = float(np.prod(shape)) / crystal.volume
    for frac, charge in zip(crystal.frac_coords % 1.0, charges, strict=True):
        base = np.round(frac * shape).astype(int)
        vectors = ((base + around) / shape - frac) @ crystal.lattice
        squares = (vectors**2).sum(axis=1)
        near = squares < REACH**2
        weights = np.exp(-(WIDTH**2) * squares[near])
        cells = np.ravel_multi_index(((base + around[near]) % shape).T, tuple(shape))
        np.add.at(density.reshape(-1), cells, charge * per_point * weights / weights.sum())
    return density
