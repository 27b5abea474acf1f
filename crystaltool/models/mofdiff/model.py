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

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from crystaltool.diffusion import flow, gaussian, wrapped_normal
from crystaltool.diffusion.schedules import geometric
from crystaltool.models.mofdiff.config import MOFDiffConfig
from crystaltool.models.mofdiff.representation import (
    N_BLOCK_FEATURES,
    N_CONNECTION_CLASSES,
    N_DESCRIPTORS,
    N_KINDS,
    CoarseBatch,
    CoarseData,
    count_metals,
)
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
from crystaltool.nn.layers import mlp
from crystaltool.nn.periodic_pairs import OrbitPairs, point_pairs
from crystaltool.nn.property_encoder import PropertyEncoder

N_GLOBALS = 7 + N_DESCRIPTORS
"""What the encoder is told of the whole MOF: standardised k, log K, standardised descriptors."""

LARGEST_DESCRIPTOR = 4.0
"""Standardised descriptors are cut off here: an element that training has hardly seen must not blind the encoder."""


@dataclass(frozen=True)
class Heads:
    """What the heads say of z.

    Args:
        k: standardised, size of the cell a block; (B, 6). n_blocks, n_metals: scores; (B, MAX_BLOCKS + 1).
        properties: standardised; (B, P).
    """

    k: Tensor
    n_blocks: Tensor
    n_metals: Tensor
    properties: Tensor


@dataclass(frozen=True)
class Denoised:
    """One call of the denoiser: normalised displacement (B, K, 3), embedding (B, K, E), k (B, 6), and two scores."""

    move: Tensor
    embeddings: Tensor
    k: Tensor
    kinds: Tensor
    connections: Tensor


