"""Pores by Zeo++ against what geometry gives for one atom in a cube, and what Zeo++ cannot do."""

from __future__ import annotations

import numpy as np
import pytest

from crystaltool.crystal import Crystal
from crystaltool.errors import InputError, MissingExtraError
from crystaltool.measure import pores as module
from crystaltool.measure.adsorption.void import helium_void_fraction
from crystaltool.measure.pores import PORE_PROPERTIES, measure_pores

SIDE = 12.0
CUBE = Crystal(np.eye(3) * SIDE, np.zeros((1, 3)), np.array([6]), "cube")
CARBON = 1.70
"""A: Zeo++'s radius of carbon, CCDC's."""


def test_one_atom_in_a_cube():
    pytest.importorskip("pyzeo")
    found = measure_pores(CUBE)
    assert found.largest == pytest.approx(np.sqrt(3) * SIDE - 2 * CARBON, abs=0.01)
    assert found.limiting == pytest.approx(np.sqrt(2) * SIDE - 2 * CARBON, abs=0.01)
    reach = CARBON + 1.82
    surface = 4 * np.pi * reach**2  # A^2 a cell
    assert found.surface_volumetric == pytest.approx(1e4 * surface / SIDE**3, rel=0.005)
    assert found.surface == pytest.approx(surface * 1e-20 / (12.011 / 6.02214076e23), rel=0.005)
    assert found.void_fraction == pytest.approx(1 - 4 / 3 * np.pi * reach**3 / SIDE**3, abs=0.01)
    assert found.n_channels == 1 and found.enclosed_surface == 0 and found.probe_radius == 1.82
    assert tuple(found.properties) == PORE_PROPERTIES and found.properties["n_channels"] == "1"


def test_a_probe_that_does_not_pass_finds_pockets():
    pytest.importorskip("pyzeo")
    narrow = Crystal(np.eye(3) * 4.6, np.zeros((1, 3)), np.array([6]))  # a cavity of 4.57 A with windows of 3.11 A
    found = measure_pores(narrow)
    assert found.limiting < 2 * 1.82 < found.largest
    assert found.surface == 0 and found.void_fraction == 0 and found.n_channels == 0 and found.enclosed_surface > 0
    assert measure_pores(narrow, 1.2).surface > 0


def test_zeo_that_dies_is_one_line(monkeypatch):
    pytest.importorskip("pyzeo")
    monkeypatch.setattr(module, "_CHILD", "import os; os._exit(1)")
    with pytest.raises(InputError, match="Zeo\\+\\+ found no diameters"):
        measure_pores(CUBE)
    monkeypatch.setattr(module, "_CHILD", "import time; time.sleep(60)")
    monkeypatch.setattr(module, "TIME_LIMIT", 0.5)
    with pytest.raises(InputError, match=r"more than 0\.5 s"):
        measure_pores(CUBE)


def test_without_pyzeo_the_line_that_installs_it(monkeypatch):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"crystaltool\[pore\]"):
        measure_pores(CUBE)


def test_helium_void_fraction_of_one_atom():
    """1 + the integral of exp(-U / k T) - 1 over the cell, numerically along the radius."""
    found, error = helium_void_fraction(CUBE)
    epsilon, sigma = np.sqrt(47.856 * 10.9), (3.4730 + 2.64) / 2
    r = np.linspace(1e-3, 12.0, 200_000)
    energy = 4 * epsilon * ((sigma / r) ** 12 - (sigma / r) ** 6)
    # images overlap little: each atom owns a cell, the tails of all together fill space
    integral = np.sum(4 * np.pi * r**2 * np.expm1(-np.clip(energy / 298.0, -700, 700))) * (r[1] - r[0])
    assert found == pytest.approx(1 + integral / SIDE**3, abs=4 * error + 0.005)
