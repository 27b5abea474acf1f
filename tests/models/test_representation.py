"""Asymmetric units <-> what is diffused: exact round trips, statistics by hand, noise that symmetry does not see."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from crystaltool.asymunit import AsymUnit, expand, tabulate
from crystaltool.batch import symmetry_tensors
from crystaltool.lattice import (
    FREE_K,
    HEXAGONAL_K1,
    crystal_system_index,
    k_to_matrix,
    matrix_to_k,
    parameters_to_matrix,
)
from crystaltool.models.symmcd.representation import (
    free_components,
    gather_statistics,
    noise_factors,
    to_batch,
    to_units,
)
from crystaltool.nn.cells import symmetric_lattice
from crystaltool.symmetry.space_group import free_coordinate_maps, tables
from tests.models.tiny import ONE_OF_EACH_SYSTEM, batch_of, random_unit, random_units, textbook_table

SINGLE = 1e-6
"""`to_batch` keeps single precision, as training wants it."""


def assert_same(first: AsymUnit, second: AsymUnit, tolerance: float) -> None:
    assert (first.group, first.name) == (second.group, second.name)
    np.testing.assert_array_equal(first.numbers, second.numbers)
    np.testing.assert_array_equal(first.positions, second.positions)
    np.testing.assert_allclose(first.free_coords, second.free_coords, atol=tolerance)
    np.testing.assert_allclose(first.lattice, second.lattice, rtol=0, atol=20 * tolerance)


def test_round_trip_of_textbook_crystals_in_any_order() -> None:
    table = textbook_table()
    starts = np.cumsum(table.n_orbits) - table.n_orbits
    order = np.random.default_rng(0).permutation(len(table))
    batch = to_batch(table, order, starts)
    units = to_units(batch, [table.names[i] for i in order])
    for index, unit in zip(order, units, strict=True):
        assert_same(unit, table[int(index)], SINGLE)
    assert batch.mask.sum(1).tolist() == table.n_orbits[order].tolist()
    assert batch.position.max() > 100  # an index into all positions, not into those of the group


def test_round_trip_of_random_units_of_all_systems_in_double_precision() -> None:
    units = [unit for seed in range(3) for unit in random_units(np.random.default_rng(seed))]
    assert {int(crystal_system_index(unit.group)) for unit in units} == set(range(7))
    batch = batch_of(units)
    batch = batch.replace(k=torch.from_numpy(matrix_to_k(np.stack([unit.lattice for unit in units]))))
    for unit, back in zip(units, to_units(batch, [unit.name for unit in units]), strict=True):
        assert_same(back, unit, 1e-12)
        np.testing.assert_allclose(expand(back).frac_coords, expand(unit).frac_coords, atol=1e-12)


def test_cells_of_a_batch_are_exact_for_their_crystal_systems() -> None:
    """Whatever stands in the components of k that the system fixes."""
    units = random_units(np.random.default_rng(5))
    batch = batch_of(units)
    generator = torch.Generator().manual_seed(0)
    free = torch.from_numpy(FREE_K)[[int(crystal_system_index(unit.group)) for unit in units]]
    noisy = batch.replace(
        k=torch.where(free, batch.k, torch.randn(len(units), 6, generator=generator, dtype=torch.float64))
    )
    for first, second in zip(to_units(batch, [""] * 7), to_units(noisy, [""] * 7), strict=True):
        np.testing.assert_array_equal(first.lattice, second.lattice)


@pytest.mark.parametrize("group", ONE_OF_EACH_SYSTEM)
def test_symmetric_lattice_is_the_cell_up_to_rotation(group: int) -> None:
    rng = np.random.default_rng(group)
    cells = np.stack([random_unit(group, [0], rng).lattice for _ in range(5)])
    k = torch.from_numpy(matrix_to_k(cells))
    symmetric = symmetric_lattice(k)
    torch.testing.assert_close(symmetric, symmetric.transpose(1, 2), atol=1e-10, rtol=0)
    metric = cells @ np.swapaxes(cells, 1, 2)
    np.testing.assert_allclose((symmetric @ symmetric.transpose(1, 2)).numpy(), metric, rtol=1e-10, atol=1e-9)
    again = k_to_matrix(k.numpy())
    np.testing.assert_allclose(again @ np.swapaxes(again, 1, 2), metric, rtol=1e-10, atol=1e-9)


def test_free_components_follow_the_crystal_system() -> None:
    assert free_components(torch.arange(7)).sum(1).tolist() == [6, 4, 3, 2, 2, 2, 1]


# ---- noise


def test_noise_has_unit_determinant_and_its_inverse() -> None:
    symmetry = symmetry_tensors("cpu", torch.float64)
    factor, inverse = noise_factors(symmetry)
    for p, d in enumerate(symmetry.freedom.tolist()):
        block = factor[p, :d, :d]
        assert not factor[p, d:].any() and not factor[p, :, d:].any() and not inverse[p, d:].any()
        if d:
            assert float(torch.linalg.det(block)) == pytest.approx(1.0, abs=1e-9)
            torch.testing.assert_close(inverse[p, :d, :d] @ block, torch.eye(d, dtype=torch.float64), atol=1e-9, rtol=0)


def test_noise_commutes_with_every_operation_that_keeps_its_position() -> None:
    """A C A^T = C for each operation that maps operation 0's points onto themselves, at all 1,731 positions."""
    table, (maps, _) = tables(), free_coordinate_maps()
    factor, _ = noise_factors(symmetry_tensors("cpu", torch.float64))
    covariance = (factor @ factor.transpose(1, 2)).numpy()
    n_turned = {False: 0, True: 0}
    for g in range(230):
        operations = slice(table["first_operation"][g], table["first_operation"][g] + table["n_operations"][g])
        rotations = np.unique(table["op_rotation"][operations], axis=0).astype(float)
        for p in range(table["first_position"][g], table["first_position"][g] + table["n_positions"][g]):
            d = int(table["degrees_of_freedom"][p])
            if d == 0:
                continue
            first = table["orbit_rotation"][table["first_orbit"][p]][:, :d].astype(float)
            linear = maps[p].astype(float) @ rotations @ first
            kept = np.abs(linear[:, d:]).reshape(len(linear), -1).max(axis=1, initial=0) < 1e-9
            turn, c = linear[kept][:, :d], covariance[p, :d, :d]
            assert len(turn) >= 1
            np.testing.assert_allclose(turn @ c @ np.swapaxes(turn, 1, 2), np.broadcast_to(c, turn.shape), atol=1e-9)
            n_turned[bool(142 < g + 1 < 195)] += int((np.abs(turn - np.eye(d)).max(axis=(1, 2)) > 0.5).sum())
    assert min(n_turned.values()) > 500  # hexagonal axes and the others, neither vacuous


