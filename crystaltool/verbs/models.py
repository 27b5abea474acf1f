"""`load`: a trained model, ready to sample; and the table of models that `train` and `sample` know.

To add a model, write its folder (or one file) and give it a row.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from os import PathLike, fspath
from typing import Any


@dataclass(frozen=True)
class Row:
    """What is known of a kind of model; texts are `MODULE:NAME`, loaded when needed.

    Args:
        load: a function of (folder of the checkpoint, device) that gives an object with
            `sample(n, *, seed, **conditions)`, an iterator; empty for a model that does not sample.
        fit: trains it: (data, folder, settings, *, device, resume, init, threads, on_progress), as `fit_symmcd`.
        config: reads settings: (TOML file or None, *, epochs, resumed), as of `symmcd.fit`.
        embeddings: whether training reads embeddings of blocks too.
    """

    load: str
    fit: str
    config: str
    embeddings: bool = False


MODELS = {
    "symmcd": Row(
        "crystaltool.verbs.sample_symmcd:SymmCDSampler",
        "crystaltool.models.symmcd.fit:fit_symmcd",
        "crystaltool.models.symmcd.fit:load_config",
    ),
    "blocks": Row(
        "",
        "crystaltool.models.block_encoder.fit:fit_block_encoder",
        "crystaltool.models.block_encoder.fit:load_config",
    ),
    "mofdiff": Row(
        "crystaltool.verbs.sample_mofdiff:MOFDiffSampler",
        "crystaltool.models.mofdiff.fit:fit_mofdiff",
        "crystaltool.models.mofdiff.fit:load_config",
        embeddings=True,
    ),
}


def load(model: str | PathLike[str], *, device: str = "auto") -> Any:
    """A trained model, ready to sample.

    Args:
        model: a shipped one (`symmcd`, `mofdiff`) or the folder that `crystaltool train` wrote.
        device: where networks run: auto, cpu or cuda:N.

    Returns:
        An object whose `sample(n, seed=..., ...)` gives an iterator, as `crystaltool sample` writes: of `Structure` for
        SymmCD (`SymmCDSampler`), of `MOFSample` for MOFDiff (`MOFDiffSampler`). The same seed gives the same ones.

    Raises:
        CheckpointError: no such checkpoint, a damaged one, or one that does not sample.
    """
    from crystaltool.errors import CheckpointError
    from crystaltool.models.weights import checkpoint_kind, find_checkpoint
    from crystaltool.training.distributed import choose_device

    folder = find_checkpoint(fspath(model))
    kind = checkpoint_kind(folder)
    if kind not in MODELS or not MODELS[kind].load:
        known = ", ".join(name for name, row in MODELS.items() if row.load)
        raise CheckpointError(f"{folder}: a checkpoint of {kind or 'an unknown model'}, expected one of {known}")
    return named(MODELS[kind].load)(folder, str(choose_device(device)))


def named(text: str) -> Any:
    """What `MODULE:NAME` names."""
    module, _, name = text.partition(":")
    return getattr(importlib.import_module(module), name)
