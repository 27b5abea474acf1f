"""Cells: parameters, matrices, k and reduced bases; every function in triclinic cells too."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crystaltool.errors import InputError
from crystaltool.lattice import (
    CRYSTAL_SYSTEMS,
    FREE_K,
    HEXAGONAL_K1,
    LATTICE_VECTORS,
    LOG_BASIS,
    constrain_k,
    crystal_system_index,
    k_to_matrix,
    matrix_to_k,
    matrix_to_parameters,
    parameters_to_matrix,
    reduced_basis,
)

lengths = st.floats(1.5, 60.0)
angles = st.floats(40.0, 140.0)
components = st.floats(-0.6, 0.6)
unhurried = settings(deadline=None)


def spans_a_volume(alpha: float, beta: float, gamma: float) -> bool:
    x, y, z = np.cos(np.radians([alpha, beta, gamma]))
    return 1 - x * x - y * y - z * z + 2 * x * y * z > 0.02


@unhurried
@given(lengths, lengths, lengths, angles, angles, angles)
def test_triclinic_parameters_come_back(a, b, c, alpha, beta, gamma):
    if not spans_a_volume(alpha, beta, gamma):
        return
    lattice = parameters_to_matrix(a, b, c, alpha, beta, gamma)
    np.testing.assert_allclose(matrix_to_parameters(lattice), [a, b, c, alpha, beta, gamma], rtol=1e-9)
    assert lattice[0, 1] == lattice[0, 2] == lattice[1, 2] == 0.0  # a along x, b in the xy plane
    assert np.linalg.det(lattice) > 0


def test_kyanite_volume():
    """Triclinic; Winter and Ghose, American Mineralogist 64 (1979) 573 give V = 293.6 A^3."""
    lattice = parameters_to_matrix(7.1262, 7.852, 5.5724, 89.99, 101.11, 106.03)
    assert np.linalg.det(lattice) == pytest.approx(293.6, abs=0.05)


def test_right_and_hexagonal_angles_are_exact():
    lattice = parameters_to_matrix(3.0, 3.0, 5.0, 90.0, 90.0, 120.0)
    assert lattice[2, 0] == lattice[2, 1] == 0.0
    assert lattice[1, 0] == -1.5


@pytest.mark.parametrize(
    "parameters",
    [(0, 1, 1, 90, 90, 90), (-3, 4, 5, 90, 90, 90), (3, 4, float("nan"), 90, 90, 90), (3, 4, 5, 30, 30, 90)],
)
def test_impossible_cells_are_refused(parameters):
    with pytest.raises(InputError):
        parameters_to_matrix(*map(float, parameters))


@unhurried
@given(st.lists(components, min_size=6, max_size=6), st.floats(0.0, 3.5))
def test_triclinic_k_comes_back(k, log_size):
    k = np.array(k)
    k[5] += log_size
    np.testing.assert_allclose(matrix_to_k(k_to_matrix(k)), k, atol=1e-10)


@pytest.mark.parametrize("system", range(7))
def test_k_is_exact_in_every_crystal_system(system):
    """Cells of the system have exactly the free components of k, and k gives the cell back."""
    rng = np.random.default_rng(system)
    for _ in range(50):
        a, b, c = rng.uniform(3.0, 15.0, 3)
        alpha, beta, gamma = rng.uniform(70.0, 110.0, 3)
        parameters = [
            (a, b, c, alpha, beta, gamma),
            (a, b, c, 90, beta, 90),
            (a, b, c, 90, 90, 90),
            (a, a, c, 90, 90, 90),
            (a, a, c, 90, 90, 120),
            (a, a, c, 90, 90, 120),
            (a, a, a, 90, 90, 90),
        ][system]
        lattice = parameters_to_matrix(*map(float, parameters))
        k = matrix_to_k(lattice)
        group = (1, 3, 16, 75, 143, 168, 195)[system]
        np.testing.assert_allclose(constrain_k(k, group), k, atol=1e-12)
        np.testing.assert_allclose(matrix_to_parameters(k_to_matrix(k)), parameters, rtol=1e-10)


@unhurried
@given(st.lists(components, min_size=6, max_size=6), st.integers(1, 230))
def test_constrained_k_is_a_cell_of_its_system(k, group):
    a, b, c, alpha, beta, gamma = matrix_to_parameters(k_to_matrix(constrain_k(np.array(k), group)))
    system = CRYSTAL_SYSTEMS[crystal_system_index(group)]
    if system in ("tetragonal", "trigonal", "hexagonal", "cubic"):
        assert a == pytest.approx(b, rel=1e-12)
    if system == "cubic":
        assert a == pytest.approx(c, rel=1e-12)
    if system != "triclinic":
        assert (alpha, gamma) == pytest.approx((90, 120 if system in ("trigonal", "hexagonal") else 90), abs=1e-9)
        assert system == "monoclinic" or beta == pytest.approx(90, abs=1e-9)


def test_k_does_not_see_the_rotation_of_the_cell():
    rng = np.random.default_rng(4)
    lattice = parameters_to_matrix(4.1, 6.3, 9.2, 71.0, 84.0, 103.0)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    np.testing.assert_allclose(matrix_to_k(lattice @ rotation), matrix_to_k(lattice), atol=1e-12)


def test_k_is_the_matrix_logarithm():
    """Against scipy's general matrix logarithm of L L^T, in a triclinic cell."""
    from scipy.linalg import logm

    lattice = parameters_to_matrix(4.1, 6.3, 9.2, 71.0, 84.0, 103.0)
    log = np.einsum("i,ijk->jk", matrix_to_k(lattice), LOG_BASIS)
    np.testing.assert_allclose(log, logm(lattice @ lattice.T) / 2, atol=1e-12)


