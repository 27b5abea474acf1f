"""Charges that the metals of a framework can have together: each in a state that its element has in such compounds.

Metals of one element whose bond valences are alike are in one state. Where two states that follow each other exist (Cu
I and II, Fe II and III), any mean of them may be the state, as in mixed valence; where a state between is missing (Tl I
and III, Bi III and V) there is none, and sites in both states differ in their valence sums.
"""

from __future__ import annotations

import numpy as np

from crystaltool.arrays import Float
from crystaltool.checks.mof.coordination import Coordination
from crystaltool.checks.mof.elements import CENTRE
from crystaltool.checks.mof.oxidation import OXIDATION_STATES, RARE_STATES
from crystaltool.units import SYMBOLS

ALIKE = 0.75
"""Valence units: sites of one element, sorted by valence sum, are in one state as far as neighbours in this order
differ by less."""

SUPPORTED = 0.35
"""Relative: a charge of the metals is supported by their bonds if their valences sum to it within this. Of 798 sound
structures of QMOF 33 are neutral only with another charge of their ligands than the likeliest one, in 31 of them the
metals' valences sum to this charge within a quarter."""

MOST_CARBONS = 4
"""Bound to a metal one by one (cyanides); with more of them it stands on a ring, whose bonds have no known valence."""

_CARBON, _SOFT = 6, (16, 34)
_MERCURY = SYMBOLS.index("Hg")


class MetalCharges:
    """The metals of a cell.

    Args:
        coordination: atoms and bonds.
    """

    def __init__(self, coordination: Coordination) -> None:
        numbers = coordination.numbers
        self.valence_sum = float(coordination.valence_sums[CENTRE[numbers]].sum())
        self._measurable = not any(
            _is_sandwiched(coordination, atom) for atom in np.flatnonzero(CENTRE[numbers]).tolist()
        )
        self._ranges = {(0, 0)}
        for number, n, any_state in _groups(coordination):
            runs = consecutive(states_of(number, any_state))
            self._ranges = {(low + n * a, high + n * b) for low, high in self._ranges for a, b in runs}

    def nearest(self, wanted: int) -> int:
        """The charge of the cell's metals in e that is nearest to a wanted one."""
        charges = [min(max(wanted, low), high) for low, high in self._ranges]
        return min(charges, key=lambda charge: abs(charge - wanted))

    def supports(self, charge: int) -> bool:
        """Whether the valences of the metals' bonds sum to about this charge; those of ferrocenes are not known."""
        return not self._measurable or abs(charge - self.valence_sum) <= SUPPORTED * self.valence_sum


def states_of(number: int, any_state: bool) -> tuple[int, ...]:
    """Oxidation states of an element that may balance.

    Args:
        number: atomic number.
        any_state: rare ones, too: of a metal bound to metals, as in clusters, or to sulfur alone, as by dithiolenes.
    """
    states = OXIDATION_STATES[number]
    if number == _MERCURY:  # mercury(I) is Hg2
        return (1, 2) if any_state else (2,)
    return states if any_state else tuple(state for state in states if state not in RARE_STATES.get(number, ()))


def consecutive(states: tuple[int, ...]) -> list[tuple[int, int]]:
    """The first and last of each run of whole numbers: (2, 3, 6) has 2 to 3 and 6."""
    starts = [state for state in states if state - 1 not in states]
    ends = [state for state in states if state + 1 not in states]
    return list(zip(starts, ends, strict=True))


def _groups(coordination: Coordination) -> list[tuple[int, int, bool]]:
    """Element, number and whether any state will do of the sites that are in one state."""
    any_state = coordination.n_metal_bonds > 0
    for atom in np.flatnonzero(CENTRE[coordination.numbers] & (coordination.n_bonds > 0)).tolist():
        any_state[atom] |= bool(np.isin(coordination.numbers[coordination.neighbours(atom).atoms], _SOFT).all())
    found = []
    for number in np.unique(coordination.numbers[CENTRE[coordination.numbers]]).tolist():
        for free in (False, True):
            sums: Float[np.ndarray, " k"] = np.sort(
                coordination.valence_sums[(coordination.numbers == number) & (any_state == free)]
            )
            found += [(number, len(part), free) for part in np.split(sums, np.flatnonzero(np.diff(sums) > ALIKE) + 1)]
    return [group for group in found if group[1]]


def _is_sandwiched(coordination: Coordination, atom: int) -> bool:
    """Whether a metal is held by rings of carbon."""
    return int((coordination.numbers[coordination.neighbours(atom).atoms] == _CARBON).sum()) > MOST_CARBONS
