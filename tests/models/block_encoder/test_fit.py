"""Runs of the block encoder: files, killed runs, two processes, what a bare host has, and that it learns."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from crystaltool.errors import CheckpointError, InputError, UsageError
from crystaltool.models.block_encoder.checkpoint import load_block_encoder
from crystaltool.models.block_encoder.fit import (
    BlockFitConfig,
    check_data,
    fit_block_encoder,
    load_config,
    main,
    read_config,
)
from crystaltool.mof.table import MOFTable
from crystaltool.training.checkpoint import load_state, read_safetensors
from tests.conftest import ROOT, tool_environment
from tests.models.block_encoder.blocks import SIZES, TOML, made_block, made_table, short_run, table_of, write_table
from tests.training.test_fit import BARE_HOST

CONFIG = replace(short_run(5), batch_size=32)
"""22 or so identities seen, 16 a step: two steps an epoch, ten in all, saved every four, each logged."""

RUN = TOML + "[loop]\nlearning_rate = 3e-3\nwarmup = 5\nlog_every = 1\nsave_every = 4\n"
RUN += "[fit]\nepochs = 5\nbatch_size = 32\n"

KILLED = """
import os, signal, sys
from pathlib import Path
from crystaltool.models.block_encoder import fit
config = fit.read_config(Path(sys.argv[3]).read_text())
def strike(progress):
    if progress.step == 5:
        os.kill(os.getpid(), signal.SIGKILL)
fit.fit_block_encoder(Path(sys.argv[1]), Path(sys.argv[2]), config, device="cpu", threads=1, on_progress=strike)
"""
"""A run that is killed between two saves, without a chance to clean up."""

WITHOUT = f"""
import importlib.abc, runpy, sys
class Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {(*BARE_HOST, "torch_geometric")!r}:
            raise ModuleNotFoundError("hidden by the test: " + name)
sys.meta_path.insert(0, Hidden())
runpy.run_module("crystaltool.models.block_encoder.fit", run_name="__main__")
"""


def child(code: list[str], *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *code, *map(str, arguments)]
    return subprocess.run(
        command, cwd=ROOT, env=tool_environment(**environment), text=True, capture_output=True, timeout=300
    )


def fit(data: Path, folder: Path, config: BlockFitConfig, **options) -> None:
    fit_block_encoder(data, folder, config, device="cpu", threads=1, **options)


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_table(tmp_path_factory.mktemp("data") / "blocks.h5")


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An unbroken run."""
    folder = tmp_path_factory.mktemp("whole")
    fit(data, folder, CONFIG)
    return folder


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    (tmp_path / "fit.toml").write_text(RUN)
    return tmp_path / "fit.toml"


def test_a_run_leaves_weights_config_state_and_metrics(data: Path, whole: Path) -> None:
    files = ["config.json", "metrics.jsonl", "model.safetensors", "state.h5"]
    assert sorted(path.name for path in whole.iterdir()) == files
    assert [line["step"] for line in lines(whole)] == list(range(1, 11))
    wanted = {"loss", "lr", "contrast", "atoms", "connections", "diameter"}
    assert all(line.keys() >= wanted for line in lines(whole))
    stored = json.loads((whole / "config.json").read_text())
    assert stored["model"] == "blocks" and stored["data"] == "blocks.h5" and stored["config"]["loop"]["steps"] == 10
    assert stored["trained_on"]["blocks"] == 96
    assert stored["trained_on"]["identities"] * 3 >= stored["trained_on"]["conformers"]
    assert stored["validation"]["identity_siblings"] == stored["validation"]["identity_blocks"] > 0
    model = load_block_encoder(whole).model
    assert model.config == SIZES and model.dtype == torch.float64
    assert float(model.embedding_scale.min()) > 0 and float(model.embedding_mean.abs().max()) > 0
    state = load_state(whole / "state.h5")[1]
    for name, value in state["average"].items():
        assert torch.equal(model.state_dict()[name].float(), value), name


