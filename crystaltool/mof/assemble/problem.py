"""Many coarse-grained MOFs as padded tensors: the connection points of the metal blocks and those of the others.

All of it lives in a Minkowski-reduced basis of the cell, where rounding fractional coordinates finds the nearest image
of anything closer than half the shortest lattice vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from crystaltool.arrays import Bool, Float, Int
from crystaltool.lattice import reduced_basis
from crystaltool.mof.blocks import NODE, CoarseMOF

_SIZES = (4, 8, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192, 256, 320, 400)


@dataclass(frozen=True)
class Side:
    """The metal blocks of each MOF and their connection points, or those of the other kinds; B MOFs.

    Args:
        points: connection points in the block's frame, A; shape (B, N, 3), zero where padded.
        directions: unit vectors of the cut bonds, from atom to connection point; shape (B, N, 3).
        block: block of each point, counted within the side; shape (B, N).
        member: 1 where a point belongs to a block; shape (B, K, N).
        centres: of the blocks, A; shape (B, K, 3).
    """

    points: Float[torch.Tensor, "B N 3"]
    directions: Float[torch.Tensor, "B N 3"]
    block: Int[torch.Tensor, "B N"]
    member: Float[torch.Tensor, "B K N"]
    centres: Float[torch.Tensor, "B K 3"]

    def select(self, index: Int[torch.Tensor, " C"]) -> Side:
        """The MOFs of the given rows."""
        return Side(*(tensor[index] for tensor in self._tensors))

    @property
    def _tensors(self) -> tuple[torch.Tensor, ...]:
        return self.points, self.directions, self.block, self.member, self.centres


@dataclass(frozen=True)
class Problem:
    """B MOFs to assemble.

    Args:
        lattice: reduced cells, rows, A; shape (B, 3, 3).
        metal, other: the two sides of every connection.
        present: the first n of the N places of points of each MOF; shape (B, N), the same for both sides.
    """

    lattice: Float[torch.Tensor, "B 3 3"]
    metal: Side
    other: Side
    present: Bool[torch.Tensor, "B N"]

    def select(self, index: Int[torch.Tensor, " C"]) -> Problem:
        """The MOFs of the given rows, repeats allowed."""
        return Problem(self.lattice[index], self.metal.select(index), self.other.select(index), self.present[index])


@dataclass(frozen=True)
class Pose:
    """Where the blocks of B MOFs stand.

    Args:
        metal_rotations, other_rotations: `x = coords @ rotation + centre`; shapes (B, K, 3, 3).
        metal_centres, other_centres: A; shapes (B, K, 3).
        lattice: rows, A; shape (B, 3, 3).
    """

    metal_rotations: Float[torch.Tensor, "B K 3 3"]
    metal_centres: Float[torch.Tensor, "B K 3"]
    other_rotations: Float[torch.Tensor, "B J 3 3"]
    other_centres: Float[torch.Tensor, "B J 3"]
    lattice: Float[torch.Tensor, "B 3 3"]

    def select(self, index: torch.Tensor) -> Pose:
        """The MOFs of the given rows."""
        return Pose(*(tensor[index] for tensor in self._tensors))

    def where(self, mask: Bool[torch.Tensor, " B"], other: Pose) -> Pose:
        """This pose where the mask holds, the other elsewhere."""
        pairs = zip(self._tensors, other._tensors, strict=True)
        return Pose(*(torch.where(mask.view(-1, *[1] * (a.ndim - 1)), a, b) for a, b in pairs))

    @property
    def rotations(self) -> Float[torch.Tensor, "B M 3 3"]:
        """Of the metal blocks, then of the others."""
        return torch.cat([self.metal_rotations, self.other_rotations], dim=1)

    @property
    def centres(self) -> Float[torch.Tensor, "B M 3"]:
        """Of the metal blocks, then of the others."""
        return torch.cat([self.metal_centres, self.other_centres], dim=1)

    @property
    def _tensors(self) -> tuple[torch.Tensor, ...]:
        return self.metal_rotations, self.metal_centres, self.other_rotations, self.other_centres, self.lattice


def of_points(
    vectors: Float[torch.Tensor, "B N 3"], rotations: Float[torch.Tensor, "B K 3 3"], block: Int[torch.Tensor, "B N"]
) -> Float[torch.Tensor, "B N 3"]:
    """Vectors of the blocks' frames, turned as their blocks are."""
    rows = torch.arange(len(vectors), device=vectors.device)[:, None]
    return (vectors.unsqueeze(-2) @ rotations[rows, block]).squeeze(-2)


