"""What a block states beside its structure, against the structure that is read: what differs is said with both values.

Labels and type symbols, groups of atoms that are read as one (`H2O` as O), multiplicities, site-symmetry orders and
Wyckoff letters, the density and the formula. Only the formula may decide what is read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from crystaltool.arrays import Float, Int
from crystaltool.errors import InputError
from crystaltool.io.cif_elements import ALIASES, AMBIGUOUS_CAPITALS, ISOTOPES, LAST_IN_CAPITALS, isotopes_in
from crystaltool.io.cif_formula import disagreement
from crystaltool.io.cif_merge import Placed
from crystaltool.io.cif_symmetry import Operations, group_of_operations, parse_operations
from crystaltool.io.cif_table import Table, to_number
from crystaltool.io.remarks import NOTE, WARNING, Remark
from crystaltool.numerals import whole_number
from crystaltool.symmetry.operations import TRANSLATION_DENOMINATOR
from crystaltool.symmetry.space_group import LETTERS, SpaceGroup, free_coordinate_maps, space_group, tables
from crystaltool.units import ATOMIC_MASS, G_PER_MOL_PER_CUBIC_ANGSTROM, SYMBOLS

DENSITY_TOLERANCE = 0.02
"""Relative; a density is stated with three digits, from atomic masses of its time."""

ON_POSITION = 2e-3
"""Fractional distance within which a site lies on a Wyckoff position: coordinates of three decimals."""

LETTER_TAGS = ("_atom_site_wyckoff_symbol", "_atom_site_wyckoff_label")
MULTIPLICITY_TAGS = ("_atom_site_site_symmetry_multiplicity", "_atom_site_symmetry_multiplicity")
"""The second is deprecated and in use for the order of the site symmetry, too, which SHELXL-97 writes into it."""

ORDER_TAG = "_atom_site_site_symmetry_order"
_SITE_TAGS = (*MULTIPLICITY_TAGS, ORDER_TAG, *LETTER_TAGS)

_HYDROGEN, _OXYGEN = 1, 8
_WITH_HYDROGENS = {"wat": 2, "h2o": 2, "oh": 1}
"""Names of groups that are read as their oxygen, and the hydrogens that are no longer there."""

_NAME_OF_SITE = ("A", "B", "M", "T", "X")
"""Single letters that name a kind of site (of a perovskite, a spinel, a silicate), boron's among them."""

_KNOWN = {symbol: number for number, symbol in enumerate(SYMBOLS) if 0 < number <= LAST_IN_CAPITALS}
_LETTER = re.compile(r"['\"]?[0-9]*\s*([a-zA-Z])['\"]?$")


def label_remarks(symbols: Sequence[str] | None, labels: Sequence[str], numbers: Sequence[int]) -> tuple[Remark, ...]:
    """Labels that name another element than their type symbol, and names of groups that are read as one atom."""
    other = []
    if symbols is not None and symbols is not labels:
        for symbol, label, number in zip(symbols, labels, numbers, strict=True):
            if symbol not in ("?", ".") and (named := _other_element(label, number)):
                other.append(f"site {label} has type {symbol} and a label of {SYMBOLS[named]}")
    remarks: tuple[Remark, ...] = ()
    if other:
        remarks = (Remark(WARNING, f"{_and_more(other)}; the types count"),)
    stated = labels if symbols is None else [s if s not in ("?", ".") else label for s, label in
                                             zip(symbols, labels, strict=True)]  # fmt: skip
    groups = [(label, found[0]) for label, raw in zip(labels, stated, strict=True) if (found := _group_in(raw))]
    if groups:
        label, name = groups[0]
        more = f" and {len(groups) - 1} more" if len(groups) > 1 else ""
        if _HYDROGEN in numbers:
            text, level = "its hydrogens are those listed", NOTE
        else:
            n = sum(_WITH_HYDROGENS[group.casefold()] for _, group in groups)
            text, level = f"{n} hydrogens have" if n > 1 else "1 hydrogen has", WARNING
            text += " no site: they are missing" if n > 1 else " no site: it is missing"
        remarks += (Remark(level, f"site {label}{more}: {name} is read as O, {text}"),)
    return remarks


