"""`crystaltool asym-unit`: structures to asymmetric units, as CIF or as a data set for training, and back."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated

import typer

from crystaltool.cli import options
from crystaltool.cli.failures import report_failure
from crystaltool.cli.session import Session
from crystaltool.io.records import BadRecord, Raw, RawBlock

if TYPE_CHECKING:
    import numpy as np

    from crystaltool.asymunit import AsymUnit, AsymUnitTable
    from crystaltool.cli.progress import ProgressDisplay
    from crystaltool.errors import CrystaltoolError
    from crystaltool.io.byte_streams import SeekableReader
    from crystaltool.io.cif import CifBlock

HDF5_SUFFIXES = (".h5", ".hdf5")

CHUNK = 512
"""Structures that are reduced together for a data set: the projection onto Wyckoff positions is one batch."""

SAME_CHARGE = 0.005
"""e; equivalent atoms have charges within this of their mean: two decimals."""

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
class StoredUnit(RawBlock):
    """An asymmetric unit as a data set has it, which needs no reading and no detection."""

    unit: AsymUnit | None = None
    properties: dict[str, str] = field(default_factory=dict)
    history: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReducedChunk:
    """The asymmetric units of a chunk, their properties, and (index in the chunk, reason) of those that have none."""

    table: AsymUnitTable
    properties: tuple[dict[str, str], ...]
    failures: tuple[tuple[int, CrystaltoolError], ...]


def command(
    context: typer.Context,
    files: options.Files = None,
    symprec: options.Symprec = DEFAULT_SYMPREC,
    expand: Annotated[bool, typer.Option("--expand", help="Write out every atom of the cell (P 1) instead.")] = False,
    names: options.Naming = options.Names.block,
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
    multiplicity. Written as CIF; with -o FILE.h5 as the HDF5 data set that `crystaltool train` reads. Data sets as
    input are taken as they are (several become one) unless --symprec is given. With --expand asymmetric units, from
    CIF or HDF5, become the full list of atoms of the conventional cell. Partial charges go along where equivalent atoms
    have the same; charges and stated bonds that cannot are a warning.
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
    given = context.get_parameter_source("symprec")
    detects_again = expand or (given is not None and given.name != "DEFAULT")
    source = session.raw_blocks(files, None if detects_again else stored_blocks, names)
    if to_hdf5:
        with session.binary_output(output, overwrite, files) as target:
            _write_data_set(session, source, target, symprec, jobs)
    else:
        command_line = session.command_line if session.provenance else None
        settings = Settings(symprec, expand, command_line, session.created)
        with session.writer(output, output_dir, overwrite, resume, files) as out, session.progress() as progress:
            todo = (raw for raw in source if not out.has(raw.name))
            with contextlib.closing(map_pairs(functools.partial(rewrite, settings), todo, jobs)) as pairs:
                for raw, result in pairs:
                    if isinstance(result, str):
                        out.write(result, raw.name)
                    else:
                        report_failure(session, result, raw)
                    progress.advance()
    session.finish()


def stored_blocks(stream: SeekableReader, source: str) -> Iterator[Raw]:
    """The asymmetric units of an HDF5 data set as they are."""
    from crystaltool.errors import InputError
    from crystaltool.io.cif_format import clean_name
    from crystaltool.io.hdf5 import read_history, stored_units

    try:
        history = read_history(stream, source)
        for name, unit, properties in stored_units(stream, source):
            yield StoredUnit(
                source, 0, clean_name(name), "", has_id=True, unit=unit, properties=properties, history=history
            )
    except InputError as error:
        yield BadRecord(source, 0, "", str(error))


def rewrite(settings: Settings, raw: RawBlock) -> str:
    """One block as its asymmetric unit, or expanded; pure, for any process.

    Raises:
        CrystaltoolError: if the block cannot be read, or no space group is found.
    """
    from crystaltool.asymunit import reduce_traced
    from crystaltool.io.cif import format_asym_unit, format_crystal
    from crystaltool.io.provenance import extend_history
    from crystaltool.io.stream import read_raw

    block = raw if isinstance(raw, StoredUnit) else read_raw(raw)
    history = block.history
    if settings.command_line is not None:
        history = extend_history(history, settings.command_line)
    if isinstance(block, StoredUnit):
        unit = block.unit
        charges = None
    elif settings.expand:
        charges = block.atom_charges
        return format_crystal(
            block.crystal, block.name, history, block.properties, settings.created, block.bonds, charges
        )
    else:
        unit, atom_to_orbit = reduce_traced(block.crystal, settings.symprec)
        charges = _orbit_charges(block, atom_to_orbit)
        _say_lost(block, bonds=True)
    assert unit is not None
    return format_asym_unit(unit, block.name, history, block.properties, settings.created, charges)


def _orbit_charges(block: CifBlock, atom_to_orbit: np.ndarray) -> np.ndarray | None:
    """Charges of the orbits in e: those of their atoms where these are alike, else none, which is said."""
    import numpy as np

    charges = block.atom_charges
    if charges is None:
        return None
    means = np.bincount(atom_to_orbit, weights=charges) / np.bincount(atom_to_orbit)
    spread = float(np.abs(charges - means[atom_to_orbit]).max())
    if spread <= SAME_CHARGE:
        return means
    _lost(block, f"charges are left out: equivalent atoms differ by {2 * spread:.2f} e")
    return None


def _say_lost(block: CifBlock, bonds: bool = False, charges: bool = False) -> None:
    """Warn of stated bonds or charges that the output has no place for."""
    if bonds and block.bonds is not None:
        _lost(block, f"{len(block.bonds)} stated bonds are left out, an asymmetric unit has none (--expand keeps them)")
    if charges and block.site_charges is not None:
        _lost(block, "charges are left out, the data set has none")


def _lost(block: CifBlock, text: str) -> None:
    from crystaltool.io.remarks import WARNING, publish

    publish(WARNING, text, block.source, block.line, block.name)


def reduce_chunk(symprec: float, chunk: tuple[RawBlock, ...]) -> ReducedChunk:
    """Many blocks as a table of asymmetric units; pure, for any process."""
    from crystaltool.asymunit import AsymUnit, reduce_many, tabulate
    from crystaltool.errors import CrystaltoolError
    from crystaltool.io.stream import read_raw

    found: list[AsymUnit | CrystaltoolError] = []
    properties, todo = [], []
    for index, raw in enumerate(chunk):
        try:
            block = raw if isinstance(raw, StoredUnit) else read_raw(raw)
        except CrystaltoolError as error:
            found.append(error)
            properties.append({})
            continue
        properties.append(block.properties)
        if isinstance(block, StoredUnit):
            assert block.unit is not None
            found.append(replace(block.unit, name=raw.name))
        else:
            _say_lost(block, bonds=True, charges=True)
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
    from crystaltool.io.hdf5 import write_asym_units
    from crystaltool.io.property_table import split_columns

    with session.progress() as progress:
        chunks = in_chunks(source, CHUNK)
        done = list(_reduced(session, functools.partial(reduce_chunk, symprec), chunks, jobs, progress))
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
    from crystaltool.executor import map_pairs

    with contextlib.closing(map_pairs(function, chunks, jobs)) as pairs:
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


def in_chunks(items: Iterable[RawBlock], size: int) -> Iterator[tuple[RawBlock, ...]]:
    """Tuples of `size` items, the last one shorter."""
    from itertools import islice

    source = iter(items)
    while chunk := tuple(islice(source, size)):
        yield chunk
