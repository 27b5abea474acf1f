"""Two processes under torchrun (gloo): the gradient of the whole batch, one writer, one validator."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from crystaltool.models.symmcd.checkpoint import load_symmcd
from crystaltool.training.distributed import World
from tests.conftest import ROOT, tool_environment
from tests.models.tiny import small_table, write_table
from tests.training.two_processes import N_ROWS, gradients


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two processes."""
    folder = tmp_path_factory.mktemp("two")
    data = write_table(folder / "data.h5", small_table(), 1)
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [sys.executable, *torchrun, "-m", "tests.training.two_processes", str(data), str(folder / "run")]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=tool_environment(GLOO_SOCKET_IFNAME="lo"),  # whatever the machine's name resolves to
        text=True,
        capture_output=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return folder / "run"


@pytest.fixture(scope="module")
def found(run: Path) -> list[dict]:
    return [json.loads((run / f"rank-{rank}.json").read_text()) for rank in (0, 1)]


@pytest.mark.parametrize(("name", "n"), [("seven", N_ROWS), ("one", 1)])
def test_gradients_are_those_of_one_process_with_the_whole_batch(found: list[dict], name: str, n: int) -> None:
    """Seven rows are four and three; of one row, the second process gets none."""
    alone = gradients(World(), torch.arange(n))
    assert max(map(abs, alone)) > 0.01
    for rank in (0, 1):
        assert found[rank][name] == pytest.approx(alone, abs=1e-5)


def test_a_flag_on_one_process_is_up_on_all(found: list[dict]) -> None:
    assert found[0]["any"] == found[1]["any"] == [True, False]


def test_the_first_process_alone_writes_and_validates(run: Path, found: list[dict]) -> None:
    """Eight rows, batches of five and three, two epochs: four steps."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "loss" in row] == [1, 2, 3, 4]
    assert [row["step"] for row in rows if "validation_score" in row] == [2, 4]
    assert (found[0]["validations"], found[1]["validations"]) == (2, 0)
    assert sorted(path.name for path in run.iterdir() if not path.name.startswith("rank")) == [
        "config.json",
        "known_sites.npz",
        "metrics.jsonl",
        "model.safetensors",
        "state.h5",
        "templates.npz",
    ]
    load_symmcd(run)


def test_weights_make_the_mean_of_parts_that_of_the_whole() -> None:
    values = torch.rand(11, generator=torch.Generator().manual_seed(0))
    for size in (1, 2, 4):
        parts = [World(rank, size).share(values) for rank in range(size)]
        mean = sum(part.mean() * World(0, size).weight(len(part), 11) for part in parts) / size
        assert float(mean) == pytest.approx(float(values.mean()), abs=1e-6)
    assert World(1, 2).weight(0, 1) == 0.0
