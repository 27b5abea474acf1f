"""One thread a process, whatever the environment asks for, in every command that works structure by structure."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import scipy.optimize

from crystaltool.executor import map_ordered
from crystaltool.io.cif import format_crystal
from crystaltool.threads import THREAD_VARIABLES
from tests.checks.blocks import textbook_text
from tests.conftest import tool_environment
from tests.models.tiny import TOML, small_table, write_table
from tests.mof.structures import curated

MANY = dict.fromkeys(THREAD_VARIABLES, "3")
"""As the login script of a cluster may set them."""

COUNT = """
import os, sys
from crystaltool.cli import main
code = main.run(sys.argv[1:])
torch = sys.modules.get("torch")
threads = len(os.listdir("/proc/self/task"))  # pools of OpenMP, BLAS and HiGHS stay once they were used
print("END", code, threads, torch.get_num_threads() if torch else 1, file=sys.stderr)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "halite.cif").write_text(textbook_text("halite"))
    (folder / "mof.cif").write_text(format_crystal(curated()["MIL-53"], "mil-53"))
    (folder / "fit.toml").write_text(f"{TOML}\n[fit]\nepochs = 1\n")
    write_table(folder / "data.h5", small_table())
    return folder


def threads(folder: Path, *arguments: str) -> tuple[int, int, int]:
    """Exit code, threads of the process at its end, and what torch would use."""
    done = subprocess.run(
        [sys.executable, "-c", COUNT, *arguments],
        env=tool_environment(**MANY),
        cwd=folder,
        capture_output=True,
        timeout=300,
    )
    word, *numbers = done.stderr.decode().splitlines()[-1].split()
    assert word == "END", done.stderr.decode()
    code, found, torch = map(int, numbers)
    return code, found, torch


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted in /proc")
@pytest.mark.parametrize(
    "arguments",
    [
        ("asym-unit", "halite.cif"),
        ("asym-unit", "halite.cif", "-o", "units.h5"),
        ("check", "-q", "--exit-zero", "mof.cif", "halite.cif"),
        ("check", "-q", "--exit-zero", "--reference", "halite.cif", "halite.cif"),
        ("fragment", "mof.cif", "-o", "blocks.h5"),
        ("embed", "blocks", "blocks.h5", "-o", "embeddings.h5"),
        ("relax", "-q", "--max-steps", "3", "mof.cif"),
        ("relax", "-q", "--max-steps", "2", "--forcefield", "chgnet", "halite.cif"),
        ("sample", "symmcd", "-n", "2", "--steps", "6"),
        ("sample", "mofdiff", "-n", "1", "-o", "samples.h5"),
        ("assemble", "samples.h5", "--starts", "2"),
        ("train", "symmcd", "data.h5", "-o", "run", "--config", "fit.toml", "--device", "cpu", "-q"),
    ],
    ids=lambda arguments: "-".join(word for word in arguments if "." not in word and not word.startswith("-")),
)
def test_a_command_has_one_thread(folder: Path, arguments: tuple[str, ...]) -> None:
    """In the order in which one writes what the next reads."""
    if "chgnet" in arguments and importlib.util.find_spec("chgnet") is None:
        pytest.skip("the mlip extra is not installed")
    code, found, torch = threads(folder, *arguments)
    assert code in (0, 1) and (found, torch) == (1, 1)


def test_training_has_the_threads_that_it_is_given(folder: Path) -> None:
    call = ("train", "symmcd", "data.h5", "-o", "three", "--config", "fit.toml", "--device", "cpu", "-q")
    assert threads(folder, *call, "--threads", "3")[2] == 3


def threads_of_a_worker(_: int) -> tuple[int, set[str | None]]:
    """Those of torch, and what the environment says."""
    import torch

    return torch.get_num_threads(), {os.environ.get(name) for name in THREAD_VARIABLES}


def test_a_worker_has_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in MANY.items():
        monkeypatch.setenv(name, value)
    assert next(map_ordered(threads_of_a_worker, [0], jobs=2)) == (1, {"1"})


def test_integer_programs_have_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """HiGHS looks at no variable: without a word it starts a thread for every two cores."""
    asked = []
    solve = scipy.optimize.milp
    monkeypatch.setattr(
        scipy.optimize, "milp", lambda *a, **options: asked.append(options["options"]) or solve(*a, **options)
    )
    from crystaltool.mof.fragment import fragment
    from crystaltool.mof.identity import identify
    from crystaltool.mof.perception import perceive_bonds

    crystal = curated()["MIL-53"]
    for block in fragment(crystal, perceive_bonds(crystal)).blocks:
        identify(block)
    assert asked and all(options["threads"] == 1 for options in asked)
