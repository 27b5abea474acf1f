"""The history that travels with every block: a numbered line per command, as samtools' @PG lines.

1 crystaltool 0.1.0 | sample symmcd --sg 225 --seed 0 | item 0 | weights sha256:ab12...
2 crystaltool 0.1.0 | relax --forcefield chgnet
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from crystaltool import __version__


def history_line(command: str, item: int | None = None, extra: Sequence[str] = (), number: int = 1) -> str:
    """One line: number, tool and version, the command line, the item and whatever else decides the result.

    Args:
        command: subcommand and its arguments, one line of printable ASCII.
        item: index of the drawn item for commands that draw from (seed, item).
        extra: further fields, e.g. `weights sha256:...`.
        number: position in the history, from 1.
    """
    fields = [f"{number} crystaltool {__version__}", command]
    if item is not None:
        fields.append(f"item {item}")
    return " | ".join([*fields, *extra])


def extend_history(
    previous: Sequence[str], command: str, item: int | None = None, extra: Sequence[str] = ()
) -> tuple[str, ...]:
    """The earlier lines and one more, numbered on."""
    return (*previous, history_line(command, item, extra, number=len(previous) + 1))


def creation_method(history: Sequence[str]) -> str:
    """`crystaltool 0.1.0 sample`: tool, version and subcommand of the last history line; empty without history."""
    if not history:
        return ""
    fields = history[-1].split(" | ")
    tool = " ".join(fields[0].split()[1:])
    subcommand = fields[1].split()[0] if len(fields) > 1 and fields[1].split() else ""
    return f"{tool} {subcommand}".strip()


def timestamp() -> str:
    """Now, in UTC, as `2026-11-22T18:40:00Z`."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
