"""Distances between distributions: how far a set of structures is from the test set."""

from __future__ import annotations

import numpy as np

from crystaltool.arrays import Float, Int


def wasserstein_distance(first: Float[np.ndarray, "n"], second: Float[np.ndarray, "m"]) -> float:
    """Wasserstein-1 distance of two samples: the area between their cumulative distributions, in their unit."""
    values = np.sort(np.concatenate([first, second]))
    steps = np.diff(values)
    below_first = np.searchsorted(np.sort(first), values[:-1], side="right") / len(first)
    below_second = np.searchsorted(np.sort(second), values[:-1], side="right") / len(second)
    return float(np.sum(np.abs(below_first - below_second) * steps))


def jensen_shannon_distance(first: Int[np.ndarray, "n"], second: Int[np.ndarray, "m"]) -> float:
    """Jensen-Shannon distance (square root of the divergence, natural logarithm) of two samples of whole numbers.

    Natural logarithm as in scipy's `jensenshannon`, which the field's code calls; it ends at sqrt(ln 2) = 0.833.
    """
    size = int(max(first.max(), second.max())) + 1
    p, q = (np.bincount(sample, minlength=size) / len(sample) for sample in (first, second))
    middle = (p + q) / 2
    divergence = (_relative_entropy(p, middle) + _relative_entropy(q, middle)) / 2
    return float(np.sqrt(max(divergence, 0.0)))


def _relative_entropy(p: Float[np.ndarray, "n"], q: Float[np.ndarray, "n"]) -> float:
    held = p > 0
    return float(np.sum(p[held] * np.log(p[held] / q[held])))
