"""The free coordinates of a group: counts, exact symmetry, and the gradient against finite differences."""

from __future__ import annotations

import numpy as np
import pytest

from crystaltool.asymunit import expand
from crystaltool.forcefield.symmetric_coordinates import PRIMITIVE_ROWS, SymmetricCoordinates, invariant_strains
from crystaltool.lattice import FREE_K, crystal_system_index
from crystaltool.symmetry import space_group
from tests.forcefield.lennard_jones import LennardJones
from tests.forcefield.units import CORUNDUM, ROCK_SALT, RUTILE, SILICON, random_unit

#: A group of every centring and crystal system.
GROUPS = (1, 2, 5, 14, 38, 43, 71, 82, 96, 136, 148, 160, 167, 176, 194, 205, 217, 225, 227)


def test_primitive_rows_span_the_lattice_of_every_group() -> None:
    for number in range(1, 231):
        group = space_group(number)
        rows = np.array(PRIMITIVE_ROWS[group.centring])
        centring = group.translations[(group.rotations == np.eye(3)).all(axis=(1, 2))]
        assert np.linalg.det(rows) == pytest.approx(1 / len(centring))
        in_primitive = centring @ np.linalg.inv(rows)
        np.testing.assert_allclose(in_primitive, np.round(in_primitive), atol=1e-12)


@pytest.mark.parametrize("number", GROUPS)
def test_as_many_strains_as_the_crystal_system_frees(number: int) -> None:
    unit = random_unit(number, np.random.default_rng(number))
    strains = invariant_strains(unit.lattice, space_group(number).rotations)
    assert len(strains) == FREE_K[crystal_system_index(number)].sum()
    np.testing.assert_allclose(np.einsum("aij,bij->ab", strains, strains), np.eye(len(strains)), atol=1e-12)


@pytest.mark.parametrize("number", GROUPS)
def test_primitive_cell_holds_the_same_crystal(number: int) -> None:
    unit = random_unit(number, np.random.default_rng(number))
    coordinates = SymmetricCoordinates(unit)
    primitive, full = coordinates.crystal(np.zeros(coordinates.n_free)), expand(unit)
    assert full.volume / primitive.volume == pytest.approx(full.n_atoms / primitive.n_atoms)
    apart = full.frac_coords[:, None] - primitive.cart_coords @ np.linalg.inv(full.lattice)
    in_primitive = apart @ full.lattice @ np.linalg.inv(primitive.lattice)
    same = (np.abs(in_primitive - np.round(in_primitive)) < 1e-9).all(axis=2)
    assert (same.sum(axis=1) == 1).all()
    assert (same.sum(axis=0) == full.n_atoms // primitive.n_atoms).all()


@pytest.mark.parametrize("number", GROUPS)
def test_every_vector_is_a_structure_of_the_group(number: int) -> None:
    rng = np.random.default_rng(number)
    coordinates = SymmetricCoordinates(random_unit(number, rng))
    q = rng.normal(scale=0.3, size=coordinates.n_free)
    assert operations_miss(coordinates.unit(q)) < 1e-9
    metric = coordinates.unit(q).lattice @ coordinates.unit(q).lattice.T
    for rotation in space_group(number).rotations:
        np.testing.assert_allclose(rotation.T @ metric @ rotation, metric, atol=1e-9)


def operations_miss(unit) -> float:
    """Farthest that an operation of the group carries an atom from the nearest like atom, in Angstrom."""
    crystal, group, worst = expand(unit), space_group(unit.group), 0.0
    for rotation, translation in zip(group.rotations, group.translations, strict=True):
        moved = crystal.frac_coords @ rotation.T + translation
        apart = moved[:, None] - crystal.frac_coords
        distance = np.linalg.norm((apart - np.round(apart)) @ crystal.lattice, axis=2)
        distance[crystal.numbers[:, None] != crystal.numbers] = np.inf
        worst = max(worst, float(distance.min(axis=1).max()))
    return worst


@pytest.mark.parametrize("number", [1, 5, 14, 38, 43, 82, 148, 160, 176, 205, 217])
def test_gradient_is_the_finite_difference_of_the_energy(number: int) -> None:
    """Away from the start too, where lattice and strain no longer commute."""
    rng = np.random.default_rng(number)
    coordinates, field = SymmetricCoordinates(random_unit(number, rng)), LennardJones(cutoff=7.0, smooth=True)
    q = rng.normal(scale=0.2, size=coordinates.n_free)
    gradient = coordinates.gradient(q, field.evaluate(coordinates.crystal(q)))
    step = 1e-5
    for component in range(coordinates.n_free):
        offset = np.zeros_like(q)
        offset[component] = step
        rise = [field.evaluate(coordinates.crystal(q + sign * offset)).energy for sign in (1, -1)]
        numeric = (rise[0] - rise[1]) / (2 * step)
        assert gradient[component] == pytest.approx(numeric, rel=1e-5, abs=1e-6 * np.abs(gradient).max())


def test_length_of_q_is_the_displacement_of_all_atoms() -> None:
    coordinates = SymmetricCoordinates(CORUNDUM, fixed_cell=True)
    q = np.array([0.003, 0.004])
    moved = coordinates.crystal(q).cart_coords - coordinates.crystal(0 * q).cart_coords
    assert np.linalg.norm(moved) == pytest.approx(0.005)
    assert coordinates.largest_move(q) == pytest.approx(np.linalg.norm(moved, axis=1).max())


def test_freedoms_of_textbook_crystals() -> None:
    assert [SymmetricCoordinates(unit).n_free for unit in (SILICON, ROCK_SALT, RUTILE, CORUNDUM)] == [1, 1, 3, 4]
    assert [SymmetricCoordinates(unit).n_atoms for unit in (SILICON, ROCK_SALT, RUTILE, CORUNDUM)] == [2, 2, 6, 10]
    assert SymmetricCoordinates(RUTILE, fixed_cell=True).n_free == 1
