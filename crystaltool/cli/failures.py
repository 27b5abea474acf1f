"""Reporting what `executor.map_pairs` gives in the place of a result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crystaltool.errors import UnreadableError

if TYPE_CHECKING:
    from crystaltool.cli.session import Session
    from crystaltool.io.stream import RawBlock


def report_failure(session: Session, failure: Exception, raw: RawBlock, reads: bool = False) -> None:
    """One line for the structure that failed; with `-v` a traceback too, where nobody foresaw the failure.

    `reads`: the command does nothing but read, so what failed could not be read, lazily as its fields may be.
    """
    for line in getattr(failure, "details", "").splitlines():
        session.note(line, raw)
    if reads or isinstance(failure, UnreadableError):
        session.unreadable(str(failure), raw)
    else:
        session.bad(str(failure), raw)