def test_a_killed_run_resumed_equals_an_unbroken_one(data: Path, whole: Path, toml: Path, tmp_path: Path) -> None:
    """SIGKILL after step 5, whose line is logged but not saved."""
    assert read_config(RUN) == CONFIG
    folder = tmp_path / "killed"
    done = child(["-c", KILLED], data, folder, toml)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert load_state(folder / "state.h5")[0]["step"] == 4
    assert [line["step"] for line in lines(folder)] == [1, 2, 3, 4, 5]
    fit(data, folder, CONFIG, resume=True)
    assert lines(folder) == lines(whole)
    assert (folder / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_training_needs_torch_numpy_and_h5py_alone(data: Path, whole: Path, toml: Path, tmp_path: Path) -> None:
    options = ["--config", toml, "--device", "cpu", "--threads", "1"]
    done = child(["-c", WITHOUT], data, "-o", tmp_path / "run", *options)
    assert done.returncode == 0, done.stderr
    assert "10/10" in done.stderr and "Traceback" not in done.stderr
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_two_processes_share_a_batch_by_identities(data: Path, toml: Path, tmp_path: Path) -> None:
    """Each has both blocks of its identities: with one of two only, the contrastive loss would be zero."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    module = [*torchrun, "-m", "crystaltool.models.block_encoder.fit"]
    options = ["--config", toml, "--device", "cpu", "--threads", "1"]
    done = child(module, data, "-o", tmp_path / "run", *options, GLOO_SOCKET_IFNAME="lo")
    assert done.returncode == 0, done.stderr
    rows = lines(tmp_path / "run")
    assert [row["step"] for row in rows] == list(range(1, 11))
    assert all(row["contrast"] > 0.01 for row in rows[::2])  # full batches; the rest of an epoch may be one identity
    load_block_encoder(tmp_path / "run")


def test_it_learns_and_finds_siblings_it_never_saw(tmp_path: Path) -> None:
    """Chance of a right neighbour is 7 in 419; after 40 passes most blocks of unknown chemistry find a sibling."""
    data = write_table(tmp_path / "blocks.h5", made_table(60, 7))
    fit(data, tmp_path / "run", replace(short_run(40, learning_rate=5e-3, ema_decay=0.9), batch_size=64))
    rows = lines(tmp_path / "run")
    assert rows[-1]["loss"] < 0.5 * rows[0]["loss"]
    found = json.loads((tmp_path / "run" / "config.json").read_text())["validation"]
    assert found["geometry_same_identity"] > 0.6 and found["identity_same_identity"] > 0.6, found
    assert found["held_out_same_connections"] > 0.9 and found["held_out_connections_right"] > 0.9, found


def test_validation_on_the_way_keeps_the_best(data: Path, tmp_path: Path) -> None:
    fit(data, tmp_path / "run", replace(CONFIG, loop=replace(CONFIG.loop, validate_every=4)))
    scores = {line["step"]: line["validation_score"] for line in lines(tmp_path / "run") if "validation_score" in line}
    assert list(scores) == [4, 8, 10]
    stored = json.loads((tmp_path / "run" / "config.json").read_text())
    assert stored["validation"]["score"] == max(scores.values()) == scores[stored["step"]]


def test_bfloat16_trains_on_a_cpu_too(data: Path, tmp_path: Path) -> None:
    fit(data, tmp_path / "run", short_run(2, bfloat16=True))
    assert all(np.isfinite(line["loss"]) for line in lines(tmp_path / "run"))
    assert read_safetensors(tmp_path / "run" / "model.safetensors")["out.1.0.bias"].dtype == torch.float32


def test_weights_to_start_from(data: Path, whole: Path, tmp_path: Path) -> None:
    fit(data, tmp_path / "more", short_run(1, learning_rate=1e-8), init=whole)
    brought, kept = (load_block_encoder(path).model.state_dict() for path in (whole, tmp_path / "more"))
    torch.testing.assert_close(kept["out.1.0.weight"], brought["out.1.0.weight"], atol=1e-6, rtol=0)
    wider = replace(short_run(1), model=replace(SIZES, width=8))
    with pytest.raises(CheckpointError, match="other sizes"):
        fit(data, tmp_path / "other", wider, init=whole)


def test_other_runs_are_not_taken_up(data: Path, whole: Path, tmp_path: Path) -> None:
    other = write_table(tmp_path / "other.h5", made_table(24, 2))
    with pytest.raises(CheckpointError, match="the data set is not the one"):
        fit(other, whole, replace(CONFIG, epochs=CONFIG.epochs), resume=True)
    with pytest.raises(CheckpointError, match=r"fit.noise is 0.2, the run has 0.1"):
        fit(data, whole, replace(CONFIG, noise=0.2), resume=True)


def with_identity(row: int) -> MOFTable:
    table = table_of([made_block(chemistry, 0) for chemistry in range(3)])
    identity = table.arrays["blocks/identity"].copy()
    identity[1] = row
    return replace(table, arrays={**table.arrays, "blocks/identity": identity})


def test_data_that_the_model_cannot_hold_are_refused() -> None:
    check_data(with_identity(1))
    check_data(with_identity(-1), labelled=False)
    with pytest.raises(InputError, match="block 1 has no identity"):
        check_data(with_identity(-1))
    with pytest.raises(InputError, match="no block"):
        check_data(table_of([]))
    heavy = made_block(0, 0)
    with pytest.raises(InputError, match="numbers 98, the limit is 94"):
        check_data(table_of([replace(heavy, numbers=np.full(heavy.n_atoms, 98))]))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[fit]\nbatch_size = 1", "batch_size"),
        ("[fit]\nepochs = 0", "epochs"),
        ("[fit]\nnoise = -0.1", "noise"),
        ("[fit]\nnoise = true", "noise"),
        ("[fit]\nparts = []", "no key 'parts'"),
        ("[model]\nwidth = 0", r"\[model\] width is 0"),
        ("[model]\nwidth = 1.5", "expected int"),
        ("[models]", "no table"),
        ("model = 3", "expected a table"),
        ("[loop", "not TOML"),
    ],
)
def test_configurations_with_mistakes_are_refused(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read_config(text)


def test_the_configuration_of_the_shipped_weights_is_the_one_they_name() -> None:
    stored = json.loads((ROOT / "checkpoints" / "blocks" / "config.json").read_text())["config"]
    config = load_config(ROOT / "configs" / "blocks.toml")
    assert (config.epochs, config.batch_size, config.noise) == tuple(
        stored[key] for key in ("epochs", "batch_size", "noise")
    )
    assert stored["loop"] | {"steps": 1} == json.loads(json.dumps(vars(config.loop)))
    assert type(config.model)(**stored["model"]) == config.model  # settings that it does not name have their defaults


def test_mistakes_are_one_line_and_2_from_the_bare_command(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none.h5"), "-o", str(tmp_path / "run")]) == 2
    captured = capfd.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and "crystaltool train: ERROR, " in captured.err
