"""`crystaltool asym-unit`: structures to asymmetric units, as CIF or as a data set for training, and back."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from crystaltool.cli import options
from crystaltool.cli.failures import report_failure
from crystaltool.cli.session import Session

if TYPE_CHECKING:
    from crystaltool.asymunit import AsymUnitTable
    from crystaltool.cli.progress import ProgressDisplay
    from crystaltool.io.stream import RawBlock

HDF5_SUFFIXES = (".h5", ".hdf5")

CHUNK = 512
"""Structures that are reduced together for a data set: the projection onto Wyckoff positions is one batch."""

DEFAULT_SYMPREC = 0.01
"""Angstrom; as symmetry/detection.py, which this module must not load for --help (a test compares them)."""


@dataclass(frozen=True)
class Settings:
    """What a worker must know. `command_line` is None without provenance, `created` the date of the run or None."""

    symprec: float
    expand: bool
    command_line: str | None
    created: str | None


@dataclass(frozen=True)
class ReducedChunk:
    """The asymmetric units of a chunk, and (index in the chunk, reason) of the structures that have none."""

    table: AsymUnitTable
    failures: tuple[tuple[int, str], ...]


def command(
    context: typer.Context,
    files: options.Files = None,
    symprec: options.Symprec = DEFAULT_SYMPREC,
    expand: Annotated[bool, typer.Option("--expand", help="Write out every atom of the cell (P 1) instead.")] = False,
    output: options.Output = "-",
    output_dir: options.OutputDir = None,
    overwrite: options.Overwrite = False,
    resume: options.Resume = False,
    jobs: options.Jobs = 1,
    fail_fast: options.FailFast = False,
    no_provenance: options.NoProvenance = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Reduce structures to their asymmetric units, or expand them.

    The space group is detected within --symprec (0.1 A gives the groups of MP-20's own labels), the structure is
    refined to it and written in the standard setting: cell, and one site per orbit with its Wyckoff letter and
    multiplicity. Written as CIF; with -o FILE.h5 as the HDF5 data set that `crystaltool train` reads. With --expand
    asymmetric units, from CIF or HDF5, become the full list of atoms of the conventional cell.
    """
    from crystaltool.errors import UsageError
    from crystaltool.executor import map_pairs

    session = Session(context, quiet=quiet, verbose=verbose, fail_fast=fail_fast, provenance=not no_provenance)
    to_hdf5 = output.lower().endswith(HDF5_SUFFIXES)
    if to_hdf5 and expand:
        raise UsageError("--expand writes CIF, not HDF5")
    if to_hdf5 and resume:
        raise UsageError("--resume cannot continue an HDF5 file")
    if to_hdf5 and output_dir is not None:
        raise UsageError("-o and -O exclude each other")
    if to_hdf5:
        _write_data_set(session, files, output, overwrite, symprec, jobs)
    else:
        command_line = session.command_line if session.provenance else None
        settings = Settings(symprec, expand, command_line, session.created)
        with session.writer(output, output_dir, overwrite, resume, files) as out, session.progress() as progress:
            todo = (raw for raw in session.raw_blocks(files) if not out.has(raw.name))
            with contextlib.closing(map_pairs(functools.partial(rewrite, settings), todo, jobs)) as pairs:
                for raw, result in pairs:
                    if isinstance(result, str):
                        out.write(result, raw.name)
                    else:
                        report_failure(session, result, raw)
                    progress.advance()
    session.finish()


def rewrite(settings: Settings, raw: RawBlock) -> str:
    """One block as its asymmetric unit, or expanded; pure, for any process.

    Raises:
        CrystaltoolError: if the block cannot be read, or no space group is found.
    """
    from crystaltool.asymunit import reduce
    from crystaltool.errors import InputError
    from crystaltool.io.cif import format_asym_unit, format_crystal
    from crystaltool.io.provenance import extend_history
    from crystaltool.io.stream import BadRecord, parse_raw

    block = parse_raw(raw)
    if isinstance(block, BadRecord):
        raise InputError(block.message)
    history = ()
    if settings.command_line is not None:
        history = extend_history(block.history, settings.command_line)
    if settings.expand:
        charges = block.atom_charges
        return format_crystal(block.crystal, block.name, history, block.properties, settings.created, charges=charges)
    unit = reduce(block.crystal, settings.symprec)
    return format_asym_unit(unit, block.name, history, block.properties, settings.created)


def reduce_chunk(symprec: float, chunk: tuple[RawBlock, ...]) -> ReducedChunk:
    """Many blocks as a table of asymmetric units; pure, for any process."""
    from crystaltool.asymunit import AsymUnit, reduce_many, tabulate
    from crystaltool.io.stream import BadRecord, parse_raw

    parsed = [parse_raw(raw) for raw in chunk]
    failures = [(index, block.message) for index, block in enumerate(parsed) if isinstance(block, BadRecord)]
    good = [(index, block.crystal) for index, block in enumerate(parsed) if not isinstance(block, BadRecord)]
    units = []
    for (index, _), found in zip(good, reduce_many([crystal for _, crystal in good], symprec), strict=True):
        if isinstance(found, AsymUnit):
            units.append(found)
        else:
            failures.append((index, str(found)))
    return ReducedChunk(tabulate(units), tuple(sorted(failures)))


def _write_data_set(
    session: Session, files: list[str] | None, output: str, overwrite: bool, symprec: float, jobs: int
) -> None:
    from crystaltool.asymunit import tabulate
    from crystaltool.io.hdf5 import write_asym_units

    tables = [tabulate([])]
    with session.binary_output(output, overwrite, files) as target:
        with session.progress() as progress:
            chunks = in_chunks(session.raw_blocks(files), CHUNK)
            tables.extend(_reduced(session, functools.partial(reduce_chunk, symprec), chunks, jobs, progress))
        write_asym_units(target, join(tables), session.history())


def _reduced(
    session: Session,
    function: functools.partial[ReducedChunk],
    chunks: Iterable[tuple[RawBlock, ...]],
    jobs: int,
    progress: ProgressDisplay,
) -> Iterator[AsymUnitTable]:
    """The tables of the chunks; the structures that failed are reported.

    A chunk that fails as a whole (its worker died) is done again one structure at a time.
    """
    from crystaltool.executor import map_pairs

    with contextlib.closing(map_pairs(function, chunks, jobs)) as pairs:
        for chunk, result in pairs:
            if isinstance(result, ReducedChunk):
                for index, reason in result.failures:
                    session.bad(reason, chunk[index])
                progress.advance(len(chunk))
                yield result.table
            elif len(chunk) == 1:
                report_failure(session, result, chunk[0])
                progress.advance()
            else:
                yield from _reduced(session, function, in_chunks(chunk, 1), jobs, progress)


def in_chunks(items: Iterable[RawBlock], size: int) -> Iterator[tuple[RawBlock, ...]]:
    """Tuples of `size` items, the last one shorter."""
    from itertools import islice

    source = iter(items)
    while chunk := tuple(islice(source, size)):
        yield chunk


def join(tables: list[AsymUnitTable]) -> AsymUnitTable:
    """One table of several, in order."""
    import numpy as np

    from crystaltool.asymunit import AsymUnitTable

    fields = ("group", "lattice", "n_orbits", "numbers", "positions", "free_coords")
    arrays = {field: np.concatenate([getattr(table, field) for table in tables]) for field in fields}
    return AsymUnitTable(**arrays, names=tuple(name for table in tables for name in table.names))
