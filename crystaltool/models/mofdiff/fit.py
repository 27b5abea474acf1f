"""Train MOFDiff from posed MOFs and the embeddings of their blocks. Needs torch, numpy and h5py alone.

    python -m crystaltool.models.mofdiff.fit BLOCKS.h5 --embeddings EMB.h5 -o DIR [--config TOML] [--resume]

is `crystaltool train mofdiff` for hosts without the command line's libraries (typer, rich).
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Unpack

import numpy as np
import torch
from torch import Tensor

from crystaltool.errors import InputError, UsageError
from crystaltool.models.block_encoder.embedding_file import read_embeddings
from crystaltool.models.configuration import load_run, read_run
from crystaltool.models.mofdiff.checkpoint import KIND, load_mofdiff
from crystaltool.models.mofdiff.config import MOFDiffConfig
from crystaltool.models.mofdiff.fit_properties import PropertyPart, labelled_rows
from crystaltool.models.mofdiff.model import MOFDiff
from crystaltool.models.mofdiff.representation import CoarseData, prepare, to_batch
from crystaltool.mof.table import MOFTable, read_mofs
from crystaltool.training.loop import LoopConfig, Stop
from crystaltool.training.order import epoch_batches, n_batches
from crystaltool.training.run import RunConfig, RunOptions, Task, command, digest, run_task

SPLIT, TRAIN, VALIDATION = "split", 0, 1
"""A property of the MOFs: 0 is trained on, 1 is for validation, anything else is left alone; without it all train."""


@dataclass(frozen=True)
class MOFDiffFitConfig(RunConfig):
    """A training run of MOFDiff.

    Args:
        favour: a property; where it is 1 a MOF comes `favour_times` in an epoch. Empty: all MOFs alike.
        favour_times: see `favour`.
        property_epochs: passes through the labelled MOFs before, in which the encoder of properties is trained; 0
            leaves it as it is. property_learning_rate: its peak there.

    Raises:
        UsageError: on a number outside its range.
    """

    model: MOFDiffConfig
    epochs: int = 150
    batch_size: int = 128
    favour: str = ""
    favour_times: int = 2
    property_epochs: int = 110
    property_learning_rate: float = 2e-3

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1 or self.favour_times < 1:
            raise UsageError("epochs, batch_size and favour_times must be at least 1")
        if self.property_epochs < 0 or not 0 < self.property_learning_rate < math.inf:
            raise UsageError("property_epochs must be at least 0, property_learning_rate a positive number")


DEFAULT = MOFDiffFitConfig(MOFDiffConfig(), LoopConfig(steps=1))
read_config, load_config = partial(read_run, DEFAULT), partial(load_run, DEFAULT)


def split_rows(table: MOFTable, favour: str, times: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of an epoch, favoured ones repeated, and rows for validation.

    Raises:
        InputError: no MOF is left to train on.
    """
    split = table.properties.get(SPLIT, np.zeros(len(table)))
    rows = np.flatnonzero(split == TRAIN)
    if len(rows) == 0:
        raise InputError(f"no MOF to train on: the property {SPLIT!r} is {TRAIN} nowhere")
    if favour:
        if favour not in table.properties:
            raise InputError(f"the data set has no property {favour!r} to favour")
        chosen = rows[table.properties[favour][rows] == 1]
        rows = np.concatenate([rows, np.tile(chosen, times - 1)])
    return rows, np.flatnonzero(split == VALIDATION)


