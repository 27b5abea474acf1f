"""Quantiles against numpy, distances against scipy, exact and past the limit of memory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance

from crystaltool.statistics.distribution import QUARTILES, Distribution, histogram, wasserstein
from crystaltool.statistics.tally import Tally

NUMBERS = st.lists(st.floats(-1e6, 1e6) | st.integers(0, 5).map(float), min_size=1, max_size=60)
CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def of(values, most: int = 20_000) -> Distribution:
    found = Distribution(most)
    for value in values:
        found.add(float(value))
    return found


@CALM
@given(NUMBERS)
def test_quartiles_and_mean_are_numpys(values: list[float]) -> None:
    found = of(values, most=100)
    assert found.exact and found.n == len(values)
    np.testing.assert_allclose(found.quartiles(), np.quantile(values, QUARTILES), rtol=1e-12, atol=1e-9)
    assert found.mean == pytest.approx(np.mean(values), rel=1e-9, abs=1e-6)


@CALM
@given(NUMBERS, NUMBERS)
def test_the_distance_is_scipys(first: list[float], second: list[float]) -> None:
    expected = wasserstein_distance(first, second)
    assert wasserstein(of(first, 7), of(second)) == pytest.approx(expected, rel=0.2, abs=2e5)  # 7 points are few
    assert wasserstein(of(first), of(second)) == pytest.approx(expected, rel=1e-9, abs=1e-6)


@pytest.mark.parametrize("order", ["random", "rising", "falling"])
def test_past_the_limit_memory_stays_and_ranks_move_little(order: str) -> None:
    values = np.random.default_rng(5).lognormal(size=50_000)
    values = {"random": values, "rising": np.sort(values), "falling": np.sort(values)[::-1]}[order]
    most = 1000
    found = of(values, most)
    assert not found.exact and len(found.points.values) <= 2 * most
    assert found.n == found.points.n == 50_000
    assert found.quartiles()[0] == values.min() and found.quartiles()[-1] == values.max()
    assert found.mean == pytest.approx(values.mean(), rel=1e-12)
    shares = (0.01, 0.25, 0.5, 0.75, 0.99)
    ranks = np.searchsorted(np.sort(values), found.points.quantiles(shares)) / len(values)
    assert np.abs(ranks - shares).max() < 2 / most
    other = np.random.default_rng(6).lognormal(0.1, size=300)
    expected = wasserstein_distance(values, other)
    assert wasserstein(found, of(other)) == pytest.approx(expected, rel=0.03)


def test_many_equal_numbers_stay_exact() -> None:
    values = np.random.default_rng(1).integers(0, 90, 30_000)
    found = of(values, 50)
    assert found.exact
    assert found.quartiles() == np.quantile(values, QUARTILES).tolist()
    assert found.points.counts == {float(n): int((values == n).sum()) for n in range(90)}


def test_nothing_is_not_a_number() -> None:
    empty = Distribution()
    assert np.isnan(empty.quartiles()).all() and np.isnan(empty.mean)
    assert np.isnan(wasserstein(empty, of([1.0])))


@CALM
@given(NUMBERS, NUMBERS)
def test_a_histogram_counts_everything_once(first: list[float], second: list[float]) -> None:
    bins = histogram([of(first), of(second)])
    assert [sum(counts) for counts in bins.counts] == [len(first), len(second)]
    assert (np.diff(bins.edges) > 0).all() and all(len(counts) == len(bins.edges) - 1 for counts in bins.counts)


def test_whole_numbers_have_a_bin_each_and_a_far_point_does_not_squeeze_the_rest() -> None:
    assert histogram([of([1, 2, 2, 3])]).edges == [0.5, 1.5, 2.5, 3.5]
    assert histogram([of([1, 2, 2, 3])]).counts == [[1, 2, 1]]
    values = np.random.default_rng(0).normal(size=2000)
    bins = histogram([of([*values, 1e6])])
    assert (
        bins.edges[-1] < 10
        and bins.edges[-1] - bins.edges[-2] == pytest.approx(0.5)
        and sum(bins.counts[0]) == 2001
        and bins.counts[0][-1] >= 1
    )


def test_a_tally_counts_texts_once_a_structure_and_stays_small() -> None:
    tally = Tally(most=2)
    for texts in (("a", "b"), ("b",), ("c", "b"), ("d",)):
        tally.add(texts)
    assert tally.most_common() == [("b", 3), ("a", 1)]
    assert (tally.n_structures, tally.n_different, tally.n_others) == (4, 2, 2)
    assert tally.share("b") == 0.75 and tally.share("z") == 0.0
