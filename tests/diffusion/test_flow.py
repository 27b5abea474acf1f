"""Flow matching along straight lines: velocity fields whose solutions are known."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from crystaltool.diffusion.flow import integrate, interpolate

N, D = 30, 4


def normal(seed: int) -> Tensor:
    return torch.randn(N, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_interpolation_starts_at_noise_and_ends_at_data() -> None:
    noise, data = normal(0), normal(1)
    for s, expected in ((0.0, noise), (1.0, data), (0.25, 0.75 * noise + 0.25 * data)):
        x, velocity = interpolate(noise, data, torch.full((N,), s, dtype=torch.float64))
        torch.testing.assert_close(x, expected, atol=1e-12, rtol=0)
        torch.testing.assert_close(velocity, data - noise, atol=0, rtol=0)


def test_every_row_has_its_own_time() -> None:
    noise, data = normal(0), normal(1)
    s = torch.linspace(0, 1, N, dtype=torch.float64)
    x, _ = interpolate(noise, data, s)
    torch.testing.assert_close(x, noise + s[:, None] * (data - noise), atol=1e-12, rtol=0)


@pytest.mark.parametrize("steps", [1, 7])
def test_a_point_mass_is_reached_exactly_in_any_number_of_steps(steps: int) -> None:
    """The velocity towards one point c is (c - x) / (1 - s), constant along each straight line."""
    c = torch.arange(D, dtype=torch.float64)
    found = integrate(lambda x, s: (c - x) / (1 - s)[:, None], normal(2), steps)
    torch.testing.assert_close(found, c.expand(N, D), atol=1e-10, rtol=0)


def gaussian_velocity(mean: float, deviation: float):
    """E[data - noise | x_s] for data ~ N(mean, deviation^2): linear in x, by the rule for jointly normal variables."""

    def velocity(x: Tensor, s: Tensor) -> Tensor:
        s = s[:, None]
        variance = (1 - s) ** 2 + (s * deviation) ** 2
        covariance = s * deviation**2 - (1 - s)
        return mean + covariance / variance * (x - s * mean)

    return velocity


def test_error_falls_at_least_with_the_square_of_the_step() -> None:
    """Normal noise flows to mean + deviation * noise, for each point alone: the map is monotone and keeps quantiles."""
    noise, mean, deviation = normal(3), 1.5, 0.2
    exact = mean + deviation * noise
    errors = [
        float((integrate(gaussian_velocity(mean, deviation), noise, steps) - exact).abs().max())
        for steps in (20, 40, 80)
    ]
    assert errors[2] < 5e-4
    for coarse, fine in itertools.pairwise(errors):
        assert coarse / fine > 3.5  # a first-order rule would give 2


def test_times_are_those_of_the_midpoint_rule() -> None:
    """Two calls a step, at its beginning and its middle; dx/ds = s^2 is then exact to h^2 / 12."""
    seen: list[float] = []

    def velocity(x: Tensor, s: Tensor) -> Tensor:
        assert s.shape == (N,) and bool((s == s[0]).all())
        seen.append(float(s[0]))
        return (s**2)[:, None].expand_as(x)

    found = integrate(velocity, torch.zeros(N, D, dtype=torch.float64), 4)
    assert seen == pytest.approx([0, 1 / 8, 1 / 4, 3 / 8, 1 / 2, 5 / 8, 3 / 4, 7 / 8])
    assert float(found[0, 0]) == pytest.approx(1 / 3 - (1 / 4) ** 2 / 12)
    assert math.isfinite(float(found.sum()))
