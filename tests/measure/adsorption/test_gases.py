"""Gas models: their published parameters, virial coefficients and fugacities against measured ones."""

from __future__ import annotations

import numpy as np
import pytest

from crystaltool.errors import InputError, UsageError
from crystaltool.measure.adsorption.gases import CH4, CO2, GASES, H2, N2, find_gas
from crystaltool.measure.adsorption.molecules import Pairs
from crystaltool.measure.adsorption.parameters import framework_parameters, lennard_jones
from tests.measure.adsorption.frameworks import directions


def test_every_gas_is_neutral_straight_and_even():
    for gas in GASES.values():
        epsilon, _, charge, place = gas.columns
        assert charge.sum() == pytest.approx(0, abs=1e-12)
        for values in (epsilon, charge):
            assert (values @ place) == pytest.approx(0, abs=1e-12)
    bonds = {gas.name: gas.reach for gas in GASES.values()}
    assert bonds == {"CO2": 1.16, "N2": 0.55, "CH4": 0.0, "H2": 0.3705}  # H-H 0.741 A, N-N 1.10 A


@pytest.mark.parametrize(
    ("gas", "moment"),
    [(CO2, -4.3), (N2, -1.4), (H2, 0.65)],  # measured, debye A: Graham et al., Mol. Phys. 93, 49 (1998) and others
)
def test_quadrupole_moments_are_near_the_measured_ones(gas, moment):
    _, _, charge, place = gas.columns
    assert (charge * place**2).sum() * 4.803 == pytest.approx(moment, rel=0.12)


@pytest.mark.parametrize(
    ("gas", "temperature", "measured", "allowed"),
    # cm3/mol: Dymond and Smith, The Virial Coefficients of Pure Gases and Mixtures (1980)
    [
        (CO2, 300.0, -122.0, 18.0),
        (CH4, 300.0, -42.0, 5.0),
        (N2, 300.0, -4.5, 4.0),
        (H2, 300.0, 14.5, 3.0),
        (H2, 77.0, -12.0, 4.0),
    ],
)
def test_second_virial_coefficients_are_near_the_measured_ones(gas, temperature, measured, allowed):
    rng = np.random.default_rng(3)
    n, side = 400_000, 26.0
    centres, axes = (rng.random((n, 3)) - 0.5), directions(rng, n)
    pairs = Pairs(gas, temperature)
    energies = pairs.energies(np.zeros(3), np.array([0.0, 0.0, 1.0]), centres, axes, np.eye(3) * side)
    mayer = np.expm1(-np.clip(energies / temperature, -50, 50))
    assert -mayer.mean() * side**3 / 2 * 0.6022 == pytest.approx(measured, abs=allowed)


def test_fugacities_are_those_of_the_measured_second_virial_coefficients():
    """ln phi = B p / R T to first order; B as above at 298 K."""
    for gas, pressure, measured in ((CO2, 1e5, -123.0), (CO2, 1e6, -123.0), (CH4, 2e6, -42.8), (N2, 5e6, -4.7)):
        expected = np.exp(measured * 1e-6 * pressure / (8.314462618 * 298.0))
        assert gas.fugacity(pressure, 298.0) / pressure == pytest.approx(expected, abs=0.012), gas.name
    hydrogen = np.exp(14.1e-6 * 5e6 / (8.314462618 * 298.0))
    assert H2.fugacity(5e6, 298.0) / 5e6 == pytest.approx(hydrogen, abs=0.016)  # the equation itself is off by this
    assert CO2.fugacity(1e-3, 298.0) == pytest.approx(1e-3, rel=1e-6) and CO2.fugacity(0.0, 298.0) == 0.0


def test_liquids_are_refused_and_vapours_not():
    # Saturation: CO2 17.9 bar at 250 K, CH4 1.0 bar at 111.7 K, N2 1.01 bar at 77.4 K (NIST)
    for gas, temperature, vapour, liquid in ((CO2, 250.0, 17.0, 19.0), (CH4, 111.7, 0.9, 1.1), (N2, 77.4, 0.9, 1.15)):
        assert gas.fugacity(vapour * 1e5, temperature) < vapour * 1e5
        with pytest.raises(UsageError, match=f"{gas.name} is a liquid at"):
            gas.fugacity(liquid * 1e5, temperature)
    with pytest.raises(UsageError, match="liquid"):
        CO2.fugacity(300e5, 250.0)  # a single root, of the liquid
    CO2.fugacity(300e5, 320.0)  # supercritical


def test_names_are_found_in_any_case():
    assert find_gas(" ch4") is CH4
    with pytest.raises(UsageError, match="no gas 'Xe', expected CO2, CH4, N2, H2"):
        find_gas("Xe")


def test_parameters_of_frameworks_are_the_published_ones():
    assert lennard_jones(6) == pytest.approx((47.856, 3.4730), rel=1e-4)  # Dreiding
    assert lennard_jones(30) == pytest.approx((62.399, 2.4616), rel=1e-4)  # UFF
    assert lennard_jones(17) == pytest.approx((114.231, 3.5164), rel=1e-4)
    assert framework_parameters(np.array([6, 30]))[1] == pytest.approx(lennard_jones(30))
    with pytest.raises(InputError, match="no Lennard-Jones parameters of Db, Sg"):
        framework_parameters(np.array([6, 106, 105]))


def test_uff_is_the_table_of_open_babel():
    openbabel = pytest.importorskip("openbabel")
    from pathlib import Path

    from crystaltool.units import SYMBOLS

    text = next((Path(openbabel.__file__).parent / "share" / "openbabel").glob("*/UFF.prm")).read_text()
    seen = {}
    for words in (line.split() for line in text.splitlines()):
        if words[:1] == ["param"]:
            symbol = "".join(letter for letter in words[1][:2] if letter.isalpha())
            if symbol in SYMBOLS:
                seen.setdefault(SYMBOLS.index(symbol), (float(words[5]) * 503.2195, float(words[4]) / 2 ** (1 / 6)))
    assert len(seen) > 100
    for number, values in seen.items():
        if number not in (1, 6, 7, 8):
            assert lennard_jones(number) == pytest.approx(values, rel=1e-6), SYMBOLS[number]
