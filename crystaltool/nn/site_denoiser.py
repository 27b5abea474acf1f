"""Denoiser of the categorical half: which Wyckoff positions are occupied, and by which elements."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from crystaltool.nn.layers import N_ELEMENTS, Attention, ElementEmbedding, attended, mlp
from crystaltool.nn.position_encoder import PositionEncoder


class SiteDenoiser(nn.Module):
    """Transformer over the M orbit slots and one token for the space group; hidden entries are predicted.

    The score of a position is the sum of the 15 per-axis log-probabilities of its site symmetry (SymmCD, arXiv
    2502.03638, section 3.3) plus a product with the position's own vector, which parts positions of one site symmetry.

    Args:
        encoder: vectors of positions and groups.
        width, n_layers, n_heads, dropout: size of the transformer.
    """

    def __init__(self, encoder: PositionEncoder, width: int, n_layers: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.elements = ElementEmbedding(width)
        self.summary = mlp(width + 4, width, width)
        self.count = nn.Linear(2, width)
        self.layers = nn.ModuleList(Attention(width, n_heads, dropout) for _ in range(n_layers))
        self.norm = nn.LayerNorm(width)
        self.axis_head = nn.Linear(width, 15 * 13)
        self.query_head = nn.Linear(width, width)
        self.element_head = nn.Linear(width, width)
        self.element_bias = nn.Parameter(torch.zeros(N_ELEMENTS))

    def forward(self, group: Tensor, numbers: Tensor, position: Tensor, atoms: Tensor, mask: Tensor) -> Tensor:
        """Token states.

        Args:
            group: shape (B,).
            numbers: atomic numbers, 0 hidden; shape (B, M).
            position: position indices, P hidden; shape (B, M).
            atoms: atoms of each orbit in the primitive cell, 0 while its position is hidden; shape (B, M).
            mask: shape (B, M).

        Returns:
            shape (B, M, width).
        """
        element = self.elements(numbers)
        h = element + self.encoder.positions(position)
        # The composition so far, atom by atom: attention averages over slots and cannot see multiplicities as weights.
        weight = (atoms * mask)[..., None]
        known = weight * (numbers > 0)[..., None]
        total = weight.sum(1).clamp(min=1)
        composition = (known * element).sum(1) / total
        n_slots = mask.sum(1, keepdim=True)
        seen = torch.stack(
            [
                known.sum((1, 2)) / total[:, 0],
                total[:, 0] / 20,
                (weight > 0).sum((1, 2)) / n_slots[:, 0],
                ((numbers > 0) & mask).sum(1) / n_slots[:, 0],
            ],
            dim=1,
        )
        token = self.encoder.groups(group) + self.summary(torch.cat([composition, seen], dim=1))
        token = token + self.count(torch.cat([n_slots / 10, 1 / n_slots], dim=1).to(h.dtype))
        return self.norm(attended(self.layers, token, h, mask)[:, 1:])

    def position_logits(self, h: Tensor, candidates: Tensor) -> Tensor:
        """Scores of each group's positions for every slot; shapes (B, M, width), (B, K) -> (B, M, K)."""
        axes = self.axis_head(h).unflatten(-1, (15, 13)).log_softmax(-1).flatten(-2)
        by_axis = axes @ self.encoder.site_code[candidates].transpose(1, 2)
        vectors = self.encoder.positions(candidates)
        return by_axis + self.query_head(h) @ vectors.transpose(1, 2) * h.shape[-1] ** -0.5

    def element_logits(self, h: Tensor) -> Tensor:
        """Scores of the elements Z = 1 ... 94 for every slot; shape (B, M, 94)."""
        return self.element_head(h) @ self.elements.weight()[1:].T * h.shape[-1] ** -0.5 + self.element_bias
