"""The table of formats that `write` and `crystaltool view` know; importing it is cheap.

To add one, write a function from a `Structure` to text in a file of its own and give it a row.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crystaltool.structure import Structure


@dataclass(frozen=True)
class Format:
    """A format of text.

    Args:
        function: `MODULE:NAME` of a function of a `Structure` that gives its text, ending in a newline.
        suffixes: of files that have it, the first of those in a folder.
        many: whether a file holds more than one structure.
    """

    function: str
    suffixes: tuple[str, ...]
    many: bool = True

    def text(self, structure: Structure) -> str:
        """The structure in this format."""
        module, _, name = self.function.partition(":")
        return getattr(importlib.import_module(module), name)(structure)


CIF = "cif"

FORMATS = {
    CIF: Format("crystaltool.verbs.formats:cif", (".cif",)),
    "extxyz": Format("crystaltool.verbs.formats:extxyz", (".xyz", ".extxyz")),
    "poscar": Format("crystaltool.verbs.formats:poscar", (".vasp", ".poscar"), many=False),
}
"""Formats that hold a whole structure, by name; `.h5` is a data set or blocks of MOFs, by what is written."""
