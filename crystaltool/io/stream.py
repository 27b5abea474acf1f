"""Any input as a stream of structures: what a file is is told from its content, memory stays flat.

CIF text, CSV with a `cif` column, HDF5 data sets of asymmetric units, zip and tar archives of these, folders in sorted
order, each also compressed (gzip, xz, bzip2). Archives are read member by member; nothing is ever unpacked to disk.
"""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import lzma
import os
import re
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import TypeAlias

from crystaltool.errors import CrystaltoolError, InputError
from crystaltool.io.byte_streams import ByteReader, Encoded, Joined, SeekableReader
from crystaltool.io.cif import CifBlock, clean_name, formula_sum, parse_block
from crystaltool.io.remarks import NOTE, publish
from crystaltool.io.splitter import MAX_BLOCK_BYTES, Chunk, decode, read_lines, rename_block, split_blocks

STDIN = "-"
MAX_SPOOLED_BYTES = 4 * 2**30
"""A zip or HDF5 that arrives through a pipe is kept (in memory up to 64 MiB, then on disk) up to this size."""

SPOOL_IN_MEMORY = 64 * 2**20
HEAD_BYTES = 1024
STRUCTURE_SUFFIXES = (".cif", ".csv", ".h5", ".hdf5", ".zip", ".tar", ".tgz", ".txz")
COMPRESSED_SUFFIXES = (".gz", ".xz", ".bz2")

_HOLDS_STRUCTURE = re.compile(rb"(?:^|\s)_(?:cell[_.](?:length|angle)|atom_site[_.])", re.IGNORECASE)
"""What a block without structure has none of; a block with one half of it is a bad structure."""

_UNREADABLE = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError)


@dataclass(frozen=True)
class BadRecord:
    """A record that could not be read: where it is, and one sentence why. `line` is 0 where lines mean nothing."""

    source: str
    line: int
    name: str
    message: str


@dataclass(frozen=True)
class RawBlock:
    """The text of one block with a name that is unique in the run: what `parse_raw` (in any process) reads."""

    source: str
    line: int
    name: str
    text: str


Raw: TypeAlias = RawBlock | BadRecord
Hdf5Reader: TypeAlias = Callable[[SeekableReader, str], Iterable[Raw]]
Warn: TypeAlias = Callable[[str, int, str, str], None]


def iter_blocks(
    paths: Sequence[str], warn: Warn | None = None, hdf5: Hdf5Reader | None = None
) -> Iterator[CifBlock | BadRecord]:
    """The structures of all inputs in order; what cannot be read comes as a `BadRecord` in its place.

    Args:
        paths: files or folders, `-` is standard input.
        warn: called with (source, line, name, text) when a repeated block name is changed.
        hdf5: reader of HDF5 inputs; the default reads data sets of asymmetric units.
    """
    for raw in iter_raw(paths, warn, hdf5):
        yield raw if isinstance(raw, BadRecord) else parse_raw(raw)


def parse_raw(raw: RawBlock) -> CifBlock | BadRecord:
    """Parse one text; an error of the input becomes a `BadRecord`, what there is to remark is logged."""
    try:
        block = parse_block(raw.text, raw.source, raw.line, raw.name)
    except CrystaltoolError as error:
        return BadRecord(raw.source, raw.line, raw.name, str(error))
    for remark in block.remarks:
        publish(remark.level, remark.text, raw.source, raw.line, raw.name)
    return block


def iter_raw(paths: Sequence[str], warn: Warn | None = None, hdf5: Hdf5Reader | None = None) -> Iterator[Raw]:
    """As `iter_blocks`, before parsing: for commands that parse in worker processes."""
    names = _Names(warn)
    for raw in _Reader(hdf5 or _asym_unit_texts).inputs(paths):
        yield raw if isinstance(raw, BadRecord) else names.unique(raw)


class _Names:
    """Gives every block of a run a name of its own, compared casefolded."""

    def __init__(self, warn: Warn | None) -> None:
        self._warn = warn
        self._counts: dict[str, int] = {}

    def unique(self, raw: RawBlock) -> RawBlock:
        """The block, renamed `x.2`, `x.3`, ... if its name was used before."""
        name = raw.name
        if name.casefold() in self._counts:
            count = self._counts[name.casefold()]
            while name.casefold() in self._counts:
                count += 1
                name = clean_name(f"{raw.name[: 75 - len(str(count)) - 1]}.{count}")
            self._counts[raw.name.casefold()] = count
            if self._warn is not None:
                self._warn(raw.source, raw.line, raw.name, f"block name repeats, renamed to {name}")
        self._counts[name.casefold()] = 1
        if name == raw.name:
            return raw
        return RawBlock(raw.source, raw.line, name, rename_block(raw.text, name))


