"""A block encoder's checkpoint as a model ready to embed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crystaltool.models.block_encoder.model import BlockEncoder, BlockEncoderConfig
from crystaltool.models.block_encoder.order import OrderMap, load_order
from crystaltool.models.configuration import from_json, stored_sizes
from crystaltool.training.checkpoint import fill_model, load_model

KIND = "blocks"


@dataclass(frozen=True)
class LoadedBlockEncoder:
    """Weights in float64 and evaluation mode, their sha256, and the order map beside them, if there is one."""

    model: BlockEncoder
    sha256: str
    config: dict[str, Any]
    order: OrderMap | None = None


def load_block_encoder(directory: Path, device: str = "cpu") -> LoadedBlockEncoder:
    """Load a checkpoint.

    Raises:
        CheckpointError: missing, damaged, of another kind or format, or with tensors that do not fit its config.
    """
    config, tensors = load_model(directory, KIND)
    with stored_sizes(directory, "block encoder"):
        sizes = from_json(BlockEncoderConfig(), config["config"]["model"])
    model = fill_model(directory, lambda: BlockEncoder(sizes), tensors, device)
    return LoadedBlockEncoder(model, str(config["sha256"]), config, load_order(directory, device))
