"""New coarse-grained MOFs from a trained MOFDiff: latent, heads, denoiser, decoding.

Item i draws from (seed, i) alone, and what the networks say in float64 is rounded to a grid far coarser than the
rounding errors of a batch, so results do not depend on batch size.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from crystaltool.diffusion import gaussian, wrapped_normal
from crystaltool.errors import UsageError
from crystaltool.lattice import k_to_matrix, matrix_to_k
from crystaltool.models.block_encoder.library import Library
from crystaltool.models.mofdiff.decoding import Choice, decode, place_scores
from crystaltool.models.mofdiff.model import Denoised, MOFDiff
from crystaltool.mof.blocks import MAX_BLOCKS, CoarseMOF

LARGEST_SEED = 2**63 - 1
SMALLEST_MOF = 2
"""Blocks: a node and a linker."""

RESULT_GRID = 1e-6
"""Centres, k, predicted properties and scores are rounded to this; float64 batches differ by 1e-13."""

LARGEST_LOG_CHANGE = 1.2
"""Components of log(cell) stay this close to their mean: what the network says far from its training data must still
span a volume. In 3,000 MOFs of QMOF the largest is 0.81."""

MAX = "max"


@dataclass(frozen=True)
class SamplerConfig:
    """How to sample.

    Args:
        calls: of the denoiser, from noise to a sample. refine_calls: more of them, with the embeddings held at those of
            the decoded blocks, from the noise of `refine_time` on; 0 leaves centres and cell as they were.
        time_power: times are even steps to this power. churn: noise put back, share of sigma.
        latent_steps: of the prior's flow, two calls of a small network each.
        latent_temperature: of the prior's noise.
        candidates: decodings of a sample at most. candidate_temperature: of the perturbed scores.
        penalties: what a further distinct block costs, for the first decodings; the others take them in turn.
        spread: deviation of denoised embeddings that decoding reckons with.
        draws: latents drawn for each sample under a target, of which the best is decoded.

    Raises:
        UsageError: on a number outside its range.
    """

    calls: int = 50
    refine_calls: int = 30
    refine_time: float = 0.6
    time_power: float = 1.5
    churn: float = 0.2
    latent_steps: int = 30
    latent_temperature: float = 1.0
    candidates: int = 6
    candidate_temperature: float = 1.0
    penalties: tuple[float, ...] = (20.0, 60.0)
    spread: float = 0.5
    draws: int = 64

    def __post_init__(self) -> None:
        for name, least in (("calls", 2), ("refine_calls", 0), ("latent_steps", 1), ("candidates", 1), ("draws", 1)):
            if getattr(self, name) < least:
                raise UsageError(f"{name} is {getattr(self, name)}, expected at least {least}")
        if not 0 < self.refine_time <= 1:
            raise UsageError(f"refine_time is {self.refine_time}, expected above 0, at most 1")
        if not self.penalties or not all(isinstance(x, (int, float)) and x >= 0 for x in self.penalties):
            raise UsageError(f"penalties is {list(self.penalties)}, expected numbers of at least 0")
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
    refine_centres: np.ndarray
    refine_embeddings: np.ndarray
    refine_k: np.ndarray
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
        refine_centres=rng.standard_normal((config.refine_calls + 1, MAX_BLOCKS, 3)),
        refine_embeddings=rng.standard_normal((config.refine_calls, MAX_BLOCKS, n_embedding)),
        refine_k=rng.standard_normal((config.refine_calls + 1, 6)),
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


@dataclass(frozen=True)
class _Places:
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
class _State:
    """Centres (B, K, 3), embeddings (B, K, E) and cell as a deviation from the guess (B, 6), and the last outputs."""

    u: Tensor
    e: Tensor
    k: Tensor
    out: Denoised | None = None


@torch.no_grad()
def sample_coarse(
    model: MOFDiff, indices: Sequence[int], seed: int, config: SamplerConfig, target: Target | None = None
) -> tuple[list[CoarseSample], Tensor]:
    """Samples of the given items as one batch, before decoding, and their latents (n, Z)."""
    n_draws = config.draws if target else 1
    draws = [draw_item(model, config, seed, index, n_draws) for index in indices]
    tensor = functools.partial(_stacked, model)
    noise = tensor([d.latent for d in draws]) * config.latent_temperature
    z = model.draw_latent(noise.flatten(0, 1), config.latent_steps).view_as(noise)
    z = _choose(model, z, target)
    allowed = model.heads(z).n_blocks.clone()
    allowed[:, :SMALLEST_MOF] = -math.inf
    cumulative = torch.softmax(allowed, dim=1).cumsum(1)
    n_blocks = (cumulative <= tensor([np.array(d.n_blocks) for d in draws])[:, None]).sum(1).clamp(max=MAX_BLOCKS)
    places = _places(model, z, n_blocks)
    width = places.mask.shape[1]
    state = _State(
        tensor([d.centres[:width] for d in draws]),
        tensor([d.embeddings[:width] for d in draws]),
        tensor([d.k for d in draws]),
    )
    times = _times(model, config.calls, 1.0, config.time_power)
    sigmas = torch.stack(model.sigmas(times[:1]))
    state = _State(state.u, state.e * sigmas[1, 0] * places.mask[..., None], state.k * sigmas[2, 0])
    churn = (
        tensor([d.churn_centres for d in draws]),
        tensor([d.churn_embeddings for d in draws]),
        tensor([d.churn_k for d in draws]),
    )
    return _results(model, places, _reverse(model, places, state, times, churn, config.churn)), z


@torch.no_grad()
def refine_coarse(
    model: MOFDiff,
    samples: Sequence[CoarseSample],
    z: Tensor,
    embeddings: Sequence[np.ndarray],
    draws: Sequence[ItemDraws],
    config: SamplerConfig,
) -> list[CoarseSample]:
    """Centres and cells that go with given blocks: noise of `refine_time` put on, and taken off with these embeddings.

    Args:
        samples: as `sample_coarse` gives them. z: their latents; (n, Z).
        embeddings: of the blocks decoded for each; (K, E).
        draws: random numbers of each sample's item.
        config: how.
    """
    places = _places(model, z, torch.tensor([len(sample.centres) for sample in samples], device=model.device))
    width = places.mask.shape[1]

    def padded(values: Sequence[np.ndarray]) -> Tensor:
        return _stacked(model, [np.pad(value, ((0, width - len(value)), (0, 0))) for value in values])

    times = _times(model, config.refine_calls, config.refine_time, config.time_power)
    sigmas = torch.stack(model.sigmas(times[:1]))
    k_0 = (_stacked(model, [matrix_to_k(sample.lattice) for sample in samples]) - places.guess) / (
        model.config.cell_residual
    )
    noise = [_stacked(model, [getattr(d, name) for d in draws]) for name in ("refine_centres", "refine_k")]
    clean = padded(embeddings)
    state = _State(
        padded([sample.centres for sample in samples]) + sigmas[0, 0] * noise[0][:, 0, :width],
        clean,
        k_0 + sigmas[2, 0] * noise[1][:, 0],
    )
    churn_e = _stacked(model, [d.refine_embeddings for d in draws])
    churn = (noise[0][:, 1:], churn_e, noise[1][:, 1:])
    return _results(model, places, _reverse(model, places, state, times, churn, config.churn, clean))


def _stacked(model: MOFDiff, values: Sequence[np.ndarray]) -> Tensor:
    return torch.as_tensor(np.stack(values)).to(model.device, model.dtype)


def _times(model: MOFDiff, calls: int, first: float, power: float) -> Tensor:
    even = torch.linspace(1.0, 0.0, calls, device=model.device, dtype=model.dtype)
    return first * even**power


def _places(model: MOFDiff, z: Tensor, n_blocks: Tensor) -> _Places:
    mask = torch.arange(int(n_blocks.max()), device=model.device) < n_blocks[:, None]
    heads = model.heads(z)
    usual = model.absolute_k(torch.zeros_like(heads.k), n_blocks)
    least_k, most_k = usual - LARGEST_LOG_CHANGE, usual + LARGEST_LOG_CHANGE
    return _Places(z, model.absolute_k(heads.k, n_blocks).clamp(least_k, most_k), least_k, most_k, mask)


def _reverse(
    model: MOFDiff,
    places: _Places,
    state: _State,
    times: Tensor,
    churn: tuple[Tensor, Tensor, Tensor],
    amount: float,
    clean: Tensor | None = None,
) -> _State:
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
    return _State(u, e, k, out)


def _results(model: MOFDiff, places: _Places, state: _State) -> list[CoarseSample]:
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
    sample: CoarseSample, library: Library, config: SamplerConfig, rng: np.random.Generator
) -> list[Choice]:
    """The decodings of a sample, best first; none if no choice balances."""
    kinds, connections = library.kinds, library.n_connections
    scores = place_scores(
        sample.embeddings, sample.kinds, sample.connections, library.embeddings, kinds, connections, config.spread
    )
    scores = np.round(scores / RESULT_GRID) * RESULT_GRID
    found = decode(scores, kinds, connections, config.penalties, config.candidates, rng, config.candidate_temperature)
    return list(found)


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
        samples, z = sample_coarse(model, part, seed, config, target)
        draws = [draw_item(model, config, seed, index, config.draws if target else 1) for index in part]
        choices = [
            (row, number, choice)
            for row, sample in enumerate(samples)
            for number, choice in enumerate(decode_sample(sample, library, config, draws[row].decoding))
        ]
        refined = [samples[row] for row, _, _ in choices]
        if config.refine_calls and choices:
            owners = [row for row, _, _ in choices]
            vectors = [library.embeddings[choice.rows].astype(np.float64) for _, _, choice in choices]
            of_owners = [draws[row] for row in owners]
            refined = refine_coarse(model, refined, z[owners], vectors, of_owners, config)
        decoded: list[list[Decoded]] = [[] for _ in part]
        for (row, number, choice), sample in zip(choices, refined, strict=True):
            mof = to_coarse(sample, library, choice, item_name(seed, part[row]), number)
            decoded[row].append(Decoded(mof, tuple(choice.rows.tolist())))
        yield from decoded
