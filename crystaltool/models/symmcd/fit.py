"""Train SymmCD from an HDF5 data set: data in, run directory out. Needs torch, numpy and h5py alone.

    python -m crystaltool.models.symmcd.fit DATA.h5 -o DIR [--config TOML] [--resume]

is `crystaltool train symmcd` for hosts without the command line's libraries (typer, rich).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Unpack

import numpy as np
import torch
from torch import Tensor

from crystaltool.asymunit import AsymUnitTable
from crystaltool.batch import Batch
from crystaltool.errors import InputError, UsageError
from crystaltool.io.hdf5 import read_asym_units, read_properties
from crystaltool.models.configuration import load_run, read_run
from crystaltool.models.symmcd.checkpoint import load_symmcd
from crystaltool.models.symmcd.known_sites import KNOWN_SITES, KnownSites
from crystaltool.models.symmcd.model import PARTS, STABILITY, SymmCD, SymmCDConfig
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
        known = (*PARTS, STABILITY)
        if not self.parts or set(self.parts) - set(known):
            raise UsageError(f"parts is {list(self.parts)}, expected some of {list(known)}")
        if STABILITY in self.parts and not self.model.stability_width:
            raise UsageError(f"parts holds {STABILITY}, the model has no such network: stability_width is 0")
        if self.epochs < 1 or self.batch_size < 1 or self.validation_samples < 1:
            raise UsageError("epochs, batch_size and validation_samples must be at least 1")


ENERGIES = ("formation_energy_per_atom", "e_above_hull")
"""Columns that the stability network learns from; the second may lack values."""

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


def read_energies(data: Path, n: int) -> np.ndarray:
    """Formation energy and energy above the hull of each crystal, eV/atom, from the columns of these names; (n, 2).

    Raises:
        InputError: the data set has no such columns, or a formation energy is missing.
    """
    columns = read_properties(data)
    missing = [name for name in ENERGIES if name not in columns]
    if missing:
        raise InputError(f"{data}: no column {missing[0]}, which the part {STABILITY} learns from")
    energies = np.stack([columns[name] for name in ENERGIES], axis=1)
    if without := int(np.isnan(energies[:, 0]).sum()):
        raise InputError(f"{data}: {without} of {n} crystals have no {ENERGIES[0]}")
    return energies


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
        self.energies = read_energies(data, len(t)) if STABILITY in config.parts else None
        self.digest = digest((t.group, t.lattice, t.n_orbits, t.numbers, t.positions, t.free_coords))

    def build(self) -> SymmCD:
        model = SymmCD(self.config.model, gather_statistics(self.table))
        for part in (*PARTS, STABILITY):
            network = getattr(model, part)
            if network is not None:
                network.requires_grad_(part in self.config.parts)
        return model

    def load(self, directory: Path) -> SymmCD:
        model, wanted = load_symmcd(directory).model, self.config.model
        judge = {"stability_width": wanted.stability_width, "stability_layers": wanted.stability_layers}
        if model.config == wanted or replace(model.config, **judge) != wanted:
            return model
        if wanted.stability_width and model.config.stability_width:
            return model
        other = SymmCD(wanted)  # the stability network begins anew beside networks that are there, or is left out
        brought = model.state_dict()
        other.load_state_dict({name: brought.get(name, value) for name, value in other.state_dict().items()})
        return other

    def batches(self, epoch: int) -> list[np.ndarray]:
        return epoch_batches(self.sizes, self.config.batch_size, self.config.loop.seed, epoch)

    def loss(
        self, model: SymmCD, rows: np.ndarray, generator: torch.Generator, rng: np.random.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if self.whole is None or self.whole.group.device != model.device:
            self.whole = to_batch(self.table, np.arange(len(self.table)), self.starts).to(model.device)
        chosen = torch.as_tensor(rows, device=model.device)
        batch = self.whole.rows(chosen, int(self.table.n_orbits[rows].max()))
        energies = None if self.energies is None else torch.as_tensor(self.energies[rows]).to(batch.k)
        return model(batch, generator, self.config.parts, energies)

    def validate(self, model: SymmCD) -> dict[str, float]:
        if not set(self.config.parts) & set(PARTS):
            return {}
        from crystaltool.models.symmcd.validation import validate_by_sampling

        return validate_by_sampling(model, self.table, self.config.validation_samples, self.config.loop.seed)


def fit_symmcd(data: Path, directory: Path, config: FitConfig, **options: Unpack[RunOptions]) -> Stop | None:
    """Train on an HDF5 data set of asymmetric units, as `asym-unit` writes it; directory and options as `run_task`.

    Beside the weights stand the templates of the data, for `sample --template train`.
    """
    stop = run_task(partial(SymmCDTask, data, config), directory, **options)
    if set(config.parts) & set(PARTS):  # energies may be of any crystals, also of this model's own
        table = read_asym_units(data)
        replace_file(directory / TEMPLATES, lambda path: write_templates(path, table_templates(table)))
        replace_file(directory / KNOWN_SITES, KnownSites.of_table(table).write)
    elif (init := options.get("init")) is not None:
        for name in (TEMPLATES, KNOWN_SITES):
            if (init / name).is_file():
                replace_file(directory / name, lambda path, name=name: path.write_bytes((init / name).read_bytes()))
    return stop


def main(arguments: list[str]) -> int:
    """Command line of `python -m crystaltool.models.symmcd.fit`; returns the exit code."""
    return command("crystaltool.models.symmcd.fit", __doc__.splitlines()[0], load_config, fit_symmcd, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
