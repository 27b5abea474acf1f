"""Records as text: tables of columns, and the formats of whole structures."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, TypeAlias

from crystaltool.errors import InputError
from crystaltool.io.printable import json_line, printable
from crystaltool.structure import Structure
from crystaltool.verbs.format_table import CIF, FORMATS
from crystaltool.view.fields import Record
from crystaltool.view.rows import RowRecord
from crystaltool.view.values import plain, text_of

AnyRecord: TypeAlias = Record | RowRecord


class Format(NamedTuple):
    """How records are written.

    Args:
        suffix: ending of its files.
        write: text of a record with its columns.
        header: text of the columns' names, for formats that begin with it.
        many: whether a file holds more than one record.
    """

    suffix: str
    write: Callable[[AnyRecord, Sequence[str]], str]
    header: Callable[[Sequence[str]], str] = lambda columns: ""
    many: bool = True


def csv_line(cells: Sequence[str]) -> str:
    """A line of CSV (RFC 4180, but ending in a newline alone); control characters become escapes."""
    buffer = io.StringIO()
    shown = ["\n".join(map(printable, cell.splitlines())) if not cell.isprintable() else cell for cell in cells]
    csv.writer(buffer, lineterminator="\n").writerow(shown)
    return buffer.getvalue()


def tsv_line(cells: Sequence[str]) -> str:
    """A line of tab-separated values; tabs and line breaks inside become blanks, other control characters escapes."""
    return "\t".join(printable(" ".join(cell.split())) if not cell.isprintable() else cell for cell in cells) + "\n"


def cells_of(record: AnyRecord, columns: Sequence[str]) -> list[str]:
    """The values of the columns as text."""
    return [text_of(record.get(name)) for name in columns]


def _json(record: AnyRecord, columns: Sequence[str]) -> str:
    values = {name: plain(record.get(name)) for name in columns}
    return json_line(values)


TABLES: Mapping[str, Format] = {
    "csv": Format(".csv", lambda record, columns: csv_line(cells_of(record, columns)), csv_line),
    "tsv": Format(".tsv", lambda record, columns: tsv_line(cells_of(record, columns)), tsv_line),
    "json": Format(".json", _json),
}
"""Formats that write columns; all others are those of `verbs.format_table` and hold whole structures."""


def format_of(name: str) -> Format:
    """The format of a name: a table of columns, or one that holds structures."""
    if name in TABLES:
        return TABLES[name]
    row = FORMATS[name]
    return Format(row.suffixes[0], partial(_whole, name), many=row.many)


def _whole(form: str, record: AnyRecord, columns: Sequence[str]) -> str:
    """A structure; CIF as it came."""
    if isinstance(record, RowRecord):
        raise InputError(f"{record.raw.of} are no structures, they are written as csv, tsv or json")
    if form != CIF:
        return FORMATS[form].text(Structure.from_block(record.block))
    text = record.raw.text
    return text if text.endswith("\n") else text + "\n"


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
