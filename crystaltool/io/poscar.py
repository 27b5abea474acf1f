"""POSCAR, the structure file of VASP 5: one structure a file, read strictly and written.

What is left open is refused: a file of VASP 4 does not name its elements, and what stands beside it is not looked at.
Of more structures in a file (XDATCAR, files put together by `cat`) the first is read and the next one is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from crystaltool.arrays import Float
from crystaltool.crystal import Crystal
from crystaltool.errors import InputError
from crystaltool.io.byte_streams import ByteReader
from crystaltool.io.cif import MAX_ATOMS, clean_name, format_crystal
from crystaltool.io.names import file_stem
from crystaltool.io.records import BadRecord, Raw, RawBlock
from crystaltool.io.remarks import NOTE, note_fixed, publish
from crystaltool.io.splitter import MAX_BLOCK_BYTES, decode
from crystaltool.numerals import LARGEST, whole_number
from crystaltool.units import SYMBOLS, atomic_number

_SYMBOL = re.compile(r"([A-Z][a-z]?)(?:[_./].*)?$")
"""`Fe`, also with the name of a potential (`Fe_pv`) or a hash (`Fe/3f2a`) behind it."""

_CONFIGURATION = re.compile(r"\s*direct\s+configuration\s*=", re.IGNORECASE)
"""Begins the positions of each step in an XDATCAR."""

_FIXED = re.compile(r"\.?f", re.IGNORECASE)
"""How Fortran's false begins."""


class Poscar(NamedTuple):
    """What a POSCAR holds: its structure, how many atoms it fixes, and in which line (from 1) another one begins."""

    crystal: Crystal
    n_fixed: int
    next_line: int | None


def poscar_records(handle: ByteReader, source: str) -> Iterator[Raw]:
    """The structure of a POSCAR, as a CIF block in P 1, called as its first line or else as its file."""
    data = handle.read(MAX_BLOCK_BYTES + 1)
    if len(data) > MAX_BLOCK_BYTES:
        yield BadRecord(source, 1, "", f"POSCAR longer than {MAX_BLOCK_BYTES >> 20} MiB, the limit")
        return
    text = decode(data)
    first = text.splitlines()[0].strip().removeprefix("#").strip()
    name = clean_name(first if first else file_stem(source))
    try:
        found = read_poscar(text)
    except InputError as error:
        yield BadRecord(source, 1, name, f"POSCAR: {error}")
        return
    note_fixed(found.n_fixed, source, 1, name)
    if "D" in text.splitlines()[5].split():
        publish(NOTE, "deuterium is read as H", source, 1, name)
    yield RawBlock(source, 1, name, format_crystal(found.crystal, name), form="POSCAR")
    if found.next_line is not None:
        message = "POSCAR: another structure begins here, expected one in a file; from here on nothing is read"
        yield BadRecord(source, found.next_line, "", message)


def parse_poscar(text: str) -> Crystal:
    """The structure of a POSCAR, as `read_poscar`."""
    return read_poscar(text).crystal


def read_poscar(text: str) -> Poscar:
    """The first structure of a POSCAR; velocities and what else follows the positions are not read.

    Raises:
        InputError: elements that are not stated, a line that is not what it must be, or no crystal.
    """
    lines = text.splitlines()
    if len(lines) < 8:
        raise InputError(f"{len(lines)} lines, expected a cell, elements, counts and positions")
    lattice, scales = _cell(lines)
    numbers = _elements(lines)
    selective = lines[7].strip()[:1] in ("S", "s")
    row = 8 if selective else 7
    mode = lines[row].strip() if row < len(lines) else ""
    if not mode[:1].isalpha():
        raise InputError(f"line {row + 1} is {mode!r}, expected Direct or Cartesian")
    rows = lines[row + 1 : row + 1 + len(numbers)]
    if len(rows) < len(numbers):
        raise InputError(f"{len(rows)} positions, expected {len(numbers)}")
    points = np.array([_numbers(line, row + 2 + k, 3) for k, line in enumerate(rows)])
    _compare_names(rows, row + 2, numbers, 6 if selective else 3)
    end = row + 1 + len(rows)
    if end < len(lines) and len(lines[end].split()) >= 3 and all(map(_is_number, lines[end].split()[:3])):
        raise InputError(f"line {end + 1} is a position more than the {len(numbers)} that are counted")
    if mode[0] in "CcKk":
        points = (points * scales) @ np.linalg.inv(lattice)
    if np.linalg.det(lattice) < 0.0:  # the same lattice and crystal on a right-handed basis
        lattice, points = -lattice, -points
    n_fixed = sum(any(map(_FIXED.match, line.split()[3:6])) for line in rows) if selective else 0
    return Poscar(Crystal(lattice, points, numbers), n_fixed, _next_line(lines, end))


