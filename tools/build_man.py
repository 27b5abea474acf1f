"""Make the man pages: NAME to OPTIONS from typer's command tree, the rest from man/src/<command>.md.

click-man fails on a typer app, because typer vendors click; so the tree is walked here.

    python tools/build_man.py            write man/*.1
    python tools/build_man.py --check    exit 1 if a committed page is out of date
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from crystaltool import __version__  # noqa: E402 -- the checkout's, whether installed or not
from crystaltool.cli.main import PROGRAM, SUBCOMMANDS, app  # noqa: E402

MAN = ROOT / "man"
OVERVIEW = "crystaltool"


def escape(text: str) -> str:
    """Text for roff: backslashes, hyphens that may be copied, and no line that looks like a request."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"(?m)^([.'])", r"\\&\1", text)


def inline(text: str) -> str:
    """`code` and **bold** in bold, *emphasis* in italics."""
    text = escape(text)
    text = re.sub(r"`([^`]+)`|\*\*([^*]+)\*\*", lambda m: f"\\fB{m[1] or m[2]}\\fR", text)
    return re.sub(r"(?<!\w)\*([^*]+)\*", r"\\fI\1\\fR", text)


def prose(markdown: str) -> str:
    """Roff of the light Markdown of man/src: `# SECTION`, paragraphs, `- ` items, code indented by four."""
    out: list[str] = []
    for part in re.split(r"\n\s*\n", markdown.strip("\n")):
        lines = part.splitlines()
        if lines[0].startswith("# "):
            out.append(f".SH {lines[0][2:].strip()}")
            lines = lines[1:]
        if not any(lines):
            continue
        if all(line.startswith("    ") for line in lines):
            out += [".PP", ".in +4n", ".EX", *(escape(line[4:]) for line in lines), ".EE", ".in"]
        elif lines[0].startswith("- "):
            for item in re.split(r"(?m)^- ", "\n".join(lines))[1:]:
                out += [".IP \\(bu 3", inline(" ".join(item.split()))]
        else:
            out += [".PP", inline(" ".join(" ".join(lines).split()))]
    return "\n".join(out)


def option_lines(parameter: Any, context: Any) -> list[str]:
    """One entry of OPTIONS."""
    record = parameter.get_help_record(context)
    if record is None:
        return []
    names, text = re.sub(r" <[^>]*>$", "", record[0]), record[1]
    return [".TP", f"\\fB{escape(names)}\\fR", inline(" ".join(text.split())) or "\\&"]


def page(name: str, summary: str, command: Any, context: Any, source: str) -> str:
    """One page in roff."""
    title = name if name == OVERVIEW else f"{OVERVIEW}-{name}"
    usage = " ".join(command.collect_usage_pieces(context))
    call = PROGRAM if name == OVERVIEW else f"{PROGRAM} {name}"
    lines = [
        '.\\" Made by tools/build_man.py; edit man/src and the option texts instead.',
        f'.TH {escape(title.upper())} 1 "" "crystaltool {__version__}" "crystaltool manual"',
        ".SH NAME",
        f"{escape(title)} \\- {escape(summary)}",
        ".SH SYNOPSIS",
        f"\\fB{escape(call)}\\fR {escape(usage)}",
        ".SH DESCRIPTION",
        prose(command.help or ""),
    ]
    start, mark, sections = source.partition("# ")
    lines += [prose(start)] if start.strip() else []
    lines.append(".SH OPTIONS")
    for parameter in command.get_params(context):
        lines += option_lines(parameter, context)
    if name == OVERVIEW:
        lines.append(".SH COMMANDS")
        for subcommand, entry in SUBCOMMANDS.items():
            lines += [".TP", f"\\fB{escape(OVERVIEW)}\\-{escape(subcommand)}\\fR(1)", inline(entry.summary)]
    lines += [prose(mark + sections)] if mark else []
    others = [OVERVIEW, *(f"{OVERVIEW}-{other}" for other in SUBCOMMANDS)]
    lines += [".SH SEE ALSO", ", ".join(f"\\fB{escape(other)}\\fR(1)" for other in others if other != title)]
    return "\n".join(lines) + "\n"


def pages() -> dict[str, str]:
    """File names and texts of all pages.

    Raises:
        FileNotFoundError: a command without prose in man/src.
    """
    import typer

    root = typer.main.get_command(app)
    made = {}
    with root.make_context(PROGRAM, [], resilient_parsing=True) as context:
        summary = "generate, relax and check crystals and metal-organic frameworks"
        made[f"{OVERVIEW}.1"] = page(OVERVIEW, summary, root, context, (MAN / "src" / f"{OVERVIEW}.md").read_text())
        for name, entry in SUBCOMMANDS.items():
            command = root.get_command(context, name)
            sub_context = command.make_context(name, [], parent=context, resilient_parsing=True)
            summary = entry.summary[0].lower() + entry.summary[1:].rstrip(".")
            source = (MAN / "src" / f"{name}.md").read_text()
            made[f"{OVERVIEW}-{name}.1"] = page(name, summary, command, sub_context, source)
    return made


def stale_pages() -> list[str]:
    """Names of committed pages that differ from what the program gives, are missing, or belong to no command."""
    made = pages()
    committed = {path.name for path in MAN.glob("*.1")}
    changed = [name for name, text in made.items() if name not in committed or (MAN / name).read_text() != text]
    return sorted(set(changed) | (committed - set(made)))


def main(arguments: list[str]) -> int:
    """Write the pages, or compare them."""
    if arguments == ["--check"]:
        stale = stale_pages()
        for name in stale:
            print(f"man/{name} is out of date: run python tools/build_man.py", file=sys.stderr)
        return 1 if stale else 0
    for name, text in pages().items():
        (MAN / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