@lru_cache(maxsize=4096)
def _other_element(label: str, number: int) -> int | None:
    """The element that a label names, if it can name no other and this is not the one of that number.

    `Co1` is cobalt; `CO1`, `CA1` may be an atom of carbon, and more letters a name.
    """
    letters = re.match(r"['\"]?([A-Za-z]*)", label)[1]  # ty: ignore[not-subscriptable]
    if (letters, number) == ("W", _OXYGEN):  # of water
        return None
    if letters in _NAME_OF_SITE or letters in AMBIGUOUS_CAPITALS or letters.casefold() in ALIASES:
        return None
    if letters in _KNOWN:
        return _KNOWN[letters] if _KNOWN[letters] != number else None
    if len(letters) > 2 or SYMBOLS[number].casefold() in letters.casefold():
        return None
    if number == _HYDROGEN and letters[:1].upper() in ISOTOPES:
        return None
    return next((_KNOWN[text] for text in (letters.capitalize(), letters[:1].upper()) if text in _KNOWN), None)


def _group_in(raw: str) -> re.Match[str] | None:
    return re.match(r"(?:wat|h2o|oh)(?![a-z])", raw.strip("'\" "), re.IGNORECASE)


def density_otherwise(table: Table, lattice: Float[np.ndarray, "3 3"], numbers: Int[np.ndarray, " n"]) -> str:
    """The stated density and the one that cell and atoms make, in g/cm3, where they differ; else nothing.

    Nothing either where an isotope of hydrogen is listed: it counts as hydrogen here.
    """
    stated = to_number(table.value("_exptl_crystal_density_diffrn") or "")
    if stated is None or stated <= 0.0:
        return ""
    found = float(ATOMIC_MASS[numbers].sum() / abs(np.linalg.det(lattice))) * G_PER_MOL_PER_CUBIC_ANGSTROM
    if abs(stated - found) <= DENSITY_TOLERANCE * found:
        return ""
    symbols = table.column("_atom_site_type_symbol")
    if isotopes_in(symbols, table.column("_atom_site_label") or symbols or ()):
        return ""
    return f"the stated density is {stated:g} g/cm3, cell and atoms make {found:.3f}"


def sites_otherwise(
    table: Table, placed: Placed, labels: list[str], operations: Operations, texts: tuple[str, ...]
) -> tuple[str, ...]:
    """What is stated of sites and is not so: multiplicities, orders, Wyckoff letters, each with both values.

    Args:
        table: tags of the block. placed: the atoms. labels: of all listed sites. operations, texts: of the block.
    """
    columns = [(tag, column) for tag in _SITE_TAGS if len(column := table.column(tag) or ()) == len(labels)]
    if not columns:
        return ()
    kept = placed.of_kept(labels)
    counts = np.bincount(placed.atom_to_site, minlength=len(kept))
    found = []
    for tag, column in columns:
        values = placed.of_kept(list(column))
        if tag in LETTER_TAGS:
            found += _letters_otherwise(values, kept, (placed.site_coords, counts), operations, texts)
            continue
        for label, raw, count in zip(kept, values, counts.tolist(), strict=True):
            order = len(operations) // count
            right = {ORDER_TAG: (order,), MULTIPLICITY_TAGS[0]: (count,)}.get(tag, (count, order))
            if (stated := whole_number(raw)) is not None and stated not in right:
                what = "site-symmetry order" if tag == ORDER_TAG else "multiplicity"
                made = f"order {order}" if tag == ORDER_TAG else f"{count} atoms"
                found.append(f"site {label} declares {what} {raw}, its operations make {made}")
    return tuple(found)


def _letters_otherwise(
    letters: Sequence[str],
    labels: Sequence[str],
    sites: tuple[Float[np.ndarray, "n_sites 3"], Int[np.ndarray, " n_sites"]],
    operations: Operations,
    texts: tuple[str, ...],
) -> list[str]:
    """Sites that do not lie on the Wyckoff position whose letter is stated, each with both.

    In the standard setting the coordinates tell the letter; in others, where letters depend on the origin, its
    multiplicity alone.

    Args:
        letters: as stated, `?` where not known. labels: of the sites. sites: coordinates, atoms in the cell of each.
        operations, texts: of the block.
    """
    coords, counts = sites
    found_setting = _setting_of(texts)
    if found_setting is None:
        return []
    group, standard = found_setting
    found = []
    for site, (raw, label) in enumerate(zip(letters, labels, strict=True)):
        match = _LETTER.match(raw)
        if raw in ("?", ".") or match is None:
            continue
        index = LETTERS.find(match[1])
        said = f"site {label} declares Wyckoff letter {match[1]}"
        if not 0 <= index < len(group.positions):
            found.append(f"{said}, space group {group.number} has a to {LETTERS[len(group.positions) - 1]}")
            continue
        wanted = group.positions[index].multiplicity * len(operations) / len(group.rotations)
        if wanted != counts[site]:
            found.append(f"{said}, a position of {wanted:g} atoms, it has {counts[site]}")
        elif standard and (there := _letter_at(group.number, coords[site], int(counts[site]))) != match[1] and there:
            found.append(f"{said}, its coordinates lie on {there}")
    return found


