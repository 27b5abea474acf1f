"""Outputs appear whole or not at all."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from crystaltool.errors import StoppedError, UsageError
from crystaltool.io.atomic import (
    atomic_output,
    partial_path,
    refuse_input_as_output,
    resumable_output,
    safe_file_name,
)
from tests.conftest import tool_environment

BOTH = pytest.mark.parametrize("opened", [atomic_output, resumable_output])


@BOTH
def test_whole_file_or_none(tmp_path: Path, opened) -> None:
    target = tmp_path / "out"
    with opened(target) as output:
        output.handle.write(b"half")
        output.handle.flush()
        assert not target.exists()
        output.handle.write(b" and half")
    assert target.read_bytes() == b"half and half"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~mask


@BOTH
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, StoppedError])
def test_after_an_exception_the_old_file_stands(tmp_path: Path, opened, error) -> None:
    target = tmp_path / "out"
    target.write_text("old")
    with pytest.raises(error), opened(target, overwrite=True) as output:
        output.handle.write(b"half")
        raise error
    assert target.read_text() == "old"
    resumes = opened is resumable_output and error is not ValueError
    assert {path.name for path in tmp_path.iterdir()} == ({"out", ".out.partial"} if resumes else {"out"})


@BOTH
def test_existing_files_need_overwrite(tmp_path: Path, opened) -> None:
    target = tmp_path / "out"
    target.write_text("old")
    with pytest.raises(UsageError, match=r"exists \(--overwrite replaces it\)"), opened(target):
        pass
    with opened(target, overwrite=True) as output:
        output.handle.write(b"new")
    assert target.read_text() == "new"


def test_a_target_that_appears_meanwhile_wins(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with pytest.raises(UsageError, match="exists"), atomic_output(target) as output:
        output.handle.write(b"ours")
        target.write_text("theirs")
    assert target.read_text() == "theirs"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@BOTH
def test_folders_and_missing_folders(tmp_path: Path, opened) -> None:
    with pytest.raises(UsageError, match="is a directory"), opened(tmp_path):
        pass
    with pytest.raises(UsageError, match="no directory"), opened(tmp_path / "no" / "out"):
        pass


@BOTH
def test_symbolic_links_are_followed(tmp_path: Path, opened) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    with opened(tmp_path / "link", overwrite=True) as output:
        output.handle.write(b"new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_text() == "new"


@BOTH
def test_a_full_disk_names_the_file(opened) -> None:
    with pytest.raises(OSError, match="No space left") as caught, opened("/dev/full") as output:
        output.handle.write(b"x" * 100)
        output.handle.flush()
    assert caught.value.filename == "/dev/full"
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)


def test_resuming_takes_the_partial_file_up(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with pytest.raises(ValueError, match="stop"), resumable_output(target, resume=True) as output:
        assert output.n_kept == 0
        output.handle.write(b"first ")
        raise ValueError("stop")
    assert not target.exists() and partial_path(target).read_bytes() == b"first "
    with resumable_output(target, resume=True) as output:
        assert output.n_kept == 6
        output.handle.write(b"second")
    assert target.read_bytes() == b"first second"
    with resumable_output(target, resume=True) as output:  # a finished target is continued too
        assert output.n_kept == 12
        output.handle.write(b" third")
    assert target.read_bytes() == b"first second third"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_what_is_done_outlives_an_interruption(tmp_path: Path, stop: type[BaseException]) -> None:
    target = tmp_path / "out"
    with pytest.raises(stop) as caught, resumable_output(target) as output:
        output.handle.write(b"first ")
        raise stop
    assert not target.exists() and partial_path(target).read_bytes() == b"first "
    assert caught.value.__notes__ == [
        f"what is done stands in {partial_path(target)}, the same command with --resume goes on"
    ]
    with pytest.raises(stop), resumable_output(tmp_path / "empty"):
        raise stop
    assert not partial_path(tmp_path / "empty").exists()


def test_without_resume_a_partial_file_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "out"
    partial_path(target).write_text("long remains of a killed run")
    with resumable_output(target) as output:
        output.handle.write(b"new")
    assert target.read_text() == "new"


def test_two_writers_of_one_target(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with resumable_output(target) as output:
        output.handle.write(b"first")
        with pytest.raises(UsageError, match="being written by another process"), resumable_output(target):
            pass
    assert target.read_text() == "first"


KILLED = """
import sys, time
from crystaltool.io.atomic import {function}
with {function}(sys.argv[1], overwrite=True) as output:
    output.handle.write(b"half")
    output.handle.flush()
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("function", ["atomic_output", "resumable_output"])
def test_kill_in_the_middle_leaves_the_old_file(tmp_path: Path, function: str) -> None:
    target = tmp_path / "out"
    target.write_text("old")
    command = [sys.executable, "-c", KILLED.format(function=function), str(target)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=tool_environment()) as child:
        assert child.stdout is not None and child.stdout.readline() == b"ready\n"
        child.send_signal(signal.SIGKILL)
    assert target.read_text() == "old"
    assert all(path.name.startswith(".") for path in tmp_path.iterdir() if path != target)


def test_inputs_are_never_outputs(tmp_path: Path) -> None:
    (tmp_path / "in").write_text("x")
    os.link(tmp_path / "in", tmp_path / "hard")
    (tmp_path / "soft").symlink_to("in")
    for name in ("in", "hard", "soft"):
        with pytest.raises(UsageError, match="is the input"):
            refuse_input_as_output(tmp_path / name, ["-", str(tmp_path / "in")])
    refuse_input_as_output(tmp_path / "other", ["-", str(tmp_path / "in")])


def test_file_names_of_blocks() -> None:
    assert safe_file_name("../../etc/passwd") == "_.._etc_passwd"
    assert safe_file_name(".hidden") == "hidden"
    assert safe_file_name("symmcd-sg225-s0-000017") == "symmcd-sg225-s0-000017"
    assert len(safe_file_name("x" * 500)) == 120
    assert safe_file_name("...") == "unnamed"
