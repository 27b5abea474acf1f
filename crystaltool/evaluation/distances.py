"""Distances between distributions: how far a set of structures is from the test set. Both are scipy's."""

from __future__ import annotations

import numpy as np

from crystaltool.arrays import Float, Int


def wasserstein_distance(first: Float[np.ndarray, " n"], second: Float[np.ndarray, " m"]) -> float:
    """Wasserstein-1 distance of two samples: the area between their cumulative distributions, in their unit."""
    from scipy.stats import wasserstein_distance as of_samples

    return float(of_samples(first, second))


def jensen_shannon_distance(first: Int[np.ndarray, " n"], second: Int[np.ndarray, " m"]) -> float:
    """Jensen-Shannon distance (square root of the divergence, natural logarithm) of two samples of whole numbers.

    It ends at sqrt(ln 2) = 0.833.
    """
    from scipy.spatial.distance import jensenshannon

    size = int(max(first.max(), second.max())) + 1
    return float(jensenshannon(np.bincount(first, minlength=size), np.bincount(second, minlength=size)))
