"""Symbols of space groups: from any usual spelling to the settings that it can mean, for files and for options alike.

A symbol names one setting or several: `P 1 21/c 1` is one, `P 2/m` leaves the unique axis open, `F d -3 m` the origin,
`R -3 m` the axes. What is left open is the reader's to settle. Settings are gemmi's table, full symbols moyopy's.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import NamedTuple

from crystaltool.errors import SymmetryError
from crystaltool.numerals import whole_number
from crystaltool.symmetry.space_group import N_GROUPS, check_group_number

_MONOCLINIC = range(3, 16)
_CUBIC = range(195, 231)
_WITH_E_GLIDE = (39, 41, 64, 67, 68)
"""The groups whose symbols have an `e` since International Tables A (2002)."""

_ORIGIN = re.compile(r"origin(?:\s|choice|no\.?|number|[#:=])*([12])$", re.IGNORECASE)
_ORIGIN_AT = re.compile(r"origin(?:\s|is|at|on|an?|the)*(.*)$", re.IGNORECASE)
_CENTRES = ("-1", "2/m", "-3", "-3m", "mmm", "centre", "center", "inversion centre", "inversion center")
_NO_CENTRES = ("222", "mm2", "4", "-4", "422", "-42m", "-4m2", "23", "432", "-43m")
"""Site symmetries of the first origins; the second ones are at a centre (International Tables A)."""

_AXES = re.compile(r"(hex|rhomb)", re.IGNORECASE)
_UNIQUE_AXIS = re.compile(r"unique\s*axis\s*([abc])", re.IGNORECASE)
_CELL_CHOICE = re.compile(r"(?:cell\s*)?choice\s*([123])", re.IGNORECASE)
_REMARK = re.compile(
    r"[(\[]([^()\[\]]*[A-Za-z#][^()\[\]]*|\d{2,3})[)\]]\s*$|[\s,;]+((?:origin|hexag|rhomb|unique|no\.|#).*)$",
    re.IGNORECASE,
)
_CODE = re.compile(r"-?[abc][123]?|(?:-?[abc]){3}|[hrsz]|o[12]", re.IGNORECASE)
"""A coordinate-system code or suffix in parentheses: `P n m a (cab)`, `P 21 21 2 (a)`."""

_SUFFIXES = {"s": "1", "z": "2", "o1": "1", "o2": "2", "h": "h", "r": "r"}
"""Letters behind a symbol, as ICSD writes them: origin at the highest site symmetry or at the centre, kind of axes."""


@dataclass(frozen=True)
class Setting:
    """One tabulated setting of a space group.

    Args:
        number: International Tables number.
        symbol: Hermann-Mauguin symbol, with `:1`, `:2`, `:H` or `:R` where the setting needs one.
        hall: Hall symbol.
        code: coordinate-system code of International Tables (`b1`, `2`, `h`, `ba-c`, `1cab`), empty for the standard.
    """

    number: int
    symbol: str
    hall: str
    code: str

    @property
    def operations(self) -> tuple[str, ...]:
        """All operations of the cell as Jones-faithful text, the identity first."""
        return _operations(self.hall)

    @property
    def is_reference(self) -> bool:
        """Whether its axes are those under which International Tables A lists the group."""
        return self.code in ("", "1", "2", "b", "b1", "h", "r")

    def has_code(self, code: str) -> bool:
        """Whether a coordinate-system code means this setting, or leaves open what it does not say."""
        mine, asked = self.code, code.casefold()
        if self.number in _MONOCLINIC:
            choice = mine[-1:] if mine[:1] != "-" else ""
            return asked in (mine, mine[:-1], f"{mine}1", mine.lstrip("-")[:1], choice)
        origin, axes = (mine[:1], mine[1:]) if mine[:1] in ("1", "2") else ("", mine)
        return asked in (mine, origin, f"{origin}{axes or 'abc'}", axes or "abc")


@lru_cache(maxsize=1024)
def _operations(hall: str) -> tuple[str, ...]:
    import gemmi

    return tuple(operation.triplet() for operation in gemmi.symops_from_hall(hall))


@cache
def settings() -> tuple[Setting, ...]:
    """Every tabulated setting."""
    import gemmi

    return tuple(
        Setting(entry.number, entry.xhm(), entry.hall, f"{entry.ext.strip(chr(0) + ' ').lower()}{entry.qualifier}")
        for entry in gemmi.spacegroup_table()
        if ")" not in entry.hm  # names of one program, with shifted origins
    )


@cache
def settings_of_number(number: int) -> tuple[Setting, ...]:
    """All settings of an International Tables number that are in Hall's list: no unusual centrings of P.

    Raises:
        SymmetryError: if it is not 1-230.
    """
    check_group_number(number)
    listed = _full_symbols()
    return tuple(setting for setting in settings() if setting.number == number and setting.hall in listed)


class Symbol(NamedTuple):
    """A symbol taken apart: its letters without blanks, underscores and case, and a coordinate-system code or None."""

    letters: str
    code: str | None


def parse_symbol(text: str) -> Symbol:
    """Take a symbol apart: `P2(1)/c`, `P 2_1/c`, `F d -3 m :2`, `F d -3 m (origin choice 2)`, `R-3m:H`."""
    text = unicodedata.normalize("NFKD", text.strip().strip("'\""))
    text = re.sub(r"(\d)[\u0304\u0305]", r"-\1", text)  # a bar over the digit
    text = re.sub(r"\\(?:bar|overline)\s*\{?\s*(\d)\s*\}?", r"-\1", text)
    text = re.sub(r"[\u2010-\u2015\u2212]", "-", text)
    codes = []
    while (found := _REMARK.search(text)) and found.start() > 0:
        codes.append(_code_of_remark((found[1] or found[2]).strip()))
        text = text[: found.start()]
    text, _, suffix = text.partition(":")
    codes.append(_SUFFIXES.get(suffix.strip().casefold(), suffix.strip().casefold()))
    said = dict.fromkeys(code for code in codes if code)  # two that differ suit no setting
    return Symbol(re.sub(r"[\s_(){}$]", "", text).casefold(), " and ".join(said) or None)


def _code_of_remark(text: str) -> str | None:
    """The code that a remark stands for, its words where they say something else of the setting, None if nothing."""
    if origin := _ORIGIN.search(text):
        return origin[1]
    if place := _ORIGIN_AT.search(text):
        site = place[1].strip().casefold()
        return "2" if site in _CENTRES else "1" if site in _NO_CENTRES else text
    if axes := _AXES.search(text):
        return axes[1][0].lower()
    axis, choice = _UNIQUE_AXIS.search(text), _CELL_CHOICE.search(text)
    if axis or choice:
        return (axis[1].lower() if axis else "") + (choice[1] if choice else "")
    return _SUFFIXES.get(text.casefold(), text.casefold()) if _CODE.fullmatch(text) else None


def settings_of_symbol(text: str) -> tuple[Setting, ...]:
    """The settings that a Hermann-Mauguin symbol can mean, all of one group.

    Raises:
        SymmetryError: if the symbol is unknown, or what is said of its origin or axes suits none of its settings.
    """
    letters, code = parse_symbol(text)
    found = _named(letters)
    for suffix, meaning in _SUFFIXES.items():
        if not found and code is None and letters.endswith(suffix):
            found = tuple(s for s in _named(letters.removesuffix(suffix)) if s.has_code(meaning))
    if not found:
        raise SymmetryError(f"space group {text!r} is unknown")
    chosen = with_code(found, code)
    if not chosen and code in ("1", "2") and ":" not in text and not any(s.code[:1] in ("1", "2") for s in found):
        chosen = found  # `P -1 (origin at -1)`: there is no choice
    if not chosen:
        raise SymmetryError(f"space group {text!r} has no setting {code!r}")
    return chosen


def with_code(candidates: tuple[Setting, ...], code: str | None) -> tuple[Setting, ...]:
    """Those settings that a coordinate-system code leaves, all without a code.

    The code is the more exact statement: `P 21/c` with code `c1` is the group's setting `P 1 1 21/a`. A symbol that is
    that of another setting (`P m n b` with code `cab`) contradicts it.
    """
    if code is None or not candidates:
        return candidates
    of_group = settings_of_number(candidates[0].number) if any(s.is_reference for s in candidates) else ()
    for listed in (candidates, of_group):
        exact = tuple(setting for setting in listed if setting.code == code.casefold())
        if found := exact or tuple(setting for setting in listed if setting.has_code(code)):
            return found
    return ()


def _named(letters: str) -> tuple[Setting, ...]:
    """The settings of a symbol's letters, by the most exact kind of symbol that has them."""
    for names in _names():
        if letters in names:
            return names[letters]
    return ()


