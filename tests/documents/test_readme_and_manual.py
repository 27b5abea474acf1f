"""Every command of README and of the manual runs as printed, in sizes of a test, on small files of those names."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.documents.conftest import Shell
from tests.documents.snippets import Snippet, commands, smaller, snippets

NOT_RUN = {
    "tools/test.sh": "it is what runs the tests",
    "cat part-1.cif": "it shows what the outputs of shards are; tests/cli/test_shards.py compares them",
}
"""Beginnings of blocks that are not run, and why."""

SETS_UP = r"python3 -m venv .*? &&\n"
"""The part of README's first command that makes the environment, which the tests already run in."""

FILTERS = r"--pass|--fail|view -e|--stable|raw$"
"""What may leave nothing, of a few small samples, and a folder."""


def blocks() -> list[Snippet]:
    """The shell blocks of README and manual."""
    paths = [ROOT / "README.md", *sorted((ROOT / "man" / "src").glob("*.md"))]
    return [each for path in paths for each in snippets(path) if each.language == "sh"]


def runnable() -> list[Snippet]:
    """Those that are run."""
    return [each for each in blocks() if not each.text.startswith(tuple(NOT_RUN))]


def test_only_what_cannot_is_left_out() -> None:
    assert len(blocks()) - len(runnable()) == len(NOT_RUN)


def test_no_command_is_overlooked() -> None:
    """Whatever begins with `crystaltool` on an indented line is in a block that is run."""
    seen = sum(text.count("crystaltool ") for text in (each.text for each in blocks()))
    printed = 0
    for path in {each.path for each in blocks()}:
        lines = re.findall(r"(?m)^    .*$", path.read_text())
        printed += sum(line.count("crystaltool ") for line in lines if not re.search("data_x: ERROR|import ", line))
    assert seen == printed


def outputs(command: str) -> list[str]:
    """Files and folders that a command is told to write."""
    made = r">|(?<=\s)-o|--report" + ("|--library" if " embed " in command else "")
    return re.findall(rf"(?:{made})\s+([\w./-]+)", re.sub(r"'[^']*'", "", command))


@pytest.mark.slow
@pytest.mark.parametrize("block", runnable(), ids=lambda block: block.place)
def test_the_block_runs(block: Snippet, shell: Shell, copy: Callable[..., Path]) -> None:
    folder = copy()
    lines = commands(re.sub(SETS_UP, "", block.text))
    for name in {name for line in lines for name in outputs(line)}:
        remove(folder / name)
    for line in lines:
        shell.check(smaller(line), folder)
        for name in outputs(line):
            path = folder / name
            assert path.is_dir() or path.stat().st_size or re.search(FILTERS, line), f"{name} of {line} is empty"


def remove(path: Path) -> None:
    """A file or a folder that is there from before."""
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
