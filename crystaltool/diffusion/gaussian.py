"""Gaussian diffusion of unit-variance data, preconditioned (Karras et al. 2022, arXiv 2206.00364, table 1)."""

from __future__ import annotations

from torch import Tensor


def posterior_mean(x_t: Tensor, sigma_t: Tensor) -> Tensor:
    """c_skip x_t = x_t / (1 + sigma^2): the mean of x_0 given x_t alone under a standard normal prior."""
    return x_t / (1.0 + sigma_t**2)


def denoise(x_t: Tensor, sigma_t: Tensor, output: Tensor) -> Tensor:
    """x_0 from a network output of unit variance: c_skip x_t + c_out output, c_out = sigma / sqrt(1 + sigma^2)."""
    return posterior_mean(x_t, sigma_t) + output * sigma_t / (1.0 + sigma_t**2).sqrt()


def target(x_0: Tensor, x_t: Tensor, sigma_t: Tensor) -> Tensor:
    """The output that `denoise` turns into x_0: unit variance at every noise level."""
    return (x_0 - posterior_mean(x_t, sigma_t)) * (1.0 + sigma_t**2).sqrt() / sigma_t


def scaled_input(x_t: Tensor, sigma_t: Tensor) -> Tensor:
    """c_in x_t = x_t / sqrt(1 + sigma^2), of unit variance."""
    return x_t / (1.0 + sigma_t**2).sqrt()


def ode_step(x_t: Tensor, x_0: Tensor, sigma_t: Tensor, sigma_s: Tensor) -> Tensor:
    """Euler step of dx/dsigma = (x - x_0) / sigma from sigma_t to sigma_s (equation 3 of the same paper)."""
    return x_0 + (x_t - x_0) * (sigma_s / sigma_t)
