"""`sample` with the shipped weights: the same text however it is run, and symmetry that `check` confirms.

`test_sample_runs.py` holds what a tiny model can show: resumes, folders, options, damage.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from tests.conftest import TOOL, tool_environment

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
