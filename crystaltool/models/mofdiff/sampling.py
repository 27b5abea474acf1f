"""New coarse-grained MOFs from a trained MOFDiff: a latent, its blocks, their decodings, and places for each of these.

Item i draws from (seed, i) alone, and what the networks say in float64 is rounded to a grid far coarser than the
rounding errors of a batch, so results do not depend on batch size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from crystaltool.models.block_encoder.library import Library
from crystaltool.models.mofdiff.decoding import Choice, decode, place_scores
from crystaltool.models.mofdiff.draws import ItemDraws, Noise, draw_item, draw_noise, item_name
from crystaltool.models.mofdiff.model import MOFDiff
from crystaltool.models.mofdiff.properties import predict_mofs
from crystaltool.models.mofdiff.reverse import (
    RESULT_GRID,
    CoarseSample,
    places_of,
    results_of,
    reverse,
    stacked,
)
from crystaltool.models.mofdiff.sampler_config import SamplerConfig
from crystaltool.models.mofdiff.targets import Target, choose_latent
from crystaltool.mof.blocks import MAX_BLOCKS, CoarseMOF

SMALLEST_MOF = 2
"""Blocks: a node and a linker."""

NEEDED = (1, 6)
"""Atomic numbers that every MOF has, where the library has them; metals come with the balance of connection points."""


@torch.no_grad()
def find_blocks(
    model: MOFDiff,
    draws: Sequence[ItemDraws],
    noise: Sequence[Noise],
    config: SamplerConfig,
    target: Target | None = None,
) -> tuple[list[CoarseSample], Tensor]:
    """Items as one batch, denoised from nothing but a latent, and these latents (n, Z)."""
    latents = stacked(model, [draw.latent for draw in draws]) * config.latent_temperature
    z = model.draw_latent(latents.flatten(0, 1), config.latent_steps).view_as(latents)
    z = choose_latent(model, z, target)
    allowed = model.heads(z).n_blocks.clone()
    allowed[:, :SMALLEST_MOF] = -math.inf
    cumulative = torch.softmax(allowed, dim=1).cumsum(1)
    n_blocks = (cumulative <= stacked(model, [np.array(draw.n_blocks) for draw in draws])[:, None]).sum(1)
    places = places_of(model, z, n_blocks.clamp(max=MAX_BLOCKS))
    return results_of(model, places, reverse(model, places, noise, config)), z


@torch.no_grad()
def place_blocks(
    model: MOFDiff, z: Tensor, embeddings: Sequence[np.ndarray], noise: Sequence[Noise], config: SamplerConfig
) -> list[CoarseSample]:
    """Centres and cells for given blocks, denoised from nothing with these embeddings held.

    Args:
        z: latents; (n, Z).
        embeddings: of the blocks of each MOF; (K, E).
        noise: of each. config: how.
    """
    places = places_of(model, z, torch.tensor([len(e) for e in embeddings], device=model.device))
    width = places.mask.shape[1]
    clean = stacked(model, [np.pad(e, ((0, width - len(e)), (0, 0))) for e in embeddings])
    return results_of(model, places, reverse(model, places, noise, config, clean))


@dataclass(frozen=True)
class Decoded:
    """A decoding: the unposed MOF and the library rows of its blocks."""

    mof: CoarseMOF
    rows: tuple[int, ...]


def decode_sample(
    sample: CoarseSample, library: Library, config: SamplerConfig, rng: np.random.Generator
) -> list[Choice]:
    """At most `config.candidates` decodings of a sample, best first; none if no choice was found."""
    kinds, connections = library.kinds, library.n_connections
    scores = place_scores(
        sample.embeddings, sample.kinds, sample.connections, library.embeddings, kinds, connections, config.spread
    )
    scores = np.round(scores / RESULT_GRID) * RESULT_GRID
    needed = [members for members in map(library.containing, NEEDED) if members.any()]
    n, temperature = config.candidates, config.candidate_temperature
    return list(decode(scores, kinds, connections, config.penalties, n, rng, temperature, needed))


def to_coarse(sample: CoarseSample, library: Library, choice: Choice) -> CoarseMOF:
    """A decoding in the places and the cell of a sample."""
    blocks = tuple(library.block(int(row)) for row in choice.rows)
    return CoarseMOF(lattice=sample.lattice, blocks=blocks, centres=sample.centres)


def sample_mofdiff(
    model: MOFDiff,
    library: Library,
    indices: Sequence[int],
    seed: int,
    config: SamplerConfig,
    batch_size: int,
    target: Target | None = None,
) -> Iterator[list[Decoded]]:
    """The decodings of every item, in order; an empty list where none was found.

    Args:
        model: in float64 and evaluation mode for reproducible results.
        library: blocks to decode with.
        indices: item numbers. seed: of all items. config: how to sample.
        batch_size: items at a time; never changes results.
        target: a property to aim at.
    """
    for start in range(0, len(indices), batch_size):
        part = indices[start : start + batch_size]
        draws = [draw_item(model, seed, index, config.draws if target else 1) for index in part]
        noise = [draw_noise(model, config, seed, index, 0) for index in part]
        found, z = find_blocks(model, draws, noise, config, target)
        choices = [
            decode_sample(sample, library, config, draw.decoding) for sample, draw in zip(found, draws, strict=True)
        ]
        placed = place_decodings(model, z, choices, library, seed, part, config)
        for index, some, places in zip(part, choices, placed, strict=True):
            mofs = [to_coarse(sample, library, choice) for sample, choice in zip(places, some, strict=True)]
            yield [
                _decoded(mof, item_name(seed, index), number, choice, predicted)
                for number, (mof, choice, predicted) in enumerate(
                    zip(mofs, some, predict_mofs(model, mofs), strict=True)
                )
            ]


def place_decodings(
    model: MOFDiff,
    z: Tensor,
    choices: Sequence[Sequence[Choice]],
    library: Library,
    seed: int,
    indices: Sequence[int],
    config: SamplerConfig,
) -> list[list[CoarseSample]]:
    """Places of every decoding of every item, all items as one batch.

    Args:
        z: latents of the items; (n, Z). choices: their decodings. indices: their numbers.
        library: of the decodings. seed: of all items. config: how.
    """
    turns = [(row, number) for row, some in enumerate(choices) for number in range(min(len(some), config.placings))]
    if not turns:
        return [[] for _ in choices]
    vectors = [library.embeddings[choices[row][number].rows].astype(np.float64) for row, number in turns]
    noise = [draw_noise(model, config, seed, indices[row], 1 + number) for row, number in turns]
    placed = dict(zip(turns, place_blocks(model, z[[row for row, _ in turns]], vectors, noise, config), strict=True))
    return [[placed[row, number % config.placings] for number in range(len(some))] for row, some in enumerate(choices)]


def _decoded(mof: CoarseMOF, name: str, number: int, choice: Choice, predicted: dict[str, float]) -> Decoded:
    properties = {"candidate": float(number), "decoding_score": choice.score}
    properties |= {f"predicted_{key}": value for key, value in predicted.items()}
    return Decoded(replace(mof, name=name, properties=properties), tuple(choice.rows.tolist()))
