"""Monte Carlo of CO2: energies against sums written out, the ideal gas, the second virial coefficient, RASPA3."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from carbon_dioxide import (
    BOLTZMANN,
    COULOMB,
    CUTOFF,
    GUEST,
    TEMPERATURE,
    Pool,
    _Surroundings,
    guest_energies,
    lennard_jones,
    make_pool,
    replicas,
    simulate,
)

from crystaltool.crystal import Crystal

LATTICE = np.array([[9.0, 0.0, 0.0], [2.0, 10.0, 0.0], [-1.5, 3.0, 11.0]])
CRYSTAL = Crystal(
    LATTICE, np.array([[0.0, 0.0, 0.0], [0.2, -0.1, 0.05], [0.9, 1.1, 0.1], [0.1, 0.1, 0.9]]), np.array([30, 8, 6, 1])
)
POSITIONS = np.random.default_rng(0).random((4096, 3))
EMPTY = Pool(np.eye(3) * 26.0, POSITIONS, np.tile([0.0, 0.0, 1.0], (4096, 1)), np.ones(4096))


def directions(rng, n):
    vectors = rng.normal(size=(n, 3))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def pair_energy(squares, epsilon, sigma):
    powers = (sigma**2 / squares) ** 3
    return 4 * epsilon * (powers**2 - powers)


def test_the_box_is_twice_the_cutoff_wide_and_no_wider_than_it_must():
    for lattice in (LATTICE, np.eye(3) * 24.0, np.diag([8.0, 12.0, 23.9])):
        repeats = replicas(lattice)
        widths = 1 / np.linalg.norm(np.linalg.inv(lattice), axis=0)
        assert (widths * repeats >= 2 * CUTOFF - 1e-6).all()
        assert (widths * (repeats - 1) < 2 * CUTOFF).all()


def test_parameters_are_the_published_ones():
    assert lennard_jones(6) == pytest.approx((47.856, 3.4730), rel=1e-4)  # Dreiding
    assert lennard_jones(30) == pytest.approx((62.399, 2.4616), rel=1e-4)  # UFF
    assert lennard_jones(17) == pytest.approx((114.231, 3.5164), rel=1e-4)


def test_energy_in_the_framework_is_the_sum_over_images():
    rng = np.random.default_rng(1)
    frac_coords, axes = rng.random((400, 3)), directions(rng, 400)
    found = _Surroundings(CRYSTAL).energies(frac_coords, axes)
    shifts = np.array(list(itertools.product(range(-3, 4), repeat=3)))
    atoms = ((CRYSTAL.frac_coords + shifts[:, None]) @ LATTICE).reshape(-1, 3)
    table = np.array([lennard_jones(int(number)) for number in CRYSTAL.numbers])
    epsilon, sigma = np.tile(table, (len(shifts), 1)).T
    free = np.flatnonzero(np.isfinite(found))
    assert 50 < len(free) < 400
    for place in free:
        expected = 0.0
        for _, guest_epsilon, guest_sigma, _, along in GUEST:
            site = frac_coords[place] @ LATTICE + along * axes[place]
            squares = ((atoms - site) ** 2).sum(axis=1)
            near = squares < CUTOFF**2
            terms = pair_energy(
                squares[near], np.sqrt(epsilon * guest_epsilon)[near], ((sigma + guest_sigma) / 2)[near]
            )
            expected += terms.sum()
        assert found[place] == pytest.approx(expected, rel=2e-3, abs=0.5)


def test_energy_between_molecules_is_the_sum_over_sites_across_the_box():
    rng = np.random.default_rng(2)
    box = LATTICE * replicas(LATTICE)[:, None]
    centre, axis = np.array([0.02, 0.97, 0.5]), directions(rng, 1)[0]
    centres, axes = (centre + rng.normal(size=(60, 3)) * 0.25) % 1, directions(rng, 60)
    found = guest_energies(centre, axis, centres, axes, box)
    n_far = 0
    for index in range(60):
        difference = centres[index] - centre
        between = (difference - np.round(difference)) @ box
        expected = 0.0
        for one, other in itertools.product(GUEST, GUEST):
            square = ((between + other[4] * axes[index] - one[4] * axis) ** 2).sum()
            if square < CUTOFF**2:
                expected += pair_energy(max(square, 0.5), np.sqrt(one[1] * other[1]), (one[2] + other[2]) / 2)
            if between @ between < CUTOFF**2:
                expected += COULOMB * one[3] * other[3] / np.sqrt(max(square, 0.5))
        n_far += between @ between > CUTOFF**2
        assert found[index] == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert 0 < n_far < 60


def test_rounds_where_it_weighs_most_keep_the_mean_and_lessen_the_error():
    even = make_pool(CRYSTAL, error=0.0, size=2**14, rounds=0)
    refined = make_pool(CRYSTAL, error=0.0, size=2**14, rounds=3)
    many = make_pool(CRYSTAL, error=0.0, size=2**18, rounds=0, seed=1)
    assert len(refined.weights) == 4 * 2**14
    assert refined.relative_error < 0.4 * even.relative_error
    allowed = 4 * np.hypot(refined.relative_error, many.relative_error)
    assert refined.mean_weight / many.mean_weight == pytest.approx(1, abs=allowed)


def test_without_energy_between_molecules_their_number_is_poisson():
    pressure = 2e5
    ideal = pressure * 26.0**3 * 1e-30 / (BOLTZMANN * TEMPERATURE)
    found = simulate(EMPTY, pressure, n_chains=64, interacting=False)
    assert found.mean == pytest.approx(ideal, abs=4 * found.error)
    assert found.error < 0.03 * ideal
    assert found.variance == pytest.approx(ideal, rel=0.1)


def test_dilute_gas_has_the_second_virial_coefficient_of_the_model():
    rng = np.random.default_rng(3)
    n, side = 400_000, 26.0
    centres, axes = (rng.random((n, 3)) - 0.5), directions(rng, n)
    energies = guest_energies(np.zeros(3), np.array([0.0, 0.0, 1.0]), centres, axes, np.eye(3) * side)
    mayer = np.expm1(-np.clip(energies / TEMPERATURE, -50, 50))
    cluster = mayer.mean() * side**3  # -2 B2, A^3
    assert cluster / 2 * 0.6022 == pytest.approx(125, abs=15)  # cm^3/mol; measured for CO2: -B2 = 122 at 300 K
    turned = Pool(EMPTY.lattice, EMPTY.frac_coords, directions(rng, 4096), EMPTY.weights)
    pressure = 6e5
    activity = pressure * 1e-30 / (BOLTZMANN * TEMPERATURE)
    found = simulate(turned, pressure, n_chains=192)
    expected = activity * side**3 * (1 + cluster * activity)
    assert found.mean == pytest.approx(expected, abs=4 * found.error + 0.005 * expected)
    assert 4 * found.error + 0.005 * expected < 0.6 * (expected - activity * side**3)


@pytest.mark.slow
def test_raspa3_finds_the_same():
    pytest.importorskip("raspalib")
    from adsorption import isotherm, raspa_isotherm

    ours, theirs = isotherm(CRYSTAL), raspa_isotherm(CRYSTAL, cycles=3000)
    for name in ("co2_0.1bar", "co2_1bar"):
        allowed = 4 * np.hypot(ours[f"{name}_error"], theirs[f"{name}_error"])
        assert ours[name] == pytest.approx(theirs[name], abs=allowed)
    assert allowed < 0.3 * ours["co2_1bar"]
