"""The summary that `check` prints on stderr: how many structures pass each check."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping, Sequence


def print_summary(tally: Mapping[str, Sequence[int]], n_bad: int) -> None:
    """A table of pass rates.

    Args:
        tally: for each check the number of structures that pass, that fail and that it could not judge; the last row is
            all checks together.
        n_bad: records that could not be read, which no check has seen.
    """
    from rich.console import Console
    from rich.table import Table

    from crystaltool.checks.registry import CHECKS, MOF_CHECKS, REFERENCE_CHECKS

    rules = (
        {check.name: check.summary for check in (*CHECKS, *MOF_CHECKS)}
        | REFERENCE_CHECKS
        | {"all": "every check above"}
    )
    table = Table(caption=f"{n_bad} records could not be read" if n_bad else None, caption_justify="left")
    table.add_column("check", no_wrap=True)
    unjudged = any(n_unjudged for _, _, n_unjudged in tally.values())
    for heading in ("pass", "fail", *(["not judged"] if unjudged else []), "rate"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("rule")
    for name, (n_passed, n_failed, n_unjudged) in tally.items():
        total = n_passed + n_failed
        rate = f"{100 * n_passed / total:.2f} %" if total else "-"
        counts = [str(n_passed), str(n_failed), *([str(n_unjudged)] if unjudged else [])]
        table.add_row(name, *counts, rate, rules[name], end_section=name == list(tally)[-2])
    with contextlib.suppress(OSError, ValueError):  # a closed stderr is nobody's business
        Console(stderr=True, width=None if sys.stderr.isatty() else 120).print(table)
