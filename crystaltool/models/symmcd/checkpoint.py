"""A SymmCD checkpoint as a model ready to sample."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from crystaltool.models.configuration import from_json, stored_sizes
from crystaltool.models.symmcd.model import SymmCD, SymmCDConfig
from crystaltool.models.symmcd.sampling import SamplerConfig
from crystaltool.training.checkpoint import fill_model, load_model


@dataclass(frozen=True)
class LoadedSymmCD:
    """Weights in evaluation mode, the sampler settings they were judged with, and their sha256.

    Weights are in float64, those of a geometry network on atoms in float32: it is called in blocks of fixed shapes.
    """

    model: SymmCD
    sampler: SamplerConfig
    sha256: str


def load_symmcd(directory: Path, device: str = "cpu") -> LoadedSymmCD:
    """Load a checkpoint.

    Raises:
        CheckpointError: missing, damaged, of another kind or format, or with tensors that do not fit its config.
    """
    config, tensors = load_model(directory, "symmcd")
    with stored_sizes(directory, "SymmCD"):
        sizes = from_json(SymmCDConfig(), config["config"]["model"])
        sampler = from_json(SamplerConfig(), config.get("sampler", {}))
    model = fill_model(directory, lambda: SymmCD(sizes), tensors, device)
    if sizes.geometry_heads:
        model.geometry.float()
    return LoadedSymmCD(model, sampler, str(config["sha256"]))
