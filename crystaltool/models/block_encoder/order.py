"""The order map: a building block becomes a vector that lies near those of blocks with similar fingerprints.

Beside the encoder, whose 32 numbers name a block but do not order blocks, and which MOFDiff's networks are tied to. One
linear map of the block's substructures, each divided by the square root of their number: the inner product of two such
rows is the cosine (Ochiai) similarity of the sets.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from crystaltool.arrays import Bool, Float, Int
from crystaltool.errors import UsageError
from crystaltool.models.block_encoder.data import BlockPoints
from crystaltool.models.block_encoder.substructures import N_BITS, substructures
from crystaltool.models.configuration import from_json, stored_sizes
from crystaltool.training.checkpoint import fill_model, load_model

KIND, FOLDER = "blocks-order", "order"
"""Kind of the checkpoint, and its folder beside an encoder's weights."""

_AT_ONCE = 4096
"""Blocks of one product; it changes no result that is kept."""


@dataclass(frozen=True)
class OrderConfig:
    """Sizes of the map.

    Args:
        size: length of a vector.

    Raises:
        UsageError: a size that no map can have.
    """

    size: int = 64

    def __post_init__(self) -> None:
        if not 1 <= self.size <= N_BITS:
            raise UsageError(f"size is {self.size}, expected 1 to {N_BITS}")


class OrderMap(nn.Module):
    """Substructures to vectors.

    Args:
        config: sizes.
    """

    def __init__(self, config: OrderConfig) -> None:
        super().__init__()
        self.config = config
        self.linear = nn.Linear(N_BITS, config.size)

    def forward(self, rows: Float[Tensor, "n 2048"]) -> Float[Tensor, "n size"]:
        """Vectors of `scaled` substructures."""
        return self.linear(rows)


def scaled(bits: Bool[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
    """Substructures as rows of length 1."""
    return bits / np.sqrt(bits.sum(axis=1, keepdims=True).clip(1))


@torch.no_grad()
def order_vectors(
    model: OrderMap, points: BlockPoints, rows: Int[np.ndarray, " n"] | None = None
) -> Float[np.ndarray, "n size"]:
    """Order vectors of blocks, float32.

    Args:
        model: in float64. points: blocks. rows: which of them; all if None.
    """
    chosen = np.arange(len(points)) if rows is None else np.asarray(rows)
    found = np.zeros((len(chosen), model.config.size), dtype=np.float32)
    for start in range(0, len(chosen), _AT_ONCE):
        part = scaled(substructures(points, chosen[start : start + _AT_ONCE]))
        found[start : start + _AT_ONCE] = model(torch.from_numpy(part).to(model.linear.weight)).cpu().numpy()
    return found


def load_order(directory: Path, device: str = "cpu") -> OrderMap | None:
    """The order map beside an encoder's weights, in float64 and evaluation mode; None where there is none.

    Raises:
        CheckpointError: damaged, of another kind or format, or with tensors that do not fit its config.
    """
    folder = directory / FOLDER
    if not (folder / "config.json").is_file():
        return None
    config, tensors = load_model(folder, KIND)
    with stored_sizes(folder, "order map"):
        sizes = from_json(OrderConfig(), config["config"]["model"])
    return fill_model(folder, lambda: OrderMap(sizes), tensors, device)
