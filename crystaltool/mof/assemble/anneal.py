"""Soft matching that hardens: Sinkhorn weights between connection points, Kabsch rotations of the blocks they pull at.

A Gaussian of falling width weighs every pair of a metal block's and another block's connection point, nearest images
alone; rows and columns are normalised in turn (Sinkhorn, Ann. Math. Stat. 35 (1964) 876). The two sides move in turn,
each block to the rotation and centre of least squares (Kabsch, Acta Cryst. A32 (1976) 922), its centre with the weight
that a Gaussian error of `centre_spread` gives it.
"""

from __future__ import annotations

import torch

from crystaltool.arrays import Float
from crystaltool.mof.assemble.nouns import AssemblyConfig
from crystaltool.mof.assemble.problem import Pose, Problem, Side, of_blocks, of_points

_STICK = 0.02
"""Weight of a block's present rotation, A^2: directions about which its connection points say nothing stay."""


def anneal(problem: Problem, start: Pose, config: AssemblyConfig, first: float, steps: int) -> Pose:
    """Rotations and centres after `steps` widths from `first` A to the last; the cell stays as it is."""
    inverse = torch.linalg.inv(problem.lattice)
    last = config.widths[1]
    metal, other = problem.metal, problem.other
    metal_state = (start.metal_rotations, start.metal_centres)
    other_state = (start.other_rotations, start.other_centres)
    for step in range(steps):
        width = first * (last / first) ** (step / max(steps - 1, 1))
        # each side in turn comes to the other, which stands still
        metal_state = _come(problem, inverse, metal, metal_state, other, other_state, width, config)
        other_state = _come(problem, inverse, other, other_state, metal, metal_state, width, config)
    return Pose(*metal_state, *other_state, problem.lattice)


def _come(problem, inverse, mine: Side, my_state, theirs: Side, their_state, width: float, config: AssemblyConfig):
    rotations, centres = my_state
    points = of_points(mine.points, rotations, mine.block) + of_blocks(centres, mine.block)
    directions = of_points(mine.directions, rotations, mine.block)
    their_points = of_points(theirs.points, their_state[0], theirs.block) + of_blocks(their_state[1], theirs.block)
    their_directions = of_points(theirs.directions, their_state[0], theirs.block)
    gaps = nearest(their_points[:, None] - points[:, :, None], problem.lattice, inverse)
    cost = gaps.square().sum(-1) + 2 * config.direction**2 * (1 + directions @ their_directions.mT)
    weights = sinkhorn(cost / (2 * width**2), problem.present, config.sinkhorn_steps)
    total = weights.sum(-1, keepdim=True).clamp_min(1e-12)
    weights = weights / total
    pull = problem.present.to(weights.dtype)[..., None]
    targets = (points + (weights[..., None] * gaps).sum(-2)) * pull
    aims = -(weights @ their_directions) * pull
    stiffness = (width / config.centre_spread) ** 2
    count = mine.member.sum(-1, keepdim=True)
    moved = (mine.member @ targets + stiffness * mine.centres) / (count + stiffness)
    targets = targets - of_blocks(moved, mine.block) * pull
    outer = mine.points[..., :, None] * targets[..., None, :]
    outer = outer + config.direction**2 * mine.directions[..., :, None] * aims[..., None, :]
    covariance = (mine.member @ outer.flatten(-2)).unflatten(-1, (3, 3)) + _STICK * rotations
    return nearest_rotation(covariance), moved


def nearest(
    vectors: Float[torch.Tensor, "B *N 3"], lattice: Float[torch.Tensor, "B 3 3"], inverse: Float[torch.Tensor, "B 3 3"]
) -> Float[torch.Tensor, "B *N 3"]:
    """Vectors to the nearest images, for a reduced cell."""
    flat = vectors.flatten(1, -2)
    frac = flat @ inverse
    return ((frac - frac.round()) @ lattice).reshape(vectors.shape)


def sinkhorn(energies: Float[torch.Tensor, "B N N"], present: torch.Tensor, steps: int) -> Float[torch.Tensor, "B N N"]:
    """Weights exp(-energy), rows and columns normalised in turn; zero in rows and columns that are not present."""
    weights = torch.exp(energies.amin(dim=-1, keepdim=True) - energies)
    weights = weights * present[:, :, None] * present[:, None, :]
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


def random_rotations(normals: Float[torch.Tensor, "*B 4"]) -> Float[torch.Tensor, "*B 3 3"]:
    """Uniform rotations from normal quadruples (quaternions)."""
    w, x, y, z = (normals / normals.norm(dim=-1, keepdim=True)).unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))
