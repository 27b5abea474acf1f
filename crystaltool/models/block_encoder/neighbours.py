"""Which blocks of a library lie next to a block, and how alike they are: embeddings against fingerprints."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crystaltool.arrays import Float, Int
from crystaltool.errors import UsageError
from crystaltool.models.block_encoder.library import Library
from crystaltool.mof.table import MOFTable

_AT_ONCE = 512
"""Rows of a table of distances; it changes no result."""


@dataclass(frozen=True)
class Neighbour:
    """A block of a library near another one.

    Args:
        row: of the library, of the conformer that lies nearest.
        distance: between the order vectors, or the whitened embeddings.
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


def fingerprints(table: MOFTable) -> np.ndarray:
    """The packed fingerprint of every block, all zeros where it has no identity; shape (n, w)."""
    identity = table.arrays["blocks/identity"].astype(np.int64)
    prints = table.arrays["identities/ecfp4"]
    if not len(prints):
        return np.zeros((table.n_blocks, 256), dtype=np.uint8)
    return np.where((identity >= 0)[:, None], prints[identity], 0).astype(np.uint8)


def nearest_identities(
    library: Library,
    vectors: Float[np.ndarray, "n d"],
    bits: np.ndarray,
    kinds: Int[np.ndarray, " n"],
    n: int,
    among: Float[np.ndarray, "m d"] | None = None,
) -> list[list[Neighbour]]:
    """Of each block the `n` nearest of its kind in a library, nearest first, one of each identity.

    Args:
        library: what is looked in. vectors: of the blocks; embeddings of the library's encoder unless `among` is given.
        bits: packed ECFP4 of each; shape (n, 256). kinds: NODE, LINKER or BRIDGE of each.
        n: how many, fewer where the library has fewer.
        among: such vectors of the library's blocks, such as their order vectors; its embeddings if None.

    Raises:
        UsageError: n is below 1.
    """
    if n < 1:
        raise UsageError(f"{n} nearest blocks, expected at least 1")
    identity = library.blocks.arrays["blocks/identity"].astype(np.int64)
    identity = np.where(identity < 0, -1 - np.arange(len(identity)), identity)  # without one each is one of its own
    prints, own = fingerprints(library.blocks), library.kinds
    places = library.embeddings if among is None else among
    found: list[list[Neighbour]] = [[] for _ in range(len(vectors))]
    for kind in np.unique(kinds).tolist():
        rows, queries = np.flatnonzero(own == kind), np.flatnonzero(kinds == kind)
        for start in range(0, len(queries) if len(rows) else 0, _AT_ONCE):
            part = queries[start : start + _AT_ONCE]
            order, apart = _by_distance(vectors[part], places[rows])
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


def one_of_each(table: MOFTable) -> tuple[Int[np.ndarray, " n"], np.ndarray]:
    """The first block of each identity that has a fingerprint, and the fingerprints, packed; shape (n, w)."""
    identity = table.arrays["blocks/identity"].astype(np.int64)
    rows = np.sort(np.unique(identity, return_index=True)[1])
    rows = rows[identity[rows] >= 0]
    prints = fingerprints(table)[rows]
    return rows[prints.any(1)], prints[prints.any(1)]


def order_kept(
    library: Library, kind: int, seed: int = 0, vectors: Float[np.ndarray, "m d"] | None = None
) -> dict[str, float]:
    """How far embeddings, or other vectors, put similar blocks of a kind next to each other: see `most_similar`.

    Args:
        library: one block of each of its identities is asked about. kind: of these.
        seed: of the random ones. vectors: of all its blocks; its embeddings if None.
    """
    rows, prints = one_of_each(library.blocks)
    some = library.kinds[rows] == kind
    places = library.embeddings if vectors is None else vectors
    return most_similar(places[rows[some]], prints[some], np.arange(int(some.sum())), seed)


def most_similar(
    vectors: Float[np.ndarray, "n d"], prints: np.ndarray, asked: Int[np.ndarray, " q"], seed: int = 0
) -> dict[str, float]:
    """Mean Tanimoto similarity of blocks to their nearest ones.

    Args:
        vectors: one block of each identity. prints: their packed fingerprints; shape (n, w).
        asked: rows to ask about. seed: of the random ones.

    Returns:
        `nearest`, of the other block that lies nearest; `random`, of a random other one; `best`, of the most similar
        one; `n`, blocks asked about. The last alone where there is nothing to compare.
    """
    if len(vectors) < 2 or not len(asked):
        return {"n": float(len(asked))}
    rng = np.random.default_rng(seed)
    sums = dict.fromkeys(("nearest", "random", "best"), 0.0)
    for start in range(0, len(asked), _AT_ONCE):
        part = asked[start : start + _AT_ONCE]
        similar = tanimoto(prints[part], prints)
        _, apart = _by_distance(vectors[part], vectors)
        places = np.arange(len(part))
        apart[places, part] = np.inf
        other = (part + rng.integers(1, len(vectors), len(part))) % len(vectors)
        sums["nearest"] += float(similar[places, apart.argmin(1)].sum())
        sums["random"] += float(similar[places, other].sum())
        similar[places, part] = -1
        sums["best"] += float(similar.max(1).sum())
    return {name: value / len(asked) for name, value in sums.items()} | {"n": float(len(asked))}


def identity_kept(table: MOFTable, vectors: Float[np.ndarray, "m d"]) -> tuple[float, int]:
    """Of the blocks with another conformer in a table the share whose nearest other block is one, and their number."""
    identity = table.arrays["blocks/identity"].astype(np.int64)
    counts = np.bincount(identity[identity >= 0], minlength=1)
    asked = np.flatnonzero((identity >= 0) & (counts[identity] > 1))
    same = 0
    for start in range(0, len(asked), _AT_ONCE):
        part = asked[start : start + _AT_ONCE]
        _, apart = _by_distance(vectors[part], vectors)
        apart[np.arange(len(part)), part] = np.inf
        same += int((identity[apart.argmin(1)] == identity[part]).sum())
    return same / max(len(asked), 1), len(asked)
