"""The manual as data, for man pages and the documentation site: typer's command tree and man/src/<command>.md.

click-man and sphinx-click fail on a typer app, because typer vendors click; so the tree is walked here.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import crystaltool  # noqa: E402 -- the checkout's, whether installed or not
from crystaltool.cli.main import PROGRAM, SUBCOMMANDS, app  # noqa: E402

MAN = ROOT / "man"
VERSION = crystaltool.__version__
OVERVIEW = "crystaltool"
OVERVIEW_SUMMARY = "generate, relax and check crystals and metal-organic frameworks"


@dataclass(frozen=True)
class Page:
    """One command.

    Args:
        name: of the subcommand, or `crystaltool` for the overview.
        summary: one line, lower case, no stop.
        usage: arguments of the synopsis.
        description: the help text of the command, paragraphs.
        options: (names, text) of each argument and option.
        start: prose of man/src before its first heading, light Markdown.
        sections: the rest of it, from `# SECTION` on.
    """

    name: str
    summary: str
    usage: str
    description: str
    options: list[tuple[str, str]]
    start: str
    sections: str

    @property
    def title(self) -> str:
        """Name of the man page."""
        return self.name if self.name == OVERVIEW else f"{OVERVIEW}-{self.name}"

    @property
    def call(self) -> str:
        """What is typed."""
        return PROGRAM if self.name == OVERVIEW else f"{PROGRAM} {self.name}"


def option(parameter: Any, context: Any) -> tuple[str, str] | None:
    """Names and text of a parameter; None if it is hidden."""
    record = parameter.get_help_record(context)
    if record is None:
        return None
    return re.sub(r" <[^>]*>$", "", record[0]), " ".join(record[1].split())


def page(name: str, summary: str, command: Any, context: Any) -> Page:
    """What is known of one command.

    Raises:
        FileNotFoundError: a command without prose in man/src.
    """
    start, mark, sections = (MAN / "src" / f"{name}.md").read_text().partition("# ")
    options = [record for each in command.get_params(context) if (record := option(each, context))]
    usage = " ".join(command.collect_usage_pieces(context))
    return Page(name, summary, usage, command.help or "", options, start, mark + sections)


def manual() -> list[Page]:
    """The overview, then a page for each subcommand."""
    import typer

    root = typer.main.get_command(app)
    with root.make_context(PROGRAM, [], resilient_parsing=True) as context:
        found = [page(OVERVIEW, OVERVIEW_SUMMARY, root, context)]
        for name, entry in SUBCOMMANDS.items():
            command = root.get_command(context, name)
            inner = command.make_context(name, [], parent=context, resilient_parsing=True)
            summary = entry.summary[0].lower() + entry.summary[1:].rstrip(".")
            found.append(page(name, summary, command, inner))
    return found
