"""The block encoder: a building block becomes 32 numbers that name its chemistry and its size.

Losses (MOFDiff, arXiv 2310.10732, section 4.2, with the supervised contrastive loss of Khosla et al., arXiv 2004.11362,
which divides by all other blocks of the batch): blocks of one identity attract, all others repel; and atoms,
connection points and diameter must be readable from the embedding. These three also enter the embedding directly.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from crystaltool.errors import UsageError
from crystaltool.models.block_encoder.data import BlockBatch
from crystaltool.mof.blocks import MAX_BLOCK_ATOMS, MAX_CONNECTIONS
from crystaltool.nn.block_network import BlockNetwork, block_pairs
from crystaltool.nn.layers import Model, mlp
from crystaltool.ranges import require_least, require_positive

EMBEDDING_SIZE = 32
LARGEST_DIAMETER = 40.0
"""Angstrom; the shortcut's Gaussians reach to here."""

DIAMETER_FUNCTIONS = 32
DIAMETER_SCALE = 5.0
"""Angstrom; the loss of the diameter is in this unit."""


@dataclass(frozen=True)
class BlockEncoderConfig:
    """Sizes of the network and weights of the loss.

    Args:
        width, pair_width, n_layers: message passing; the first n_near_layers rounds also reach unbonded neighbours.
        cutoff: Angstrom, of those. n_functions: radial functions up to the cutoff.
        projection: length of the vectors that the contrastive loss compares.
        temperature, contrastive_weight: of that loss; the three others have weight 1.
        order_weight, order_temperature: of the loss that puts blocks of similar fingerprints next to each other, and
            how much more similar ones count; 0 leaves it out.

    Raises:
        UsageError: on sizes that no network can have.
    """

    width: int = 64
    pair_width: int = 32
    n_layers: int = 4
    n_near_layers: int = 2
    cutoff: float = 4.5
    n_functions: int = 16
    projection: int = 128
    temperature: float = 0.1
    contrastive_weight: float = 5.0
    order_weight: float = 0.0
    order_temperature: float = 0.05

    def __post_init__(self) -> None:
        require_least(self, 1, "width", "pair_width", "n_layers", "n_near_layers", "projection")
        require_least(self, 2, "n_functions")
        require_least(self, 0, "order_weight")
        require_positive(self, "cutoff", "temperature", "contrastive_weight", "order_temperature")
        if self.n_near_layers > self.n_layers:
            raise UsageError(f"n_near_layers {self.n_near_layers} is more than n_layers {self.n_layers}")


@dataclass(frozen=True)
class Heads:
    """What is read from embeddings.

    Args:
        n_atoms, n_connections: scores of each count from 0; shapes (B, 201), (B, 21).
        diameter: in units of 5 A; shape (B,).
    """

    n_atoms: Tensor
    n_connections: Tensor
    diameter: Tensor


