"""All verdicts on one record, as a pure function that a worker process can run."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from crystaltool.checks.kind import INORGANIC, MOF
from crystaltool.checks.registry import NOVEL, UNIQUE, Plan, run_checks
from crystaltool.checks.verdict import Verdict
from crystaltool.crystal import Crystal
from crystaltool.errors import InputError
from crystaltool.io.stream import BadRecord, RawBlock, parse_raw

if TYPE_CHECKING:
    from crystaltool.checks.mof.identity import MOFIdentity
    from crystaltool.checks.references import References


@dataclass(frozen=True)
class Judgement:
    """What the checks say of one structure.

    Args:
        name, source, line: the block and where it came from.
        crystal: every atom of the cell.
        verdicts: one a check, in the order of the registry.
        kind: "inorganic" or "mof".
        identity: what a MOF is, or why it has no identity; None for what is compared as a crystal.
    """

    name: str
    source: str
    line: int
    crystal: Crystal
    verdicts: tuple[Verdict, ...]
    kind: str = INORGANIC
    identity: MOFIdentity | str | None = None

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return all(verdict.passed for verdict in self.verdicts)

    def add(self, verdict: Verdict) -> Judgement:
        """The judgement with one more verdict."""
        return replace(self, verdicts=(*self.verdicts, verdict))

    def json_line(self) -> str:
        """One JSON object and a newline."""
        checks = {
            verdict.check: {
                "passed": verdict.passed if verdict.judged else None,
                "value": verdict.value,
                "limit": verdict.limit,
                "message": verdict.message,
            }
            for verdict in self.verdicts
        }
        head = {"structure": self.name, "source": self.source, "line": self.line, "passed": self.passed}
        if self.kind == MOF:
            head["kind"] = self.kind
        if self.identity is not None:
            head["identity"] = None if isinstance(self.identity, str) else self.identity.text
        return json.dumps({**head, "checks": checks}, allow_nan=False) + "\n"


_references: References | None = None


def open_reference(path: str) -> None:
    """Read the references that `judge` compares with in this process.

    Raises:
        InputError: if there is nothing to compare with in it.
    """
    global _references
    from crystaltool.checks.references import read_references

    _references = read_references(path)


def knows_mofs() -> bool:
    """Whether the references opened in this process are MOFs."""
    return _references is not None and _references.mofs is not None


def judge(raw: RawBlock, plan: Plan) -> Judgement:
    """The verdicts of the checks of the plan on one block, all but `unique`.

    Raises:
        InputError: if the block cannot be read.
    """
    block = parse_raw(raw)
    if isinstance(block, BadRecord):
        raise InputError(block.message)
    kind, names = plan.of(block)
    verdicts = run_checks(block, names)
    identity = None
    if kind == MOF and plan.by_identity and (NOVEL in names or UNIQUE in names):
        identity = _identity(block.crystal)
    if NOVEL in names:
        verdicts.append(_check_novel(block.crystal, identity))
    return Judgement(raw.name, raw.source, raw.line, block.crystal, tuple(verdicts), kind, identity)


def _identity(crystal: Crystal) -> MOFIdentity | str:
    """The identity of a MOF, or why it has none."""
    from crystaltool.checks.mof.identity import identify_mof

    try:
        return identify_mof(crystal)
    except InputError as error:
        return str(error)


def _check_novel(crystal: Crystal, identity: MOFIdentity | str | None) -> Verdict:
    if _references is None:
        raise RuntimeError("no reference was opened in this process")
    if identity is not None and _references.mofs is not None:
        return _references.mofs.check_novel(identity)
    if _references.crystals is not None:
        return _references.crystals.check_novel(crystal)
    return Verdict(NOVEL, True, None, "no match among 0 references", "the references are MOFs, this is none")
