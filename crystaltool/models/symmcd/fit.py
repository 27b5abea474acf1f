"""Train SymmCD from an HDF5 data set: data in, run directory out. Needs torch, numpy and h5py alone.

    python -m crystaltool.models.symmcd.fit DATA.h5 -o DIR [--config TOML] [--resume]

is `crystaltool train symmcd` for hosts without the command line's libraries (typer, rich).
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

from crystaltool.asymunit import AsymUnitTable
from crystaltool.errors import CheckpointError, CrystaltoolError, InputError, UsageError
from crystaltool.io.hdf5 import read_asym_units
from crystaltool.models.configuration import fill, parse_tables, read_text
from crystaltool.models.symmcd.checkpoint import load_symmcd
from crystaltool.models.symmcd.model import PARTS, SymmCD, SymmCDConfig
from crystaltool.models.symmcd.representation import MAX_ORBITS, gather_statistics, to_batch
from crystaltool.nn.layers import N_ELEMENTS
from crystaltool.training.checkpoint import save_model
from crystaltool.training.distributed import choose_device, join_world
from crystaltool.training.loop import LoopConfig, Progress, threads_per_process, train
from crystaltool.training.order import epoch_batches, n_batches


@dataclass(frozen=True)
class FitConfig:
    """A training run.

    Args:
        model: sizes of the networks.
        loop: how to train; its `steps` is worked out from `epochs`.
        epochs: passes through the data.
        batch_size: crystals a step, over all processes.
        parts: which denoisers to train; the others stay as `--init` brings them.
        validation_samples: crystals drawn at each validation.
    """

    model: SymmCDConfig
    loop: LoopConfig
    epochs: int = 300
    batch_size: int = 256
    parts: tuple[str, ...] = PARTS
    validation_samples: int = 1000


def load_config(path: Path | None) -> FitConfig:
    """The run that a TOML file describes, the default one without a file.

    Raises:
        UsageError: as `read_config`, or the file is not text.
    """
    return read_config(read_text(path) if path else "")


def read_config(text: str) -> FitConfig:
    """A run from TOML with the tables [model], [loop] and [fit]; what is not given keeps its default.

    Raises:
        UsageError: on a table or key that does not exist or a value of another type.
    """
    tree = parse_tables(text)
    model = fill(SymmCDConfig(), tree.get("model", {}), "model")
    loop = fill(LoopConfig(steps=1), tree.get("loop", {}), "loop")
    config = fill(FitConfig(model, loop), tree.get("fit", {}), "fit")
    if not config.parts or set(config.parts) - set(PARTS):
        raise UsageError(f"[fit] parts is {list(config.parts)}, expected some of {list(PARTS)}")
    if config.epochs < 1 or config.batch_size < 1 or config.validation_samples < 1:
        raise UsageError("[fit] epochs, batch_size and validation_samples must be at least 1")
    return config


def check_data(table: AsymUnitTable) -> None:
    """Raise InputError where the data set holds what the model cannot represent."""
    if len(table) == 0:
        raise InputError("data set holds no structure")
    if table.numbers.max() > N_ELEMENTS:
        raise InputError(f"data set holds element {table.numbers.max()}, the model knows 1-{N_ELEMENTS}")
    if table.n_orbits.max() > MAX_ORBITS:
        raise InputError(f"data set holds a structure of {table.n_orbits.max()} orbits, the limit is {MAX_ORBITS}")


def fit_symmcd(
    data: Path,
    directory: Path,
    config: FitConfig,
    *,
    device: str = "auto",
    resume: bool = False,
    init: Path | None = None,
    threads: int | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> None:
    """Train and leave `model.safetensors`, `config.json`, `state.h5` and `metrics.jsonl` in the directory.

    Args:
        data: HDF5 data set of asymmetric units, as `asym-unit` writes it.
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
    table = read_asym_units(data)
    check_data(table)
    total = config.epochs * n_batches(len(table), config.batch_size)
    loop = replace(config.loop, steps=total)
    torch.manual_seed(loop.seed)
    model = SymmCD(config.model, gather_statistics(table))
    if init is not None and not resume:
        brought = load_symmcd(init)
        if brought.model.config != config.model:
            raise CheckpointError(f"{init}: its networks have other sizes than the configuration")
        model.load_state_dict(brought.model.state_dict())
    for part in PARTS:
        getattr(model, part).requires_grad_(part in config.parts)
    model.mixed_precision = loop.bfloat16
    model.to(place)
    directory.mkdir(parents=True, exist_ok=True)
    starts = np.cumsum(table.n_orbits) - table.n_orbits
    per_epoch = n_batches(len(table), config.batch_size)
    order: dict[int, list[np.ndarray]] = {}

    def loss(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        epoch, place_in_epoch = divmod(step, per_epoch)
        if epoch not in order:
            order.clear()
            order[epoch] = epoch_batches(table.n_orbits, config.batch_size, loop.seed, epoch)
        whole = order[epoch][place_in_epoch]
        rows = world.share(whole)
        batch = to_batch(table, rows if len(rows) else whole[:1], starts).to(place)
        value, extra = model(batch, generator, config.parts)
        return value * world.weight(len(rows), len(whole)), extra

    record = {
        "model": "symmcd",
        "config": json.loads(json.dumps(asdict(replace(config, loop=loop)))),
        "data": data.name,
    }

    def save(values: dict[str, Tensor], extra: dict[str, Any]) -> None:
        tensors = {**model.state_dict(), **values}
        save_model(directory, {**record, **extra}, tensors)

    def validate(values: dict[str, Tensor]) -> dict[str, float]:
        from crystaltool.models.symmcd.validation import validate_by_sampling

        averaged = SymmCD(config.model)
        averaged.load_state_dict({**model.state_dict(), **values})
        return validate_by_sampling(averaged.to(place), table, config.validation_samples, loop.seed)

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
                "fit": {"batch_size": config.batch_size, "parts": config.parts},
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


def _digest(table: AsymUnitTable) -> str:
    """Which data set this is, whatever its file is called."""
    digest = hashlib.sha256()
    for array in (table.group, table.lattice, table.n_orbits, table.numbers, table.positions, table.free_coords):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def main(arguments: list[str]) -> int:
    """Command line of `python -m crystaltool.models.symmcd.fit`; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m crystaltool.models.symmcd.fit", description=__doc__.splitlines()[0]
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
        fit_symmcd(
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
