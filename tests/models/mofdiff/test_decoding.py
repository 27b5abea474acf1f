"""Decoding against all choices one by one: the best that balances, others that differ, none where none exists."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from crystaltool.models.mofdiff.decoding import Candidates, Choice, decode, merge_places, place_scores
from crystaltool.models.mofdiff.sampler_config import SamplerConfig
from crystaltool.models.mofdiff.states import CoarseSample
from crystaltool.mof.blocks import BRIDGE, LINKER, MAX_BLOCKS, MAX_CONNECTIONS, NODE

APART = (0.0,)
"""A penalty of nothing: every place is decoded by itself."""


def a_library(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Kinds and connection points."""
    return rng.integers(0, 3, n), rng.integers(1, 7, n)


def decodings(
    scores: np.ndarray,
    kinds: np.ndarray,
    connections: np.ndarray,
    penalties: tuple[float, ...] = APART,
    n: int = 1,
    temperature: float = 1.0,
    seed: int = 0,
) -> list[Choice]:
    config = SamplerConfig(penalties=penalties, candidates=n, candidate_temperature=temperature)
    return list(decode(scores, blocks_of(kinds, connections), config, np.random.default_rng(seed)))


def blocks_of(kinds: np.ndarray, connections: np.ndarray) -> Candidates:
    """Blocks without embeddings, for scores that are given."""
    return Candidates(np.zeros((len(kinds), 0)), kinds, connections)


def said(embeddings: np.ndarray, kinds: np.ndarray, connections: np.ndarray) -> CoarseSample:
    """What a network says of the blocks, wherever they are."""
    return CoarseSample(np.eye(3), np.zeros((len(embeddings), 3)), embeddings, kinds, connections)


def difference(rows: np.ndarray, kinds: np.ndarray, connections: np.ndarray) -> int:
    """Connection points on metal blocks less those on others."""
    return int(np.where(kinds[rows] == NODE, connections[rows], -connections[rows]).sum())


def best_of_all(scores: np.ndarray, kinds: np.ndarray, connections: np.ndarray) -> float | None:
    """Highest sum of scores over every balanced choice, tried one by one; None if there is none."""
    found = None
    for rows in itertools.product(range(len(kinds)), repeat=len(scores)):
        if difference(np.array(rows), kinds, connections) == 0:
            value = float(scores[np.arange(len(scores)), list(rows)].sum())
            found = value if found is None else max(found, value)
    return found


@pytest.mark.parametrize("n_places", [2, 3, 4])
def test_the_first_decoding_is_the_best_of_all_balanced_ones(n_places: int) -> None:
    balanced, impossible = 0, 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        kinds, connections = a_library(rng, int(rng.integers(1, 6)))
        scores = 3 * rng.standard_normal((n_places, len(kinds))) - 100 * (seed % 3)
        expected, found = best_of_all(scores, kinds, connections), decodings(scores, kinds, connections)
        if expected is None:
            assert found == []
            impossible += 1
            continue
        assert len(found) == 1 and difference(found[0].rows, kinds, connections) == 0
        assert found[0].score == pytest.approx(expected)
        assert found[0].score == pytest.approx(scores[np.arange(n_places), found[0].rows].sum())
        balanced += 1
    assert min(balanced, impossible) > 5  # the random libraries show both


def test_metals_and_others_are_always_both_there() -> None:
    """No connection joins two metal blocks or two others, so all of one side is no MOF."""
    for kind in (NODE, LINKER, BRIDGE):
        assert decodings(np.zeros((4, 3)), np.full(3, kind), np.array([2, 3, 4])) == []


def test_blocks_without_partners_are_never_chosen() -> None:
    """Three on metals, two on linkers: two places cannot balance, five can, by two nodes and three linkers."""
    kinds, connections = np.array([NODE, LINKER]), np.array([3, 2])
    for n in (2, 3, 4):
        assert decodings(np.zeros((n, 2)), kinds, connections) == []
    (found,) = decodings(np.zeros((5, 2)), kinds, connections)
    assert np.bincount(found.rows).tolist() == [2, 3]


