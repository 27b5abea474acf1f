"""What the block says of its content against its atoms: formula and Z, and the multiplicity of every site."""

from __future__ import annotations

import re
from functools import reduce
from math import gcd
from typing import TYPE_CHECKING

import numpy as np

from crystaltool.arrays import Int
from crystaltool.checks.verdict import Verdict
from crystaltool.errors import InputError
from crystaltool.units import SYMBOLS, atomic_number

if TYPE_CHECKING:
    from crystaltool.io.cif import CifBlock

DIATOMIC = frozenset(atomic_number(symbol) for symbol in ("H", "N", "O", "F", "Cl"))
"""Elements whose formula pymatgen reduces to two atoms."""

_PART = re.compile(r"([A-Z][a-z]?)([0-9]*\.?[0-9]*)$")

Composition = dict[int, int]
"""Atomic number -> count."""


def composition(numbers: Int[np.ndarray, "n_atoms"]) -> Composition:
    """How many atoms of each element."""
    counts = np.bincount(numbers)
    return {int(number): int(counts[number]) for number in np.flatnonzero(counts)}


def reduced(counts: Composition) -> Composition:
    """The counts over their greatest common divisor."""
    divisor = reduce(gcd, counts.values())
    return {number: count // divisor for number, count in counts.items()}


def formula_text(counts: Composition) -> str:
    """A formula as `_chemical_formula_sum` has it but in the order of atomic numbers: `O2 Ti`."""
    return " ".join(SYMBOLS[number] + (str(count) if count > 1 else "") for number, count in sorted(counts.items()))


def parse_formula_sum(text: str) -> Composition:
    """Counts of a `_chemical_formula_sum` such as `Cl4 Na4`.

    Raises:
        InputError: if a part is no element with a whole count.
    """
    counts: Composition = {}
    for part in text.split():
        match = _PART.match(part)
        if match is None:
            raise InputError(f"formula {text!r} cannot be read at {part!r}")
        count = float(match[2] or 1)
        if count != round(count) or count < 1:
            raise InputError(f"formula {text!r} has a count {match[2]} that is not whole")
        number = atomic_number(match[1])
        counts[number] = counts.get(number, 0) + round(count)
    if not counts:
        raise InputError("the formula is empty")
    return counts


def check_formula(block: CifBlock) -> Verdict:
    """Formula times Z is the content of the cell; without Z the content is a whole multiple of the formula.

    pymatgen writes the content of the cell as the formula and Z of the reduced one (N2, not N); that is taken as it
    is meant.
    """
    content = composition(block.crystal.numbers)
    limit = "formula x Z = atoms of the cell"
    n_atoms = float(block.crystal.n_atoms)
    if block.formula_sum is None:
        return Verdict("formula", True, n_atoms, limit, f"no formula declared, the cell holds {formula_text(content)}")
    try:
        declared = parse_formula_sum(block.formula_sum)
    except InputError as error:
        return Verdict("formula", False, n_atoms, limit, " ".join(str(error).split()))
    units = block.formula_units_z
    if units is None:
        passed = reduced(declared) == reduced(content) and sum(content.values()) % sum(declared.values()) == 0
    else:
        as_pymatgen_means = declared == content and _times(_unit_of_pymatgen(declared), units) == content
        passed = _times(declared, units) == content or as_pymatgen_means
    said = f"{formula_text(declared)}, Z = {units if units is not None else 'not given'}"
    return Verdict("formula", passed, n_atoms, limit, f"declared {said}; the cell holds {formula_text(content)}")


def _unit_of_pymatgen(counts: Composition) -> Composition:
    """The formula unit that pymatgen's Z counts: the reduced formula, or a molecule of a diatomic gas."""
    unit = reduced(counts)
    diatomic = len(unit) == 1 and not DIATOMIC.isdisjoint(unit) and sum(counts.values()) % 2 == 0
    return _times(unit, 2) if diatomic else unit


def _times(counts: Composition, factor: int) -> Composition:
    return {number: count * factor for number, count in counts.items()}


def check_multiplicities(block: CifBlock) -> Verdict:
    """The declared multiplicity of every site is the number of atoms its images make."""
    limit = "site multiplicity = atoms of the site"
    if block.site_multiplicities is None:
        return Verdict("multiplicities", True, None, limit, "none declared")
    counts = np.bincount(block.atom_to_site, minlength=len(block.site_labels))
    wrong = np.flatnonzero(counts != np.array(block.site_multiplicities))
    if len(wrong) == 0:
        return Verdict("multiplicities", True, 0.0, limit, f"{len(counts)} sites agree")
    first = int(wrong[0])
    message = f"site {first + 1} declares {block.site_multiplicities[first]}, its operations make {counts[first]} atoms"
    return Verdict("multiplicities", False, float(len(wrong)), limit, message)
