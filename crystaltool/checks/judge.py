"""All verdicts on one record, as a pure function that a worker process can run."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from crystaltool.checks.kind import INORGANIC, MOF
from crystaltool.checks.registry import NOVEL, UNIQUE, Plan, run_checks
from crystaltool.checks.stability import STABLE, check_stable
from crystaltool.checks.verdict import OF_ALL_CHECKS, Verdict, not_judged, verdict_key
from crystaltool.crystal import Crystal
from crystaltool.errors import InputError
from crystaltool.io.cif import parse_block
from crystaltool.io.stream import RawBlock, read_raw

if TYPE_CHECKING:
    from crystaltool.checks.mof.identity import MOFIdentity
    from crystaltool.checks.references import References
    from crystaltool.io.cif import CifBlock


CONNECTED = "connected-3d"


@dataclass(frozen=True)
class Judgement:
    """What the checks say of one structure.

    Args:
        name, source, line: the block and where it came from.
        crystal: every atom of the cell.
        verdicts: one a check, in the order of the registry.
        kind: "inorganic" or "mof".
        identity: what a MOF is, or why it has no identity; None where nobody asks.
        by_identity: whether it is compared by that, rather than as a crystal.
        error: why it could not be compared with the reference.
    """

    name: str
    source: str
    line: int
    crystal: Crystal
    verdicts: tuple[Verdict, ...]
    kind: str = INORGANIC
    identity: MOFIdentity | str | None = None
    by_identity: bool = False
    error: str = ""

    @property
    def passed(self) -> bool:
        """Whether no check failed, and the reference could be asked."""
        return not self.error and all(verdict.passed for verdict in self.verdicts)

    def add(self, verdict: Verdict) -> Judgement:
        """The judgement with one more verdict."""
        return replace(self, verdicts=(*self.verdicts, verdict))

    def properties(self) -> dict[str, str]:
        """The verdicts as values of a block: `check_all`, and `check_<name>` of each check."""
        words = {
            verdict_key(verdict.check): ("pass" if verdict.passed else "fail") if verdict.judged else "not_judged"
            for verdict in self.verdicts
        }
        return {OF_ALL_CHECKS: "pass" if self.passed else "fail", **words}

    def json_line(self) -> str:
        """One JSON object and a newline."""
        checks = {
            verdict.check: {
                "passed": verdict.passed if verdict.judged else None,
                "value": verdict.value,
                "limit": verdict.limit,
                "message": verdict.message,
                **({} if verdict.judged else {"judged": False}),
            }
            for verdict in self.verdicts
        }
        head = {"structure": self.name, "source": self.source, "line": self.line, "passed": self.passed}
        if self.kind == MOF:
            head["kind"] = self.kind
        if self.identity is not None:
            head["identity"] = None if isinstance(self.identity, str) else self.identity.text
        if self.error:
            head["error"] = self.error
        return json.dumps({**head, "checks": checks}, allow_nan=False) + "\n"


def judge(raw: RawBlock, plan: Plan, references: References | None = None) -> Judgement:
    """The verdicts of the checks of the plan on the text of a block; see `judge_block`.

    Raises:
        UnreadableError: if the block cannot be read.
    """
    return judge_block(read_raw(raw), plan, references, raw.line)


def judge_block(block: CifBlock, plan: Plan, references: References | None = None, line: int = 0) -> Judgement:
    """The verdicts of the checks of the plan on one block, all but `unique`.

    Args:
        block: what is judged. plan: by what.
        references: what `novel` compares with.
        line: of the block in its source.
    """
    kind, names = plan.of(block)
    verdicts = run_checks(block, names)
    if kind == MOF and plan.kind is None:
        verdicts = [_unless_polymer(block.crystal, verdict) for verdict in verdicts]
    if STABLE in names:
        verdicts.append(check_stable(block, plan.above_hull))
    wanted = kind == MOF and (plan.identities or NOVEL in names or UNIQUE in names)
    identity = _identity(block.crystal) if wanted else None
    by_identity = kind == MOF and (references is None or references.compares_by_identity(kind, identity))
    error = ""
    if NOVEL in names:
        if references is None:
            raise RuntimeError("novelty is asked for without a reference")
        try:
            verdicts.append(references.check_novel(kind, block.crystal, identity))
        except InputError as missing:
            error = str(missing)
    place = block.name, block.source, line
    return Judgement(*place, block.crystal, tuple(verdicts), kind, identity, by_identity, error)


def _unless_polymer(crystal: Crystal, verdict: Verdict) -> Verdict:
    """The verdict; whether it is connected is not asked of what was taken for a framework and is none by its build."""
    if verdict.check != CONNECTED or verdict.passed:
        return verdict
    from crystaltool.checks.mof.coordination import coordination_of
    from crystaltool.checks.mof.framework import inorganic_polymer

    what = inorganic_polymer(coordination_of(crystal))
    if not what:
        return verdict
    return not_judged(CONNECTED, verdict.limit, f"{what}: no framework that came apart (--kind mof asks)")


def compared(raw: RawBlock, plan: Plan, references: References | None = None) -> Judgement:
    """A structure that is not judged, only later ones are compared with it; nothing is remarked.

    Raises:
        CrystaltoolError: if the block cannot be read.
    """
    block = parse_block(raw.text, raw.source, raw.line, raw.name)
    kind, names = plan.of(block)
    identity = _identity(block.crystal) if kind == MOF and UNIQUE in names else None
    by_identity = kind == MOF and (references is None or references.compares_by_identity(kind, identity))
    return Judgement(block.name, block.source, raw.line, block.crystal, (), kind, identity, by_identity)


def _identity(crystal: Crystal) -> MOFIdentity | str:
    """The identity of a MOF, or why it has none."""
    from crystaltool.checks.mof.identity import identify_mof

    try:
        return identify_mof(crystal)
    except InputError as error:
        return str(error)
