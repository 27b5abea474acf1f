"""All verdicts on one record, as a pure function that a worker process can run."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from crystaltool.checks.registry import NOVEL, run_checks
from crystaltool.checks.verdict import Verdict
from crystaltool.crystal import Crystal
from crystaltool.errors import InputError
from crystaltool.io.stream import BadRecord, RawBlock, parse_raw

if TYPE_CHECKING:
    from crystaltool.checks.matching import Reference


@dataclass(frozen=True)
class Judgement:
    """What the checks say of one structure.

    Args:
        name, source, line: the block and where it came from.
        crystal: every atom of the cell.
        verdicts: one a check, in the order of the registry.
    """

    name: str
    source: str
    line: int
    crystal: Crystal
    verdicts: tuple[Verdict, ...]

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(verdict.passed for verdict in self.verdicts)

    def add(self, verdict: Verdict) -> Judgement:
        """The judgement with one more verdict."""
        return replace(self, verdicts=(*self.verdicts, verdict))

    def json_line(self) -> str:
        """One JSON object and a newline."""
        checks = {
            verdict.check: {
                "passed": verdict.passed,
                "value": verdict.value,
                "limit": verdict.limit,
                "message": verdict.message,
            }
            for verdict in self.verdicts
        }
        head = {"structure": self.name, "source": self.source, "line": self.line, "passed": self.passed}
        return json.dumps({**head, "checks": checks}, allow_nan=False) + "\n"


_reference: Reference | None = None


def open_reference(path: str, keep: bool = True) -> None:
    """Read the reference that `judge` compares with in this process; without `keep` only look whether it can be read.

    Raises:
        InputError: if it is no data set of asymmetric units.
    """
    global _reference
    from crystaltool.checks.matching import Reference
    from crystaltool.io.hdf5 import read_asym_units

    found = Reference(read_asym_units(path))
    if keep:
        _reference = found


def judge(raw: RawBlock, names: tuple[str, ...]) -> Judgement:
    """The verdicts of the named checks on one block, all but `unique`.

    Raises:
        InputError: if the block cannot be read.
    """
    block = parse_raw(raw)
    if isinstance(block, BadRecord):
        raise InputError(block.message)
    verdicts = run_checks(block, names)
    if NOVEL in names:
        if _reference is None:
            raise RuntimeError("no reference was opened in this process")
        verdicts.append(_reference.check_novel(block.crystal))
    return Judgement(raw.name, raw.source, raw.line, block.crystal, tuple(verdicts))
