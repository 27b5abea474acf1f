"""Small data sets and networks that tests of models, training and commands share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import nn

from crystaltool.asymunit import AsymUnit, AsymUnitTable, reduce, tabulate
from crystaltool.batch import Batch
from crystaltool.io.hdf5 import write_asym_units
from crystaltool.models.symmcd.fit import FitConfig, fit_symmcd
from crystaltool.models.symmcd.model import SymmCD, SymmCDConfig
from crystaltool.models.symmcd.representation import gather_statistics, to_batch
from crystaltool.symmetry import space_group
from crystaltool.training.loop import LoopConfig
from tests.symmetry.random_crystals import random_lattices
from tests.textbook import TEXTBOOK

SIZES = SymmCDConfig(
    site_width=16, site_layers=2, site_heads=2, geometry_width=16, pair_width=8, geometry_layers=2, n_functions=8
)
"""A network that computes everything the shipped one does, in a hundredth of the time."""

ATOM_SIZES = replace(SIZES, geometry_heads=2, cutoff=4.0)
"""The same with the geometry on single atoms."""

TOML = """
[model]
site_width = 16
site_layers = 2
site_heads = 2
geometry_width = 16
pair_width = 8
geometry_layers = 2
n_functions = 8
"""
"""`SIZES` as a configuration file has them."""

ONE_OF_EACH_SYSTEM = (2, 14, 62, 136, 167, 186, 225)


@cache
def textbook_table() -> AsymUnitTable:
    """The textbook crystals, all seven crystal systems, one to sixteen orbits."""
    return tabulate([reduce(entry.crystal(), 0.01) for entry in TEXTBOOK])


@cache
def small_table() -> AsymUnitTable:
    """The textbook crystals of at most three orbits: batches of them cost little."""
    return tabulate([unit for unit in textbook_table() if len(unit.numbers) <= 3])


def write_table(path: Path, table: AsymUnitTable, copies: int = 1) -> Path:
    """A data set of that table, each crystal `copies` times."""
    write_asym_units(path, tabulate(list(table) * copies))
    return path


def random_unit(group: int, positions: list[int], rng: np.random.Generator, name: str = "") -> AsymUnit:
    """Random elements and free coordinates on given Wyckoff positions, a random cell of about 8 A."""
    freedom = np.array([space_group(group).positions[index].degrees_of_freedom for index in positions])
    free = np.where(np.arange(3) < freedom[:, None], rng.uniform(0.05, 0.95, (len(positions), 3)), 0.0)
    numbers = rng.integers(1, 95, len(positions))
    return AsymUnit(group, random_lattices(np.array([group]), rng)[0], numbers, np.array(positions), free, name)


def random_units(rng: np.random.Generator) -> list[AsymUnit]:
    """Crystals of all seven systems with one to four orbits, on points, lines and planes and in general position."""
    units = []
    for i, group in enumerate(ONE_OF_EACH_SYSTEM):
        last = len(space_group(group).positions) - 1
        few = space_group(group).positions[last].multiplicity <= 24
        special = [0] if space_group(group).positions[0].degrees_of_freedom == 0 else []
        some = [last // 2, last if few else last // 3, last - 1 if last > 2 else last][: 1 + i % 3]
        units.append(random_unit(group, special + some, rng, f"random-{group}"))
    return units


def batch_of(units: list[AsymUnit] | AsymUnitTable, dtype: torch.dtype = torch.float64) -> Batch:
    """All of them in one batch."""
    table = units if isinstance(units, AsymUnitTable) else tabulate(units)
    starts = np.cumsum(table.n_orbits) - table.n_orbits
    batch = to_batch(table, np.arange(len(table)), starts).to("cpu", dtype)
    mask = batch.mask.numpy()
    exact = np.zeros((*mask.shape, 3))
    exact[mask] = table.free_coords  # `to_batch` keeps single precision
    return batch.replace(free_coords=torch.from_numpy(exact).to(dtype))


def random_model(seed: int = 0, table: AsymUnitTable | None = None, sizes: SymmCDConfig = SIZES) -> SymmCD:
    """An untrained model in float64 in which no weight is zero, also not those that training starts from."""
    torch.manual_seed(seed)
    model = SymmCD(sizes, gather_statistics(table or textbook_table()))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model.double().eval()


def short_run(steps: int, **changes) -> FitConfig:
    """`steps` passes of one step each over a small data set."""
    loop = replace(LoopConfig(steps=1, learning_rate=3e-3, warmup=10, log_every=1, save_every=4), **changes)
    return FitConfig(SIZES, loop, epochs=steps, batch_size=64, validation_samples=8)


def trained_folder(directory: Path, steps: int = 3) -> Path:
    """A checkpoint folder after a few steps on the small textbook crystals."""
    data = write_table(directory / "data.h5", small_table())
    fit_symmcd(data, directory / "run", short_run(steps), device="cpu", threads=1)
    return directory / "run"


def only_shapes(make: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """`make`, which may be called on the device "meta" alone: no weight takes room."""

    def checked(*arguments) -> nn.Module:
        assert torch.get_default_device().type == "meta", "the network is made in full"
        return make(*arguments)

    return checked
