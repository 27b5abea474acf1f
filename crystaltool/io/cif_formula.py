"""The stated formula and Z of a block against the atoms of its cell."""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache, reduce
from math import gcd
from typing import TypeAlias

import numpy as np

from crystaltool.arrays import Int
from crystaltool.errors import InputError
from crystaltool.units import SYMBOLS, atomic_number

DIATOMIC = frozenset(atomic_number(symbol) for symbol in ("H", "N", "O", "F", "Cl"))
"""Elements whose formula pymatgen reduces to two atoms."""

_PART = re.compile(r"([A-Z][a-z]?)((?:[0-9]+\.?[0-9]*|\.[0-9]+)?)$")

MAX_COUNT = 10**9
"""Atoms of an element in a formula; more are no formula."""

Composition: TypeAlias = dict[int, int]
"""Atomic number -> count."""


def composition(numbers: Int[np.ndarray, " n_atoms"]) -> Composition:
    """How many atoms of each element."""
    return dict(Counter(numbers.tolist()))


def reduced(counts: Composition) -> Composition:
    """The counts over their greatest common divisor."""
    divisor = reduce(gcd, counts.values())
    return {number: count // divisor for number, count in counts.items()}


def formula_text(counts: Composition) -> str:
    """A formula as `_chemical_formula_sum` has it but in the order of atomic numbers: `O2 Ti`."""
    return " ".join(SYMBOLS[number] + (str(count) if count > 1 else "") for number, count in sorted(counts.items()))


@lru_cache(maxsize=1024)
def _parts(text: str) -> tuple[tuple[int, int], ...]:
    counts: Composition = {}
    for part in text.split():
        match = _PART.match(part)
        if match is None:
            raise InputError(f"formula {text!r} cannot be read at {part!r}")
        count = float(match[2] or 1)
        if not 1 <= count <= MAX_COUNT or count != round(count):
            raise InputError(f"formula {text!r} has a count {match[2]} that is not whole")
        number = atomic_number(match[1])
        counts[number] = counts.get(number, 0) + round(count)
    if not counts:
        raise InputError("the formula is empty")
    return tuple(counts.items())


def parse_formula_sum(text: str) -> Composition:
    """Counts of a `_chemical_formula_sum` such as `Cl4 Na4`.

    Raises:
        InputError: if a part is no element with a whole count.
    """
    return dict(_parts(text))


@lru_cache(maxsize=1024)
def elements_of_formula(text: str | None) -> frozenset[int] | None:
    """Atomic numbers in a stated formula, None where none is stated that can be read, whole counts or not."""
    found = set(re.findall(r"([A-Z][a-z]?)(?![a-z])", text or ""))
    numbers = {SYMBOLS.index(symbol) for symbol in found & set(SYMBOLS[1:])}
    return frozenset(numbers) | ({1} if "D" in found else frozenset()) if numbers else None


def agrees(declared: Composition, units: int | None, content: Composition) -> bool:
    """Whether formula times Z is the content of the cell; without Z the content is a whole multiple of the formula.

    pymatgen writes the content of the cell as the formula and Z of the reduced one (N2, not N); that is taken as it
    is meant.
    """
    if units is None:
        return reduced(declared) == reduced(content) and sum(content.values()) % sum(declared.values()) == 0
    if _times(declared, units) == content:
        return True
    return declared == content and _times(_unit_of_pymatgen(declared), units) == content


def disagreement(formula: str | None, units: int | None, numbers: Int[np.ndarray, " n_atoms"]) -> str | None:
    """What the block says of its content and what the cell holds, where the two differ; else None.

    Z alone says that the cell can be divided into as many alike units.
    """
    content = composition(numbers)
    if formula is None:
        if units is None or (units > 0 and gcd(*content.values()) % units == 0):
            return None
        return f"declared Z = {units} without a formula; the cell holds {formula_text(content)}"
    try:
        declared = dict(_parts(formula))
    except InputError as error:
        return f"{error}; the cell holds {formula_text(content)}"
    return None if agrees(declared, units, content) else stated_and_found(declared, units, content)


def stated_and_found(declared: Composition, units: int | None, content: Composition) -> str:
    """Both sides in one line."""
    stated = f"{formula_text(declared)}, Z = {units if units is not None else 'not given'}"
    return f"declared {stated}; the cell holds {formula_text(content)}"


def _unit_of_pymatgen(counts: Composition) -> Composition:
    """The formula unit that pymatgen's Z counts: the reduced formula, or a molecule of a diatomic gas."""
    unit = reduced(counts)
    diatomic = len(unit) == 1 and not DIATOMIC.isdisjoint(unit) and sum(counts.values()) % 2 == 0
    return _times(unit, 2) if diatomic else unit


def _times(counts: Composition, factor: int) -> Composition:
    return {number: count * factor for number, count in counts.items()}
