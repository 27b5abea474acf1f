"""Shared fixtures: the tool as a subprocess, and the large data sets where they are."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"

# A shell starts background jobs with Ctrl-C ignored, and children inherit that: the tests of Ctrl-C need it alive.
signal.signal(signal.SIGINT, signal.default_int_handler)


def tool_environment(**extra: str) -> dict[str, str]:
    """The environment of a child that runs this checkout, one thread, nobody's own defaults."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CRYSTALTOOL_")}
    return kept | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "100"} | extra


TOOL = (sys.executable, "-m", "crystaltool")

ECHO = (
    sys.executable,
    "-c",
    "from crystaltool.cli import main;"
    "main.SUBCOMMANDS['echo'] = main.Subcommand('tests.cli.echo_command', 'Copies blocks.');"
    "main.main()",
    "echo",
)
"""A subcommand that lives in the tests: reads blocks and writes them again, through the same frame as all others."""


@pytest.fixture
def crystaltool(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the tool in an empty folder: `crystaltool("check", "a.cif", stdin=...)`."""

    def run(*arguments: str | Path, stdin: str | None = None, timeout: float = 120, **options):
        return subprocess.run(
            [*TOOL, *map(str, arguments)],
            input=stdin if stdin is not None else "",
            text=True,
            capture_output=True,
            cwd=tmp_path,
            env=tool_environment(),
            timeout=timeout,
            **options,
        )

    return run


@pytest.fixture
def echo(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """As `crystaltool`, for the `echo` subcommand of the tests."""

    def run(*arguments: str | Path, stdin: str | None = None, timeout: float = 60, **options):
        return subprocess.run(
            [*ECHO, *map(str, arguments)],
            input=stdin if stdin is not None else "",
            text=True,
            capture_output=True,
            cwd=tmp_path,
            env=tool_environment(),
            timeout=timeout,
            **options,
        )

    return run


@pytest.fixture(scope="session")
def mp20() -> Path:
    """The folder with MP-20's csv.gz files; tests that need it are skipped where it is absent."""
    folder = DATA / "inorganic" / "mp20"
    if not folder.is_dir():
        pytest.skip(f"needs the MP-20 data set in {folder}")
    return folder
