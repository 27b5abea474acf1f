"""`--scheduler`: the workers of a dask cluster in place of own processes, the same bytes, also when one is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import crystaltool as ct
from crystaltool import engine
from crystaltool.io.cif import format_crystal
from tests.checks.blocks import halite_text, textbook_text
from tests.cli.one_process import Child, one_process
from tests.conftest import TOOL, tool_environment
from tests.models.tiny import trained_folder
from tests.mof.structures import curated
from tests.textbook import TEXTBOOK

distributed = pytest.importorskip("distributed")

NAMES = [entry.name for entry in TEXTBOOK][:8]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[distributed.LocalCluster]:
    folder = str(tmp_path_factory.mktemp("workers"))
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0", local_directory=folder
    ) as running:
        yield running


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    with one_process() as running:
        yield running


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Crystals with a bad block among them, MOFs, and a model."""
    text = "".join(map(textbook_text, NAMES)) + halite_text("bad", cell="5 5 x 90 90 90") + halite_text("last")
    (tmp_path / "in.cif").write_text(text)
    (tmp_path / "mofs.cif").write_text(
        "".join(format_crystal(crystal, name) for name, crystal in sorted(curated().items())[:2])
    )
    return tmp_path


COMMANDS = {
    "check": ("check", "--reference", "mofs.cif", "--reference", "in.cif", "in.cif"),
    "check --json": ("check", "--only", "cell,unique", "--json", "in.cif"),
    "relax": ("relax", "--forcefield", "ase:ase.calculators.lj:LennardJones", "--max-steps", "2", "in.cif"),
    "relax uff": ("relax", "--forcefield", "uff", "--max-steps", "2", "mofs.cif"),
    "asym-unit": ("asym-unit", "in.cif"),
    "expand": ("asym-unit", "--expand", "in.cif"),
    "stats": ("stats", "--check", "in.cif"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_same_bytes_and_messages(name: str, cluster, child: Child, place: Path) -> None:
    words = [*COMMANDS[name], *(() if name.startswith(("check", "stats")) else ("--no-provenance",))]
    alone = child.run(place, *words)
    shared = child.run(place, *words, "--scheduler", cluster.scheduler_address)
    assert alone.out != "" and "internal error" not in alone.err
    assert (shared.code, shared.out, shared.err) == (alone.code, alone.out, alone.err)


def test_files_of_data_sets_blocks_and_samples_are_the_same(cluster, child: Child, place: Path) -> None:
    model = trained_folder(place)
    quick = ("-n", "40", "--steps", "5", "--attempts", "1", "--device", "cpu", "--seed", "3")
    commands = {
        "units.h5": ("asym-unit", "in.cif"),
        "blocks.h5": ("fragment", "mofs.cif"),
        "mofs-again.cif": ("assemble", "blocks.h5", "--starts", "4"),
        "sampled.cif": ("sample", model.relative_to(place), *quick),  # workers have another folder
    }
    (place / "scheduler.json").write_text(f'{{"address": "{cluster.scheduler_address}"}}')
    for name, words in commands.items():
        for output, more in ((name, ()), (f"shared-{name}", ("--scheduler", "scheduler.json"))):
            done = child.run(place, *words, "--no-provenance", "-q", "-o", output, *more)
            assert done.code in (0, 2) and "internal" not in done.err, done.err
        assert (place / name).read_bytes() == (place / f"shared-{name}").read_bytes()


def test_a_worker_killed_in_the_middle_loses_nothing(cluster, child: Child, place: Path) -> None:
    """The pipe is fed so slowly that work is left when the first results are there."""
    text = "".join(textbook_text(name).replace("data_", f"data_{i}_", 1) for i in range(8) for name in NAMES)
    (place / "many.cif").write_text(text)
    words = ["asym-unit", "--no-provenance", "-q"]
    whole = child.run(place, *words, "many.cif")
    process = subprocess.Popen(
        [*TOOL, *words, "--scheduler", cluster.scheduler_address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=tool_environment(),
    )
    assert process.stdin is not None and process.stdout is not None
    half = len(text) // 2
    process.stdin.write(text[:half].encode())
    process.stdin.flush()
    first = process.stdout.readline()
    pids = [nanny.pid for nanny in cluster.workers.values() if nanny.pid]
    process.stdin.write(text[half:].encode())
    os.kill(pids[0], signal.SIGKILL)
    process.stdin.close()
    out = first + process.stdout.read()
    assert process.wait(60) == 0
    assert out.decode() == whole.out != ""
    deadline = time.monotonic() + 60
    while pids[0] in [nanny.pid for nanny in cluster.workers.values()] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert pids[0] not in [nanny.pid for nanny in cluster.workers.values()]


def test_python_gives_the_same_from_any_executor(cluster, place: Path) -> None:
    executor = engine.connect(cluster.scheduler_address)
    structures = list(ct.read(place / "in.cif"))
    for verb in (ct.asym_unit, ct.expand, ct.check):
        alone = [str(one) if verb is ct.check else one.to_cif() for one in verb(structures)]
        shared = [str(one) if verb is ct.check else one.to_cif() for one in verb(structures, executor=executor)]
        assert alone == shared and len(alone) == len(NAMES) + 1
    engine.close(executor)


def test_no_scheduler_and_no_dask_are_one_line(place: Path) -> None:
    hide = (
        "import sys; sys.modules['distributed'] = None; from crystaltool.cli import main; "
        "sys.exit(main.run(sys.argv[1:]))"
    )
    for prelude, address, expected in (
        ("", "tcp://127.0.0.1:x", "no dask scheduler there"),
        (hide, "tcp://127.0.0.1:9", "pip install 'crystaltool[cluster]'"),
    ):
        tool = [sys.executable, "-c", prelude] if prelude else TOOL
        done = subprocess.run(
            [*tool, "check", "--scheduler", address, "in.cif"],
            cwd=place,
            capture_output=True,
            text=True,
            env=tool_environment(),
            timeout=120,
        )
        assert (done.returncode, done.stdout.count("\n"), done.stderr.count("\n")) == (2, 1, 1), done.stderr
        assert expected in done.stderr
