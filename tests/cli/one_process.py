"""Many command lines in one child process, so that weights and tables are loaded once.

In the test's own process they cannot run: its type checker refuses the values that typer hands to commands.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.conftest import tool_environment

LOOP = """
import json, os, sys
from crystaltool.cli import main
if __name__ == "__main__":
    answers = os.fdopen(int(sys.argv[1]), "w")
    for line in sys.stdin:
        folder, arguments = json.loads(line)
        os.chdir(folder)
        for number, name in ((1, "stdout"), (2, "stderr")):
            target = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(target, number)
            os.close(target)
        code = main.run(arguments)
        sys.stdout.flush()
        sys.stderr.flush()
        print(code, file=answers, flush=True)
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


class Child:
    """A running child that takes command lines."""

    def __init__(self, process: subprocess.Popen[str], answers: IO[str]) -> None:
        self._process, self._answers = process, answers

    def run(self, folder: Path, *arguments: str | Path) -> Ended:
        """Run `crystaltool ARGUMENTS...` in a folder; relative paths are of that folder."""
        assert self._process.stdin is not None
        print(
            json.dumps([str(folder), [str(argument) for argument in arguments]]), file=self._process.stdin, flush=True
        )
        answer = self._answers.readline()
        assert answer, f"the child died: {(folder / 'stderr').read_text()}"
        return Ended(int(answer), (folder / "stdout").read_text(), (folder / "stderr").read_text())


@contextmanager
def one_process(prelude: str = "") -> Iterator[Child]:
    """A child that runs `prelude` and then command lines, ended with the `with` block."""
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", prelude + LOOP, str(writing)],
        stdin=subprocess.PIPE,
        env=tool_environment(),
        text=True,
        pass_fds=[writing],
    )
    os.close(writing)
    with process, os.fdopen(reading) as answers:
        try:
            yield Child(process, answers)
        finally:
            process.kill()