@cache
def _names() -> tuple[dict[str, tuple[Setting, ...]], ...]:
    """Letters of symbols to settings, exact symbols first: as tabulated and full; short; with `e`; without the bar."""
    exact: dict[str, list[Setting]] = {}
    short: dict[str, list[Setting]] = {}
    glides: dict[str, list[Setting]] = {}
    unbarred: dict[str, list[Setting]] = {}
    full_of_hall = _full_symbols()
    for setting in settings():
        words = setting.symbol.partition(":")[0].split()
        full = full_of_hall.get(setting.hall, words)
        tabulated = {_join(words)}
        if setting.number not in _WITH_E_GLIDE:
            tabulated.add(_join(full))
        else:
            slot = 1 + "ABC".index(words[0])  # the glide plane is the one perpendicular to the centred face's axis
            tabulated.add(_join([w if i != slot else w.replace("e", words[slot]) for i, w in enumerate(full)]))
            for symbol in {_join([*words[:slot], "e", *words[slot + 1 :]]), _join(full)}:
                glides.setdefault(symbol, []).append(setting)
        for symbol in tabulated:
            exact.setdefault(symbol, []).append(setting)
        if setting.code == "h":
            exact.setdefault("h" + _join(words[1:]), []).append(setting)
        if setting.number in _MONOCLINIC and setting.hall in full_of_hall:  # C 2 is not a P 2 in a doubled cell
            short.setdefault(_join([words[0], *(word for word in words[1:] if word != "1")]), []).append(setting)
        if setting.number in _CUBIC:
            for symbol in tabulated:
                unbarred.setdefault(symbol.replace("-3", "3"), []).append(setting)
    # International Tables describe a group with an e-glide under one symbol, in the standard setting.
    glides = {name: [s for s in found if s.is_reference] or found for name, found in glides.items()}
    return tuple({name: tuple(found) for name, found in names.items()} for names in (exact, short, glides, unbarred))


@cache
def _full_symbols() -> dict[str, list[str]]:
    """The words of full Hermann-Mauguin symbols by Hall symbol, of the 530 settings of Hall's list."""
    import moyopy

    entries = (moyopy.HallSymbolEntry(hall_number) for hall_number in range(1, 531))
    return {entry.hall_symbol.replace("=", '"'): entry.hm_full.replace("_", "").split() for entry in entries}


def _join(words: list[str]) -> str:
    return "".join(words).casefold()


def parse_space_group(text: str) -> int:
    """Space-group number from a number or a Hermann-Mauguin symbol (`225`, `Fm-3m`, `F m -3 m`, `P2_1/c`, `Cmce`).

    Raises:
        SymmetryError: if the number is out of range or the symbol unknown.
    """
    stripped = text.strip()
    if (number := whole_number(stripped.removeprefix("-").removeprefix("+"))) is not None:
        number = -number if stripped.startswith("-") else number
        check_group_number(number)
        return number
    try:
        return settings_of_symbol(stripped)[0].number
    except SymmetryError:
        expected = f"neither a space-group number 1-{N_GROUPS} nor a Hermann-Mauguin symbol"
        raise SymmetryError(f"{text!r} is {expected}") from None
