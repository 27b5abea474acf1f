"""A SymmCD checkpoint as a model ready to sample."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from crystaltool.errors import CheckpointError, UsageError
from crystaltool.models.configuration import from_json
from crystaltool.models.symmcd.model import SymmCD, SymmCDConfig
from crystaltool.models.symmcd.sampling import SamplerConfig
from crystaltool.training.checkpoint import load_model


@dataclass(frozen=True)
class LoadedSymmCD:
    """Weights in float64 and evaluation mode, the sampler settings they were judged with, and their sha256."""

    model: SymmCD
    sampler: SamplerConfig
    sha256: str


def load_symmcd(directory: Path, device: str = "cpu") -> LoadedSymmCD:
    """Load a checkpoint.

    Raises:
        CheckpointError: missing, damaged, of another kind or format, or with tensors that do not fit its config.
    """
    config, tensors = load_model(directory, "symmcd")
    try:
        sizes = from_json(SymmCDConfig(), config["config"]["model"])
        sampler = from_json(SamplerConfig(), config.get("sampler", {}))
    except (KeyError, TypeError, AttributeError, UsageError) as error:
        text = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{directory / 'config.json'}: no sizes of a SymmCD in it ({text})") from error
    if not _fits(sizes, tensors):  # before anything is made: sizes may be hostile
        raise CheckpointError(f"{directory}: the tensors of model.safetensors do not fit config.json")
    model = SymmCD(sizes)
    try:
        model.load_state_dict(tensors)
    except RuntimeError:
        raise CheckpointError(f"{directory}: the tensors of model.safetensors do not fit config.json") from None
    if not all(bool(torch.isfinite(value).all()) for value in tensors.values()):
        raise CheckpointError(f"{directory}: model.safetensors holds numbers that are not finite")
    model.eval().requires_grad_(False)
    return LoadedSymmCD(model.to(device, torch.float64), sampler, str(config["sha256"]))


def _fits(sizes: SymmCDConfig, tensors: dict[str, Tensor]) -> bool:
    """Whether the widths and depths of the configuration are those of the weights."""

    def shape(name: str) -> tuple[int, ...]:
        return tuple(tensors[name].shape) if name in tensors else ()

    def depth(stem: str) -> int:
        return len({name[len(stem) :].split(".")[0] for name in tensors if name.startswith(stem)})

    return (
        shape("sites.norm.weight") == (sizes.site_width,)
        and shape("geometry.cell_in.bias") == (sizes.geometry_width,)
        and shape("geometry.pair_in.weight") == (sizes.pair_width, 2 * sizes.n_functions)
        and depth("sites.layers.") == sizes.site_layers
        and depth("geometry.layers.") == sizes.geometry_layers
    )
