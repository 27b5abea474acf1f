"""Make the man pages: NAME to OPTIONS from typer's command tree, the rest from man/src/<command>.md.

python tools/build_man.py            write man/*.1
python tools/build_man.py --check    exit 1 if a committed page is out of date
"""

from __future__ import annotations

import re
import sys

from manual import MAN, OVERVIEW, SUBCOMMANDS, VERSION, Page, manual


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


def roff(page: Page) -> str:
    """One page in roff."""
    lines = [
        '.\\" Made by tools/build_man.py; edit man/src and the option texts instead.',
        f'.TH {escape(page.title.upper())} 1 "" "crystaltool {VERSION}" "crystaltool manual"',
        ".SH NAME",
        f"{escape(page.title)} \\- {escape(page.summary)}",
        ".SH SYNOPSIS",
        f"\\fB{escape(page.call)}\\fR {escape(page.usage)}",
        ".SH DESCRIPTION",
        prose(page.description),
    ]
    lines += [prose(page.start)] if page.start.strip() else []
    lines.append(".SH OPTIONS")
    for names, text in page.options:
        lines += [".TP", f"\\fB{escape(names)}\\fR", inline(text) or "\\&"]
    if page.name == OVERVIEW:
        lines.append(".SH COMMANDS")
        for subcommand, entry in SUBCOMMANDS.items():
            lines += [".TP", f"\\fB{escape(OVERVIEW)}\\-{escape(subcommand)}\\fR(1)", inline(entry.summary)]
    lines += [prose(page.sections)] if page.sections else []
    others = [OVERVIEW, *(f"{OVERVIEW}-{other}" for other in SUBCOMMANDS)]
    lines += [".SH SEE ALSO", ", ".join(f"\\fB{escape(other)}\\fR(1)" for other in others if other != page.title)]
    return "\n".join(lines) + "\n"


def pages() -> dict[str, str]:
    """File names and texts of all pages."""
    return {f"{page.title}.1": roff(page) for page in manual()}


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
