"""Soft matching that hardens: Sinkhorn weights between connection points, Kabsch rotations of the blocks they pull at.

A Gaussian of falling width weighs every pair of a metal block's and another block's connection point, nearest images
alone; rows and columns are normalised in turn (Sinkhorn, Ann. Math. Stat. 35 (1964) 876). The two sides move in turn,
each block to the rotation and centre of least squares (Kabsch, Acta Cryst. A32 (1976) 922), its centre with the weight
that a Gaussian error of `centre_spread` gives it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from crystaltool.arrays import Float
from crystaltool.mof.assemble.nouns import AssemblyConfig
from crystaltool.mof.assemble.problem import Pose, Problem, Side

_STICK = 0.02
"""Weight of a block's present rotation, A^2: directions about which its connection points say nothing stay."""


def anneal(problem: Problem, start: Pose, config: AssemblyConfig, first: Float[torch.Tensor, "B"], steps: int) -> Pose:
    """Rotations and centres after `steps` widths, from each row's first to the last in A; the cell stays as it is."""
    inverse = torch.linalg.inv(problem.lattice)
    metal = _placed(problem.metal, start.metal_rotations, start.metal_centres)
    other = _placed(problem.other, start.other_rotations, start.other_centres)
    shrink = config.last_width / first
    for step in range(steps):
        width = (first * shrink ** (step / max(steps - 1, 1)))[:, None, None]
        # each side in turn comes to the other, which stands still
        metal = _come(problem, inverse, problem.metal, metal, other, width, config)
        other = _come(problem, inverse, problem.other, other, metal, width, config)
    return Pose(metal.rotations, metal.centres, other.rotations, other.centres, problem.lattice)


@dataclass(frozen=True)
class _Placed:
    """Where the blocks of one side stand, and with them their connection points and directions."""

    rotations: torch.Tensor
    centres: torch.Tensor
    points: torch.Tensor
    directions: torch.Tensor


def _placed(side: Side, rotations: torch.Tensor, centres: torch.Tensor) -> _Placed:
    rows = torch.arange(len(centres), device=centres.device)[:, None]
    both = torch.stack([side.points, side.directions], dim=-2) @ rotations[rows, side.block]
    return _Placed(rotations, centres, both[..., 0, :] + centres[rows, side.block], both[..., 1, :])


def _come(problem, inverse, side: Side, mine: _Placed, theirs: _Placed, width, config: AssemblyConfig) -> _Placed:
    """One side after each of its blocks has gone to where the points of the other side pull it."""
    n = mine.points.shape[1]
    frac = (theirs.points @ inverse).mT[:, :, None, :] - (mine.points @ inverse).mT[:, :, :, None]
    frac = (frac - frac.round()).flatten(2)  # (B, 3, N N): to the nearest image, for a reduced cell
    cost = (problem.lattice.mT @ frac).square().sum(1).unflatten(1, (n, n))
    cost = cost + 2 * config.direction**2 * (1 + mine.directions @ theirs.directions.mT)
    weights = sinkhorn(cost / (2 * width**2), problem.present, config.sinkhorn_steps)
    pull = (frac.unflatten(2, (n, n)) * weights[:, None]).sum(-1).mT @ problem.lattice
    targets = (mine.points + pull) * problem.present[..., None]
    aims = -(weights @ theirs.directions)
    stiffness = (width / config.centre_spread) ** 2
    count = side.member.sum(-1, keepdim=True)
    centres = (side.member @ targets + stiffness * side.centres) / (count + stiffness)
    arms = targets - side.member.mT @ centres
    outer = side.points[..., :, None] * arms[..., None, :]
    outer = outer + config.direction**2 * side.directions[..., :, None] * aims[..., None, :]
    covariance = (side.member @ outer.flatten(-2)).unflatten(-1, (3, 3)) + _STICK * mine.rotations
    return _placed(side, nearest_rotation(covariance), centres)


def sinkhorn(energies: Float[torch.Tensor, "B N N"], present: torch.Tensor, steps: int) -> Float[torch.Tensor, "B N N"]:
    """Weights exp(-energy), rows and columns normalised in turn; zero in rows and columns that are not present."""
    weights = torch.exp(energies.amin(dim=-1, keepdim=True) - energies)
    weights = weights * (present[:, :, None] & present[:, None, :])
    for _ in range(steps):
        weights = weights / weights.sum(dim=-2, keepdim=True).clamp_min(1e-20)
        weights = weights / weights.sum(dim=-1, keepdim=True).clamp_min(1e-20)
    return weights


def nearest_rotation(covariance: Float[torch.Tensor, "*B 3 3"]) -> Float[torch.Tensor, "*B 3 3"]:
    """The proper rotation R of largest tr(R^T C)."""
    left, _, right = torch.linalg.svd(covariance)
    sign = torch.linalg.det(left) * torch.linalg.det(right)
    left = torch.cat([left[..., :2], left[..., 2:] * sign.sign()[..., None, None]], dim=-1)
    return left @ right


def rotations_of(quaternions: Float[torch.Tensor, "*B 4"]) -> Float[torch.Tensor, "*B 3 3"]:
    """Rotations of quaternions of any length; uniform for normal quadruples."""
    w, x, y, z = (quaternions / quaternions.norm(dim=-1, keepdim=True)).unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))
