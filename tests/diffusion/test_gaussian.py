"""Preconditioned Gaussian diffusion and the noise schedule."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from crystaltool.diffusion.gaussian import denoise, ode_step, posterior_mean, scaled_input, target
from crystaltool.diffusion.schedules import geometric

SIGMAS = [0.01, 0.3, 1.0, 10.0]


def pairs(sigma: float, n: int = 200_000) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(int(1000 * sigma))
    x_0 = torch.randn(n, generator=generator, dtype=torch.float64)
    x_t = x_0 + sigma * torch.randn(n, generator=generator, dtype=torch.float64)
    return x_0, x_t, torch.tensor(sigma, dtype=torch.float64)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_denoise_inverts_target(sigma: float) -> None:
    x_0, x_t, sigma_t = pairs(sigma, 100)
    torch.testing.assert_close(denoise(x_t, sigma_t, target(x_0, x_t, sigma_t)), x_0, atol=1e-9, rtol=0)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_target_and_input_have_unit_variance(sigma: float) -> None:
    x_0, x_t, sigma_t = pairs(sigma)
    assert float(target(x_0, x_t, sigma_t).square().mean()) == pytest.approx(1.0, abs=0.02)
    assert float(scaled_input(x_t, sigma_t).square().mean()) == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_nothing_linear_beats_the_posterior_mean(sigma: float) -> None:
    """What is left, the target, does not correlate with the input: so a blind network starts at loss 1."""
    x_0, x_t, sigma_t = pairs(sigma)
    assert abs(float((target(x_0, x_t, sigma_t) * scaled_input(x_t, sigma_t)).mean())) < 0.02
    slope = float((x_0 * x_t).mean() / x_t.square().mean())
    assert float(posterior_mean(torch.ones(()), sigma_t)) == pytest.approx(slope, abs=0.02)


def test_ode_step_is_exact_for_a_point_mass() -> None:
    """If the data are one point c, x(sigma) = c + sigma z solves the equation, and one step of any length is exact."""
    z = torch.randn(20, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    c = torch.tensor(0.7, dtype=torch.float64)
    sigmas = torch.tensor([10.0, 0.2, 0.01], dtype=torch.float64)
    for start in sigmas:
        for end in sigmas:
            torch.testing.assert_close(ode_step(c + start * z, c, start, end), c + end * z, atol=1e-12, rtol=0)


def test_geometric_schedule() -> None:
    levels = geometric(torch.linspace(0, 1, 5, dtype=torch.float64), 0.003, 0.5)
    np.testing.assert_allclose(levels.numpy(), np.geomspace(0.003, 0.5, 5), rtol=1e-12)
