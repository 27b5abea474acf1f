"""The minimiser against Lennard-Jones lattice sums, and every way a relaxation can end."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from crystaltool.asymunit import expand
from crystaltool.crystal import Crystal
from crystaltool.errors import InputError, UsageError
from crystaltool.forcefield.interface import Evaluation
from crystaltool.forcefield.minimise import MAX_STRESS, collapsed, minimise
from crystaltool.lattice import matrix_to_parameters
from tests.forcefield.lennard_jones import LennardJones
from tests.forcefield.test_symmetric_coordinates import operations_miss
from tests.forcefield.units import cubic, random_unit, unit_of

TIGHT = 1e-4


def soft() -> LennardJones:
    """Without jumps at the cutoff, as random structures need."""
    return LennardJones(cutoff=7.0, smooth=True)


def fcc_minimum(field: LennardJones) -> tuple[float, float]:
    """Cubic lattice constant and energy per atom from the lattice sums over the shells within the cutoff.

    With A_n = sum (d_0 / d)^n over neighbours: E = 2 epsilon (A_12 x^12 - A_6 x^6), x = sigma / d_0, least at
    x^6 = A_6 / (2 A_12) (Kittel, Introduction to Solid State Physics, chapter 3).
    """
    points = np.array(
        [p for p in itertools.product(range(-12, 13), repeat=3) if sum(p) % 2 == 0 and any(p)], dtype=float
    )
    shells = np.linalg.norm(points, axis=1) / np.sqrt(2)
    nearest = field.sigma * 1.09
    shells = shells[shells * nearest < field.cutoff]
    a12, a6 = (shells**-12.0).sum(), (shells**-6.0).sum()
    sixth = a6 / (2 * a12)
    return field.sigma * sixth ** (-1 / 6) * np.sqrt(2), 2 * field.epsilon * (a12 * sixth**2 - a6 * sixth)


def test_fcc_lattice_constant_and_energy() -> None:
    field = LennardJones()
    a, energy = fcc_minimum(field)
    assert a / field.sigma == pytest.approx(1.542, abs=0.002)  # 2^(1/2) 1.09, Kittel
    found = minimise(unit_of(225, cubic(4.2), [("Ar", "a", ())]), field, TIGHT)
    assert found.converged and found.reason == ""
    assert found.unit.lattice[0, 0] == pytest.approx(a, rel=2e-4)
    assert found.energy_per_atom == pytest.approx(energy, rel=1e-5)
    assert found.max_stress < MAX_STRESS


def test_body_centred_tetragonal_runs_to_fcc_along_the_bain_path() -> None:
    field = LennardJones()
    a, energy = fcc_minimum(field)
    start = unit_of(139, (3.1, 3.1, 3.8, 90, 90, 90), [("Ar", "a", ())])
    found = minimise(start, field, TIGHT, max_stress=MAX_STRESS / 20)
    lengths = matrix_to_parameters(found.unit.lattice)[:3]
    assert found.converged and found.unit.group == 139
    np.testing.assert_allclose(lengths, [a / np.sqrt(2), a / np.sqrt(2), a], rtol=1e-3)
    assert found.energy_per_atom == pytest.approx(energy, rel=1e-4)


@pytest.mark.parametrize("number", [2, 14, 62, 148, 176])
def test_random_structures_end_at_rest_lower_and_in_their_group(number: int) -> None:
    start = random_unit(number, np.random.default_rng(3))
    field = soft()
    found = minimise(start, field, max_force=0.005)
    assert found.converged
    assert found.max_force < 0.005 and found.max_stress < MAX_STRESS
    assert found.steps == field.n_calls - 1
    assert found.energy_per_atom < soft().evaluate(expand(start)).energy / expand(start).n_atoms
    assert operations_miss(found.unit) < 1e-9
    assert found.unit.group == number and (found.unit.positions == start.positions).all()
    # The whole conventional cell, evaluated without any symmetry, is at rest too.
    full = soft().evaluate(expand(found.unit))
    assert full.max_force == pytest.approx(found.max_force, rel=1e-6, abs=1e-9)
    assert full.max_stress == pytest.approx(found.max_stress, rel=1e-6, abs=1e-9)


def test_fixed_cell_moves_positions_alone() -> None:
    start = random_unit(62, np.random.default_rng(3))
    found = minimise(start, soft(), max_force=0.005, fixed_cell=True)
    assert found.converged
    np.testing.assert_array_equal(found.unit.lattice, start.lattice)
    assert np.abs(found.unit.free_coords - start.free_coords).max() > 1e-3


def test_a_structure_at_rest_is_returned_as_it_is() -> None:
    field = LennardJones()
    start = minimise(unit_of(225, cubic(4.2), [("Ar", "a", ())]), field, TIGHT).unit
    again = minimise(start, field, 1e-3)
    assert again.steps == 0 and again.converged
    np.testing.assert_array_equal(again.unit.lattice, start.lattice)


@pytest.mark.parametrize("max_steps", [0, 1, 3])
def test_steps_are_limited(max_steps: int) -> None:
    field = soft()
    found = minimise(random_unit(14, np.random.default_rng(3)), field, max_steps=max_steps, max_force=1e-6)
    assert not found.converged
    assert found.reason == f"not converged in {max_steps} steps"
    assert field.n_calls == max_steps + 1


class Repulsive:
    """Every volume is too small: pressure without end."""

    name, version = "repulsive", "test double"

    def evaluate(self, crystal: Crystal) -> Evaluation:
        return Evaluation(-crystal.volume, np.zeros((crystal.n_atoms, 3)), -np.eye(3))


class Attractive:
    """Pulls the two atoms of a cell together without end."""

    name, version = "attractive", "test double"

    def evaluate(self, crystal: Crystal) -> Evaluation:
        apart = crystal.frac_coords[1] - crystal.frac_coords[0]
        vector = (apart - np.round(apart)) @ crystal.lattice
        distance = np.linalg.norm(vector)
        pull = 30 * vector / distance
        return Evaluation(30 * float(distance), np.array([pull, -pull]), np.zeros((3, 3)))


class Poisoned(LennardJones):
    """Not a number from the n-th call on."""

    def __init__(self, good_calls: int) -> None:
        super().__init__(cutoff=7.0, smooth=True)
        self.good_calls = good_calls

    def evaluate(self, crystal: Crystal) -> Evaluation:
        found = super().evaluate(crystal)
        return found if self.n_calls <= self.good_calls else replace(found, energy=float("nan"))


class Liar(LennardJones):
    """Forces that point uphill."""

    def evaluate(self, crystal: Crystal) -> Evaluation:
        found = super().evaluate(crystal)
        return replace(found, forces=-found.forces, stress=-found.stress)


def test_a_runaway_cell_is_stopped() -> None:
    found = minimise(unit_of(225, cubic(4.2), [("Ar", "a", ())]), Repulsive())
    assert not found.converged and "runs away" in found.reason
    assert np.linalg.det(found.unit.lattice) < 2 * 4.2**3


def test_atoms_falling_together_are_stopped() -> None:
    start = unit_of(1, cubic(6.0), [("Ar", "a", (0.1, 0.1, 0.1)), ("Ar", "a", (0.4, 0.1, 0.1))])
    found = minimise(start, Attractive(), fixed_cell=True)
    assert not found.converged and "closer than 0.5 A" in found.reason
    assert not collapsed(expand(found.unit))


def test_coinciding_atoms_are_refused_through_the_cell_wall() -> None:
    start = unit_of(1, cubic(6.0), [("Ar", "a", (0.01, 0.5, 0.5)), ("Ar", "a", (0.99, 0.5, 0.5))])
    with pytest.raises(InputError, match=r"closer than 0.5 A"):
        minimise(start, LennardJones())


def test_not_a_number_stops_with_the_last_good_structure() -> None:
    start = random_unit(14, np.random.default_rng(3))
    with pytest.raises(InputError, match="no finite energy"):
        minimise(start, Poisoned(0))
    found = minimise(start, Poisoned(3))
    assert not found.converged and "no finite energy" in found.reason
    assert np.isfinite(found.energy_per_atom) and np.isfinite(found.unit.free_coords).all()


def test_wrong_forces_end_with_a_reason_and_the_best_structure() -> None:
    start = random_unit(14, np.random.default_rng(3))
    found = minimise(start, Liar(cutoff=7.0, smooth=True))
    assert not found.converged and found.reason == "no step lowers the energy"


def test_limits_out_of_range() -> None:
    start = unit_of(225, cubic(4.2), [("Ar", "a", ())])
    with pytest.raises(UsageError, match="largest force"):
        minimise(start, LennardJones(), max_force=0.0)
    with pytest.raises(UsageError, match="number of steps"):
        minimise(start, LennardJones(), max_steps=-1)
