"""The rules of MOFs, in the order in which they are printed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from crystaltool.checks.mof import framework, rules
from crystaltool.checks.mof.charge import HIGH_CHARGE, check_high_charge
from crystaltool.checks.mof.coordination import Coordination, coordination_of
from crystaltool.checks.mof.exposure import EXPOSED_COORDINATION, OPEN_ANGLE, exposed_metal
from crystaltool.checks.verdict import Verdict
from crystaltool.crystal import Crystal
from crystaltool.units import SYMBOLS

RULES_VERSION = "MOFChecker 2.0 rules, bonds by crystaltool"
"""Printed beside results."""

MAX_NAMED = 4
"""Atoms named in a message; the others are counted."""


@dataclass(frozen=True)
class Rule:
    """A named rule on the atoms and bonds of a MOF.

    Args:
        name: as in `--only` and in the output.
        summary: one line: what is asked for.
        judge: a pure function of the coordination and of the names of its atoms.
    """

    name: str
    summary: str
    judge: Callable[[Coordination, Callable[[int], str]], Verdict]


def _rule(name: str, limit: str, find: Callable[[Coordination], rules.Findings]) -> Rule:
    return Rule(name, limit, partial(_judge, name, limit, find))


def _judge(
    name: str,
    limit: str,
    find: Callable[[Coordination], rules.Findings],
    coordination: Coordination,
    label: Callable[[int], str],
) -> Verdict:
    """The verdict on what a rule found; its value is the number of findings."""
    found = find(coordination)
    texts = [text if atom == framework.WHOLE else f"{label(atom)}: {text}" for atom, text in found.items()]
    more = len(texts) - MAX_NAMED
    message = "; ".join(texts[:MAX_NAMED]) + (f"; {more} more" if more > 0 else "")
    return Verdict(name, not found, float(len(found)), limit, message or "none")


RULES: tuple[Rule, ...] = (
    _rule("has-metal", "at least one metal", framework.no_metal),
    _rule("has-carbon", "at least one carbon", framework.no_carbon),
    _rule("has-hydrogen", "at least one hydrogen", framework.no_hydrogen),
    _rule("overlap", "no two atoms nearer than the smaller covalent radius", rules.atomic_overlap),
    _rule("overcoordinated-c", "C with at most 4 neighbours, or bound to metal or B", rules.overcoordinated_carbon),
    _rule("overcoordinated-n", "N with at most 4 neighbours, or bound to metal", rules.overcoordinated_nitrogen),
    _rule("overcoordinated-h", "H with one atom within 1.15 A", rules.overcoordinated_hydrogen),
    _rule("undercoordinated-c", "C with 3 flat neighbours, 2 in line or cyanide", rules.undercoordinated_carbon),
    _rule("undercoordinated-n", "N with 2 nonmetals, 3 bonds if single, or nitrile", rules.undercoordinated_nitrogen),
    _rule("undercoordinated-rare-earth", "rare earth with at least 4 neighbours", rules.undercoordinated_rare_earth),
    _rule(
        "undercoordinated-alkali", "alkali, alkaline earth with at least 4 neighbours", rules.undercoordinated_alkali
    ),
    _rule("lone-molecule", "no free atom or molecule", framework.lone_molecule),
    _rule("connected-3d", "bonds reach in 3 directions", framework.not_three_dimensional),
    _rule("terminal-oxo", "no terminal oxo at metals that form none", rules.terminal_oxo),
    _rule(
        "exposed-metal",
        f"metal with {EXPOSED_COORDINATION} neighbours, or open angle at most {OPEN_ANGLE:g} degrees",
        exposed_metal,
    ),
    Rule("high-charge", f"EQeq charges within {HIGH_CHARGE:g} e or the oxidation state", check_high_charge),
)


def judge_crystal(crystal: Crystal) -> list[Verdict]:
    """The verdict of every rule on a crystal, atoms named by element and 1-based place."""
    coordination = coordination_of(crystal)
    return [rule.judge(coordination, lambda atom: f"{SYMBOLS[crystal.numbers[atom]]}{atom + 1}") for rule in RULES]


def mof_valid(crystal: Crystal) -> dict[str, bool]:
    """Whether a crystal passes each rule; the structure is valid if all are true.

    About 15 ms a MOF of 100 atoms on one core.
    """
    return {verdict.check: verdict.passed for verdict in judge_crystal(crystal)}
