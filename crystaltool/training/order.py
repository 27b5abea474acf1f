"""Which rows make up which step: a pure function of (seed, step), so that a resumed run sees the same batches."""

from __future__ import annotations

import numpy as np

POOL = 32
"""Batches that are drawn together and sorted by size, so that little of a padded batch is padding."""


def epoch_batches(sizes: np.ndarray, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Row indices of every batch of an epoch, each row once; rows of one batch are of like size.

    Args:
        sizes: number of orbits of each row; shape (n,).
        batch_size: rows a batch; the last batch of the epoch may be smaller.
        seed, epoch: what the shuffle draws from.
    """
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(sizes))
    batches = []
    for start in range(0, len(order), POOL * batch_size):
        pool = order[start : start + POOL * batch_size]
        pool = pool[np.argsort(sizes[pool], kind="stable")]
        batches += [pool[i : i + batch_size] for i in range(0, len(pool), batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]


def n_batches(n_rows: int, batch_size: int) -> int:
    """Batches of one epoch."""
    full, rest = divmod(n_rows, POOL * batch_size)
    return full * POOL + -(-rest // batch_size)
