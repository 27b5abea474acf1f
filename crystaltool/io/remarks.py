"""What a reader says beside a structure: remarks on a block, and the way they reach whoever runs the command.

A remark goes through Python's logging, under `crystaltool`, with the place in its record: a command line shows it on
standard error, a worker process hands it to its parent (`crystaltool.executor`), a library user sets a handler.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

DETAIL, NOTE, WARNING = logging.INFO, 25, logging.WARNING
"""Levels: said with `-v`; said unless `--quiet`; and said as a warning."""

LOGGER = logging.getLogger("crystaltool.io")


@dataclass(frozen=True)
class Remark:
    """One sentence on a block, and how much it matters: `DETAIL`, `NOTE` or `WARNING`."""

    level: int
    text: str


def publish(level: int, text: str, source: str, line: int, name: str) -> None:
    """Log a remark with its place: input, 1-based line (0 where lines mean nothing), block name."""
    place = (f"{source}({line})" if line else source) + (f" data_{name}" if name else "")
    extra = {"remark": text, "source": source, "source_line": line, "block": name}
    LOGGER.log(level, "%s: %s", place, text, extra=extra)


def note_fixed(n_fixed: int, source: str, line: int, name: str) -> None:
    """A note that a file fixes atoms, wholly or along an axis, which no structure here keeps."""
    if n_fixed:
        atoms = "1 atom" if n_fixed == 1 else f"{n_fixed} atoms"
        publish(NOTE, f"{atoms} fixed by the file: that is not kept, relax moves all", source, line, name)
