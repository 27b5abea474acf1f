"""`read` and `write`: files, folders and archives to structures, and structures to files of any format of the table."""

from __future__ import annotations

import errno
import gzip
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from crystaltool.errors import CrystaltoolError, InputError, UsageError
from crystaltool.io.atomic import atomic_output
from crystaltool.io.byte_streams import SeekableReader
from crystaltool.io.hdf5 import read_history, stored_blocks, write_asym_units
from crystaltool.io.hdf5_input import open_checked
from crystaltool.io.provenance import timestamp
from crystaltool.io.records import BadRecord, Raw, RawBlock, StoredUnit
from crystaltool.io.remarks import publish
from crystaltool.io.stream import iter_raw, read_raw
from crystaltool.mof.blocks import CoarseMOF
from crystaltool.mof.sample import MOFSample, grouped
from crystaltool.mof.table import MOF_KIND, read_mofs, write_mofs
from crystaltool.structure import Structure
from crystaltool.verbs.format_table import FORMATS, Format

STDOUT = STDIN = "-"
HDF5_SUFFIXES = (".h5", ".hdf5")


@dataclass(frozen=True)
class _StoredMOF(RawBlock):
    """A sample of an HDF5 file of MOF blocks."""

    decodings: tuple[CoarseMOF, ...] = ()
    history: tuple[str, ...] = ()


def read(
    *paths: str | PathLike[str], names: str = "block", fail_fast: bool = False
) -> Iterator[Structure | MOFSample | Any]:
    """The structures of files, folders and archives, one after the other; as every subcommand reads its inputs.

    CIF text, CSV with a `cif` column, HDF5 data sets, folders, zip and tar archives, each also compressed; HDF5 files
    of MOF blocks give a `MOFSample` a framework. What cannot be read in them is logged and passed over.

    Args:
        paths: files and folders; `-` is standard input.
        names: call a structure as its CIF `block` or as its `file`.
        fail_fast: raise at what cannot be read, instead.

    Raises:
        FileNotFoundError: a path that does not exist, before anything is read.
        InputError: with `fail_fast`, one sentence that names file, line and block.
        UsageError: no paths, or names is neither.
    """
    if names not in ("block", "file"):
        raise UsageError(f"names is {names!r}, expected block or file")
    if not paths:
        raise UsageError("no paths to read")
    given = [fspath(path) for path in paths]
    for path in given:
        if path != STDIN and not os.path.exists(path):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    return _structures(given, names == "file", fail_fast)


def _structures(paths: Sequence[str], by_file: bool, fail_fast: bool) -> Iterator[Structure | MOFSample]:
    item = 0
    for raw in iter_raw(paths, _warn, _stored, by_file):
        try:
            if isinstance(raw, BadRecord):
                raise InputError(raw.message)
            if isinstance(raw, _StoredMOF):
                yield MOFSample(item, raw.name, raw.source, raw.decodings, raw.history)
                item += 1
            elif isinstance(raw, StoredUnit):
                yield Structure(
                    raw.unit, name=raw.name, properties=raw.properties, history=raw.history, source=raw.source
                )
            else:
                yield Structure.from_block(read_raw(raw))
        except CrystaltoolError as error:
            if fail_fast:
                place = f"{raw.source}({raw.line})" if raw.line else raw.source
                block = f" data_{raw.name}" if raw.name else ""
                raise InputError(f"{place}{block}: {error}") from None
            publish(logging.ERROR, str(error), raw.source, raw.line, raw.name)


def _warn(source: str, line: int, name: str, text: str) -> None:
    publish(logging.WARNING, text, source, line, name)


def _stored(stream: SeekableReader, source: str) -> Iterator[Raw]:
    """What an HDF5 file of ours holds, for `iter_raw`."""
    from crystaltool.io.cif import clean_name

    try:
        with open_checked(stream, None, source) as file:
            kind = file.attrs.get("kind")
        if kind == MOF_KIND:
            table, history = read_mofs(stream, source), read_history(stream, source)
            for decodings in grouped(table[index] for index in range(len(table))):
                name = clean_name(decodings[0].name)
                yield _StoredMOF(source, 0, name, "", decodings=decodings, history=history)
            return
    except InputError as error:
        yield BadRecord(source, 0, "", str(error))
        return
    yield from stored_blocks(stream, source)


