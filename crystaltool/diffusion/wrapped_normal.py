"""Wrapped normal on a torus R^d / Z^d, d <= 3, with a covariance shape per sample (Jing et al. 2022, arXiv 2206.01729).

The noise of a Wyckoff position's free coordinates u must look alike from every equivalent description of the orbit. On
hexagonal axes an isotropic one in u does not, so each sample carries a factor W (d x d) with C = sigma^2 W W^T. Unused
dimensions (beyond d) hold zeros in every argument.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor

N_IMAGES = 2
"""Periodic images each way; at sigma = 0.5 the next would weigh exp(-9)."""


@cache
def _images(device: torch.device, dtype: torch.dtype) -> Tensor:
    span = torch.arange(-N_IMAGES, N_IMAGES + 1, device=device, dtype=dtype)
    return torch.cartesian_prod(span, span, span)


def mean_displacement(delta: Tensor, sigma: Tensor, inverse_factor: Tensor, used: Tensor) -> Tensor:
    """Posterior mean of x_0 - x_t over the periodic images, sigma^2 W W^T grad log WN(x_t - x_0).

    Args:
        delta: x_t - x_0; shape (n, 3).
        sigma: noise level; shape (n,).
        inverse_factor: W^-1, zero outside the used block; shape (n, 3, 3).
        used: True for the dimensions in use; shape (n, 3).

    Returns:
        shape (n, 3), zero in unused dimensions.
    """
    images = _images(delta.device, delta.dtype)
    wrapped = delta - delta.round()
    moved = wrapped[:, None, :] + images[None] * used[:, None, :]
    # An unused dimension repeats each image equally often, which leaves the weights' ratios alone.
    distance = torch.einsum("nij,npj->npi", inverse_factor, moved).square().sum(-1)
    weight = torch.softmax(-0.5 * distance / sigma[:, None] ** 2, dim=1)
    return -(weight[..., None] * moved).sum(1) * used


@cache
def _scale_table(device: torch.device) -> tuple[Tensor, float, float]:
    """sqrt(E |sigma score|^2) of the one-dimensional wrapped normal on a grid of log sigma, by quadrature.

    Returns:
        values on the grid, its first log sigma and its step.
    """
    log_sigma = torch.linspace(math.log(1e-3), math.log(2.0), 400, dtype=torch.float64)
    sigma = log_sigma.exp()[:, None, None]
    x = torch.linspace(-0.5, 0.5, 2001, dtype=torch.float64)[None, :, None]
    n = torch.arange(-8, 9, dtype=torch.float64)[None, None, :]
    # Quadrature in x fails for narrow peaks, where the value is 1; use z = x / sigma there.
    x = torch.where(sigma < 0.04, x * 16 * sigma, x)
    log_weight = -0.5 * ((x + n) / sigma) ** 2
    density = torch.logsumexp(log_weight, dim=2).exp()
    score = -(torch.softmax(log_weight, dim=2) * (x + n)).sum(2) / sigma[..., 0]
    value = ((density * score**2).sum(1) / density.sum(1)).sqrt()
    return value.to(device), log_sigma[0].item(), (log_sigma[1] - log_sigma[0]).item()


def score_scale(sigma: Tensor) -> Tensor:
    """lambda(sigma) = sqrt(E |sigma grad log WN|^2) in one dimension: 1 for small sigma, 0 where the circle is full."""
    value, start, width = _scale_table(sigma.device)
    position = (sigma.double().log() - start) / width
    low = position.floor().clamp(0, len(value) - 2).long()
    part = (position - low).clamp(0, 1)
    return (value[low] * (1 - part) + value[low + 1] * part).to(sigma)
