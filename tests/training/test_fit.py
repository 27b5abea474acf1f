"""Runs of SymmCD from a data set: files, killed runs, other processes, what a bare host has."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from crystaltool.asymunit import AsymUnit, tabulate
from crystaltool.errors import CheckpointError, InputError, UsageError
from crystaltool.io.hdf5 import write_asym_units
from crystaltool.models.symmcd.checkpoint import load_symmcd
from crystaltool.models.symmcd.fit import FitConfig, fit_symmcd, main, read_config
from crystaltool.training.checkpoint import load_state, read_safetensors
from tests.conftest import ROOT, tool_environment
from tests.models.tiny import SIZES, TOML, short_run, small_table, write_table

BARE_HOST = (
    "pymatgen",
    "rdkit",
    "gemmi",
    "moyopy",
    "spglib",
    "typer",
    "rich",
    "safetensors",
    "jaxtyping",
    "beartype",
    "scipy",
    "smact",
    "openbabel",
    "chgnet",
)
"""What a host that only trains need not have."""

WITHOUT = f"""
import importlib.abc, runpy, sys
class Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {BARE_HOST!r}:
            raise ModuleNotFoundError("hidden by the test: " + name)
sys.meta_path.insert(0, Hidden())
runpy.run_module("crystaltool.models.symmcd.fit", run_name="__main__")
"""

KILLED = """
import os, signal, sys
from pathlib import Path
from crystaltool.models.symmcd import fit
config = fit.read_config(Path(sys.argv[3]).read_text())
def strike(progress):
    if progress.step == 5:
        os.kill(os.getpid(), signal.SIGKILL)
fit.fit_symmcd(Path(sys.argv[1]), Path(sys.argv[2]), config, device="cpu", threads=1, on_progress=strike)
"""
"""A run that is killed between two saves, without a chance to clean up."""


def child(code: str, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=tool_environment(**environment),
        text=True,
        capture_output=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_table(tmp_path_factory.mktemp("data") / "data.h5", small_table(), 2)


def fit(data: Path, folder: Path, config: FitConfig, **options) -> None:
    fit_symmcd(data, folder, config, device="cpu", threads=1, **options)


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


CONFIG = replace(short_run(3), batch_size=6)
"""Sixteen rows, three steps an epoch: nine steps, saved every four, logged each."""


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An unbroken run."""
    folder = tmp_path_factory.mktemp("whole")
    fit(data, folder, CONFIG)
    return folder


def test_a_run_leaves_weights_config_state_and_metrics(data: Path, whole: Path) -> None:
    assert sorted(path.name for path in whole.iterdir()) == [
        "config.json",
        "known_sites.npz",
        "metrics.jsonl",
        "model.safetensors",
        "state.h5",
        "templates.npz",
    ]
    assert [line["step"] for line in lines(whole)] == list(range(1, 10))
    assert all(
        line.keys() >= {"loss", "lr", "site_nll", "element_nll", "coordinate_loss", "cell_loss"}
        for line in lines(whole)
    )
    stored = json.loads((whole / "config.json").read_text())
    assert stored["model"] == "symmcd" and stored["data"] == "data.h5" and stored["config"]["loop"]["steps"] == 9
    model = load_symmcd(whole).model
    assert model.config == SIZES
    assert model.orbit_counts.sum() == 16
    state = load_state(whole / "state.h5")[1]
    for name, value in state["average"].items():
        assert torch.equal(model.state_dict()[name].float(), value), name
    assert not torch.equal(state["average"]["sites.norm.weight"], state["weights"]["sites.norm.weight"])


