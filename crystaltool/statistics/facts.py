"""What the statistics take from one structure, worked out in any process: numbers, texts, verdicts."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from crystaltool.checks.kind import INORGANIC, MOF
from crystaltool.checks.verdict import OF_ALL_CHECKS, VERDICT_KEY, is_verdict
from crystaltool.errors import CrystaltoolError
from crystaltool.io.records import RawBlock
from crystaltool.view.fields import SYSTEM_ENDS, Record
from crystaltool.view.values import text_of

if TYPE_CHECKING:
    from crystaltool.checks.registry import Plan
    from crystaltool.evaluation.templates import Template

VALID = ("distance-cdvae", "charge")
"""Checks of the validity for which the field takes its distances, structural and compositional."""

NUMBERS = ("n_elements", "n_atoms", "n_sites", "density", "volume")
"""Fields of `view` that are numbers of every structure."""

OF_OTHERS = ("novel", "unique")
"""Verdicts for which known structures are needed."""

PASS, FAIL, NOT_JUDGED = "pass", "fail", "not_judged"


@dataclass(frozen=True)
class Asked:
    """What is worked out.

    Args:
        detect: find space group and template of crystals anew at 0.1 A; else the group is the declared one.
        validity: judge crystals by `VALID`.
        plan: checks to run, None for the verdicts that stand in the blocks.
    """

    detect: bool = True
    validity: bool = False
    plan: Plan | None = None


@dataclass(frozen=True)
class Facts:
    """One structure.

    Args:
        name, source, line: the block and where it came from.
        kind: inorganic or mof.
        formula: in lowest terms.
        numbers: finite values by field, volume_per_atom and `_crystaltool_*` ones among them.
        texts: values by field, `_crystaltool_*` ones among them.
        sets: elements, and of MOFs linkers.
        group: number of the space group, None where none was found or declared.
        template: group and Wyckoff letters, such as `225 a b`; empty where not asked for.
        verdicts: pass, fail or not_judged by the name of the check, `all` among them.
        valid: whether it passes `VALID`; None of a MOF, and where it was not asked.
    """

    name: str
    source: str
    line: int
    kind: str
    formula: str
    numbers: dict[str, float] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    sets: dict[str, tuple[str, ...]] = field(default_factory=dict)
    group: int | None = None
    template: str = ""
    verdicts: dict[str, str] = field(default_factory=dict)
    valid: bool | None = None


def facts_of(raw: RawBlock, asked: Asked) -> Facts:
    """The facts of one structure.

    Raises:
        CrystaltoolError: it cannot be read.
    """
    record = Record(raw)
    kind = _kind(record)
    numbers: dict[str, float] = {}
    for name in NUMBERS:
        value = record.get(name)
        if isinstance(value, (int, float)):
            numbers[name] = float(value)
    numbers["volume_per_atom"] = numbers["volume"] / numbers["n_atoms"]
    texts: dict[str, str] = {}
    _add_stored(record, numbers, texts)
    sets = {"elements": tuple(sorted(record.elements))}
    group, template = _symmetry(record, kind, asked)
    if kind == MOF:
        texts |= {name: text for name in ("net", "nodes") if (text := text_of(record.get(name)))}
        linkers = record.get("linkers")
        sets |= {"linkers": tuple(sorted(linkers))} if isinstance(linkers, frozenset) else {}
    verdicts = _verdicts(record, asked)
    return Facts(
        *(raw.name, raw.source, raw.line, kind, text_of(record.get("reduced_formula"))),
        numbers,
        texts,
        sets,
        group,
        template,
        verdicts,
        _valid(record, verdicts) if asked.validity and kind == INORGANIC else None,
    )


def crystal_system(group: int) -> str:
    """Of a space group; trigonal apart from hexagonal."""
    return next(name for last, name in SYSTEM_ENDS if group <= last)


def _kind(record: Record) -> str:
    """As `check` tells it, without placing the atoms of what has neither carbon nor stated bonds."""
    if "C" not in record.elements and record.header.table.column("_geom_bond_atom_site_label_1") is None:
        return INORGANIC
    return record.kind


def _add_stored(record: Record, numbers: dict[str, float], texts: dict[str, str]) -> None:
    """The `_crystaltool_*` values but for verdicts; a field of `view` goes before one of these."""
    for key in record.properties:
        if is_verdict(key) or key in numbers:
            continue
        value = record.stored(key)
        if isinstance(value, str):
            texts[key] = value
        elif value is not None and math.isfinite(value):
            numbers[key] = float(value)


def _symmetry(record: Record, kind: str, asked: Asked) -> tuple[int | None, str]:
    if not asked.detect or kind == MOF:
        return record.space_group, ""
    from crystaltool.evaluation.profile import detected_template

    found = detected_template(record.crystal)
    return (None, "") if found is None else (found[0], template_text(found))


def template_text(template: Template) -> str:
    """The smallest of the equivalent labellings, as `62 a c c` or `225 a b`."""
    from crystaltool.evaluation.templates import merge
    from crystaltool.symmetry.space_group import LETTERS

    group, positions = merge(template)
    return " ".join([str(group), *(LETTERS[index] for index in positions)])


def _verdicts(record: Record, asked: Asked) -> dict[str, str]:
    """Those that stand in the block; of a run of the checks its own, and beside them what it cannot give."""
    words = {key.removeprefix(VERDICT_KEY): str(record.stored(key)) for key in record.properties if is_verdict(key)}
    stored = {key.replace("_", "-"): word for key, word in words.items() if word in (PASS, FAIL, NOT_JUDGED)}
    if asked.plan is None:
        return stored
    from crystaltool.checks.judge import judge_block

    judged = judge_block(record.block, asked.plan, None, record.raw.line)
    found = {v.check: (PASS if v.passed else FAIL) if v.judged else NOT_JUDGED for v in judged.verdicts}
    others = {name: word for name, word in stored.items() if name in OF_OTHERS}
    return {OF_ALL_CHECKS.removeprefix(VERDICT_KEY): PASS if judged.passed else FAIL, **found, **others}


def _valid(record: Record, verdicts: dict[str, str]) -> bool:
    """By the verdicts, or by the checks themselves where they were not run."""
    if all(name in verdicts for name in VALID):
        return all(verdicts[name] != FAIL for name in VALID)
    from crystaltool.checks.registry import run_checks

    try:
        return all(verdict.passed for verdict in run_checks(record.block, VALID))
    except CrystaltoolError:
        return False