def write(
    structures: Structure | CoarseMOF | MOFSample | Iterable[Any],
    path: str | PathLike[str],
    format: str | None = None,
    *,
    overwrite: bool = False,
    provenance: bool = True,
) -> int:
    """Write structures into a file, which appears whole or not at all.

    Args:
        structures: one, or an iterable of them; for `.h5` asymmetric units (a data set for training), or
            coarse-grained MOFs (blocks for `embed` and training).
        path: the ending says the format: .cif, .extxyz, .xyz, .vasp, .poscar, .h5; .gz compresses; `-` is standard
            output.
        format: `cif`, `extxyz` or `poscar`, whatever the ending.
        overwrite: replace an existing file.
        provenance: write dates and history; without, the bytes depend on the structures alone.

    Returns:
        How many were written.

    Raises:
        UsageError: the file exists, the ending is of no format, or the format holds one structure and there are more.
        InputError: a structure that the format cannot hold.
    """
    given = [structures] if isinstance(structures, (Structure, CoarseMOF, MOFSample)) else structures
    target = fspath(path)
    if format is None and target.lower().endswith(HDF5_SUFFIXES):
        return _write_hdf5(list(given), target, overwrite, provenance)
    row = FORMATS[_format_of(target, format)]
    texts = _texts(row, given, provenance)
    if target == STDOUT:
        n = 0
        for text in texts:
            sys.stdout.write(text)
            n += 1
        return n
    with atomic_output(target, overwrite) as output:
        if not target.lower().endswith(".gz"):
            return sum(1 for text in texts if output.handle.write(text.encode()))
        with gzip.GzipFile(filename="", fileobj=output.handle, mode="wb", mtime=0) as packed:
            return sum(1 for text in texts if packed.write(text.encode()))


def _format_of(path: str, format: str | None) -> str:
    if format is not None:
        if format not in FORMATS:
            raise UsageError(f"no format {format!r}, expected one of: {', '.join(FORMATS)}")
        return format
    if path == STDOUT:
        return "cif"
    plain = path.lower().removesuffix(".gz")
    for name, row in FORMATS.items():
        if plain.endswith(row.suffixes) or (name == "poscar" and Path(plain).name == "poscar"):
            return name
    endings = ", ".join(suffix for row in FORMATS.values() for suffix in row.suffixes)
    raise UsageError(f"{path}: the ending is of no format, expected one of {endings}, .h5, or format=")


def _texts(row: Format, structures: Iterable[Any], provenance: bool) -> Iterator[str]:
    created = timestamp() if provenance else None
    for number, structure in enumerate(structures):
        if not isinstance(structure, Structure):
            raise UsageError(f"a {type(structure).__name__}, expected a Structure; MOFs are assembled first, or .h5")
        if number and not row.many:
            raise UsageError("more than one structure, a file of this format holds one")
        if row is FORMATS["cif"]:
            yield structure.to_cif(created, provenance)
        else:
            yield row.text(structure)


def _write_hdf5(structures: list[Any], path: str, overwrite: bool, provenance: bool) -> int:
    if not structures:
        raise InputError(f"{path}: nothing to write")
    with atomic_output(path, overwrite) as output:
        if all(isinstance(one, Structure) for one in structures):
            _write_units(structures, output.path, provenance)
        elif all(isinstance(one, (CoarseMOF, MOFSample)) for one in structures):
            _write_blocks(structures, output.path, provenance)
        else:
            raise UsageError("structures and coarse-grained MOFs do not go into one file")
    return len(structures)


def _write_units(structures: Sequence[Structure], target: Path, provenance: bool) -> None:
    from crystaltool.asymunit import tabulate
    from crystaltool.io.property_table import split_columns

    units = []
    for structure in structures:
        unit = structure.unit
        if unit is None:
            raise InputError(f"{structure.name}: no asymmetric unit, expected one from asym_unit(...)")
        units.append(_named(unit, structure.name))
    numbers, texts = split_columns([structure.properties for structure in structures])
    history = _common([structure.history for structure in structures]) if provenance else ()
    write_asym_units(target, tabulate(units), history, numbers, texts)


def _named(unit: Any, name: str) -> Any:
    from dataclasses import replace

    return replace(unit, name=name)


def _write_blocks(mofs: Sequence[CoarseMOF | MOFSample], target: Path, provenance: bool) -> None:
    from crystaltool.mof.identity import identify
    from crystaltool.mof.table import TableBuilder

    builder, rows = TableBuilder(), {}
    for mof in mofs:
        for decoding in mof.decodings if isinstance(mof, MOFSample) else (mof,):
            numbers = []
            for block in decoding.blocks:
                arrays = (block.numbers, block.cart_coords, block.bonds, block.connection_coords)
                key = b"".join(array.tobytes() for array in arrays)
                if key not in rows:
                    rows[key] = builder.add_block(block, identify(block).bits)
                numbers.append(rows[key])
            builder.add(decoding, numbers=numbers)
    history = _common([mof.history for mof in mofs if isinstance(mof, MOFSample)]) if provenance else ()
    write_mofs(target, builder.table(), history)


def _common(histories: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The lines with which all histories begin, items left out."""
    without = [tuple(_without_item(line) for line in lines) for lines in histories]
    if not without:
        return ()
    n = 0
    while n < min(map(len, without)) and len({lines[n] for lines in without}) == 1:
        n += 1
    return without[0][:n]


def _without_item(line: str) -> str:
    return " | ".join(field for field in line.split(" | ") if not field.startswith("item "))
