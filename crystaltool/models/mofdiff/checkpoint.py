"""A MOFDiff checkpoint as a model ready to sample."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from crystaltool.errors import CheckpointError, UsageError
from crystaltool.models.configuration import from_json
from crystaltool.models.mofdiff.config import MOFDiffConfig
from crystaltool.models.mofdiff.model import MOFDiff
from crystaltool.models.mofdiff.sampler_config import SamplerConfig
from crystaltool.training.checkpoint import load_model

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
    try:
        sizes = from_json(MOFDiffConfig(), config["config"]["model"])
        sampler = from_json(SamplerConfig(), config.get("sampler", {}))
        encoder = str(config["encoder_sha256"])
    except (KeyError, TypeError, AttributeError, UsageError) as error:
        text = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{directory / 'config.json'}: no sizes of a MOFDiff in it ({text})") from error
    misfit = f"{directory}: the tensors of model.safetensors do not fit config.json"
    if not _fits(sizes, tensors):  # before anything is made: sizes may be hostile
        raise CheckpointError(misfit)
    model = MOFDiff(sizes)
    try:
        model.load_state_dict(tensors)
    except RuntimeError:
        raise CheckpointError(misfit) from None
    if not all(bool(torch.isfinite(value).all()) for value in tensors.values()):
        raise CheckpointError(f"{directory}: model.safetensors holds numbers that are not finite")
    model.eval().requires_grad_(False)
    return LoadedMOFDiff(model.to(device, torch.float64), sampler, str(config["sha256"]), encoder, directory)


def _fits(sizes: MOFDiffConfig, tensors: dict[str, Tensor]) -> bool:
    """Whether the widths and depths of the configuration are those of the weights."""

    def shape(name: str) -> tuple[int, ...]:
        return tuple(tensors[name].shape) if name in tensors else ()

    def depth(stem: str) -> int:
        return len({name[len(stem) :].split(".")[0] for name in tensors if name.startswith(stem)})

    return (
        shape("denoiser.embedding_in.weight") == (sizes.width, sizes.n_embedding)
        and shape("denoiser.trunk.pair_in.weight") == (sizes.pair_width, 2 * sizes.n_functions)
        and shape("denoiser.trunk.wave_in.weight") == (sizes.pair_width, 6 * sizes.n_waves)
        and shape("prior.first.weight") == (sizes.prior_width, sizes.n_latent)
        and shape("property_mean") == (len(sizes.properties),)
        and depth("denoiser.trunk.layers.") == sizes.n_layers
        and depth("encoder.trunk.layers.") == sizes.encoder_layers
        and depth("prior.layers.") == sizes.prior_layers
    )
