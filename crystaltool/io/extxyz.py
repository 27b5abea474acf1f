"""Extended XYZ: frames of periodic structures one after another, read strictly and written.

The format is that of libAtoms (github.com/libAtoms/extxyz): a line with the number of atoms, one of `key=value` pairs
(`Lattice`, `Properties`, `pbc`), and a line an atom. A frame without `Lattice` is a molecule and is refused.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from crystaltool.crystal import Crystal
from crystaltool.errors import InputError
from crystaltool.io.byte_streams import ByteReader
from crystaltool.io.cif import MAX_ATOMS, clean_name, format_crystal
from crystaltool.io.cif_format import property_name
from crystaltool.io.csv_blocks import MAX_VALUE_LENGTH
from crystaltool.io.names import STDIN, file_stem
from crystaltool.io.records import BadRecord, Raw, RawBlock
from crystaltool.io.remarks import NOTE, note_fixed, publish
from crystaltool.io.splitter import MAX_BLOCK_BYTES, decode
from crystaltool.numerals import LARGEST, whole_number
from crystaltool.units import SYMBOLS, atomic_number

_PAIR = re.compile(
    r"""([^\s=]+)(?:\s*=\s*("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\{[^}]*\}|\[[^\]]*\]|[^\s]*))?""",
)
_NAMES = ("name", "material_id", "structure_name")
_STRUCTURE = ("lattice", "properties", "pbc", *_NAMES)
_PLAIN = re.compile(r"[A-Za-z0-9_.+\-/:]+$")
_DEFAULT_COLUMNS = "species:S:1:pos:R:3"


def extxyz_records(handle: ByteReader, source: str) -> Iterator[Raw]:
    """The frames as CIF blocks in P 1, called by `name=`, `material_id=` or else as their file (the second `FILE-1`).

    Values that are one number or one text become `_crystaltool_<key>`. A frame that cannot be read is skipped; where
    the next one begins is told by the number of atoms, so a wrong one ends the file.
    """
    line_number, n_frames = 0, 0
    while head := handle.readline(MAX_BLOCK_BYTES):
        line_number += 1
        if not head.strip():
            continue
        start = line_number
        n_atoms = whole_number(decode(head.strip()))
        if n_atoms is None:
            text = decode(head.strip()[:40])
            yield BadRecord(source, start, "", f"XYZ: {text!r}, expected a number of atoms; the rest is not read")
            return
        comment = decode(handle.readline(MAX_BLOCK_BYTES)).strip()
        rows: list[str] = []
        n_rows = 0
        while n_rows < n_atoms and (row := handle.readline(MAX_BLOCK_BYTES)):
            n_rows += 1
            if n_rows <= MAX_ATOMS:
                rows.append(decode(row))
        line_number += 1 + n_rows
        stem = file_stem(source) if source != STDIN else "frame"
        unnamed = f"{stem}-{n_frames}" if n_frames else stem
        n_frames += 1
        yield _record(_Frame(start, comment, rows, n_rows, n_atoms), source, unnamed)


class _Frame(NamedTuple):
    """A frame: its first line, its comment and atoms, how many of these there are and how many are stated."""

    line: int
    comment: str
    rows: list[str]
    n_rows: int
    n_atoms: int


def _record(frame: _Frame, source: str, unnamed: str) -> Raw:
    """A frame as a CIF block, called `unnamed` where it has no name."""
    name = ""
    try:
        info = _pairs(frame.comment)
        name = clean_name(next((info[key] for key in _NAMES if info.get(key, "").strip()), unnamed))
        if frame.n_rows < frame.n_atoms:
            raise InputError(f"ends after {frame.n_rows} of {frame.n_atoms} atoms")
        if frame.n_atoms > MAX_ATOMS:
            raise InputError(f"{frame.n_atoms} atoms, the limit is {MAX_ATOMS}")
        crystal = _crystal(info, frame.rows)
        if any("D" in row.split() for row in frame.rows):
            publish(NOTE, "deuterium is read as H", source, frame.line, name)
        text = format_crystal(crystal, name, (), _properties(info))
        note_fixed(_n_fixed(info, frame.rows), source, frame.line, name)
        return RawBlock(source, frame.line, name, text, form="extended XYZ")
    except InputError as error:
        return BadRecord(source, frame.line, name, f"XYZ: {error}")


def _pairs(comment: str) -> dict[str, str]:
    """The pairs of a comment line, `T` for a bare key; structural keys in lower case."""
    found: dict[str, str] = {}
    for match in _PAIR.finditer(comment):
        key, value = match[1], match[2]
        if value is None:
            value = "T"
        elif value[:1] in ('"', "'") and len(value) > 1:
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        elif value[:1] in ("{", "["):
            value = value[1:-1].replace(",", " ")
        found[key.lower() if key.lower() in _STRUCTURE else key] = value
    return found


def _crystal(info: Mapping[str, str], rows: list[str]) -> Crystal:
    if "lattice" not in info:
        raise InputError("no Lattice in the comment line: a molecule, expected a crystal")
    periodic = re.findall(r"[A-Za-z01]+", info.get("pbc", "T T T"))
    if [word[0].upper() in "T1" for word in periodic] not in ([True], [True] * 3):
        raise InputError(f"pbc is {info['pbc']!r}: not periodic in three directions")
    cell = _floats(info["lattice"].split(), "Lattice")
    if len(cell) != 9:
        raise InputError(f"Lattice has {len(cell)} numbers, expected 9")
    lattice = np.array(cell).reshape(3, 3)
    if abs(np.linalg.det(lattice)) < 1e-6:
        raise InputError("the cell has no volume")
    _refuse_shares(info)
    columns, width = _columns(info)
    position = columns["pos"][0]
    numbers, points = [], []
    for index, row in enumerate(rows, start=1):
        words = row.split()
        if len(words) < width:
            raise InputError(f"atom {index} has {len(words)} columns, expected {width}")
        numbers.append(_number(words, columns, index))
        points.append(_floats(words[position : position + 3], f"the position of atom {index}"))
    coords = np.array(points).reshape(-1, 3) @ np.linalg.inv(lattice)
    if np.linalg.det(lattice) < 0.0:  # the same lattice and crystal on a right-handed basis
        lattice, coords = -lattice, -coords
    return Crystal(lattice, coords, np.array(numbers, dtype=np.int64))


def _columns(info: Mapping[str, str]) -> tuple[dict[str, tuple[int, int]], int]:
    """Where each property of an atom begins in its line and how many columns it has, and the columns of a line."""
    text = info.get("properties", _DEFAULT_COLUMNS)
    parts = text.split(":")
    counts = [whole_number(count) for count in parts[2::3]]
    if len(parts) % 3 or None in counts:
        raise InputError(f"Properties is {text!r}, expected name:type:columns of each")
    starts: dict[str, tuple[int, int]] = {}
    width = 0
    for key, count in zip(parts[0::3], counts, strict=True):
        starts[key] = width, count or 0
        width += count or 0
    if starts.get("pos", (0, 0))[1] != 3:
        raise InputError("Properties has no pos of three columns")
    if "species" not in starts and "Z" not in starts:
        raise InputError("Properties has neither species nor Z")
    return starts, width


def _n_fixed(info: Mapping[str, str], rows: list[str]) -> int:
    """Atoms that may not move, wholly or along an axis: ASE writes F into the column `move_mask`."""
    start, count = _columns(info)[0].get("move_mask", (0, 0))
    return sum("F" in row.split()[start : start + count] for row in rows) if count else 0


def _number(words: list[str], columns: Mapping[str, tuple[int, int]], index: int) -> int:
    """The atomic number of an atom, the same by its symbol and by its number where both are given."""
    said = {key: words[start] for key, (start, _) in columns.items()}
    for key in ("occupancy", "occupancies"):
        if key in said and _floats([said[key]], f"the occupancy of atom {index}") != [1.0]:
            raise InputError(f"atom {index} is partially occupied ({said[key]}), only ordered ones are read")
    named = atomic_number(said["species"]) if "species" in said else None
    if "Z" not in said:
        return named or 0
    number = whole_number(said["Z"])
    if number is None or not 1 <= number < len(SYMBOLS):
        raise InputError(f"{said['Z']!r} is no atomic number")
    if named not in (None, number):
        raise InputError(f"atom {index} is {said['species']} and has the atomic number {number}")
    return number


def _refuse_shares(info: Mapping[str, str]) -> None:
    """Raise InputError for a disordered crystal, of which ASE keeps the shares in the comment line alone."""
    text = info.get("occupancy", "")
    try:
        shares = json.loads(text.removeprefix("_JSON")) if text.startswith("_JSON") else {}
    except ValueError:
        raise InputError(f"occupancy is {text[:40]!r}, expected shares of elements") from None
    for site, parts in shares.items() if isinstance(shares, dict) else ():
        if isinstance(parts, dict) and list(parts.values()) != [1]:
            said = ", ".join(f"{element} {share}" for element, share in parts.items())
            raise InputError(f"site {site} is partially occupied ({said}), only ordered structures are read")


def _floats(words: list[str], what: str) -> list[float]:
    try:
        values = [float(word) for word in words]
    except ValueError:
        values = [math.nan]
    if not all(abs(value) <= LARGEST for value in values):
        raise InputError(f"{what} is {' '.join(words)!r}, expected numbers")
    return values


def _properties(info: Mapping[str, str]) -> dict[str, str]:
    """The single numbers and texts of a frame by their names in a block; vectors and nested values are left out."""
    kept = {}
    for key, value in info.items():
        name, words = property_name(key), value.split()
        is_vector = len(words) > 1 and all(re.fullmatch(r"[-+0-9.eE]+|[TF]", word) for word in words)
        is_single = bool(words) and not is_vector and not value.startswith("_JSON")
        if name and is_single and key not in _STRUCTURE and len(value) <= MAX_VALUE_LENGTH:
            kept[name] = value
    return kept


def format_extxyz(crystal: Crystal, name: str = "", properties: Mapping[str, str] | None = None) -> str:
    """One frame: cell and positions in Angstrom, `name=` and the properties in its comment line."""
    info = {"name": name or crystal.name or "unnamed", **(properties or {})}
    info["name"] = name or crystal.name or "unnamed"
    pairs = " ".join(f"{key}={_quoted(value)}" for key, value in info.items() if key not in _STRUCTURE[:3])
    cell = " ".join(f"{value:.10f}" for value in crystal.lattice.ravel().tolist())
    lines = [str(crystal.n_atoms), f'Lattice="{cell}" Properties=species:S:1:pos:R:3 {pairs} pbc="T T T"']
    coords = (crystal.frac_coords % 1.0) @ crystal.lattice
    for number, point in zip(crystal.numbers.tolist(), coords.tolist(), strict=True):
        lines.append(" ".join([SYMBOLS[number], *(f"{value:.10f}" for value in point)]))
    return "\n".join(lines) + "\n"


def _quoted(value: str) -> str:
    line = " ".join(value.split())
    if _PLAIN.match(line):
        return line
    return '"' + line.replace("\\", "\\\\").replace('"', '\\"') + '"'
