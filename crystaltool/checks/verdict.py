"""`Verdict` and `Check`: the nouns of this room."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crystaltool.io.cif import CifBlock


VERDICT_KEY = "check_"
"""With it begin the names under which `check --annotate` writes verdicts into a block."""

OF_ALL_CHECKS = f"{VERDICT_KEY}all"


def verdict_key(check: str) -> str:
    """Name of a check's verdict among the values of a block."""
    return VERDICT_KEY + check.replace("-", "_")


def is_verdict(key: str) -> bool:
    """Whether `check --annotate` writes a value of this name."""
    return key.startswith(VERDICT_KEY)


def without_verdicts(properties: Mapping[str, str]) -> dict[str, str]:
    """The values of a block whose structure has been changed: what was judged was another one."""
    return {key: value for key, value in properties.items() if not is_verdict(key)}


@dataclass(frozen=True)
class Verdict:
    """What one check says of one structure.

    Args:
        check: name of the check.
        passed: whether the structure passes.
        value: what was measured, in the check's unit; None where there is no number.
        limit: what was asked for, as text with units.
        message: one line that says what is wrong, or what was found.
        judged: False where the check could not tell; that is no failure, and `passed` is True.
    """

    check: str
    passed: bool
    value: float | None
    limit: str
    message: str
    judged: bool = True

    def __post_init__(self) -> None:
        if not (self.judged or self.passed):
            raise ValueError(f"verdict of {self.check} is a failure that was not judged")
        if "\n" in self.message or "\t" in self.message or "\t" in self.limit:
            raise ValueError(f"verdict of {self.check} is not one line: {self.message!r}")


def not_judged(check: str, limit: str, reason: str) -> Verdict:
    """The verdict of a check that could not tell, with the reason."""
    return Verdict(check, True, None, limit, f"not judged: {reason}", judged=False)


@dataclass(frozen=True)
class Check:
    """A named rule.

    Args:
        name: as in `--only` and in the output.
        summary: one line: the rule, its limits and where it comes from.
        run: a pure function of the block.
        default: whether `check` runs it when `--only` is not given.
    """

    name: str
    summary: str
    run: Callable[[CifBlock], Verdict]
    default: bool = True
