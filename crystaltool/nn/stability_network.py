"""How stable crystals on given sites are: formation energy and energy above the hull, before any geometry is known."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from crystaltool.nn.layers import Attention, ElementEmbedding, attended, mlp
from crystaltool.nn.position_encoder import PositionEncoder

EDGES = (-0.15, -0.1, -0.07, -0.045, -0.025, -0.0125, 0.0, 0.0125)
EDGES += (0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.45, 0.7)
"""eV/atom: the energy above the hull is predicted as probabilities of the intervals between these and beyond them."""

SAME_EDGE = 1e-6

ENERGY_SCALE = 4.0
"""1/(eV/atom): brings distances to the hull to about 1."""


class StabilityNetwork(nn.Module):
    """Transformer over the M orbits and one token for space group and composition.

    The formation energy of a crystal with these sites is learned first: chemistry, of which there are many data. Beside
    it the hull's at the composition, which is known, says most of the distance; the last layers learn the rest.
    (Energies from Wyckoff positions and elements: Goodall et al., Sci. Adv. 8, eabn4117 (2022).)

    Args:
        encoder: vectors of positions and groups.
        width, n_layers, n_heads, dropout: size of the transformer.
    """

    def __init__(self, encoder: PositionEncoder, width: int, n_layers: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.elements = ElementEmbedding(width)
        self.summary = mlp(2 * width + 4, width, width)
        self.layers = nn.ModuleList(Attention(width, n_heads, dropout) for _ in range(n_layers))
        self.norm = nn.LayerNorm(width)
        self.formation_head = mlp(2 * width, width, 1)
        self.hull_head = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(2 * width + 2, width),
            nn.SiLU(),
            nn.Dropout(dropout),
            nn.Linear(width, len(EDGES) + 1),
        )

    def forward(
        self, group: Tensor, numbers: Tensor, position: Tensor, atoms: Tensor, mask: Tensor, hull: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Formation energy in eV/atom, shape (B,), and scores of the intervals of the energy above the hull, (B, 18).

        Args:
            group: shape (B,).
            numbers, position: atomic numbers and position indices; shape (B, M).
            atoms: atoms of each orbit in the primitive cell; shape (B, M).
            mask: shape (B, M).
            hull: the hull's formation energy at the composition, eV/atom; shape (B,).
        """
        element = self.elements(numbers)
        total = (atoms * mask).sum(1, keepdim=True)
        weight = (atoms * mask / total)[..., None]
        mean = (weight * element).sum(1)
        spread = (weight * element.square()).sum(1) - mean.square()
        n_orbits = mask.sum(1, keepdim=True).to(element.dtype)
        sizes = torch.cat([n_orbits / 10, 1 / n_orbits, total / 20, 1 / total], dim=1)
        token = self.encoder.groups(group) + self.summary(torch.cat([mean, spread, sizes], dim=1))
        h = self.norm(attended(self.layers, token, element + self.encoder.positions(position), mask))
        state = torch.cat([h[:, 0], (weight * h[:, 1:]).sum(1)], dim=1)
        formation = self.formation_head(state)[:, 0]
        distance = torch.stack([hull, (formation.detach() - hull) * ENERGY_SCALE], dim=1)
        return formation, self.hull_head(torch.cat([state, distance], dim=1))


def log_probability(scores: Tensor, above_hull: float) -> Tensor:
    """Logarithm of the probability of at most `above_hull` eV/atom, one of `EDGES`; (B, 18) -> (B,)."""
    below = sum(edge <= above_hull + SAME_EDGE for edge in EDGES)
    return scores[:, :below].logsumexp(1) - scores.logsumexp(1)


def stability_loss(
    predicted: Tensor, scores: Tensor, formation: Tensor, above_hull: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """Absolute error of the formation energy and cross entropy of the interval of the energy above the hull.

    Args:
        predicted, scores: what the network gives; shapes (B,), (B, 18).
        formation: the truth, eV/atom; shape (B,).
        above_hull: eV/atom, NaN where it is not to be learned from; shape (B,).
    """
    judged = ~above_hull.isnan()
    energy_loss = (predicted - formation).abs().mean()
    truth = torch.bucketize(above_hull.nan_to_num(), torch.tensor(EDGES, device=scores.device).to(above_hull))
    each = nn.functional.cross_entropy(scores, truth, reduction="none")
    hull_loss = torch.where(judged, each, 0.0).sum() / judged.sum().clamp(min=1)
    return 2 * energy_loss + hull_loss, {"formation_error": energy_loss.detach(), "hull_nll": hull_loss.detach()}
