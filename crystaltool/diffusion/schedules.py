"""Noise levels: how far along each process is at time t in [0, 1] (0 clean, 1 noise)."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def geometric(t: Tensor, smallest: float, largest: float) -> Tensor:
    """sigma(t) = smallest (largest / smallest)^t (Song and Ermon 2019, arXiv 1907.05600, section 4.3)."""
    return (math.log(smallest) + t * math.log(largest / smallest)).exp()


def focused(t: Tensor, low: float, high: float) -> Tensor:
    """Times of which half lie anywhere and half between `low` and `high`, from evenly spread ones; shape kept.

    The inverse of the cumulative density 1/2 t + 1/2 clip((t - low) / (high - low)).
    """
    knots = [0.0, 0.5 * low, 0.5 * high + 0.5, 1.0]
    below, within = t / 0.5, low + (t - knots[1]) / (0.5 + 0.5 / (high - low))
    above = high + (t - knots[2]) / 0.5
    return torch.where(t < knots[1], below, torch.where(t < knots[2], within, above))
