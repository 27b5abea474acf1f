"""`sample` from the shell: the same text however it is run, legal groups only, one line for every wrong call."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT, TOOL, tool_environment

Tool = Callable[..., subprocess.CompletedProcess[str]]
QUICK = ("--steps", "6", "-q", "--no-provenance")


@pytest.fixture(scope="module")
def expected() -> str:
    """Five structures of the shipped weights, drawn in one batch."""
    arguments = [*TOOL, "sample", "symmcd", "-n", "5", "--sg", "Fm-3m", "--sg", "14", *QUICK]
    done = subprocess.run(arguments, capture_output=True, text=True, env=tool_environment(), cwd="/", check=True)
    return done.stdout


def test_groups_are_taken_in_turn(expected: str) -> None:
    names = [line.removeprefix("data_") for line in expected.splitlines() if line.startswith("data_")]
    assert names == [f"symmcd-sg{group}-s0-{i:06d}" for i, group in enumerate([225, 14, 225, 14, 225])]


@pytest.mark.parametrize("how", [("--batch-size", "2"), ("--batch-size", "1", "--jobs", "2")], ids=" ".join)
def test_batches_and_jobs_do_not_change_the_text(crystaltool: Tool, expected: str, how: tuple[str, ...]) -> None:
    done = crystaltool("sample", "symmcd", "-n", "5", "--sg", "225", "--sg", "P2_1/c", *QUICK, *how)
    assert (done.returncode, done.stdout) == (0, expected)


def test_samples_pass_the_checks_of_symmetry(crystaltool: Tool, expected: str) -> None:
    done = crystaltool("check", "--only", "operations,symmetry,multiplicities,formula", stdin=expected)
    assert done.returncode == 0
    assert done.stdout.count("\tpass\t") == 20


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(("--sg", "231"), "231"), (("--sg", "Fm-4m"), "Fm-4m"), (("-n", "0"), "-n"), (("--steps", "2"), "--steps")],
)
def test_wrong_calls_get_one_line(crystaltool: Tool, arguments: tuple[str, ...], words: str) -> None:
    done = crystaltool("sample", "symmcd", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr and "Traceback" not in done.stderr


def damaged(tmp_path: Path, kind: str) -> str:
    """A folder with a copy of the shipped weights, damaged in one way."""
    folder = tmp_path / "weights"
    shutil.copytree(ROOT / "checkpoints" / "symmcd", folder)
    weights, config = folder / "model.safetensors", folder / "config.json"
    if kind == "flipped byte":
        data = bytearray(weights.read_bytes())
        data[-1000] ^= 1
        weights.write_bytes(data)
    elif kind == "newer format":
        config.write_text(config.read_text().replace('"crystaltool_format": 1', '"crystaltool_format": 99'))
    elif kind == "not JSON":
        config.write_text("{")
    return str(folder)


@pytest.mark.parametrize("kind", ["flipped byte", "newer format", "not JSON"])
def test_damaged_checkpoints_get_one_line(crystaltool: Tool, tmp_path: Path, kind: str) -> None:
    done = crystaltool("sample", damaged(tmp_path, kind), "-n", "1")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1 and "ERROR" in done.stderr


def test_a_reader_that_goes_away_ends_it_quietly() -> None:
    sample = subprocess.Popen(
        [*TOOL, "sample", "symmcd", "-n", "40", "--batch-size", "1", *QUICK],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=tool_environment(),
    )
    assert sample.stdout is not None and sample.stderr is not None
    assert sample.stdout.readline().startswith(b"data_")
    sample.stdout.close()
    assert sample.wait(timeout=120) == 141
    assert sample.stderr.read() == b""