def _compare_names(rows: list[str], first: int, numbers: np.ndarray, n_before: int) -> None:
    """Raise InputError where an element behind a position, as pymatgen writes it, is not the one that is counted."""
    for k, (row, number) in enumerate(zip(rows, numbers.tolist(), strict=True)):
        words = row.split()
        found = _SYMBOL.match(words[n_before]) if len(words) == n_before + 1 else None
        if found and found[1] in SYMBOLS and found[1] != SYMBOLS[number]:
            raise InputError(f"line {first + k} says {found[1]}, by the counts it is {SYMBOLS[number]}")


def _next_line(lines: list[str], end: int) -> int | None:
    """The line, counted from 1, in which another structure begins behind the positions, which stop before `end`."""
    for row in range(end, len(lines)):
        if _CONFIGURATION.match(lines[row]):
            return row + 1
        words = lines[row].split()
        first = row - 5  # seen from its line of elements
        if first >= end and words and all(map(_SYMBOL.match, words)) and _is_cell(lines[first + 1 : row]):
            return first + 1
    return None


def _is_cell(lines: list[str]) -> bool:
    """Whether these are a scale and three vectors."""
    return all(
        len(words) >= n and all(map(_is_number, words[:n]))
        for words, n in zip(map(str.split, lines), (1, 3, 3, 3), strict=True)
    )


def _cell(lines: list[str]) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, "3"]]:
    """Rows of the cell in Angstrom, and the factors of Cartesian coordinates."""
    words = lines[1].split()
    scales = np.array(_numbers(lines[1], 2, 3 if len(words) >= 3 and _is_number(words[2]) else 1))
    lattice = np.array([_numbers(lines[row], row + 1, 3) for row in (2, 3, 4)])
    volume = abs(float(np.linalg.det(lattice)))
    if volume < 1e-9:
        raise InputError("the cell has no volume")
    if len(scales) == 1 and scales[0] < 0.0:  # the volume of the cell
        scales = np.array([(-scales[0] / volume) ** (1 / 3)])
    if (scales <= 0.0).any():
        raise InputError(f"line 2 is {lines[1].strip()!r}, expected a positive scale, or a negative volume")
    scales = np.broadcast_to(scales, 3).copy()
    return lattice * scales, scales


def _elements(lines: list[str]) -> np.ndarray:
    words, counts = lines[5].split(), lines[6].split()
    if words and all(word.isdecimal() for word in words):
        raise InputError("line 6 names no elements (a file of VASP 4), which are not guessed")
    found = [_SYMBOL.match(word) for word in words]
    if not words or None in found:
        raise InputError(f"line 6 is {lines[5].strip()!r}, expected element symbols")
    if len(counts) > len(words) and counts[len(words)].isdecimal():
        raise InputError(f"line 7 has more counts than line 6 elements: {lines[6].strip()!r} for {lines[5].strip()!r}")
    counts = counts[: len(words)]
    wanted = [number for count in counts if (number := whole_number(count)) is not None]
    if len(wanted) < len(words):
        raise InputError(f"line 7 is {lines[6].strip()!r}, expected {len(words)} whole numbers")
    if (total := sum(wanted)) > MAX_ATOMS:
        raise InputError(f"{total} atoms, the limit is {MAX_ATOMS}")
    return np.repeat([atomic_number(match[1]) for match in found if match], wanted)


def _is_number(word: str) -> bool:
    try:
        return abs(float(word.replace("D", "E").replace("d", "e"))) <= LARGEST
    except ValueError:
        return False


def _numbers(line: str, number: int, count: int) -> list[float]:
    words = line.split()[:count]
    if len(words) < count or not all(map(_is_number, words)):
        raise InputError(f"line {number} is {line.strip()!r}, expected {count} number{'s' if count > 1 else ''}")
    return [float(word.replace("D", "E").replace("d", "e")) for word in words]


def format_poscar(crystal: Crystal, name: str = "") -> str:
    """A POSCAR, its first line the name; elements in the order in which they first appear, fractional coordinates."""
    kinds = list(dict.fromkeys(crystal.numbers.tolist()))
    coords = crystal.frac_coords % 1.0
    lines = [name or crystal.name or "unnamed", "1.0"]
    lines += [" ".join(f"{value:.10f}" for value in row) for row in crystal.lattice.tolist()]
    lines.append(" ".join(SYMBOLS[kind] for kind in kinds))
    lines.append(" ".join(str(int((crystal.numbers == kind).sum())) for kind in kinds))
    lines.append("Direct")
    for kind in kinds:
        lines += [" ".join(f"{value:.10f}" for value in row) for row in coords[crystal.numbers == kind].tolist()]
    return "\n".join(lines) + "\n"
