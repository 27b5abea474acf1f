"""`crystaltool train`: runs, stops, goes on, and one line for every mistake."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import pytest

from crystaltool.models.symmcd.checkpoint import load_symmcd
from crystaltool.training.checkpoint import load_state, save_state
from tests.cli.one_process import Child, Ended, one_process
from tests.conftest import TOOL, tool_environment
from tests.models.tiny import TOML, small_table, write_table


def toml(epochs: int) -> str:
    """Eight rows in one batch: a step an epoch."""
    return f"{TOML}\n[loop]\nlog_every = 1\nsave_every = 2\n\n[fit]\nepochs = {epochs}\n"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_table(tmp_path_factory.mktemp("data") / "data.h5", small_table())


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    with one_process() as running:
        yield running


@pytest.fixture
def train(child: Child, data: Path, tmp_path: Path) -> Callable[..., Ended]:
    """Run the command on the data set, into `tmp_path/run`, with a configuration's text."""

    def run(config: str, *arguments: str | Path, source: Path = data) -> Ended:
        (tmp_path / "fit.toml").write_text(config)
        usual = {"--config": tmp_path / "fit.toml", "--device": "cpu", "--threads": "1"}
        options = [word for option in usual if option not in arguments for word in (option, usual[option])]
        return child.run(tmp_path, "train", "symmcd", source, "-o", tmp_path / "run", *options, *arguments)

    return run