def test_bridges_stand_on_the_side_of_linkers() -> None:
    kinds, connections = np.array([NODE, LINKER, BRIDGE]), np.array([6, 4, 2])
    (found,) = decodings(np.array([[9.0, 0, 0], [0, 9, 0], [0, 0, 9]]), kinds, connections)
    assert found.rows.tolist() == [0, 1, 2]


def test_the_limits_of_a_mof_are_within_reach() -> None:
    """Twenty places of twenty connection points, and scores as low as embeddings far from the library get."""
    kinds, connections = np.array([NODE, LINKER]), np.array([MAX_CONNECTIONS, MAX_CONNECTIONS])
    scores = np.full((MAX_BLOCKS, 2), -1e5)
    (found,) = decodings(scores, kinds, connections)
    assert np.bincount(found.rows).tolist() == [10, 10]
    lone = np.array([1, MAX_CONNECTIONS])
    (found,) = decodings(np.zeros((MAX_BLOCKS, 2)), np.array([LINKER, NODE]), lone[[0, 1]], n=1) or [None]
    assert found is None  # 20 n = 20 - n has no whole solution


def test_decodings_differ_balance_and_start_with_the_best() -> None:
    most = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        kinds, connections = a_library(rng, 12)
        scores = rng.standard_normal((6, 12))
        found = decodings(scores, kinds, connections, (0.0, 2.0), n=5, seed=seed)
        if not found:
            continue
        assert len({tuple(choice.rows.tolist()) for choice in found}) == len(found) <= 5
        assert all(difference(choice.rows, kinds, connections) == 0 for choice in found)
        assert max(choice.score for choice in found) == found[0].score
        for choice in found:
            assert choice.score == pytest.approx(scores[np.arange(6), choice.rows].sum())
        most = max(most, len(found))
    assert most == 5


def test_choices_without_a_needed_block_are_passed_over() -> None:
    kinds, connections = np.array([NODE, LINKER, LINKER, LINKER]), np.array([2, 2, 2, 2])
    scores = np.array([[9.0, 0, 0, 0], [0, 8.0, 7.0, 6.0]])
    rng, without = np.random.default_rng(0), np.array([True, True, False, False])
    blocks = blocks_of(kinds, connections)
    config = SamplerConfig(penalties=APART, candidates=4, candidate_temperature=30.0)
    free = list(decode(scores, blocks, config, rng))
    kept = list(decode(scores, blocks, config, rng, [~without]))
    assert free[0].rows.tolist() == [0, 1] and {choice.rows[1] for choice in free} == {1, 2, 3}
    assert {choice.rows[1] for choice in kept} == {2, 3}
    assert list(decode(scores, blocks, config, rng, [~without, np.zeros(4, dtype=bool)])) == []


def test_random_numbers_alone_decide_which_follow() -> None:
    rng = np.random.default_rng(3)
    kinds, connections = a_library(rng, 15)
    scores = rng.standard_normal((7, 15))
    first, again, other = (
        [choice.rows.tolist() for choice in decodings(scores, kinds, connections, n=4, seed=seed)] for seed in (1, 1, 2)
    )
    assert first == again and first != other and first[0] == other[0] and len(first) == 4


def test_without_temperature_there_is_one_decoding_a_penalty() -> None:
    rng = np.random.default_rng(4)
    kinds, connections = a_library(rng, 15)
    scores = rng.standard_normal((7, 15))
    assert len(decodings(scores, kinds, connections, n=4, temperature=0.0)) == 1


def test_temperature_spreads() -> None:
    rng = np.random.default_rng(5)
    kinds, connections = a_library(rng, 30)
    scores = rng.standard_normal((6, 30))
    cold, hot = (
        np.mean([choice.score for choice in decodings(scores, kinds, connections, n=8, temperature=t)[1:]])
        for t in (0.1, 3.0)
    )
    assert cold > hot


