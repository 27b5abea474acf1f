"""What `check` tells a person: how many structures pass each check, and on a terminal the first failures."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from crystaltool.cli.terminal import clear_line
from crystaltool.io.printable import printable

if TYPE_CHECKING:
    from rich.table import Table

    from crystaltool.checks.judge import Judgement
    from crystaltool.cli.check_output import Told

MOST_ROWS = 20
"""Rows of the summary on a terminal, and failures below it."""

ALL = "all"
"""The row of all checks together."""


@dataclass
class Count:
    """Structures that pass a check, that fail it, and of which it could not tell."""

    n_passed: int = 0
    n_failed: int = 0
    n_open: int = 0

    @property
    def rate(self) -> str:
        """Share that pass of those judged."""
        n = self.n_passed + self.n_failed
        return f"{100 * self.n_passed / n:.2f} %" if n else "-"


@dataclass
class Tally:
    """What the checks said so far.

    Args:
        order: names of the checks in the order of rows.
        counts: of each check that ran, and of all.
        first_failures: structure, check and message of the first `MOST_ROWS` verdicts that fail.
        n_failures: number of verdicts that fail.
    """

    order: list[str]
    counts: dict[str, Count] = field(default_factory=dict)
    first_failures: list[tuple[str, str, str]] = field(default_factory=list)
    n_failures: int = 0

    def add(self, judgement: Judgement | Told) -> None:
        """One more structure."""
        self._count(ALL, judgement.passed, True)
        for verdict in judgement.verdicts:
            self._count(verdict.check, verdict.passed, verdict.judged)
            if not verdict.passed:
                self.n_failures += 1
                if len(self.first_failures) < MOST_ROWS:
                    self.first_failures.append((judgement.name, verdict.check, verdict.message))

    def _count(self, name: str, passed: bool, judged: bool) -> None:
        count = self.counts.setdefault(name, Count())
        count.n_passed += passed and judged
        count.n_failed += not passed
        count.n_open += not judged

    @property
    def n_structures(self) -> int:
        """Structures judged."""
        return self.n_passed + self.counts[ALL].n_failed if ALL in self.counts else 0

    @property
    def n_passed(self) -> int:
        """Structures that pass every check."""
        return self.counts[ALL].n_passed if ALL in self.counts else 0

    @property
    def rows(self) -> list[tuple[str, Count]]:
        """The checks that ran, in order, and all together."""
        return [(name, self.counts[name]) for name in (*self.order, ALL) if name in self.counts]


def print_summary(tally: Tally, n_bad: int) -> None:
    """Pass rates on stderr: on a terminal as plain lines that fit it, at most `MOST_ROWS` checks, else as a table.

    Args:
        tally: what the checks said.
        n_bad: records that could not be read, which no check has seen.
    """
    notes = [f"{n_bad} records could not be read"] if n_bad else []
    with contextlib.suppress(OSError, ValueError):  # a closed stderr is nobody's business
        clear_line()
        if sys.stderr.isatty():
            for line in (*summary_lines(tally, shutil.get_terminal_size().columns), *notes):
                sys.stderr.write(line + "\n")
            return
        from rich.console import Console

        Console(stderr=True, width=120).print(_table(tally, notes))


def _rules() -> dict[str, str]:
    """What each row asks for."""
    from crystaltool.checks.registry import CHECKS, LIMIT_CHECKS, MOF_CHECKS, REFERENCE_CHECKS

    rules = {check.name: check.summary for check in (*CHECKS, *MOF_CHECKS)}
    return rules | LIMIT_CHECKS | REFERENCE_CHECKS | {ALL: "every check above"}


def _cells(tally: Tally, rows: list[tuple[str, Count]]) -> list[list[str]]:
    """The heading and the rows as texts, without the rules; a column of its own for "not judged" if there are any."""
    some_open = any(count.n_open for _, count in tally.rows)
    heading = ["check", "pass", "fail", *(["not judged"] if some_open else []), "rate"]
    return [heading] + [
        [name, f"{count.n_passed}", f"{count.n_failed}", *([f"{count.n_open}"] if some_open else []), count.rate]
        for name, count in rows
    ]


def summary_lines(tally: Tally, width: int) -> Iterator[str]:
    """A line a check, all in `width` columns; of more than `MOST_ROWS` those that most structures fail."""
    rows, left_out = tally.rows, []
    if len(rows) > MOST_ROWS:
        by_interest = sorted(rows[:-1], key=lambda row: (row[1].n_failed, row[1].n_passed))
        left_out = by_interest[: len(rows) - MOST_ROWS]
        rows = [row for row in rows if row not in left_out]
    rules = _rules()
    cells = _cells(tally, rows)
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    for row, rule in zip(cells, ["rule", *(rules[name] for name, _ in rows)], strict=True):
        if row is cells[-1]:
            yield "-" * min(width - 1, sum(widths) + 2 * len(widths))
        numbers = [text.rjust(size) for text, size in zip(row[1:], widths[1:], strict=True)]
        yield cut("  ".join([row[0].ljust(widths[0]), *numbers, rule]), width)
    if left_out:
        most = max(count.n_failed for _, count in left_out)
        yield f"{len(left_out)} more checks, failed by {f'{most} structures at most each' if most else 'none'}"


def _table(tally: Tally, notes: list[str]) -> Table:
    from rich.table import Table

    rules, cells = _rules(), _cells(tally, tally.rows)
    table = Table(caption=notes[0] if notes else None, caption_justify="left")
    table.add_column("check", no_wrap=True)
    for heading in cells[0][1:]:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("rule")
    for row in cells[1:]:
        table.add_row(*row, rules[row[0]], end_section=row is cells[-2])
    return table


def cut(text: str, width: int) -> str:
    """The text without control characters, cut to fit a line of the terminal."""
    text = printable(text)
    return text if len(text) < width else f"{text[: width - 2]}…"


def failure_lines(tally: Tally) -> Iterator[str]:
    """The first failures, a line of the terminal's width each, and how to see the rest."""
    width = shutil.get_terminal_size().columns
    for structure, check, message in tally.first_failures:
        yield cut(f"{structure}: {check}, {message}", width)
    more = tally.n_failures - len(tally.first_failures)
    if more:
        yield f"{more} more failures: --table prints all verdicts, --fail the structures"
