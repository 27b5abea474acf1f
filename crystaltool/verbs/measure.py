"""`measure_hull`: the energy above the convex hull, as a property of the structure."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Executor
from functools import partial
from typing import Any

from crystaltool.defaults import POTENTIAL
from crystaltool.io.cif import parse_block
from crystaltool.structure import Structure
from crystaltool.verbs.measure_block import MeasureSettings, measure_block, prepare
from crystaltool.verbs.stream import call_text, each


def measure_hull(
    structure: Structure | Iterable[Structure],
    *,
    potential: str = POTENTIAL,
    hull_file: str | None = None,
    jobs: int = 1,
    executor: Executor | None = None,
) -> Any:
    """The structure with `e_above_hull` and `formation_energy_per_atom` (eV/atom), and what they stand on.

    As `crystaltool measure --hull`: the energy is the one that `relax` left if of the same potential, else that of a
    single point.

    Args:
        structure: one, or an iterable of them.
        potential: whose energies; shipped hulls fit chgnet (mp2020-chgnet) and mp2020.
        hull_file: CSV of phases of one's own (formula, energy_per_atom, id), or the name of a shipped hull.
        jobs: worker processes for an iterable.
        executor: any `concurrent.futures.Executor` (of dask, mpi4py, ...), whose workers do it in their place.

    Returns:
        A `Structure`; of an iterable an iterator over them.

    Raises:
        InputError: no energy, or an element without reference.
        UsageError: the potential's energies have no such hull.
        MissingExtraError: the potential is not installed.
    """
    settings = MeasureSettings(hull=True, potential=potential, hull_file=hull_file)
    prepare(settings)
    call = call_text("measure --hull", settings, skip=("hull",))
    return each(partial(_measured, settings, call), structure, Structure, jobs, executor)


def _measured(settings: MeasureSettings, call: str, structure: Structure) -> Structure:
    block = structure.block
    text, _ = measure_block(settings, call, block)
    return Structure.from_block(parse_block(text, block.source, 0))
