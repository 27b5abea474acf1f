"""The wall's derivatives against finite differences; atoms that were too close come apart, all others stay."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crystaltool.asymunit import AsymUnit, expand
from crystaltool.checks.contacts import closest_contact
from crystaltool.checks.distance import LEMAT_FACTOR, LEMAT_OFFSET
from crystaltool.checks.elements import LEMAT_RADIUS
from crystaltool.crystal import Crystal
from crystaltool.models.symmcd.wall import Wall, separate
from tests.forcefield.units import CORUNDUM, PERICLASE, ROCK_SALT, RUTILE, SILICON, cubic, random_unit, unit_of


def ratio(unit: AsymUnit) -> float:
    crystal = expand(unit)
    halves = LEMAT_FACTOR * (LEMAT_OFFSET / 2 + LEMAT_RADIUS[crystal.numbers])
    return closest_contact(crystal.lattice, crystal.frac_coords, halves).ratio


def crowded(seed: int) -> Crystal:
    rng = np.random.default_rng(seed)
    lattice = 2.6 * np.eye(3) + 0.4 * rng.normal(size=(3, 3))
    return Crystal(lattice, rng.random((3, 3)), np.array([3, 8, 56]))


@pytest.mark.parametrize("seed", range(6))
def test_forces_and_stress_are_derivatives(seed: int) -> None:
    crystal, wall, step = crowded(seed), Wall(1.3), 1e-5
    found = wall.evaluate(crystal)
    assert found.energy > 0

    def energy(coords: np.ndarray, lattice: np.ndarray) -> float:
        return wall.evaluate(Crystal(lattice, coords, crystal.numbers)).energy

    for atom in range(3):
        for axis in range(3):
            move = np.zeros((3, 3))
            move[atom, axis] = step
            move = move @ np.linalg.inv(crystal.lattice)
            up, down = (energy(crystal.frac_coords + sign * move, crystal.lattice) for sign in (1, -1))
            assert -(up - down) / (2 * step) == pytest.approx(found.forces[atom, axis], abs=1e-4)
    for i in range(3):
        for j in range(3):
            strain = np.zeros((3, 3))
            strain[i, j] += step / 2
            strain[j, i] += step / 2
            up, down = (energy(crystal.frac_coords, crystal.lattice @ (np.eye(3) + s * strain)) for s in (1, -1))
            assert (up - down) / (2 * step * crystal.volume) == pytest.approx(found.stress[i, j], abs=1e-5)


@pytest.mark.parametrize("unit", [SILICON, ROCK_SALT, PERICLASE, RUTILE, CORUNDUM], ids=lambda unit: unit.name)
def test_real_crystals_stay_to_the_last_bit(unit: AsymUnit) -> None:
    after = separate(unit, 1.02)
    np.testing.assert_array_equal(after.free_coords, unit.free_coords)
    np.testing.assert_array_equal(after.lattice, unit.lattice)


def test_a_close_pair_comes_apart_in_its_group() -> None:
    """Rutile with its oxygen atoms at 0.45: the pair on the diagonal is 0.65 A apart."""
    close = replace(RUTILE, free_coords=np.where(RUTILE.free_coords > 0.3, 0.45, 0.0))
    assert ratio(close) < 0.9
    after = separate(close, 1.02)
    assert ratio(after) >= 1.0
    assert after.group == 136 and after.positions.tolist() == close.positions.tolist()
    assert expand(after).volume < 1.2 * expand(close).volume


def test_a_cell_without_free_coordinates_grows() -> None:
    small = unit_of(225, cubic(3.2), [("Na", "a", ()), ("Cl", "b", ())])
    after = separate(small, 1.02)
    assert ratio(small) < 1.0 <= ratio(after)


def test_atoms_in_one_place_are_left() -> None:
    one = unit_of(1, cubic(4.0), [("Na", "a", (0.1, 0.1, 0.1)), ("Cl", "a", (0.1, 0.1, 0.1))])
    np.testing.assert_array_equal(separate(one, 1.02).free_coords, one.free_coords)


def test_random_crystals_of_all_groups_end_with_nothing_too_close() -> None:
    rng = np.random.default_rng(1)
    mended = tried = 0
    for group in range(1, 231, 3):
        unit = random_unit(group, rng, "Si")
        shrunk = replace(unit, lattice=unit.lattice * 0.8)
        if ratio(shrunk) < 1.0:
            tried += 1
            mended += ratio(separate(shrunk, 1.02)) >= 1.0
    assert tried > 10 and mended == tried
