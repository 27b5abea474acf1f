"""Sizes, noise levels and weights of the losses of MOFDiff."""

from __future__ import annotations

from dataclasses import dataclass

from crystaltool.errors import UsageError
from crystaltool.ranges import require_ends, require_least, require_positive


@dataclass(frozen=True)
class MOFDiffConfig:
    """Sizes and noise levels.

    Args:
        n_embedding, n_latent: dimensions of a block's embedding and of the part of z that the encoder of blocks gives.
        property_members, n_property_latent: of the encoder of properties, and dimensions of z of each of them.
        property_width: of a member.
        width, pair_width, n_layers: of the denoiser. encoder_layers: of the encoder.
        prior_width, prior_layers: of the latent prior.
        cutoff: reach of both networks in Angstrom, least and most; between them it is `reach` times the cube root of
            the volume a block. n_functions: radial functions.
        n_waves: harmonics along each axis in which the denoiser sees where blocks lie from each other.
        coordinate_sigma: fractional; embedding_sigma, cell_sigma: of unit-variance data; smallest and largest.
        embedding_power: sigma of the embeddings is that of time to this power: above 1, what a block is settles before
            where it stands.
        embedding_noise: deviation of noise on the embeddings that the encoder sees in training; property_noise: of that
            on all that the encoder of properties is told.
        cell_residual: deviation of k around the head's guess that counts as one.
        kl_weight, property_weight, head_weight, centre_weight: in the loss; head_weight is that of kinds and connection
            counts.
        settling: times between which blocks find their places; every other one that training draws lies there.
        properties: names, in the order of the head.

    Raises:
        UsageError: on a number outside its range.
    """

    n_embedding: int = 32
    n_latent: int = 128
    property_members: int = 16
    n_property_latent: int = 4
    property_width: int = 256
    width: int = 160
    pair_width: int = 64
    n_layers: int = 4
    encoder_layers: int = 3
    prior_width: int = 384
    prior_layers: int = 4
    cutoff: tuple[float, float] = (13.0, 19.8)
    reach: float = 2.4
    n_functions: int = 30
    n_waves: int = 6
    coordinate_sigma: tuple[float, float] = (0.004, 0.5)
    embedding_sigma: tuple[float, float] = (0.05, 20.0)
    embedding_power: float = 2.0
    embedding_noise: float = 0.3
    property_noise: float = 0.2
    cell_sigma: tuple[float, float] = (0.05, 3.0)
    cell_residual: float = 0.1
    kl_weight: float = 0.01
    property_weight: float = 40.0
    head_weight: float = 0.3
    centre_weight: float = 2.0
    settling: tuple[float, float] = (0.45, 0.9)
    properties: tuple[str, ...] = ("co2_wc", "co2_015", "pld", "lcd", "density")

    def __post_init__(self) -> None:
        sizes = ("n_embedding", "n_latent", "width", "pair_width", "n_layers", "encoder_layers", "n_waves")
        sizes += ("property_members", "n_property_latent", "property_width")
        require_least(self, 1, *sizes, "prior_width", "prior_layers")
        require_least(self, 2, "n_functions")
        require_positive(self, "reach", "embedding_power", "cell_residual")
        require_least(self, 0, "kl_weight", "property_weight", "head_weight", "centre_weight")
        require_least(self, 0, "embedding_noise", "property_noise")
        require_ends(self, "coordinate_sigma", "embedding_sigma", "cell_sigma", "cutoff", "settling")
        if self.settling[1] > 1:
            raise UsageError(f"settling is {list(self.settling)}, expected two times between 0 and 1")

    @property
    def z_size(self) -> int:
        """Dimensions of z in all."""
        return self.n_latent + self.property_members * self.n_property_latent
