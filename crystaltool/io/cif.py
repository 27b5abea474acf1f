"""One CIF block <-> one structure. Reading: core-dictionary names, the deprecated `_symmetry_*` ones too.

A block is refused, with the reason, when its atoms are not certain: partial occupancy, disorder, unknown coordinates,
a missing cell, operations that contradict the declared space group.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import gemmi
import numpy as np

from crystaltool.arrays import Float, Int
from crystaltool.bonds import BondGraph
from crystaltool.crystal import Crystal
from crystaltool.errors import InputError
from crystaltool.io.cif_bonds import parse_bonds
from crystaltool.io.cif_format import clean_name, format_asym_unit, format_crystal, formula_sum
from crystaltool.io.cif_symmetry import (
    IDENTITY,
    IDENTITY_OPERATIONS,
    Operations,
    expand_sites,
    group_of_operations,
    operations_of_names,
    parse_operations,
)
from crystaltool.io.cif_tolerant import mend
from crystaltool.io.remarks import WARNING, Remark
from crystaltool.lattice import parameters_to_matrix
from crystaltool.units import SYMBOLS, atomic_number

__all__ = [
    "MAX_ATOMS",
    "CifBlock",
    "clean_name",
    "format_asym_unit",
    "format_crystal",
    "formula_sum",
    "parse_block",
    "parse_crystal",
]

MAX_ATOMS = 20_000
"""Atoms in one cell; larger cells are refused: the quadratic steps that follow would not end."""

OCCUPANCY_TOLERANCE = 1e-3
"""An occupancy this close to 1 is full (refined values are quoted as 1.000(1))."""

PROPERTY_PREFIX = "_crystaltool_"

MAX_SAID = 3
"""Breaches of the syntax that a remark names; the others are counted."""

_CELL_TAGS = tuple(f"_cell_length_{axis}" for axis in "abc") + tuple(
    f"_cell_angle_{angle}" for angle in ("alpha", "beta", "gamma")
)
_OPERATION_TAGS = (
    "_space_group_symop_operation_xyz",
    "_space_group_symop.operation_xyz",
    "_symmetry_equiv_pos_as_xyz",
)
_NUMBER_TAGS = ("_space_group_it_number", "_space_group.it_number", "_symmetry_int_tables_number")
_SYMBOL_TAGS = (
    "_space_group_name_h-m_alt",
    "_space_group.name_h-m_alt",
    "_symmetry_space_group_name_h-m",
    "_space_group_name_h-m_full",
)
_HALL_TAGS = ("_space_group_name_hall", "_space_group.name_hall", "_symmetry_space_group_name_hall")
_ABSENT = ("?", ".")
_NUMBER = re.compile(r"['\"]?([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)(?:\([0-9]*\))?['\"]?$")


@dataclass(frozen=True)
class CifBlock:
    """One `data_` block and the structure in it.

    Args:
        name: block name without `data_`, unique in its stream.
        source: input as the user gave it, `-` for standard input. line: 1-based line of the block in it.
        text: the block's text as read.
        crystal: every atom of the cell.
        declared_group: space-group number the block declares, `None` if it doesn't.
        rotations, translations: the operations, the identity first; shapes (n, 3, 3), (n, 3).
        formula_sum: `_chemical_formula_sum`. formula_units_z: `_cell_formula_units_Z`.
        history: lines of `_audit_update_record`.
        properties: single values of `_crystaltool_*`, keys without the prefix, in lower case.
        site_labels, site_numbers, site_frac_coords: the listed sites; coordinates as written, shape (n_sites, 3).
        site_letters, site_multiplicities: the Wyckoff columns, `None` where the block has none.
        atom_to_site: index of the site of each atom of `crystal`.
        bonds: stated bonds, images for the coordinates as written; `None` where none are stated or the block is not in
            P 1 with unique labels.
        site_charges: `_atom_site_charge` of the listed sites in e; `None` if not every site has one. shape (n_sites,).
        remarks: what the reader has to say beside it.
    """

    name: str
    source: str
    line: int
    text: str
    crystal: Crystal
    declared_group: int | None
    rotations: Int[np.ndarray, "n_ops 3 3"]
    translations: Float[np.ndarray, "n_ops 3"]
    formula_sum: str | None
    formula_units_z: int | None
    history: tuple[str, ...]
    site_labels: tuple[str, ...]
    site_numbers: Int[np.ndarray, "n_sites"]
    site_frac_coords: Float[np.ndarray, "n_sites 3"]
    site_letters: tuple[str, ...] | None
    site_multiplicities: tuple[int, ...] | None
    atom_to_site: Int[np.ndarray, "n_atoms"]
    properties: dict[str, str] = field(default_factory=dict)
    bonds: BondGraph | None = None
    site_charges: Float[np.ndarray, "n_sites"] | None = None
    remarks: tuple[Remark, ...] = ()

    @property
    def atom_charges(self) -> Float[np.ndarray, "n_atoms"] | None:
        """Partial charges of the atoms of `crystal` in e, `None` where not every site has one."""
        return None if self.site_charges is None else self.site_charges[self.atom_to_site]


@dataclass(frozen=True)
class _Table:
    """Tags and loops of a block, tags in lower case; values as written, quotes included."""

    pairs: dict[str, str]
    columns: dict[str, list[str]]
    remarks: tuple[Remark, ...] = ()

    def value(self, *tags: str) -> str | None:
        """The first of the tags that has a known value, unquoted."""
        for tag in tags:
            raw = self.pairs.get(tag)
            if raw is None and len(self.columns.get(tag, ())) == 1:
                raw = self.columns[tag][0]
            if raw is not None and raw not in _ABSENT:
                return gemmi.cif.as_string(raw).strip()
        return None

    def column(self, tag: str) -> list[str] | None:
        """The values of a loop's column, also where a loop of one row is written as a pair."""
        if tag in self.columns:
            return self.columns[tag]
        return [self.pairs[tag]] if tag in self.pairs else None


