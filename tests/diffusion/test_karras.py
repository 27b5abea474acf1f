"""The stochastic sampler ends in the distribution of the data, and raises the noise where it should."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from crystaltool.diffusion.karras import stochastic_euler

MEAN, DEVIATION = 0.7, 0.3


@pytest.mark.parametrize(("churn", "calls"), [(0.0, 60), (0.05, 400)])
def test_a_normal_distribution_comes_back(churn: float, calls: int) -> None:
    """With the exact denoiser of normal data (its posterior mean is linear) Euler's error alone is left."""
    generator = torch.Generator().manual_seed(0)
    levels = torch.logspace(1, -3, calls, dtype=torch.float64)[:, None]

    def noise() -> Tensor:
        return torch.randn(20_000, generator=generator, dtype=torch.float64)

    def step(x: Tensor, now: Tensor, following: Tensor, call: int) -> Tensor:
        clean = (x * DEVIATION**2 + MEAN * now[0] ** 2) / (DEVIATION**2 + now[0] ** 2)
        return clean + (x - clean) * following[0] / now[0]

    found = stochastic_euler(
        MEAN + levels[0] * noise(),
        levels,
        (lambda now: now * (1 + churn)) if churn else None,
        lambda x, added, call: x + added * noise(),
        step,
    )
    assert abs(float(found.mean()) - MEAN) < 0.01
    assert abs(float(found.std()) / DEVIATION - 1) < 0.05


def test_noise_is_raised_but_in_the_first_and_the_last_two_calls() -> None:
    levels = torch.tensor([[4.0, 8.0], [3.0, 6.0], [2.0, 4.0], [1.0, 2.0], [0.5, 1.0]])
    added: list[list[float]] = []
    seen: list[list[float]] = []

    def noisier(state: int, more: Tensor, call: int) -> int:
        added.append([call, *(more**2).tolist()])
        return state

    def step(state: int, now: Tensor, following: Tensor, call: int) -> int:
        seen.append([call, *now.tolist(), *following.tolist()])
        return state + 1

    assert stochastic_euler(0, levels, lambda now: now * 2, noisier, step) == 5
    assert [[round(value, 4) for value in row] for row in added] == [[1, 27.0, 108.0], [2, 12.0, 48.0]]
    assert seen == [
        [0, 4.0, 8.0, 3.0, 6.0],
        [1, 6.0, 12.0, 2.0, 4.0],
        [2, 4.0, 8.0, 1.0, 2.0],
        [3, 1.0, 2.0, 0.5, 1.0],
        [4, 0.5, 1.0, 0.0, 0.0],
    ]
