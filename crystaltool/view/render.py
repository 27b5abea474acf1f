"""Records as text: a table of one row of `FORMATS` for each format."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from crystaltool.errors import InputError
from crystaltool.io.extxyz import format_extxyz
from crystaltool.io.poscar import format_poscar
from crystaltool.view.fields import Record
from crystaltool.view.rows import RowRecord
from crystaltool.view.values import plain, text_of

AnyRecord: TypeAlias = Record | RowRecord


class Format(NamedTuple):
    """A row of the table.

    Args:
        tabular: whether it writes columns, else whole structures.
        suffix: ending of its files.
        write: text of a record with its columns.
        header: text of the columns' names, for formats that begin with it.
    """

    tabular: bool
    suffix: str
    write: Callable[[AnyRecord, Sequence[str]], str]
    header: Callable[[Sequence[str]], str] = lambda columns: ""


def csv_line(cells: Sequence[str]) -> str:
    """A line of CSV (RFC 4180, but ending in a newline alone)."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(cells)
    return buffer.getvalue()


def tsv_line(cells: Sequence[str]) -> str:
    """A line of tab-separated values; tabs and line breaks inside become blanks."""
    return "\t".join(" ".join(cell.split()) if not cell.isprintable() else cell for cell in cells) + "\n"


def cells_of(record: AnyRecord, columns: Sequence[str]) -> list[str]:
    """The values of the columns as text."""
    return [text_of(record.get(name)) for name in columns]


def _json(record: AnyRecord, columns: Sequence[str]) -> str:
    values = {name: plain(record.get(name)) for name in columns}
    return json.dumps(values, allow_nan=False, ensure_ascii=False) + "\n"


def _structure(record: AnyRecord) -> Record:
    if isinstance(record, RowRecord):
        raise InputError(f"{record.raw.of} are no structures, they are written as csv, tsv or json")
    return record


def _cif(record: AnyRecord, columns: Sequence[str]) -> str:
    text = _structure(record).raw.text
    return text if text.endswith("\n") else text + "\n"


def _extxyz(record: AnyRecord, columns: Sequence[str]) -> str:
    structure = _structure(record)
    return format_extxyz(structure.crystal, structure.raw.name, structure.properties)


def _poscar(record: AnyRecord, columns: Sequence[str]) -> str:
    return format_poscar(_structure(record).crystal, record.raw.name)


FORMATS: Mapping[str, Format] = {
    "cif": Format(False, ".cif", _cif),
    "csv": Format(True, ".csv", lambda record, columns: csv_line(cells_of(record, columns)), csv_line),
    "tsv": Format(True, ".tsv", lambda record, columns: tsv_line(cells_of(record, columns)), tsv_line),
    "json": Format(True, ".json", _json),
    "extxyz": Format(False, ".xyz", _extxyz),
    "poscar": Format(False, ".vasp", _poscar),
}


class AlignedTable:
    """A table for the eye: widths are those of the first rows, wider cells push the rest of their line.

    Args:
        columns: names.
        n_first: rows that are held back to measure.
    """

    def __init__(self, columns: Sequence[str], n_first: int = 100) -> None:
        self._rows: list[list[str]] = [list(columns)]
        self._n_first = n_first
        self._widths: list[int] | None = None
        self._right: list[bool] = []

    def add(self, cells: Sequence[str]) -> str:
        """One more row; the text that can be printed now, which may be empty."""
        self._rows.append(list(cells))
        return self.rest() if self._widths is not None or len(self._rows) > self._n_first else ""

    def rest(self) -> str:
        """The rows that are still held back."""
        if self._widths is None:
            self._widths = [max(map(len, column)) for column in zip(*self._rows, strict=True)]
            body = list(zip(*self._rows[1:], strict=True))
            self._right = [all(_is_number(cell) for cell in column) for column in body] or [False] * len(self._widths)
        lines = [self._line(row) for row in self._rows]
        self._rows = []
        return "".join(lines)

    def _line(self, row: Sequence[str]) -> str:
        padded = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, self._widths or (), self._right, strict=True)
        )
        return "  ".join(padded).rstrip() + "\n"


def _is_number(text: str) -> bool:
    try:
        float(text or "0")
    except ValueError:
        return False
    return True