# ---- one block in places that look alike


def test_places_that_look_alike_hold_the_same_block() -> None:
    """Two nodes and six linkers whose embeddings are a little off, each towards another of two close blocks."""
    kinds = np.array([NODE, NODE, LINKER, LINKER])
    connections = np.array([6, 6, 2, 2])
    rng = np.random.default_rng(0)
    scores = np.full((8, 4), -50.0)
    scores[:2, :2], scores[2:, 2:] = rng.uniform(-1, 1, (2, 2)), rng.uniform(-1, 1, (6, 2))
    (apart,) = decodings(scores, kinds, connections)
    (alike,) = decodings(scores, kinds, connections, (5.0,))
    assert len(set(apart.rows.tolist())) > 2
    assert len(set(alike.rows[:2].tolist())) == len(set(alike.rows[2:].tolist())) == 1
    # The block that all of them together like best.
    assert alike.rows[0] == scores[:2].sum(0).argmax() and alike.rows[2] == scores[2:].sum(0).argmax()
    assert difference(alike.rows, kinds, connections) == 0


def test_a_merge_that_cannot_balance_does_not_cost_the_sample() -> None:
    """A penalty so high that all places fall together; whatever balances is still found."""
    kinds, connections = np.array([NODE, LINKER]), np.array([6, 2])
    scores = np.array([[0.0, -3], [-3, 0], [-3, 0], [-3, 0]])
    for penalties in ((1e6,), (1e6, 0.0)):
        (found,) = decodings(scores, kinds, connections, penalties)
        assert found.rows.tolist() == [0, 1, 1, 1]


def test_merging_is_free_for_equal_places_and_stops_at_the_penalty() -> None:
    scores = np.array([[3.0, 0, 0], [3, 0, 0], [0, 3, 0], [0, 2.5, 0], [0, 0, 4]])
    assert merge_places(scores, 0.0) == [[0], [1], [2], [3], [4]]
    assert sorted(merge_places(scores, 0.1)) == [[0, 1], [2, 3], [4]]
    assert merge_places(scores, 1e9) == [[0, 1, 2, 3, 4]]
    for penalty in (0.0, 0.1, 2.0, 20.0):
        assert sorted(itertools.chain.from_iterable(merge_places(scores, penalty))) == list(range(5))


# ---- scores


def test_scores_are_log_probabilities_of_a_normal_error_and_the_two_heads() -> None:
    rng = np.random.default_rng(6)
    embeddings, library = rng.standard_normal((3, 4)), rng.standard_normal((5, 4))
    kind_scores, connection_scores = rng.standard_normal((3, 3)), rng.standard_normal((3, 21))
    kinds, connections = a_library(rng, 5)
    found = place_scores(said(embeddings, kind_scores, connection_scores), Candidates(library, kinds, connections), 0.4)
    for place, block in itertools.product(range(3), range(5)):
        expected = (
            -np.square((embeddings[place] - library[block]) / 0.4).sum() / 2
            + kind_scores[place, kinds[block]]
            + connection_scores[place, connections[block]]
        )
        assert found[place, block] == pytest.approx(expected)


def test_a_place_at_a_block_of_the_library_takes_it() -> None:
    rng = np.random.default_rng(7)
    kinds, connections = np.array([NODE, NODE, LINKER, LINKER, LINKER]), np.array([6, 6, 2, 2, 2])
    library = rng.standard_normal((5, 8))
    rows = [1, 3, 3, 4]
    flat = np.zeros((4, 3)), np.zeros((4, 21))
    scores = place_scores(said(library[rows] + 0.01, *flat), Candidates(library, kinds, connections), 0.3)
    (found,) = decodings(scores, kinds, connections)
    assert found.rows.tolist() == rows
