"""Which element a site is: its type symbol, else the letters of its label. What is neither is an error, never a guess.

A label is read whole (`Fe1`, `FE12A`, `Si(2)`), as a listed alias (`Wat`, `Ow`, `Hw`, `OH`), or as an element and a
name of the site in capitals that is no element (`SiT1`, `MgM2`). Where a label can be read in two ways (`OA1`, `CA1`)
the stated formula decides, and must then hold; so it does of `Ho1` where it has hydrogen and no holmium.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import lru_cache

from crystaltool.errors import InputError
from crystaltool.units import SYMBOLS, atomic_number

ALIASES = {"wat": "O", "ow": "O", "hw": "H", "oh": "O", "h2o": "O", "cval": "C", "siva": "Si"}
"""Names in use for atoms: of water, of hydroxide (its oxygen), and SHELX's valence-state scattering factors."""

AMBIGUOUS_CAPITALS = ("CO", "HO", "NP", "PO")
"""An element, or two of which one is a ligand's: read only if the stated formula says which."""

RARE_EARTH = "RE"
"""Any of them; rhenium is written Re."""

ISOTOPES = ("D", "T")
LAST_IN_CAPITALS = 94
"""Plutonium: beyond, letters (`NO3`, `CF3`, `Nh1`) are more likely two elements or a site's name."""

_TYPE = re.compile(r"(?:\d{1,3})?([A-Za-z]+)\(?([0-9.]*[+-]?[0-9.]*[+-]?)\)?$")
_LETTERS = re.compile(r"[A-Za-z]+")
_MIXED = re.compile(r"[A-Za-z0-9+\-.]*(?:[/,&|]|\+(?=[A-Z])|\.[0-9]+(?=[A-Z]))[A-Za-z]")
_APART = re.compile(r"([A-Za-z]{1,2})[^A-Za-z0-9]+([A-Z][a-z]?)")
"""Two symbols and no number between them: `Fe_Mn`, `Al(Si)`; `C1_B` is atom 1 of part B."""

_SHARE = re.compile(r"[A-Za-z]+0?\.[0-9]|[A-Z][a-z]?[0-9]+[A-Z][a-z]?[0-9]+[A-Z]")
"""An occupancy (`Na0.5`) or a formula (`Ca1H2O`) in place of a label."""

_TWO = re.compile(r"([A-Z][a-z]?)[0-9]+([A-Z][a-z])[0-9]*$")
_SITE_NAME = re.compile(r"([A-Z][a-z])([A-Z][A-Za-z]*)$")
_ONE_AND_MORE = re.compile(r"([A-Z])([A-Z]{1,2}|[a-z])$")


def elements_of_sites(
    symbols: Sequence[str] | None, labels: Sequence[str], formula: Collection[int] | None
) -> tuple[list[int], list[str]]:
    """Atomic number of every site, and the labels of those that only the stated formula could settle.

    Args:
        symbols: type symbols, `?` where not known; None without that column. labels: of the same sites.
        formula: atomic numbers in the stated formula, None where none is stated.

    Raises:
        InputError: a symbol or label is no element; the label is named.
    """
    numbers, settled = [], []
    for index, label in enumerate(labels):
        symbol = symbols[index] if symbols is not None else "?"
        if symbol not in ("?", "."):
            if (number := _of_symbol(symbol)) is None:
                mixed = ", more than one element on a site" if _MIXED.match(symbol.strip("'\" ")) else ""
                raise InputError(f"site {label}: type {symbol!r} is not an element{mixed}")
            numbers.append(number)
            continue
        number, by_formula = _of_label(label, None if formula is None else frozenset(formula))
        numbers.append(number)
        if by_formula:
            settled.append(label)
    return numbers, settled


