"""A block encoder's checkpoint as a model ready to embed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from crystaltool.models.block_encoder.model import BlockEncoder, BlockEncoderConfig
from crystaltool.models.configuration import from_json, stored_sizes
from crystaltool.training.checkpoint import fill_model, load_model

KIND = "blocks"


@dataclass(frozen=True)
class LoadedBlockEncoder:
    """Weights in float64 and evaluation mode, and their sha256."""

    model: BlockEncoder
    sha256: str
    config: dict[str, Any]


def load_block_encoder(directory: Path, device: str = "cpu") -> LoadedBlockEncoder:
    """Load a checkpoint.

    Raises:
        CheckpointError: missing, damaged, of another kind or format, or with tensors that do not fit its config.
    """
    config, tensors = load_model(directory, KIND)
    with stored_sizes(directory, "block encoder"):
        sizes = from_json(BlockEncoderConfig(), config["config"]["model"])
    model = fill_model(directory, lambda: BlockEncoder(sizes), tensors, device, fits=_fits(sizes, tensors))
    return LoadedBlockEncoder(model, str(config["sha256"]), config)


def _fits(sizes: BlockEncoderConfig, tensors: dict[str, Tensor]) -> bool:
    """Whether the widths and depths of the configuration are those of the weights."""

    def shape(name: str) -> tuple[int, ...]:
        return tuple(tensors[name].shape) if name in tensors else ()

    stem = "network.layers."
    return (
        shape("network.norm.weight") == (sizes.width,)
        and shape("network.layers.0.filter.weight") == (sizes.pair_width, sizes.n_functions)
        and shape("project.0.bias") == (sizes.projection,)
        and len({name for name in tensors if name.startswith(stem) and name.endswith("filter.bias")})
        == sizes.n_near_layers
        and len({name[len(stem) :].split(".")[0] for name in tensors if name.startswith(stem)}) == sizes.n_layers
    )
