"""Embeddings of many blocks, and the nearest of many."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from crystaltool.arrays import Float, Int
from crystaltool.models.block_encoder.data import BlockPoints
from crystaltool.models.block_encoder.model import BlockEncoder

POINTS_A_BATCH = 6000
"""Points of one network call; it never changes a result."""


@torch.no_grad()
def embed_points(
    model: BlockEncoder,
    points: BlockPoints,
    rows: Int[np.ndarray, " n"] | None = None,
    *,
    raw: bool = False,
    n_points: int = POINTS_A_BATCH,
    on_progress: Callable[[int], object] = lambda n: None,
) -> Float[np.ndarray, "n 32"]:
    """Embeddings of blocks in the type of the model's weights.

    Args:
        model: in evaluation mode.
        points: blocks.
        rows: which of them; all if None.
        raw: before whitening.
        n_points: points of one network call; a larger block goes alone.
        on_progress: called with the number of blocks just done.
    """
    chosen = np.arange(len(points)) if rows is None else np.asarray(rows)
    order = chosen[np.argsort(points.n_points[chosen], kind="stable")]  # like sizes together
    place = np.argsort(np.argsort(points.n_points[chosen], kind="stable"), kind="stable")
    parts, start = [], 0
    while start < len(order):
        total = np.cumsum(points.n_points[order[start : start + n_points]])
        end = start + max(1, int(np.searchsorted(total, n_points, side="right")))
        batch = points.batch(order[start:end]).to(model.device, model.dtype)
        parts.append((model.raw(batch)[0] if raw else model(batch)).cpu().numpy())
        on_progress(end - start)
        start = end
    size = model.embedding_mean.shape[0]
    return np.concatenate(parts)[place] if parts else np.zeros((0, size))


def nearest(queries: Tensor, library: Tensor, k: int, allowed: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The k nearest rows of a library by brute force, nearest first; ties go to the lower row.

    Args:
        queries: shape (n, d).
        library: shape (m, d), m >= k.
        k: how many.
        allowed: which rows each query may find; shape (n, m); all if None.

    Returns:
        Row numbers (n, k) and Euclidean distances (n, k), infinite where fewer than k rows are allowed.
    """
    rows, distances = [], []
    squares = library.square().sum(1)
    for start in range(0, len(queries), 1024):
        part = queries[start : start + 1024]
        score = squares - 2 * part @ library.T
        if allowed is not None:
            score = score.masked_fill(~allowed[start : start + 1024], float("inf"))
        value, row = score.topk(k, dim=1, largest=False, sorted=True)
        exact = (part[:, None] - library[row]).norm(dim=2)  # the expanded form loses half of the digits
        rows.append(row)
        distances.append(exact.masked_fill(value == float("inf"), float("inf")))
    if not rows:
        return torch.zeros(0, k, dtype=torch.long), torch.zeros(0, k, dtype=queries.dtype)
    return torch.cat(rows), torch.cat(distances)