def test_hexagonal_component():
    """k1 = -ln(3) / 4 in every hexagonal cell (SymmCD, arXiv 2502.03638)."""
    assert matrix_to_k(parameters_to_matrix(4.7592, 4.7592, 12.9918, 90.0, 90.0, 120.0))[0] == pytest.approx(
        -np.log(3) / 4
    )
    assert pytest.approx(-np.log(3) / 4) == HEXAGONAL_K1


def test_numbers_of_free_components():
    assert FREE_K.sum(axis=1).tolist() == [6, 4, 3, 2, 2, 2, 1]


def test_crystal_systems_of_the_groups():
    counts = np.bincount(crystal_system_index(np.arange(1, 231)))
    assert counts.tolist() == [2, 13, 59, 68, 25, 27, 36]  # International Tables A, 1.2
    assert crystal_system_index(167) == 4


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_reduced_basis_holds_the_shortest_vectors(seed):
    """A skew basis of a triclinic cell gives the shortest independent vectors among coefficients up to 3."""
    rng = np.random.default_rng(seed)
    cell = parameters_to_matrix(*rng.uniform(3.0, 12.0, 3), *rng.uniform(65.0, 115.0, 3))
    skew = np.eye(3, dtype=np.int64)
    for _ in range(6):
        i, j = rng.permutation(3)[:2]
        skew[i] += rng.integers(-3, 4) * skew[j]
    basis = reduced_basis(skew @ cell)
    assert abs(round(np.linalg.det(basis))) == 1
    reduced = basis @ (skew @ cell)
    lengths = np.sort(np.linalg.norm(reduced, axis=1))
    vectors = (np.indices((7, 7, 7)).reshape(3, -1).T - 3) @ cell
    independent: list[np.ndarray] = []
    for vector in vectors[np.argsort(np.linalg.norm(vectors, axis=1))][1:]:
        if np.linalg.matrix_rank(np.array([*independent, vector]), tol=1e-6) > len(independent):
            independent.append(vector)
        if len(independent) == 3:
            break
    np.testing.assert_allclose(lengths, np.linalg.norm(independent, axis=1), rtol=1e-9)


def test_reduced_basis_finds_the_nearest_image():
    """In the basis the 27 neighbours of a rounded point are enough: against all vectors with coefficients up to 6."""
    rng = np.random.default_rng(11)
    cell = parameters_to_matrix(4.0, 5.0, 9.0, 62.0, 118.0, 71.0)
    skew = np.array([[1, 0, 0], [2, 1, 0], [-1, 1, 1]])
    basis = reduced_basis(skew @ cell)
    reduced = basis @ skew @ cell
    for difference in rng.uniform(-1, 1, (50, 3)):
        inside = difference @ np.linalg.inv(basis)
        nearest = np.linalg.norm((inside - np.round(inside) + LATTICE_VECTORS) @ reduced, axis=1).min()
        far = difference @ skew + np.indices((13, 13, 13)).reshape(3, -1).T - 6
        assert nearest == pytest.approx(np.linalg.norm(far @ cell, axis=1).min(), abs=1e-9)


def test_reduced_basis_leaves_a_hexagonal_cell_its_vectors():
    cell = parameters_to_matrix(4.7592, 4.7592, 12.9918, 90.0, 90.0, 120.0)
    np.testing.assert_allclose(
        np.sort(np.linalg.norm(reduced_basis(cell) @ cell, axis=1)), [4.7592, 4.7592, 12.9918], rtol=1e-12
    )