def of_blocks(centres: Float[torch.Tensor, "B K 3"], block: Int[torch.Tensor, "B N"]) -> Float[torch.Tensor, "B N 3"]:
    """The centre of each point's block."""
    return centres[torch.arange(len(centres), device=centres.device)[:, None], block]


def size_of(mof: CoarseMOF) -> tuple[int, int, int]:
    """Metal blocks, other blocks and connections."""
    n_metal = sum(block.kind == NODE for block in mof.blocks)
    n_points = sum(block.n_connections for block in mof.blocks if block.kind == NODE)
    return n_metal, mof.n_blocks - n_metal, n_points


def padded_size(mof: CoarseMOF) -> tuple[int, int, int]:
    """The size rounded up: MOFs of one rounded size share a batch."""
    n_metal, n_other, n_points = (_round_up(n) for n in size_of(mof))
    return n_metal, n_other, n_points


def _round_up(n: int) -> int:
    return next((size for size in _SIZES if size >= n), n)


def block_order(mof: CoarseMOF) -> list[list[int]]:
    """Positions of the metal blocks and of the others."""
    kinds = [block.kind == NODE for block in mof.blocks]
    return [[k for k, metal in enumerate(kinds) if metal is side] for side in (True, False)]


def build_problem(mofs: Sequence[CoarseMOF], device: str | torch.device = "cpu") -> Problem:
    """Tensors of MOFs of one padded size, in double precision.

    Args:
        mofs: with as many connection points on metal blocks as on others.
        device: where the tensors live.
    """
    sizes = [max(numbers) for numbers in zip(*(size_of(mof) for mof in mofs), strict=True)]
    bases = reduced_basis(np.stack([mof.lattice for mof in mofs]))
    sides = [
        [_side_arrays(mof, order[which], sizes[which], sizes[2]) for mof, order in zip(mofs, orders, strict=True)]
        for orders in [[block_order(mof) for mof in mofs]]
        for which in (0, 1)
    ]
    metal, other = (
        Side(*(torch.as_tensor(np.stack(arrays), device=device) for arrays in zip(*side, strict=True)))
        for side in sides
    )
    lattice = torch.as_tensor(bases @ np.stack([mof.lattice for mof in mofs]), device=device)
    present = metal.member.sum(dim=1) > 0
    return Problem(lattice, metal, other, present)


def _side_arrays(mof: CoarseMOF, order: list[int], n_places: int, n_points: int) -> tuple[np.ndarray, ...]:
    points, directions, centres = np.zeros((n_points, 3)), np.zeros((n_points, 3)), np.zeros((n_places, 3))
    block_of, member = np.zeros(n_points, dtype=np.int64), np.zeros((n_places, n_points))
    start = 0
    for place, position in enumerate(order):
        block = mof.blocks[position]
        span = slice(start, start + block.n_connections)
        points[span] = block.connection_coords
        directions[span] = block.cut_vectors / np.linalg.norm(block.cut_vectors, axis=1, keepdims=True).clip(1e-6)
        block_of[span] = place
        member[place, span] = 1.0
        start = span.stop
    centres[: len(order)] = mof.centres[order] @ mof.lattice
    return points, directions, block_of, member, centres
