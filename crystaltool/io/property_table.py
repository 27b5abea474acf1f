"""Values that belong to structures: from a CSV file whose first column names them, or from the blocks themselves."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crystaltool.arrays import Float
from crystaltool.errors import InputError


@dataclass(frozen=True)
class PropertyTable:
    """Numeric columns of a CSV file.

    Args:
        columns: names of the numeric columns; a slash, which HDF5 would take for a path, is written " per ".
        rows: values by name of the structure, NaN where a field is empty.
    """

    columns: tuple[str, ...]
    rows: dict[str, tuple[float, ...]]

    def find(self, *names: str) -> dict[str, float]:
        """The known numbers of the first name that the table has."""
        for name in names:
            if name in self.rows:
                known = zip(self.columns, self.rows[name], strict=True)
                return {column: value for column, value in known if math.isfinite(value)}
        return {}


def read_property_table(path: str | Path) -> PropertyTable:
    """Read a CSV file with a header; a column is numeric if every field in it that is not empty is a number.

    Raises:
        InputError: no header, no numeric column, a row of another length, or a name twice.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as handle:
            lines = [row for row in csv.reader(handle) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: no CSV text ({error})") from None
    if len(lines) < 2:
        raise InputError(f"{path}: expected a CSV file with a header and rows")
    header, *body = lines
    for number, row in enumerate(body, start=2):
        if len(row) != len(header):
            raise InputError(f"{path}: row {number} has {len(row)} fields, the header {len(header)}")
    names = [row[0].strip() for row in body]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{path}: the name {twice!r} stands twice in column {header[0]!r}")
    columns: dict[str, list[float]] = {}
    for position in range(1, len(header)):
        values = [_number(row[position]) for row in body]
        if None not in values and any(value == value for value in values):
            columns[header[position].replace("/", " per ")] = [value for value in values if value is not None]
    if not columns:
        raise InputError(f"{path}: no numeric column")
    rows = dict(zip(names, zip(*columns.values(), strict=True), strict=True))
    return PropertyTable(tuple(columns), rows)


def split_columns(
    rows: Sequence[Mapping[str, str]],
) -> tuple[dict[str, Float[np.ndarray, " n"]], dict[str, list[str]]]:
    """Columns of numbers (NaN where a row has none) and of texts (empty where it has none), from one mapping a row.

    A column is one of numbers if every value in it is a number.
    """
    numbers: dict[str, Float[np.ndarray, " n"]] = {}
    texts: dict[str, list[str]] = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        lines = [row.get(name, "") for row in rows]
        values = [_number(line) for line in lines]
        if None in values:
            texts[name] = lines
        else:
            numbers[name] = np.array(values, dtype=np.float64)
    return numbers, texts


def _number(text: str) -> float | None:
    """The number, NaN for an empty field, None for text."""
    try:
        return math.nan if not text.strip() else float(text) if "_" not in text else None
    except ValueError:
        return None
