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

from crystaltool.lattice import matrix_to_k, reduced_basis
from crystaltool.models.block_encoder.library import Library
from crystaltool.models.mofdiff.decoding import Choice, decode, place_scores
from crystaltool.models.mofdiff.draws import ItemDraws, draw_item, item_name
from crystaltool.models.mofdiff.model import MOFDiff
from crystaltool.models.mofdiff.reverse import (
    RESULT_GRID,
    CoarseSample,
    State,
    places_of,
    results_of,
    reverse,
    stacked,
    times_of,
)
from crystaltool.models.mofdiff.sampler_config import SamplerConfig
from crystaltool.models.mofdiff.targets import Target, choose_latent
from crystaltool.mof.blocks import MAX_BLOCKS, CoarseMOF

SMALLEST_MOF = 2
"""Blocks: a node and a linker."""

FAR_ENOUGH = 0.5
"""Attempts whose blocks are this far apart, in cube roots of the volume a block, are equally good."""


@torch.no_grad()
def sample_coarse(
    model: MOFDiff, indices: Sequence[int], seed: int, config: SamplerConfig, target: Target | None = None
) -> tuple[list[list[CoarseSample]], Tensor]:
    """Every attempt at the given items as one batch, before decoding, and the latents of the items (n, Z)."""
    n_draws = config.draws if target else 1
    firsts = [draw_item(model, config, seed, index, n_draws) for index in indices]
    tensor = functools.partial(stacked, model)
    noise = tensor([draw.latent for draw in firsts]) * config.latent_temperature
    z = model.draw_latent(noise.flatten(0, 1), config.latent_steps).view_as(noise)
    z = choose_latent(model, z, target)
    allowed = model.heads(z).n_blocks.clone()
    allowed[:, :SMALLEST_MOF] = -math.inf
    cumulative = torch.softmax(allowed, dim=1).cumsum(1)
    n_blocks = (cumulative <= tensor([np.array(draw.n_blocks) for draw in firsts])[:, None]).sum(1)
    n_blocks = n_blocks.clamp(max=MAX_BLOCKS)
    times = times_of(model, config.calls, 1.0, config.time_power)
    sigmas = torch.stack(model.sigmas(times[:1]))
    draws = [
        draw if attempt == 0 else draw_item(model, config, seed, index, n_draws, attempt)
        for index, draw in zip(indices, firsts, strict=True)
        for attempt in range(config.attempts)
    ]
    places = places_of(model, z.repeat_interleave(config.attempts, dim=0), n_blocks.repeat_interleave(config.attempts))
    width = places.mask.shape[1]
    state = State(
        tensor([draw.centres[:width] for draw in draws]),
        tensor([draw.embeddings[:width] for draw in draws]) * sigmas[1, 0] * places.mask[..., None],
        tensor([draw.k for draw in draws]) * sigmas[2, 0],
    )
    churn = (
        tensor([draw.churn_centres for draw in draws]),
        tensor([draw.churn_embeddings for draw in draws]),
        tensor([draw.churn_k for draw in draws]),
    )
    found = results_of(model, places, reverse(model, places, state, times, churn, config.churn))
    return [found[start : start + config.attempts] for start in range(0, len(found), config.attempts)], z


def separation(sample: CoarseSample) -> float:
    """Smallest distance of two blocks over the cube root of the volume a block.

    In the MOFs of QMOF 5 % are below 0.3 and half below 0.65; blocks that the network left in one place are near 0.
    """
    lattice = reduced_basis(sample.lattice) @ sample.lattice
    centres = sample.centres @ sample.lattice @ np.linalg.inv(lattice)
    first, second = np.triu_indices(len(centres), 1)
    apart = centres[first] - centres[second]
    apart = (apart - np.round(apart))[:, None] + np.indices((3, 3, 3)).reshape(3, -1).T - 1
    nearest = np.linalg.norm(apart @ lattice, axis=-1).min()
    return float(nearest / (abs(np.linalg.det(lattice)) / len(centres)) ** (1 / 3))


def best_attempts(samples: Sequence[CoarseSample], n: int) -> list[CoarseSample]:
    """The `n` attempts whose blocks lie farthest apart, best first; beyond `FAR_ENOUGH` the earlier one is better."""
    apart = [min(FAR_ENOUGH, round(separation(sample) / RESULT_GRID) * RESULT_GRID) for sample in samples]
    return [samples[row] for row in np.argsort([-value for value in apart], kind="stable")[:n]]


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
    places = places_of(model, z, torch.tensor([len(sample.centres) for sample in samples], device=model.device))
    width = places.mask.shape[1]

    def padded(values: Sequence[np.ndarray]) -> Tensor:
        return stacked(model, [np.pad(value, ((0, width - len(value)), (0, 0))) for value in values])

    times = times_of(model, config.refine_calls, config.refine_time, config.time_power)
    sigmas = torch.stack(model.sigmas(times[:1]))
    k_0 = (stacked(model, [matrix_to_k(sample.lattice) for sample in samples]) - places.guess) / (
        model.config.cell_residual
    )
    noise = [stacked(model, [getattr(d, name) for d in draws]) for name in ("refine_centres", "refine_k")]
    clean = padded(embeddings)
    state = State(
        padded([sample.centres for sample in samples]) + sigmas[0, 0] * noise[0][:, 0, :width],
        clean,
        k_0 + sigmas[2, 0] * noise[1][:, 0],
    )
    churn_e = stacked(model, [d.refine_embeddings for d in draws])
    churn = (noise[0][:, 1:], churn_e, noise[1][:, 1:])
    return results_of(model, places, reverse(model, places, state, times, churn, config.churn, clean))


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


def decode_attempts(
    samples: Sequence[CoarseSample], library: Library, config: SamplerConfig, rng: np.random.Generator
) -> list[tuple[CoarseSample, Choice]]:
    """At most `config.candidates` decodings of the best attempts, the best one of each first, then the next of each."""
    kept = best_attempts(samples, config.kept)
    found = [decode_sample(sample, library, config, rng) for sample in kept]
    turns = [
        (kept[row], choices[turn])
        for turn in range(config.candidates)
        for row, choices in enumerate(found)
        if turn < len(choices)
    ]
    return turns[: config.candidates]


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
        attempts, z = sample_coarse(model, part, seed, config, target)
        draws = [draw_item(model, config, seed, index, config.draws if target else 1) for index in part]
        decoded = [
            (row, sample, choice)
            for row, found in enumerate(attempts)
            for sample, choice in decode_attempts(found, library, config, draws[row].decoding)
        ]
        refined = [sample for _, sample, _ in decoded]
        if config.refine_calls and decoded:
            owners = [row for row, _, _ in decoded]
            vectors = [library.embeddings[choice.rows].astype(np.float64) for _, _, choice in decoded]
            refined = refine_coarse(model, refined, z[owners], vectors, [draws[row] for row in owners], config)
        items: list[list[Decoded]] = [[] for _ in part]
        for (row, _, choice), sample in zip(decoded, refined, strict=True):
            mof = to_coarse(sample, library, choice, item_name(seed, part[row]), len(items[row]))
            items[row].append(Decoded(mof, tuple(choice.rows.tolist())))
        yield from items