def steps(folder: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def assert_one_line(done: Ended, words: str) -> None:
    assert (done.code, done.out) == (2, ""), done.err
    assert done.err.startswith("crystaltool train: ERROR, ") and done.err.count("\n") == 1 and words in done.err, (
        done.err
    )
    assert "internal error" not in done.err and "Traceback" not in done.err


def test_a_run_and_its_notes(train: Callable, tmp_path: Path) -> None:
    ended = train(toml(3), "-v")
    assert (ended.code, ended.out) == (0, "")
    assert ended.err.count("step ") == 3 and "step 3 of 3" in ended.err and "loss" in ended.err
    assert steps(tmp_path / "run") == [1, 2, 3]
    load_symmcd(tmp_path / "run")
    last = ended.err.splitlines()[-1]
    assert re.fullmatch(
        rf"crystaltool train: NOTE, done, 3 steps in 0:0\d:\d\d, the checkpoint is {tmp_path / 'run'}", last
    )


def test_a_finished_run_says_that_nothing_is_left(train: Callable, tmp_path: Path) -> None:
    assert train(toml(2)).err.count("done, 2 steps") == 1
    again = train(toml(2), "--resume").err
    left = f"nothing is left to do: all 2 steps are done, the checkpoint is {tmp_path / 'run'}"
    assert again == f"crystaltool train: NOTE, {left}; more with --resume --epochs N\n"
    assert "done, 3 steps" in train(toml(3), "--resume").err
    assert train(toml(3), "--resume", "-q").err == ""


def test_a_folder_that_holds_a_run_needs_a_word(train: Callable, tmp_path: Path) -> None:
    assert_one_line(train(toml(2), "--resume"), "does not exist")
    assert train(toml(2), "-q").code == 0
    weights = (tmp_path / "run" / "model.safetensors").read_bytes()
    assert_one_line(train(toml(2)), "go on with --resume or start afresh with --overwrite")
    other = toml(2).replace("save_every = 2", "save_every = 3")
    assert_one_line(train(other, "--resume"), "loop.save_every is 3, the run has 2")
    assert_one_line(train(toml(2) + "batch_size = 4\n", "--resume"), "batch_size is 4, the run has")
    assert_one_line(train(toml(1), "--resume"), "epochs is 1, the run has 2, which may only grow")
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == weights
    assert train(toml(2), "-q", "--resume").code == 0 and steps(tmp_path / "run") == [1, 2]
    assert train(toml(5), "-q", "--overwrite").code == 0 and steps(tmp_path / "run") == [1, 2, 3, 4, 5]
    assert_one_line(train(toml(5), "--resume", "--overwrite"), "exclude each other")


def test_sigterm_saves_and_exits_0_and_the_run_goes_on(train: Callable, data: Path, tmp_path: Path) -> None:
    """A run of hours, stopped after its first steps from outside."""
    endless = toml(100_000)
    (tmp_path / "fit.toml").write_text(endless)
    run = tmp_path / "run"
    options = ["--config", str(tmp_path / "fit.toml"), "--device", "cpu", "--threads", "1", "-q"]
    process = subprocess.Popen(
        [*TOOL, "train", "symmcd", str(data), "-o", str(run), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=tool_environment(),
        text=True,
    )
    end = time.monotonic() + 100
    while not (run / "metrics.jsonl").exists() and time.monotonic() < end and process.poll() is None:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "", "")
    record, groups = load_state(run / "state.h5")
    assert record["step"] >= 1 and steps(run) == list(range(1, record["step"] + 1))
    load_symmcd(run)  # can be sampled from, unfinished as it is
    # To its end: the state says that two steps are left.
    left = record | {"step": 99_998, "meter": {}}
    save_state(run / "state.h5", left, groups)
    assert train(endless, "-q", "--resume").code == 0
    assert steps(run)[-2:] == [99_999, 100_000]


def test_resume_keeps_the_settings_of_the_run_and_takes_more_epochs(
    train: Callable, child: Child, data: Path, tmp_path: Path
) -> None:
    assert train(toml(2), "-q").code == 0
    call = ["train", "symmcd", data, "-o", tmp_path / "run", "--device", "cpu", "-q", "--resume"]
    assert child.run(tmp_path, *call, "--epochs", "4").code == 0
    assert steps(tmp_path / "run") == [1, 2, 3, 4]
    config = json.loads((tmp_path / "run" / "config.json").read_text())["config"]
    assert config["epochs"] == 4 and config["loop"]["save_every"] == 2
    assert_one_line(child.run(tmp_path, *call, "--epochs", "3"), "epochs is 3, the run has 4, which may only grow")
    assert child.run(tmp_path, *call).code == 0 and steps(tmp_path / "run") == [1, 2, 3, 4]
    assert_one_line(child.run(tmp_path, *call, "--resume", "--epochs", "0"), "--epochs")


def test_ctrl_c_saves_and_prints_the_line_that_goes_on(train: Callable, data: Path, tmp_path: Path) -> None:
    (tmp_path / "fit.toml").write_text(toml(100_000))
    run = tmp_path / "a run"
    options = ["--config", str(tmp_path / "fit.toml"), "--device", "cpu"]
    process = subprocess.Popen(
        [*TOOL, "train", "symmcd", str(data), "-o", str(run), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=tool_environment(),
        text=True,
    )
    end = time.monotonic() + 200
    while not (run / "metrics.jsonl").exists() and time.monotonic() < end and process.poll() is None:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=200)
    step = load_state(run / "state.h5")[0]["step"]
    line = f"crystaltool train symmcd {data} -o '{run}' --device cpu --resume"
    assert (process.returncode, out) == (130, "")
    assert err == f"crystaltool train: NOTE, stopped after step {step} of 100000, all saved; go on with: {line}\n"


def test_weights_of_another_run_to_start_from(train: Callable, tmp_path: Path) -> None:
    assert train(toml(2), "-q").code == 0
    (tmp_path / "run").rename(tmp_path / "first")
    assert train(toml(2) + 'parts = ["geometry"]\n', "-q", "--init", tmp_path / "first").code == 0
    one, other = (load_symmcd(tmp_path / name).model for name in ("first", "run"))
    assert (one.sites.query_head.weight == other.sites.query_head.weight).all()
    assert (one.geometry.force.weight != other.geometry.force.weight).any()
    wider = toml(2).replace("site_width = 16", "site_width = 32")
    assert_one_line(train(wider, "--init", tmp_path / "first", "--overwrite"), "other sizes")
    assert train("[fit]\nepochs = 1\n", "-q", "--init", tmp_path / "first", "--overwrite").code == 0
    assert load_symmcd(tmp_path / "run").model.config == one.config  # sizes that are not given are the checkpoint's
    part = "[model]\nsite_width = 32\n[fit]\nepochs = 1\n"
    assert_one_line(train(part, "--init", tmp_path / "first", "--overwrite"), "other sizes")


@pytest.mark.parametrize(
    ("config", "arguments", "words"),
    [
        ("[fit]\nepochs = 0", (), "at least 1"),
        ("[fit]\nepoch = 1", (), "has no key 'epoch'"),
        ("[fit", (), "not TOML"),
        ("", ("--device", "tpu"), "expected auto, cpu or cuda:N"),
        ("", ("--threads", "0"), "'--threads'"),
        ("", ("--init", "nothing"), "no checkpoint 'nothing'"),
        ("", ("--config", "/no/such.toml"), "/no/such.toml: No such file"),
    ],
    ids=["epochs", "key", "TOML", "device", "threads", "init", "config"],
)
def test_wrong_options_are_one_line_and_2(
    train: Callable, tmp_path: Path, config: str, arguments: tuple[str, ...], words: str
) -> None:
    assert_one_line(train(config, *arguments), words)
    assert not (tmp_path / "run").exists()


def test_configurations_that_are_no_text_are_refused(train: Callable, tmp_path: Path) -> None:
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    assert_one_line(train("", "--config", tmp_path / "binary.toml"), "binary.toml")


def test_data_sets_of_another_kind_are_refused(train: Callable, data: Path, tmp_path: Path) -> None:
    text, other, cut = tmp_path / "text.h5", tmp_path / "other.h5", tmp_path / "cut.h5"
    text.write_text("data_x\n")
    with h5py.File(other, "w") as file:
        file.attrs["crystaltool_format"], file.attrs["kind"] = 1, "blocks"
    cut.write_bytes(data.read_bytes()[:2000])
    for source, words in (
        (text, "not a readable HDF5"),
        (other, "kind 'blocks', expected 'asym-unit'"),
        (cut, "cut.h5"),
        (tmp_path / "none.h5", "no such file"),
    ):
        assert_one_line(train(toml(1), source=source), words)
    assert not (tmp_path / "run").exists()


def test_an_unknown_model_is_named(child: Child, data: Path, tmp_path: Path) -> None:
    assert_one_line(child.run(tmp_path, "train", "diffcsp", data, "-o", tmp_path / "run"), "symmcd")
