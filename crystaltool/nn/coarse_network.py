"""Networks over coarse-grained MOFs: an encoder of what is there, a denoiser of where and what it should be, and the
velocity field of the latent prior.

Shapes: B MOFs, K block places padded to the largest MOF, E embedding dimensions, Z latent dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from crystaltool.nn.geometry_denoiser import PairMessage
from crystaltool.nn.layers import CellHead, NoiseEmbedding, mlp, strain_of, zero_linear
from crystaltool.nn.periodic_pairs import OrbitPairs

N_CELL_FEATURES = 13
"""What the networks are told of a cell: six components of k, six more of its noisy form, log of the volume a block."""


def pair_waves(centres: Tensor, n_waves: int) -> Tensor:
    """Sines and cosines of 2 pi m (x_j - x_i), m = 1 ... n_waves, fractional x; (B, K, 3) -> (B, K, K, 6 n_waves).

    (As in DiffCSP, Jiao et al., NeurIPS 2023, arXiv 2309.04475, equation 6.)
    """
    apart = (centres[:, None] - centres[:, :, None])[..., None]
    phases = 2 * torch.pi * apart * torch.arange(1, n_waves + 1, device=centres.device, dtype=centres.dtype)
    return torch.cat([phases.sin(), phases.cos()], dim=-1).flatten(-2)


@dataclass(frozen=True)
class TrunkSize:
    """Size of a `CoarseTrunk`.

    Args:
        width: of places and MOFs. pair_width: of what passes between places.
        n_layers: rounds of messages.
        n_functions: radial functions of the pair sums.
        n_waves: harmonics along each axis of where one place lies from another; without them only distances are seen.
    """

    width: int
    pair_width: int
    n_layers: int
    n_functions: int
    n_waves: int = 0


@dataclass(frozen=True)
class PlacePairs:
    """What is known of every two places.

    Args:
        sums: over the images of each within the cutoff.
        waves: as `pair_waves` gives them, for a trunk that looks at them; shape (B, K, K, 6 n_waves).
    """

    sums: OrbitPairs
    waves: Tensor | None = None


class CoarseTrunk(nn.Module):
    """Message passing over the K places of a MOF with distances to all periodic images.

    Args:
        size: of the network.
    """

    def __init__(self, size: TrunkSize) -> None:
        super().__init__()
        width, pair_width, n_layers = size.width, size.pair_width, size.n_layers
        self.pair_in = nn.Linear(2 * size.n_functions, pair_width)
        self.wave_in = nn.Linear(6 * size.n_waves, pair_width, bias=False) if size.n_waves else None
        self.layers = nn.ModuleList(PairMessage(width, pair_width) for _ in range(n_layers))
        self.context = nn.ModuleList(mlp(2 * width, width, width) for _ in range(n_layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, h: Tensor, g: Tensor, mask: Tensor, pairs: PlacePairs) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """States of places and of MOFs after all layers.

        Args:
            h: (B, K, width). g: (B, width). mask: (B, K).
            pairs: of the places.

        Returns:
            h (B, K, width), g (B, width), edges (B, K, K, 2 pair_width) and the mask of the edges (B, K, K, 1).
        """
        weight = mask[..., None] / mask.sum(1).clamp(min=1)[:, None, None]
        counts = pairs.sums.counts
        pair = self.pair_in(torch.cat([counts * 0.5, (1.0 + counts).log()], dim=-1))
        if self.wave_in is not None and pairs.waves is not None:
            pair = pair + self.wave_in(pairs.waves)
        pair_mask = (mask[:, :, None] & mask[:, None, :])[..., None].to(h.dtype)
        n_places = mask.sum(1, keepdim=True).to(h.dtype)
        first = pair
        h = h + g[:, None]
        for layer, context in zip(self.layers, self.context, strict=True):
            h, message = layer(h, pair, pair_mask, n_places)
            g = g + context(torch.cat([g, (weight * h).sum(1)], dim=-1))
            h = h + g[:, None]
            pair = pair + message
        return self.norm(h), g, torch.cat([pair, nn.functional.silu(first)], dim=-1), pair_mask


class CoarseEncoder(nn.Module):
    """q(z | MOF): mean and log variance.

    Args:
        n_features: of a place: its embedding and what is known of its block.
        n_globals: numbers known of the whole MOF.
        n_latent: Z.
        size: of the trunk.
    """

    def __init__(self, n_features: int, n_globals: int, n_latent: int, size: TrunkSize) -> None:
        super().__init__()
        width = size.width
        self.place_in = mlp(n_features, width, width)
        self.global_in = nn.Linear(n_globals, width)
        self.trunk = CoarseTrunk(size)
        self.out = mlp(4 * width, 2 * width, 2 * n_latent)

    def forward(self, features: Tensor, known: Tensor, mask: Tensor, pairs: OrbitPairs) -> tuple[Tensor, Tensor]:
        """features (B, K, F), known (B, n_globals) -> mean and log variance, (B, Z) each, the latter within 5 of 0."""
        h, g, _, _ = self.trunk(self.place_in(features), self.global_in(known), mask, PlacePairs(pairs))
        count = mask.sum(1, keepdim=True).to(h.dtype)
        total = (h * mask[..., None]).sum(1)
        largest = h.masked_fill(~mask[..., None], -1e4).amax(1)
        mean, log_variance = self.out(torch.cat([g, total / count, total / count.sqrt(), largest], dim=-1)).chunk(2, -1)
        return mean, 5 * torch.tanh(log_variance / 5)


class CoarseDenoiser(nn.Module):
    """One network call of the reverse process: displacements, embeddings and cell, given z.

    Args:
        n_embedding: E. n_latent: Z. n_kinds, n_connections: classes of the two heads.
        size: of the trunk.
    """

    def __init__(self, n_embedding: int, n_latent: int, n_kinds: int, n_connections: int, size: TrunkSize) -> None:
        super().__init__()
        width, pair_width, n_functions = size.width, size.pair_width, size.n_functions
        self.embedding_in = nn.Linear(n_embedding, width)
        self.latent_in = mlp(n_latent, 2 * width, width)
        self.cell_in = nn.Linear(N_CELL_FEATURES, width)
        self.noise = NoiseEmbedding(width)
        self.trunk = CoarseTrunk(size)
        self.force = nn.Linear(2 * pair_width, n_functions)
        self.stress = nn.Linear(2 * pair_width, n_functions)
        self.pair_shift, self.shift = nn.Linear(2 * pair_width, 3), mlp(width, width, 3)
        self.embedding_out = mlp(width, 2 * width, n_embedding)
        self.kind_out = mlp(width, width, n_kinds)
        self.connections_out = mlp(width, width, n_connections)
        self.cell_out = CellHead(width)

    def forward(
        self, embeddings: Tensor, latent: Tensor, cell: Tensor, sigma: Tensor, mask: Tensor, pairs: PlacePairs
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """All outputs of order one.

        Args:
            embeddings: noisy embeddings scaled to unit variance; (B, K, E).
            latent: (B, Z). cell: (B, 13). sigma: noise level; (B,). mask: (B, K).
            pairs: of the places.

        Returns:
            Cartesian vectors (B, K, 3), fractional ones (B, K, 3) to be added to them, embeddings (B, K, E), k (B, 6),
            scores of kinds (B, K, n_kinds) and of connection counts (B, K, n_connections).
        """
        g = self.latent_in(latent) + self.cell_in(cell) + self.noise(sigma)
        h, g, edge, pair_mask = self.trunk(self.embedding_in(embeddings), g, mask, pairs)
        weight = mask / mask.sum(1, keepdim=True).clamp(min=1)
        vectors = torch.einsum("bijn,bijnc->bic", self.force(edge) * pair_mask, pairs.sums.vectors)
        n_places = mask.sum(1).to(h.dtype)[:, None, None]
        shifts = self.shift(h) + (self.pair_shift(edge) * pair_mask).sum(2) / n_places.sqrt()
        stress = torch.einsum("bi,bijn,bijnc->bc", weight, self.stress(edge) * pair_mask, pairs.sums.tensors)
        k = strain_of(stress) + self.cell_out(torch.cat([g, (weight[..., None] * h).sum(1)], dim=-1))
        return vectors, shifts, self.embedding_out(h), k, self.kind_out(h), self.connections_out(h)


class LatentVelocity(nn.Module):
    """Velocity field of the latent prior, a residual network over z and time."""

    def __init__(self, n_latent: int, width: int, n_layers: int) -> None:
        super().__init__()
        self.time = NoiseEmbedding(width)
        self.first = nn.Linear(n_latent, width)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width))
            for _ in range(n_layers)
        )
        self.last = zero_linear(width, n_latent)

    def forward(self, z_s: Tensor, s: Tensor) -> Tensor:
        """z_s (n, Z) at times s (n,) in [0, 1] -> velocity (n, Z)."""
        time = self.time((s + 0.02) * 10)
        h = self.first(z_s) + time
        for layer in self.layers:
            h = h + layer(h + time)
        return self.last(h)