@lru_cache(maxsize=1024)
def _setting_of(texts: tuple[str, ...]) -> tuple[SpaceGroup, bool] | None:
    """The space group of a list of operations and whether they are its standard setting; None if it is not known."""
    try:
        group = space_group(group_of_operations(texts))
    except InputError:
        return None
    operations = parse_operations(texts)
    standard = _keys(operations.rotations, operations.translations) == _keys(group.rotations, group.translations)
    return group, standard


def _letter_at(number: int, point: Float[np.ndarray, "3"], multiplicity: int) -> str | None:
    """The letter of the position of that multiplicity on which a point lies, in the standard setting."""
    table, group = tables(), space_group(number)
    maps, origins = free_coordinate_maps()
    images = group.rotations @ point + group.translations
    for index, position in enumerate(group.positions):
        if position.multiplicity != multiplicity:
            continue
        row = int(table["first_position"][number - 1]) + index
        y = (images - origins[row]) @ maps[row].T
        fixed = y[:, position.degrees_of_freedom :]
        if (np.abs(fixed - np.round(fixed)).max(axis=1, initial=0.0) < ON_POSITION).any():
            return position.letter
    return None


def _keys(rotations: Int[np.ndarray, "n 3 3"], translations: Float[np.ndarray, "n 3"]) -> set[bytes]:
    grid = np.round(translations * TRANSLATION_DENOMINATOR).astype(np.int64) % TRANSLATION_DENOMINATOR
    return {row.tobytes() for row in np.concatenate([rotations.reshape(-1, 9), grid], axis=1)}


def _and_more(texts: Sequence[str]) -> str:
    return texts[0] + (f" (and {len(texts) - 1} more)" if len(texts) > 1 else "")


def stated_content(table: Table) -> tuple[str | None, int | None]:
    """The stated formula and Z."""
    units = table.value("_cell_formula_units_z")
    return table.value("_chemical_formula_sum"), whole_number(units or "")


def formula_remarks(table: Table, numbers: Int[np.ndarray, " n_atoms"], settled: Sequence[str]) -> tuple[Remark, ...]:
    """Whether the stated formula fits; it must where sites were settled by it.

    Raises:
        InputError: a site whose element neither a type symbol nor the formula settles.
    """
    if (differs := disagreement(*stated_content(table), numbers)) is None:
        return _weight_remarks(table, numbers)
    if settled:
        raise InputError(f"site {settled[0]}: no type symbol says what it is, nor does the formula: {differs}")
    what = "Z" if table.value("_chemical_formula_sum") is None else "formula"
    return (Remark(WARNING, f"the stated {what} does not fit: {differs}"),)


def _weight_remarks(table: Table, numbers: Int[np.ndarray, " n_atoms"]) -> tuple[Remark, ...]:
    """Whether the stated weight of the formula fits where its sum is not stated, isotopes of hydrogen apart."""
    formula, units = stated_content(table)
    stated = to_number(table.value("_chemical_formula_weight") or "")
    if formula is not None or not units or not stated:
        return ()
    found = float(ATOMIC_MASS[numbers].sum()) / units
    symbols = table.column("_atom_site_type_symbol")
    if abs(stated - found) <= DENSITY_TOLERANCE * found or isotopes_in(
        symbols, table.column("_atom_site_label") or symbols or ()
    ):
        return ()
    text = f"the stated weight of the formula is {stated:g}, cell and Z = {units} make {found:.2f} g/mol"
    return (Remark(WARNING, text),)


def wyckoff_columns(table: Table, placed: Placed) -> tuple[tuple[str, ...] | None, tuple[int, ...] | None]:
    """Declared Wyckoff letters and multiplicities of the kept sites."""
    letters, raw = (next(filter(None, map(table.column, tags)), None) for tags in (LETTER_TAGS, MULTIPLICITY_TAGS))
    n_sites = len(placed.stands_for)
    letters = placed.of_kept(letters) if letters is not None and len(letters) == n_sites else None
    counts = [whole_number(text) for text in raw or ()]
    if raw is None or len(raw) != n_sites or None in counts:
        return letters, None
    return letters, tuple(map(int, placed.of_kept(raw)))
