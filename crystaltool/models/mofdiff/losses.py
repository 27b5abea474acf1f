"""What MOFDiff is trained on: its denoising losses, those of heads and latent, and that of the encoder of properties.

Each denoising loss is about 1 for a network that knows nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from crystaltool.diffusion import flow, gaussian, wrapped_normal
from crystaltool.models.mofdiff.representation import CoarseBatch, count_metals
from crystaltool.models.mofdiff.states import Denoised, Heads, Noisy, Places, centred, transform

if TYPE_CHECKING:
    from crystaltool.models.mofdiff.model import MOFDiff

Parts: TypeAlias = dict[str, Tensor]
Normal: TypeAlias = Callable[[Tensor], Tensor]
"""Standard normal numbers in the shape of a tensor."""

LOGGED = ("centre", "embedding", "cell", "k", "count", "metal", "property", "kind", "connection", "kl", "prior")


def mof_loss(model: MOFDiff, batch: CoarseBatch, generator: torch.Generator) -> tuple[Tensor, Parts]:
    """Loss of a batch and its parts; "property", the error of predicted properties, is told but no part of it.

    Args:
        model: what learns. batch: MOFs. generator: of all noise.
    """
    config, normal = model.config, partial(_normal, generator)
    seen = batch.embeddings + config.embedding_noise * normal(batch.embeddings)
    mean, log_variance = model.encode(replace(batch, embeddings=seen))
    z = mean + (0.5 * log_variance).exp() * normal(mean)
    heads = model.heads(z)
    parts = _of_heads(model, heads, batch) | {"kl": _divergence(mean, log_variance)}
    times = draw_times(len(z), config.settling, generator)
    guess = model.absolute_k(heads.k, batch.mask.sum(1)).detach()
    parts |= _of_denoiser(model, Places(z, guess, batch.mask), batch, times, generator)
    parts["prior"] = _of_prior(model, z.detach(), generator)
    loss = (
        config.centre_weight * parts["centre"]
        + parts["embedding"]
        + parts["cell"]
        + parts["k"]
        + 0.3 * (parts["count"] + parts["metal"])
        + config.head_weight * (parts["kind"] + parts["connection"])
        + config.kl_weight * parts["kl"]
        + parts["prior"]
    )
    return loss, {name: parts[name].detach() for name in LOGGED}


def property_loss(
    model: MOFDiff, batch: CoarseBatch, left_out: Tensor, generator: torch.Generator
) -> tuple[Tensor, Parts]:
    """Loss of the encoder of properties, and its parts.

    Args:
        model: whose encoder of properties learns.
        batch: MOFs. left_out: member that does not learn from each of them, so that members err apart; (B,).
        generator: of the noise.
    """
    config, normal = model.config, partial(_normal, generator)
    known = model.known(batch.k, batch.mask.sum(1), batch.descriptors)
    known = known + config.property_noise * normal(known)
    with model.networks():
        mean, log_variance = (part.to(model.dtype) for part in model.property_encoder(known))
        z = mean + (0.5 * log_variance).exp() * normal(mean)
        each = model.property_encoder.predict(z).to(model.dtype)
    learns = left_out[:, None] != torch.arange(config.property_members, device=model.device)
    error = property_error(model, each, batch.properties[:, None].where(learns[..., None], torch.nan))
    kl = _divergence(mean, log_variance) / config.property_members
    loss = config.property_weight * error + config.kl_weight * kl
    return loss, {"property": error.detach(), "kl": kl.detach()}


def draw_times(n: int, settling: tuple[float, float], generator: torch.Generator) -> Tensor:
    """Times of n MOFs: half of them evenly from 0 to 1, half between those of `settling`, in any order; (n,)."""
    device = generator.device
    t = (torch.rand(1, generator=generator, device=device) + torch.arange(n, device=device) / n) % 1.0
    first, last = settling
    t = torch.where(t < 0.5, 2 * t, first + (last - first) * (2 * t - 1))
    return t[torch.randperm(n, generator=generator, device=device)]


def _of_heads(model: MOFDiff, heads: Heads, batch: CoarseBatch) -> Parts:
    n_blocks = batch.mask.sum(1)
    return {
        "k": functional.smooth_l1_loss(heads.k, model.relative_k(batch.k, n_blocks), beta=0.5),
        "count": functional.cross_entropy(heads.n_blocks, n_blocks),
        "metal": functional.cross_entropy(heads.n_metals, count_metals(batch)),
        "property": property_error(model, heads.properties, batch.properties),
    }


def _of_denoiser(model: MOFDiff, places: Places, batch: CoarseBatch, t: Tensor, generator: torch.Generator) -> Parts:
    """Losses of one call on MOFs of either hand with noise of these times."""
    normal, mask = partial(_normal, generator), batch.mask
    sigma_u, sigma_e, sigma_k = model.sigmas(t)
    inside = mask[..., None]
    hands = torch.where(torch.rand(len(t), 1, 1, generator=generator, device=t.device) < 0.5, -1, 1)
    centres = hands * batch.centres
    step = normal(centres) * sigma_u[:, None, None] * inside
    e_t = (batch.embeddings + normal(batch.embeddings) * sigma_e[:, None, None]) * inside
    k_0 = (batch.k - places.guess) / model.config.cell_residual
    k_t = k_0 + normal(k_0) * sigma_k[:, None]
    out = model.denoise(places, Noisy(centres + step, e_t, k_t, t))
    target_e = gaussian.target(batch.embeddings, e_t, sigma_e[:, None, None])
    embedding = functional.smooth_l1_loss(out.embeddings, target_e, beta=1.0, reduction="none")
    target_k = gaussian.target(k_0, k_t, sigma_k[:, None])
    return {
        "centre": _of_centres(out, step, sigma_u, mask),
        "embedding": 2 * (embedding * inside).sum() / (mask.sum() * target_e.shape[-1]),
        "cell": 2 * functional.smooth_l1_loss(out.k, target_k, beta=1.0),
        "kind": functional.cross_entropy(out.kinds[mask], batch.kinds[mask]),
        "connection": functional.cross_entropy(out.connections[mask], batch.connections[mask]),
    }


def _of_centres(out: Denoised, step: Tensor, sigma: Tensor, mask: Tensor) -> Tensor:
    """Error of the displacements against the wrapped normal's mean one, both without what moves the MOF as a whole."""
    inside = mask[..., None]
    eye = torch.eye(3, device=step.device).expand(step.shape[0] * step.shape[1], 3, 3)
    target = wrapped_normal.mean_displacement(
        step.flatten(0, 1), sigma.repeat_interleave(step.shape[1]), eye, inside.expand_as(step).flatten(0, 1)
    ).view_as(step)
    amplitude = (sigma * wrapped_normal.score_scale(sigma))[:, None, None]
    return ((out.move - centred(target / amplitude, mask)).square() * inside).sum() / (mask.sum() * 3)


def _of_prior(model: MOFDiff, z: Tensor, generator: torch.Generator) -> Tensor:
    """Loss of the latent prior, on posteriors that it does not change."""
    start = _normal(generator, z)
    s = torch.rand(len(z), generator=generator, device=z.device)
    x_s, velocity = flow.interpolate(start, z, s)
    return (model.prior(x_s, s) - velocity).square().mean()


def property_error(model: MOFDiff, predicted: Tensor, known: Tensor) -> Tensor:
    """Squared error over the labels that are there; 0 without any."""
    target = (transform(known) - model.property_mean) / model.property_scale
    labelled = torch.isfinite(target)
    miss = torch.where(labelled, predicted - target.nan_to_num(), torch.zeros_like(predicted))
    return miss.square().sum() / labelled.sum().clamp(min=1)


def _divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Mean Kullback-Leibler divergence from a normal distribution of unit variance, in nats."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()


def _normal(generator: torch.Generator, like: Tensor) -> Tensor:
    return torch.randn(like.shape, generator=generator, device=generator.device)
