"""What a structure is called in a run: as its block or as its file, and never as another one."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from crystaltool.io.cif_format import MAX_NAME_LENGTH, clean_name
from crystaltool.io.records import RawBlock
from crystaltool.io.splitter import rename_block

STDIN = "-"
STRUCTURE_SUFFIXES = (
    ".cif", ".mcif", ".csv", ".vasp", ".poscar", ".xyz", ".extxyz", ".h5", ".hdf5", ".zip", ".tar", ".tgz", ".txz",
)  # fmt: skip
STRUCTURE_NAMES = re.compile(r"(?:poscar|contcar)(?:[-_][^.]*)?")
"""Files of VASP have no ending, but perhaps a number or a name behind theirs: `POSCAR-001`, `CONTCAR_relaxed`."""

COMPRESSED_SUFFIXES = (".gz", ".xz", ".bz2")

Warn: TypeAlias = Callable[[str, int, str, str], None]
"""Called with (source, line, name, text)."""


def file_stem(source: str) -> str:
    """The name of the file, or member of an archive, that a block comes from, without folders and endings."""
    stem = os.path.basename(source).rpartition(":")[2]
    for suffixes in (COMPRESSED_SUFFIXES, STRUCTURE_SUFFIXES):
        stem = next(
            (stem[: -len(end)] for end in suffixes if stem.lower().endswith(end) and len(stem) > len(end)), stem
        )
    return stem


def holds_structures(name: str) -> bool:
    """Whether a file of a folder or archive is read, by its name: hidden files and other kinds are passed over."""
    base = os.path.basename(name).lower()
    if base.startswith("."):
        return False
    for suffix in COMPRESSED_SUFFIXES:
        base = base.removesuffix(suffix)
    return base.endswith(STRUCTURE_SUFFIXES) or STRUCTURE_NAMES.fullmatch(base) is not None


class UniqueNames:
    """Gives every block of a run a name of its own, compared casefolded.

    Args:
        by_file: call a block as its file; the second block of a file is then `file.2`. What comes from standard input
            keeps its name, and so does a row of a table that has an identifier.
        warn: told where different blocks, or with `by_file` files, had one name.
    """

    def __init__(self, by_file: bool = False, warn: Warn | None = None) -> None:
        self._by_file, self._warn = by_file, warn
        self._counts: dict[str, int] = {}
        self._sources: dict[str, str] = {}

    def unique(self, raw: RawBlock) -> RawBlock:
        """The block, renamed `x.2`, `x.3`, ... if its name was used before."""
        by_file = self._by_file and raw.source != STDIN and not raw.has_id
        wanted = clean_name(file_stem(raw.source)) if by_file else raw.name
        name, key = wanted, wanted.casefold()
        if key in self._counts:
            count = self._counts[key]
            while name.casefold() in self._counts:
                count += 1
                name = clean_name(f"{wanted[: MAX_NAME_LENGTH - len(str(count)) - 1]}.{count}")
            self._counts[key] = count
            if self._warn is not None and not (by_file and self._sources.get(key) == raw.source):
                what = "file" if by_file else "block"
                self._warn(raw.source, raw.line, wanted, f"{what} name repeats, renamed to {name}")
        elif by_file:
            self._sources[key] = raw.source
        self._counts[name.casefold()] = 1
        text = raw.text if name == raw.name else rename_block(raw.text, name)
        return replace(raw, name=name, text=text, written=raw.written or raw.name)
