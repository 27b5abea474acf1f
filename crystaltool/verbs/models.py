"""`load`: a trained model, ready to sample; and the table of models that `train` and `sample` know.

To add a model, write its folder (or one file) and give it a row.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike, fspath
from typing import Any


@dataclass(frozen=True)
class Part:
    """A part of a model that is trained by itself, into a folder of its name beside the weights.

    Args:
        fit: makes it: (data, folder, settings, on_progress), with `library` where one is asked for.
        config: reads its settings from a TOML file or None.
        holds: its file that says that it is there, and what to call that.
        library: whether it chooses from a library of blocks.
    """

    fit: str
    config: str
    holds: tuple[str, str]
    library: bool = False


@dataclass(frozen=True)
class Row:
    """What is known of a kind of model; texts are `MODULE:NAME`, loaded when needed.

    Args:
        load: a function of (folder of the checkpoint, device) that gives an object with
            `sample(n, *, seed, **conditions)`, an iterator; empty for a model that does not sample.
        fit: trains it: (data, folder, settings, *, device, resume, init, threads, on_progress), as `fit_symmcd`.
        config: reads settings: (TOML file or None, *, epochs, resumed, init), as of `symmcd.fit`.
        embeddings: whether training reads embeddings of blocks too.
        parts: that are trained by themselves, by name.
    """

    load: str
    fit: str
    config: str
    embeddings: bool = False
    parts: Mapping[str, Part] = field(default_factory=dict)


NETS = Part(
    "crystaltool.models.mofdiff.fit_nets:fit_nets",
    "crystaltool.models.mofdiff.fit_nets:load_config",
    ("nets.h5", "nets"),
    library=True,
)
ORDER = Part(
    "crystaltool.models.block_encoder.fit_order:fit_order",
    "crystaltool.models.block_encoder.fit_order:load_config",
    ("config.json", "an order map"),
)

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
        parts={"order": ORDER},
    ),
    "mofdiff": Row(
        "crystaltool.verbs.sample_mofdiff:MOFDiffSampler",
        "crystaltool.models.mofdiff.fit:fit_mofdiff",
        "crystaltool.models.mofdiff.fit:load_config",
        embeddings=True,
        parts={"nets": NETS},
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