def test_a_killed_run_resumed_equals_an_unbroken_one(data: Path, whole: Path, tmp_path: Path) -> None:
    """SIGKILL after step 5, whose line is logged but not saved."""
    toml = tmp_path / "fit.toml"
    toml.write_text(
        TOML
        + "[loop]\nlearning_rate = 3e-3\nwarmup = 10\nlog_every = 1\nsave_every = 4\n"
        + "[fit]\nepochs = 3\nbatch_size = 6\nvalidation_samples = 8\n"
    )
    assert read_config(toml.read_text()) == CONFIG
    folder = tmp_path / "killed"
    done = child(KILLED, data, folder, toml)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert load_state(folder / "state.h5")[0]["step"] == 4 and [line["step"] for line in lines(folder)] == [
        1,
        2,
        3,
        4,
        5,
    ]
    assert not (folder / "model.safetensors").exists()
    fit(data, folder, CONFIG, resume=True)
    assert (folder / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    assert (folder / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_training_needs_torch_numpy_and_h5py_alone(data: Path, tmp_path: Path) -> None:
    """With validation by sampling, from the shell, where no other library can be imported."""
    toml = tmp_path / "fit.toml"
    toml.write_text(
        TOML
        + "[loop]\nvalidate_every = 2\nlog_every = 1\npatience = 5\n"
        + "[fit]\nepochs = 3\nbatch_size = 64\nvalidation_samples = 4\n"
    )
    done = child(WITHOUT, data, "-o", tmp_path / "run", "--config", toml, "--device", "cpu", "--threads", "1")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "" and "3/3" in done.stderr
    validated = [line for line in lines(tmp_path / "run") if "validation_score" in line]
    assert [line["step"] for line in validated] == [2, 3]
    assert json.loads((tmp_path / "run" / "config.json").read_text())["validation"].keys() >= {"score", "valid"}
    load_symmcd(tmp_path / "run")


def test_other_runs_are_not_taken_up(data: Path, whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "state.h5").write_bytes((whole / "state.h5").read_bytes())
    other = write_table(tmp_path / "other.h5", tabulate(list(small_table())[::-1]), 2)
    for config, path, words in (
        (replace(CONFIG, loop=replace(CONFIG.loop, seed=1)), data, "loop.seed is 1, the run has 0"),
        (replace(CONFIG, epochs=1), data, "it is a run of"),
        (replace(CONFIG, model=replace(SIZES, cutoff=4.0)), data, "model.cutoff is 4.0, the run has"),
        (replace(CONFIG, model=replace(SIZES, site_width=32)), data, "model.site_width is 32, the run has 16"),
        (replace(CONFIG, parts=("sites",)), data, r"fit.parts is \["),
        (CONFIG, other, "the data set is not the one"),
    ):
        with pytest.raises(CheckpointError, match=words):
            fit(path, folder, config, resume=True)
    assert not (folder / "model.safetensors").exists()
    renamed = tmp_path / "renamed.h5"
    renamed.write_bytes(data.read_bytes())
    fit(renamed, folder, CONFIG, resume=True)  # the data count, not the file's name


def test_one_part_is_trained_and_the_other_brought_along(data: Path, whole: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, parts=("geometry",), epochs=1)
    fit(data, tmp_path, config, init=whole)
    before, after = read_safetensors(whole / "model.safetensors"), read_safetensors(tmp_path / "model.safetensors")
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"geometry"}
    assert set(lines(tmp_path)[0]) == {"step", "lr", "loss", "gradient_norm", "coordinate_loss", "cell_loss"}
    with pytest.raises(CheckpointError, match="other sizes"):
        fit(data, tmp_path / "x", replace(config, model=replace(SIZES, cutoff=4.0)), init=whole)


def test_bfloat16_trains_on_a_cpu_too(data: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, epochs=1, loop=replace(CONFIG.loop, bfloat16=True))
    fit(data, tmp_path, config)
    assert all(np.isfinite(line["loss"]) for line in lines(tmp_path))
    assert {value.dtype for value in read_safetensors(tmp_path / "model.safetensors").values()} == {torch.float32}


def test_data_that_the_model_cannot_hold_are_refused(tmp_path: Path) -> None:
    cell, free = np.eye(3) * 5.0, np.zeros((1, 3))
    curium = AsymUnit(221, cell, np.array([96]), np.array([0]), free)
    many = AsymUnit(1, cell, np.ones(65, dtype=int), np.zeros(65, dtype=int), np.random.default_rng(0).random((65, 3)))
    for units, words in (([curium], "element 96"), ([many], "65 orbits"), ([], "no structure")):
        path = tmp_path / "data.h5"
        write_asym_units(path, tabulate(units))
        with pytest.raises(InputError, match=words):
            fit(path, tmp_path / "run", CONFIG)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.attrs["crystaltool_format"], file.attrs["kind"] = 1, "blocks"
    for path, words in (
        (tmp_path / "other.h5", "kind"),
        (tmp_path / "none.h5", "no such file"),
        (Path(__file__), "not a readable HDF5"),
    ):
        with pytest.raises(InputError, match=words):
            fit(path, tmp_path / "run", CONFIG)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[fit", "not TOML"),
        ("[optimiser]\nx = 1", "no table"),
        ("model = 3", "expected a table"),
        ("[model]\nlayers = 3", "has no key 'layers'"),
        ("[model]\nsite_width = 100", "not a multiple"),
        ("[model]\nsite_width = true", "expected int"),
        ("[model]\nsite_dropout = 'much'", "expected float"),
        ("[loop]\nlog_every = 0", "log_every is 0"),
        ("[loop]\nseed = -1", "seed is -1"),
        ("[fit]\nepochs = 0", "at least 1"),
        ("[fit]\nparts = []", "expected some of"),
        ("[fit]\nparts = ['sites', 'colours']", "expected some of"),
        ("[fit]\nmodel = 3", "has no key 'model'"),
    ],
)
def test_configurations_with_mistakes_are_refused(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read_config(text)


def test_configurations_of_the_shipped_weights_are_read() -> None:
    found = {path.stem: read_config(path.read_text()) for path in (ROOT / "configs").glob("symmcd-*.toml")}
    assert found and all(config.epochs > 1 for config in found.values())
    assert read_config("").model == read_config("[loop]\nwarmup = 3").model


def test_mistakes_are_one_line_and_2_from_the_bare_command_too(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "none.h5"), "-o", str(tmp_path / "run")]) == 2
    assert main([str(tmp_path / "none.h5"), "-o", str(tmp_path / "run"), "--config", str(tmp_path / "none.toml")]) == 2
    captured = capfd.readouterr()
    assert (
        captured.out == "" and captured.err.count("\n") == 2 and captured.err.count("crystaltool train: ERROR, ") == 2
    )


def test_a_process_of_many_reads_its_place_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    from crystaltool.training.distributed import choose_device, join_world

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert choose_device("auto") == choose_device("cuda") == torch.device("cuda", 3)
    assert choose_device("cuda:0") == torch.device("cuda", 0) and choose_device("cpu") == torch.device("cpu")
    for wrong in ("cuda:4", "cuda:x", "cpu:1", "gpu", ""):
        with pytest.raises(UsageError):
            choose_device(wrong)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert join_world(torch.device("cpu")).size == 1
