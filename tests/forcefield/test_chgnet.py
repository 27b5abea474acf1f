"""CHGNet behind the interface: derivatives, invariances, limits, and cells near the Materials Project's."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from crystaltool.asymunit import expand
from crystaltool.crystal import Crystal
from crystaltool.errors import InputError, MissingExtraError, UsageError
from crystaltool.forcefield.interface import Evaluation
from crystaltool.forcefield.minimise import minimise
from crystaltool.forcefield.registry import load_force_field, require_force_field
from tests.forcefield.test_symmetric_coordinates import operations_miss
from tests.forcefield.units import CORUNDUM, PERICLASE, ROCK_SALT, RUTILE, SILICON, cubic, unit_of


def test_missing_package_names_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'crystaltool\[mlip\]'"):
        require_force_field("chgnet")


def test_unknown_force_field_is_refused() -> None:
    with pytest.raises(UsageError, match="no force field 'lammps', expected one of: chgnet"):
        load_force_field("lammps")


pytest.importorskip("chgnet", reason="the mlip extra is not installed")


@pytest.fixture(scope="module")
def single():
    return load_force_field("chgnet")


@pytest.fixture(scope="module")
def double():
    from crystaltool.forcefield.chgnet import Chgnet

    return Chgnet("float64")


@pytest.fixture(scope="module")
def distorted() -> Crystal:
    """Rutile without any symmetry: atoms moved by 0.1 A, cell sheared."""
    rng = np.random.default_rng(5)
    crystal = expand(RUTILE)
    lattice = crystal.lattice @ (np.eye(3) + rng.normal(scale=0.02, size=(3, 3)))
    cart = crystal.frac_coords @ lattice + rng.normal(scale=0.1, size=(crystal.n_atoms, 3))
    return Crystal(lattice, cart @ np.linalg.inv(lattice), crystal.numbers)


def strained(crystal: Crystal, strain: np.ndarray) -> Crystal:
    return replace(crystal, lattice=crystal.lattice @ (np.eye(3) + strain))


def test_forces_are_minus_the_gradient(double, distorted: Crystal) -> None:
    forces, step = double.evaluate(distorted).forces, 1e-4
    assert np.abs(forces).max() > 0.5
    for atom, axis in [(0, 0), (1, 2), (3, 1), (5, 2)]:
        move = np.zeros((distorted.n_atoms, 3))
        move[atom, axis] = step
        move = move @ np.linalg.inv(distorted.lattice)
        up, down = (
            double.evaluate(replace(distorted, frac_coords=distorted.frac_coords + sign * move)).energy
            for sign in (1, -1)
        )
        assert forces[atom, axis] == pytest.approx(-(up - down) / (2 * step), abs=2e-4)


def test_stress_is_the_gradient_by_strain(double, distorted: Crystal) -> None:
    stress, step = double.evaluate(distorted).stress, 1e-5
    np.testing.assert_array_equal(stress, stress.T)
    for i, j in [(0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)]:
        strain = np.zeros((3, 3))
        strain[i, j] += step / 2
        strain[j, i] += step / 2
        up, down = (double.evaluate(strained(distorted, sign * strain)).energy for sign in (1, -1))
        assert stress[i, j] == pytest.approx((up - down) / (2 * step * distorted.volume), abs=2e-5)


def test_agrees_with_chgnets_own_call(single, distorted: Crystal) -> None:
    from pymatgen.core import Lattice, Structure

    structure = Structure(Lattice(distorted.lattice), distorted.numbers, distorted.frac_coords)
    own, found = single._model.predict_structure(structure), single.evaluate(distorted)
    assert found.energy / distorted.n_atoms == pytest.approx(float(own["e"]), abs=1e-5)
    np.testing.assert_allclose(found.forces, own["f"], atol=5e-5)
    np.testing.assert_allclose(found.stress * 160.2177, own["s"], atol=5e-4)


def _same(one: Evaluation, other: Evaluation, copies: int = 1) -> None:
    assert other.energy == pytest.approx(copies * one.energy, abs=1e-6)
    np.testing.assert_allclose(other.stress, one.stress, atol=1e-7)


def test_translation_lattice_vectors_and_order_change_nothing(double, distorted: Crystal) -> None:
    found = double.evaluate(distorted)
    assert np.abs(found.forces.sum(axis=0)).max() < 1e-8
    moved = double.evaluate(replace(distorted, frac_coords=distorted.frac_coords + np.array([0.31, -0.77, 2.05])))
    _same(found, moved)
    np.testing.assert_allclose(moved.forces, found.forces, atol=1e-6)
    turned = double.evaluate(
        Crystal(distorted.lattice, distorted.frac_coords[::-1].copy(), distorted.numbers[::-1].copy())
    )
    _same(found, turned)
    np.testing.assert_allclose(turned.forces[::-1], found.forces, atol=1e-6)


def test_rotation_turns_forces_and_stress(double, distorted: Crystal) -> None:
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    turn *= np.sign(np.linalg.det(turn))
    found, turned = double.evaluate(distorted), double.evaluate(replace(distorted, lattice=distorted.lattice @ turn))
    assert turned.energy == pytest.approx(found.energy, abs=1e-6)
    np.testing.assert_allclose(turned.forces, found.forces @ turn, atol=1e-6)
    np.testing.assert_allclose(turned.stress, turn.T @ found.stress @ turn, atol=1e-7)


def test_supercell_has_twice_the_energy(double, distorted: Crystal) -> None:
    found = double.evaluate(distorted)
    halves = distorted.frac_coords * [0.5, 1, 1]
    twice = Crystal(
        distorted.lattice * [[2], [1], [1]],
        np.concatenate([halves, halves + np.array([0.5, 0, 0])]),
        np.concatenate([distorted.numbers] * 2),
    )
    doubled = double.evaluate(twice)
    _same(found, doubled, copies=2)
    np.testing.assert_allclose(doubled.forces, np.concatenate([found.forces] * 2), atol=1e-6)


@pytest.mark.parametrize(
    ("unit", "message"),
    [
        (unit_of(225, cubic(4.9), [("Am", "a", ())]), r"no parameters for Am \(Z = 95\), it ends at Pu \(Z = 94\)"),
        (unit_of(221, cubic(15.0), [("He", "a", ())]), r"no neighbour within CHGNet's cutoff of 6 A"),
    ],
)
def test_what_the_model_cannot_do_is_refused(single, unit, message: str) -> None:
    with pytest.raises(InputError, match=message):
        single.evaluate(expand(unit))


def test_large_cells_are_refused_by_a_stated_limit(single) -> None:
    grid = np.stack(np.meshgrid(*[np.arange(11) / 11] * 3), axis=-1).reshape(-1, 3)
    with pytest.raises(InputError, match="cell of 1331 atoms, CHGNet is limited to 1000 here"):
        single.evaluate(Crystal(np.eye(3) * 40, grid, np.full(len(grid), 14)))


def test_importing_the_registry_imports_no_torch() -> None:
    import subprocess

    code = "import sys, crystaltool.forcefield.registry, crystaltool.forcefield.minimise; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


# Lattice constants of the Materials Project's PBE relaxations: mp-149, mp-22862, mp-1265, mp-2657, mp-1143.
@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        (SILICON, [5.47, 5.47, 5.47]),
        (ROCK_SALT, [5.69, 5.69, 5.69]),
        (PERICLASE, [4.26, 4.26, 4.26]),
        (RUTILE, [4.65, 4.65, 2.97]),
        (CORUNDUM, [4.81, 4.81, 13.12]),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_relaxed_cells_are_near_the_materials_projects(single, unit, expected: list[float]) -> None:
    start = replace(unit, lattice=unit.lattice * 1.04)
    found = minimise(start, single)
    assert found.converged and found.steps < 30
    np.testing.assert_allclose(np.linalg.norm(found.unit.lattice, axis=1), expected, rtol=0.012)
    assert operations_miss(found.unit) < 1e-6
