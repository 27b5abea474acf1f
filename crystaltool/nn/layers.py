"""Small blocks that more than one network uses."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

N_ELEMENTS = 94
"""Elements that the models know, H to Pu; atomic number 0 stands for a hidden or empty slot."""


def mlp(n_in: int, n_hidden: int, n_out: int) -> nn.Sequential:
    """Two linear layers with SiLU between."""
    return nn.Sequential(nn.Linear(n_in, n_hidden), nn.SiLU(), nn.Linear(n_hidden, n_out))


def zero_linear(n_in: int, n_out: int) -> nn.Linear:
    """A linear layer that gives zeros until it is trained."""
    layer = nn.Linear(n_in, n_out)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class CellHead(nn.Sequential):
    """From the state of a crystal (B, 2 width) to the change of its k (B, 6), zero until it is trained."""

    def __init__(self, width: int) -> None:
        last = zero_linear(width, 6)
        super().__init__(nn.Linear(2 * width, width), nn.SiLU(), last)


def strain_of(stress: Tensor) -> Tensor:
    """Components of k from (xx, yy, zz, xy, xz, yz) of a symmetric tensor; shape (B, 6)."""
    xx, yy, zz, xy, xz, yz = stress.unbind(-1)
    return torch.stack([xy, xz, yz, (xx - yy) / 2, (xx + yy - 2 * zz) / 6, (xx + yy + zz) / 3], dim=-1)


@dataclass(frozen=True)
class Sites:
    """Elements and Wyckoff positions of the orbits of a batch of crystals.

    Args:
        group: number of the space group minus one; shape (B,).
        numbers: atomic numbers of the orbits; shape (B, M).
        position: their Wyckoff positions; shape (B, M).
    """

    group: Tensor
    numbers: Tensor
    position: Tensor


class ElementEmbedding(nn.Module):
    """Learned vector per element plus a linear map of its period and group, which ties rare elements to their kin."""

    table: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.free = nn.Embedding(N_ELEMENTS + 1, width)
        nn.init.normal_(self.free.weight, std=0.3)
        self.kin = nn.Linear(7 + 18 + 2, width, bias=False)
        self.register_buffer("table", periodic_table_features(), persistent=False)

    def weight(self) -> Tensor:
        """All vectors; shape (95, width)."""
        return self.free.weight + self.kin(self.table)

    def forward(self, numbers: Tensor) -> Tensor:
        """Vectors of atomic numbers (0 = hidden); shape (..., width)."""
        return functional.embedding(numbers, self.weight())


def periodic_table_features() -> Tensor:
    """One-hot period (7) and group (18; 3 for the f block), place in the f block; shape (95, 27)."""
    features = torch.zeros(N_ELEMENTS + 1, 27)
    starts = (1, 3, 11, 19, 37, 55, 87)
    for number in range(1, N_ELEMENTS + 1):
        period = sum(number >= start for start in starts)
        column = number - starts[period - 1] + 1
        inner = 0
        if period == 1:
            group = 1 if number == 1 else 18
        elif period <= 3:
            group = column if column <= 2 else column + 10
        elif period <= 5:
            group = column
        else:
            inner = column - 3 if 3 <= column <= 17 else 0
            group = column if column <= 2 else max(3, column - 14)
        features[number, period - 1] = 1
        features[number, 7 + group - 1] = 1
        features[number, 25] = inner / 14
        features[number, 26] = float(inner > 0)
    return features


class NoiseEmbedding(nn.Module):
    """Sinusoids of log sigma, then a linear layer."""

    frequencies: Tensor

    def __init__(self, width: int, n_frequencies: int = 16) -> None:
        super().__init__()
        ends = math.log(0.25), math.log(8.0)
        self.register_buffer("frequencies", torch.linspace(*ends, n_frequencies, device="cpu").exp(), False)
        self.out = nn.Linear(2 * n_frequencies, width)

    def forward(self, sigma: Tensor) -> Tensor:
        """Shapes (B,) -> (B, width)."""
        angle = sigma.log()[:, None] * self.frequencies
        return self.out(torch.cat([angle.sin(), angle.cos()], dim=1))


class Attention(nn.Module):
    """Pre-normed multi-head self-attention and feed-forward over padded tokens."""

    def __init__(self, width: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.feed = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, h: Tensor, bias: Tensor) -> Tensor:
        """h (B, T, width); bias is added to the logits: -inf for absent keys, broadcast to (B, heads, T, T)."""
        n, length, width = h.shape
        q, k, v = self.qkv(self.norm_1(h)).view(n, length, 3, self.n_heads, -1).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))
        h = h + self.dropout(self.out(mixed.transpose(1, 2).reshape(n, length, width)))
        return h + self.dropout(self.feed(self.norm_2(h)))


def attended(layers: Iterable[nn.Module], token: Tensor, h: Tensor, mask: Tensor) -> Tensor:
    """States of one token and of the padded slots after it, once layers of `Attention` have mixed them.

    Args:
        layers: of `Attention`. token: of what all slots have in common, added to each, too; shape (B, width).
        h: of the slots; shape (B, M, width). mask: slots that are filled; shape (B, M).

    Returns:
        shape (B, 1 + M, width).
    """
    h = torch.cat([token[:, None], h + token[:, None]], dim=1)
    keys = torch.cat([torch.ones_like(mask[:, :1]), mask], dim=1)
    bias = torch.zeros(keys.shape, device=h.device, dtype=h.dtype).masked_fill(~keys, float("-inf"))
    for layer in layers:
        h = layer(h, bias[:, None, None, :])
    return h


class Model(nn.Module):
    """A model of several networks: where its weights are, and in which precision they are called."""

    mixed_precision = False
    """Whether networks are called in bfloat16, which is set for training."""

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the weights."""
        return next(self.parameters()).dtype

    def networks(self) -> torch.autocast:
        """Context of the network calls, bfloat16 under `mixed_precision`; cells, distances and losses stay outside."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed_precision)