def parse_crystal(text: str) -> Crystal:
    """The structure in the text of one block; see `parse_block`."""
    return parse_block(text).crystal


def parse_block(text: str, source: str = "-", line: int = 1, name: str | None = None) -> CifBlock:
    """Read one block.

    Args:
        text: the block's text. source, line: where it comes from, kept for messages.
        name: block name to use in place of the written one.

    Raises:
        InputError: if it is no CIF or its structure is not certain; one sentence that names the site or tag.
    """
    written_name, table = _read(text)
    name = clean_name(written_name) if name is None else name
    lattice, gamma = _cell(table)
    texts, operations, declared = _symmetry(table, gamma)
    labels, numbers, frac_coords = _sites(table)
    letters, multiplicities = _wyckoff_columns(table, len(labels))
    n_sites = len(labels)
    if n_sites > MAX_ATOMS or n_sites * len(operations) > MAX_ATOMS * 192:
        raise InputError(f"{n_sites} sites with {len(operations)} operations, the limit is {MAX_ATOMS} atoms in a cell")
    if texts == IDENTITY:
        all_coords, atom_to_site = frac_coords, np.arange(n_sites)
    else:
        all_coords, atom_to_site = expand_sites(lattice, frac_coords, operations, MAX_ATOMS)
    units = table.value("_cell_formula_units_z")
    return CifBlock(
        name=name,
        source=source,
        line=line,
        text=text,
        crystal=Crystal(lattice, all_coords, numbers[atom_to_site], name),
        declared_group=declared,
        rotations=operations.rotations,
        translations=operations.translations,
        formula_sum=table.value("_chemical_formula_sum"),
        formula_units_z=int(units) if units and units.isdecimal() else None,
        history=_history(table),
        site_labels=tuple(labels),
        site_numbers=numbers,
        site_frac_coords=frac_coords,
        site_letters=letters,
        site_multiplicities=multiplicities,
        atom_to_site=atom_to_site,
        properties={
            tag[len(PROPERTY_PREFIX) :]: gemmi.cif.as_string(raw)
            for tag, raw in table.pairs.items()
            if tag.startswith(PROPERTY_PREFIX)
        },
        bonds=parse_bonds(table.columns, labels, lattice, frac_coords) if texts == IDENTITY else None,
        site_charges=_site_charges(table, n_sites),
        remarks=table.remarks,
    )


