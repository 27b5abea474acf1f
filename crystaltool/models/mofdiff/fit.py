"""Train MOFDiff from posed MOFs and the embeddings of their blocks. Needs torch, numpy and h5py alone.

    python -m crystaltool.models.mofdiff.fit BLOCKS.h5 --embeddings EMB.h5 -o DIR [--config TOML] [--resume]

is `crystaltool train mofdiff` for hosts without the command line's libraries (typer, rich).
"""

from __future__ import annotations

import argparse
import hashlib
import json
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
from crystaltool.models.block_encoder.embedding_file import read_embeddings
from crystaltool.models.configuration import fill, parse_tables, read_text
from crystaltool.models.mofdiff.checkpoint import KIND, load_mofdiff
from crystaltool.models.mofdiff.config import MOFDiffConfig
from crystaltool.models.mofdiff.model import MOFDiff
from crystaltool.models.mofdiff.representation import CoarseData, prepare, to_batch
from crystaltool.mof.table import MOFTable, read_mofs
from crystaltool.training.checkpoint import save_model
from crystaltool.training.distributed import choose_device, join_world
from crystaltool.training.loop import LoopConfig, Progress, threads_per_process, train
from crystaltool.training.order import epoch_batches, n_batches

SPLIT, TRAIN, VALIDATION = "split", 0, 1
"""A property of the MOFs: 0 is trained on, 1 is for validation, anything else is left alone; without it all train."""


@dataclass(frozen=True)
class MOFDiffFitConfig:
    """A training run.

    Args:
        model: sizes of the networks.
        loop: how to train; its `steps` is worked out from `epochs`.
        epochs: passes through the data.
        batch_size: MOFs a step, over all processes.
        favour: a property; where it is 1 a MOF comes `favour_times` in an epoch. Empty: all MOFs alike.
        favour_times: see `favour`.
    """

    model: MOFDiffConfig
    loop: LoopConfig
    epochs: int = 150
    batch_size: int = 128
    favour: str = ""
    favour_times: int = 2


def load_config(path: Path | None) -> MOFDiffFitConfig:
    """The run that a TOML file describes, the default one without a file.

    Raises:
        UsageError: as `read_config`, or the file is not text.
    """
    return read_config(read_text(path) if path else "")


def read_config(text: str) -> MOFDiffFitConfig:
    """A run from TOML with the tables [model], [loop] and [fit]; what is not given keeps its default.

    Raises:
        UsageError: on a table or key that does not exist or a value of another type.
    """
    tree = parse_tables(text)
    model = fill(MOFDiffConfig(), tree.get("model", {}), "model")
    loop = fill(LoopConfig(steps=1), tree.get("loop", {}), "loop")
    config = fill(MOFDiffFitConfig(model, loop), tree.get("fit", {}), "fit")
    if config.epochs < 1 or config.batch_size < 1 or config.favour_times < 1:
        raise UsageError("[fit] epochs, batch_size and favour_times must be at least 1")
    return config


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


