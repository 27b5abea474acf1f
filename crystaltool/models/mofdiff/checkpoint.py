"""A MOFDiff checkpoint as a model ready to sample."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from crystaltool.models.configuration import from_json, stored_sizes
from crystaltool.models.mofdiff.config import MOFDiffConfig
from crystaltool.models.mofdiff.model import MOFDiff
from crystaltool.models.mofdiff.sampler_config import SamplerConfig
from crystaltool.training.checkpoint import fill_model, load_model

KIND = "mofdiff"


@dataclass(frozen=True)
class LoadedMOFDiff:
    """Weights in float64 and evaluation mode, the sampler settings they were judged with, and what they belong to.

    `sha256` is that of the weights, `encoder_sha256` that of the block encoder whose embeddings they were trained on.
    """

    model: MOFDiff
    sampler: SamplerConfig
    sha256: str
    encoder_sha256: str
    directory: Path


def load_mofdiff(directory: Path, device: str = "cpu") -> LoadedMOFDiff:
    """Load a checkpoint.

    Raises:
        CheckpointError: missing, damaged, of another kind or format, or with tensors that do not fit its config.
    """
    config, tensors = load_model(directory, KIND)
    with stored_sizes(directory, "MOFDiff"):
        sizes = from_json(MOFDiffConfig(), config["config"]["model"])
        sampler = from_json(SamplerConfig(), config.get("sampler", {}))
        encoder = str(config["encoder_sha256"])
    model = fill_model(directory, lambda: MOFDiff(sizes), tensors, device)
    return LoadedMOFDiff(model, sampler, str(config["sha256"]), encoder, directory)