class MOFDiffTask(Task[MOFDiffFitConfig]):
    """MOFDiff on posed MOFs and the embeddings of their blocks."""

    kind = KIND
    keeps_best = False

    def __init__(self, data: Path, embeddings: Path, config: MOFDiffFitConfig) -> None:
        self.data, self.config = data, config
        table = read_mofs(data)
        embedded = read_embeddings(embeddings)
        self.mofs = mofs = prepare(table, embedded.of(table, str(embeddings)), config.model.properties)
        if mofs.embeddings.shape[1] != config.model.n_embedding:
            raise InputError(
                f"{embeddings}: {mofs.embeddings.shape[1]} dimensions, the model has {config.model.n_embedding}"
            )
        self.pool, self.held_out = split_rows(table, config.favour, config.favour_times)
        self.validates = len(self.held_out) > 0
        self.starts = np.cumsum(mofs.n_places) - mofs.n_places
        self.n_batches = n_batches(len(self.pool), config.batch_size)
        self.settings = {"batch_size": config.batch_size, "favour": config.favour, "times": config.favour_times}
        self.settings |= {"property_epochs": config.property_epochs, "property_rate": config.property_learning_rate}
        seen = mofs.k, mofs.n_places, mofs.descriptors, mofs.properties, mofs.centres, mofs.embeddings
        self.digest = digest((*seen, self.pool))
        trained_on = {"mofs": len(np.unique(self.pool)), "rows_an_epoch": len(self.pool)}
        self.record = {"encoder_sha256": embedded.weights_sha256, "trained_on": trained_on}

        labelled = labelled_rows(mofs, np.unique(self.pool))
        if config.property_epochs and len(labelled):
            rate = config.property_learning_rate
            self.first = PropertyPart(mofs, labelled, config.loop, config.property_epochs, rate, config.batch_size)

    def build(self) -> MOFDiff:
        model = MOFDiff(self.config.model, select(self.mofs, np.unique(self.pool)))
        model.property_encoder.requires_grad_(self.first is not None)
        return model

    def load(self, directory: Path) -> MOFDiff:
        return load_mofdiff(directory).model

    def batches(self, epoch: int) -> list[np.ndarray]:
        sizes = self.mofs.n_places[self.pool]
        order = epoch_batches(sizes, self.config.batch_size, self.config.loop.seed, epoch)
        return [self.pool[rows] for rows in order]

    def loss(
        self, model: MOFDiff, rows: np.ndarray, generator: torch.Generator, rng: np.random.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        return model(to_batch(self.mofs, rows, self.starts).to(model.device), generator)

    def validate(self, model: MOFDiff) -> dict[str, float]:
        return validation_loss(model, self.mofs, self.held_out, self.starts, self.config.batch_size)


def fit_mofdiff(
    data: Path, directory: Path, config: MOFDiffFitConfig, *, embeddings: Path, **options: Unpack[RunOptions]
) -> Stop | None:
    """Train on posed MOFs, as `fragment` writes them, and the embeddings of their blocks, as `embed` does.

    Directory and options as `run_task`; `properties/` there holds state and metrics of the encoder of properties.
    """
    return run_task(partial(MOFDiffTask, data, embeddings, config), directory, **options)


def select(data: CoarseData, rows: np.ndarray) -> CoarseData:
    """Some MOFs of a data set; only what stands in one row a MOF is cut, places stay."""
    chosen = {name: getattr(data, name)[rows] for name in ("k", "n_places", "descriptors", "properties")}
    return replace(data, **chosen)


@torch.no_grad()
def validation_loss(
    model: MOFDiff, data: CoarseData, rows: np.ndarray, starts: np.ndarray, batch_size: int
) -> dict[str, float]:
    """Losses on held-out MOFs with fixed noise; `score` is the negative loss."""
    order = rows[np.argsort(data.n_places[rows], kind="stable")]
    device = model.device
    sums: dict[str, float] = {}
    for start in range(0, len(order), batch_size):
        part = order[start : start + batch_size]
        value, extra = model(to_batch(data, part, starts).to(device), torch.Generator(device).manual_seed(start))
        for name, number in {"loss": value, **extra}.items():
            sums[name] = sums.get(name, 0.0) + float(number) * len(part) / len(order)
    return {"score": -sums["loss"], **sums}


def main(arguments: list[str]) -> int:
    """Command line of `python -m crystaltool.models.mofdiff.fit`; returns the exit code."""
    module, description = "crystaltool.models.mofdiff.fit", __doc__.splitlines()[0]
    return command(module, description, load_config, fit_mofdiff, arguments, inputs=("embeddings",))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
