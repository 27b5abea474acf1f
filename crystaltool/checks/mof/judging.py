"""Verdicts of the rules of MOFs (`checks.registry`) on a block or a crystal."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from crystaltool.checks.distance import atom_label
from crystaltool.checks.mof.coordination import Coordination, coordination_of
from crystaltool.checks.mof.framework import WHOLE
from crystaltool.checks.registry import MOF_RULES, MOFRule
from crystaltool.checks.verdict import Verdict
from crystaltool.crystal import Crystal
from crystaltool.units import SYMBOLS

if TYPE_CHECKING:
    from crystaltool.io.cif import CifBlock

RULES_VERSION = "MOFChecker 2.0 rules, bonds by crystaltool"
"""Printed beside results."""

MAX_NAMED = 4
"""Atoms named in a message; the others are counted."""


def judge(rule: MOFRule, coordination: Coordination, label: Callable[[int], str]) -> Verdict:
    """The verdict of a rule; of one that lists what breaks it, the value is how many these are."""
    find = _function(rule.find)
    if rule.judges:
        return find(coordination, label, rule.limit)
    found = find(coordination)
    texts = [text if atom == WHOLE else f"{label(atom)}: {text}" for atom, text in found.items()]
    more = len(texts) - MAX_NAMED
    message = "; ".join(texts[:MAX_NAMED]) + (f"; {more} more" if more > 0 else "")
    if not found:
        message = _function(rule.passing)(coordination) if ":" in rule.passing else rule.passing
    return Verdict(rule.name, not found, float(len(found)), rule.limit, message)


def _function(text: str) -> Any:
    module, _, name = text.partition(":")
    return getattr(import_module(f"crystaltool.checks.mof.{module}"), name)


def judge_block(rule: MOFRule, block: CifBlock) -> Verdict:
    """The verdict of a rule on a block, atoms named by their labels."""
    return judge(rule, coordination_of(block.crystal), partial(atom_label, block))


def judge_crystal(crystal: Crystal) -> list[Verdict]:
    """The verdict of every rule on a crystal, atoms named by element and 1-based place."""
    coordination = coordination_of(crystal)
    return [judge(rule, coordination, lambda atom: f"{SYMBOLS[crystal.numbers[atom]]}{atom + 1}") for rule in MOF_RULES]


def mof_valid(crystal: Crystal) -> dict[str, bool]:
    """Whether a crystal passes each rule; the structure is valid if all are true.

    About 15 ms a MOF of 100 atoms on one core.
    """
    return {verdict.check: verdict.passed for verdict in judge_crystal(crystal)}
