"""`crystaltool asym-unit`: structures to asymmetric units, as CIF or as a data set for training, and back."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from crystaltool.cli import options
from crystaltool.cli.failures import report_failure
from crystaltool.cli.session import Record, Session, Written
from crystaltool.defaults import SYMPREC
from crystaltool.io.records import RawBlock, StoredUnit

if TYPE_CHECKING:
    from crystaltool.asymunit import AsymUnit, AsymUnitTable
    from crystaltool.cli.progress import ProgressDisplay
    from crystaltool.errors import CrystaltoolError

HDF5_SUFFIXES = (".h5", ".hdf5")

CHUNK = 512
"""Structures that are reduced together for a data set: the projection onto Wyckoff positions is one batch."""


@dataclass(frozen=True)
class ReducedChunk:
    """The asymmetric units of a chunk, their properties, and (index in the chunk, reason) of those that have none."""

    table: AsymUnitTable
    properties: tuple[dict[str, str], ...]
    failures: tuple[tuple[int, CrystaltoolError], ...]


def command(
    context: typer.Context,
    files: options.Files = None,
    symprec: options.Symprec = SYMPREC,
    expand: Annotated[bool, typer.Option("--expand", help="Write out every atom of the cell (P 1) instead.")] = False,
    names: options.Naming = options.Names.block,
    output: options.Output = "-",
    output_dir: options.OutputDir = None,
    overwrite: options.Overwrite = False,
    resume: options.Resume = False,
    shard: options.Shard = None,
    jobs: options.Jobs = 1,
    scheduler: options.Scheduler = None,
    fail_fast: options.FailFast = False,
    no_provenance: options.NoProvenance = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Reduce structures to their asymmetric units, or expand them.

    The space group is detected within --symprec (0.1 A gives the groups of MP-20's own labels), the structure is
    refined to it and written in the standard setting: cell, and one site per orbit with its Wyckoff letter and
    multiplicity. Written as CIF; with -o FILE.h5 as the HDF5 data set that `crystaltool train` reads. Data sets as
    input are taken as they are (several become one) unless --symprec is given. With --expand asymmetric units, from
    CIF or HDF5, become the full list of atoms of the conventional cell. Partial charges go along where equivalent atoms
    have the same; charges and stated bonds that cannot are a warning.

    A FILE.h5 is written as a whole, and not at all where no structure could be read: --resume leaves one that is there
    as it is, and data sets of shards become one by asym-unit PART.h5 PART.h5 -o ALL.h5.
    """
    from crystaltool.errors import UsageError
    from crystaltool.io.hdf5 import stored_blocks

    session = Session(context)
    to_hdf5 = output.lower().endswith(HDF5_SUFFIXES)
    if to_hdf5 and expand:
        raise UsageError("--expand writes CIF, not HDF5")
    if to_hdf5 and output_dir is not None:
        raise UsageError("-o and -O exclude each other")
    given = context.get_parameter_source("symprec")
    detects_again = expand or (given is not None and given.name != "DEFAULT")
    source = session.raw_blocks(files, None if detects_again else stored_blocks, names)
    if to_hdf5:
        session.leave_if_done(resume, output)
        with contextlib.suppress(_NothingRead), session.binary_output(output, overwrite, files) as target:
            _write_data_set(session, source, target, symprec, jobs)
    else:
        function = functools.partial(rewrite, None if expand else symprec, session.record)
        session.rewrite(function, source, session.writer(output, output_dir, overwrite, resume, files), jobs)
    session.finish()


class _NothingRead(Exception):
    """Leaves the data set unwritten, which --resume would take for done; that of a shard is written, to be joined."""


