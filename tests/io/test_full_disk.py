"""A disk that fills up while an output is written: one line that names the file, and nothing is left."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
from io import BytesIO
from pathlib import Path

import h5py
import numpy as np
import pytest

from crystaltool.io.hdf5_output import through_memory
from crystaltool.training.checkpoint import replace_file, save_state
from tests.conftest import TOOL, tool_environment
from tests.io.blocks import halite
from tests.mof.structures import curated

ROOM = 3000
"""Bytes that a file may have: every output of these tests is longer."""


def limited() -> None:
    """For the child: no file may grow beyond the limit, as on a disk with so much room."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, ROOM))


def write(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command line of the tool in a folder whose disk is nearly full."""
    return subprocess.run(
        [*TOOL, *command.split()],
        cwd=folder,
        env=tool_environment(),
        preexec_fn=limited,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    "command",
    ["asym-unit many.cif -o out.h5", "fragment mof.cif -o out.h5", "asym-unit many.cif -o out.cif"],
    ids=["a data set", "building blocks", "CIF"],
)
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path, command: str) -> None:
    from crystaltool.io.cif import format_crystal

    (tmp_path / "many.cif").write_text("".join(halite(f"block-{i}") for i in range(4)))
    (tmp_path / "mof.cif").write_text(format_crystal(curated()["MIL-53"], "mil53"))
    before = sorted(os.listdir(tmp_path))
    done = write(command, tmp_path)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2 and line.endswith("File too large") and "out." in line, done.stderr
    assert sorted(os.listdir(tmp_path)) == before


def test_the_state_of_a_run_is_not_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.h5"
    save_state(path, {"step": 1}, {})
    whole = path.read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        save_state(path, {"step": 2}, {})
    assert caught.value.filename == str(path)
    assert path.read_bytes() == whole and os.listdir(tmp_path) == ["state.h5"]


def test_an_error_that_has_a_name_keeps_it(tmp_path: Path) -> None:
    def write_elsewhere(_path: Path) -> None:
        (tmp_path / "no" / "folder").write_text("x")

    with pytest.raises(FileNotFoundError) as caught:
        replace_file(tmp_path / "state.h5", write_elsewhere)
    assert caught.value.filename == str(tmp_path / "no" / "folder")


@pytest.mark.parametrize("in_memory", [False, True])
def test_what_is_written_by_way_of_memory_is_hdf5(tmp_path: Path, in_memory: bool) -> None:
    target = BytesIO() if in_memory else tmp_path / "x.h5"
    with through_memory(target) as memory, h5py.File(memory, "w") as file:
        file["numbers"] = np.arange(5)
    with h5py.File(target) as file:
        assert file["numbers"][...].tolist() == [0, 1, 2, 3, 4]


def test_nothing_is_written_after_an_exception(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="stop"), through_memory(tmp_path / "x.h5") as memory:
        memory.write(b"half")
        raise ValueError("stop")
    assert os.listdir(tmp_path) == []
