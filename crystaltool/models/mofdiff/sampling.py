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
from crystaltool.models.mofdiff.decoding import Candidates, Choice, decode, place_scores
from crystaltool.models.mofdiff.draws import ItemDraws, Noise, draw_item, draw_noise, item_name
from crystaltool.models.mofdiff.model import MOFDiff
from crystaltool.models.mofdiff.properties import predict_mofs
from crystaltool.models.mofdiff.reverse import (
    RESULT_GRID,
    places_of,
    results_of,
    reverse,
    stacked,
)
from crystaltool.models.mofdiff.sampler_config import SamplerConfig
from crystaltool.models.mofdiff.states import CoarseSample
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
    blocks = Candidates(library.embeddings, library.kinds, library.n_connections)
    scores = np.round(place_scores(sample, blocks, config.spread) / RESULT_GRID) * RESULT_GRID
    needed = [members for members in map(library.containing, NEEDED) if members.any()]
    return list(decode(scores, blocks, config, rng, needed))


def to_coarse(sample: CoarseSample, library: Library, choice: Choice) -> CoarseMOF:
    """A decoding in the places and the cell of a sample."""
    blocks = tuple(library.block(int(row)) for row in choice.rows)
    return CoarseMOF(lattice=sample.lattice, blocks=blocks, centres=sample.centres)


@dataclass(frozen=True)
class CoarseSampler:
    """A run of sampling.

    Args:
        model: in float64 and evaluation mode for reproducible results.
        library: blocks to decode with.
        config: how to sample. seed: of all items.
        target: a property to aim at.
    """

    model: MOFDiff
    library: Library
    config: SamplerConfig
    seed: int
    target: Target | None = None

    def sample(self, indices: Sequence[int], batch_size: int) -> Iterator[list[Decoded]]:
        """The decodings of every item, in order; an empty list where none was found.

        Args:
            indices: item numbers. batch_size: items at a time; never changes results.
        """
        for start in range(0, len(indices), batch_size):
            yield from self._batch(indices[start : start + batch_size])

    def _batch(self, indices: Sequence[int]) -> Iterator[list[Decoded]]:
        model, config = self.model, self.config
        draws = [draw_item(model, self.seed, index, config.draws if self.target else 1) for index in indices]
        noise = [draw_noise(model, config, self.seed, index, 0) for index in indices]
        found, z = find_blocks(model, draws, noise, config, self.target)
        choices = [
            decode_sample(sample, self.library, config, draw.decoding)
            for sample, draw in zip(found, draws, strict=True)
        ]
        placed = self._places(indices, z, choices)
        for index, some, places in zip(indices, choices, placed, strict=True):
            mofs = [to_coarse(sample, self.library, choice) for sample, choice in zip(places, some, strict=True)]
            yield [
                _decoded(mof, item_name(self.seed, index), number, choice, predicted)
                for number, (mof, choice, predicted) in enumerate(
                    zip(mofs, some, predict_mofs(model, mofs), strict=True)
                )
            ]

    def _places(
        self, indices: Sequence[int], z: Tensor, choices: Sequence[Sequence[Choice]]
    ) -> list[list[CoarseSample]]:
        """Places of every decoding of every item, all items as one batch; z are their latents (n, Z)."""
        most = self.config.placings
        turns = [(row, number) for row, some in enumerate(choices) for number in range(min(len(some), most))]
        if not turns:
            return [[] for _ in choices]
        vectors = [self.library.embeddings[choices[row][number].rows].astype(np.float64) for row, number in turns]
        noise = [draw_noise(self.model, self.config, self.seed, indices[row], 1 + number) for row, number in turns]
        found = place_blocks(self.model, z[[row for row, _ in turns]], vectors, noise, self.config)
        placed = dict(zip(turns, found, strict=True))
        return [[placed[row, number % most] for number in range(len(some))] for row, some in enumerate(choices)]


def _decoded(mof: CoarseMOF, name: str, number: int, choice: Choice, predicted: dict[str, float]) -> Decoded:
    properties = {"candidate": float(number), "decoding_score": choice.score}
    properties |= {f"predicted_{key}": value for key, value in predicted.items()}
    return Decoded(replace(mof, name=name, properties=properties), tuple(choice.rows.tolist()))
