"""`BatchedProblem` and `BatchedPoses`: assembly problems and poses with the batch last, as the search works on them.

Blocks are counted over both sides (metal places, then the others), connection points too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from crystaltool.arrays import Bool, Float, Int
from crystaltool.mof.assemble.problem import Pose, Problem
from crystaltool.mof.assemble.rigid import inverse_inertia, turned


@dataclass(frozen=True)
class BatchedPoses:
    """Where the blocks stand, B times: rotations (`x_j = sum_i p_i R_ij`) and centres in A."""

    rotations: Float[torch.Tensor, "3 3 K B"]
    centres: Float[torch.Tensor, "3 K B"]

    def select(self, index: torch.Tensor) -> BatchedPoses:
        """The given columns."""
        return BatchedPoses(self.rotations[..., index], self.centres[..., index])

    def joined(self, other: BatchedPoses) -> BatchedPoses:
        """The columns of both."""
        return BatchedPoses.concatenated([self, other])

    @staticmethod
    def concatenated(states: Sequence[BatchedPoses]) -> BatchedPoses:
        """The columns of all."""
        return BatchedPoses(
            torch.cat([state.rotations for state in states], -1), torch.cat([state.centres for state in states], -1)
        )

    def pose(self, problem: Problem) -> Pose:
        """As rows, in the given cells; `problem` has as many rows as this has columns."""
        rotations = self.rotations.permute(3, 2, 0, 1).to(problem.lattice.dtype)
        centres = self.centres.permute(2, 1, 0).to(problem.lattice.dtype)
        n_metal = problem.metal.centres.shape[1]
        return Pose(
            rotations[:, :n_metal], centres[:, :n_metal], rotations[:, n_metal:], centres[:, n_metal:], problem.lattice
        )


@dataclass(frozen=True)
class BatchedProblem:
    """Assembly problems, B of them or one for all columns of a state (B = 1).

    Args:
        lattice, inverse: reduced cells and their inverses, A; shape (3, 3, B).
        vectors: connection points (A) and unit vectors of the cut bonds in the blocks' frames; shape (3, 2, 2 N, B).
        block: of each point; shape (2 N, B).
        present: shape (2 N, B), and as a number.
        count: points of each block; shape (K, B).
        centres: as given, A; shape (3, K, B).
        inverse_inertia: of each block's points and directions; shape (3, 3, K, B).
    """

    lattice: Float[torch.Tensor, "3 3 B"]
    inverse: Float[torch.Tensor, "3 3 B"]
    vectors: Float[torch.Tensor, "3 2 N2 B"]
    block: Int[torch.Tensor, "N2 B"]
    present: Bool[torch.Tensor, "N2 B"]
    count: Float[torch.Tensor, "K B"]
    centres: Float[torch.Tensor, "3 K B"]
    inverse_inertia: Float[torch.Tensor, "3 3 K B"]

    def select(self, index: torch.Tensor) -> BatchedProblem:
        """The given columns; where there is one for all it stays so."""
        if self.block.shape[-1] == 1:
            return self
        tensors = (self.lattice, self.inverse, self.vectors, self.block, self.present, self.count, self.centres)
        return BatchedProblem(*(x[..., index] for x in tensors), self.inverse_inertia[..., index])

    def place(self, state: BatchedPoses) -> tuple[torch.Tensor, torch.Tensor]:
        """Arms (from the block's centre to the point) and directions, and the points; (3, 2, 2 N, B), (3, 2 N, B)."""
        n_columns = state.centres.shape[-1]
        block = self.block.expand(-1, n_columns)
        rotations = torch.gather(state.rotations.flatten(0, 1), 1, block.expand(9, -1, -1)).unflatten(0, (3, 3))
        both = turned(self.vectors, rotations.unsqueeze(2))
        return both, both[:, 0] + torch.gather(state.centres, 1, block.expand(3, -1, -1))

    def sum_blocks(self, values: Float[torch.Tensor, "C N2 B"]) -> Float[torch.Tensor, "C K B"]:
        """Sums over the points of each block."""
        sums = values.new_zeros(len(values), len(self.count), values.shape[-1])
        return sums.scatter_add_(1, self.block.expand(values.shape), values)


def batched_problem(problem: Problem, direction: float) -> BatchedProblem:
    """The same problems in single precision, the batch last.

    Args:
        problem: B rows. direction: length of the lever by which the direction of a cut bond counts, A.
    """
    metal, other, n_metal = problem.metal, problem.other, problem.metal.centres.shape[1]
    present = torch.cat([problem.present, problem.present], 1).T
    points, directions = torch.cat([metal.points, other.points], 1), torch.cat([metal.directions, other.directions], 1)
    vectors = torch.stack([points, directions]).permute(3, 0, 2, 1).float() * present
    block = torch.cat([metal.block, other.block + n_metal], 1).T
    centres = torch.cat([metal.centres, other.centres], 1).permute(2, 1, 0).float()
    count = torch.cat([metal.member.sum(-1), other.member.sum(-1)], 1).T.float()
    lattice = problem.lattice.permute(1, 2, 0).float()
    inverse = torch.linalg.inv(problem.lattice).permute(1, 2, 0).float()
    outer = (
        vectors[:, None] * vectors[None] * torch.tensor([1.0, direction**2], device=block.device)[:, None, None]
    ).sum(2)
    tensor = outer.new_zeros(9, *count.shape).scatter_add_(1, block.expand(9, -1, -1), outer.flatten(0, 1))
    inertia = inverse_inertia(tensor.unflatten(0, (3, 3)))
    return BatchedProblem(lattice, inverse, vectors, block, present, count, centres, inertia)
