"""New coarse-grained MOFs from a trained MOFDiff: latent, heads, denoiser, decoding.

Item i draws from (seed, i) alone, and what the networks say in float64 is rounded to a grid far coarser than the
rounding errors of a batch, so results do not depend on batch size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from crystaltool.diffusion import gaussian, wrapped_normal
from crystaltool.errors import UsageError
from crystaltool.lattice import k_to_matrix
from crystaltool.models.block_encoder.library import Library
from crystaltool.models.mofdiff.decoding import Choice, decode, place_scores
from crystaltool.models.mofdiff.model import MOFDiff
from crystaltool.mof.blocks import MAX_BLOCKS, CoarseMOF

LARGEST_SEED = 2**63 - 1
SMALLEST_MOF = 2
"""Blocks: a node and a linker."""

RESULT_GRID = 1e-6
"""Centres, k, predicted properties and scores are rounded to this; float64 batches differ by 1e-13."""

LARGEST_LOG_CHANGE = 1.2
"""Components of log(cell) stay this close to their mean: what the network says far from its training data must still
span a volume. In 7,355 MOFs of QMOF the largest is 0.8."""

MAX = "max"


@dataclass(frozen=True)
class SamplerConfig:
    """How to sample.

    Args:
        calls: of the denoiser. time_power: times are even steps to this power. churn: noise put back, share of sigma.
        latent_steps: of the prior's flow, two calls of a small network each.
        latent_temperature: of the prior's noise.
        candidates: decodings of a sample at most. candidate_temperature: of the perturbed scores.
        spread: deviation of denoised embeddings that decoding reckons with.
        draws: latents drawn for each sample under a target, of which the best is decoded.

    Raises:
        UsageError: on a number outside its range.
    """

    calls: int = 50
    time_power: float = 1.5
    churn: float = 0.2
    latent_steps: int = 30
    latent_temperature: float = 1.0
    candidates: int = 4
    candidate_temperature: float = 1.0
    spread: float = 0.3
    draws: int = 64

    def __post_init__(self) -> None:
        for name, least in (("calls", 2), ("latent_steps", 1), ("candidates", 1), ("draws", 1)):
            if getattr(self, name) < least:
                raise UsageError(f"{name} is {getattr(self, name)}, expected at least {least}")
        for name in ("time_power", "spread"):
            if not 0 < getattr(self, name) < math.inf:
                raise UsageError(f"{name} is {getattr(self, name)}, expected a positive number")
        for name in ("churn", "latent_temperature", "candidate_temperature"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UsageError(f"{name} is {getattr(self, name)}, expected at least 0")


@dataclass(frozen=True)
class Target:
    """A property to aim at: a value, or as large as can be (`value` is None)."""

    name: str
    value: float | None


def parse_target(text: str, names: Sequence[str]) -> Target:
    """`co2_wc=3.0` or `co2_wc=max`.

    Raises:
        UsageError: another form, a property that the model does not know, a value that is no finite number.
    """
    name, sign, value = text.partition("=")
    if not sign or name not in names:
        raise UsageError(f"--target {text!r}, expected PROPERTY=VALUE with a property among {', '.join(names)}")
    if value == MAX:
        return Target(name, None)
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UsageError(f"--target {text!r}, expected a number or {MAX!r}")
    return Target(name, number)


@dataclass(frozen=True)
class ItemDraws:
    """Random numbers of one item."""

    latent: np.ndarray
    n_blocks: float
    centres: np.ndarray
    embeddings: np.ndarray
    k: np.ndarray
    churn_centres: np.ndarray
    churn_embeddings: np.ndarray
    churn_k: np.ndarray
    decoding: np.random.Generator


def draw_item(model: MOFDiff, config: SamplerConfig, seed: int, index: int, draws: int) -> ItemDraws:
    """The random numbers of item `index`, for as many places as a MOF can have."""
    key = np.array([seed, index], dtype=np.uint64)
    rng = np.random.Generator(np.random.Philox(key=key))
    n_latent, n_embedding = model.config.n_latent, model.config.n_embedding
    return ItemDraws(
        latent=rng.standard_normal((draws, n_latent)),
        n_blocks=float(rng.random()),
        centres=rng.random((MAX_BLOCKS, 3)),
        embeddings=rng.standard_normal((MAX_BLOCKS, n_embedding)),
        k=rng.standard_normal(6),
        churn_centres=rng.standard_normal((config.calls, MAX_BLOCKS, 3)),
        churn_embeddings=rng.standard_normal((config.calls, MAX_BLOCKS, n_embedding)),
        churn_k=rng.standard_normal((config.calls, 6)),
        decoding=np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, 1])),
    )


def item_name(seed: int, index: int) -> str:
    """Block name of an item, such as `mofdiff-s0-000017`."""
    return f"mofdiff-s{seed}-{index:06d}"


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


@torch.no_grad()
def sample_coarse(
    model: MOFDiff, indices: Sequence[int], seed: int, config: SamplerConfig, target: Target | None = None
) -> list[CoarseSample]:
    """Samples of the given items as one batch."""
    n_draws = config.draws if target else 1
    draws = [draw_item(model, config, seed, index, n_draws) for index in indices]

    def tensor(values: list[np.ndarray]) -> Tensor:
        return torch.as_tensor(np.stack(values)).to(model.device, model.dtype)

    noise = tensor([d.latent for d in draws]) * config.latent_temperature
    z = model.draw_latent(noise.flatten(0, 1), config.latent_steps).view_as(noise)
    z = _choose(model, z, target)
    heads = model.heads(z)
    allowed = heads.n_blocks.clone()
    allowed[:, :SMALLEST_MOF] = -math.inf
    cumulative = torch.softmax(allowed, dim=1).cumsum(1)
    n_blocks = (cumulative <= tensor([np.array(d.n_blocks) for d in draws])[:, None]).sum(1).clamp(max=MAX_BLOCKS)
    mask = torch.arange(int(n_blocks.max()), device=model.device) < n_blocks[:, None]
    width = mask.shape[1]
    usual = model.absolute_k(torch.zeros_like(heads.k), n_blocks)
    least_k, most_k = usual - LARGEST_LOG_CHANGE, usual + LARGEST_LOG_CHANGE
    guess = model.absolute_k(heads.k, n_blocks).clamp(least_k, most_k)
    u = tensor([d.centres[:width] for d in draws])
    e = tensor([d.embeddings[:width] for d in draws])
    k = tensor([d.k for d in draws])
    churn_u, churn_e, churn_k = (
        tensor([getattr(d, name) for d in draws]) for name in ("churn_centres", "churn_embeddings", "churn_k")
    )
    times = torch.linspace(1.0, 0.0, config.calls, device=model.device, dtype=model.dtype) ** config.time_power
    sigmas = torch.stack(model.sigmas(times))  # centres, embeddings, cell
    most = sigmas[:, :1]
    inside = mask[..., None]
    e, k = e * sigmas[1, 0] * inside, k * sigmas[2, 0]
    n = len(indices)
    out = None
    for call in range(config.calls):
        now = sigmas[:, call]
        t = times[call]
        if 0 < call < config.calls - 2 and config.churn > 0:
            # one time stands for all three noise levels, so it is the time that goes back
            t = _earlier(times[call], config.churn, model)
            raised = torch.stack(model.sigmas(t[None]))[:, 0].minimum(most[:, 0])
            added = (raised**2 - now**2).clamp(min=0).sqrt()
            u = u + added[0] * churn_u[:, call, :width]
            e = e + added[1] * churn_e[:, call, :width] * inside
            k = k + added[2] * churn_k[:, call]
            now = raised
        out = model.denoise(z, guess, u, e, k, t.expand(n), mask)
        e_0 = gaussian.denoise(e, now[1], out.embeddings) * inside
        k_0 = guess + model.config.cell_residual * gaussian.denoise(k, now[2], out.k)
        k_0 = (k_0.clamp(least_k, most_k) - guess) / model.config.cell_residual
        last = call == config.calls - 1
        following = torch.zeros_like(now) if last else sigmas[:, call + 1]
        ratio = following / now
        u = u + (1 - ratio[0]) * now[0] * wrapped_normal.score_scale(now[:1]) * out.move
        e = e_0 + (e - e_0) * ratio[1]
        k = k_0 + (k - k_0) * ratio[2]
    assert out is not None
    # A drop of RESULT_GRID beside 0 or 1 is 0: the grid is the same from both sides.
    u = (u / RESULT_GRID).round() % round(1 / RESULT_GRID) * RESULT_GRID
    k = ((guess + model.config.cell_residual * k) / RESULT_GRID).round() * RESULT_GRID
    properties = (model.predict_properties(z) / RESULT_GRID).round() * RESULT_GRID
    kinds, connections = out.kinds.log_softmax(-1), out.connections.log_softmax(-1)
    results = []
    for row in range(n):
        places = slice(0, int(n_blocks[row]))
        results.append(
            CoarseSample(
                lattice=k_to_matrix(k[row].double().cpu().numpy()),
                centres=u[row, places].double().cpu().numpy(),
                embeddings=e[row, places].double().cpu().numpy(),
                kinds=kinds[row, places].double().cpu().numpy(),
                connections=connections[row, places].double().cpu().numpy(),
                predicted=dict(zip(model.config.properties, properties[row].tolist(), strict=True)),
            )
        )
    return results


def _earlier(t: Tensor, churn: float, model: MOFDiff) -> Tensor:
    """The time at which the noise of the centres is a factor 1 + churn higher, at most 1."""
    low, high = model.config.coordinate_sigma
    return (t + math.log1p(churn) / math.log(high / low)).clamp(max=1.0)


def _choose(model: MOFDiff, z: Tensor, target: Target | None) -> Tensor:
    """Of several latents of each item the one whose predicted property is best; (n, draws, Z) -> (n, Z)."""
    if target is None:
        return z[:, 0]
    column = model.config.properties.index(target.name)
    predicted = model.predict_properties(z.flatten(0, 1))[:, column].view(z.shape[:2])
    merit = predicted if target.value is None else -(predicted - target.value).abs()
    return z[torch.arange(len(z), device=z.device), merit.argmax(1)]


@dataclass(frozen=True)
class Decoded:
    """A decoding: the unposed MOF and the library rows of its blocks."""

    mof: CoarseMOF
    rows: tuple[int, ...]


def decode_sample(
    sample: CoarseSample, library: Library, config: SamplerConfig, rng: np.random.Generator, name: str
) -> Iterator[Decoded]:
    """The decodings of a sample, unposed, best first; none if no choice balances."""
    kinds, connections = library.kinds, library.n_connections
    scores = place_scores(
        sample.embeddings, sample.kinds, sample.connections, library.embeddings, kinds, connections, config.spread
    )
    scores = np.round(scores / RESULT_GRID) * RESULT_GRID
    choices = decode(scores, kinds, connections, config.candidates, rng, config.candidate_temperature)
    for number, choice in enumerate(choices):
        yield Decoded(to_coarse(sample, library, choice, name, number), tuple(choice.rows.tolist()))


def to_coarse(sample: CoarseSample, library: Library, choice: Choice, name: str, number: int) -> CoarseMOF:
    """A decoding as a coarse-grained MOF whose predicted properties travel with it."""
    return CoarseMOF(
        lattice=sample.lattice,
        blocks=tuple(library.block(int(row)) for row in choice.rows),
        centres=sample.centres,
        name=name,
        properties={
            "candidate": float(number),
            "decoding_score": choice.score,
            **{f"predicted_{key}": value for key, value in sample.predicted.items()},
        },
    )


def sample_mofdiff(
    model: MOFDiff,
    library: Library,
    indices: Sequence[int],
    seed: int,
    config: SamplerConfig,
    batch_size: int,
    target: Target | None = None,
) -> Iterator[list[Decoded]]:
    """The decodings of every item, in order; an empty list where none balances.

    Args:
        model: in float64 and evaluation mode for reproducible results.
        library: blocks to decode with.
        indices: item numbers. seed: of all items. config: how to sample.
        batch_size: items at a time; never changes results.
        target: a property to aim at.
    """
    for start in range(0, len(indices), batch_size):
        part = indices[start : start + batch_size]
        samples = sample_coarse(model, part, seed, config, target)
        for index, sample in zip(part, samples, strict=True):
            rng = draw_item(model, config, seed, index, config.draws if target else 1).decoding
            yield list(decode_sample(sample, library, config, rng, item_name(seed, index)))
