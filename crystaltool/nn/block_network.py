"""Invariant message passing over the atoms and connection points of building blocks.

Only distances and bonds enter: rotations, translations, reflections and the order of the atoms leave the output as it
is. Angles enter as the distances of second neighbours, torsions as those of third ones: both lie within the cutoff.

Shape glossary: B blocks, A points (atoms and connection points of all blocks), E pairs within the cutoff, each once,
M bonds, each once.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from crystaltool.nn.layers import ElementEmbedding, mlp
from crystaltool.nn.periodic_pairs import radial_basis

BOND_TYPES = 2
"""A bond, and the cut bond from an atom to its connection point."""

TYPICAL_NEIGHBOURS = 16.0
TYPICAL_POINTS = 25.0


@dataclass(frozen=True)
class BlockPairs:
    """Neighbours within the cutoff and the sizes of the blocks.

    Args:
        first, second: points of each pair, first < second; shape (E,).
        basis: radial functions of their distances; shape (E, N).
        diameter: largest distance of two points of each block, Angstrom; shape (B,).
    """

    first: Tensor
    second: Tensor
    basis: Tensor
    diameter: Tensor


def block_pairs(cart_coords: Tensor, n_points: Tensor, cutoff: float, n_functions: int) -> BlockPairs:
    """All pairs of points of one block that lie within the cutoff.

    Args:
        cart_coords: Angstrom, block by block; shape (A, 3).
        n_points: points of each block; shape (B,).
        cutoff: Angstrom. n_functions: radial functions.
    """
    start = n_points.cumsum(0) - n_points
    last = (start + n_points).repeat_interleave(n_points)
    points = torch.arange(len(cart_coords), device=cart_coords.device)
    count = last - points - 1
    first = points.repeat_interleave(count)
    before = count.cumsum(0) - count
    second = first + 1 + torch.arange(len(first), device=first.device) - before.repeat_interleave(count)
    distance = (cart_coords[first] - cart_coords[second]).norm(dim=1)
    point_block = torch.arange(len(n_points), device=first.device).repeat_interleave(n_points)
    diameter = torch.zeros(len(n_points), dtype=distance.dtype, device=distance.device)
    diameter = diameter.scatter_reduce(0, point_block[first], distance, "amax")
    near = distance < cutoff
    return BlockPairs(first[near], second[near], radial_basis(distance[near], cutoff, n_functions), diameter)


class BlockMessage(nn.Module):
    """One round: filtered sums over near points, learned messages along bonds, an update of every point.

    Args:
        width, pair_width: of points and of what passes between them.
        n_functions: radial functions; 0 for a round along bonds alone.
    """

    def __init__(self, width: int, pair_width: int, n_functions: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.near = n_functions > 0
        if self.near:
            self.pair_in = nn.Linear(width, pair_width)
            self.filter = nn.Linear(n_functions, pair_width)
        self.bond_in = nn.Linear(width, pair_width)
        self.bond = mlp(pair_width, pair_width, pair_width)
        self.update = mlp(width + (2 if self.near else 1) * pair_width, 2 * width, width)

    def forward(self, h: Tensor, pairs: BlockPairs, bonds: Tensor, bond_code: Tensor) -> Tensor:
        """h (A, width), bonds (M, 2), bond_code (M, pair_width) -> updated h."""
        normed = self.norm(h)
        received = [normed]
        if self.near:
            sent, weight = self.pair_in(normed), self.filter(pairs.basis)
            near = torch.zeros_like(sent)
            near = near.index_add(0, pairs.first, sent.index_select(0, pairs.second) * weight)
            near = near.index_add(0, pairs.second, sent.index_select(0, pairs.first) * weight)
            received.append(near / TYPICAL_NEIGHBOURS**0.5)
        ends = self.bond_in(normed)
        here, there = bonds.unbind(1)
        source, target = torch.cat([here, there]), torch.cat([there, here])
        code = torch.cat([bond_code, bond_code])
        message = self.bond(nn.functional.silu(ends.index_select(0, source) + code))
        received.append(torch.zeros_like(ends).index_add(0, target, message))
        return h + self.update(torch.cat(received, dim=-1))


class BlockNetwork(nn.Module):
    """One vector a block: sum, mean and largest value over its points after several rounds of messages.

    Args:
        width, pair_width: of points and of what passes between them.
        n_layers: rounds of messages along bonds; the first `n_near_layers` of them also between near points.
        n_functions: radial functions.
        n_out: length of the vector.
    """

    def __init__(
        self, width: int, pair_width: int, n_layers: int, n_near_layers: int, n_functions: int, n_out: int
    ) -> None:
        super().__init__()
        self.elements = ElementEmbedding(width)
        self.bond_types = nn.Embedding(BOND_TYPES, pair_width)
        self.layers = nn.ModuleList(
            BlockMessage(width, pair_width, n_functions if layer < n_near_layers else 0) for layer in range(n_layers)
        )
        self.norm = nn.LayerNorm(width)
        self.point_out = mlp(width, width, n_out)
        self.out = nn.Linear(3 * n_out, n_out)

    def forward(
        self, numbers: Tensor, n_points: Tensor, pairs: BlockPairs, bonds: Tensor, bond_types: Tensor
    ) -> Tensor:
        """Vectors of the blocks; shape (B, n_out).

        Args:
            numbers: atomic numbers, 0 for a connection point; shape (A,).
            n_points: points of each block; shape (B,).
            pairs: neighbours.
            bonds: points i, j of each bond; shape (M, 2).
            bond_types: 1 for a cut bond, else 0; shape (M,).
        """
        h = self.elements(numbers)
        code = self.bond_types(bond_types)
        for layer in self.layers:
            h = layer(h, pairs, bonds, code)
        point = self.point_out(self.norm(h)).to(h.dtype)  # sums in full precision under autocast
        block = torch.arange(len(n_points), device=h.device).repeat_interleave(n_points)
        total = point.new_zeros(len(n_points), point.shape[1]).index_add(0, block, point)
        most = point.new_zeros(total.shape).scatter_reduce(
            0, block[:, None].expand_as(point), point, "amax", include_self=False
        )
        return self.out(torch.cat([total / TYPICAL_POINTS, total / n_points[:, None], most], dim=-1))
