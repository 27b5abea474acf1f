"""Distances between distributions against scipy and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import wasserstein_distance as scipy_wasserstein

from crystaltool.evaluation.distances import jensen_shannon_distance, wasserstein_distance


def test_known_values():
    assert wasserstein_distance(np.array([0.0, 1.0]), np.array([2.0, 3.0])) == pytest.approx(2.0)
    assert wasserstein_distance(np.array([1.0]), np.array([1.0])) == 0.0
    apart = jensen_shannon_distance(np.array([1, 1]), np.array([2, 2]))
    assert apart == pytest.approx(np.sqrt(np.log(2)))
    assert jensen_shannon_distance(np.array([225, 2, 2]), np.array([2, 225, 2])) == 0.0


@pytest.mark.parametrize("seed", range(5))
def test_parity_with_scipy(seed):
    rng = np.random.default_rng(seed)
    first, second = rng.gamma(2, 2, 300), rng.gamma(3, 2, 177)
    assert wasserstein_distance(first, second) == pytest.approx(scipy_wasserstein(first, second))
    a, b = rng.integers(1, 231, 300), rng.integers(100, 231, 500)
    histograms = [np.bincount(sample, minlength=231) for sample in (a, b)]
    assert jensen_shannon_distance(a, b) == pytest.approx(jensenshannon(*histograms))
