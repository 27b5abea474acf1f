"""Random numbers of a sample: item i draws from (seed, i) alone, each of its attempts from numbers of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crystaltool.models.mofdiff.model import MOFDiff
from crystaltool.models.mofdiff.sampler_config import SamplerConfig
from crystaltool.mof.blocks import MAX_BLOCKS


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


def draw_item(model: MOFDiff, config: SamplerConfig, seed: int, index: int, draws: int, attempt: int = 0) -> ItemDraws:
    """The random numbers of an attempt at item `index`: of `draws` latents, of as many places as a MOF can have."""
    key = np.array([seed, index], dtype=np.uint64)
    rng = np.random.Generator(np.random.Philox(key=key, counter=[0, 0, attempt, 0]))
    z_size, n_embedding = model.config.z_size, model.config.n_embedding
    return ItemDraws(
        latent=rng.standard_normal((draws, z_size)),
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
        decoding=np.random.Generator(np.random.Philox(key=key, counter=[0, 0, attempt, 1])),
    )


def item_name(seed: int, index: int) -> str:
    """Block name of an item, such as `mofdiff-s0-000017`."""
    return f"mofdiff-s{seed}-{index:06d}"