def rewrite(symprec: float | None, record: Record, raw: RawBlock) -> Written:
    """One block as its asymmetric unit, or expanded if `symprec` is None; pure, for any process.

    Raises:
        CrystaltoolError: if the block cannot be read, or no space group is found.
    """
    from crystaltool.io.stream import read_raw
    from crystaltool.structure import Structure
    from crystaltool.verbs.units import UnitSettings, expanded, extended, unit_of

    if isinstance(raw, StoredUnit):
        stored = Structure(raw.unit, name=raw.name, properties=raw.properties, history=raw.history)
        history = extended(stored, record.command_line)
        made = Structure(raw.unit, name=raw.name, properties=raw.properties, history=history)
    elif symprec is None:
        made = expanded(record.command_line, Structure.from_block(read_raw(raw)))
    else:
        made = unit_of(UnitSettings(symprec), record.command_line, Structure.from_block(read_raw(raw)))
    return Written(made.to_cif(record.created))


def reduce_chunk(symprec: float, chunk: tuple[RawBlock, ...]) -> ReducedChunk:
    """Many blocks as a table of asymmetric units; pure, for any process."""
    from crystaltool.asymunit import AsymUnit, reduce_many, tabulate
    from crystaltool.checks.verdict import without_verdicts
    from crystaltool.errors import CrystaltoolError
    from crystaltool.io.stream import read_raw
    from crystaltool.verbs.units import say_lost

    found: list[AsymUnit | CrystaltoolError] = []
    properties, todo = [], []
    for index, raw in enumerate(chunk):
        try:
            block = raw if isinstance(raw, StoredUnit) else read_raw(raw)
        except CrystaltoolError as error:
            found.append(error)
            properties.append({})
            continue
        stored = isinstance(block, StoredUnit)
        properties.append(block.properties if stored else without_verdicts(block.properties))
        if isinstance(block, StoredUnit):
            found.append(replace(block.unit, name=raw.name))
        else:
            say_lost(block, bonds=True, charges=True)
            todo.append((index, block.crystal))
            found.append(CrystaltoolError("not reduced yet"))
    for (index, _), unit in zip(todo, reduce_many([crystal for _, crystal in todo], symprec), strict=True):
        found[index] = unit
    good = [index for index, unit in enumerate(found) if isinstance(unit, AsymUnit)]
    return ReducedChunk(
        tabulate([unit for unit in found if isinstance(unit, AsymUnit)]),
        tuple(properties[index] for index in good),
        tuple((index, error) for index, error in enumerate(found) if isinstance(error, CrystaltoolError)),
    )


def _write_data_set(session: Session, source: Iterable[RawBlock], target, symprec: float, jobs: int) -> None:
    from crystaltool.asymunit import join_tables
    from crystaltool.executor import in_chunks
    from crystaltool.io.hdf5 import write_asym_units
    from crystaltool.io.property_table import split_columns

    with session.progress() as progress:
        chunks = in_chunks(source, CHUNK)
        done = list(_reduced(session, functools.partial(reduce_chunk, symprec), chunks, jobs, progress))
    if session.n_bad and session.shard.count == 1 and not any(chunk.properties for chunk in done):
        raise _NothingRead
    numbers, texts = split_columns([row for chunk in done for row in chunk.properties])
    write_asym_units(target, join_tables([chunk.table for chunk in done]), session.history(), numbers, texts)


def _reduced(
    session: Session,
    function: functools.partial[ReducedChunk],
    chunks: Iterable[tuple[RawBlock, ...]],
    jobs: int,
    progress: ProgressDisplay,
) -> Iterator[ReducedChunk]:
    """The chunks, reduced; the structures that failed are reported.

    A chunk that fails as a whole (its worker died) is done again one structure at a time.
    """
    from crystaltool.executor import in_chunks, map_pairs

    with contextlib.closing(map_pairs(function, chunks, jobs, executor=session.workers.executor)) as pairs:
        for chunk, result in pairs:
            if isinstance(result, ReducedChunk):
                for index, reason in result.failures:
                    report_failure(session, reason, chunk[index])
                progress.advance(len(chunk))
                yield result
            elif len(chunk) == 1:
                report_failure(session, result, chunk[0])
                progress.advance()
            else:
                yield from _reduced(session, function, in_chunks(chunk, 1), jobs, progress)
