"""From denoised embeddings to blocks of the library, so that metal and other connection points balance.

The nearest neighbour of each place alone leaves about four of ten MOFs with connection points that cannot all be paired
(measured on samples). Here the whole MOF is decoded at once: the best sum of scores over all choices in which the
connection points on metal blocks number as many as those on the others, found by dynamic programming over the running
difference. Each further distinct block costs a penalty, so that places that look alike share one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from crystaltool.arrays import Bool, Float, Int
from crystaltool.models.mofdiff.sampler_config import SamplerConfig
from crystaltool.models.mofdiff.states import CoarseSample
from crystaltool.mof.blocks import MAX_CONNECTIONS, NODE

NO_SCORE = -1e9

FEWEST_TRIES = 48
"""Perturbations after which the search for a decoding ends, or four for each one wanted."""


@dataclass(frozen=True)
class Choice:
    """One decoding: library rows of the places and the sum of their scores."""

    rows: Int[np.ndarray, " n_places"]
    score: float


@dataclass(frozen=True)
class Candidates:
    """What decoding knows of the blocks that a place may hold.

    Args:
        embeddings: (n, e). kinds: of `mof.blocks`; (n,). connections: numbers of connection points; (n,).
    """

    embeddings: Float[np.ndarray, "n e"]
    kinds: Int[np.ndarray, " n"]
    connections: Int[np.ndarray, " n"]


def place_scores(sample: CoarseSample, blocks: Candidates, spread: float) -> Float[np.ndarray, "n_places n"]:
    """Log probability, up to a constant, of every block in every place.

    Args:
        sample: denoised. blocks: of the library.
        spread: deviation of a denoised embedding from the true one, per dimension.
    """
    found, known = sample.embeddings, blocks.embeddings
    square = np.square(found).sum(1)[:, None] + np.square(known).sum(1)[None] - 2 * found @ known.T
    return -square / (2 * spread**2) + sample.kinds[:, blocks.kinds] + sample.connections[:, blocks.connections]


def decode(
    scores: Float[np.ndarray, "n_places n"],
    blocks: Candidates,
    config: SamplerConfig,
    rng: np.random.Generator,
    needed: Sequence[Bool[np.ndarray, " n"]] = (),
) -> Iterator[Choice]:
    """At most `config.candidates` different decodings: one for each penalty, then ones drawn by perturbing the scores.

    Args:
        scores: of `place_scores`.
        blocks: of the library.
        config: penalties in units of the scores, how many decodings, temperature of the perturbation.
        rng: perturbs: one Gumbel number a library block (Papandreou and Yuille, ICCV 2011).
        needed: sets of library blocks; a choice without a block of each is passed over.
    """
    n, penalties, temperature = config.candidates, config.penalties, config.candidate_temperature
    n_tries = len(penalties) + max(4 * n, FEWEST_TRIES)
    signed = np.where(blocks.kinds == NODE, blocks.connections, -blocks.connections)
    seen: set[tuple[int, ...]] = set()
    for attempt in range(n_tries):
        if len(seen) == n:
            return
        noisy = scores
        if attempt >= len(penalties):
            noisy = scores + temperature * rng.gumbel(size=len(signed))
        groups = merge_places(noisy, penalties[attempt % len(penalties)])
        totals = np.stack([noisy[group].sum(0) for group in groups])
        chosen = _balanced(totals, signed, np.array([len(group) for group in groups]))
        if chosen is None and len(groups) < len(scores):  # merged so that nothing balances: each place by itself
            groups = [[place] for place in range(len(scores))]
            chosen = _balanced(noisy, signed, np.ones(len(groups), dtype=np.int64))
        if chosen is None:
            return
        rows = np.zeros(len(scores), dtype=np.int64)
        for group, row in zip(groups, chosen.tolist(), strict=True):
            rows[group] = row
        if tuple(rows.tolist()) not in seen and all(members[rows].any() for members in needed):
            seen.add(tuple(rows.tolist()))
            yield Choice(rows, float(scores[np.arange(len(rows)), rows].sum()))


def merge_places(scores: Float[np.ndarray, "n_places n"], penalty: float) -> list[list[int]]:
    """Places that hold the same block: merged in pairs, cheapest first, as long as a merge costs less than `penalty`.

    Real MOFs have one or two distinct nodes and linkers; copies of one block average the noise of their embeddings.
    """
    groups = [[place] for place in range(len(scores))]
    totals = [scores[place] for place in range(len(scores))]
    best = [float(total.max()) for total in totals]
    costs: dict[tuple[int, int], float] = {}
    alive = set(range(len(groups)))

    def price(i: int, j: int) -> None:
        costs[i, j] = best[i] + best[j] - float((totals[i] + totals[j]).max())

    for i in alive:
        for j in range(i):
            price(j, i)
    while costs:
        (i, j), cost = min(costs.items(), key=lambda item: item[1])
        if cost >= penalty:
            break
        new = len(groups)
        groups.append(groups[i] + groups[j])
        totals.append(totals[i] + totals[j])
        best.append(float(totals[new].max()))
        alive -= {i, j}
        costs = {pair: value for pair, value in costs.items() if not {i, j} & set(pair)}
        for other in alive:
            price(other, new)
        alive.add(new)
    return [sorted(groups[i]) for i in sorted(alive)]


def _balanced(
    scores: Float[np.ndarray, "n_groups n"], signed: Int[np.ndarray, " n"], sizes: Int[np.ndarray, " n_groups"]
) -> np.ndarray | None:
    """Rows of the best choice whose signed connection points, each times the size of its group, add up to nothing."""
    n_groups, n_places = len(scores), int(sizes.sum())
    values = np.arange(-MAX_CONNECTIONS, MAX_CONNECTIONS + 1)
    best = np.full((n_groups, len(values)), NO_SCORE)
    row = np.zeros((n_groups, len(values)), dtype=np.int64)
    for column, value in enumerate(values):
        members = np.flatnonzero(signed == value)
        if value != 0 and len(members):
            chosen = members[np.argmax(scores[:, members], axis=1)]
            best[:, column], row[:, column] = scores[np.arange(n_groups), chosen], chosen
    reach = n_places * MAX_CONNECTIONS
    nothing = NO_SCORE * n_places
    total = np.full((n_groups + 1, 2 * reach + 1), nothing)
    total[0, reach] = 0.0
    back = np.zeros((n_groups, 2 * reach + 1), dtype=np.int64)
    for group in range(n_groups):
        moved = np.full((len(values), 2 * reach + 1), nothing)
        for column, value in enumerate((values * sizes[group]).tolist()):
            if best[group, column] > NO_SCORE:
                source = total[group, max(0, -value) : 2 * reach + 1 - max(0, value)]
                moved[column, max(0, value) : 2 * reach + 1 + min(0, value)] = source + best[group, column]
        back[group] = moved.argmax(0)
        total[group + 1] = moved.max(0)
    if total[n_groups, reach] <= NO_SCORE:
        return None
    rows = np.zeros(n_groups, dtype=np.int64)
    state = reach
    for group in range(n_groups - 1, -1, -1):
        column = back[group, state]
        rows[group] = row[group, column]
        state -= int(values[column] * sizes[group])
    return rows