class MOFDiff(nn.Module):
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
        self.mixed_precision = False
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

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.k_mean.device

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the weights."""
        return self.k_mean.dtype

    def networks(self) -> torch.autocast:
        """Context of the network calls, bfloat16 under `mixed_precision`."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed_precision)

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
        known = self._known(batch.k, batch.mask.sum(1), batch.descriptors)
        pairs = self.pairs(symmetric_lattice(batch.k), batch.centres, batch.mask)
        features = torch.cat([batch.embeddings, batch.features], dim=-1)
        with self.networks():
            parts = self.encoder(features, known, batch.mask, pairs), self.property_encoder(known)
        mean, log_variance = (torch.cat(both, dim=-1).to(self.dtype) for both in zip(*parts, strict=True))
        return mean, log_variance

    def _known(self, k: Tensor, n_blocks: Tensor, descriptors: Tensor) -> Tensor:
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
            mean, _ = self.property_encoder(self._known(k, n_blocks, descriptors))
            properties = self.property_encoder.predict(mean).mean(1)
        return self._restored(properties.to(self.dtype))

    def _restored(self, properties: Tensor) -> Tensor:
        return restore(properties * self.property_scale + self.property_mean)

    def draw_latent(self, noise: Tensor, steps: int) -> Tensor:
        """z of the learned prior from normal noise; (n, Z)."""
        return flow.integrate(self.prior, noise, steps)

    # --- denoiser --------------------------------------------------------------------------------------------------

    def denoise(
        self, z: Tensor, guess: Tensor, u_t: Tensor, e_t: Tensor, k_t: Tensor, t: Tensor, mask: Tensor
    ) -> Denoised:
        """One network call.

        Args:
            z: latent; (B, Z). guess: the head's k; (B, 6).
            u_t: noisy centres; (B, K, 3). e_t: noisy embeddings; (B, K, E).
            k_t: noisy k, as deviation from the guess in units of `cell_residual`; (B, 6).
            t: time, 1 is noise; (B,). mask: (B, K).
        """
        sigma_u, sigma_e, sigma_k = self.sigmas(t)
        residual = gaussian.posterior_mean(k_t, sigma_k[:, None])
        k = guess + self.config.cell_residual * residual
        lattice = symmetric_lattice(k)
        pairs = self.pairs(lattice, u_t, mask)
        n_blocks = mask.sum(1)
        cell = torch.cat(
            [
                self.relative_k(k, n_blocks),
                gaussian.scaled_input(k_t, sigma_k[:, None]),
                n_blocks.to(self.dtype).log()[:, None] / 2,
            ],
            dim=1,
        )
        e_in = gaussian.scaled_input(e_t, sigma_e[:, None, None])
        with self.networks():
            known = PlacePairs(pairs, pair_waves(u_t, self.config.n_waves))
            vectors, shifts, e_out, k_out, kinds, connections = self.denoiser(e_in, z, cell, sigma_u, mask, known)
        volume = torch.linalg.det(lattice)
        move = torch.linalg.solve(lattice, vectors.to(self.dtype), left=False) * volume[:, None, None] ** (1 / 3)
        move = _centred(move + shifts.to(self.dtype), mask)
        return Denoised(
            move, e_out.to(self.dtype), k_out.to(self.dtype), kinds.to(self.dtype), connections.to(self.dtype)
        )

    def sigmas(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Noise levels of centres, embeddings and cell at time t; (B,) each."""
        c = self.config
        ahead = t**c.embedding_power
        return geometric(t, *c.coordinate_sigma), geometric(ahead, *c.embedding_sigma), geometric(t, *c.cell_sigma)

    # --- training --------------------------------------------------------------------------------------------------

    def forward(self, batch: CoarseBatch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of a batch and its parts; "property", the error of predicted properties, is told but no part of it.

        Each denoising loss is about 1 for a network that knows nothing.
        """
        n, device, mask = len(batch.k), self.device, batch.mask

        def normal(like: Tensor) -> Tensor:
            return torch.randn(like.shape, generator=generator, device=device)

        seen = batch.embeddings + self.config.embedding_noise * normal(batch.embeddings)
        mean, log_variance = self.encode(replace(batch, embeddings=seen))
        z = mean + (0.5 * log_variance).exp() * normal(mean)
        kl = _divergence(mean, log_variance)
        heads = self.heads(z)
        n_blocks = mask.sum(1)
        relative = self.relative_k(batch.k, n_blocks)
        k_loss = functional.smooth_l1_loss(heads.k, relative, beta=0.5)
        count_loss = functional.cross_entropy(heads.n_blocks, n_blocks)
        metal_loss = functional.cross_entropy(heads.n_metals, count_metals(batch))
        property_loss = self._property_loss(heads.properties, batch.properties)
        t = (torch.rand(1, generator=generator, device=device) + torch.arange(n, device=device) / n) % 1.0
        first, last = self.config.settling
        t = torch.where(t < 0.5, 2 * t, first + (last - first) * (2 * t - 1))
        t = t[torch.randperm(n, generator=generator, device=device)]
        sigma_u, sigma_e, sigma_k = self.sigmas(t)
        inside = mask[..., None]
        # centres
        centres = torch.where(torch.rand(n, 1, 1, generator=generator, device=device) < 0.5, -1, 1) * batch.centres
        step = normal(centres) * sigma_u[:, None, None] * inside
        eye = torch.eye(3, device=device).expand(step.shape[0] * step.shape[1], 3, 3)
        target_u = wrapped_normal.mean_displacement(
            step.flatten(0, 1), sigma_u.repeat_interleave(step.shape[1]), eye, inside.expand_as(step).flatten(0, 1)
        ).view_as(step)
        # embeddings and cell
        e_t = (batch.embeddings + normal(batch.embeddings) * sigma_e[:, None, None]) * inside
        guess = self.absolute_k(heads.k, n_blocks).detach()
        k_0 = (batch.k - guess) / self.config.cell_residual
        k_t = k_0 + normal(k_0) * sigma_k[:, None]
        out = self.denoise(z, guess, centres + step, e_t, k_t, t, mask)
        amplitude = (sigma_u * wrapped_normal.score_scale(sigma_u))[:, None, None]
        places = mask.sum() * 3
        centre_loss = ((out.move - _centred(target_u / amplitude, mask)).square() * inside).sum() / places
        target_e = gaussian.target(batch.embeddings, e_t, sigma_e[:, None, None])
        embedding_loss = functional.smooth_l1_loss(out.embeddings, target_e, beta=1.0, reduction="none")
        embedding_loss = 2 * (embedding_loss * inside).sum() / (mask.sum() * target_e.shape[-1])
        target_k = gaussian.target(k_0, k_t, sigma_k[:, None])
        cell_loss = 2 * functional.smooth_l1_loss(out.k, target_k, beta=1.0)
        kind_loss = functional.cross_entropy(out.kinds[mask], batch.kinds[mask])
        connection_loss = functional.cross_entropy(out.connections[mask], batch.connections[mask])
        # latent prior, on posteriors that it does not change
        x_s, velocity = flow.interpolate(normal(z), z.detach(), s := torch.rand(n, generator=generator, device=device))
        prior_loss = (self.prior(x_s, s) - velocity).square().mean()
        loss = (
            self.config.centre_weight * centre_loss
            + embedding_loss
            + cell_loss
            + k_loss
            + 0.3 * (count_loss + metal_loss)
            + self.config.head_weight * (kind_loss + connection_loss)
            + self.config.kl_weight * kl
            + prior_loss
        )
        log = {
            "centre": centre_loss,
            "embedding": embedding_loss,
            "cell": cell_loss,
            "k": k_loss,
            "count": count_loss,
            "metal": metal_loss,
            "property": property_loss,
            "kind": kind_loss,
            "connection": connection_loss,
            "kl": kl,
            "prior": prior_loss,
        }
        return loss, {name: value.detach() for name, value in log.items()}

    def property_step(
        self, batch: CoarseBatch, left_out: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of the encoder of properties, and its parts.

        Args:
            batch: MOFs. left_out: member that does not learn from each of them, so that members err apart; (B,).
            generator: of the noise.
        """
        known, config = self._known(batch.k, batch.mask.sum(1), batch.descriptors), self.config

        def normal(like: Tensor) -> Tensor:
            return torch.randn(like.shape, generator=generator, device=self.device)

        known = known + config.property_noise * normal(known)
        with self.networks():
            parts = self.property_encoder(known)
            mean, log_variance = (part.to(self.dtype) for part in parts)
            z = mean + (0.5 * log_variance).exp() * normal(mean)
            each = self.property_encoder.predict(z).to(self.dtype)
        learns = left_out[:, None] != torch.arange(config.property_members, device=self.device)
        known_properties = batch.properties[:, None].where(learns[..., None], torch.nan)
        property_loss = self._property_loss(each, known_properties)
        kl = _divergence(mean, log_variance) / config.property_members
        loss = config.property_weight * property_loss + config.kl_weight * kl
        return loss, {"property": property_loss.detach(), "kl": kl.detach()}

    def _property_loss(self, predicted: Tensor, known: Tensor) -> Tensor:
        """Squared error over the labels that are there; 0 without any."""
        target = (transform(known) - self.property_mean) / self.property_scale
        labelled = torch.isfinite(target)
        miss = torch.where(labelled, predicted - target.nan_to_num(), torch.zeros_like(predicted))
        return miss.square().sum() / labelled.sum().clamp(min=1)


def _divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Mean Kullback-Leibler divergence from a normal distribution of unit variance, in nats."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()


def _centred(moves: Tensor, mask: Tensor) -> Tensor:
    """Moves (B, K, 3) without their mean: the origin is arbitrary, and no place outside the mask moves."""
    inside = mask[..., None]
    moves = moves * inside
    return (moves - moves.sum(1, keepdim=True) / mask.sum(1)[:, None, None]) * inside


def transform(values):
    """Properties on the scale where heads predict them: log(1 + x), which spreads small uptakes; array or tensor."""
    return values.clamp(min=0).log1p() if isinstance(values, Tensor) else np.log1p(np.maximum(values, 0))


def restore(values: Tensor) -> Tensor:
    """Inverse of `transform`."""
    return values.expm1().clamp(min=0)
