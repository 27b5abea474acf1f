"""Snippets of the documents, and the sizes that the tests give them.

A snippet is a fenced or an indented block. Shell snippets (`sh`, or indented and beginning with a command) and Python
ones are run; before one that cannot be stands `<!-- not run: REASON -->`.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from crystaltool.cli.main import SUBCOMMANDS
from tests.conftest import ROOT

COMMANDS = ("crystaltool ", "python ", "python3 ", "tools/", "cat ", "for ", "mkdir ")
"""With what an indented block begins that is for the shell."""

NOT_COMMANDS = ("crystaltool check: ",)
"""A message, which begins so too."""


@dataclass(frozen=True)
class Snippet:
    """A block of a document.

    Args:
        path: of the document. line: its first line, from 1. language: `sh`, `python` or another. text: the block.
        reason: why it is not run; empty where it is.
    """

    path: Path
    line: int
    language: str
    text: str
    reason: str = ""

    @property
    def place(self) -> str:
        """Where it stands, for names of tests."""
        return f"{self.path.relative_to(ROOT)}:{self.line}"


def snippets(path: Path) -> list[Snippet]:
    """Every block of a Markdown file, in order."""
    lines = path.read_text().splitlines()
    found, at = [], 0
    while at < len(lines):
        fence = re.fullmatch(r"(```+|~~~+)\s*\{?([\w-]*)\}?.*", lines[at])
        if fence:
            end = next(i for i in range(at + 1, len(lines)) if lines[i].startswith(fence[1]))
            found.append(_snippet(path, lines, at, end, fence[2], at + 1))
            at = end
        elif lines[at].startswith("    ") and (at == 0 or not lines[at - 1].strip()):
            end = at
            while end < len(lines) and (lines[end].startswith("    ") or not lines[end].strip()):
                end += 1
            text = lines[at].strip()
            shell = text.startswith(COMMANDS) and not text.startswith(NOT_COMMANDS)
            language = "sh" if shell else "python" if text.startswith("import ") else "text"
            found.append(_snippet(path, lines, at, end, language, at))
            at = end - 1
        at += 1
    return found


def _snippet(path: Path, lines: list[str], at: int, end: int, language: str, first: int) -> Snippet:
    before = next((line for line in reversed(lines[:at]) if line.strip()), "")
    marked = re.fullmatch(r"<!-- not run: (.+) -->", before)
    indent = 4 if first == at else 0
    text = "".join(line[indent:] + "\n" for line in lines[first:end]).rstrip() + "\n"
    return Snippet(path, at + 1, language, text, marked[1] if marked else "")


def commands(text: str) -> list[str]:
    """What a shell runs in order: lines, joined until they are whole."""
    found, waiting = [], ""
    for line in text.splitlines():
        waiting += line + "\n"
        read = subprocess.run(["bash", "-n", "-c", waiting], capture_output=True, text=True)
        whole = read.returncode == 0 and not read.stderr  # a here-document without its end is a warning
        if whole and not line.rstrip().endswith("\\"):
            found += [waiting] if waiting.strip() and not waiting.strip().startswith("#") else []
            waiting = ""
    return found + ([waiting] if waiting.strip() else [])


TINY = {"symmcd": "tiny-symmcd.toml", "blocks": "tiny-blocks.toml", "mofdiff": "tiny-mofdiff.toml"}
NETS = "tiny-nets.toml"


def smaller(command: str, n: int = 2, relax_steps: int | None = 4) -> str:
    """The command with sizes of a test: few structures, few steps, small networks, one process.

    Args:
        command: as printed. n: structures. relax_steps: of `relax`; None leaves it to converge.
    """
    words = "|".join(SUBCOMMANDS)
    call = rf"crystaltool ({words})\b((?:'[^']*'|\"[^\"]*\"|[^|;&'\"\n])*)"
    return re.sub(call, lambda match: _smaller(match[1], match[2], n, relax_steps), command)


def _smaller(name: str, rest: str, n: int, relax_steps: int | None) -> str:
    rest = re.sub(r"(?<=\s)(-n|--number) (?!\$)\d+", rf"\1 {n}", rest)
    rest = re.sub(r"(?<=\s)(-j|--jobs) \d+", r"\1 1", rest)
    rest = re.sub(r"(?<=\s)--draws \d+", "--draws 4", rest)
    rest = re.sub(r"(?<=\s)--candidates \d+", "--candidates 2", rest)
    rest = re.sub(r"(?<=\s)--starts \d+", "--starts 8", rest)
    rest = re.sub(r"(?<=\s)--cycles \d+", "--cycles 1", rest)
    rest = re.sub(r"(?<=\s)--epochs \d+", "--epochs 2", rest)
    rest = re.sub(r"(?<=\s)--pressure (?!0\.1,1\b)[\d.,]+", "--pressure 0.01,0.02", rest)
    more = ""
    if name == "sample" and "mofdiff" not in rest:
        weighed = "runs/" not in rest and "--target none" not in rest
        more += " --candidates 2" if weighed and "--candidates" not in rest else ""
        more += "" if "--steps" in rest else " --steps 8"
    if name == "sample" and "--target" in rest and "mofdiff" in rest and "--draws" not in rest:
        more += " --draws 4"
    if name == "relax" and relax_steps is not None:
        more += f" --max-steps {relax_steps}"
    if name == "measure" and "--adsorption" in rest and not re.search("--(cycles|estimate)", rest):
        more += " --cycles 1"
    if name == "train" and "--resume" not in rest:
        model = re.search(r"symmcd|blocks|mofdiff", rest)
        tiny = NETS if "--part nets" in rest else TINY[model[0]] if model else ""
        more += f" --config {tiny}" if "--config" not in rest and "--init" not in rest else ""
    if name == "train" and "--epochs" not in rest:
        more += " --epochs 1"
    return f"crystaltool {name}{more}{rest}"
