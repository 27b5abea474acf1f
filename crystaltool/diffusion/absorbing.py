"""Absorbing-state (masked) categorical diffusion (Austin et al., arXiv 2107.03006; Sahoo et al., arXiv 2406.07524).

Tokens are masked in a uniformly random order, so the process is an any-order autoregressive model: revealing one token
a network call is exact ancestral sampling, revealing several at once its approximation.
"""

from __future__ import annotations

import torch
from torch import Tensor


def random_hidden(mask: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Which tokens to hide: a uniformly drawn number, at least one, of uniformly drawn slots; shape (B, M)."""
    count = mask.sum(1)
    hide = (torch.rand(len(count), generator=generator, device=mask.device) * count).floor() + 1
    order = torch.rand(mask.shape, generator=generator, device=mask.device).masked_fill(~mask, 2.0)
    return mask & (order.argsort(1).argsort(1) < hide[:, None])


def reveal_count(hidden: Tensor, calls_left: int) -> Tensor:
    """How many tokens each row reveals now so that none is hidden after `calls_left` calls; shape (B,)."""
    return (hidden.sum(1) + calls_left - 1) // calls_left


def draw(logits: Tensor, uniform: Tensor) -> Tensor:
    """Inverse-transform draw from softmax(logits), one uniform number a row; shapes (..., C), (...,) -> (...,).

    A logit of -inf is never drawn, also where rounding makes the number 1.
    """
    cumulative = torch.softmax(logits, dim=-1).cumsum(-1)
    index = (cumulative <= uniform[..., None] * cumulative[..., -1:]).sum(-1)
    return index.minimum((cumulative < cumulative[..., -1:]).sum(-1))
