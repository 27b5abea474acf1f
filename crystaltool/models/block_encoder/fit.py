"""Train the block encoder from an HDF5 file of building blocks. Needs torch, numpy and h5py alone.

    python -m crystaltool.models.block_encoder.fit BLOCKS.h5 -o DIR [--config TOML] [--resume]

is `crystaltool train blocks` for hosts without the command line's libraries (typer, rich).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch
from torch import Tensor

from crystaltool.errors import InputError, UsageError
from crystaltool.models.block_encoder.checkpoint import KIND, load_block_encoder
from crystaltool.models.block_encoder.data import (
    BlockPoints,
    block_points,
    conformers,
    identity_batches,
    split_blocks,
)
from crystaltool.models.block_encoder.embedding import embed_points
from crystaltool.models.block_encoder.model import BlockEncoder, BlockEncoderConfig
from crystaltool.models.block_encoder.neighbours import tanimoto
from crystaltool.models.block_encoder.validation import validate_blocks
from crystaltool.models.configuration import load_run, read_run
from crystaltool.mof.blocks import MAX_BLOCK_ATOMS, MAX_CONNECTIONS
from crystaltool.mof.table import MOFTable, read_mofs
from crystaltool.nn.layers import N_ELEMENTS
from crystaltool.ranges import require_least
from crystaltool.training.loop import LoopConfig, Stop
from crystaltool.training.run import RunConfig, RunOptions, Task, command, digest, run_task

SMALLEST_SCALE = 1e-3
"""A dimension that never changes is not blown up."""


@dataclass(frozen=True)
class BlockFitConfig(RunConfig):
    """A training run of the block encoder; an epoch is a pass through the identities, a step two blocks of each.

    Args:
        noise: largest deviation of the displacement of points, Angstrom; each block draws its own from 0 to this.

    Raises:
        UsageError: on a number out of range.
    """

    model: BlockEncoderConfig
    epochs: int = 60
    batch_size: int = 256
    noise: float = 0.1

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 2:
            raise UsageError("epochs must be at least 1, batch_size at least 2")
        require_least(self, 0, "noise")


DEFAULT = BlockFitConfig(BlockEncoderConfig(), LoopConfig(steps=1))
read_config, load_config = partial(read_run, DEFAULT), partial(load_run, DEFAULT)


def check_data(table: MOFTable, labelled: bool = True) -> None:
    """Raise InputError where the file holds what the model cannot represent.

    Args:
        table: blocks.
        labelled: whether each must have an identity.
    """
    a = table.arrays
    if table.n_blocks == 0:
        raise InputError("file holds no block")
    if labelled and (a["blocks/identity"] < 0).any():
        raise InputError(f"block {int(np.argmax(a['blocks/identity'] < 0))} has no identity to learn from")
    for key, limit in (("n_atoms", MAX_BLOCK_ATOMS), ("n_connections", MAX_CONNECTIONS), ("numbers", N_ELEMENTS)):
        if a[f"blocks/{key}"].max() > limit:
            raise InputError(f"file holds a block with {key} {a[f'blocks/{key}'].max()}, the limit is {limit}")


class BlockTask(Task[BlockFitConfig]):
    """The block encoder on building blocks.

    A tenth of the identities, and a tenth of the further conformers of the others, are held out of training by a hash
    of their names; the figures on them stand in `config.json`. Each process contrasts the blocks of its own share of a
    batch with each other.
    """

    kind = KIND

    def __init__(self, data: Path, config: BlockFitConfig) -> None:
        self.data, self.config = data, config
        self.table = table = read_mofs(data)
        check_data(table)
        self.points = block_points(table)
        self.identity = table.arrays["blocks/identity"].astype(np.int64)
        self.stands = conformers(self.points, self.identity)
        self.split = split_blocks(table.identity_names, self.identity, self.stands)
        train = self.split.train
        if len(train) == 0:
            raise InputError("no block is left to train on, all are held out")
        n_identities = len(np.unique(self.identity[train]))
        self.n_batches = -(-n_identities // (config.batch_size // 2))
        self.settings = {"batch_size": config.batch_size, "noise": config.noise}
        seen = ("blocks/", "identities/ecfp4") if config.model.order_weight > 0 else ("blocks/",)
        blocks = (array for name, array in sorted(table.arrays.items()) if name.startswith(seen))
        self.digest = digest(blocks, table.identity_names)
        trained_on = {"blocks": len(self.points), "conformers": len(train), "identities": n_identities}
        self.record = {"trained_on": trained_on}

    def build(self) -> BlockEncoder:
        return BlockEncoder(self.config.model)

    def load(self, directory: Path) -> BlockEncoder:
        return load_block_encoder(directory).model

    def batches(self, epoch: int) -> list[np.ndarray]:
        size, seed = self.config.batch_size // 2, self.config.loop.seed
        return identity_batches(self.split.train, self.identity, self.points, size, seed, epoch)

    def loss(
        self, model: BlockEncoder, rows: np.ndarray, generator: torch.Generator, rng: np.random.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        rows = rows.reshape(-1)  # pairs of one identity
        batch = self.points.batch(rows, rng.uniform(0.0, self.config.noise, len(rows)), rng)
        similarity = None
        if self.config.model.order_weight > 0:
            bits = self.table.arrays["identities/ecfp4"][self.identity[rows]]
            similarity = torch.from_numpy(tanimoto(bits, bits)).to(model.device)
        identity = torch.from_numpy(self.identity[rows]).to(model.device)
        return model.loss(batch.to(model.device, model.dtype), identity, similarity)

    def complete(self, model: BlockEncoder) -> BlockEncoder:
        """In float64, whitened."""
        train = self.split.train
        whiten(model.to(torch.float64), self.points, train, occurrences(self.table, self.stands)[train])
        return model

    def validate(self, model: BlockEncoder) -> dict[str, float]:
        return validate_blocks(model, self.points, self.identity, self.split)

    def measure(self, model: BlockEncoder) -> dict[str, Any]:
        return {"validation": self.validate(model)}


def fit_block_encoder(
    data: Path, directory: Path, config: BlockFitConfig, **options: Unpack[RunOptions]
) -> Stop | None:
    """Train on an HDF5 file of building blocks, as `fragment` writes it; directory and options as `run_task`."""
    return run_task(partial(BlockTask, data, config), directory, **options)


def occurrences(table: MOFTable, stands: np.ndarray) -> np.ndarray:
    """How often each block, or one that it stands for, has a place in a MOF of the table; shape (n_blocks,).

    Of a table without MOFs, how many blocks it stands for.
    """
    places = table.arrays["places/block"]
    return np.bincount(stands[places] if len(places) else stands, minlength=len(stands))


def whiten(model: BlockEncoder, points: BlockPoints, rows: np.ndarray, weights: np.ndarray) -> None:
    """Set mean and deviation of each dimension from the raw embeddings of some blocks, each with its weight."""
    raw = torch.from_numpy(embed_points(model, points, rows, raw=True)).to(model.embedding_mean)
    share = torch.from_numpy(weights / weights.sum()).to(raw)[:, None]
    mean = (share * raw).sum(0)
    model.embedding_mean.copy_(mean)
    model.embedding_scale.copy_((share * (raw - mean).square()).sum(0).sqrt().clamp(min=SMALLEST_SCALE))


def main(arguments: list[str]) -> int:
    """Command line of `python -m crystaltool.models.block_encoder.fit`; returns the exit code."""
    module, description = "crystaltool.models.block_encoder.fit", __doc__.splitlines()[0]
    return command(module, description, load_config, fit_block_encoder, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
