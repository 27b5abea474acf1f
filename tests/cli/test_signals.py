"""A signal while a library loads ends the command as one that comes later does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import tool_environment

LIBRARY = """
import os, time
os.kill(os.getpid(), {number})
try:
    time.sleep(0.2)
except BaseException as error:  # as numpy's core has it
    raise ImportError("not loaded") from error
"""

SCRIPT = """
import sys
from crystaltool.cli import main
from crystaltool.cli.session import Session


def loads(*arguments, **options):
    import interrupted_library
    import time
    time.sleep(0.3)
    raise ValueError("the library is loaded")


Session.__init__ = loads
main.main()
"""


def load_and_signal(folder: Path, number: int, before: signal.Handlers) -> subprocess.CompletedProcess[str]:
    """A command that loads a library, in which the signal comes."""
    (folder / "interrupted_library.py").write_text(LIBRARY.format(number=number))
    (folder / "script.py").write_text(SCRIPT)
    return subprocess.run(
        [sys.executable, "script.py", "asym-unit"],
        cwd=folder,
        env=tool_environment() | {"PYTHONPATH": os.pathsep.join([str(folder), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        preexec_fn=lambda: signal.signal(number, before) and None,
    )


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_while_a_library_loads(number: int, code: int, tmp_path: Path) -> None:
    done = load_and_signal(tmp_path, number, signal.SIG_DFL)
    assert (done.returncode, done.stdout) == (code, "")
    assert "internal error" not in done.stderr and "not loaded" not in done.stderr


def test_what_is_ignored_stays_so(tmp_path: Path) -> None:
    """As nohup and the background jobs of scripts have it: the command goes on, and ends as this one does."""
    done = load_and_signal(tmp_path, signal.SIGINT, signal.SIG_IGN)
    assert done.returncode == 2 and "the library is loaded" in done.stderr
