"""The tags of one CIF block and their values, whatever way they are written."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import gemmi

from crystaltool.errors import InputError
from crystaltool.io.remarks import NOTE, WARNING, Remark

ABSENT = ("?", ".")
STRUCTURE_TAGS = ("_cell_length", "_cell_angle", "_atom_site_", "_symmetry_", "_space_group", "_parent_space_group")
"""Beginnings of the tags that decide what the structure is; what contradicts itself here is an error."""

_NUMBER = re.compile(r"['\"]?([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)(?:\([0-9]*\))?['\"]?$")


@dataclass(frozen=True)
class Table:
    """Tags and loops of a block, tags in lower case with `_` for the dot of CIF 3 names; values as written."""

    pairs: dict[str, str]
    columns: dict[str, list[str]]
    remarks: tuple[Remark, ...] = ()

    def value(self, *tags: str) -> str | None:
        """The first of the tags that has a known value, unquoted."""
        for tag in tags:
            raw = self.pairs.get(tag)
            if raw is None and len(self.columns.get(tag, ())) == 1:
                raw = self.columns[tag][0]
            if raw is not None and raw not in ABSENT:
                return gemmi.cif.as_string(raw).strip()
        return None

    def column(self, tag: str) -> list[str] | None:
        """The values of a loop's column, also where a loop of one row is written as a pair."""
        if tag in self.columns:
            return self.columns[tag]
        return [self.pairs[tag]] if tag in self.pairs else None

    def known(self) -> Iterator[str]:
        """The tags that have a value, in order: neither `?` nor `.`."""
        for tag, raw in self.pairs.items():
            if raw not in ABSENT:
                yield tag
        for tag, column in self.columns.items():
            if any(raw not in ABSENT for raw in column):
                yield tag


def table_of(block: gemmi.cif.Block, said: tuple[Remark, ...] = ()) -> Table:
    """The table of a block as gemmi read it, with the remarks `said` on its text.

    Raises:
        InputError: if a tag of the structure is given twice with different values.
    """
    pairs: dict[str, str] = {}
    columns: dict[str, list[str]] = {}
    remarks = list(said)
    for item in block:
        pair = item.pair
        if pair is not None:
            tag, value = pair  # ty: ignore[not-iterable]
            tag = _normal(tag)
            if tag in pairs and not _is_empty(pairs[tag]):
                _repeat(tag, [pairs[tag]], [value], remarks)
            else:
                pairs[tag] = value
        elif (loop := item.loop) is not None:
            tags, values = loop.tags, loop.values
            for i, tag in enumerate(tags):
                tag = _normal(tag)
                column = values[i :: len(tags)]
                if tag in columns:
                    _repeat(tag, columns[tag], column, remarks)
                else:
                    columns[tag] = column
    for tag in sorted(pairs.keys() & columns.keys()):
        _repeat(tag, [pairs[tag]], columns[tag], remarks)
    return Table(pairs, columns, tuple(remarks))


@lru_cache(maxsize=4096)
def _normal(tag: str) -> str:
    return tag.lower().replace(".", "_")


def _repeat(tag: str, first: list[str], second: list[str], remarks: list[Remark]) -> None:
    """Note a tag that is given again; the first value counts."""
    if len(second) == 1 and _is_empty(second[0]):
        return
    if first == second or [to_number(value) or value for value in first] == [to_number(v) or v for v in second]:
        remarks.append(Remark(NOTE, f"{tag} is given twice, with the same value"))
        return
    said = f"{tag} is given twice, as {_shown(first)} and as {_shown(second)}"
    if tag.startswith(STRUCTURE_TAGS):
        raise InputError(said)
    remarks.append(Remark(WARNING, f"{said}; the first counts"))


def _is_empty(raw: str) -> bool:
    """Whether a value says nothing: `?`, `.`, or empty quotes or text field, as AMCSD writes a second formula."""
    return raw in ABSENT or not gemmi.cif.as_string(raw).strip()


def _shown(values: list[str]) -> str:
    text = values[0] if len(values) == 1 else f"{len(values)} values"
    return text if len(text) <= 40 else f"{text[:37]}..."


def to_number(raw: str) -> float | None:
    """A number, its uncertainty in parentheses dropped; `None` for anything else (`?`, `.`, `nan`, text)."""
    match = _NUMBER.match(raw)
    number = float(match[1]) if match else math.inf
    return number if math.isfinite(number) else None
