"""Uptakes with units and errors, what is refused, and RASPA3 as a judge."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from crystaltool.crystal import Crystal
from crystaltool.errors import InputError, UsageError
from crystaltool.measure.adsorption import uptake as module
from crystaltool.measure.adsorption.gases import BOLTZMANN, CH4, CO2, H2, N2
from crystaltool.measure.adsorption.names import is_adsorption_key
from crystaltool.measure.adsorption.pool import make_pool
from crystaltool.measure.adsorption.uptake import (
    Run,
    check_conditions,
    measure_adsorption,
    pressure_key,
)
from crystaltool.measure.keys import is_measured
from tests import benchmarks  # noqa: F401 -- puts the scripts on the path
from tests.measure.adsorption.frameworks import CHARGES, CRYSTAL, LATTICE

LONE_ATOM = Crystal(np.eye(3) * 40.0, np.zeros((1, 3)), np.array([6]), "lone")
FULL = Crystal(np.eye(3) * 3.0, np.zeros((1, 3)), np.array([6]), "full")


def test_nearly_empty_space_holds_the_gas_itself():
    """One carbon in 64,000 A^3: the density of methane at 5 bar and 298 K, 0.2035 mol/l (NIST), plus the carbon's."""
    found = measure_adsorption(LONE_ATOM, CH4, (1.0, 5.0), 298.0)
    high = found.uptakes[1]
    gas = 0.2035 * 40.0**3 * 6.02214076e-4 / 12.011 * 1000  # molecules a cell, mmol/g
    excess = 0.1 * gas
    assert high.amount == pytest.approx(gas, abs=4 * high.error + excess)
    assert high.error < 0.02 * high.amount
    volumetric = float(found.properties["ch4_uptake_5bar_volumetric"])
    assert volumetric == pytest.approx(0.2035 * 22.414, rel=0.1)  # cm3 of gas at 0 C and 1 atm in a cm3
    assert found.capacity == pytest.approx(high.amount - found.uptakes[0].amount)
    assert found.properties["ch4_working_capacity_between"] == "1 and 5 bar"


def test_henrys_constant_is_the_limit_of_the_uptake():
    found = measure_adsorption(CRYSTAL, CO2, (1e-3,), 298.0)
    (low,) = found.uptakes
    assert low.amount == pytest.approx(1e-3 * found.henry, abs=4 * np.hypot(low.error, 1e-3 * found.henry_error))
    assert low.heat == pytest.approx(found.heat, abs=4 * np.hypot(low.heat_error, found.heat_error) + 0.05)
    pool = make_pool(CRYSTAL, CO2, 298.0, seed=(0, 0))
    mass = 65.38 + 15.999 + 12.011 + 1.008
    expected = pool.mean_weight * CRYSTAL.volume * 1e-30 * 1e5 / (BOLTZMANN * 298.0) * 1000 / mass
    assert found.henry == pytest.approx(expected, rel=1e-6)
    assert math.isnan(found.capacity) and "co2_working_capacity" not in found.properties


def test_results_are_those_of_seed_gas_and_pressure():
    alone = measure_adsorption(CRYSTAL, N2, (1.0,), 298.0, CHARGES, Run(3))
    more = measure_adsorption(CRYSTAL, N2, (20.0, 1.0), 298.0, CHARGES, Run(3))
    other = measure_adsorption(CRYSTAL, N2, (1.0,), 298.0, CHARGES, Run(4))
    assert alone.uptakes[0] == more.uptakes[0] and [u.pressure for u in more.uptakes] == [1.0, 20.0]
    assert alone.uptakes[0].amount != other.uptakes[0].amount
    assert other.uptakes[0].amount == pytest.approx(alone.uptakes[0].amount, abs=6 * alone.uptakes[0].error)


@pytest.mark.slow
def test_standard_errors_are_the_spread_of_seeds():
    runs = [measure_adsorption(CRYSTAL, CH4, (1.0, 30.0), 298.0, run=Run(seed)) for seed in range(10)]
    for pick in (
        lambda run: (run.uptakes[1].amount, run.uptakes[1].error),
        lambda run: (run.capacity, run.capacity_error),
    ):
        values, errors = np.array([pick(run) for run in runs]).T
        assert 0.4 < values.std(ddof=1) / errors.mean() < 2.0  # chi with 9 degrees: 0.44 to 1.63 at 1 in 1,000


def test_more_cycles_lessen_the_error():
    few = measure_adsorption(CRYSTAL, CO2, (10.0,), 298.0, CHARGES)
    many = measure_adsorption(CRYSTAL, CO2, (10.0,), 298.0, CHARGES, Run(cycles=40.0))
    assert many.uptakes[0].exchanges > 1.5 * few.uptakes[0].exchanges
    assert many.uptakes[0].error < few.uptakes[0].error