def _read(text: str) -> tuple[str, _Table]:
    """Name and table of the one block in the text."""
    remarks: tuple[Remark, ...] = ()
    try:
        document = gemmi.cif.read_string(text)
        if _has_open_operations(document):
            raise ValueError("operations without quotes")
    except (ValueError, RuntimeError) as error:
        mended, said = mend(text)
        try:
            document = gemmi.cif.read_string(mended)
        except (ValueError, RuntimeError):
            document = gemmi.cif.Document()
        if len(document) == 0:
            raise InputError(f"not a readable CIF block: {str(error).removeprefix('string:')}") from None
        more = f"; {len(said) - MAX_SAID} more" if len(said) > MAX_SAID else ""
        remarks = (Remark(WARNING, f"syntax mended: {'; '.join(said[:MAX_SAID])}{more}"),)
    if len(document) != 1:
        raise InputError(f"{len(document)} data blocks, expected 1")
    pairs: dict[str, str] = {}
    columns: dict[str, list[str]] = {}
    for item in document[0]:
        pair = item.pair
        if pair is not None:
            tag, value = pair  # ty: ignore[not-iterable]
            pairs[tag.lower()] = value
        elif (loop := item.loop) is not None:
            tags, values = loop.tags, loop.values
            for i, tag in enumerate(tags):
                columns[tag.lower()] = values[i :: len(tags)]
    return document[0].name, _Table(pairs, columns, remarks)


def _has_open_operations(document: gemmi.cif.Document) -> bool:
    """Whether `x, y, z` without quotes was read as three values."""
    return any(value.endswith(",") for block in document for tag in _OPERATION_TAGS for value in block.find_values(tag))


def _to_number(raw: str) -> float | None:
    """A number, its uncertainty in parentheses dropped; `None` for anything else (`?`, `.`, `nan`, text)."""
    match = _NUMBER.match(raw)
    return float(match[1]) if match else None


def _cell(table: _Table) -> tuple[Float[np.ndarray, "3 3"], float]:
    """Row matrix of the cell in Angstrom, and gamma in degrees."""
    values = []
    for tag in _CELL_TAGS:
        raw = table.pairs.get(tag)
        if raw is None:
            raise InputError(f"no {tag}, the cell is missing")
        number = _to_number(raw)
        if number is None:
            raise InputError(f"{tag} is {raw!r}, expected a number")
        values.append(number)
    if max(values[3:]) >= 180.0 or min(values[3:]) <= 0.0:
        raise InputError(f"cell angles {values[3]:g} {values[4]:g} {values[5]:g} are not between 0 and 180 degrees")
    return parameters_to_matrix(*values), values[5]


def _symmetry(table: _Table, gamma: float) -> tuple[tuple[str, ...], Operations, int | None]:
    """Texts and table of the operations, and the declared space-group number."""
    declared_text = table.value(*_NUMBER_TAGS)
    declared = int(declared_text) if declared_text and declared_text.isdecimal() else None
    symbol = table.value(*_SYMBOL_TAGS)
    for tag in _OPERATION_TAGS:
        column = table.column(tag)
        if column and column[0] not in _ABSENT:
            texts = tuple(raw.strip("'\"").replace(" ", "").lower() for raw in column)
            break
    else:
        named = operations_of_names(table.value(*_HALL_TAGS), symbol, declared, gamma)
        if named is None:
            return IDENTITY, IDENTITY_OPERATIONS, None
        texts, number = named
        if declared is not None and declared != number:
            raise InputError(f"space-group number {declared} contradicts the declared name, which is group {number}")
        return texts, parse_operations(texts), number
    operations = IDENTITY_OPERATIONS if texts == IDENTITY else parse_operations(texts)
    if declared is None and symbol is not None:
        named_group = gemmi.find_spacegroup_by_name(symbol)
        declared = named_group.number if named_group is not None else None
    if declared is not None:
        number = 1 if texts == IDENTITY else group_of_operations(texts)
        if number != declared:
            raise InputError(f"the {len(texts)} symmetry operations make space group {number}, declared is {declared}")
    return texts, operations, declared


