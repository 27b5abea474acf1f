"""The wrapped normal against autograd of its density, a written-out sum over images, and against its Fourier series."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from crystaltool.diffusion.wrapped_normal import mean_displacement, score_scale

HEXAGONAL = np.linalg.cholesky(np.linalg.inv(np.array([[1.0, -0.5], [-0.5, 1.0]]) / math.sqrt(0.75)))
"""Noise shape of two free coordinates on hexagonal axes, unit determinant."""

SKEWED = np.linalg.cholesky(np.array([[1.2, 0.3, -0.2], [0.3, 1.0, 0.25], [-0.2, 0.25, 0.9]]))
SHAPES = [np.eye(1), HEXAGONAL, SKEWED / np.linalg.det(SKEWED) ** (1 / 3)]

EXACT = 1e-6
"""Two images each way leave out exp(-14) of the weight at sigma = 0.35 in the widest direction of `HEXAGONAL`."""


def padded(factor: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """W^-1 in the corner of a 3 x 3 matrix, and which dimensions are used."""
    d = len(factor)
    inverse = torch.zeros(3, 3, dtype=torch.float64)
    inverse[:d, :d] = torch.from_numpy(np.linalg.inv(factor))
    return inverse, torch.arange(3) < d


def by_autograd(delta: torch.Tensor, sigma: float, factor: np.ndarray, n_images: int = 8) -> torch.Tensor:
    """C grad log sum_n exp(-(delta + n)^T C^-1 (delta + n) / 2) with C = sigma^2 W W^T, d dimensions."""
    d = len(factor)
    covariance = sigma**2 * torch.from_numpy(factor @ factor.T)
    images = torch.cartesian_prod(*[torch.arange(-n_images, n_images + 1.0, dtype=torch.float64)] * d).reshape(-1, d)
    point = delta.clone().requires_grad_(True)
    moved = point[:, None] + images
    log_density = torch.logsumexp(-0.5 * torch.einsum("npi,ij,npj->np", moved, covariance.inverse(), moved), dim=1)
    (gradient,) = torch.autograd.grad(log_density.sum(), point)
    return gradient @ covariance


def displacement(delta: torch.Tensor, sigma: float, factor: np.ndarray) -> torch.Tensor:
    inverse, used = padded(factor)
    full = torch.zeros(len(delta), 3, dtype=delta.dtype)
    full[:, : delta.shape[1]] = delta
    n = len(delta)
    sigmas = torch.full((n,), sigma, dtype=delta.dtype)
    return mean_displacement(full, sigmas, inverse.to(delta.dtype).expand(n, 3, 3), used.expand(n, 3))


@pytest.mark.parametrize("factor", SHAPES, ids=["line", "hexagonal", "space"])
@pytest.mark.parametrize("sigma", [0.003, 0.05, 0.2, 0.35])
def test_mean_displacement_is_the_score_of_the_explicit_mixture(factor: np.ndarray, sigma: float) -> None:
    d = len(factor)
    delta = torch.rand(40, d, generator=torch.Generator().manual_seed(d), dtype=torch.float64) - 0.5
    found = displacement(delta, sigma, factor)
    expected = by_autograd(delta, sigma, factor, 8 if d < 3 else 4)
    torch.testing.assert_close(found[:, :d], expected, atol=EXACT, rtol=0)
    assert not found[:, d:].any()


def test_largest_noise_is_right_to_a_few_thousandths() -> None:
    """At sigma = 0.5 the images left out weigh up to exp(-7) in the widest direction: 2e-3 of a period."""
    delta = torch.rand(200, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 0.5
    miss = displacement(delta, 0.5, HEXAGONAL)[:, :2] - by_autograd(delta, 0.5, HEXAGONAL)
    assert miss.abs().max() < 2e-3


def test_periodic_in_every_direction() -> None:
    generator = torch.Generator().manual_seed(1)
    delta = torch.rand(30, 3, generator=generator, dtype=torch.float64) - 0.5
    shift = torch.randint(-3, 4, (30, 3), generator=generator)
    for sigma in (0.01, 0.3):
        there = displacement(delta + shift, sigma, SHAPES[2])
        torch.testing.assert_close(there, displacement(delta, sigma, SHAPES[2]), atol=1e-9, rtol=0)


def test_small_noise_points_back_to_the_nearest_image() -> None:
    delta = torch.tensor([[0.01, -0.02, 0.005], [0.99, 1.03, -2.01]], dtype=torch.float64)
    expected = torch.tensor([[-0.01, 0.02, -0.005], [0.01, -0.03, 0.01]], dtype=torch.float64)
    torch.testing.assert_close(displacement(delta, 0.004, np.eye(3)), expected, atol=1e-9, rtol=0)


def test_large_noise_forgets_where_it_came_from() -> None:
    delta = torch.linspace(-0.5, 0.5, 11, dtype=torch.float64)[:, None]
    assert displacement(delta, 0.5, np.eye(1)).abs().max() < 0.03


def fourier_scale(sigma: float) -> float:
    """sqrt(E |sigma score|^2) from p(x) = 1 + 2 sum_n exp(-2 pi^2 sigma^2 n^2) cos(2 pi n x)."""
    x = (np.arange(20000) + 0.5) / 20000
    n = np.arange(1, 200)
    weight = np.exp(-2 * np.pi**2 * sigma**2 * n**2)
    n, weight = n[weight > 1e-18], weight[weight > 1e-18]
    density = 1 + 2 * (weight * np.cos(2 * np.pi * x[:, None] * n)).sum(1)
    slope = -4 * np.pi * (weight * n * np.sin(2 * np.pi * x[:, None] * n)).sum(1)
    return float(sigma * np.sqrt(np.mean(slope**2 / np.maximum(density, 1e-12))))


@pytest.mark.parametrize("sigma", [0.05, 0.1, 0.2, 0.3, 0.5])
def test_score_scale_against_the_fourier_series(sigma: float) -> None:
    assert float(score_scale(torch.tensor([sigma]))[0]) == pytest.approx(fourier_scale(sigma), rel=2e-3)


def test_score_scale_against_samples() -> None:
    """Monte Carlo of E |displacement / sigma|^2, the denoiser's own target."""
    generator = torch.Generator().manual_seed(2)
    for sigma in (0.02, 0.15, 0.4):
        delta = sigma * torch.randn(20_000, 1, generator=generator, dtype=torch.float64)
        found = (displacement(delta, sigma, np.eye(1))[:, 0] / sigma).square().mean().sqrt()
        assert float(found) == pytest.approx(float(score_scale(torch.tensor([sigma]))[0]), rel=0.03)


def test_score_scale_has_its_limits_and_keeps_shape_and_type() -> None:
    sigma = torch.tensor([1e-5, 1e-3, 0.003, 0.5, 5.0], dtype=torch.float64)
    scale = score_scale(sigma)
    assert scale.dtype == sigma.dtype and scale.shape == sigma.shape
    torch.testing.assert_close(scale[:3], torch.ones(3, dtype=torch.float64), atol=1e-4, rtol=0)
    assert (scale[1:].diff() <= 1e-6).all() and scale[-1] < 1e-3
