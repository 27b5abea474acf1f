"""The part of z that properties are predicted from: small networks that are not told which blocks they see.

An encoder that sees the embeddings of the blocks learns the labels of some thousand linkers by heart. These see what a
simulated uptake depends on before anything else: composition, density, cell, numbers and sizes of the blocks.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from crystaltool.nn.layers import mlp


class PropertyEncoder(nn.Module):
    """Members with dimensions of z of their own and a head on them; a prediction is the mean of theirs.

    Args:
        n_members: M.
        n_latent: dimensions of z of each member.
        n_properties: P.
        n_globals: numbers known of the whole MOF.
        width: of each member.
    """

    def __init__(self, n_members: int, n_latent: int, n_properties: int, n_globals: int, width: int) -> None:
        super().__init__()
        self.members = nn.ModuleList(
            nn.Sequential(nn.Linear(n_globals, width), nn.SiLU(), mlp(width, width, 2 * n_latent))
            for _ in range(n_members)
        )
        self.heads = nn.ModuleList(mlp(n_latent, 256, max(n_properties, 1)) for _ in range(n_members))
        self.n_properties = n_properties

    def forward(self, known: Tensor) -> tuple[Tensor, Tensor]:
        """known (B, n_globals) -> mean and log variance, (B, M n_latent) each, the latter within 5 of 0."""
        parts = [member(known).chunk(2, -1) for member in self.members]
        log_variance = torch.cat([spread for _, spread in parts], dim=-1)
        return torch.cat([mean for mean, _ in parts], dim=-1), 5 * torch.tanh(log_variance / 5)

    def predict(self, z: Tensor) -> Tensor:
        """Standardised properties of each member; (B, M n_latent) -> (B, M, P)."""
        parts = z.chunk(len(self.heads), dim=-1)
        each = torch.stack([head(part) for head, part in zip(self.heads, parts, strict=True)], dim=1)
        return each[..., : self.n_properties]
