"""Pools and chains: importance sampling keeps the mean; the ideal gas, the virial equation, heats of both."""

from __future__ import annotations

import numpy as np
import pytest

from crystaltool.measure.adsorption.chains import simulate
from crystaltool.measure.adsorption.gases import BOLTZMANN, CH4, CO2, GAS_CONSTANT
from crystaltool.measure.adsorption.molecules import Pairs
from crystaltool.measure.adsorption.pool import Pool, PoolEffort, make_pool
from tests.measure.adsorption.frameworks import CRYSTAL, directions

TEMPERATURE = 298.0
SIDE = 26.0
POSITIONS = np.random.default_rng(0).random((4096, 3))


def empty_space(gas, temperature=TEMPERATURE):
    axes = directions(np.random.default_rng(9), 4096)
    return Pool(gas, temperature, np.eye(3) * SIDE, POSITIONS, axes, np.zeros(4096), np.ones(4096))


def test_rounds_where_it_weighs_most_keep_the_mean_and_lessen_the_error():
    even = make_pool(CRYSTAL, CO2, TEMPERATURE, effort=PoolEffort(0.0, 2**14, 0))
    refined = make_pool(CRYSTAL, CO2, TEMPERATURE, effort=PoolEffort(0.0, 2**14, 3))
    many = make_pool(CRYSTAL, CO2, TEMPERATURE, seed=1, effort=PoolEffort(0.0, 2**18, 0))
    assert len(refined.weights) == 4 * 2**14
    assert refined.relative_error < 0.4 * even.relative_error
    allowed = 4 * np.hypot(refined.relative_error, many.relative_error)
    assert refined.mean_weight / many.mean_weight == pytest.approx(1, abs=allowed)


def test_heat_at_no_coverage_is_the_slope_of_henrys_constant():
    """q = R T + R T^2 d ln(K T) / dT - R T^2 / T with K the mean Boltzmann factor over k T: van 't Hoff."""
    pools = [make_pool(CRYSTAL, CO2, t, seed=5, effort=PoolEffort(0.0, 2**16, 1)) for t in (288.0, 298.0, 308.0)]
    slope = np.log(pools[2].mean_weight / pools[0].mean_weight) / (1 / 308.0 - 1 / 288.0)  # -<U> in K
    mean, error = pools[1].mean_energy
    assert -slope == pytest.approx(mean, abs=4 * error + 0.02 * abs(mean)) and mean < 0


def test_without_energy_between_molecules_their_number_is_poisson():
    pressure = 2e5
    ideal = pressure * SIDE**3 * 1e-30 / (BOLTZMANN * TEMPERATURE)
    found = simulate(empty_space(CO2), pressure, n_chains=64, interacting=False)
    assert found.mean == pytest.approx(ideal, abs=4 * found.error)
    assert found.error < 0.03 * ideal
    assert found.variance == pytest.approx(ideal, rel=0.1)
    assert found.heat == pytest.approx(GAS_CONSTANT * TEMPERATURE, abs=1e-9)  # an ideal gas gives off R T


def test_heat_without_energy_between_molecules_is_that_of_one_molecule():
    pool = make_pool(CRYSTAL, CO2, TEMPERATURE)
    found = simulate(pool, 2e5, interacting=False)
    mean, error = pool.mean_energy
    expected = GAS_CONSTANT * (TEMPERATURE - mean)
    assert found.heat == pytest.approx(expected, abs=4 * np.hypot(found.heat_error, GAS_CONSTANT * error))
    assert found.heat_error < 0.1


@pytest.mark.parametrize("gas", [CO2, CH4], ids=lambda gas: gas.name)
def test_dilute_gas_has_the_second_virial_coefficient_of_the_model(gas):
    rng = np.random.default_rng(3)
    n = 400_000
    centres, axes = (rng.random((n, 3)) - 0.5), directions(rng, n)
    energies = Pairs(gas, TEMPERATURE).energies(np.zeros(3), np.array([0.0, 0.0, 1.0]), centres, axes, np.eye(3) * SIDE)
    cluster = np.expm1(-np.clip(energies / TEMPERATURE, -50, 50)).mean() * SIDE**3  # -2 B2, A^3
    pressure = 6e5
    activity = pressure * 1e-30 / (BOLTZMANN * TEMPERATURE)
    found = simulate(empty_space(gas), pressure, n_chains=192, cycles=20.0)
    expected = activity * SIDE**3 * (1 + cluster * activity)
    assert found.mean == pytest.approx(expected, abs=4 * found.error + 0.005 * expected)


def test_few_molecules_are_counted_as_well_as_many():
    """Below 0.01 molecules a box Widom's mean stands for the chains: where both are at hand they agree."""
    pool = make_pool(CRYSTAL, CO2, TEMPERATURE)
    counted = [simulate(pool, fugacity) for fugacity in (2e4, 4e3, 50.0)]
    per_pascal = [loading.mean / fugacity for loading, fugacity in zip(counted, (2e4, 4e3, 50.0), strict=True)]
    assert counted[0].mean > 0.1 and 0.01 < counted[1].mean < 0.1 and counted[2].exchanges == np.inf
    for loading, rate in zip(counted[:2], per_pascal, strict=False):
        assert rate == pytest.approx(per_pascal[2], rel=4 * loading.error / loading.mean + 0.02)
        assert loading.error < 0.1 * loading.mean and loading.exchanges > 10


def test_nothing_where_there_is_no_room():
    pool = Pool(CO2, TEMPERATURE, np.eye(3) * SIDE, POSITIONS, POSITIONS, np.full(4096, np.inf), np.zeros(4096))
    found = simulate(pool, 1e5)
    assert found.mean == 0 and np.isnan(found.heat) and pool.mean_weight == 0
