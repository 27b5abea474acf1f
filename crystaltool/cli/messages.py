"""Lines on stderr in the grammar of the COD tools: `crystaltool check: in.cif(12) data_x: ERROR, text`."""

from __future__ import annotations

import contextlib
import sys

from crystaltool.cli.terminal import ERASE_LINE
from crystaltool.io.printable import printable


def format_message(
    program: str, level: str, text: str, source: str = "", line: int | None = None, name: str = ""
) -> str:
    """One message line.

    Args:
        program: the command as typed, e.g. `crystaltool check`.
        level: `ERROR`, `WARNING` or `NOTE`.
        text: one sentence without a final stop; line breaks become blanks. The source is not named again at its head.
        source: input file as given by the user, `-` for standard input.
        line: 1-based line in the source.
        name: block name without `data_`.
    """
    place = source
    if source and line is not None:
        place += f"({line})"
    if name:
        place += f" data_{name}" if place else f"data_{name}"
    head = f"{program}: {place}: " if place else f"{program}: "
    said = text.removeprefix(f"{source}: ") if source else text
    return f"{head}{level}, {' '.join(said.split())}"


def say(program: str, level: str, text: str, source: str = "", line: int | None = None, name: str = "") -> None:
    """Print one message line to stderr; a closed stderr is nobody's business."""
    message = printable(format_message(program, level, text, source, line, name))
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    with contextlib.suppress(OSError, ValueError):
        erase = ERASE_LINE.decode() if sys.stderr.isatty() else ""
        sys.stderr.write(f"{erase}{message}\n")
        sys.stderr.flush()


def os_error_text(error: OSError) -> str:
    """`FILE: No such file or directory` without Python's errno decoration."""
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}" if isinstance(error.filename, str) else reason
