"""Denoiser of the continuous half on the atoms of a primitive cell: every atom sees every other one, with directions.

Asymmetric units hide what matters from a network: which way a neighbour lies, and that several neighbours are images of
one orbit. So messages run between single atoms. What a pair is told is complete for one crystal in the setting of its
group: sines and cosines of the fractional difference (the far view, which survives much noise), and sums over all
images within the cutoff of radial functions, unit vectors and their outer products (the near view). Both stand in the
axes of the cell, which the setting of the space group fixes; the result is averaged over the operations of each orbit.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from crystaltool.nn.layers import CellHead, ElementEmbedding, NoiseEmbedding, Sites, strain_of, zero_linear
from crystaltool.nn.periodic_pairs import OrbitPairs
from crystaltool.nn.position_encoder import PositionEncoder

LARGEST_WAVE = 2
"""Components of the plane waves of all directions; along the axes there are waves up to `LONGEST_AXIAL_WAVE`."""

LONGEST_AXIAL_WAVE = 6

MODULATION_RANK = 64
"""What the crystal as a whole tells each block goes through so many numbers."""


def wave_vectors() -> Tensor:
    """Integer vectors k, one of each pair k and -k; shape (W, 3)."""
    span = range(-LARGEST_WAVE, LARGEST_WAVE + 1)
    half = [k for k in itertools.product(span, span, span) if k > (0, 0, 0)]
    long = range(LARGEST_WAVE + 1, LONGEST_AXIAL_WAVE + 1)
    axial = [tuple(n * (i == axis) for i in range(3)) for n in long for axis in range(3)]
    return torch.tensor(half + axial, dtype=torch.float32)


class AtomBlock(nn.Module):
    """Edge messages, attention with a bias from the pairs, and a feed-forward step, all modulated by the crystal.

    Args:
        width, pair_width, n_heads: size.
    """

    def __init__(self, width: int, pair_width: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.pair_norm = nn.LayerNorm(pair_width)
        last = zero_linear(MODULATION_RANK, 6 * width)
        self.modulation = nn.Sequential(nn.Linear(width, MODULATION_RANK), last)
        self.left, self.right = nn.Linear(width, pair_width), nn.Linear(width, pair_width, bias=False)
        self.edge = nn.Sequential(nn.Linear(pair_width, pair_width), nn.SiLU(), nn.Linear(pair_width, pair_width))
        self.bias = nn.Linear(pair_width, n_heads, bias=False)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width + pair_width, width)
        self.feed = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width))

    def forward(self, h: Tensor, pair: Tensor, g: Tensor, keys: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        """One round.

        Args:
            h: atoms; (B, N, width). pair: (B, N, N, pair_width). g: crystal; (B, width).
            keys: 0 where an atom is, -inf where none is; (B, 1, 1, N).
            share: weight of the sum over neighbours, 0 for absent ones; (B, N, N, 1).
        """
        n, length, width = h.shape
        scale_1, shift_1, gate_1, scale_2, shift_2, gate_2 = self.modulation(g)[:, None].chunk(6, dim=-1)
        x = self.norm(h) * (1 + scale_1) + shift_1
        left, right = self.left(x), self.right(x)
        message = self.edge(functional.silu(self.pair_norm(pair).to(left.dtype) + left[:, :, None] + right[:, None, :]))
        pair = pair + message
        q, k, v = self.qkv(x).view(n, length, 3, self.n_heads, -1).permute(2, 0, 3, 1, 4)
        bias = self.bias(message).permute(0, 3, 1, 2) + keys.to(message.dtype)
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))
        received = (functional.silu(message) * share.to(message.dtype)).sum(2)
        both = torch.cat([mixed.transpose(1, 2).reshape(n, length, width), received], dim=-1)
        h = h + (1 + gate_1) * self.out(both)
        y = self.norm(h) * (1 + scale_2) + shift_2
        return h + (1 + gate_2) * self.feed(y), pair


@dataclass(frozen=True)
class Atoms:
    """The atoms of the primitive cells of a batch.

    Args:
        slot: orbit of each atom; shape (B, N).
        mask: where an atom is; shape (B, N).
        difference: fractional coordinates of b minus those of a on a primitive basis; shape (B, N, N, 3).
    """

    slot: Tensor
    mask: Tensor
    difference: Tensor


class AtomDenoiser(nn.Module):
    """Displacements of atoms and the change of the cell.

    Args:
        encoder: vectors of positions and groups.
        width, pair_width, n_layers, n_heads: size.
        n_functions: radial functions of the pair sums.
    """

    waves: Tensor

    def __init__(
        self, encoder: PositionEncoder, width: int, pair_width: int, n_layers: int, n_heads: int, n_functions: int
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.elements = ElementEmbedding(width)
        self.noise = NoiseEmbedding(width)
        self.cell_in = nn.Linear(6 + 6 + 3, width)
        with torch.device("cpu"):
            self.register_buffer("waves", wave_vectors(), persistent=False)
        self.near_in = nn.Linear(11 * n_functions, pair_width)
        self.far_in = nn.Linear(2 * len(self.waves), pair_width)
        self.same_orbit = nn.Embedding(3, pair_width)
        self.blocks = nn.ModuleList(AtomBlock(width, pair_width, n_heads) for _ in range(n_layers))
        self.last_norm, self.last_pair_norm = nn.LayerNorm(width), nn.LayerNorm(pair_width)
        self.free_move = zero_linear(width, 3)
        self.force = zero_linear(pair_width, n_functions)
        self.stress = zero_linear(pair_width, n_functions)
        self.cell_out = CellHead(width)

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the weights."""
        return self.near_in.weight.dtype

    def forward(
        self, sites: Sites, atoms: Atoms, cell: Tensor, sigma: Tensor, pairs: OrbitPairs
    ) -> tuple[Tensor, Tensor]:
        """Cartesian displacements (B, N, 3) and cell update (B, 6), both of order one.

        Args:
            sites: elements and positions of the orbits.
            atoms: of the primitive cells.
            cell: what is known of the cell; (B, 15).
            sigma: noise level of the coordinates; (B,).
            pairs: sums over the images of each pair.
        """
        slot, mask = atoms.slot, atoms.mask
        g = self.encoder.groups(sites.group) + self.cell_in(cell) + self.noise(sigma)
        orbit = self.elements(sites.numbers) + self.encoder.positions(sites.position)
        h = orbit.gather(1, slot[..., None].expand(-1, -1, orbit.shape[-1])) + g[:, None]
        g = functional.silu(g)
        counts = pairs.counts
        directed = [pairs.vectors.flatten(-2) * 0.7, pairs.tensors.flatten(-2) * 0.7]
        near = torch.cat([counts * 0.5, (1.0 + counts).log(), *directed], dim=-1)
        phase = 2 * math.pi * (atoms.difference @ self.waves.T)
        far = torch.cat([phase.sin(), phase.cos()], dim=-1)
        alike = (slot[:, :, None] == slot[:, None, :]).long()
        alike = alike + torch.eye(slot.shape[1], device=slot.device, dtype=torch.long)
        # A product instead of a look-up: the gradient of few rows that are looked up very often is slow on GPUs.
        relation = functional.one_hot(alike, 3).to(near.dtype) @ self.same_orbit.weight
        pair = self.near_in(near) + self.far_in(far) + relation
        keys = torch.zeros(mask.shape, device=h.device, dtype=h.dtype).masked_fill(~mask, float("-inf"))[:, None, None]
        n_atoms = mask.sum(1).clamp(min=1).to(h.dtype)
        share = (mask[:, None, :] / n_atoms.sqrt()[:, None, None])[..., None]
        for block in self.blocks:
            h, pair = block(h, pair, g, keys, share)
        h, pair = self.last_norm(h), self.last_pair_norm(pair)
        there = mask[:, None, :, None]
        vectors = torch.einsum("bijn,bijnc->bic", self.force(pair) * there, pairs.vectors.to(pair.dtype))
        pull = (self.stress(pair) * there * mask[:, :, None, None]) / n_atoms[:, None, None, None]
        # One sum over i, j and n at once would round differently from place to place in a batch.
        stress = torch.einsum("bijn,bijnc->bic", pull, pairs.tensors.to(pair.dtype)).sum(1)
        mean = (h * mask[..., None]).sum(1) / n_atoms[:, None]
        return vectors + self.free_move(h), strain_of(stress) + self.cell_out(torch.cat([g, mean], dim=-1))