def test_isotropic_noise_would_not_commute_on_hexagonal_axes() -> None:
    """The oracle's own check: the threefold axis of P3 turns (u, v) into (-v, u - v)."""
    turn = np.array([[0.0, -1.0], [1.0, -1.0]])
    assert np.abs(turn @ turn.T - np.eye(2)).max() > 0.5


# ---- statistics


def hand_made() -> list[AsymUnit]:
    """Twelve simple cubic crystals of polonium, 4 A, and one of hexagonal magnesium: P6_3/mmc position c, 2 atoms."""
    polonium = AsymUnit(221, np.eye(3) * 4.0, np.array([84]), np.array([0]), np.zeros((1, 3)))
    hexagonal = parameters_to_matrix(3.2, 3.2, 5.2, 90.0, 90.0, 120.0)
    magnesium = AsymUnit(194, hexagonal, np.array([12]), np.array([2]), np.zeros((1, 3)))
    return [polonium] * 12 + [magnesium]


def test_statistics_of_a_hand_made_table() -> None:
    statistics = gather_statistics(tabulate(hand_made()))
    assert statistics.orbit_counts[220, 1] == 12 and statistics.orbit_counts[193, 1] == 1
    assert statistics.orbit_counts.sum() == 13
    # Ridge regression by hand: the two elements do not mix, so (12 v + mean) / (12 + 1) and (v + mean) / (1 + 1).
    po, mg = 64.0, 3.2**2 * 5.2 * np.sqrt(0.75) / 2
    mean = (12 * po + mg) / 13
    assert statistics.element_volume[84] == pytest.approx((12 * po + mean) / 13)
    assert statistics.element_volume[12] == pytest.approx((mg + mean) / 2)
    assert statistics.element_volume[26] == pytest.approx(mean)
    # Twelve equal cubic crystals: the mean is log a less log(predicted volume) / 3, the spread is the floor.
    assert statistics.k_mean[6, 5] == pytest.approx(np.log(4.0) - np.log(statistics.element_volume[84]) / 3)
    np.testing.assert_array_equal(statistics.k_scale[6], np.full(6, 1e-3))
    # One hexagonal crystal is too few to learn from; the fixed component holds all the same.
    np.testing.assert_array_equal(statistics.k_scale[5], np.ones(6))
    np.testing.assert_allclose(statistics.k_mean[5], [HEXAGONAL_K1, 0, 0, 0, 0, 0])


def test_statistics_count_orbits_by_group() -> None:
    table = textbook_table()
    counts = gather_statistics(table).orbit_counts
    expected = np.zeros_like(counts)
    for unit in table:
        expected[unit.group - 1, len(unit.numbers)] += 1
    np.testing.assert_array_equal(counts, expected)
