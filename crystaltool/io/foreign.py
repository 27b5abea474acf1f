"""Formats that are not read, recognised so that the refusal can name them."""

from __future__ import annotations

import re

READ = "CIF text, CSV with a 'cif' column, HDF5 of crystaltool asym-unit, and zip and tar archives of these"
"""What is read."""

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][+-]?\d+)?"
_THREE = rf"\s*{_NUMBER}\s+{_NUMBER}\s+{_NUMBER}"
_FORMATS = (
    ("XYZ or extended XYZ", r"\s*\d+\s*\n[^\n]*\n\s*[A-Za-z][A-Za-z0-9]?[a-z]?[\w\-]*" + _THREE),
    ("POSCAR (VASP)", rf"[^\n]*\n\s*{_NUMBER}(?:\s+{_NUMBER}\s+{_NUMBER})?[^\n]*\n(?:{_THREE}[^\n]*\n){{3}}"),
    ("JSON", r"\s*[\[{]"),
    ("PDB", r"(?:HEADER|TITLE|REMARK|CRYST1|ATOM  |HETATM|COMPND|MODEL )"),
    ("SHELX .res", r"TITL\b[^\n]*\n(?:REM[^\n]*\n)*CELL\b"),
    ("LAMMPS data", r"[^\n]*\n\s*\n?\s*\d+\s+atoms\b"),
    ("HTML or XML", r"\s*<(?:!DOCTYPE|html|\?xml|head|body|[a-zA-Z])"),
    ("YAML", r"---\s*\n"),
)


def not_cif(text: str) -> str:
    """One sentence for text without a `data_` line: what it seems to be, and what is read."""
    found = next((name for name, pattern in _FORMATS if re.match(pattern, text, re.IGNORECASE)), "")
    seems = f"it seems to be {found}, which is not read; " if found else ""
    return f"not CIF text: no data_ line, nor CSV with a 'cif' column; {seems}formats read: {READ}"
