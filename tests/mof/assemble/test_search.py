"""The search for orientations: its sums by brute force, answers that are known, and what it keeps."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from crystaltool.lattice import parameters_to_matrix
from crystaltool.mof.assemble import AssemblyConfig
from crystaltool.mof.assemble.anneal import pairs
from crystaltool.mof.assemble.batched import BatchedPoses, batched_problem
from crystaltool.mof.assemble.problem import Problem, build_problem
from crystaltool.mof.assemble.rigid import rotations_of
from crystaltool.mof.assemble.search import Pool, search
from crystaltool.mof.blocks import CoarseMOF
from tests.mof.assemble.nets import cubic_net, cut, unposed

CONFIG = AssemblyConfig()
CELLS = {
    "cubic": np.eye(3) * 14.0,
    "orthorhombic": np.diag([13.0, 15.0, 17.0]),
    "triclinic": parameters_to_matrix(13.0, 15.0, 17.0, 71.0, 83.0, 104.0),
}


def generators(n: int, seed: int = 0) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, k]) for k in range(n)]


def searched(mof: CoarseMOF, seed: int = 0, config: AssemblyConfig = CONFIG) -> tuple[Problem, Pool]:
    problem = build_problem([mof])
    return problem, search(problem, generators(1, seed), config)


def costs_of(problem: Problem, state: BatchedPoses, column: int) -> np.ndarray:
    """Cost of joining each metal point to each other one, A^2, over 125 images, in numpy; (N, N)."""
    pose = state.select(torch.tensor([column])).pose(problem)
    lattice, ends = problem.lattice[0].numpy(), []
    for side, rotations, centres in (
        (problem.metal, pose.metal_rotations, pose.metal_centres),
        (problem.other, pose.other_rotations, pose.other_centres),
    ):
        block = side.block[0].numpy()
        turn = rotations[0].numpy()[block]
        points = np.einsum("ni,nij->nj", side.points[0].numpy(), turn) + centres[0].numpy()[block]
        ends.append((points, np.einsum("ni,nij->nj", side.directions[0].numpy(), turn)))
    (points, rays), (others, other_rays) = ends
    images = np.array(list(product(range(-2, 3), repeat=3))) @ lattice
    apart = others[None, :, None] - points[:, None, None] + images
    squares = (apart**2).sum(-1).min(-1)
    return squares + CONFIG.direction**2 * ((rays[:, None] + other_rays[None]) ** 2).sum(-1)


@pytest.mark.parametrize("cell", CELLS)
def test_a_net_that_closes_is_closed(cell: str) -> None:
    """Its true orientations are known to cost nothing; the search ends at a residual that it calls solved."""
    net = cubic_net(CELLS[cell])
    _, pool = searched(net)
    assert pool.gaps[0] <= CONFIG.solved * 6
    assert (np.diff(pool.totals) >= 0).all() and len(pool.totals) <= CONFIG.candidates


@pytest.mark.parametrize("noise", [0.0, 0.4])
def test_sums_are_those_of_the_best_of_all_matchings(noise: float) -> None:
    """Six points on each side: all 720 matchings are tried."""
    net = cubic_net(CELLS["triclinic"])
    moved = unposed(net, noise=noise, seed=2) if noise else net
    problem, pool = searched(moved)
    for column in range(min(3, len(pool.totals))):
        costs = costs_of(problem, pool.state, column)
        least = min(sum(costs[i, j] for i, j in enumerate(order)) for order in permutations(range(6)))
        assert pool.gaps[column] == pytest.approx(least, rel=1e-3, abs=1e-3)
        moves = pool.state.centres[..., column].T.numpy() - np.concatenate(
            [problem.metal.centres[0].numpy(), problem.other.centres[0].numpy()]
        )
        pulls = CONFIG.centre_pull**2 * (moves**2).sum()
        assert pool.totals[column] == pytest.approx(pool.gaps[column] + pulls, rel=1e-3, abs=1e-3)


def test_no_random_orientation_is_better() -> None:
    """Brute force over 4,000 rotations of all blocks about centres that have errors."""
    moved = unposed(cubic_net(CELLS["orthorhombic"]), noise=0.3, seed=5)
    problem, pool = searched(moved)
    columns = batched_problem(problem, CONFIG.direction)
    n = 4000
    quaternions = torch.as_tensor(np.random.default_rng(0).standard_normal((4, moved.n_blocks, n))).float()
    state = BatchedPoses(rotations_of(quaternions), columns.centres.expand(-1, -1, n))
    both, points = columns.place(state)
    table = pairs(columns, both[:, 1], points, CONFIG.direction**2)[1].permute(2, 1, 0).numpy()
    sums = [one[linear_sum_assignment(one)].sum() for one in table]
    assert pool.gaps[0] < min(sums)


def test_a_framework_cut_from_a_crystal_is_found_again() -> None:
    """At the centres of the crystal itself, where a solution without gaps exists."""
    mof = unposed(cut("MIL-47"))
    problem, pool = searched(mof)
    assert pool.gaps[0] <= CONFIG.solved * float(problem.present.sum())


def test_mofs_of_one_batch_keep_to_themselves() -> None:
    nets = [cubic_net(CELLS["cubic"]), cubic_net(CELLS["triclinic"])]
    pool = search(build_problem(nets), generators(2), CONFIG)
    assert set(pool.owner.tolist()) == {0, 1}
    for mof in (0, 1):
        assert pool.gaps[pool.owner == mof].min() <= CONFIG.solved * 6


def test_the_same_draws_give_the_same_poses() -> None:
    net = unposed(cubic_net(CELLS["triclinic"]), noise=0.3, seed=1)
    (_, first), (_, second) = searched(net), searched(net)
    assert torch.equal(first.state.rotations, second.state.rotations)
    np.testing.assert_array_equal(first.totals, second.totals)
    _, other = searched(net, seed=1)
    assert other.totals.shape != first.totals.shape or not np.array_equal(other.totals, first.totals)


def pool_of(owner: list[int], totals: list[float]) -> Pool:
    n = len(owner)
    state = BatchedPoses(torch.zeros(3, 3, 1, n), torch.arange(n).float().expand(3, 1, n))
    values = np.array(totals)
    return Pool(state, np.array(owner), values, values, np.zeros((n, 1)), np.zeros((n, 1, 1), dtype=bool))


def test_the_best_of_every_mof_one_of_each_sum() -> None:
    pool = pool_of([0, 1, 0, 0, 1, 0], [3.0, 1.0, 2.0, 2.0 + 1e-5, 5.0, 1.0])
    kept = pool.best(2)
    assert list(zip(kept.owner.tolist(), kept.totals.tolist(), strict=True)) == [(0, 1.0), (0, 2.0), (1, 1.0), (1, 5.0)]
    assert kept.state.centres[0, 0].tolist() == [5.0, 2.0, 1.0, 4.0]
    both = kept.joined(pool_of([0], [0.5])).best(2)
    assert both.totals[both.owner == 0].tolist() == [0.5, 1.0]


def test_poses_far_behind_are_left_out() -> None:
    """More than twice the least sum and a tenth of a square Angstrom a connection."""
    pool = pool_of([0, 0, 0, 1, 1], [1.0, 2.5, 2.7, 0.0, 0.7])
    assert pool.promising(np.array([6, 6])).totals.tolist() == [1.0, 2.5, 0.0]


def test_more_generations_are_never_worse() -> None:
    net = unposed(cubic_net(CELLS["triclinic"]), noise=0.5, seed=3)
    least = [
        searched(net, config=replace(CONFIG, generations=generations, solved=0.0))[1].totals[0]
        for generations in (0, 2, 4)
    ]
    assert least[0] >= least[1] >= least[2]