class _Reader:
    """Walks inputs and recognises what they hold."""

    def __init__(self, hdf5: Hdf5Reader) -> None:
        self._hdf5 = hdf5

    def inputs(self, paths: Sequence[str]) -> Iterator[Raw]:
        """All inputs in order."""
        for path in paths:
            try:
                if path == STDIN:
                    yield from self.content(sys.stdin.buffer, STDIN)
                elif os.path.isdir(path):
                    yield from self.folder(Path(path))
                else:
                    with open(path, "rb") as handle:
                        yield from self.content(handle, path)
            except BrokenPipeError:
                raise
            except OSError as error:
                yield BadRecord(path, 0, "", error.strerror or str(error))

    def folder(self, folder: Path) -> Iterator[Raw]:
        """The structure files below a folder, sorted by path; hidden ones and linked folders are passed over."""
        found = sorted(
            os.path.join(parent, name)
            for parent, folders, names in os.walk(folder)
            if not any(part.startswith(".") for part in Path(parent).relative_to(folder).parts)
            for name in names
            if _holds_structures(name)
        )
        if not found:
            yield BadRecord(str(folder), 0, "", "the folder holds no structure files (.cif, .csv, .h5, .zip, .tar)")
        yield from self.inputs(found)

    def content(self, handle: ByteReader, source: str, depth: int = 0) -> Iterator[Raw]:
        """Recognise an open stream and read it. `depth` counts compressions and archives around it."""
        if depth > 3:
            yield BadRecord(source, 0, "", "compressed or archived more than three times over")
            return
        try:
            head = handle.readline(HEAD_BYTES)
            if b"\0" in head or not _is_text_start(head):
                head += handle.read(HEAD_BYTES - len(head))
            yield from self._recognised(handle, source, head, depth)
        except _UNREADABLE as error:
            if isinstance(error, BrokenPipeError):
                raise
            yield BadRecord(source, 0, "", f"cannot be read to its end: {error}")

    def _recognised(self, handle: ByteReader, source: str, head: bytes, depth: int) -> Iterator[Raw]:
        stream: io.BufferedReader = io.BufferedReader(Joined(head, handle), 1 << 16)
        if head.startswith(b"\x89HDF"):
            with _spooled(stream) as whole:
                yield from self._hdf5(whole, source)
        elif head.startswith(b"\x1f\x8b"):
            packed = gzip.GzipFile(fileobj=stream)
            yield from self.content(packed, source, depth + 1)
        elif head.startswith(b"\xfd7zXZ\0"):
            with lzma.LZMAFile(stream) as unpacked:
                yield from self.content(unpacked, source, depth + 1)
        elif head.startswith(b"BZh"):
            yield from self.content(bz2.BZ2File(stream), source, depth + 1)
        elif head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
            yield from self._zip(stream, source, depth)
        elif head[257:262] == b"ustar":
            yield from self._tar(stream, source, depth)
        elif head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            text = codecs.getreader("utf-16")(stream, "replace")
            yield from self.content(Encoded(text), source, depth + 1)
        elif b"\0" in head:
            yield BadRecord(source, 0, "", "not CIF text, CSV, HDF5, zip or tar")
        elif _is_csv_header(head):
            yield from csv_records(stream, source)
        else:
            yield from cif_records(stream, source)

    def _zip(self, stream: io.BufferedReader, source: str, depth: int) -> Iterator[Raw]:
        with _spooled(stream) as whole, zipfile.ZipFile(whole) as archive:
            members = sorted((m for m in archive.infolist() if not m.is_dir()), key=lambda member: member.filename)
            chosen = [member for member in members if _holds_structures(member.filename)]
            if not chosen:
                yield BadRecord(source, 0, "", "the archive holds no structure files")
            for member in chosen:
                try:
                    with archive.open(member) as handle:
                        yield from self.content(handle, f"{source}:{member.filename}", depth + 1)
                except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
                    yield BadRecord(f"{source}:{member.filename}", 0, "", f"cannot be read: {error}")

    def _tar(self, stream: io.BufferedReader, source: str, depth: int) -> Iterator[Raw]:
        found = False
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                if member.isfile() and _holds_structures(member.name):
                    found = True
                    handle = archive.extractfile(member)
                    if handle is not None:
                        yield from self.content(handle, f"{source}:{member.name}", depth + 1)
        if not found:
            yield BadRecord(source, 0, "", "the archive holds no structure files")


def cif_records(handle: ByteReader, source: str) -> Iterator[Raw]:
    """Blocks of CIF text; those that hold no structure (`data_global`, measured data) are passed over with a note."""
    n_blocks = 0
    for chunk in split_blocks(read_lines(handle)):
        n_blocks += 1
        if chunk.name is not None and not chunk.oversized and not _HOLDS_STRUCTURE.search(chunk.data):
            publish(NOTE, "no cell and no atoms, passed over", source, chunk.line, clean_name(chunk.name))
            continue
        yield _block_of(chunk, source)
    if n_blocks == 0:
        yield BadRecord(source, 0, "", "empty, expected CIF text with a data_ block")


