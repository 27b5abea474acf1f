"""Times and noise levels."""

from __future__ import annotations

import torch

from crystaltool.diffusion.schedules import focused, geometric


def test_noise_levels_form_a_geometric_series() -> None:
    levels = geometric(torch.linspace(0, 1, 5, dtype=torch.float64), 0.01, 100.0)
    torch.testing.assert_close(levels, torch.tensor([0.01, 0.1, 1.0, 10.0, 100.0], dtype=torch.float64))


def test_half_of_the_times_lie_where_they_should() -> None:
    t = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000
    found = focused(t, 0.3, 0.85)
    inside = ((found > 0.3) & (found < 0.85)).double().mean()
    torch.testing.assert_close(float(inside), 0.5 + 0.5 * 0.55, atol=1e-4, rtol=0)
    low, high = (found < 0.3).double().mean(), (found > 0.85).double().mean()
    torch.testing.assert_close(float(low), 0.15, atol=1e-4, rtol=0)
    torch.testing.assert_close(float(high), 0.075, atol=1e-4, rtol=0)
    assert (found[1:] > found[:-1]).all()


def test_no_focus_leaves_times_alone() -> None:
    t = torch.linspace(0, 1, 11, dtype=torch.float64)
    torch.testing.assert_close(focused(t, 0.0, 1.0), t)
