"""From denoised embeddings to blocks of the library, so that metal and other connection points balance.

The nearest neighbour of each place alone leaves four of ten MOFs with connection points that cannot all be paired
(guide figures of MOFDiff). Here the whole MOF is decoded at once: the best sum of scores over all choices in which the
connection points on metal blocks number as many as those on the others, found by dynamic programming over the running
difference.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from crystaltool.arrays import Float, Int
from crystaltool.mof.blocks import MAX_CONNECTIONS, METAL

NO_SCORE = -1e9


@dataclass(frozen=True)
class Choice:
    """One decoding: library rows of the places and the sum of their scores."""

    rows: Int[np.ndarray, "n_places"]
    score: float


def place_scores(
    embeddings: Float[np.ndarray, "n_places e"],
    kind_scores: Float[np.ndarray, "n_places n_kinds"],
    connection_scores: Float[np.ndarray, "n_places n_classes"],
    library: Float[np.ndarray, "n e"],
    library_kinds: Int[np.ndarray, "n"],
    library_connections: Int[np.ndarray, "n"],
    spread: float,
) -> Float[np.ndarray, "n_places n"]:
    """Log probability, up to a constant, of every library block in every place.

    Args:
        embeddings: denoised.
        kind_scores, connection_scores: log probabilities.
        library, library_kinds, library_connections: embeddings, kinds and connection points of the library.
        spread: deviation of a denoised embedding from the true one, per dimension.
    """
    square = np.square(embeddings).sum(1)[:, None] + np.square(library).sum(1)[None] - 2 * embeddings @ library.T
    return -square / (2 * spread**2) + kind_scores[:, library_kinds] + connection_scores[:, library_connections]


def decode(
    scores: Float[np.ndarray, "n_places n"],
    library_kinds: Int[np.ndarray, "n"],
    library_connections: Int[np.ndarray, "n"],
    n: int,
    rng: np.random.Generator,
    temperature: float,
) -> Iterator[Choice]:
    """At most `n` different decodings, the best first, then ones drawn by perturbing the scores.

    The perturbation is one Gumbel number a library block (Papandreou and Yuille, ICCV 2011), the same in every place:
    places that look alike get the same block.
    """
    signed = np.where(library_kinds == METAL, library_connections, -library_connections)
    seen: set[tuple[int, ...]] = set()
    for attempt in range(4 * n):
        if len(seen) == n:
            return
        noise = rng.gumbel(size=len(signed))
        rows = _balanced(scores + temperature * noise if attempt else scores, signed)
        if rows is None:
            return
        if tuple(rows.tolist()) not in seen:
            seen.add(tuple(rows.tolist()))
            yield Choice(rows, float(scores[np.arange(len(rows)), rows].sum()))


def _balanced(scores: Float[np.ndarray, "n_places n"], signed: Int[np.ndarray, "n"]) -> np.ndarray | None:
    """Rows of the best choice whose signed connection points add up to nothing, with metals and others in it."""
    n_places = len(scores)
    values = np.arange(-MAX_CONNECTIONS, MAX_CONNECTIONS + 1)
    best = np.full((n_places, len(values)), NO_SCORE)
    row = np.zeros((n_places, len(values)), dtype=np.int64)
    for column, value in enumerate(values):
        members = np.flatnonzero(signed == value)
        if value != 0 and len(members):
            chosen = members[np.argmax(scores[:, members], axis=1)]
            best[:, column], row[:, column] = scores[np.arange(n_places), chosen], chosen
    reach = n_places * MAX_CONNECTIONS
    total = np.full((n_places + 1, 2 * reach + 1), NO_SCORE * n_places)
    total[0, reach] = 0.0
    back = np.zeros((n_places, 2 * reach + 1), dtype=np.int64)
    for place in range(n_places):
        moved = np.full((len(values), 2 * reach + 1), NO_SCORE * n_places)
        for column, value in enumerate(values.tolist()):
            if best[place, column] <= NO_SCORE:
                continue
            source = total[place, max(0, -value) : 2 * reach + 1 - max(0, value)]
            moved[column, max(0, value) : 2 * reach + 1 + min(0, value)] = source + best[place, column]
        back[place] = moved.argmax(0)
        total[place + 1] = moved.max(0)
    if total[n_places, reach] <= NO_SCORE:
        return None
    rows = np.zeros(n_places, dtype=np.int64)
    state = reach
    for place in range(n_places - 1, -1, -1):
        column = back[place, state]
        rows[place] = row[place, column]
        state -= values[column]
    return rows