def _sites(table: _Table) -> tuple[list[str], Int[np.ndarray, "n_sites"], Float[np.ndarray, "n_sites 3"]]:
    """Labels, atomic numbers and coordinates of the listed sites."""
    raw_coords = [table.column(f"_atom_site_fract_{axis}") for axis in "xyz"]
    if any(column is None for column in raw_coords):
        if table.column("_atom_site_cartn_x") is not None:
            raise InputError("only _atom_site_Cartn_* coordinates, expected _atom_site_fract_x, _y, _z")
        raise InputError("no _atom_site_fract_x, _y, _z: the block holds no atoms")
    n_sites = len(raw_coords[0] or ())
    if n_sites == 0:
        raise InputError("the loop of atom sites is empty")
    if n_sites > MAX_ATOMS:
        raise InputError(f"{n_sites} sites, the limit is {MAX_ATOMS} atoms in a cell")
    symbols = table.column("_atom_site_type_symbol")
    labels = table.column("_atom_site_label") or symbols
    if labels is None:
        raise InputError("no _atom_site_type_symbol or _atom_site_label: the elements are missing")
    symbols = labels if symbols is None else symbols
    _refuse_disorder(table, labels)
    numbers = np.array([_element(symbol, label) for symbol, label in zip(symbols, labels, strict=True)], dtype=np.int64)
    frac_coords = np.empty((n_sites, 3))
    for i, column in enumerate(raw_coords):
        for j, raw in enumerate(column or ()):
            number = _to_number(raw)
            if number is None:
                raise InputError(f"site {labels[j]}: _atom_site_fract_{'xyz'[i]} is {raw!r}, expected a number")
            frac_coords[j, i] = number
    return labels, numbers, frac_coords


def _refuse_disorder(table: _Table, labels: list[str]) -> None:
    """Raise InputError for a partially occupied or disordered site."""
    for label, raw in zip(labels, table.column("_atom_site_occupancy") or (), strict=False):
        if raw not in ("1", "1.0", *_ABSENT):
            occupancy = _to_number(raw)
            if occupancy is None or abs(occupancy - 1.0) > OCCUPANCY_TOLERANCE:
                raise InputError(f"site {label} is partially occupied ({raw}), only ordered structures are read")
    for label, raw in zip(labels, table.column("_atom_site_disorder_group") or (), strict=False):
        if raw not in ("0", *_ABSENT):
            raise InputError(f"site {label} is disordered (group {raw}), only ordered structures are read")


def _element(symbol: str, label: str) -> int:
    """Atomic number from a type symbol such as `Fe`, `Fe3+`, `FE`, or a label such as `Fe12A`."""
    try:
        return atomic_number(symbol)
    except InputError:
        letters = re.match(r"['\"]?([A-Za-z]{1,3})", symbol)
    head = letters[1] if letters else ""
    for candidate in (head, head[:2], head[:2].capitalize(), head[:1].upper()):
        if candidate in SYMBOLS[1:] or candidate in ("D", "T"):
            return atomic_number(candidate)
    raise InputError(f"site {label}: {symbol!r} is not an element")


def _wyckoff_columns(table: _Table, n_sites: int) -> tuple[tuple[str, ...] | None, tuple[int, ...] | None]:
    """Declared Wyckoff letters and multiplicities."""
    letters = table.column("_atom_site_wyckoff_symbol")
    raw = table.column("_atom_site_site_symmetry_multiplicity") or table.column("_atom_site_symmetry_multiplicity")
    known = raw is not None and all(value.isdecimal() for value in raw)
    return (
        tuple(letters) if letters is not None and len(letters) == n_sites else None,
        tuple(int(value) for value in raw) if raw is not None and known else None,
    )


def _site_charges(table: _Table, n_sites: int) -> Float[np.ndarray, "n_sites"] | None:
    """Partial charges of the sites."""
    values = [_to_number(raw) for raw in table.column("_atom_site_charge") or ()]
    known = [value for value in values if value is not None]
    return np.array(known) if len(known) == n_sites else None


def _history(table: _Table) -> tuple[str, ...]:
    """Non-empty lines of `_audit_update_record`."""
    raw = table.pairs.get("_audit_update_record")
    if raw is None or raw in _ABSENT:
        return ()
    return tuple(line.strip() for line in gemmi.cif.as_string(raw).splitlines() if line.strip())
