"""Distances between distributions against their definitions, written out, and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from crystaltool.evaluation.distances import jensen_shannon_distance, wasserstein_distance


def test_known_values():
    assert wasserstein_distance(np.array([0.0, 1.0]), np.array([2.0, 3.0])) == pytest.approx(2.0)
    assert wasserstein_distance(np.array([1.0]), np.array([1.0])) == 0.0
    apart = jensen_shannon_distance(np.array([1, 1]), np.array([2, 2]))
    assert apart == pytest.approx(np.sqrt(np.log(2)))
    assert jensen_shannon_distance(np.array([225, 2, 2]), np.array([2, 225, 2])) == 0.0


@pytest.mark.parametrize("seed", range(5))
def test_samples_of_different_size(seed):
    """The mean distance of quantiles, on a grid fine enough to hold both samples, and a sum of p ln(p / m)."""
    rng = np.random.default_rng(seed)
    first, second = rng.gamma(2, 2, 300), rng.gamma(3, 2, 177)
    quantiles = [np.repeat(np.sort(sample), times) for sample, times in ((first, 177), (second, 300))]
    assert wasserstein_distance(first, second) == pytest.approx(np.abs(quantiles[0] - quantiles[1]).mean())
    a, b = rng.integers(1, 231, 300), rng.integers(100, 231, 500)
    p, q = (np.bincount(sample, minlength=231) / len(sample) for sample in (a, b))
    halves = [sum(x * np.log(x / ((y + z) / 2)) for x, y, z in zip(one, p, q, strict=True) if x) for one in (p, q)]
    assert jensen_shannon_distance(a, b) == pytest.approx(np.sqrt(sum(halves) / 2))
