"""A shell in which `crystaltool` starts in no time, and the files that the documents speak of."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import tool_environment
from tests.documents.forked import serving
from tests.documents.inputs import prepare

TROUBLE = {2, 70}
"""Exit codes with which nothing in a document may end: trouble, and a child that died."""


class Shell:
    """Runs commands of the documents, and knows how each call of `crystaltool` in them ended."""

    def __init__(self, folder: Path) -> None:
        self.bin, self._log = folder / "bin", folder / "log"

    def run(self, command: str, folder: Path, timeout: float = 900) -> subprocess.CompletedProcess[str]:
        """Run it with bash in a folder."""
        path = f"{self.bin}{os.pathsep}{os.path.dirname(sys.executable)}{os.pathsep}{os.environ['PATH']}"
        environment = tool_environment(PATH=path)
        return subprocess.run(
            ["bash", "-c", command],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    def check(self, command: str, folder: Path) -> str:
        """Run it and hold it to what every command of a document must do; its standard output."""
        done_before = len(self._log.read_text().splitlines())
        ended = self.run(command, folder)
        calls = [json.loads(line) for line in self._log.read_text().splitlines()[done_before:]]
        assert ended.returncode in (0, 1), f"{ended.returncode} of {command}\n{ended.stderr}"
        bad = [call for code, call, _ in calls if code in TROUBLE]
        assert not bad, f"{bad}\n{ended.stderr}"
        assert "Traceback" not in ended.stderr, ended.stderr
        return ended.stdout


@pytest.fixture(scope="session")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    for package in ("chgnet", "pyzeo", "openbabel"):
        pytest.importorskip(package, reason="the documents speak of extras that are not all installed")
    with serving(tmp_path_factory.mktemp("shell")) as folder:
        yield Shell(folder)


@pytest.fixture(scope="session")
def inputs(shell: Shell, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with all files; tests take copies."""
    folder = tmp_path_factory.mktemp("inputs")
    prepare(folder, shell.run)
    return folder


@pytest.fixture
def copy(inputs: Path, tmp_path: Path) -> Callable[..., Path]:
    """A folder with some of the files, or with all."""

    def of(names: list[str] | None = None) -> Path:
        folder = tmp_path / "work"
        folder.mkdir()
        for path in inputs.iterdir() if names is None else [inputs / name for name in names]:
            (shutil.copytree if path.is_dir() else shutil.copy)(path, folder / path.name)
        return folder

    return of
