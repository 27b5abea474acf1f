"""The energy between molecules of one gas: their Lennard-Jones sites and charges, cut at 12 A."""

from __future__ import annotations

import numpy as np

from crystaltool.measure.adsorption.gases import COULOMB, Gas
from crystaltool.measure.adsorption.surroundings import CUTOFF


class Pairs:
    """The pairs of sites of two molecules of a gas.

    Args:
        gas: the molecule.
        temperature: K, for the quantum correction.
    """

    def __init__(self, gas: Gas, temperature: float) -> None:
        epsilon, sigma, charge, place = gas.columns
        n = len(epsilon)
        one, other = np.repeat(np.arange(n), n), np.tile(np.arange(n), n)
        depths, products = 4 * np.sqrt(epsilon[one] * epsilon[other]), COULOMB * charge[one] * charge[other]
        used = (depths > 0) | (products != 0)
        one, other = one[used], other[used]
        self.places, self.other_places = place[one], place[other]
        self.depths, self.charges = depths[used], products[used]
        self.squares = ((sigma[one] + sigma[other]) / 2) ** 2
        self.spread = gas.spread(temperature, partners=2)

    def energies(
        self, centre: np.ndarray, axis: np.ndarray, centres: np.ndarray, axes: np.ndarray, box: np.ndarray
    ) -> np.ndarray:
        """Energy between a molecule and each of others in K.

        Args:
            centre, centres: fractional in the box, shapes (..., 3) and (..., n, 3). axis, axes: unit vectors, alike.
            box: rows in A, twice the cutoff wide.

        Returns:
            shape (..., n). Charges are cut by whole molecules (between centres), so that no molecule is half there.
        """
        difference = centres - centre[..., None, :]
        between = (difference - np.round(difference)) @ box
        axis = axis[..., None, :]
        apart = (between**2).sum(axis=-1)
        near = apart < CUTOFF**2
        along, other_along, both = (between * axis).sum(-1), (between * axes).sum(-1), (axes * axis).sum(-1)
        energies = np.zeros(apart.shape)
        for place, other, depth, diameter, charge in zip(
            self.places, self.other_places, self.depths, self.squares, self.charges, strict=True
        ):
            squares = apart + (place**2 + other**2)
            if place or other:
                squares += 2 * (other * other_along - place * along - (place * other) * both)
            np.maximum(squares, 0.5, out=squares)
            if depth:
                ratios = diameter / squares
                powers = ratios * ratios * ratios
                terms = powers * powers - powers
                if self.spread:
                    terms += self.spread * (132 * powers * powers - 30 * powers) / squares
                energies += depth * terms * (squares < CUTOFF**2)
            if charge:
                energies += charge / np.sqrt(squares) * near
        return energies
