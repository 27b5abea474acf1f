"""What a text is that is no CIF: POSCAR and extended XYZ, which are read, and formats that a refusal can name."""

from __future__ import annotations

import re

from crystaltool.io.byte_streams import ByteReader

CIF, POSCAR, XYZ = "CIF", "POSCAR", "XYZ"
"""What a text can be told to be by its first lines."""

LONGEST_LINE = 2**20
"""Bytes of one line that are looked at."""

READ = (
    "CIF text, CSV with a 'cif' column, POSCAR, extended XYZ, HDF5 of crystaltool asym-unit, and zip and tar archives"
    " of these"
)
"""What is read."""

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][+-]?\d+)?"
_THREE = rf"\s*{_NUMBER}\s+{_NUMBER}\s+{_NUMBER}"
_FORMATS = (
    ("JSON", r"\s*[\[{]"),
    ("PDB", r"(?:HEADER|TITLE|REMARK|CRYST1|ATOM  |HETATM|COMPND|MODEL )"),
    ("SHELX .res", r"TITL\b[^\n]*\n(?:REM[^\n]*\n)*CELL\b"),
    ("LAMMPS data", r"[^\n]*\n\s*\n?\s*\d+\s+atoms\b"),
    ("HTML or XML", r"\s*<(?:!DOCTYPE|html|\?xml|head|body|[a-zA-Z])"),
    ("YAML", r"---\s*\n"),
)

_BEGINS_CIF = re.compile(rb"(?:\xef\xbb\xbf)?\s*data_", re.IGNORECASE)
_SCALE = re.compile(rf"\s*{_NUMBER}(?:\s+{_NUMBER}\s+{_NUMBER})?\s*(?:[!#].*)?$")
_VECTOR = re.compile(_THREE)
_PAIRS = re.compile(r"\b(?:Lattice|Properties)\s*=", re.IGNORECASE)
_ATOM = re.compile(r"\s*(?:[A-Za-z][A-Za-z0-9]?[a-z]?[\w\-]*|\d+)" + _THREE)


def tell_text(stream: ByteReader) -> tuple[str, bytes]:
    """What a text is, and the lines that were read to tell: no more than it takes.

    Args:
        stream: at its beginning.
    """
    lines = [stream.readline(LONGEST_LINE)]
    if _BEGINS_CIF.match(lines[0]):
        return CIF, lines[0]

    def line(index: int) -> str:
        while len(lines) <= index:
            lines.append(stream.readline(LONGEST_LINE))
        return lines[index].decode("latin-1").rstrip("\r\n")

    kind = CIF
    if line(0).strip().isdecimal() and (_PAIRS.search(line(1)) or _ATOM.match(line(2))):
        kind = XYZ
    elif _SCALE.match(line(1)) and all(_VECTOR.match(line(index)) for index in (2, 3, 4)):
        kind = POSCAR
    return kind, b"".join(lines)


_COLUMN = re.compile(r"\"?[A-Za-z_][\w .()/%^-]*\"?$")
"""The name of a column of a table."""


def is_table(text: str) -> bool:
    """Whether a text begins as CSV or TSV: a line of names of columns, and as many fields in the next."""
    lines = text.splitlines()[:2] or [""]
    for separator in (",", "\t", ";"):
        n_more = lines[0].count(separator)
        if n_more and all(map(_COLUMN.match, lines[0].split(separator))) and lines[-1].count(separator) >= n_more:
            return True
    return False


def not_cif(text: str) -> str:
    """One sentence for text without a `data_` line: what it seems to be, and what is read."""
    if is_table(text):
        return f"it seems to be a table without a column 'cif', so it holds no structures; formats read: {READ}"
    found = next((name for name, pattern in _FORMATS if re.match(pattern, text, re.IGNORECASE)), "")
    seems = f"it seems to be {found}, which is not read; " if found else ""
    return f"not CIF text: no data_ line, nor CSV with a 'cif' column; {seems}formats read: {READ}"
