"""Random numbers of a sample: item i draws from (seed, i) alone, each of its trajectories from numbers of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crystaltool.models.mofdiff.model import MOFDiff
from crystaltool.models.mofdiff.sampler_config import SamplerConfig
from crystaltool.mof.blocks import MAX_BLOCKS


@dataclass(frozen=True)
class ItemDraws:
    """Random numbers of one item, all but its noise."""

    latent: np.ndarray
    n_blocks: float
    decoding: np.random.Generator


@dataclass(frozen=True)
class Noise:
    """Where a trajectory starts, and the normal numbers of each of its calls, of as many places as a MOF can have.

    Args:
        centres: uniform; (MAX_BLOCKS, 3). embeddings: normal; (MAX_BLOCKS, E). k: normal; (6,).
        churn_centres, churn_embeddings, churn_k: normal; the same shapes, one for each call.
    """

    centres: np.ndarray
    embeddings: np.ndarray
    k: np.ndarray
    churn_centres: np.ndarray
    churn_embeddings: np.ndarray
    churn_k: np.ndarray


def _generator(seed: int, index: int, stream: int, number: int = 0) -> np.random.Generator:
    key = np.array([seed, index], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, number, stream]))


def draw_item(model: MOFDiff, seed: int, index: int, n_latents: int) -> ItemDraws:
    """The random numbers of item `index`, of `n_latents` latents."""
    rng = _generator(seed, index, 0)
    latent = rng.standard_normal((n_latents, model.config.z_size))
    return ItemDraws(latent, float(rng.random()), _generator(seed, index, 1))


def draw_noise(model: MOFDiff, config: SamplerConfig, seed: int, index: int, trajectory: int) -> Noise:
    """The noise of a trajectory of item `index`: 0 finds its blocks, 1 and on place those of its decodings."""
    rng = _generator(seed, index, 2, trajectory)
    n_embedding = model.config.n_embedding
    return Noise(
        centres=rng.random((MAX_BLOCKS, 3)),
        embeddings=rng.standard_normal((MAX_BLOCKS, n_embedding)),
        k=rng.standard_normal(6),
        churn_centres=rng.standard_normal((config.calls, MAX_BLOCKS, 3)),
        churn_embeddings=rng.standard_normal((config.calls, MAX_BLOCKS, n_embedding)),
        churn_k=rng.standard_normal((config.calls, 6)),
    )


def item_name(seed: int, index: int) -> str:
    """Block name of an item, such as `mofdiff-s0-000017`."""
    return f"mofdiff-s{seed}-{index:06d}"
