"""What counts as a fault of a command that was given something bad."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import h5py

from benchmarks.faults.server import MAX_MEMORY, MAX_SECONDS, STDERR, STDOUT, Ended

SAID = re.compile(r"crystaltool( [a-z-]+)?: ")
TABLE = re.compile(r"[\u2500-\u257f]|\d+ (structures?|records?)\b")
"""The summary that `check` prints on standard error."""

LEFT = (".tmp", ".partial", ".part")
HDF5 = b"\x89HDF"


def judge(
    command: str, ended: Ended, folder: Path, before: set[str], resumed: bool = False, gone: bool = False
) -> list[str]:
    """The faults of one run, none if it is right.

    Args:
        command: the subcommand. folder: where it ran. before: names that were there.
        resumed: whether a partial file may stay. gone: whether the reader went away, so that it may end 141.
    """
    faults = _of_process(command, ended, gone)
    text = (folder / STDERR).read_bytes()
    said = text.decode("utf-8", "replace")
    if "Traceback (most recent call last)" in said:
        faults.append("traceback")
    if "internal error" in said:
        faults.append("internal error")
    if ended.code == 2 and not SAID.search(said):
        faults.append("exit 2 without a line")
    if foreign := [
        line for line in said.splitlines() if line.strip() and not SAID.match(line) and not TABLE.match(line)
    ]:
        faults.append(f"not our message: {foreign[0][:120]}")
    if any(not (character.isprintable() or character in "\n") for character in said):
        faults.append("control characters on standard error")
    return faults + _of_files(folder, before, resumed)


def _of_process(command: str, ended: Ended, gone: bool) -> list[str]:
    faults = []
    if ended.code == -signal.SIGXCPU or ended.seconds > MAX_SECONDS:
        faults.append("over 30 s")
    elif ended.code == -signal.SIGKILL:
        faults.append("hangs")
    elif ended.code < 0:
        faults.append(f"ended by signal {-ended.code}")
    elif ended.code not in (0, 2, *((1,) if command == "check" else ()), *((141,) if gone else ())):
        faults.append(f"exit {ended.code}")
    if ended.memory > MAX_MEMORY:
        faults.append("over 2 GB")
    return faults


def _of_files(folder: Path, before: set[str], resumed: bool) -> list[str]:
    faults = []
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if name in before or name in (STDOUT, STDERR) or not path.is_file():
            continue
        if path.name.startswith(".") and path.name.endswith(LEFT):
            if not (resumed and path.name.endswith(".partial")):
                faults.append(f"left {path.suffix}")
        elif path.suffix == ".h5":
            try:
                with h5py.File(path) as file:
                    list(file)
            except OSError:
                faults.append("an HDF5 output that is not whole")
        elif path.suffix == ".cif":
            faults += _whole_blocks(path)
    return faults


def _whole_blocks(path: Path) -> list[str]:
    text = path.read_bytes()
    return ["a CIF output that ends within a block"] if text and not text.endswith(b"\n") else []
