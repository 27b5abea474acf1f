"""Uptakes by a formula: its limits, and beside simulations."""

from __future__ import annotations

import numpy as np
import pytest

from crystaltool.crystal import Crystal
from crystaltool.errors import InputError
from crystaltool.measure.adsorption.estimate import PLACE, estimated_uptakes
from crystaltool.measure.adsorption.gases import BAR, BOLTZMANN, CH4, CO2
from crystaltool.measure.adsorption.uptake import framework_mass, measure_adsorption
from tests.measure.adsorption.frameworks import CRYSTAL
from tests.measure.adsorption.test_uptake import FULL, LONE_ATOM


def test_empty_space_holds_an_ideal_gas() -> None:
    """One carbon in 64,000 A^3 takes little room and draws little near."""
    (found,) = estimated_uptakes(LONE_ATOM, CH4, (1.0,))
    ideal = BAR * 1e-30 / (BOLTZMANN * 298.0) * 40.0**3 / 12.011 * 1000
    assert found == pytest.approx(ideal, rel=0.02)


def test_a_thin_gas_follows_henry_and_a_dense_one_fills_places() -> None:
    low, double = estimated_uptakes(CRYSTAL, CO2, (1e-5, 2e-5))
    assert double == pytest.approx(2 * low, rel=1e-3)
    measured = measure_adsorption(CRYSTAL, CO2, (0.1, 1.0))
    assert low / 1e-5 == pytest.approx(measured.henry, rel=0.2)
    uptakes = estimated_uptakes(CRYSTAL, CO2, (0.1, 1.0, 1e3, 1e6))
    assert uptakes == sorted(uptakes)
    assert uptakes[-1] <= CRYSTAL.volume / PLACE * 1000 / framework_mass(CRYSTAL)


def test_no_room_holds_nothing_and_an_unknown_element_is_said() -> None:
    assert estimated_uptakes(FULL, CO2, (1.0,))[0] < 1e-6
    strange = Crystal(np.eye(3) * 20.0, np.zeros((1, 3)), np.array([110]), "strange")
    with pytest.raises(InputError):
        estimated_uptakes(strange, CO2, (1.0,))
