"""The loop of atom sites: labels, elements, coordinates and occupancies."""

from __future__ import annotations

import re

import numpy as np

from crystaltool.arrays import Float
from crystaltool.errors import InputError
from crystaltool.io.cif_elements import elements_of_sites, isotopes_in
from crystaltool.io.cif_formula import elements_of_formula
from crystaltool.io.cif_merge import OCCUPANCY_TOLERANCE, Sites
from crystaltool.io.cif_stated import label_remarks
from crystaltool.io.cif_table import ABSENT, Table, to_number
from crystaltool.io.remarks import NOTE, WARNING, Remark
from crystaltool.numerals import LARGEST

_CHARGE_TAGS = (
    "_atom_site_charge",
    "_atom_site_partial_charge",
    "_atom_type_partial_charge",
    "_atom_type_parital_charge",
    "_atom_type_charge",
)
"""The first is in use by most; the others are those of fapswitch and its kin, in the loop of the sites."""

_DISORDER_TAGS = {
    "group": "_atom_site_disorder_group",
    "assembly": "_atom_site_disorder_assembly",
    "alternative": "_atom_site_label_alt_id",
}
_FLAG_TAGS = ("_atom_site_refinement_flags_occupancy", "_atom_site_refinement_flags")

OUTSIDE = 1.5
"""Fractional coordinates lie in the cell, or around it where molecules were not cut."""

_PLAIN_NUMBERS = re.compile(r"[0-9eE.+\- ]+\Z")
_FULL = frozenset(("1", "1.0", "1.00", "1.000", "1.0000", "1.", *ABSENT))


def read_sites(table: Table, max_sites: int) -> tuple[Sites, tuple[str, ...], tuple[Remark, ...]]:
    """The listed sites, the labels that only the stated formula settled, and remarks.

    Raises:
        InputError: a column is missing, a value is no number, a site is disordered or no element.
    """
    tags = [f"_atom_site_fract_{axis}" for axis in "xyz"]
    columns = [table.column(tag) for tag in tags]
    if any(column is None for column in columns):
        if table.column("_atom_site_cartn_x") is not None:
            raise InputError("only _atom_site_Cartn_* coordinates, expected _atom_site_fract_x, _y, _z")
        raise InputError("no _atom_site_fract_x, _y, _z: the block holds no atoms")
    x, y, z = (column or [] for column in columns)
    n_sites = len(x)
    if n_sites == 0:
        raise InputError("the loop of atom sites is empty")
    if n_sites > max_sites:
        raise InputError(f"{n_sites} sites, the limit is {max_sites} atoms in a cell")
    for tag in tags[1:]:
        _column(table, tag, n_sites)
    symbols = _column(table, "_atom_site_type_symbol", n_sites)
    labels = _column(table, "_atom_site_label", n_sites) or symbols
    if labels is None:
        raise InputError("no _atom_site_type_symbol or _atom_site_label: the elements are missing")
    _refuse_disorder(table, labels)
    _refuse_dummies(table, labels)
    numbers, settled = elements_of_sites(symbols, labels, elements_of_formula(table.value("_chemical_formula_sum")))
    remarks: tuple[Remark, ...] = ()
    if 1 in numbers and (heavy := isotopes_in(symbols, labels)):
        more = f" and {len(heavy) - 1} more" if len(heavy) > 1 else ""
        remarks = (Remark(NOTE, f"site {heavy[0]}{more}: an isotope of hydrogen, read as H"),)
    occupancies = _occupancies(table, labels)
    if occupancies is None:
        remarks += _flagged_as_partial(table, labels)
    remarks += _without_hydrogens(table, labels) + label_remarks(symbols, labels, numbers)
    frac_coords = _coordinates((x, y, z), labels)
    if (np.abs(frac_coords) > OUTSIDE).mean() > 0.5:
        text = f"most fractional coordinates are beyond {OUTSIDE:g}, they may be Cartesian ones; read as written"
        remarks += (Remark(WARNING, text),)
    sites = Sites(labels, np.array(numbers, dtype=np.int64), frac_coords, occupancies, (x, y, z))
    return sites, tuple(settled), remarks


def _column(table: Table, tag: str, n_sites: int) -> list[str] | None:
    """A column of the sites, None where it is missing or says nothing.

    Raises:
        InputError: it has not one value a site, so which is whose is not certain.
    """
    column = table.column(tag)
    if column is None or len(column) == n_sites:
        return column
    if all(raw in ABSENT for raw in column):
        return None
    raise InputError(f"{tag} has {len(column)} value{'s' * (len(column) > 1)}, the block lists {n_sites} sites")


