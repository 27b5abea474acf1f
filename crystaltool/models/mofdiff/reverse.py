"""From noise to centres, embeddings and cell: the reverse process of MOFDiff."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from crystaltool.diffusion import gaussian, wrapped_normal
from crystaltool.diffusion.karras import stochastic_euler
from crystaltool.lattice import k_to_matrix
from crystaltool.models.mofdiff.draws import Noise
from crystaltool.models.mofdiff.model import MOFDiff
from crystaltool.models.mofdiff.sampler_config import SamplerConfig
from crystaltool.models.mofdiff.states import CoarseSample, Denoised, Noisy, Places

RESULT_GRID = 1e-6
"""Centres, k, predicted properties and scores are rounded to this; float64 batches differ by 1e-13."""

LARGEST_LOG_CHANGE = 1.2
"""Components of log(cell) stay this close to their mean: what the network says far from its training data must still
span a volume. In 3,000 MOFs of QMOF the largest is 0.81."""


@dataclass(frozen=True)
class BoundedPlaces(Places):
    """Places with the bounds of their cells; (B, 6) each."""

    least_k: Tensor
    most_k: Tensor


Parts = tuple[Tensor, Tensor, Tensor]
"""Centres, embeddings and cell, as in `State`."""


@dataclass(frozen=True)
class State:
    """Centres (B, K, 3), embeddings (B, K, E) and cell as a deviation from the guess (B, 6), and the last outputs."""

    u: Tensor
    e: Tensor
    k: Tensor
    out: Denoised


def stacked(model: MOFDiff, values: Sequence[np.ndarray]) -> Tensor:
    """Arrays of one shape as one tensor where the model is."""
    return torch.as_tensor(np.stack(values)).to(model.device, model.dtype)


def places_of(model: MOFDiff, z: Tensor, n_blocks: Tensor) -> BoundedPlaces:
    """Places of MOFs with latents z (B, Z) and these numbers of blocks (B,)."""
    mask = torch.arange(int(n_blocks.max()), device=model.device) < n_blocks[:, None]
    heads = model.heads(z)
    usual = model.absolute_k(torch.zeros_like(heads.k), n_blocks)
    least_k, most_k = usual - LARGEST_LOG_CHANGE, usual + LARGEST_LOG_CHANGE
    guess = model.absolute_k(heads.k, n_blocks).clamp(least_k, most_k)
    return BoundedPlaces(z, guess, mask, least_k, most_k)


def reverse(
    model: MOFDiff, places: BoundedPlaces, noise: Sequence[Noise], config: SamplerConfig, clean: Tensor | None = None
) -> State:
    """`stochastic_euler` over even times from 1 to the last.

    Args:
        places: n MOFs of at most K blocks. noise: of each.
        clean: embeddings to hold; (n, K, E). Each call sees them with its own noise, `churn_embeddings` times its
            sigma. None denoises them too.
    """
    n, width = places.mask.shape
    inside, residual = places.mask[..., None], model.config.cell_residual

    def numbers(name: str) -> Tensor:
        return stacked(model, [getattr(one, name) for one in noise])

    times = torch.linspace(1.0, config.last_time, config.calls, device=model.device, dtype=model.dtype)
    levels = _levels(model, times)
    churn_u, churn_e, churn_k = (
        numbers(name).transpose(0, 1) for name in ("churn_centres", "churn_embeddings", "churn_k")
    )
    churn_u, churn_e = churn_u[:, :, :width], churn_e[:, :, :width]
    results: list[Denoised] = []

    def raised(now: Tensor) -> Tensor:
        # one time stands for all three noise levels, so it is the time that goes back
        higher = _levels(model, _earlier(now[3], config.churn, model)[None])[0]
        return torch.cat([higher[:3].minimum(levels[0, :3]), higher[3:]])

    def noisier(state: Parts, added: Tensor, call: int) -> Parts:
        u, e, k = state
        return (
            u + added[0] * churn_u[call],
            e + added[1] * churn_e[call] * inside,
            k + added[2] * churn_k[call],
        )

    def step(state: Parts, now: Tensor, following: Tensor, call: int) -> Parts:
        u, e, k = state
        if clean is not None:
            e = (clean + now[1] * churn_e[call]) * inside
        out = model.denoise(places, Noisy(u, e, k, now[3].expand(n)))
        results.append(out)
        e_0 = gaussian.denoise(e, now[1], out.embeddings) * inside
        k_0 = places.guess + residual * gaussian.denoise(k, now[2], out.k)
        k_0 = (k_0.clamp(places.least_k, places.most_k) - places.guess) / residual
        ratio = following / now
        u = u + (1 - ratio[0]) * now[0] * wrapped_normal.score_scale(now[:1]) * out.move
        return u, e_0 + (e - e_0) * ratio[1], k_0 + (k - k_0) * ratio[2]

    start = (
        numbers("centres")[:, :width],
        numbers("embeddings")[:, :width] * levels[0, 1] * inside,
        numbers("k") * levels[0, 2],
    )
    u, e, k = stochastic_euler(start, levels, raised if config.churn > 0 else None, noisier, step)
    return State(u, e, k, results[-1])


def _levels(model: MOFDiff, times: Tensor) -> Tensor:
    """Noise of centres, embeddings and cell, and the time itself; (calls, 4)."""
    return torch.stack([*model.sigmas(times), times], dim=1)


def results_of(model: MOFDiff, places: Places, state: State) -> list[CoarseSample]:
    """The samples that a batch ends in, rounded so that a batch of another size gives the same ones."""
    # A drop of RESULT_GRID beside 0 or 1 is 0: the grid is the same from both sides.
    u = (state.u / RESULT_GRID).round() % round(1 / RESULT_GRID) * RESULT_GRID
    k = ((places.guess + model.config.cell_residual * state.k) / RESULT_GRID).round() * RESULT_GRID
    kinds, connections = state.out.kinds.log_softmax(-1), state.out.connections.log_softmax(-1)
    results = []
    for row, n_blocks in enumerate(places.n_blocks.tolist()):
        inside = slice(0, n_blocks)
        results.append(
            CoarseSample(
                lattice=k_to_matrix(k[row].double().cpu().numpy()),
                centres=u[row, inside].double().cpu().numpy(),
                embeddings=state.e[row, inside].double().cpu().numpy(),
                kinds=kinds[row, inside].double().cpu().numpy(),
                connections=connections[row, inside].double().cpu().numpy(),
            )
        )
    return results


def _earlier(t: Tensor, churn: float, model: MOFDiff) -> Tensor:
    """The time at which the noise of the centres is a factor 1 + churn higher, at most 1."""
    low, high = model.config.coordinate_sigma
    return (t + math.log1p(churn) / math.log(high / low)).clamp(max=1.0)
