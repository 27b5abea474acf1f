"""A distribution of numbers in flat memory: exact up to some ten thousand different values, then nearly so."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crystaltool.arrays import Float, Int

MOST_POINTS = 20_000
"""Different values that are kept after a compaction; twice as many wait for one."""

QUARTILES = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Points:
    """A distribution as sorted values with weights.

    Args:
        values: in rising order; shape (n_points,).
        weights: how many numbers each stands for; shape (n_points,).
    """

    values: Float[np.ndarray, " n_points"]
    weights: Int[np.ndarray, " n_points"]

    @property
    def n(self) -> int:
        """Numbers in all."""
        return int(self.weights.sum())

    @property
    def counts(self) -> dict[float, int]:
        """How often each value occurs."""
        return dict(zip(self.values.tolist(), self.weights.tolist(), strict=True))

    def quantiles(self, shares: tuple[float, ...] = QUARTILES) -> list[float]:
        """Quantiles, linear between neighbours as numpy's default; NaN of nothing."""
        if not len(self.values):
            return [float("nan")] * len(shares)
        ends = np.cumsum(self.weights)
        places = np.array(shares) * (self.n - 1)
        lower = np.floor(places).astype(np.int64)
        below, above = (
            self.values[np.searchsorted(ends, np.minimum(rank, self.n - 1), side="right")]
            for rank in (lower, lower + 1)
        )
        return (below + (above - below) * (places - lower)).tolist()


class Distribution:
    """Numbers seen so far.

    Equal numbers are one point. Where more than `2 * most` points differ, neighbours are put together to their mean, in
    groups that hold at most 2 / `most` of all, so a quantile moves by less than that share of the ranks; count, mean,
    least and greatest stay exact.

    Args:
        most: points that are kept.
    """

    def __init__(self, most: int = MOST_POINTS) -> None:
        self._most = most
        self._points = Points(np.empty(0), np.empty(0, dtype=np.int64))
        self._new: list[float] = []
        self._sum = 0.0
        self._least, self._greatest = float("inf"), float("-inf")
        self.n = 0
        self.exact = True

    def add(self, value: float) -> None:
        """One more number, finite."""
        self.n += 1
        self._sum += value
        self._least, self._greatest = min(self._least, value), max(self._greatest, value)
        self._new.append(value)
        if len(self._new) >= self._most:
            self._absorb()

    def _absorb(self) -> None:
        values = np.concatenate([self._points.values, np.array(self._new, dtype=float)])
        weights = np.concatenate([self._points.weights, np.ones(len(self._new), dtype=np.int64)])
        different, place = np.unique(values, return_inverse=True)
        self._points = Points(different, np.bincount(place, weights=weights).astype(np.int64))
        self._new = []
        if len(different) > 2 * self._most:
            self._points = _merged(self._points, max(2, 2 * self.n // self._most))
            self.exact = False

    @property
    def points(self) -> Points:
        """What is kept."""
        if self._new:
            self._absorb()
        return self._points

    @property
    def mean(self) -> float:
        """Of all numbers, NaN of none."""
        return self._sum / self.n if self.n else float("nan")

    def quartiles(self) -> list[float]:
        """Least, lower quartile, median, upper quartile, greatest; NaN of nothing."""
        found = self.points.quantiles()
        return [self._least, *found[1:-1], self._greatest] if self.n else found


def _merged(points: Points, heaviest: int) -> Points:
    """Neighbours put together as long as a group weighs at most `heaviest`."""
    values, weights = points.values.tolist(), points.weights.tolist()
    sums: list[float] = []
    sizes: list[int] = []
    for value, weight in zip(values, weights, strict=True):
        if sizes and sizes[-1] + weight <= heaviest:
            sums[-1] += value * weight
            sizes[-1] += weight
        else:
            sums.append(value * weight)
            sizes.append(weight)
    return Points(np.array(sums) / np.array(sizes), np.array(sizes, dtype=np.int64))


def wasserstein(first: Distribution, second: Distribution) -> float:
    """Wasserstein-1 distance in the numbers' unit, NaN where one is empty."""
    from crystaltool.evaluation.distances import weighted_wasserstein_distance

    if not (first.n and second.n):
        return float("nan")
    mine, theirs = first.points, second.points
    return weighted_wasserstein_distance(mine.values, theirs.values, mine.weights, theirs.weights)


@dataclass(frozen=True)
class Bins:
    """Bins of a histogram.

    Args:
        edges: rising; shape (n_bins + 1,).
        counts: numbers in each bin of each distribution; the last bin has its upper edge.
    """

    edges: list[float]
    counts: list[list[int]]


FAR = 4.0
"""Interquartile ranges beyond the quartiles: what lies further out is counted in the outermost bin."""


def histogram(distributions: list[Distribution], n_bins: int = 50) -> Bins:
    """Common bins of a round width for one distribution or several; numbers far out fall into the first or last bin.

    Args:
        distributions: with a number at least between them.
        n_bins: about so many; whole numbers have bins of whole width, each number in the middle of one.
    """
    filled = [each.points for each in distributions if each.n]
    ends = np.array([points.quantiles() for points in filled])
    low, high = float(ends[:, 0].min()), float(ends[:, 4].max())
    spread = float((ends[:, 3] - ends[:, 1]).max())
    if spread > 0:
        low = max(low, float(ends[:, 1].min()) - FAR * spread)
        high = min(high, float(ends[:, 3].max()) + FAR * spread)
    whole = all((points.values == np.round(points.values)).all() for points in filled)
    width = _round_width((high - low) / n_bins)
    width, shift = (max(1.0, float(np.ceil(width))), 0.5) if whole else (width, 0.0)
    first = np.floor((low + shift) / width)
    last = max(np.ceil((high + shift) / width), np.floor((high + shift) / width) + whole, first + 1)
    edges = np.arange(first, last + 1) * width - shift
    if not (np.diff(edges) > 0).all():  # a width beyond the digits of the numbers
        edges = np.array([low, np.nextafter(high, np.inf) + abs(high) * 1e-9])
    counts = []
    for each in distributions:
        inside = np.clip(each.points.values, edges[0], edges[-1])
        counts.append(np.histogram(inside, edges, weights=each.points.weights)[0].astype(int).tolist())
    return Bins(edges.tolist(), counts)


def _round_width(width: float) -> float:
    """The next of 1, 2, 5 times a power of ten; 1 of nothing."""
    if not width > np.finfo(float).tiny:
        return 1.0
    power = 10.0 ** np.floor(np.log10(width))
    return float(next(step * power for step in (1.0, 2.0, 5.0, 10.0) if step * power >= width * (1 - 1e-9)))
