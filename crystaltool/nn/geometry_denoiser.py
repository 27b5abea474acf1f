"""Denoiser of the continuous half: free coordinates and cell, given which element sits on which orbit."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from crystaltool.nn.layers import CellHead, ElementEmbedding, NoiseEmbedding, Sites, mlp, strain_of
from crystaltool.nn.periodic_pairs import OrbitPairs
from crystaltool.nn.position_encoder import PositionEncoder


class PairMessage(nn.Module):
    """One round of messages over all pairs of orbits, then an update of every orbit."""

    def __init__(self, width: int, pair_width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.left, self.right = nn.Linear(width, pair_width), nn.Linear(width, pair_width, bias=False)
        self.edge = nn.Sequential(nn.SiLU(), nn.Linear(pair_width, pair_width), nn.SiLU())
        self.update = mlp(width + pair_width, 2 * width, width)

    def forward(self, h: Tensor, pair: Tensor, pair_mask: Tensor, n_slots: Tensor) -> tuple[Tensor, Tensor]:
        """h (B, M, width), pair (B, M, M, pair_width) -> updated h and the messages (B, M, M, pair_width)."""
        normed = self.norm(h)
        message = self.edge(pair + self.left(normed)[:, :, None] + self.right(normed)[:, None, :]) * pair_mask
        received = message.sum(2) / n_slots.sqrt()[:, :, None]
        return h + self.update(torch.cat([normed, received], dim=-1)), message


class GeometryDenoiser(nn.Module):
    """Message passing over the M representatives with distances to all periodic images in Angstrom.

    Everything enters through distances and leaves as sums of vectors between atoms, so the displacement of a
    representative keeps its site symmetry and does not depend on which point of the orbit represents it.

    Args:
        encoder: vectors of positions and groups.
        width, pair_width, n_layers: size.
        n_functions: radial functions of the pair sums.
    """

    def __init__(self, encoder: PositionEncoder, width: int, pair_width: int, n_layers: int, n_functions: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.elements = ElementEmbedding(width)
        self.noise = NoiseEmbedding(width)
        self.cell_in = nn.Linear(6 + 6 + 3, width)
        self.pair_in = nn.Linear(2 * n_functions, pair_width)
        self.pair_element = nn.Linear(2, pair_width)
        self.layers = nn.ModuleList(PairMessage(width, pair_width) for _ in range(n_layers))
        self.context = nn.ModuleList(mlp(2 * width, width, width) for _ in range(n_layers))
        self.force = nn.Linear(2 * pair_width, n_functions)
        self.stress = nn.Linear(2 * pair_width, n_functions)
        self.cell_out = CellHead(width)

    def forward(
        self, sites: Sites, atoms: Tensor, mask: Tensor, cell: Tensor, sigma: Tensor, pairs: OrbitPairs
    ) -> tuple[Tensor, Tensor]:
        """Displacements and cell update, both of order one.

        Args:
            sites: elements and positions of the orbits.
            atoms: atoms of each orbit in the primitive cell; (B, M). mask: (B, M).
            cell: what is known of the cell; (B, 15).
            sigma: noise level of the coordinates; (B,).
            pairs: sums over neighbours.

        Returns:
            Cartesian vectors (B, M, 3) and k (B, 6).
        """
        weight = (atoms * mask)[..., None] / (atoms * mask).sum(1).clamp(min=1)[:, None, None]
        g = self.encoder.groups(sites.group) + self.cell_in(cell) + self.noise(sigma)
        h = self.elements(sites.numbers) + self.encoder.positions(sites.position) + g[:, None]
        binned = torch.cat([pairs.counts * 0.5, (1.0 + pairs.counts).log()], dim=-1)
        share = torch.stack([atoms.log() / 3, 1 / atoms.clamp(min=1)], dim=-1)
        pair = self.pair_in(binned) + self.pair_element(share)[:, None, :]
        pair_mask = (mask[:, :, None] & mask[:, None, :])[..., None].to(h.dtype)
        n_slots = mask.sum(1, keepdim=True).to(h.dtype)
        first = pair
        for layer, context in zip(self.layers, self.context, strict=True):
            h, pair_message = layer(h, pair, pair_mask, n_slots)
            g = g + context(torch.cat([g, (weight * h).sum(1)], dim=-1))
            h = h + g[:, None]
            pair = pair + pair_message
        edge = torch.cat([pair, nn.functional.silu(first)], dim=-1)
        vectors = torch.einsum("bijn,bijnc->bic", self.force(edge) * pair_mask, pairs.vectors)
        stress = torch.einsum("bi,bijn,bijnc->bc", weight[..., 0], self.stress(edge) * pair_mask, pairs.tensors)
        return vectors, strain_of(stress) + self.cell_out(torch.cat([g, (weight * h).sum(1)], dim=-1))
