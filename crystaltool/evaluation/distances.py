"""Distances between distributions: how far a set of structures is from the test set. Both are scipy's."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from crystaltool.arrays import Float, Int


def wasserstein_distance(first: Float[np.ndarray, " n"], second: Float[np.ndarray, " m"]) -> float:
    """Wasserstein-1 distance of two samples: the area between their cumulative distributions, in their unit."""
    from scipy.stats import wasserstein_distance as of_samples

    return float(of_samples(first, second))


def weighted_wasserstein_distance(
    first: Float[np.ndarray, " n"],
    second: Float[np.ndarray, " m"],
    first_weights: Int[np.ndarray, " n"],
    second_weights: Int[np.ndarray, " m"],
) -> float:
    """As `wasserstein_distance`, of values each of which stands for so many."""
    from scipy.stats import wasserstein_distance as of_samples

    return float(of_samples(first, second, first_weights, second_weights))


def jensen_shannon_distance(first: Int[np.ndarray, " n"], second: Int[np.ndarray, " m"]) -> float:
    """Jensen-Shannon distance (square root of the divergence, natural logarithm) of two samples of whole numbers.

    It ends at sqrt(ln 2) = 0.833.
    """
    size = int(max(first.max(), second.max())) + 1
    return _jensen_shannon(np.bincount(first, minlength=size), np.bincount(second, minlength=size))


def jensen_shannon_of_counts(first: Mapping[int, int], second: Mapping[int, int]) -> float:
    """As `jensen_shannon_distance`, of how often each number occurs; both are filled."""
    numbers = sorted(first.keys() | second.keys())
    return _jensen_shannon(*(np.array([counts.get(number, 0) for number in numbers]) for counts in (first, second)))


def _jensen_shannon(first: Int[np.ndarray, " k"], second: Int[np.ndarray, " k"]) -> float:
    from scipy.spatial.distance import jensenshannon

    return float(jensenshannon(first, second))
