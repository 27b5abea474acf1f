"""The share of a cell that is void to helium."""

from __future__ import annotations

from crystaltool.crystal import Crystal
from crystaltool.measure.adsorption.gases import HELIUM
from crystaltool.measure.adsorption.pool import PoolEffort, make_pool

TEMPERATURE = 298.0
"""K."""


def helium_void_fraction(crystal: Crystal, seed: int = 0) -> tuple[float, float]:
    """Widom's mean of helium at 298 K, as pore volumes are measured, and its standard error; pockets count.

    Raises:
        InputError: an element without Lennard-Jones parameters.
    """
    pool = make_pool(crystal, HELIUM, TEMPERATURE, seed=seed, effort=PoolEffort(rounds=0))
    return pool.mean_weight, pool.relative_error * pool.mean_weight
