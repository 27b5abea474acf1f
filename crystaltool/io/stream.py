"""Any input as a stream of structures: what a file is is told from its content, memory stays flat.

CIF text, CSV with a `cif` column, POSCAR, extended XYZ, HDF5 data sets of asymmetric units, zip and tar archives of
these, folders in sorted order, each also compressed (gzip, xz, bzip2). Archives are read member by member; nothing is
ever unpacked to disk.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import os
import re
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import TypeAlias

from crystaltool.errors import CrystaltoolError, InputError, UnreadableError
from crystaltool.io.archives import Member, tar_members, zip_members
from crystaltool.io.byte_streams import ByteReader, Encoded, Expanded, Joined, SeekableReader
from crystaltool.io.cif import CifBlock, clean_name, formula_sum, parse_block
from crystaltool.io.csv_blocks import csv_records, is_csv_header
from crystaltool.io.extxyz import extxyz_records
from crystaltool.io.foreign import CIF, POSCAR, READ, not_cif, tell_text
from crystaltool.io.names import STDIN, UniqueNames, Warn, holds_structures
from crystaltool.io.poscar import poscar_records
from crystaltool.io.records import BadRecord, FolderTally, Raw, RawBlock
from crystaltool.io.remarks import NOTE, publish
from crystaltool.io.splitter import MAX_BLOCK_BYTES, Chunk, decode, read_lines, rename_block, split_blocks

__all__ = [
    "BadRecord",
    "FolderTally",
    "Hdf5Reader",
    "Raw",
    "RawBlock",
    "complete_blocks",
    "iter_blocks",
    "iter_raw",
    "parse_raw",
    "read_raw",
]

MAX_SPOOLED_BYTES = 4 * 2**30
"""A zip or HDF5 that arrives through a pipe is kept (in memory up to 64 MiB, then on disk) up to this size."""

SPOOL_IN_MEMORY = 64 * 2**20
HEAD_BYTES = 1024
FOREIGN_BYTES = 4096
"""As much of a text that is no CIF is looked at to name its format."""

SUFFIXES_SAID = ".cif, .csv, .vasp, .xyz, .h5, .zip, .tar, POSCAR, CONTCAR"
_HDF5_SUFFIXES = (".h5", ".hdf5")

_HOLDS_STRUCTURE = re.compile(rb"(?:^|\s)_(?:cell[_.](?:length|angle)|atom_site[_.])", re.IGNORECASE)
"""What a block without structure has none of; a block with one half of it is a bad structure."""

_UNREADABLE = (OSError, EOFError, InputError, zlib.error, lzma.LZMAError)

Hdf5Reader: TypeAlias = Callable[[SeekableReader, str], Iterable[Raw]]


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


def read_raw(raw: RawBlock) -> CifBlock:
    """Parse one text.

    Raises:
        UnreadableError: if it cannot be read as a structure.
    """
    block = parse_raw(raw)
    if isinstance(block, BadRecord):
        raise UnreadableError(block.message)
    return block


def parse_raw(raw: RawBlock) -> CifBlock | BadRecord:
    """Parse one text; an error of the input becomes a `BadRecord`, what there is to remark is logged."""
    try:
        block = parse_block(raw.text, raw.source, raw.line, raw.name)
    except CrystaltoolError as error:
        return BadRecord(raw.source, raw.line, raw.name, str(error))
    for remark in block.remarks:
        publish(remark.level, remark.text, raw.source, raw.line, raw.name)
    return block


def iter_raw(
    paths: Sequence[str],
    warn: Warn | None = None,
    hdf5: Hdf5Reader | None = None,
    by_file: bool = False,
    folders: list[FolderTally] | None = None,
    stdin: ByteReader | None = None,
) -> Iterator[Raw]:
    """As `iter_blocks`, before parsing: for commands that parse in worker processes.

    Args:
        paths, warn, hdf5: as `iter_blocks`.
        by_file: call blocks as their files, see `io.names`.
        folders: gets a tally for every folder among the paths, which counts as the stream is read.
        stdin: read in place of standard input.
    """
    names = UniqueNames(by_file, warn)
    for raw in _Reader(hdf5 or asym_unit_blocks, folders, stdin).inputs(paths):
        yield raw if isinstance(raw, BadRecord) else names.unique(raw)


class _Reader:
    """Walks inputs and recognises what they hold."""

    def __init__(self, hdf5: Hdf5Reader, folders: list[FolderTally] | None, stdin: ByteReader | None) -> None:
        self._hdf5 = hdf5
        self._stdin = stdin
        self._folders = [] if folders is None else folders

    def inputs(self, paths: Sequence[str]) -> Iterator[Raw]:
        """All inputs in order."""
        for path in paths:
            try:
                if path == STDIN:
                    yield from self.content(self._stdin or sys.stdin.buffer, STDIN)
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
        files = sorted(
            os.path.join(parent, name)
            for parent, folders, names in os.walk(folder)
            if not any(part.startswith(".") for part in Path(parent).relative_to(folder).parts)
            for name in names
            if not name.startswith(".")
        )
        found = [file for file in files if holds_structures(file)]
        tally = FolderTally(str(folder), len(files), n_passed_over=len(files) - len(found))
        self._folders.append(tally)
        if not found:
            yield BadRecord(str(folder), 0, "", f"the folder holds no structure files ({SUFFIXES_SAID})")
        for file in found:
            n_blocks = n_bad = 0
            for raw in self.inputs([file]):
                n_bad += isinstance(raw, BadRecord)
                n_blocks += not isinstance(raw, BadRecord)
                yield raw
            tally.count(n_blocks, n_bad)

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
        joined = Joined(head, handle)
        stream: io.BufferedReader = io.BufferedReader(joined, 1 << 16)
        if head.startswith(b"\x89HDF"):
            with _spooled(stream) as whole:
                yield from self._hdf5(whole, source)
        elif head.startswith(b"\x1f\x8b"):
            yield from self.content(Expanded(gzip.GzipFile(fileobj=stream), lambda: joined.n_read), source, depth + 1)
        elif head.startswith(b"\xfd7zXZ\0"):
            with lzma.LZMAFile(stream) as unpacked:
                yield from self.content(Expanded(unpacked, lambda: joined.n_read), source, depth + 1)
        elif head.startswith(b"BZh"):
            yield from self.content(Expanded(bz2.BZ2File(stream), lambda: joined.n_read), source, depth + 1)
        elif head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
            with _spooled(stream) as whole:
                yield from self._members(zip_members(whole), source, depth)
        elif head[257:262] == b"ustar":
            yield from self._members(tar_members(stream), source, depth)
        elif head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            text = codecs.getreader("utf-16")(stream, "replace")
            yield from self.content(Encoded(text), source, depth + 1)
        elif b"\r" in head and b"\n" not in head and b"\0" not in head:  # lines end as on the first Macintosh
            yield from self.content(Encoded(io.TextIOWrapper(stream, "utf-8", "replace")), source, depth + 1)
        elif b"\0" in head or source.lower().endswith(_HDF5_SUFFIXES):
            kind = "not a readable HDF5 file, in spite of its name" if source.lower().endswith(_HDF5_SUFFIXES) else ""
            yield BadRecord(
                source, 0, "", kind or f"not CIF text, but binary data of another kind; formats read: {READ}"
            )
        elif is_csv_header(head):
            yield from csv_records(stream, source)
        else:
            yield from text_records(stream, source)

    def _members(self, members: Iterable[Member], source: str, depth: int) -> Iterator[Raw]:
        found = False
        for name, handle, message in members:
            found = True
            if handle is None:
                yield BadRecord(f"{source}:{name}", 0, "", message)
            else:
                yield from self.content(handle, f"{source}:{name}", depth + 1)
        if not found:
            yield BadRecord(source, 0, "", "the archive holds no structure files")


def text_records(stream: ByteReader, source: str) -> Iterator[Raw]:
    """The structures of a text that is no CSV: CIF, POSCAR or extended XYZ, told by its first lines."""
    kind, head = tell_text(stream)
    whole = io.BufferedReader(Joined(head, stream), 1 << 16)
    if kind == CIF:
        yield from cif_records(whole, source)
    else:
        yield from (poscar_records if kind == POSCAR else extxyz_records)(whole, source)


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
        return BadRecord(source, chunk.line, "", not_cif(decode(chunk.data[:FOREIGN_BYTES])))
    name, text = clean_name(written), decode(chunk.data)
    return RawBlock(source, chunk.line, name, text if name == written else rename_block(text, name), written)


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


def asym_unit_blocks(stream: SeekableReader, source: str) -> Iterator[Raw]:
    """The asymmetric units of an HDF5 data set, as blocks."""
    from crystaltool.io.hdf5 import asym_unit_texts

    try:
        for name, text in asym_unit_texts(stream, source):
            yield RawBlock(source, 0, clean_name(name), text, has_id=True)
    except InputError as error:
        yield BadRecord(source, 0, "", str(error))


def _is_text_start(head: bytes) -> bool:
    return not head.startswith((b"\x89HDF", b"\x1f\x8b", b"\xfd7zXZ", b"BZh", b"PK\x03\x04", b"PK\x05\x06"))


def spooled_stdin() -> SpooledTemporaryFile[bytes]:
    """Standard input kept, so that it can be read twice."""
    return _spooled(sys.stdin.buffer)


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
