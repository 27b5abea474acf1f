"""MOFDiff: a latent z of the whole MOF, heads on it, and a denoiser of block embeddings, centres and cell given z.

Fu et al., ICLR 2024 (arXiv 2310.10732), section 4, with these changes: both networks see distances in Angstrom out to
`cutoff` (longer than any bond between blocks), the denoiser fractional differences too, and the encoder composition and
density; embeddings are whitened per dimension; coordinate noise ends at half a cell and its target is the mean
displacement of the wrapped normal; time enters as log sigma; the cell is denoised with the rest, from the head's guess;
properties are predicted from a part of z of its own, of encoders that see no embeddings (`nn/property_encoder.py`);
kinds and connection counts of the blocks are predicted beside the embeddings; z is drawn from a learned prior, a flow
fitted to the encoder's posteriors, since these do not fill a normal one.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from crystaltool.diffusion import flow, gaussian
from crystaltool.diffusion.schedules import geometric
from crystaltool.models.mofdiff import losses
from crystaltool.models.mofdiff.config import MOFDiffConfig
from crystaltool.models.mofdiff.representation import (
    N_BLOCK_FEATURES,
    N_CONNECTION_CLASSES,
    N_DESCRIPTORS,
    N_KINDS,
    CoarseBatch,
    CoarseData,
)
from crystaltool.models.mofdiff.states import Denoised, Heads, Noisy, Places, centred, restore, transform
from crystaltool.mof.blocks import MAX_BLOCKS
from crystaltool.nn.cells import symmetric_lattice
from crystaltool.nn.coarse_network import (
    CoarseDenoiser,
    CoarseEncoder,
    LatentVelocity,
    PlacePairs,
    TrunkSize,
    pair_waves,
)
from crystaltool.nn.layers import Model, mlp
from crystaltool.nn.periodic_pairs import OrbitPairs, point_pairs
from crystaltool.nn.property_encoder import PropertyEncoder

N_GLOBALS = 7 + N_DESCRIPTORS
"""What the encoder is told of the whole MOF: standardised k, log K, standardised descriptors."""

LARGEST_DESCRIPTOR = 4.0
"""Standardised descriptors are cut off here: an element that training has hardly seen must not blind the encoder."""


class MOFDiff(Model):
    """Encoder, heads, latent prior and denoiser with the statistics that they need.

    Args:
        config: sizes.
        data: training data, for its statistics; None leaves them to be loaded from a checkpoint.
    """

    k_mean: Tensor
    k_scale: Tensor
    descriptor_mean: Tensor
    descriptor_scale: Tensor
    property_mean: Tensor
    property_scale: Tensor

    def __init__(self, config: MOFDiffConfig, data: CoarseData | None = None) -> None:
        super().__init__()
        self.config = config
        n_properties, width = len(config.properties), config.width
        size = TrunkSize(width, config.pair_width, config.n_layers, config.n_functions, config.n_waves)
        self.encoder = CoarseEncoder(
            config.n_embedding + N_BLOCK_FEATURES,
            N_GLOBALS,
            config.n_latent,
            replace(size, n_layers=config.encoder_layers, n_waves=0),
        )
        self.property_encoder = PropertyEncoder(
            config.property_members,
            config.n_property_latent,
            n_properties,
            N_GLOBALS,
            config.property_width,
        )
        self.denoiser = CoarseDenoiser(config.n_embedding, config.z_size, N_KINDS, N_CONNECTION_CLASSES, size)
        self.prior = LatentVelocity(config.z_size, config.prior_width, config.prior_layers)
        self.k_head = mlp(config.z_size, 256, 6)
        self.n_blocks_head = mlp(config.z_size, 256, MAX_BLOCKS + 1)
        self.n_metals_head = mlp(config.z_size, 256, MAX_BLOCKS + 1)
        k_mean, k_scale, p_mean, p_scale = np.zeros(6), np.ones(6), np.zeros(n_properties), np.ones(n_properties)
        d_mean, d_scale = np.zeros(N_DESCRIPTORS), np.ones(N_DESCRIPTORS)
        if data is not None:
            relative = data.k.copy()
            relative[:, 5] -= np.log(data.n_places) / 3
            k_mean, k_scale = relative.mean(0), relative.std(0) + 1e-3
            d_mean, d_scale = data.descriptors.mean(0), data.descriptors.std(0) + 1e-2
            for column in range(n_properties):
                known = transform(data.properties[:, column])
                known = known[np.isfinite(known)]
                if len(known) > 1:
                    p_mean[column], p_scale[column] = known.mean(), known.std() + 1e-6
        for name, array in (
            ("k_mean", k_mean),
            ("k_scale", k_scale),
            ("descriptor_mean", d_mean),
            ("descriptor_scale", d_scale),
            ("property_mean", p_mean),
            ("property_scale", p_scale),
        ):
            self.register_buffer(name, torch.as_tensor(array, dtype=torch.float32))

    # --- latent ----------------------------------------------------------------------------------------------------

    def relative_k(self, k: Tensor, n_blocks: Tensor) -> Tensor:
        """Standardised k of a cell scaled to one block; (B, 6)."""
        shift = torch.zeros_like(k)
        shift[:, 5] = n_blocks.to(k.dtype).log() / 3
        return (k - shift - self.k_mean) / self.k_scale

    def absolute_k(self, relative: Tensor, n_blocks: Tensor) -> Tensor:
        """Inverse of `relative_k`."""
        k = relative * self.k_scale + self.k_mean
        shift = torch.zeros_like(k)
        shift[:, 5] = n_blocks.to(k.dtype).log() / 3
        return k + shift

    def pairs(self, lattice: Tensor, centres: Tensor, mask: Tensor) -> OrbitPairs:
        """Sums over neighbours of every place, all periodic images within the cutoff."""
        c = self.config
        spacing = (torch.linalg.det(lattice).abs() / mask.sum(1)) ** (1 / 3)
        return point_pairs(lattice, centres, mask, (c.reach * spacing).clamp(*c.cutoff), c.n_functions, c.cutoff[1])

    def encode(self, batch: CoarseBatch) -> tuple[Tensor, Tensor]:
        """Mean and log variance of z; (B, Z) each."""
        known = self.known(batch.k, batch.mask.sum(1), batch.descriptors)
        pairs = self.pairs(symmetric_lattice(batch.k), batch.centres, batch.mask)
        features = torch.cat([batch.embeddings, batch.features], dim=-1)
        with self.networks():
            parts = self.encoder(features, known, batch.mask, pairs), self.property_encoder(known)
        mean, log_variance = (torch.cat(both, dim=-1).to(self.dtype) for both in zip(*parts, strict=True))
        return mean, log_variance

    def known(self, k: Tensor, n_blocks: Tensor, descriptors: Tensor) -> Tensor:
        """What the encoders are told of whole MOFs; (B, N_GLOBALS)."""
        descriptors = (descriptors - self.descriptor_mean) / self.descriptor_scale
        return torch.cat(
            [
                self.relative_k(k, n_blocks),
                n_blocks.to(self.dtype).log()[:, None] / 2,
                descriptors.clamp(-LARGEST_DESCRIPTOR, LARGEST_DESCRIPTOR),
            ],
            dim=1,
        )

    def heads(self, z: Tensor) -> Heads:
        """What z says of the whole MOF."""
        with self.networks():
            k, n_blocks, n_metals = (head(z) for head in (self.k_head, self.n_blocks_head, self.n_metals_head))
            properties = self.property_encoder.predict(z[:, self.config.n_latent :]).mean(1)
        return Heads(*(output.to(self.dtype) for output in (k, n_blocks, n_metals, properties)))

    def properties_of_latent(self, z: Tensor) -> Tensor:
        """Properties that a latent stands for, in their own units; (B, P)."""
        return self._restored(self.heads(z).properties)

    def properties_of_mof(self, k: Tensor, n_blocks: Tensor, descriptors: Tensor) -> Tensor:
        """Properties of given MOFs in their own units; (B, P).

        Args:
            k: of their canonical cells; (B, 6). n_blocks: (B,). descriptors: of `describe_mofs`, as they are; (B, d).
        """
        with self.networks():
            mean, _ = self.property_encoder(self.known(k, n_blocks, descriptors))
            properties = self.property_encoder.predict(mean).mean(1)
        return self._restored(properties.to(self.dtype))

    def _restored(self, properties: Tensor) -> Tensor:
        return restore(properties * self.property_scale + self.property_mean)

    def draw_latent(self, noise: Tensor, steps: int) -> Tensor:
        """z of the learned prior from normal noise; (n, Z)."""
        return flow.integrate(self.prior, noise, steps)

    # --- denoiser --------------------------------------------------------------------------------------------------

    def denoise(self, places: Places, noisy: Noisy) -> Denoised:
        """One network call."""
        sigma_u, sigma_e, sigma_k = self.sigmas(noisy.t)
        residual = gaussian.posterior_mean(noisy.k, sigma_k[:, None])
        k = places.guess + self.config.cell_residual * residual
        lattice = symmetric_lattice(k)
        pairs = self.pairs(lattice, noisy.u, places.mask)
        n_blocks = places.n_blocks
        cell = torch.cat(
            [
                self.relative_k(k, n_blocks),
                gaussian.scaled_input(noisy.k, sigma_k[:, None]),
                n_blocks.to(self.dtype).log()[:, None] / 2,
            ],
            dim=1,
        )
        e_in = gaussian.scaled_input(noisy.e, sigma_e[:, None, None])
        with self.networks():
            known = PlacePairs(pairs, pair_waves(noisy.u, self.config.n_waves))
            answer = self.denoiser(e_in, places.z, cell, sigma_u, places.mask, known)
        vectors, shifts, *others = (each.to(self.dtype) for each in answer)
        volume = torch.linalg.det(lattice)
        move = torch.linalg.solve(lattice, vectors, left=False) * volume[:, None, None] ** (1 / 3)
        move = centred(move + shifts, places.mask)
        return Denoised(move, *others)

    def sigmas(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Noise levels of centres, embeddings and cell at time t; (B,) each."""
        c = self.config
        ahead = t**c.embedding_power
        return geometric(t, *c.coordinate_sigma), geometric(ahead, *c.embedding_sigma), geometric(t, *c.cell_sigma)

    # --- training --------------------------------------------------------------------------------------------------

    def forward(self, batch: CoarseBatch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of a batch and its parts, as `losses.mof_loss`."""
        return losses.mof_loss(self, batch, generator)
