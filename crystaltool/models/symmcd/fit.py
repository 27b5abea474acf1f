"""Train SymmCD from an HDF5 data set: data in, run directory out. Needs torch, numpy and h5py alone.

    python -m crystaltool.models.symmcd.fit DATA.h5 -o DIR [--config TOML] [--resume]

is `crystaltool train symmcd` for hosts without the command line's libraries (typer, rich).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Unpack

import numpy as np
import torch
from torch import Tensor

from crystaltool.asymunit import AsymUnitTable
from crystaltool.batch import Batch
from crystaltool.errors import InputError, UsageError
from crystaltool.io.hdf5 import read_asym_units
from crystaltool.models.configuration import load_run, read_run
from crystaltool.models.symmcd.checkpoint import load_symmcd
from crystaltool.models.symmcd.model import PARTS, SymmCD, SymmCDConfig
from crystaltool.models.symmcd.primitive import primitive_sizes
from crystaltool.models.symmcd.representation import MAX_ORBITS, gather_statistics, to_batch
from crystaltool.models.symmcd.templates import TEMPLATES, table_templates, write_templates
from crystaltool.nn.layers import N_ELEMENTS
from crystaltool.training.checkpoint import replace_file
from crystaltool.training.loop import LoopConfig, Stop
from crystaltool.training.order import epoch_batches, n_batches
from crystaltool.training.run import RunConfig, RunOptions, Task, command, digest, run_task


@dataclass(frozen=True)
class FitConfig(RunConfig):
    """A training run of SymmCD.

    Args:
        parts: which denoisers to train; the others stay as `--init` brings them.
        validation_samples: crystals drawn at each validation.

    Raises:
        UsageError: on no or unknown parts, or a number below 1.
    """

    model: SymmCDConfig
    epochs: int = 300
    batch_size: int = 256
    parts: tuple[str, ...] = PARTS
    validation_samples: int = 1000

    def __post_init__(self) -> None:
        if not self.parts or set(self.parts) - set(PARTS):
            raise UsageError(f"parts is {list(self.parts)}, expected some of {list(PARTS)}")
        if self.epochs < 1 or self.batch_size < 1 or self.validation_samples < 1:
            raise UsageError("epochs, batch_size and validation_samples must be at least 1")


DEFAULT = FitConfig(SymmCDConfig(), LoopConfig(steps=1))
read_config, load_config = partial(read_run, DEFAULT), partial(load_run, DEFAULT)


def check_data(table: AsymUnitTable) -> None:
    """Raise InputError where the data set holds what the model cannot represent."""
    if len(table) == 0:
        raise InputError("data set holds no structure")
    if table.numbers.max() > N_ELEMENTS:
        raise InputError(f"data set holds element {table.numbers.max()}, the model knows 1-{N_ELEMENTS}")
    if table.n_orbits.max() > MAX_ORBITS:
        raise InputError(f"data set holds a structure of {table.n_orbits.max()} orbits, the limit is {MAX_ORBITS}")


class SymmCDTask(Task[FitConfig]):
    """SymmCD on a data set of asymmetric units."""

    kind = "symmcd"

    def __init__(self, data: Path, config: FitConfig) -> None:
        self.data, self.config, self.record = data, config, {}
        self.table = t = read_asym_units(data)
        check_data(t)
        self.starts = np.cumsum(t.n_orbits) - t.n_orbits
        self.whole: Batch | None = None
        self.sizes = primitive_sizes(t) if config.model.geometry_heads else t.n_orbits
        self.n_batches = n_batches(len(t), config.batch_size)
        self.settings = {"batch_size": config.batch_size, "parts": config.parts}
        self.digest = digest((t.group, t.lattice, t.n_orbits, t.numbers, t.positions, t.free_coords))

    def build(self) -> SymmCD:
        model = SymmCD(self.config.model, gather_statistics(self.table))
        for part in PARTS:
            getattr(model, part).requires_grad_(part in self.config.parts)
        return model

    def load(self, directory: Path) -> SymmCD:
        return load_symmcd(directory).model

    def batches(self, epoch: int) -> list[np.ndarray]:
        return epoch_batches(self.sizes, self.config.batch_size, self.config.loop.seed, epoch)

    def loss(
        self, model: SymmCD, rows: np.ndarray, generator: torch.Generator, rng: np.random.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if self.whole is None or self.whole.group.device != model.device:
            self.whole = to_batch(self.table, np.arange(len(self.table)), self.starts).to(model.device)
        chosen = torch.as_tensor(rows, device=model.device)
        return model(self.whole.rows(chosen, int(self.table.n_orbits[rows].max())), generator, self.config.parts)

    def validate(self, model: SymmCD) -> dict[str, float]:
        from crystaltool.models.symmcd.validation import validate_by_sampling

        return validate_by_sampling(model, self.table, self.config.validation_samples, self.config.loop.seed)


def fit_symmcd(data: Path, directory: Path, config: FitConfig, **options: Unpack[RunOptions]) -> Stop | None:
    """Train on an HDF5 data set of asymmetric units, as `asym-unit` writes it; directory and options as `run_task`.

    Beside the weights stand the templates of the data, for `sample --template train`.
    """
    stop = run_task(partial(SymmCDTask, data, config), directory, **options)
    templates = table_templates(read_asym_units(data))
    replace_file(directory / TEMPLATES, lambda path: write_templates(path, templates))
    return stop


def main(arguments: list[str]) -> int:
    """Command line of `python -m crystaltool.models.symmcd.fit`; returns the exit code."""
    return command("crystaltool.models.symmcd.fit", __doc__.splitlines()[0], load_config, fit_symmcd, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
