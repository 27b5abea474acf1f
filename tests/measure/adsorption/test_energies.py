"""Energies against sums written out: Lennard-Jones over images, Ewald's sum, pairs of molecules."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from crystaltool.checks.mof.eqeq import ewald_matrix
from crystaltool.crystal import Crystal
from crystaltool.measure.adsorption.gases import CH4, CO2, COULOMB, GASES, H2, N2
from crystaltool.measure.adsorption.molecules import Pairs
from crystaltool.measure.adsorption.parameters import lennard_jones
from crystaltool.measure.adsorption.potential import Potential
from crystaltool.measure.adsorption.surroundings import CUTOFF, Surroundings, replicas
from tests.measure.adsorption.frameworks import CHARGES, CRYSTAL, LATTICE, directions, pair_energy

HBAR, AMU, BOLTZMANN = 1.054571817e-34, 1.66053906660e-27, 1.380649e-23


def feynman_hibbs(squares, epsilon, sigma, mass, temperature, h=1e-3):
    """Lennard-Jones with hbar^2 / (24 mu k T) times its Laplacian, by differences, in K."""
    r = np.sqrt(squares)
    u = [pair_energy((r + step) ** 2, epsilon, sigma) for step in (-h, 0.0, h)]
    laplacian = (u[0] - 2 * u[1] + u[2]) / h**2 + 2 / r * (u[2] - u[0]) / (2 * h)
    return u[1] + HBAR**2 / (24 * mass * AMU * BOLTZMANN * temperature) * 1e20 * laplacian


def test_the_box_is_twice_the_cutoff_wide_and_no_wider_than_it_must():
    for lattice in (LATTICE, np.eye(3) * 24.0, np.diag([8.0, 12.0, 23.9])):
        repeats = replicas(lattice)
        widths = 1 / np.linalg.norm(np.linalg.inv(lattice), axis=0)
        assert (widths * repeats >= 2 * CUTOFF - 1e-6).all()
        assert (widths * (repeats - 1) < 2 * CUTOFF).all()


@pytest.mark.parametrize("gas", [CO2, CH4, N2, H2], ids=lambda gas: gas.name)
def test_energy_in_the_framework_is_the_sum_over_images(gas):
    rng = np.random.default_rng(1)
    frac_coords, axes = rng.random((300, 3)), directions(rng, 300)
    found = Surroundings(CRYSTAL, gas, 77.0).energies(frac_coords, axes)
    shifts = np.array(list(itertools.product(range(-3, 4), repeat=3)))
    atoms = ((CRYSTAL.frac_coords + shifts[:, None]) @ LATTICE).reshape(-1, 3)
    table = np.array([lennard_jones(int(number)) for number in CRYSTAL.numbers])
    epsilon, sigma = np.tile(table, (len(shifts), 1)).T
    free = np.flatnonzero(np.isfinite(found))
    assert 50 < len(free) < 300
    for place in free:
        expected = 0.0
        for _, guest_epsilon, guest_sigma, _, along in gas.sites:
            site = frac_coords[place] @ LATTICE + along * axes[place]
            squares = ((atoms - site) ** 2).sum(axis=1)
            near = squares < CUTOFF**2
            depths, diameters = np.sqrt(epsilon * guest_epsilon)[near], ((sigma + guest_sigma) / 2)[near]
            if gas is H2:
                expected += feynman_hibbs(squares[near], depths, diameters, 2.016, 77.0).sum()
            else:
                expected += pair_energy(squares[near], depths, diameters).sum()
        assert found[place] == pytest.approx(expected, rel=2e-3, abs=0.5)


def test_the_potential_is_that_of_ewald():
    rng = np.random.default_rng(4)
    places = rng.random((60, 3))
    shifts = np.array(list(itertools.product(range(-1, 2), repeat=3)))
    atoms = ((CRYSTAL.frac_coords % 1 + shifts[:, None]) @ LATTICE).reshape(-1, 3)
    nearest = np.linalg.norm((places @ LATTICE)[:, None] - atoms, axis=2).min(axis=1)
    places = places[nearest > 1.9]
    assert len(places) > 20
    found = Potential(CRYSTAL, CHARGES)(places)
    whole = Crystal(LATTICE, np.concatenate([CRYSTAL.frac_coords, places]), np.r_[CRYSTAL.numbers, [1] * len(places)])
    expected = ewald_matrix(whole)[4:, :4] @ CHARGES
    assert np.abs(expected).max() > 0.05  # e/A: 8,000 K a charge
    assert found == pytest.approx(expected, abs=1e-4)  # 6 K on an oxygen of CO2
    assert Potential(CRYSTAL, CHARGES + 0.3)(places) == pytest.approx(found, abs=1e-7)  # neutralised


@pytest.mark.parametrize("gas", [CO2, N2, H2], ids=lambda gas: gas.name)
def test_charges_add_their_energy_in_the_potential(gas):
    rng = np.random.default_rng(5)
    frac_coords, axes = rng.random((100, 3)), directions(rng, 100)
    plain = Surroundings(CRYSTAL, gas, 298.0).energies(frac_coords, axes)
    charged = Surroundings(CRYSTAL, gas, 298.0, CHARGES).energies(frac_coords, axes)
    potential, inverse = Potential(CRYSTAL, CHARGES), np.linalg.inv(LATTICE)
    expected = sum(
        COULOMB * charge * potential(frac_coords + place * axes @ inverse) for _, _, _, charge, place in gas.sites
    )
    free = np.isfinite(plain)
    assert free.sum() > 15 and np.abs(expected[free]).max() > 100
    assert charged[free] - plain[free] == pytest.approx(expected[free], abs=0.05)


def test_charges_are_nothing_to_methane():
    places, axes = np.array([[0.5, 0.5, 0.5]]), np.array([[0.0, 0.0, 1.0]])
    pair = [Surroundings(CRYSTAL, CH4, 298.0, charges).energies(places, axes) for charges in (None, CHARGES)]
    assert pair[0] == pair[1]


@pytest.mark.parametrize("gas", GASES.values(), ids=GASES)
def test_energy_between_molecules_is_the_sum_over_sites_across_the_box(gas):
    rng = np.random.default_rng(2)
    box = LATTICE * replicas(LATTICE)[:, None]
    centre, axis = np.array([0.02, 0.97, 0.5]), directions(rng, 1)[0]
    centres, axes = (centre + rng.normal(size=(60, 3)) * 0.25) % 1, directions(rng, 60)
    found = Pairs(gas, 77.0).energies(centre, axis, centres, axes, box)
    n_far = 0
    for index in range(60):
        difference = centres[index] - centre
        between = (difference - np.round(difference)) @ box
        expected = 0.0
        for one, other in itertools.product(gas.sites, gas.sites):
            square = ((between + other[4] * axes[index] - one[4] * axis) ** 2).sum()
            if square < CUTOFF**2:
                depth, diameter = np.sqrt(one[1] * other[1]), (one[2] + other[2]) / 2
                if gas is H2:
                    expected += feynman_hibbs(np.maximum(square, 0.5), depth, diameter, 2.016 / 2, 77.0)
                else:
                    expected += pair_energy(max(square, 0.5), depth, diameter)
            if between @ between < CUTOFF**2:
                expected += COULOMB * one[3] * other[3] / np.sqrt(max(square, 0.5))
        n_far += between @ between > CUTOFF**2
        assert found[index] == pytest.approx(expected, rel=1e-4, abs=1e-3)
    assert 0 < n_far < 60