def isotopes_in(symbols: Sequence[str] | None, labels: Sequence[str]) -> list[str]:
    """Labels of the sites that are deuterium or tritium, which count as hydrogen."""
    found = []
    for index, label in enumerate(labels):
        symbol = symbols[index] if symbols is not None and symbols[index] not in ("?", ".") else label
        letters = _LETTERS.match(symbol.lstrip("'\"0123456789"))
        if letters and (letters[0] in ISOTOPES or symbol.strip("'\"").startswith(("2H", "3H"))):
            found.append(label)
    return found


@lru_cache(maxsize=1024)
def _of_symbol(symbol: str) -> int | None:
    """Atomic number of a type symbol such as `Fe`, `FE`, `Fe3+`, `O2-`, `Fe1`, `D`; None if it is no element."""
    bare = symbol.strip("'\" ")
    if bare.casefold() in ALIASES:
        return atomic_number(ALIASES[bare.casefold()])
    match = _TYPE.match(bare)
    letters = match[1] if match else ""
    if match and re.fullmatch(r"0?\.[0-9]+", match[2]):  # `Fe0.5` is half an atom; `Cu0.5+` has a charge
        return None
    if match and letters in AMBIGUOUS_CAPITALS and match[2].isdecimal():  # PO4 is phosphate
        return None
    number = _element(letters)
    if number is None and letters.casefold() in ALIASES:
        return atomic_number(ALIASES[letters.casefold()])
    return number


@lru_cache(maxsize=4096)
def _of_label(label: str, formula: frozenset[int] | None) -> tuple[int, bool]:
    """Atomic number from a label, and whether the formula had to settle it."""
    bare = label.strip("'\" ")
    found = _LETTERS.match(bare)
    letters = found[0] if found else ""
    pairs = [match for match in (_TWO.match(bare), _APART.match(bare)) if match]
    if _MIXED.match(bare) or any(pair[1].capitalize() in _KNOWN and pair[2] in _KNOWN for pair in pairs):
        raise InputError(f"site {label}: the label names more than one element, and no type symbol says which")
    if _SHARE.match(bare):
        raise InputError(f"site {label}: the label is no element and number, and no type symbol says what it is")
    if letters.casefold() in ALIASES:
        return atomic_number(ALIASES[letters.casefold()]), False
    if bare[:3].casefold() == "h2o":
        return atomic_number("O"), False
    whole = None if letters == "T" else _element(letters)  # T is any tetrahedral site
    split = _ONE_AND_MORE.match(letters)
    first = _element(split[1]) if split else None
    if letters == "W" and formula is not None and _KNOWN["W"] not in formula and _KNOWN["O"] in formula:
        return _KNOWN["O"], True  # of water
    if first is not None and formula is not None:
        if whole in formula:
            return int(whole or 0), first in formula and letters.isupper()
        if first in formula:
            return first, True
    if whole is not None and whole > LAST_IN_CAPITALS and whole not in (formula or ()):
        raise InputError(f"site {label}: {letters} may be element {whole} or a name, and no type symbol says which")
    if whole is not None and letters not in AMBIGUOUS_CAPITALS:
        return whole, False
    named = _SITE_NAME.match(letters)
    if named and _element(named[1]) is not None and not _begins_with_element(named[2]):
        return int(_element(named[1]) or 0), False
    raise InputError(f"site {label}: its letters {letters!r} are no element, and no type symbol says what it is")


def _element(letters: str) -> int | None:
    """Atomic number of a symbol in any case; in two capitals only of elements up to plutonium."""
    if letters in ISOTOPES:
        return 1
    symbol = letters.capitalize()
    if symbol not in _KNOWN or letters == RARE_EARTH or (letters != symbol and _KNOWN[symbol] > LAST_IN_CAPITALS):
        return None
    return _KNOWN[symbol]


_KNOWN = {symbol: number for number, symbol in enumerate(SYMBOLS) if number}


def _begins_with_element(letters: str) -> bool:
    return letters[:2] in _KNOWN or letters[:1] in _KNOWN
