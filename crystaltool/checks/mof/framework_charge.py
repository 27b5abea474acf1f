"""The rule on the charge of the whole: what the ligands' charges sum to, usual states of the metals make up for.

A framework that has lost a proton of a bridging hydroxide or a counter-ion has sound bonds everywhere; only the sum
tells. A ligand has the charge of its likeliest Lewis structure; another that the graph allows, too, if the metals'
bond valences speak for it. Where the sum cannot be told (a ligand whose valences are not understood, carbonyls and
nitrosyls, which hold metals in any state, a crystal without carbon) there is no verdict.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from crystaltool.checks.mof.coordination import Coordination
from crystaltool.checks.mof.elements import CENTRE
from crystaltool.checks.mof.ligand_charge import MARGIN, Ligand, as_ligand, charge_costs, cheapest_charge
from crystaltool.checks.mof.metal_charge import MetalCharges
from crystaltool.checks.mof.oxidation import OXIDATION_STATES
from crystaltool.checks.verdict import Verdict, not_judged
from crystaltool.mof.quotient import find_pieces
from crystaltool.units import SYMBOLS

NAME = "framework-charge"

AS_LIKELY = 0.7
"""Charges of a ligand that differ by less in cost are equally likely."""

_CARBON = 6

_NON_INNOCENT = ({6, 8}, {7, 8})
"""Elements of carbonyl and nitrosyl."""


def check_framework_charge(coordination: Coordination, label: Callable[[int], str], limit: str = "") -> Verdict:
    """The value is the charge of the cell in e, ligands in their likeliest state, metals nearest to what balances."""
    found = ligands_of(coordination)
    centres = Counter(coordination.numbers[CENTRE[coordination.numbers]].tolist())
    reason = _reason_against(coordination, found, centres, label)
    if reason is not None:
        return not_judged(NAME, limit, reason)
    kinds, metals = Counter(ligand for ligand, _ in found), MetalCharges(coordination)
    charge, total = _balance(kinds, metals)
    parts = f"ligands {total:+d} e, metals {charge - total:+d} e ({_count(centres)})"
    if charge == 0:
        return Verdict(NAME, True, 0.0, limit, f"neutral: {parts}")
    missing = "cations or hydrogens" if charge < 0 else "anions"
    return Verdict(NAME, False, float(charge), limit, f"{parts}: {charge:+d} e a cell, {missing} missing")


def ligands_of(coordination: Coordination) -> list[tuple[Ligand, int]]:
    """What hangs together without metals, each with its first atom."""
    crystal, bonds = coordination.crystal, coordination.bonds
    centre = CENTRE[crystal.numbers]
    inside = ~centre[bonds.pairs].any(axis=1)
    at_metal = np.zeros(crystal.n_atoms, dtype=bool)
    at_metal[bonds.pairs[~inside].ravel()] = True
    pairs = bonds.pairs[inside]
    pieces = find_pieces(crystal.n_atoms, pairs, bonds.images[inside])
    order = np.argsort(pieces.labels, kind="stable")
    place = np.empty(crystal.n_atoms, dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum(np.bincount(pieces.labels, minlength=len(pieces)))])
    place[order] = np.arange(crystal.n_atoms) - starts[pieces.labels[order]]
    pair_order = np.argsort(pieces.labels[pairs[:, 0]], kind="stable")
    pair_starts = np.searchsorted(pieces.labels[pairs[pair_order, 0]], np.arange(len(pieces) + 1))
    found = []
    for piece in range(len(pieces)):
        atoms = order[starts[piece] : starts[piece + 1]]
        if not centre[atoms[0]]:
            mine = place[pairs[pair_order[pair_starts[piece] : pair_starts[piece + 1]]]]
            found.append((as_ligand(crystal.numbers[atoms], mine, at_metal[atoms]), int(atoms[0])))
    return found


def _reason_against(
    coordination: Coordination,
    ligands: Sequence[tuple[Ligand, int]],
    centres: Counter[int],
    label: Callable[[int], str],
) -> str | None:
    """Why the charge cannot be told, None if it can."""
    unknown = [SYMBOLS[number] for number in sorted(centres) if number not in OXIDATION_STATES]
    if unknown:
        return f"no oxidation states of {unknown[0]}"
    if not centres:
        return "no metal"
    if not (coordination.numbers == _CARBON).any():
        return "no carbon, so no ligands that a framework would have"
    for ligand, atom in ligands:
        numbers, at_metal, _ = ligand
        if len(numbers) == 2 and set(numbers) in _NON_INNOCENT and any(at_metal):
            return f"{label(atom)} belongs to a carbonyl or nitrosyl"
        if cheapest_charge(ligand) is None:
            return f"valences of the ligand of {label(atom)} are not understood"
    n_metals = coordination.n_metal_bonds
    alone = np.flatnonzero(CENTRE[coordination.numbers] & (n_metals > 0) & (coordination.n_bonds == n_metals))
    if len(alone):
        return f"{label(int(alone[0]))} is bound to metals alone"
    return None


def _balance(kinds: Counter[Ligand], metals: MetalCharges) -> tuple[int, int]:
    """The charge of the cell, and that of its ligands.

    Ligands have their likeliest charge, or another if the cell is neutral then: one that is as likely, or one that the
    metals' bonds speak for. Equal ligands have equal charges: what a cell says, a supercell says too.
    """
    first = sum(n * (cheapest_charge(ligand) or 0) for ligand, n in kinds.items())
    best = first + metals.nearest(-first), first
    for most in (AS_LIKELY, MARGIN):
        if best[0] == 0:
            break
        totals = {0}
        for ligand, n in kinds.items():
            charges = [charge for charge, cost in charge_costs(ligand).items() if cost <= most]
            totals = {total + n * charge for total in totals for charge in charges}
        for total in sorted(totals, key=abs):
            charge = total + metals.nearest(-total)
            if abs(charge) < abs(best[0]) and (most == AS_LIKELY or metals.supports(-total)):
                best = charge, total
    return best


def _count(centres: Counter[int]) -> str:
    return " ".join(f"{SYMBOLS[number]}{n}" for number, n in sorted(centres.items()))
