"""Hard matching: which connection point is bound to which, and in which cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from crystaltool.arrays import Float, Int
from crystaltool.mof.assemble.problem import Pose, Problem, of_blocks, of_points


@dataclass(frozen=True)
class Matching:
    """One partner for every metal block's connection point, in B MOFs.

    Args:
        partner: connection point of the other side; shape (B, N), a permutation; padded ones have padded partners.
        images: cell of the reduced basis, counted from the metal block's, where the partner lies; shape (B, N, 3).
    """

    partner: Int[torch.Tensor, "B N"]
    images: Float[torch.Tensor, "B N 3"]

    def select(self, index: torch.Tensor) -> Matching:
        """The MOFs of the given rows."""
        return Matching(self.partner[index], self.images[index])


def match(problem: Problem, pose: Pose, direction: float) -> tuple[Matching, Float[torch.Tensor, "B N"]]:
    """The matching of least sum of squares over gaps and directions, and what each connection adds, A^2."""
    metal, other = problem.metal, problem.other
    points = of_points(metal.points, pose.metal_rotations, metal.block) + of_blocks(pose.metal_centres, metal.block)
    partners = of_points(other.points, pose.other_rotations, other.block) + of_blocks(pose.other_centres, other.block)
    directions = of_points(metal.directions, pose.metal_rotations, metal.block)
    theirs = of_points(other.directions, pose.other_rotations, other.block)
    frac = (partners[:, None] - points[:, :, None]).flatten(1, 2) @ torch.linalg.inv(pose.lattice)
    images = -frac.round()
    gaps = ((frac + images) @ pose.lattice).unflatten(1, (points.shape[1], -1))
    cost = gaps.square().sum(-1) + 2 * direction**2 * (1 + directions @ theirs.mT)
    table = cost.double().cpu().numpy()
    counts = problem.present.sum(dim=1).tolist()
    partner = np.tile(np.arange(table.shape[1]), (len(table), 1))
    for row, n in enumerate(counts):
        block = table[row, :n, :n]
        partner[row, :n] = linear_sum_assignment(block)[1]
    chosen = torch.as_tensor(partner, device=cost.device)
    images = images.unflatten(1, (points.shape[1], -1))
    picked = torch.take_along_dim(images, chosen[:, :, None, None].expand(-1, -1, 1, 3), dim=2).squeeze(2)
    costs = torch.take_along_dim(cost, chosen[..., None], dim=2).squeeze(2)
    return Matching(chosen, picked * problem.present[..., None]), costs * problem.present
