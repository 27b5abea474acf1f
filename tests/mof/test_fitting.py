"""Points of a block to where a net wants them: the rotation and the assignment come back."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.spatial.transform import Rotation

from crystaltool.mof.fitting import assign, fit_points, kabsch, spread_rotations, turn_points


@pytest.mark.parametrize("seed", range(5))
def test_kabsch_is_scipys_alignment(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(7, 3))
    targets = points @ Rotation.random(random_state=seed).as_matrix() + 0.1 * rng.normal(size=(7, 3))
    ours = kabsch(points, targets)
    theirs, _ = Rotation.align_vectors(targets, points)
    assert np.allclose(points @ ours, theirs.apply(points), atol=1e-8)
    assert np.isclose(np.linalg.det(ours), 1)


@pytest.mark.parametrize("k", [2, 3, 4, 6, 12])
def test_a_turned_and_renumbered_figure_is_found_again(k: int) -> None:
    rng = np.random.default_rng(k)
    points = 4 * rng.normal(size=(k, 3))
    points -= points.mean(axis=0)
    order = rng.permutation(k)
    targets = (points @ Rotation.random(random_state=k).as_matrix())[order]
    fits = fit_points(points, targets, spread_rotations(48))
    assert fits.misfits[0] < 1e-12
    assert np.allclose(points[fits.points[0]] @ fits.rotations[0], targets)
    if k > 3:  # points that lie on a line or in a plane go in several ways
        assert fits.points[0].tolist() == order.tolist()


def test_a_mirror_image_does_not_fit() -> None:
    points = np.array([[3.0, 0, 0], [0, 4, 0], [0, 0, 5], [-1, -2, -3]])
    points -= points.mean(axis=0)
    assert fit_points(points, points * [1, 1, -1], spread_rotations(48)).misfits[0] > 0.1


def test_fits_come_best_first_and_once() -> None:
    points = np.array([[1.0, 0, 0], [-1, 0, 0], [0, 2, 0], [0, -2, 0]])
    fits = fit_points(points, points, spread_rotations(64), most=16)
    assert (np.diff(fits.misfits) >= 0).all() and fits.misfits[0] < 1e-12
    for a in range(len(fits.misfits)):
        for b in range(a):
            apart = np.abs(fits.rotations[a] - fits.rotations[b]).max()
            assert apart > 0.2 or fits.misfits[a] - fits.misfits[b] > 1e-3


def test_assignment_of_least_sum() -> None:
    table = np.array([[[1.0, 9, 9], [9, 9, 2], [9, 3, 9]]])
    assert assign(table).tolist() == [[0, 2, 1]]


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_assignment_is_the_hungarian_methods_also_where_sums_tie(k: int) -> None:
    rng = np.random.default_rng(k)
    tables = np.concatenate([rng.normal(size=(50, k, k)), rng.integers(0, 2, (50, k, k)), np.zeros((1, k, k))])
    assert assign(tables).tolist() == [linear_sum_assignment(table)[1].tolist() for table in tables]


@pytest.mark.parametrize("k", [2, 3, 4, 6])
def test_many_blocks_are_turned_as_each_alone(k: int) -> None:
    rng = np.random.default_rng(k)
    points, targets = rng.normal(size=(2, 9, k, 3))
    targets[0] = points[0] = np.resize(np.eye(3), (k, 3))
    rotations, chosen = turn_points(points, targets, spread_rotations(24))
    for row in range(9):
        alone = fit_points(points[row], targets[row], spread_rotations(24), most=1)
        assert np.array_equal(rotations[row], alone.rotations[0]) and np.array_equal(chosen[row], alone.points[0])
