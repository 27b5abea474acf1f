"""CSV files with a `cif` column, as the field's data sets have it: a row is a block, its other columns go into it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence

from crystaltool.io.cif_format import clean_name, property_name, quote
from crystaltool.io.records import BadRecord, Raw, RawBlock
from crystaltool.io.splitter import MAX_BLOCK_BYTES, Chunk, rename_block

STRUCTURE_COLUMN, NAME_COLUMN = "cif", "material_id"

MAX_VALUE_LENGTH = 2000
"""Longer values (other structures, spectra) are not carried: a line of CIF 1.1 has at most 2,048 characters."""


def is_csv_header(head: bytes) -> bool:
    """Whether the first line of a file is a CSV header with a `cif` column."""
    line = re.split(rb"[\r\n]", head, maxsplit=1)[0]
    fields = next(csv.reader([line.decode("utf-8", "replace").removeprefix("\ufeff").strip()]), [])
    return STRUCTURE_COLUMN in fields


def csv_records(handle: io.BufferedReader, source: str) -> Iterator[Raw]:
    """Rows as blocks, named by `material_id` where there is such a column."""
    csv.field_size_limit(MAX_BLOCK_BYTES)
    text = io.TextIOWrapper(handle, encoding="utf-8-sig", errors="replace", newline="")
    reader = csv.DictReader(text)
    line = 2  # where the next row begins
    try:
        keys = _property_names(reader.fieldnames or ())
        for row in reader:
            yield _block_of_row(row, keys, source, line)
            line = reader.line_num + 1
    except csv.Error as error:
        yield BadRecord(source, line, "", f"CSV cannot be read on: {error}")


def _property_names(columns: Sequence[str]) -> dict[str, str]:
    """The name of each further column in a block; columns without a name (pandas' index) are left out."""
    found: dict[str, str] = {}
    for column in columns:
        name = key = property_name(column)
        count = 1
        while name in found.values():
            count += 1
            name = f"{key}_{count}"
        if key and column not in (STRUCTURE_COLUMN, NAME_COLUMN):
            found[column] = name
    return found


def _block_of_row(row: dict[str, str], keys: Mapping[str, str], source: str, line: int) -> Raw:
    identifier = (row.get(NAME_COLUMN) or "").strip()
    identifier = clean_name(identifier) if identifier else ""
    content = row.get(STRUCTURE_COLUMN)
    if not content or None in row or None in row.values():
        return BadRecord(source, line, identifier, "CSV row has too few or many fields")
    written = Chunk(line, content.encode("utf-8", "replace")).name
    if written is None:
        return BadRecord(source, line, identifier, "no data_ line in the 'cif' field")
    name = identifier or clean_name(written)
    content = content if name == written else rename_block(content, name)
    text = _with_properties(content, {keys[c]: row[c] for c in keys})
    return RawBlock(source, line, name, text, written, has_id=bool(identifier), form="CSV")


def _with_properties(text: str, properties: Mapping[str, str]) -> str:
    """The block with values as `_crystaltool_<name>`, behind its `data_` line; what it states itself stays."""
    stated = {found.lower() for found in re.findall(r"(?im)^\s*_crystaltool_(\S+)", text)}
    lines = "".join(
        f"_crystaltool_{name} {quote(value)}\n"
        for name, value in properties.items()
        if value.strip() and len(value) <= MAX_VALUE_LENGTH and name not in stated
    )
    return re.sub(r"(?im)^\s*data_\S*[^\n]*(\n|$)", lambda head: head[0].rstrip("\n") + "\n" + lines, text, count=1)
