"""From noise to centres, embeddings and cell: the reverse process of MOFDiff."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from crystaltool.diffusion import gaussian, wrapped_normal
from crystaltool.lattice import k_to_matrix
from crystaltool.models.mofdiff.model import Denoised, MOFDiff

RESULT_GRID = 1e-6
"""Centres, k, predicted properties and scores are rounded to this; float64 batches differ by 1e-13."""

LARGEST_LOG_CHANGE = 1.2
"""Components of log(cell) stay this close to their mean: what the network says far from its training data must still
span a volume. In 3,000 MOFs of QMOF the largest is 0.81."""


@dataclass(frozen=True)
class CoarseSample:
    """What the network says of one MOF before decoding, all in numpy.

    Args:
        lattice: (3, 3), a along x. centres: fractional; (K, 3). embeddings: (K, E).
        kinds, connections: log probabilities; (K, n_kinds), (K, n_classes).
        predicted: properties by name.
    """

    lattice: np.ndarray
    centres: np.ndarray
    embeddings: np.ndarray
    kinds: np.ndarray
    connections: np.ndarray
    predicted: dict[str, float]


@dataclass(frozen=True)
class Places:
    """What stays the same while a batch is denoised: latent, the head's cell and its bounds, which places there are."""

    z: Tensor
    guess: Tensor
    least_k: Tensor
    most_k: Tensor
    mask: Tensor

    @property
    def n_blocks(self) -> Tensor:
        """Blocks of each MOF."""
        return self.mask.sum(1)


@dataclass(frozen=True)
class State:
    """Centres (B, K, 3), embeddings (B, K, E) and cell as a deviation from the guess (B, 6), and the last outputs."""

    u: Tensor
    e: Tensor
    k: Tensor
    out: Denoised | None = None


def stacked(model: MOFDiff, values: Sequence[np.ndarray]) -> Tensor:
    return torch.as_tensor(np.stack(values)).to(model.device, model.dtype)


def times_of(model: MOFDiff, calls: int, first: float, power: float) -> Tensor:
    even = torch.linspace(1.0, 0.0, calls, device=model.device, dtype=model.dtype)
    return first * even**power


def places_of(model: MOFDiff, z: Tensor, n_blocks: Tensor) -> Places:
    mask = torch.arange(int(n_blocks.max()), device=model.device) < n_blocks[:, None]
    heads = model.heads(z)
    usual = model.absolute_k(torch.zeros_like(heads.k), n_blocks)
    least_k, most_k = usual - LARGEST_LOG_CHANGE, usual + LARGEST_LOG_CHANGE
    return Places(z, model.absolute_k(heads.k, n_blocks).clamp(least_k, most_k), least_k, most_k, mask)


def reverse(
    model: MOFDiff,
    places: Places,
    state: State,
    times: Tensor,
    churn: tuple[Tensor, Tensor, Tensor],
    amount: float,
    clean: Tensor | None = None,
) -> State:
    """The stochastic sampler of Karras et al. (arXiv 2206.00364, algorithm 2) over the given times.

    Args:
        state: at the noise of the first time.
        times: falling to 0.
        churn: normal numbers of every call for centres, embeddings and cell.
        amount: noise put back, as a share of sigma.
        clean: embeddings to hold, noised to each level; None denoises them too.
    """
    u, e, k, out = state.u, state.e, state.k, None
    sigmas = torch.stack(model.sigmas(times))  # centres, embeddings, cell
    inside, residual = places.mask[..., None], model.config.cell_residual
    n, width = places.mask.shape
    calls = len(times)
    for call in range(calls):
        now, t = sigmas[:, call], times[call]
        if 0 < call < calls - 2 and amount > 0:
            # one time stands for all three noise levels, so it is the time that goes back
            t = _earlier(t, amount, model)
            raised = torch.stack(model.sigmas(t[None]))[:, 0].minimum(sigmas[:, 0])
            added = (raised**2 - now**2).clamp(min=0).sqrt()
            u = u + added[0] * churn[0][:, call, :width]
            e = e + added[1] * churn[1][:, call, :width] * inside
            k = k + added[2] * churn[2][:, call]
            now = raised
        if clean is not None:
            e = (clean + now[1] * churn[1][:, call, :width]) * inside
        out = model.denoise(places.z, places.guess, u, e, k, t.expand(n), places.mask)
        e_0 = gaussian.denoise(e, now[1], out.embeddings) * inside
        k_0 = places.guess + residual * gaussian.denoise(k, now[2], out.k)
        k_0 = (k_0.clamp(places.least_k, places.most_k) - places.guess) / residual
        following = torch.zeros_like(now) if call == calls - 1 else sigmas[:, call + 1]
        ratio = following / now
        u = u + (1 - ratio[0]) * now[0] * wrapped_normal.score_scale(now[:1]) * out.move
        e = e_0 + (e - e_0) * ratio[1]
        k = k_0 + (k - k_0) * ratio[2]
    return State(u, e, k, out)


def results_of(model: MOFDiff, places: Places, state: State) -> list[CoarseSample]:
    assert state.out is not None
    # A drop of RESULT_GRID beside 0 or 1 is 0: the grid is the same from both sides.
    u = (state.u / RESULT_GRID).round() % round(1 / RESULT_GRID) * RESULT_GRID
    k = ((places.guess + model.config.cell_residual * state.k) / RESULT_GRID).round() * RESULT_GRID
    properties = (model.predict_properties(places.z) / RESULT_GRID).round() * RESULT_GRID
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
                predicted=dict(zip(model.config.properties, properties[row].tolist(), strict=True)),
            )
        )
    return results


def _earlier(t: Tensor, churn: float, model: MOFDiff) -> Tensor:
    """The time at which the noise of the centres is a factor 1 + churn higher, at most 1."""
    low, high = model.config.coordinate_sigma
    return (t + math.log1p(churn) / math.log(high / low)).clamp(max=1.0)
