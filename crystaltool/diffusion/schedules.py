"""Noise levels: how far along each process is at time t in [0, 1] (0 clean, 1 noise)."""

from __future__ import annotations

import math

from torch import Tensor


def geometric(t: Tensor, smallest: float, largest: float) -> Tensor:
    """sigma(t) = smallest (largest / smallest)^t (Song and Ermon 2019, arXiv 1907.05600, section 4.3)."""
    return (math.log(smallest) + t * math.log(largest / smallest)).exp()