def _block_of(chunk: Chunk, source: str) -> Raw:
    if chunk.oversized:
        return BadRecord(source, chunk.line, "", f"block longer than {MAX_BLOCK_BYTES >> 20} MiB, the limit")
    written = chunk.name
    if written is None:
        return BadRecord(source, chunk.line, "", "not CIF text: no data_ line, nor CSV with a 'cif' column")
    name, text = clean_name(written), decode(chunk.data)
    return RawBlock(source, chunk.line, name, text if name == written else rename_block(text, name))


def csv_records(handle: io.BufferedReader, source: str) -> Iterator[Raw]:
    """Rows of a CSV file with a `cif` column, each one block, named by `material_id` where there is such a column."""
    csv.field_size_limit(MAX_BLOCK_BYTES)
    text = io.TextIOWrapper(handle, encoding="utf-8", errors="replace", newline="")
    reader = csv.DictReader(text)
    line = 2  # where the next row begins
    try:
        for row in reader:
            yield _block_of_row(row, source, line)
            line = reader.line_num + 1
    except csv.Error as error:
        yield BadRecord(source, line, "", f"CSV cannot be read on: {error}")


def _block_of_row(row: dict[str, str], source: str, line: int) -> Raw:
    identifier = (row.get("material_id") or "").strip()
    identifier = clean_name(identifier) if identifier else ""
    content = row.get("cif")
    if not content or None in row or None in row.values():
        return BadRecord(source, line, identifier, "CSV row has too few or many fields")
    chunk = Chunk(line, content.encode("utf-8", "replace"))
    written = chunk.name
    if written is None:
        return BadRecord(source, line, identifier, "no data_ line in the 'cif' field")
    name = identifier or clean_name(written)
    return RawBlock(source, line, name, content if name == written else rename_block(content, name))


def complete_blocks(handle: ByteReader) -> tuple[list[str], int]:
    """Names of the whole blocks at the start of a partial output, and the bytes they take.

    All blocks but the last are whole, since another follows; the last is if it ends in the blank line that closes our
    blocks (a few letters of the next `data_` may follow), parses, and states the formula and Z of its atoms.
    """
    names: list[str] = []
    n_bytes, last = 0, None
    for chunk in split_blocks(read_lines(handle)):
        if last is not None:
            names.append(last.name or "")
            n_bytes += len(last.data)
        last = chunk
    if last is not None:
        end = last.data.rfind(b"\n\n") + 2
        if end > 1 and _is_complete(last.data[:end]):
            names.append(last.name or "")
            n_bytes += end
    return names, n_bytes


def _is_complete(data: bytes) -> bool:
    try:
        block = parse_block(decode(data))
    except CrystaltoolError:
        return False
    return (block.formula_sum, block.formula_units_z) == formula_sum(block.crystal.numbers)


def _asym_unit_texts(stream: SeekableReader, source: str) -> Iterator[Raw]:
    from crystaltool.io.hdf5 import asym_unit_texts

    try:
        for name, text in asym_unit_texts(stream, source):
            yield RawBlock(source, 0, clean_name(name), text)
    except InputError as error:
        yield BadRecord(source, 0, "", str(error))


def _holds_structures(name: str) -> bool:
    """Whether a file of a folder or archive is read, by its name: hidden files and other kinds are passed over."""
    base = os.path.basename(name).lower()
    if base.startswith("."):
        return False
    for suffix in COMPRESSED_SUFFIXES:
        base = base.removesuffix(suffix)
    return base.endswith(STRUCTURE_SUFFIXES)


def _is_text_start(head: bytes) -> bool:
    return not head.startswith((b"\x89HDF", b"\x1f\x8b", b"\xfd7zXZ", b"BZh", b"PK\x03\x04", b"PK\x05\x06"))


def _is_csv_header(head: bytes) -> bool:
    line = head.split(b"\n", 1)[0]
    if b"," not in line:
        return False
    fields = next(csv.reader([line.decode("utf-8", "replace").removeprefix("﻿").strip()]), [])
    return "cif" in fields


def _spooled(stream: ByteReader) -> SpooledTemporaryFile[bytes]:
    """A seekable copy of a stream (zip and HDF5 need to seek)."""
    copy = SpooledTemporaryFile(max_size=SPOOL_IN_MEMORY)  # noqa: SIM115 -- the caller closes it
    total = 0
    while data := stream.read(1 << 20):
        total += len(data)
        if total > MAX_SPOOLED_BYTES:
            copy.close()
            raise OSError(f"longer than {MAX_SPOOLED_BYTES >> 30} GiB, the limit for a spooled input")
        copy.write(data)
    copy.seek(0)
    return copy