def fit_mofdiff(
    data: Path,
    directory: Path,
    config: MOFDiffFitConfig,
    *,
    embeddings: Path,
    device: str = "auto",
    resume: bool = False,
    init: Path | None = None,
    threads: int | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> None:
    """Train and leave `model.safetensors`, `config.json`, `state.h5` and `metrics.jsonl` in the directory.

    Args:
        data: HDF5 file of posed MOFs, as `fragment` writes it.
        directory: made if it does not exist.
        config: the run.
        embeddings: of the blocks of `data`, as `embed` writes them.
        device: `auto`, `cpu` or `cuda:N`.
        resume: go on from `state.h5` in the directory.
        init: checkpoint whose weights to start from.
        threads: CPU threads of this process.
        on_progress: called at each log interval.

    Raises:
        InputError, CheckpointError: bad data set; embeddings of other blocks; state or checkpoint of another kind.
    """
    torch.set_num_threads(threads_per_process(threads))
    place = choose_device(device)
    world = join_world(place)
    table = read_mofs(data)
    embedded = read_embeddings(embeddings)
    prepared = prepare(table, embedded.of(table, str(embeddings)), config.model.properties)
    if prepared.embeddings.shape[1] != config.model.n_embedding:
        raise InputError(
            f"{embeddings}: {prepared.embeddings.shape[1]} dimensions, the model has {config.model.n_embedding}"
        )
    pool, held_out = split_rows(table, config.favour, config.favour_times)
    per_epoch = n_batches(len(pool), config.batch_size)
    loop = replace(config.loop, steps=config.epochs * per_epoch)
    torch.manual_seed(loop.seed)
    model = MOFDiff(config.model, select(prepared, np.unique(pool)))
    if init is not None and not resume:
        brought = load_mofdiff(init)
        if brought.model.config != config.model:
            raise CheckpointError(f"{init}: its networks have other sizes than the configuration")
        model.load_state_dict(brought.model.state_dict())
    model.mixed_precision = loop.bfloat16
    model.to(place)
    directory.mkdir(parents=True, exist_ok=True)
    starts = np.cumsum(prepared.n_places) - prepared.n_places
    order: dict[int, list[np.ndarray]] = {}

    def loss(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        epoch, place_in_epoch = divmod(step, per_epoch)
        if epoch not in order:
            order.clear()
            order[epoch] = epoch_batches(prepared.n_places[pool], config.batch_size, loop.seed, epoch)
        whole = pool[order[epoch][place_in_epoch]]
        rows = world.share(whole)
        batch = to_batch(prepared, rows if len(rows) else whole[:1], starts).to(place)
        value, extra = model(batch, generator)
        return value * world.weight(len(rows), len(whole)), extra

    record = {
        "model": KIND,
        "config": json.loads(json.dumps(asdict(replace(config, loop=loop)))),
        "data": data.name,
        "encoder_sha256": embedded.weights_sha256,
        "trained_on": {"mofs": len(np.unique(pool)), "rows_an_epoch": len(pool)},
    }

    def save(values: dict[str, Tensor], extra: dict[str, Any]) -> None:
        save_model(directory, {**record, **extra}, {**model.state_dict(), **values})

    def validate(values: dict[str, Tensor]) -> dict[str, float]:
        averaged = MOFDiff(config.model)
        averaged.load_state_dict({**model.state_dict(), **values})
        return validation_loss(averaged.to(place).eval(), prepared, held_out, starts, config.batch_size)

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
                "fit": {"batch_size": config.batch_size, "favour": config.favour, "times": config.favour_times},
                "data": _digest(prepared),
            },
            validate=validate if loop.validate_every and len(held_out) else None,
            on_best=None,
            on_progress=on_progress,
        )
        if world.first:
            save(
                values, {"seconds": round(time.monotonic() - started, 1), "device": place.type, "processes": world.size}
            )
    finally:
        world.close()


def select(data: CoarseData, rows: np.ndarray) -> CoarseData:
    """Some MOFs of a data set; only what stands in one row a MOF is cut, places stay."""
    chosen = {name: getattr(data, name)[rows] for name in ("k", "n_places", "descriptors", "properties")}
    return replace(data, **chosen)


@torch.no_grad()
def validation_loss(
    model: MOFDiff, data: CoarseData, rows: np.ndarray, starts: np.ndarray, batch_size: int
) -> dict[str, float]:
    """Losses on held-out MOFs with fixed noise; `score` is their negative sum without the KL term's share."""
    order = rows[np.argsort(data.n_places[rows], kind="stable")]
    device = model.device
    sums: dict[str, float] = {}
    for start in range(0, len(order), batch_size):
        part = order[start : start + batch_size]
        value, extra = model(to_batch(data, part, starts).to(device), torch.Generator(device).manual_seed(start))
        for name, number in {"loss": value, **extra}.items():
            sums[name] = sums.get(name, 0.0) + float(number) * len(part) / len(order)
    return {"score": -sums["loss"], **sums}


def _digest(data: CoarseData) -> str:
    """Which data set this is, whatever its file is called."""
    digest = hashlib.sha256()
    for name in ("k", "n_places", "properties", "centres", "embeddings"):
        digest.update(np.ascontiguousarray(getattr(data, name)).tobytes())
    return digest.hexdigest()[:16]


def main(arguments: list[str]) -> int:
    """Command line of `python -m crystaltool.models.mofdiff.fit`; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m crystaltool.models.mofdiff.fit", description=__doc__.splitlines()[0]
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--embeddings", type=Path, required=True)
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
        fit_mofdiff(
            options.data,
            options.output_dir,
            load_config(options.config),
            embeddings=options.embeddings,
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