def read_charges(table: Table, n_sites: int) -> tuple[Float[np.ndarray, " n_sites"] | None, tuple[Remark, ...]]:
    """Partial charges of the listed sites in e, None unless every site has one, and a note where only some do."""
    n_types = len(table.column("_atom_type_symbol") or ())
    for tag in _CHARGE_TAGS:
        column = table.columns.get(tag, ()) if n_sites > 1 else table.column(tag) or ()
        if all(raw in ABSENT for raw in column) or (tag.startswith("_atom_type") and len(column) == n_types):
            continue
        values = [value for raw in column if (value := to_number(raw)) is not None]
        if len(values) == n_sites:
            return np.array(values), ()
        said = f"{tag} has numbers for {len(values)} of {n_sites} sites: the charges are passed over"
        return None, (Remark(NOTE, said),)
    return None, ()


def _refuse_dummies(table: Table, labels: list[str]) -> None:
    """Raise InputError for a site that stands for no atom (core dictionary, `_atom_site_calc_flag`)."""
    for label, raw in zip(labels, _column(table, "_atom_site_calc_flag", len(labels)) or (), strict=False):
        if raw.strip("'\"").casefold() == "dum":
            raise InputError(f"site {label} is a dummy, no atom (_atom_site_calc_flag dum)")


def _without_hydrogens(table: Table, labels: list[str]) -> tuple[Remark, ...]:
    """A warning of hydrogens that are counted and have no site (`_atom_site_attached_hydrogens`)."""
    counts = [to_number(raw) or 0.0 for raw in table.column("_atom_site_attached_hydrogens") or ()]
    if len(counts) != len(labels) or not any(counts):
        return ()
    label = labels[next(index for index, count in enumerate(counts) if count)]
    text = f"{sum(counts):g} hydrogens are attached (site {label} and others) and have no site: they are missing"
    return (Remark(WARNING, text),)


def _flagged_as_partial(table: Table, labels: list[str]) -> tuple[Remark, ...]:
    """A warning of sites that were refined as partly occupied (flag P) where no occupancy says so."""
    for tag in _FLAG_TAGS:
        flagged = [label for label, raw in zip(labels, table.column(tag) or (), strict=False) if "P" in raw]
        if flagged:
            more = f" and {len(flagged) - 1} more" if len(flagged) > 1 else ""
            return (Remark(WARNING, f"site {flagged[0]}{more}: flagged as partly occupied (P), read as full"),)
    return ()


def _coordinates(columns: tuple[list[str], list[str], list[str]], labels: list[str]) -> Float[np.ndarray, "n_sites 3"]:
    """The values of the three columns of coordinates."""
    if all(_PLAIN_NUMBERS.match(" ".join(column)) for column in columns):
        try:
            coords = np.array(columns, dtype=float).T.copy()
            if (np.abs(coords) <= LARGEST).all():
                return coords
        except ValueError:  # the values are looked at one by one for the message
            pass
    coords = np.empty((len(labels), 3))
    for axis, column in enumerate(columns):
        for site, (label, raw) in enumerate(zip(labels, column, strict=True)):
            number = to_number(raw)
            if number is None or abs(number) > LARGEST:
                raise InputError(f"site {label}: _atom_site_fract_{'xyz'[axis]} is {raw!r}, expected a number")
            coords[site, axis] = number
    return coords


def _occupancies(table: Table, labels: list[str]) -> list[tuple[str, float]] | None:
    """The occupancies where one is not 1."""
    column = _column(table, "_atom_site_occupancy", len(labels))
    if column is None or _FULL.issuperset(column):
        return None
    occupancies = []
    for label, raw in zip(labels, column, strict=True):
        value = 1.0 if raw in ABSENT else to_number(raw)
        if value is None or not 0.0 < value <= 1.0 + OCCUPANCY_TOLERANCE:
            raise InputError(f"site {label} is partially occupied ({raw}), only ordered structures are read")
        occupancies.append((raw.strip("'\""), value))
    return None if all(abs(value - 1.0) <= OCCUPANCY_TOLERANCE for _, value in occupancies) else occupancies


def _refuse_disorder(table: Table, labels: list[str]) -> None:
    """Raise InputError for a site of a disorder group, of an assembly that has them, or of an alternative (mmCIF)."""
    for kind, tag in _DISORDER_TAGS.items():
        column = _column(table, tag, len(labels)) or ()
        for label, raw in zip(labels, column, strict=False):
            if raw.strip("'\"") not in ("0", "", *ABSENT):
                raise InputError(f"site {label} is disordered ({kind} {raw}), only ordered structures are read")