class BlockEncoder(Model):
    """Network, heads and the whitening of the embeddings.

    The embedding that `forward` returns is whitened by dimension: mean 0 and deviation 1 over the blocks that training
    saw, each as often as it occurs in a MOF of the file: the distribution that a diffusion over MOFs meets. (A
    full-rank whitening would stretch directions that hold little but noise.)

    Args:
        config: sizes.
    """

    embedding_mean: Tensor
    embedding_scale: Tensor

    def __init__(self, config: BlockEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.network = BlockNetwork(
            config.width,
            config.pair_width,
            config.n_layers,
            config.n_near_layers,
            config.n_functions,
            2 * config.width,
        )
        self.atoms_in = nn.Embedding(MAX_BLOCK_ATOMS + 1, 32)
        self.connections_in = nn.Embedding(MAX_CONNECTIONS + 1, 32)
        self.size_in = nn.Linear(DIAMETER_FUNCTIONS + 1, 32)
        self.out = nn.Sequential(
            nn.LayerNorm(2 * config.width + 96),
            mlp(2 * config.width + 96, 2 * config.width, EMBEDDING_SIZE),
        )
        self.project = mlp(EMBEDDING_SIZE, config.projection, config.projection)
        self.atoms_out = mlp(EMBEDDING_SIZE, 64, MAX_BLOCK_ATOMS + 1)
        self.connections_out = mlp(EMBEDDING_SIZE, 64, MAX_CONNECTIONS + 1)
        self.diameter_out = mlp(EMBEDDING_SIZE, 64, 1)
        self.register_buffer("embedding_mean", torch.zeros(EMBEDDING_SIZE))
        self.register_buffer("embedding_scale", torch.ones(EMBEDDING_SIZE))

    def raw(self, batch: BlockBatch) -> tuple[Tensor, Tensor]:
        """Embeddings before whitening, shape (B, 32), and diameters in Angstrom, shape (B,)."""
        pairs = block_pairs(batch.cart_coords, batch.n_points, self.config.cutoff, self.config.n_functions)
        with self.networks():
            vector = self.network(batch.numbers, batch.n_points, pairs, batch.bonds, batch.bond_types)
        spacing = LARGEST_DIAMETER / (DIAMETER_FUNCTIONS - 1)
        centres = torch.linspace(0.0, LARGEST_DIAMETER, DIAMETER_FUNCTIONS, device=self.device, dtype=self.dtype)
        bumps = torch.exp(-0.5 * ((pairs.diameter[:, None] - centres) / spacing) ** 2)
        size = torch.cat([bumps, (pairs.diameter[:, None] + 1.0).log()], dim=1)
        shortcut = [
            self.atoms_in(batch.n_atoms.clamp(max=MAX_BLOCK_ATOMS)),
            self.connections_in(batch.n_connections.clamp(max=MAX_CONNECTIONS)),
            self.size_in(size),
        ]
        return self.out(torch.cat([vector.to(self.dtype), *shortcut], dim=1)), pairs.diameter

    def forward(self, batch: BlockBatch) -> Tensor:
        """Whitened embeddings; shape (B, 32)."""
        return (self.raw(batch)[0] - self.embedding_mean) / self.embedding_scale

    def heads(self, raw: Tensor) -> Heads:
        """Counts and diameter from embeddings before whitening."""
        return Heads(self.atoms_out(raw), self.connections_out(raw), self.diameter_out(raw)[:, 0])

    def unwhiten(self, embedding: Tensor) -> Tensor:
        """The raw form of whitened embeddings, as `heads` takes them."""
        return embedding * self.embedding_scale + self.embedding_mean

    def loss(
        self, batch: BlockBatch, identity: Tensor, similarity: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Weighted sum of the losses, and each of them.

        Args:
            batch: blocks.
            identity: number of the identity of each; shape (B,).
            similarity: of their fingerprints, 0 to 1, NaN where unknown; shape (B, B); None without `order_weight`.
        """
        raw, diameter = self.raw(batch)
        contrast = contrastive_loss(self.project(raw), identity, self.config.temperature)
        heads = self.heads(raw)
        atoms = functional.cross_entropy(heads.n_atoms, batch.n_atoms.clamp(max=MAX_BLOCK_ATOMS))
        connections = functional.cross_entropy(heads.n_connections, batch.n_connections.clamp(max=MAX_CONNECTIONS))
        size = functional.mse_loss(heads.diameter, diameter / DIAMETER_SCALE)
        total = self.config.contrastive_weight * contrast + atoms + connections + size
        parts = {"contrast": contrast, "atoms": atoms, "connections": connections, "diameter": size}
        if similarity is not None:
            parts["order"] = order_loss(raw, similarity, identity, self.config.order_temperature)
            total = total + self.config.order_weight * parts["order"]
        return total, {name: value.detach() for name, value in parts.items()}


def contrastive_loss(vectors: Tensor, identity: Tensor, temperature: float) -> Tensor:
    """Supervised contrastive loss: the mean of -log(exp(s_ip) / sum_(j != i) exp(s_ij)) over positives p, then over i.

    Args:
        vectors: any length; their cosines divided by the temperature are s; shape (B, n).
        identity: blocks of one number are positives of each other; shape (B,).
        temperature: of the cosines.

    Returns:
        A scalar, 0 where no block has a positive.
    """
    unit = functional.normalize(vectors, dim=1)
    scores = unit @ unit.T / temperature
    itself = torch.eye(len(scores), dtype=torch.bool, device=scores.device)
    positive = (identity[:, None] == identity[None]) & ~itself
    log_share = scores - scores.masked_fill(itself, float("-inf")).logsumexp(dim=1, keepdim=True)
    count = positive.sum(1)
    value = -(log_share.masked_fill(~positive, 0.0).sum(1)) / count.clamp(min=1)
    return value.sum() / (count > 0).sum().clamp(min=1)


def order_loss(vectors: Tensor, similarity: Tensor, identity: Tensor, temperature: float) -> Tensor:
    """Divergence of who lies near whom from who is similar to whom, mean over the blocks.

    For block i, q_ij is the softmax over j of the similarities divided by the temperature, p_ij that of minus the mean
    squared difference of the vectors in units of their deviations, divided by twice the temperature; j are the blocks
    of other identities. The loss is the Kullback-Leibler divergence of p from q, as in stochastic neighbour embedding
    (Hinton and Roweis, NIPS 2002).

    Args:
        vectors: shape (B, n). similarity: 0 to 1, NaN where unknown; shape (B, B).
        identity: blocks of one number are no neighbours of each other here; shape (B,).
        temperature: of the similarities.

    Returns:
        A scalar, 0 where no block has two neighbours of known similarity.
    """
    scaled = (vectors - vectors.mean(0)) / vectors.std(0).clamp(min=1e-3)
    squares = scaled.square().mean(1)
    apart = squares[:, None] + squares[None] - 2 / scaled.shape[1] * scaled @ scaled.T
    counts = (identity[:, None] != identity[None]) & similarity.isfinite()
    rows = counts.sum(1) > 1
    if not rows.any():
        return vectors.sum() * 0.0
    nothing = torch.finfo(vectors.dtype).min
    near = (-apart / (2 * temperature)).masked_fill(~counts, nothing).log_softmax(1)
    wanted = (similarity.nan_to_num().to(vectors.dtype) / temperature).masked_fill(~counts, nothing).log_softmax(1)
    divergence = (wanted.exp() * (wanted - near)).masked_fill(~counts, 0.0).sum(1)
    return divergence[rows].mean()
