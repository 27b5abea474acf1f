"""The fields of a structure: a table of names, units and ways to find them, each found when it is asked for.

`_crystaltool_*` values are fields too, by their names without the prefix; a field of the table goes before one of
these, and `_crystaltool_<name>` means the value whatever the table has.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from crystaltool.errors import InputError
from crystaltool.io.cif import PROPERTY_PREFIX
from crystaltool.io.cif_header import Header
from crystaltool.io.cif_table import to_number
from crystaltool.io.records import RawBlock
from crystaltool.io.stream import read_raw
from crystaltool.lattice import matrix_to_parameters
from crystaltool.numerals import whole_number
from crystaltool.units import ATOMIC_MASS, G_PER_MOL_PER_CUBIC_ANGSTROM, SYMBOLS
from crystaltool.view.values import Formula, Value

if TYPE_CHECKING:
    from crystaltool.crystal import Crystal
    from crystaltool.io.cif import CifBlock
    from crystaltool.mof.framework import MOFIdentity

NUMBER, TEXT, SET, FORMULA, ANY = "number", "text", "set", "formula", "value"
"""Types of fields; ANY is a number or a text, told by the value."""


class Field(NamedTuple):
    """A row of the table.

    Args:
        kind: NUMBER, TEXT, SET or FORMULA.
        meaning: in words, with the unit.
        of: the value of a record, None where it has none.
        choices: all texts that it can be, in lower case, where they are few.
    """

    kind: str
    meaning: str
    of: Callable[[Record], Value | None]
    choices: tuple[str, ...] = ()


class Record:
    """One structure and its fields.

    Args:
        raw: the block as it came.
    """

    def __init__(self, raw: RawBlock) -> None:
        self.raw = raw
        self.header = Header(raw.text)

    def get(self, name: str) -> Value | None:
        """The value of a field, None where it is not known.

        Raises:
            UnreadableError: the block cannot be read, which the field asks for.
        """
        field = FIELDS.get(name)
        return self.stored(name.removeprefix(PROPERTY_PREFIX)) if field is None else field.of(self)

    def stored(self, key: str) -> float | int | str | None:
        """A `_crystaltool_*` value, a number where it is one."""
        text = self.header.properties.get(key)
        if text is None:
            return None
        number = to_number(text)
        if number is None:
            return text.strip() or None
        return int(number) if whole_number(text.strip().lstrip("+-")) is not None else number

    @property
    def properties(self) -> dict[str, str]:
        """All `_crystaltool_*` values."""
        return self.header.properties

    @cached_property
    def block(self) -> CifBlock:
        """The block with every atom of its cell."""
        return read_raw(self.raw)

    @property
    def crystal(self) -> Crystal:
        """Every atom of the cell."""
        return self.block.crystal

    @cached_property
    def counts(self) -> dict[int, int]:
        """Atoms of the cell by atomic number."""
        known = self.header.content
        if known is not None:
            return dict(sorted(known[0].items()))
        numbers, counts = np.unique(self.crystal.numbers, return_counts=True)
        return dict(zip(numbers.tolist(), counts.tolist(), strict=True))

    @property
    def elements(self) -> frozenset[str]:
        """Symbols of the elements."""
        known = self.header.elements
        return frozenset(SYMBOLS[number] for number in (self.counts if known is None else known))

    @property
    def n_sites(self) -> int:
        """Listed sites."""
        known = self.header.content
        return len(self.block.site_labels) if known is None else known[1]

    @property
    def space_group(self) -> int | None:
        """Number of the declared space group."""
        settled, number = self.header.declared
        return number if settled else self.block.declared_group

    @cached_property
    def volume(self) -> float:
        """Of the cell, A^3."""
        return float(np.linalg.det(self.header.lattice))

    @cached_property
    def cell(self) -> tuple[float, ...]:
        """Lengths in Angstrom and angles in degrees, nine digits of them."""
        return tuple(float(f"{value:.9g}") for value in matrix_to_parameters(self.header.lattice).tolist())

    @cached_property
    def kind(self) -> str:
        """Inorganic or mof, as `check` tells them."""
        from crystaltool.checks.kind import kind_of

        return kind_of(self.block)

    @cached_property
    def identity(self) -> MOFIdentity | None:
        """What a MOF is; None of another structure, and of a MOF that has no identity."""
        from crystaltool.checks.kind import MOF

        if self.kind != MOF:
            return None
        from crystaltool.checks.mof.identity import identify_mof

        try:
            return identify_mof(self.crystal)
        except InputError:
            return None


def _mass_density(record: Record) -> float:
    mass = sum(ATOMIC_MASS[number] * count for number, count in record.counts.items())
    return float(mass) / record.volume * G_PER_MOL_PER_CUBIC_ANGSTROM


def _symbol(record: Record) -> str | None:
    """Hermann-Mauguin symbol of the standard setting."""
    from crystaltool.symmetry import space_group

    return None if record.space_group is None else space_group(record.space_group).symbol


SYSTEM_ENDS = ((2, "triclinic"), (15, "monoclinic"), (74, "orthorhombic"), (142, "tetragonal"), (167, "trigonal"),
               (194, "hexagonal"), (230, "cubic"))  # fmt: skip
"""Last space group of each crystal system (International Tables A)."""


def _system(record: Record) -> str | None:
    number = record.space_group
    return None if number is None else next(name for last, name in SYSTEM_ENDS if number <= last)


def _linkers(record: Record) -> frozenset[str] | None:
    return None if record.identity is None else frozenset(record.identity.linkers)


def _identity(record: Record) -> str | None:
    return None if record.identity is None else record.identity.text


def _nodes(record: Record) -> str | None:
    return None if record.identity is None else record.identity.text.partition(";")[0]


def _net(record: Record) -> str | None:
    return None if record.identity is None else record.identity.text.rpartition(";")[2]


def _cell(index: int) -> Callable[[Record], float]:
    return lambda record: record.cell[index]


FIELDS: dict[str, Field] = {
    "name": Field(TEXT, "name of the block", lambda record: record.raw.name),
    "source": Field(TEXT, "file that it came from, - for standard input", lambda record: record.raw.source),
    "line": Field(NUMBER, "line of the file at which it begins", lambda record: record.raw.line or None),
    "formula": Field(FORMULA, "formula of the cell's content", lambda record: Formula(record.counts)),
    "reduced_formula": Field(FORMULA, "formula in lowest terms", lambda record: Formula(record.counts, True)),
    "elements": Field(SET, "symbols of its elements", lambda record: record.elements),
    "n_elements": Field(NUMBER, "number of elements", lambda record: len(record.elements)),
    "n_atoms": Field(NUMBER, "number of atoms in the cell", lambda record: sum(record.counts.values())),
    "n_sites": Field(NUMBER, "number of listed sites", lambda record: record.n_sites),
    "space_group": Field(NUMBER, "number of the declared space group", lambda record: record.space_group),
    "space_group_symbol": Field(TEXT, "its Hermann-Mauguin symbol", _symbol),
    "crystal_system": Field(TEXT, "triclinic, monoclinic, ... cubic; trigonal apart from hexagonal", _system,
                            tuple(name for _, name in SYSTEM_ENDS)),
    "volume": Field(NUMBER, "volume of the cell, A^3", lambda record: record.volume),
    "density": Field(NUMBER, "mass density, g/cm3", _mass_density),
    "a": Field(NUMBER, "cell length, Angstrom", _cell(0)),
    "b": Field(NUMBER, "cell length, Angstrom", _cell(1)),
    "c": Field(NUMBER, "cell length, Angstrom", _cell(2)),
    "alpha": Field(NUMBER, "cell angle, degrees", _cell(3)),
    "beta": Field(NUMBER, "cell angle, degrees", _cell(4)),
    "gamma": Field(NUMBER, "cell angle, degrees", _cell(5)),
    "kind": Field(TEXT, "inorganic or mof, as check tells them", lambda record: record.kind, ("inorganic", "mof")),
    "nodes": Field(TEXT, "of a MOF: formula of its nodes", _nodes),
    "linkers": Field(SET, "of a MOF: SMILES of its linkers", _linkers),
    "net": Field(TEXT, "of a MOF: dimension, number of nets and hash of its net", _net),
    "identity": Field(TEXT, "of a MOF: nodes;linkers;net, with the numbers of linkers", _identity),
}  # fmt: skip
"""Every field that a structure has by itself."""
