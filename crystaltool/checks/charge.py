"""Charge neutrality of a composition by the SMACT rule, as `smact_validity(formula, oxidation_states_set="smact14")`.

A composition passes if it is a single element, or all metals, or if some assignment of one oxidation state to each
element makes the formula neutral while every cation is less electronegative than every anion (Davies et al., Chem 1,
617 (2016), doi 10.1016/j.chempr.2016.09.010). An element without a state or an electronegativity fails.

smact tries every product of states. The same answer comes without that product: no state in the set is zero, so in an
allowed assignment the elements split at one electronegativity, those below being cations and those above anions. For
each such split the sums that the cations can reach, and those that the anions can reach, are held as bits of an
integer; the two sets meet or they do not. Cost is linear in the number of elements and of states.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd
from typing import TYPE_CHECKING

import numpy as np

from crystaltool.arrays import Int
from crystaltool.checks.elements import ELECTRONEGATIVITY, SMACT14_STATES, SMACT_METAL, SMACT_VERSION
from crystaltool.checks.verdict import Verdict
from crystaltool.units import SYMBOLS

if TYPE_CHECKING:
    from crystaltool.io.cif import CifBlock

OPTIONS = f"smact {SMACT_VERSION} rule, oxidation_states_set=smact14, Pauling test, alloys pass"
"""The rule's version and options, printed beside every verdict."""

_CATION_STATES = tuple(tuple(state for state in states if state > 0) for states in SMACT14_STATES)
_ANION_STATES = tuple(tuple(-state for state in states if state < 0) for states in SMACT14_STATES)


def smact_valid(numbers: Int[np.ndarray, " n_atoms"]) -> bool:
    """Whether a composition, given by the atomic number of every atom, is valid."""
    counts = np.bincount(numbers)
    present = np.flatnonzero(counts)
    return smact_valid_counts(tuple(present.tolist()), tuple(counts[present].tolist()))


def smact_valid_counts(numbers: tuple[int, ...], counts: tuple[int, ...]) -> bool:
    """Whether a composition, given by different atomic numbers and how many atoms each has, is valid."""
    divisor = gcd(*counts)
    return _reduced_valid(numbers, tuple(count // divisor for count in counts))


@lru_cache(maxsize=65536)
def _reduced_valid(numbers: tuple[int, ...], counts: tuple[int, ...]) -> bool:
    if len(numbers) == 1 or all(SMACT_METAL[number] for number in numbers):
        return True
    if any(np.isnan(ELECTRONEGATIVITY[number]) or not SMACT14_STATES[number] for number in numbers):
        return False
    pairs = zip(numbers, counts, strict=True)
    elements = sorted((float(ELECTRONEGATIVITY[number]), number, count) for number, count in pairs)
    cations = _reachable([(_CATION_STATES[number], count) for _, number, count in elements])
    anions = _reachable([(_ANION_STATES[number], count) for _, number, count in reversed(elements)])
    return any(
        elements[cut - 1][0] < elements[cut][0] and cations[cut] & anions[len(elements) - cut]
        for cut in range(1, len(elements))
    )


def _reachable(elements: list[tuple[tuple[int, ...], int]]) -> list[int]:
    """Bit sets of the charges that the first 0, 1, 2, ... elements can sum to, one state an element."""
    sets = [1]
    for states, count in elements:
        reached = 0
        for state in states:
            reached |= sets[-1] << (state * count)
        sets.append(reached)
    return sets


def check_charge(block: CifBlock) -> Verdict:
    """The verdict on the atoms of the cell."""
    numbers = block.crystal.numbers
    passed = smact_valid(numbers)
    return Verdict("charge", passed, None, OPTIONS, _reason(numbers, passed))


def _reason(numbers: Int[np.ndarray, " n_atoms"], passed: bool) -> str:
    present = np.unique(numbers)
    if len(present) == 1:
        return "single element"
    if SMACT_METAL[present].all():
        return "all metals"
    if passed:
        return "neutral"
    unknown = [SYMBOLS[z] for z in present if np.isnan(ELECTRONEGATIVITY[z]) or not SMACT14_STATES[z]]
    if unknown:
        return f"no oxidation state or electronegativity known for {' '.join(unknown)}"
    return "no assignment of oxidation states is neutral with anions more electronegative than cations"
