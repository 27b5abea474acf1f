"""Soft matching that hardens: Sinkhorn weights between connection points, blocks that follow the pull of their points.

A kernel of falling width weighs every pair of a metal block's and another block's connection point, nearest images
alone; rows and columns are normalised in turn (Sinkhorn, Ann. Math. Stat. 35 (1964) 876). Both points of a pair move
toward each other: each block by a Gauss-Newton step of its rotation, its centre to the least squares of the pull and
the weight that a Gaussian error of `centre_spread` gives the centre as it was given.
"""

from __future__ import annotations

import torch

from crystaltool.arrays import Float
from crystaltool.mof.assemble.assembly import AssemblyConfig
from crystaltool.mof.assemble.batched import BatchedPoses, BatchedProblem
from crystaltool.mof.assemble.rigid import cross, turn

_SHARE = 0.6
"""Part of the way to its partner that a point goes in one step; the partner comes to meet it."""

_MOST_TURN = 1.0
"""Radians in one step."""


def anneal(
    problem: BatchedProblem, state: BatchedPoses, config: AssemblyConfig, first: Float[torch.Tensor, " B"], steps: int
) -> BatchedPoses:
    """Rotations and centres after `steps` widths, from each column's first to the last in A; the cell stays."""
    n = len(problem.block) // 2
    shrink = config.last_width / first
    lever = config.direction**2
    for step in range(steps + config.settling):
        width = first * shrink ** (min(step, steps - 1) / max(steps - 1, 1))
        both, points = problem.place(state)
        apart, costs = pairs(problem, both[:, 1], points, lever)
        weights = sinkhorn(costs / (2 * width**2), problem.present[:n], config.sinkhorn_steps)
        pull = (apart * weights).sum(1), -(apart * weights).sum(2)
        pull = (problem.lattice[:, :, None] * torch.cat(pull, 1)[:, None]).sum(0)
        rays = both[:, 1]
        aims = torch.cat([-(weights * rays[:, n:, None]).sum(1), -(weights * rays[:, None, :n]).sum(2)], 1)
        torque = cross(both[:, 0], pull) + lever * cross(rays, aims)
        sums = problem.sum_blocks(torch.cat([torque, pull]))
        stiffness = (width / config.centre_spread) ** 2 if step < steps else config.centre_pull**2
        moved = _SHARE * sums[3:] + problem.count * state.centres + stiffness * problem.centres
        centres = moved / (problem.count + stiffness)
        state = BatchedPoses(turn(state.rotations, _SHARE * sums[:3], problem.inverse_inertia, _MOST_TURN), centres)
    return state


def pairs(
    problem: BatchedProblem, rays: Float[torch.Tensor, "3 N2 B"], points: Float[torch.Tensor, "3 N2 B"], lever: float
) -> tuple[Float[torch.Tensor, "3 N N B"], Float[torch.Tensor, "N N B"]]:
    """From every metal point (second place) to every other (first place): fractional vector and cost in A^2.

    The cost is the square of the distance to the nearest image, for a reduced cell, and `lever` times that of the sum
    of the two directions.
    """
    n = points.shape[1] // 2
    frac = (problem.inverse[:, :, None] * points[:, None]).sum(0)
    apart = frac[:, n:, None] - frac[:, None, :n]
    apart -= apart.round()
    metric = (problem.lattice[:, None] * problem.lattice[None]).sum(2)[:, :, None, None]
    x, y, z = apart
    costs = x * (metric[0, 0] * x + 2 * metric[0, 1] * y + 2 * metric[0, 2] * z)
    costs += y * (metric[1, 1] * y + 2 * metric[1, 2] * z)
    costs.addcmul_(z * metric[2, 2], z)
    cosine = rays[0, n:, None] * rays[0, None, :n]
    for axis in (1, 2):
        cosine.addcmul_(rays[axis, n:, None], rays[axis, None, :n])
    return apart, costs.add_(cosine, alpha=2 * lever).add_(2 * lever)


def sinkhorn(energies: Float[torch.Tensor, "N N B"], present: torch.Tensor, steps: int) -> Float[torch.Tensor, "N N B"]:
    """Weights that fall off as exp(-energy), rows and columns normalised in turn; zero where nothing is present.

    The logistic function stands for the exponential one, which is slower and differs where neither matters.
    """
    weights = torch.sigmoid(energies.amin(0) - energies)
    weights *= present[:, None] & present[None]
    for _ in range(steps):
        weights /= weights.sum(1, keepdim=True).clamp_min_(1e-20)
        weights /= weights.sum(0, keepdim=True).clamp_min_(1e-20)
    return weights
