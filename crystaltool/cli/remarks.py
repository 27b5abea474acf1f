"""What readers remark, printed: alike ones a few times, the rest counted."""

from __future__ import annotations

import logging
import re
from collections import Counter
from typing import TYPE_CHECKING

from crystaltool.cli import messages

if TYPE_CHECKING:
    from crystaltool.cli.session import Session

MOST_ALIKE = 5
"""Remarks that differ in labels and numbers alone: so many are printed, `-v` prints all."""


class RemarkHandler(logging.Handler):
    """Prints what readers remark (`crystaltool.io.remarks`): notes unless `--quiet`, details with `-v`."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._alike: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        """Print one line in the grammar of all messages."""
        session = self._session
        if session.quiet or session.silent or (record.levelno <= logging.INFO and not session.verbose):
            return
        level = "WARNING" if record.levelno >= logging.WARNING else "NOTE"
        text = getattr(record, "remark", record.getMessage())
        kind = re.sub(r"\S*\d\S*", "#", text)
        self._alike[kind] += 1
        if self._alike[kind] > MOST_ALIKE and not session.verbose:
            return
        line = getattr(record, "source_line", 0) or None
        messages.say(session.program, level, text, getattr(record, "source", ""), line, getattr(record, "block", ""))

    def say_left_out(self) -> None:
        """How many were not printed."""
        more = sum(max(0, count - MOST_ALIKE) for count in self._alike.values())
        if more and not (self._session.verbose or self._session.quiet):
            messages.say(self._session.program, "NOTE", f"{more} more remarks of these kinds, -v prints them")
