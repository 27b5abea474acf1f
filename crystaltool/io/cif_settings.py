"""The symmetry that a block states, in whatever tags: listed operations, else the settings that its names can mean.

Listed operations win over names; a name or number that contradicts them is a warning. Names alone give candidates, the
more exact statement first (Hall symbol; symbol with its origin or axes; coordinate-system code; number), and which one
is meant the cell and the atoms must show (`io.cif_choice`). P 1 is assumed only where nothing is stated at all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import gemmi

from crystaltool.errors import InputError, SymmetryError
from crystaltool.io.cif_symmetry import IDENTITY, group_of_operations, parse_operations
from crystaltool.io.cif_table import ABSENT, Table
from crystaltool.io.remarks import DETAIL, WARNING, Remark
from crystaltool.numerals import whole_number
from crystaltool.symmetry.symbols import Setting, parse_symbol, settings_of_number, settings_of_symbol, with_code

_OPERATION_TAGS = ("_space_group_symop_operation_xyz", "_symmetry_equiv_pos_as_xyz")
_MAGNETIC_TAGS = (
    ("_space_group_symop_magn_operation_xyz", "_magnetic_space_group_symop_operation_xyz"),
    ("_space_group_symop_magn_centering_xyz", "_magnetic_space_group_symop_centering_xyz"),
)
_NUMBER_TAGS = ("_space_group_it_number", "_symmetry_int_tables_number", "_symmetry_space_group_it_number")
_SYMBOL_TAGS = ("_space_group_name_h-m_alt", "_symmetry_space_group_name_h-m", "_space_group_name_h-m_full",
                "_symmetry_space_group_name_h-m_full")  # fmt: skip
_REFERENCE_TAG = "_space_group_name_h-m_ref"
"""Names the type alone (core dictionary), in whatever setting the block is."""

_HALL_TAGS = ("_space_group_name_hall", "_symmetry_space_group_name_hall")
_CODE_TAGS = ("_space_group_it_coordinate_system_code",)
_SYMMETRY = ("_symmetry_", "_space_group", "_parent_space_group", "_magnetic_space_group")
"""Beginnings of every tag that states a symmetry."""

_OTHERS_SYMMETRY = ("sg_symbol", "spacegroup", "space_group")
"""In tags of other dictionaries, such as `_cod_original_sg_symbol_h-m`."""

_SYMBOL = re.compile(r"[PABCIFRH][\s_]?[-1-6abcdenm][-0-9/abcdenm\s_()]*\Z")
"""A Hermann-Mauguin symbol by its looks."""

_MODULATION = ("_ssg_", "_cell_modulation_dimension", "_cell_wave_vector", "_cell_subsystem", "_atom_site_fourier",
               "_atom_site_displace_", "_atom_site_occ_fourier", "_special_func")  # fmt: skip


class Candidate(NamedTuple):
    """A setting that the names can mean: what to call it, and its operations."""

    name: str
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Statement:
    """What a block states of its symmetry.

    Args:
        candidates: at least one; several where names leave the setting open.
        listed: whether the operations are listed, so that there is nothing to choose.
        declared_group: space-group number of the operations where the block names a group at all, else None; None too
            where the candidates are of names, as the number follows from the one chosen.
        remarks: what there is to say of it.
    """

    candidates: tuple[Candidate, ...]
    listed: bool
    declared_group: int | None
    remarks: tuple[Remark, ...]


class Names(NamedTuple):
    """The names of a group in a block: values as written; None or empty where not given."""

    hall: str | None
    symbols: tuple[str, ...]
    code: str | None
    number: str | None
    reference: str | None = None

    @property
    def all_symbols(self) -> tuple[str, ...]:
        return self.symbols if self.reference is None else tuple(dict.fromkeys((*self.symbols, self.reference)))


def read_statement(table: Table) -> Statement:
    """The symmetry that the tags state.

    Raises:
        InputError: the structure is modulated, the statements contradict each other, or none of them can be read.
    """
    _refuse_modulated(table)
    given = [value for tag in _SYMBOL_TAGS if (value := table.value(tag)) is not None]
    symbols = tuple(given if len(given) < 2 else dict.fromkeys(given))
    names = Names(table.value(*_HALL_TAGS), symbols, table.value(*_CODE_TAGS), table.value(*_NUMBER_TAGS),
                  table.value(_REFERENCE_TAG))  # fmt: skip
    texts = _listed_operations(table)
    if texts is not None:
        declared, remarks = _compare(texts, names)
        return Statement((Candidate("its operations", texts),), True, declared, remarks)
    candidates, remarks = candidates_of_names(names)
    if candidates:
        if transformed := [tag for tag in table.known() if tag.startswith("_space_group_transform")]:
            raise InputError(f"{transformed[0]} changes the axes of the space group, and no operations are listed")
        return Statement(candidates, False, None, remarks)
    if stated := [tag for tag in table.known() if _states_symmetry(tag, table)]:
        raise InputError(f"the symmetry is stated by {', '.join(stated[:3])} alone, which gives no operations")
    if unknown := [tag for tag in (*table.pairs, *table.columns) if tag in (*_OPERATION_TAGS, *_SYMBOL_TAGS)]:
        remarks = (*remarks, Remark(WARNING, f"{unknown[0]} has no value, P 1 is assumed"))
    return Statement((Candidate("P 1", IDENTITY),), True, None, remarks)


def _states_symmetry(tag: str, table: Table) -> bool:
    if tag in _NUMBER_TAGS or tag.startswith("_crystaltool_"):
        return False
    if tag.startswith(_SYMMETRY):
        return True
    value = (table.value(tag) or "").replace(" ", "").casefold()
    return any(part in tag for part in _OTHERS_SYMMETRY) and value not in ("p1", "1")


def _refuse_modulated(table: Table) -> None:
    tags = " ".join((*table.pairs, *table.columns))
    if not any(part in tags for part in _MODULATION):
        return
    if table.value("_cell_modulation_dimension") == "0":
        return
    found = [tag for tag in table.known() if any(part in tag for part in _MODULATION)]
    if found:
        raise InputError(f"a modulated structure ({', '.join(found[:3])}): its atoms have no single position")


def _listed_operations(table: Table) -> tuple[str, ...] | None:
    """Jones-faithful texts of the listed operations; of a magnetic group without its time reversals."""
    lists = [texts for tag in _OPERATION_TAGS if (texts := _known_texts(table.column(tag)))]
    if len(lists) > 1 and set(lists[0]) != set(lists[1]):
        raise InputError(f"{_OPERATION_TAGS[0]} and {_OPERATION_TAGS[1]} list different operations")
    magnetic, centring = (
        next((texts for tag in tags if (texts := _known_texts(table.column(tag)))), None) for tags in _MAGNETIC_TAGS
    )
    if not magnetic:
        return lists[0] if lists else None
    operations, shifts = ([_operation(_without_reversal(text)) for text in texts or IDENTITY]
                          for texts in (magnetic, centring))  # fmt: skip
    combined = [(shift * operation).wrap().triplet() for shift in shifts for operation in operations]
    if lists and {_operation(text).wrap().triplet() for text in lists[0]} != set(combined):
        raise InputError("the magnetic operations and the others that are listed make different groups")
    return lists[0] if lists else tuple(dict.fromkeys(combined))


def _operation(text: str) -> gemmi.Op:
    try:
        return gemmi.Op(text)
    except (RuntimeError, ValueError):
        raise InputError(f"operation {text!r} cannot be read") from None


def _known_texts(column: list[str] | None) -> tuple[str, ...] | None:
    if not column or column[0] in ABSENT:
        return None
    return tuple(raw.strip("'\"").replace(" ", "").lower() for raw in column)


def _without_reversal(text: str) -> str:
    parts = text.split(",")
    if len(parts) == 4 and parts[3] in ("+1", "-1", "1"):
        parts = parts[:3]
    if len(parts) != 3:
        raise InputError(f"magnetic operation {text!r} cannot be read")
    return ",".join(parts)


@lru_cache(maxsize=1024)
def _compare(texts: tuple[str, ...], names: Names) -> tuple[int | None, tuple[Remark, ...]]:
    """The group that listed operations make, None if no group is named, and remarks on names that contradict it."""
    stated: dict[int, str] = {}
    remarks: list[Remark] = []
    if names.number is not None and (number := _number(names.number, remarks)) is not None:
        stated[number] = str(number)
    for symbol in names.all_symbols:
        try:
            group = settings_of_symbol(symbol)[0].number
            stated[group] = f"{group} ({symbol})"
        except SymmetryError as error:
            remarks.append(Remark(DETAIL, f"{error}; the listed operations count"))
    if not stated and names.hall is None:
        return None, tuple(remarks)
    if names.hall is not None:
        try:
            group = group_of_operations(_hall_operations(names.hall))
            stated.setdefault(group, f"{group} (Hall symbol {names.hall})")
        except InputError as error:
            remarks.append(Remark(DETAIL, f"{error}; the listed operations count"))
    number = 1 if texts == IDENTITY else group_of_operations(texts)
    for group, said in stated.items():
        if group != number:
            text = f"the {len(texts)} symmetry operations make space group {number}, declared is {said}"
            remarks.append(Remark(WARNING, f"{text}; the operations count"))
    return number, tuple(remarks)


def _number(text: str, remarks: list[Remark]) -> int | None:
    number = whole_number(text)
    if number is None or not 1 <= number <= 230:
        wrong = "is no whole number from 1 to 230" if number is None else "does not exist, expected 1-230"
        remarks.append(Remark(WARNING, f"space group {text} {wrong}; it is passed over"))
        return None
    return number


@lru_cache(maxsize=1024)
def _hall_operations(hall: str) -> tuple[str, ...]:
    try:
        operations = gemmi.symops_from_hall(hall.replace("=", '"'))
        texts = tuple(operation.triplet() for operation in operations)
        parse_operations(texts)
    except (RuntimeError, ValueError, InputError):
        raise InputError(f"Hall symbol {hall!r} cannot be read") from None
    return texts


@lru_cache(maxsize=1024)
def candidates_of_names(names: Names) -> tuple[tuple[Candidate, ...], tuple[Remark, ...]]:
    """The settings that the names of a block can mean, nothing if it names no group, and remarks.

    Raises:
        InputError: no name is known, or they contradict each other.
    """
    remarks: list[Remark] = []
    number = None if names.number is None else _number(names.number, remarks)
    settings = _settings_of_symbols(names, remarks)
    if settings and number is not None and settings[0].number != number:
        said = f"the declared name {names.all_symbols[0]!r}, which is group {settings[0].number}"
        raise InputError(f"space-group number {number} contradicts {said}")
    if not settings and number is not None:
        settings = _with_lattice(settings_of_number(number), names.all_symbols)
    if names.hall is not None:
        texts = _hall_operations(names.hall)
        group = group_of_operations(texts)
        if settings and settings[0].number != group:
            said = f"{(*names.all_symbols, number)[0]}, which is group {settings[0].number}"
            raise InputError(f"Hall symbol {names.hall!r} (group {group}) contradicts {said}")
        if settings and (other := _setting_of(texts, group)) and other not in _by_code(settings, names):
            raise InputError(f"Hall symbol {names.hall!r} ({other.symbol}) contradicts the name, {settings[0].symbol}")
        return (Candidate(f"Hall symbol {names.hall}", texts),), tuple(remarks)
    if not settings:
        if names.all_symbols or names.number is not None:
            raise InputError(f"{remarks[0].text.partition(';')[0]} and no operations are listed")
        return (), tuple(remarks)
    settings = _by_code(settings, names)
    return tuple(Candidate(setting.symbol, setting.operations) for setting in settings), tuple(remarks)


def _setting_of(texts: tuple[str, ...], number: int) -> Setting | None:
    """The tabulated setting with these operations."""
    wanted = set(texts)
    return next((s for s in settings_of_number(number) if set(s.operations) == wanted), None)


def _with_lattice(settings: tuple[Setting, ...], symbols: Sequence[str]) -> tuple[Setting, ...]:
    """Those settings that have the lattice of symbols that are not known otherwise: `B 21` is no primitive one."""
    for symbol in filter(_SYMBOL.match, symbols):
        letter = "R" if symbol[0] == "H" else symbol[0]
        settings = tuple(setting for setting in settings if setting.symbol[0] == letter)
        if not settings:
            raise InputError(f"space group {symbol!r} is unknown, and its number has no setting with that lattice")
    return settings


def _settings_of_symbols(names: Names, remarks: list[Remark]) -> tuple[Setting, ...]:
    """The settings that all known symbols share."""
    shared: tuple[Setting, ...] = ()
    first = ""
    for symbol in names.all_symbols:
        try:
            found = settings_of_symbol(symbol)
        except SymmetryError as error:
            remarks.append(Remark(WARNING, f"{error}; it is passed over"))
            continue
        if symbol == names.reference and symbol not in names.symbols and not parse_symbol(symbol).code:
            group = found[0].number
            found = tuple(s for s in shared if s.number == group) if shared else settings_of_number(group)
        both = tuple(setting for setting in shared if setting in found) if shared else found
        if not both:
            raise InputError(f"the space-group names {first!r} and {symbol!r} contradict each other")
        shared, first = both, first or symbol
    return shared


def _by_code(settings: tuple[Setting, ...], names: Names) -> tuple[Setting, ...]:
    """The settings that the coordinate-system code leaves."""
    if names.code is None:
        return settings
    left = with_code(settings, names.code)
    said = any(parse_symbol(symbol).code for symbol in names.symbols)
    if not left or (said and not set(left) & set(settings)):
        raise InputError(f"coordinate-system code {names.code!r} is none of {', '.join(s.symbol for s in settings)}")
    return left
