"""Train the block encoder from an HDF5 file of building blocks. Needs torch, numpy and h5py alone.

    python -m crystaltool.models.block_encoder.fit BLOCKS.h5 -o DIR [--config TOML] [--resume]

is `crystaltool train blocks` for hosts without the command line's libraries (typer, rich).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from crystaltool.errors import CheckpointError, CrystaltoolError, InputError, UsageError
from crystaltool.models.block_encoder.checkpoint import load_block_encoder
from crystaltool.models.block_encoder.data import (
    BlockPoints,
    block_points,
    conformers,
    identity_batches,
    split_blocks,
)
from crystaltool.models.block_encoder.embedding import embed_points
from crystaltool.models.block_encoder.model import BlockEncoder, BlockEncoderConfig
from crystaltool.models.block_encoder.validation import validate_blocks
from crystaltool.models.configuration import fill, parse_tables, read_text
from crystaltool.mof.blocks import MAX_BLOCK_ATOMS, MAX_CONNECTIONS
from crystaltool.mof.table import MOFTable, read_mofs
from crystaltool.nn.layers import N_ELEMENTS
from crystaltool.training.checkpoint import save_model
from crystaltool.training.distributed import choose_device, join_world
from crystaltool.training.loop import LoopConfig, Progress, threads_per_process, train

SMALLEST_SCALE = 1e-3
"""A dimension that never changes is not blown up."""


@dataclass(frozen=True)
class BlockFitConfig:
    """A training run.

    Args:
        model: sizes of the network and weights of the loss.
        loop: how to train; its `steps` is worked out from `epochs`.
        epochs: passes through the identities.
        batch_size: blocks a step, two of each identity, over all processes.
        noise: largest deviation of the displacement of points, Angstrom; each block draws its own from 0 to this.
    """

    model: BlockEncoderConfig
    loop: LoopConfig
    epochs: int = 60
    batch_size: int = 256
    noise: float = 0.1


def load_config(path: Path | None) -> BlockFitConfig:
    """The run that a TOML file describes, the default one without a file.

    Raises:
        UsageError: as `read_config`, or the file is not text.
    """
    return read_config(read_text(path) if path else "")


def read_config(text: str) -> BlockFitConfig:
    """A run from TOML with the tables [model], [loop] and [fit]; what is not given keeps its default.

    Raises:
        UsageError: on a table or key that does not exist or a value of another type or out of range.
    """
    tree = parse_tables(text)
    model = fill(BlockEncoderConfig(), tree.get("model", {}), "model")
    loop = fill(LoopConfig(steps=1), tree.get("loop", {}), "loop")
    config = fill(BlockFitConfig(model, loop), tree.get("fit", {}), "fit")
    if config.epochs < 1 or config.batch_size < 2:
        raise UsageError("[fit] epochs must be at least 1, batch_size at least 2")
    if not 0 <= config.noise < math.inf:
        raise UsageError(f"[fit] noise is {config.noise}, expected at least 0")
    return config


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


def fit_block_encoder(
    data: Path,
    directory: Path,
    config: BlockFitConfig,
    *,
    device: str = "auto",
    resume: bool = False,
    init: Path | None = None,
    threads: int | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> None:
    """Train and leave `model.safetensors`, `config.json`, `state.h5` and `metrics.jsonl` in the directory.

    A tenth of the identities, and a tenth of the further conformers of the others, are held out of training by a hash
    of their names; the figures on them stand in `config.json`. Under torchrun each process contrasts the blocks of its
    own share of a batch with each other.

    Args:
        data: HDF5 file of building blocks, as `fragment` writes it.
        directory: made if it does not exist.
        config: the run.
        device: `auto`, `cpu` or `cuda:N`.
        resume: go on from `state.h5` in the directory.
        init: checkpoint whose weights to start from.
        threads: CPU threads of this process.
        on_progress: called at each log interval.

    Raises:
        InputError, CheckpointError: bad data set; state or checkpoint of another configuration.
    """
    torch.set_num_threads(threads_per_process(threads))
    place = choose_device(device)
    world = join_world(place)
    table = read_mofs(data)
    check_data(table)
    points = block_points(table)
    identity = table.arrays["blocks/identity"].astype(np.int64)
    stands = conformers(points, identity)
    split = split_blocks(table.identity_names, identity, stands)
    if len(split.train) == 0:
        raise InputError("no block is left to train on, all are held out")
    n_identities = config.batch_size // 2
    per_epoch = -(-len(np.unique(identity[split.train])) // n_identities)
    loop = replace(config.loop, steps=config.epochs * per_epoch)
    torch.manual_seed(loop.seed)
    model = BlockEncoder(config.model)
    if init is not None and not resume:
        brought = load_block_encoder(init)
        if brought.model.config != config.model:
            raise CheckpointError(f"{init}: its network has other sizes than the configuration")
        model.load_state_dict(brought.model.state_dict())
    model.mixed_precision = loop.bfloat16
    model.to(place)
    directory.mkdir(parents=True, exist_ok=True)
    order: dict[int, list[np.ndarray]] = {}

    def loss(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        epoch, place_in_epoch = divmod(step, per_epoch)
        if epoch not in order:
            order.clear()
            order[epoch] = identity_batches(split.train, identity, points, n_identities, loop.seed, epoch)
        whole = order[epoch][place_in_epoch]
        pairs = world.share(whole)
        rows = (pairs if len(pairs) else whole[:1]).reshape(-1)
        rng = np.random.default_rng([loop.seed, step, world.rank])
        batch = points.batch(rows, rng.uniform(0.0, config.noise, len(rows)), rng).to(place, model.dtype)
        value, extra = model.loss(batch, torch.from_numpy(identity[rows]).to(place))
        return value * world.weight(len(pairs), len(whole)), extra

    record = {
        "model": "blocks",
        "config": json.loads(json.dumps(asdict(replace(config, loop=loop)))),
        "data": data.name,
        "trained_on": {
            "blocks": len(points),
            "conformers": len(split.train),
            "identities": len(np.unique(identity[split.train])),
        },
    }

    def averaged(values: dict[str, Tensor]) -> BlockEncoder:
        """The averaged weights in float64, whitened."""
        copy = BlockEncoder(config.model)
        copy.load_state_dict({**model.state_dict(), **values})
        copy.to(place, torch.float64).eval()
        whiten(copy, points, split.train, occurrences(table, stands)[split.train])
        return copy

    def save(values: dict[str, Tensor], extra: dict[str, Any]) -> None:
        best = averaged(values)
        measured = {} if "validation" in extra else {"validation": validate_blocks(best, points, identity, split)}
        tensors = {name: value.float() for name, value in best.state_dict().items()}
        save_model(directory, {**record, **extra, **measured}, tensors)

    def validate(values: dict[str, Tensor]) -> dict[str, float]:
        return validate_blocks(averaged(values), points, identity, split)

    started = time.monotonic()
    try:
        values = train(
            model,
            loss,
            loop,
            directory,
            world,
            resume=resume,
            belongs_to={
                "model": asdict(config.model),
                "fit": {"batch_size": config.batch_size, "noise": config.noise},
                "data": _digest(table),
            },
            validate=validate if loop.validate_every else None,
            on_best=save,
            on_progress=on_progress,
        )
        if world.first and not loop.validate_every:
            save(
                values, {"seconds": round(time.monotonic() - started, 1), "device": place.type, "processes": world.size}
            )
    finally:
        world.close()


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


def _digest(table: MOFTable) -> str:
    """Which blocks these are, whatever their file is called."""
    digest = hashlib.sha256("\n".join(table.identity_names).encode())
    for name, array in sorted(table.arrays.items()):
        if name.startswith("blocks/"):
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def main(arguments: list[str]) -> int:
    """Command line of `python -m crystaltool.models.block_encoder.fit`; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m crystaltool.models.block_encoder.fit", description=__doc__.splitlines()[0]
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--output-dir", type=Path, required=True)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--init", type=Path)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--resume", action="store_true")
    options = parser.parse_args(arguments)

    def show(progress: Progress) -> None:
        numbers = " ".join(f"{name} {value:.4f}" for name, value in progress.metrics.items())
        sys.stderr.write(f"{progress.step}/{progress.steps} {progress.steps_per_second:.2f}/s {numbers}\n")

    try:
        config = load_config(options.config)
        fit_block_encoder(
            options.data,
            options.output_dir,
            config,
            device=options.device,
            resume=options.resume,
            init=options.init,
            threads=options.threads,
            on_progress=show,
        )
    except (CrystaltoolError, OSError) as error:
        sys.stderr.write(f"crystaltool train: ERROR, {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
