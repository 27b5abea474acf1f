"""Which blocks of a library lie next to a block, and how alike they are: embeddings against fingerprints."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crystaltool.arrays import Float, Int
from crystaltool.errors import UsageError
from crystaltool.models.block_encoder.library import Library

_AT_ONCE = 512
"""Rows of a table of distances; it changes no result."""


@dataclass(frozen=True)
class Neighbour:
    """A block of a library near another one.

    Args:
        row: of the library, of the conformer that lies nearest.
        distance: between the whitened embeddings.
        tanimoto: similarity of the ECFP4 fingerprints, 0 to 1; NaN where one of the two has none.
    """

    row: int
    distance: float
    tanimoto: float


def tanimoto(bits: np.ndarray, others: np.ndarray) -> Float[np.ndarray, "n m"]:
    """Tanimoto similarities of packed fingerprints, shapes (n, w) and (m, w); NaN where one is empty.

    Shared bits over those that either has (Rogers and Hahn, J. Chem. Inf. Model. 2010, 50, 742).
    """
    first, second = (np.unpackbits(some, axis=1).astype(np.float32) for some in (bits, others))
    shared = first @ second.T
    counts, more = first.sum(1)[:, None], second.sum(1)[None]
    with np.errstate(invalid="ignore"):
        similar = shared / (counts + more - shared)
    return np.where((counts > 0) & (more > 0), similar, np.nan).astype(np.float64)


def fingerprints(library: Library) -> np.ndarray:
    """The packed fingerprint of every block, all zeros where it has no identity; shape (n, w)."""
    identity = library.blocks.arrays["blocks/identity"].astype(np.int64)
    prints = library.blocks.arrays["identities/ecfp4"]
    if not len(prints):
        return np.zeros((len(library), 256), dtype=np.uint8)
    return np.where((identity >= 0)[:, None], prints[identity], 0).astype(np.uint8)


def nearest_identities(
    library: Library,
    embeddings: Float[np.ndarray, "n 32"],
    bits: np.ndarray,
    kinds: Int[np.ndarray, " n"],
    n: int,
) -> list[list[Neighbour]]:
    """Of each block the `n` nearest of its kind in a library, nearest first, one of each identity.

    Args:
        library: of the same encoder. embeddings: whitened. bits: packed ECFP4 of each; shape (n, 256).
        kinds: METAL, ORGANIC or BRIDGE of each. n: how many, fewer where the library has fewer.

    Raises:
        UsageError: n is below 1.
    """
    if n < 1:
        raise UsageError(f"{n} nearest blocks, expected at least 1")
    identity = library.blocks.arrays["blocks/identity"].astype(np.int64)
    identity = np.where(identity < 0, -1 - np.arange(len(identity)), identity)  # without one each is one of its own
    prints, own = fingerprints(library), library.kinds
    found: list[list[Neighbour]] = [[] for _ in range(len(embeddings))]
    for kind in np.unique(kinds).tolist():
        rows, queries = np.flatnonzero(own == kind), np.flatnonzero(kinds == kind)
        for start in range(0, len(queries) if len(rows) else 0, _AT_ONCE):
            part = queries[start : start + _AT_ONCE]
            order, apart = _by_distance(embeddings[part], library.embeddings[rows])
            similar = tanimoto(bits[part], prints[rows])
            for place, query in enumerate(part.tolist()):
                _, first = np.unique(identity[rows[order[place]]], return_index=True)
                for rank in np.sort(first)[:n].tolist():
                    column = int(order[place, rank])
                    distance = float(apart[place, column])
                    found[query].append(Neighbour(int(rows[column]), distance, float(similar[place, column])))
    return found


def _by_distance(queries: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns of each row by distance, nearest first, and the distances."""
    first, second = queries.astype(np.float64), others.astype(np.float64)
    squares = np.square(first).sum(1)[:, None] + np.square(second).sum(1)[None] - 2 * first @ second.T
    apart = np.sqrt(squares.clip(0))
    return np.argsort(apart, axis=1, kind="stable"), apart


def order_kept(library: Library, kind: int, seed: int = 0) -> dict[str, float]:
    """How far embeddings put similar blocks next to each other: mean similarities over the identities of a kind.

    Returns:
        `nearest`, of the block of another identity that lies nearest by embedding; `random`, of a random other one;
        `best`, of the most similar one; `n`, identities.
    """
    identity = library.blocks.arrays["blocks/identity"].astype(np.int64)
    rows = np.flatnonzero((library.kinds == kind) & (identity >= 0))
    rows = rows[np.unique(identity[rows], return_index=True)[1]]
    prints = fingerprints(library)[rows]
    rows, prints = rows[prints.any(1)], prints[prints.any(1)]
    if len(rows) < 2:
        return {"n": float(len(rows))}
    rng = np.random.default_rng(seed)
    sums = dict.fromkeys(("nearest", "random", "best"), 0.0)
    for start in range(0, len(rows), _AT_ONCE):
        part = np.arange(start, min(start + _AT_ONCE, len(rows)))
        similar = tanimoto(prints[part], prints)
        _, apart = _by_distance(library.embeddings[rows[part]], library.embeddings[rows])
        apart[np.arange(len(part)), part] = np.inf
        other = (part + rng.integers(1, len(rows), len(part))) % len(rows)
        places = np.arange(len(part))
        sums["nearest"] += float(similar[places, apart.argmin(1)].sum())
        sums["random"] += float(similar[places, other].sum())
        similar[places, part] = -1
        sums["best"] += float(similar.max(1).sum())
    return {name: value / len(rows) for name, value in sums.items()} | {"n": float(len(rows))}
