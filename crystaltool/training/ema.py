"""Exponential moving average of weights, with a warm-up so that early averages forget the initial values."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Ema:
    """Average of a module's parameters; decay at step n is min(decay, (1 + n) / (10 + n)).

    Args:
        module: the module to follow.
        decay: its limit.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.values: dict[str, Tensor] = {name: p.detach().clone() for name, p in module.named_parameters()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Move the average towards the present weights."""
        decay = min(self.decay, (1 + step) / (10 + step))
        names = list(self.values)
        present = dict(module.named_parameters())
        torch._foreach_lerp_([self.values[n] for n in names], [present[n].detach() for n in names], 1 - decay)