def test_no_room_is_no_uptake_with_its_reason():
    found = measure_adsorption(FULL, CO2, (0.1, 1.0), 298.0)
    assert [uptake.amount for uptake in found.uptakes] == [0, 0] and found.capacity == 0
    assert found.remark.startswith("no room: the mean Boltzmann factor of a molecule is ")
    properties = found.properties
    assert properties["co2_uptake_1bar"] == "0" and properties["co2_remark"] == found.remark
    assert not [key for key in properties if "heat" in key]
    assert "nan" not in " ".join(properties.values())


def test_what_is_not_believed_is_refused_or_said(monkeypatch):
    monkeypatch.setattr(module, "ENOUGH", 1e6)
    doubted = measure_adsorption(CRYSTAL, CO2, (1.0,), 298.0)
    assert "accepted moves a molecule at 1 bar: errors are doubled" in doubted.remark
    monkeypatch.setattr(module, "ENOUGH", 0.0)
    plain = measure_adsorption(CRYSTAL, CO2, (1.0,), 298.0)
    assert plain.remark == "" and 1.5 < doubted.uptakes[0].error / plain.uptakes[0].error <= 2
    monkeypatch.setattr(module, "FEWEST", 1e6)
    with pytest.raises(InputError, match=r"too dense for insertions: .* molecules of CO2 at 1 bar"):
        measure_adsorption(CRYSTAL, CO2, (1.0,), 298.0)


def test_elements_without_parameters_are_refused():
    heavy = Crystal(LATTICE, CRYSTAL.frac_coords, np.array([105, 8, 6, 1]))
    with pytest.raises(InputError, match="no Lennard-Jones parameters of Db"):
        measure_adsorption(heavy, CO2)


@pytest.mark.parametrize(
    ("pressures", "temperature", "message"),
    [
        ((), 298.0, "no pressure"),
        ((0.0,), 298.0, "a pressure of 0 bar"),
        ((float("nan"),), 298.0, "a pressure of nan bar"),
        ((1e5,), 298.0, "at most 1000"),
        ((1.0, 1.0), 298.0, "a pressure stands twice"),
        ((1.0,), 10.0, "a temperature of 10 K, expected 20 to 2000 K"),
        ((1.0,), float("nan"), "a temperature of nan K"),
        ((30.0,), 250.0, "CO2 is a liquid at 30 bar and 250 K"),
    ],
)
def test_impossible_conditions_are_refused(pressures, temperature, message):
    with pytest.raises(UsageError, match=message):
        check_conditions((H2, CO2), pressures, temperature)


def test_names_of_values():
    assert [pressure_key(p) for p in (0.1, 65.0, 1e-5)] == ["0p1bar", "65bar", "1em05bar"]
    found = measure_adsorption(FULL, H2, (0.1, 1.0), 77.0)
    filled = replace(found, heat=5.0, heat_error=0.1)
    for key in filled.properties:
        assert is_adsorption_key(key) and is_measured(key)
    for key in ("co2_wc", "predicted_co2_wc", "energy_per_atom", "co2_015"):
        assert not is_measured(key)
    for key in ("e_above_hull", "pld", "helium_void_fraction"):
        assert is_measured(key)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("gas", "pressures", "temperature", "charged"),
    [
        (CO2, (0.1, 1.0), 298.0, False),
        (CO2, (1.0,), 298.0, True),
        (N2, (20.0,), 298.0, True),
        (CH4, (65.0,), 298.0, False),
        (H2.classical(), (1.0, 30.0), 77.0, True),
    ],
    ids=["CO2", "CO2 charges", "N2", "CH4", "H2"],
)
def test_raspa3_finds_the_same(gas, pressures, temperature, charged):
    """The same model; charges by Ewald's sum, fugacities by the equation of Peng and Robinson, both RASPA3's own."""
    import raspa

    if raspa.interpreter() is None:
        pytest.skip("raspalib is not installed")
    charges = CHARGES if charged else None
    ours = measure_adsorption(CRYSTAL, gas, pressures, temperature, charges)
    cycles = 10_000 if min(pressures) < 1 else 3_000  # where molecules are few they come and go seldom
    theirs = raspa.uptakes(CRYSTAL, gas, pressures, temperature, charges=charges, cycles=cycles)
    for uptake, (amount, error) in zip(ours.uptakes, theirs, strict=True):
        allowed = 4 * np.hypot(uptake.error, error)
        assert uptake.amount == pytest.approx(amount, abs=allowed)
        assert allowed < 0.3 * uptake.amount
