"""Flow matching along straight lines (Lipman et al., arXiv 2210.02747; Liu et al., arXiv 2209.03003).

x_s = (1 - s) noise + s data; the velocity field's target is data - noise.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def interpolate(noise: Tensor, data: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    """x_s and its velocity; shapes (n, d), (n, d), (n,) -> (n, d) twice."""
    return torch.lerp(noise, data, s[:, None]), data - noise


def integrate(velocity: Callable[[Tensor, Tensor], Tensor], noise: Tensor, steps: int) -> Tensor:
    """Data from noise by `steps` steps of the midpoint rule, two calls each; shape (n, d)."""
    x, width = noise, 1.0 / steps
    for step in range(steps):
        s = torch.full_like(x[:, 0], step * width)
        middle = x + 0.5 * width * velocity(x, s)
        x = x + width * velocity(middle, s + 0.5 * width)
    return x
