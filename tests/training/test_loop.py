"""The loop on a network of one layer: broken runs equal unbroken ones, stopping, patience, the files."""

from __future__ import annotations

import json
import math
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from crystaltool.errors import CheckpointError, UsageError
from crystaltool.training.checkpoint import load_state, save_state
from crystaltool.training.distributed import World
from crystaltool.training.ema import Ema
from crystaltool.training.loop import Callbacks, LoopConfig, Progress, Stop, learning_rate, train
from crystaltool.training.state import RunFolder

CONFIG = LoopConfig(steps=20, learning_rate=0.05, warmup=4, log_every=3, save_every=5)


class Broken(Exception):
    """Stands for a crash between two steps."""


def a_module(width: int = 4) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, width), nn.Dropout(0.3), nn.SiLU(), nn.Linear(width, 1))


def loss_of(module: nn.Module, break_at: int | None = None, seen: list[int] | None = None):
    """A regression whose data, noise and dropout all depend on the step."""

    def loss(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        if step == break_at:
            raise Broken
        if seen is not None:
            seen.append(step)
        x = torch.randn(8, 3, generator=generator)
        value = (module(x)[:, 0] - x.sum(1)).square().mean()
        return value, {"extra": value.detach() * 2}

    return loss


def start(
    module: nn.Module, loss, config: LoopConfig, directory: Path, resume=False, belongs_to=None, **callbacks
) -> dict[str, Tensor]:
    """Train in one process."""
    return train(module, loss, config, RunFolder(directory, resume, belongs_to), World(), Callbacks(**callbacks))


def run(directory: Path, config: LoopConfig = CONFIG, break_at: int | None = None, **options) -> dict[str, Tensor]:
    directory.mkdir(exist_ok=True)
    module = a_module()
    try:
        return start(module, loss_of(module, break_at), config, directory, **options)
    except Broken:
        return {}


def log_lines(directory: Path) -> list[dict]:
    return [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]


def assert_equal_runs(first: Path, second: Path) -> None:
    """Same metrics to the last digit, same weights, averages and moments to the last bit."""
    assert (first / "metrics.jsonl").read_bytes() == (second / "metrics.jsonl").read_bytes()
    (record, groups), (other_record, other_groups) = load_state(first / "state.h5"), load_state(second / "state.h5")
    record.pop("seconds"), other_record.pop("seconds")
    assert record == other_record
    assert groups.keys() == other_groups.keys() == {"weights", "average", "exp_avg", "exp_avg_sq", "step"}
    for part, tensors in groups.items():
        for name, value in tensors.items():
            assert torch.equal(value, other_groups[part][name]), (part, name)


@pytest.mark.parametrize("break_at", [1, 5, 7, 13, 19])
def test_a_broken_run_resumed_equals_an_unbroken_one(tmp_path: Path, break_at: int) -> None:
    """Saved every 5 steps, logged every 3: the means of a log line may span the break."""
    whole = run(tmp_path / "whole")
    run(tmp_path / "broken", break_at=break_at)
    resumed = run(tmp_path / "broken", resume=(tmp_path / "broken" / "state.h5").exists())
    assert_equal_runs(tmp_path / "whole", tmp_path / "broken")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert [line["step"] for line in log_lines(tmp_path / "broken")] == [3, 6, 9, 12, 15, 18, 20]


def test_a_run_broken_twice_repeats_no_step(tmp_path: Path) -> None:
    run(tmp_path / "whole")
    run(tmp_path / "broken", break_at=8)
    run(tmp_path / "broken", break_at=17, resume=True)
    with open(tmp_path / "broken" / "metrics.jsonl", "a") as handle:
        handle.write('{"step": 16, "lo')  # killed while it wrote
    run(tmp_path / "broken", resume=True)
    assert_equal_runs(tmp_path / "whole", tmp_path / "broken")


def test_resuming_takes_only_the_steps_that_are_left(tmp_path: Path) -> None:
    run(tmp_path / "a", break_at=12)
    module, seen = a_module(), []
    start(module, loss_of(module, seen=seen), CONFIG, tmp_path / "a", resume=True)
    assert seen == list(range(10, 20))


def test_resuming_a_finished_run_changes_nothing(tmp_path: Path) -> None:
    first = run(tmp_path / "a")
    log = (tmp_path / "a" / "metrics.jsonl").read_bytes()
    again = run(tmp_path / "a", break_at=20, resume=True)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert (tmp_path / "a" / "metrics.jsonl").read_bytes() == log


def test_a_new_run_forgets_the_metrics_of_the_old(tmp_path: Path) -> None:
    run(tmp_path / "a", break_at=12)
    run(tmp_path / "a")
    assert [line["step"] for line in log_lines(tmp_path / "a")] == [3, 6, 9, 12, 15, 18, 20]


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("stop_at", [1, 9, 15])
def test_a_signal_saves_and_ends_and_leaves_no_trace_in_the_resumed_run(tmp_path: Path, stop_at: int, sent) -> None:
    run(tmp_path / "whole")
    folder = tmp_path / "stopped"
    folder.mkdir()
    module, before = a_module(), signal.getsignal(sent)
    plain, seen, stops = loss_of(module), [], []

    def loss(step: int, generator: torch.Generator):
        seen.append(step)
        if step == stop_at:
            os.kill(os.getpid(), sent)
        return plain(step, generator)

    start(module, loss, CONFIG, folder, on_stop=stops.append)
    assert stops == [Stop(sent, stop_at + 1, 20)]
    assert seen[-1] == stop_at and load_state(folder / "state.h5")[0]["step"] == stop_at + 1
    assert signal.getsignal(sent) is before
    run(folder, resume=True)
    assert_equal_runs(tmp_path / "whole", folder)


@pytest.mark.parametrize("stop_at", [3, 18, 20])
def test_a_signal_between_two_steps_is_saved_too(tmp_path: Path, stop_at: int) -> None:
    """Such as one that comes while a log line is written: the step after it is the last."""
    run(tmp_path / "whole")
    folder, stops = tmp_path / "stopped", []

    def show(progress: Progress) -> None:
        if progress.step == stop_at:
            os.kill(os.getpid(), signal.SIGINT)

    run(folder, on_progress=show, on_stop=stops.append)
    assert stops == [Stop(signal.SIGINT, min(stop_at + 1, 20), 20)]
    assert load_state(folder / "state.h5")[0]["step"] == stops[0].step
    run(folder, resume=True)
    assert_equal_runs(tmp_path / "whole", folder)


def test_a_second_ctrl_c_does_not_wait(tmp_path: Path) -> None:
    module = a_module()
    plain = loss_of(module)

    def loss(step: int, generator: torch.Generator):
        if step == 7:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
        return plain(step, generator)

    with pytest.raises(KeyboardInterrupt):
        start(module, loss, CONFIG, tmp_path)
    assert load_state(tmp_path / "state.h5")[0]["step"] == 5


def test_a_finished_run_goes_on_with_more_steps(tmp_path: Path) -> None:
    """From where it ended, with the learning rate of the longer run."""
    run(tmp_path / "a")
    longer = replace(CONFIG, steps=30)
    module, seen = a_module(), []
    start(module, loss_of(module, seen=seen), longer, tmp_path / "a", resume=True)
    assert seen == list(range(20, 30))
    lines = log_lines(tmp_path / "a")
    assert [line["step"] for line in lines] == [3, 6, 9, 12, 15, 18, 20, 21, 24, 27, 30]
    assert lines[-3]["lr"] == learning_rate(longer, 23) > learning_rate(CONFIG, 19)
    assert load_state(tmp_path / "a" / "state.h5")[0]["config"]["steps"] == 30


def test_a_state_of_another_run_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    run(folder, break_at=12, belongs_to={"data": "one", "sizes": (1, 2)})
    run(folder, break_at=12, resume=True, belongs_to={"data": "one", "sizes": (1, 2)})
    with pytest.raises(CheckpointError, match=r"loop.learning_rate is 0.04, the run has 0.05;"):
        run(folder, replace(CONFIG, learning_rate=0.04), resume=True, belongs_to={"data": "one", "sizes": (1, 2)})
    with pytest.raises(CheckpointError, match="the data set is not the one that the run has seen"):
        run(folder, resume=True, belongs_to={"data": "two", "sizes": (1, 2)})
    with pytest.raises(CheckpointError, match=r"sizes is \[1, 3\], the run has \[1, 2\]"):
        run(folder, resume=True, belongs_to={"data": "one", "sizes": (1, 3)})
    with pytest.raises(CheckpointError, match="it is a run of 20 steps, 19 are asked for"):
        run(folder, replace(CONFIG, steps=19), resume=True, belongs_to={"data": "one", "sizes": (1, 2)})
    other = a_module(1)  # (4, 3) cannot hold (1, 3), yet (1, 3) would broadcast to (4, 3)
    with pytest.raises(CheckpointError, match="tensors are not those"):
        start(other, loss_of(other), CONFIG, folder, resume=True, belongs_to={"data": "one", "sizes": (1, 2)})


def test_a_state_from_before_it_recorded_its_data_is_taken(tmp_path: Path) -> None:
    run(tmp_path / "whole", belongs_to={"data": "one"})
    run(tmp_path / "a", break_at=13, belongs_to={"data": "one"})
    record, groups = load_state(tmp_path / "a" / "state.h5")
    old = {name: record[name] for name in ("step", "seconds", "best", "since_best", "config")}
    save_state(tmp_path / "a" / "state.h5", old, groups)
    run(tmp_path / "a", resume=True, belongs_to={"data": "one"})
    _, whole = load_state(tmp_path / "whole" / "state.h5")
    _, resumed = load_state(tmp_path / "a" / "state.h5")
    assert all(torch.equal(value, resumed["weights"][name]) for name, value in whole["weights"].items())


def test_damaged_states_are_refused(tmp_path: Path) -> None:
    run(tmp_path / "a")
    state = tmp_path / "a" / "state.h5"
    whole = state.read_bytes()
    for content in (b"", b"nothing of the kind", whole[: len(whole) // 2], whole[:700]):
        state.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"state\.h5"):
            run(tmp_path / "a", resume=True)
    save_state(state, {"step": 3}, {"weights": {}})
    with pytest.raises(CheckpointError, match="does not say with which settings"):
        run(tmp_path / "a", resume=True)


# ---- validation


def validated(directory: Path, scores: list[float], config: LoopConfig, **options) -> tuple[list[int], list[int]]:
    """Steps at which a run validated and found a better score, given what validation says each time."""
    directory.mkdir(exist_ok=True)
    module, asked, better = a_module(), [], []
    left = iter(scores)

    def validate(values: dict[str, Tensor]) -> dict[str, float]:
        asked.append(len(asked))
        assert values.keys() == dict(module.named_parameters()).keys()
        return {"score": next(left), "other": 0.5}

    start(
        module,
        options.pop("loss", loss_of(module)),
        config,
        directory,
        validate=validate,
        on_best=lambda values, record: better.append(record["step"]),
        **options,
    )
    lines = [line for line in log_lines(directory) if "validation_score" in line]
    return [line["step"] for line in lines], better


def test_validation_comes_at_its_interval_and_after_the_last_step(tmp_path: Path) -> None:
    config = replace(CONFIG, validate_every=8)
    steps, better = validated(tmp_path / "a", [0.3, 0.1, 0.4], config)
    assert steps == [8, 16, 20] and better == [8, 20]
    assert validated(tmp_path / "b", [0.0], replace(CONFIG, validate_every=100)) == ([20], [20])


def test_patience_ends_the_run_and_its_count_survives_a_break(tmp_path: Path) -> None:
    config = replace(CONFIG, validate_every=2, patience=3, save_every=2)
    assert validated(tmp_path / "a", [0.2, 0.3, 0.1, 0.3, 0.2, 0.9], config) == ([2, 4, 6, 8, 10], [2, 4])
    assert load_state(tmp_path / "a" / "state.h5")[0]["step"] == 10
    folder = tmp_path / "b"
    with pytest.raises(Broken):
        module = a_module()
        validated(folder, [0.2, 0.3, 0.1], config, loss=loss_of(module, 7))
    assert validated(folder, [0.3, 0.2, 0.9], config, resume=True) == ([2, 4, 6, 8, 10], [])


def test_validation_that_sigterm_put_off_is_made_up_for(tmp_path: Path) -> None:
    config = replace(CONFIG, validate_every=8)
    whole = validated(tmp_path / "whole", [0.3, 0.1, 0.4], config)
    folder, module = tmp_path / "a", a_module()
    folder.mkdir()
    plain = loss_of(module)

    def loss(step: int, generator: torch.Generator):
        if step == 7:
            os.kill(os.getpid(), signal.SIGTERM)
        return plain(step, generator)

    start(module, loss, config, folder, validate=lambda values: pytest.fail("no time for this"))
    assert load_state(folder / "state.h5")[0]["owed"]
    steps, better = validated(folder, [0.3, 0.1, 0.4], config, resume=True)
    assert (steps, better) == whole
    assert (folder / "metrics.jsonl").read_bytes() == (tmp_path / "whole" / "metrics.jsonl").read_bytes()


@pytest.mark.parametrize("when", [0, 1, 2])
def test_validation_that_a_signal_breaks_off_is_made_up_for(tmp_path: Path, when: int) -> None:
    """Also in the validation that an earlier signal left over, and in the one after the last step."""
    config = replace(CONFIG, validate_every=8)
    whole = validated(tmp_path / "whole", [0.3, 0.1, 0.4], config)
    folder, module = tmp_path / "a", a_module()
    folder.mkdir()
    scores = iter([0.3, 0.1, 0.4][:when])

    def interrupted(values: dict[str, Tensor]) -> dict[str, float]:
        score = next(scores, None)
        if score is None:
            os.kill(os.getpid(), signal.SIGINT)
            pytest.fail("not broken off")
        return {"score": score, "other": 0.5}

    for resume in (False, True):
        stops = []
        start(
            a_module() if resume else module,
            loss_of(module),
            config,
            folder,
            resume=resume,
            validate=interrupted,
            on_best=lambda values, record: None,
            on_stop=stops.append,
        )
        assert [stop.step for stop in stops] == [(8, 16, 20)[when]]
    validated(folder, [0.3, 0.1, 0.4][when:], config, resume=True)
    assert [line["step"] for line in log_lines(folder) if "validation_score" in line] == whole[0]


# ---- pieces


def test_a_step_whose_gradient_overflows_is_left_out(tmp_path: Path) -> None:
    module = a_module()
    plain, weights = loss_of(module), []

    def loss(step: int, generator: torch.Generator):
        weights.append([p.detach().clone() for p in module.parameters()])
        value, extra = plain(step, generator)
        return (value * math.inf if step == 4 else value), extra

    start(module, loss, replace(CONFIG, steps=7, log_every=1), tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(weights[4], weights[5], strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(weights[5], weights[6], strict=True))
    lines = log_lines(tmp_path)
    assert lines[4]["loss"] is None and all(line["loss"] is not None for line in lines[:4] + lines[5:])
    assert "NaN" not in (tmp_path / "metrics.jsonl").read_text()


def test_learning_rate_rises_then_falls_to_a_hundredth() -> None:
    config = LoopConfig(steps=1000, learning_rate=2.0, warmup=100)
    rates = np.array([learning_rate(config, step) for step in range(1001)])
    assert rates[0] == pytest.approx(0.02) and rates[99] == pytest.approx(2.0) and rates[100] == pytest.approx(2.0)
    assert (np.diff(rates[:100]) > 0).all() and (np.diff(rates[100:]) < 0).all()
    assert rates[550] == pytest.approx(2.0 * (0.01 + 0.99 / 2)) and rates[1000] == pytest.approx(0.02)
    assert learning_rate(replace(config, warmup=0), 0) == 2.0
    assert learning_rate(LoopConfig(steps=5, warmup=50, learning_rate=1.0), 4) == pytest.approx(0.1)


def test_average_warms_up_and_then_forgets_at_its_decay() -> None:
    module = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(module.weight)
    ema = Ema(module, 0.9)
    nn.init.ones_(module.weight)
    left = 1.0
    for step in range(1, 200):
        ema.update(module, step)
        left *= min(0.9, (1 + step) / (10 + step))
        assert float(ema.values["weight"]) == pytest.approx(1 - left, abs=1e-5)
    first = Ema(module, 0.999)
    first.values["weight"].zero_()
    first.update(module, 1)
    assert float(first.values["weight"]) == pytest.approx(9 / 11)  # the first step keeps 2/11 of the initial weights


@pytest.mark.parametrize(
    "changes",
    [{"steps": 0}, {"log_every": 0}, {"save_every": 0}, {"seed": -1}, {"ema_decay": 1.0}, {"learning_rate": 0.0}],
    ids=str,
)
def test_numbers_out_of_range_are_refused(changes: dict) -> None:
    with pytest.raises(UsageError, match=next(iter(changes))):
        replace(CONFIG, **changes)


def whole_moments(file: h5py.File) -> None:
    for name, values in list(file["exp_avg"].items()):
        kept = values[...]
        del file["exp_avg"][name]
        file["exp_avg"][name] = kept.astype(np.int64)


def no_steps(file: h5py.File) -> None:
    del file["step"]


def linked_weights(file: h5py.File) -> None:
    del file["weights"]
    file["weights"] = h5py.ExternalLink("/etc/passwd", "/")


@pytest.mark.parametrize(
    ("change", "words"),
    [(whole_moments, "whole numbers"), (no_steps, "not complete"), (linked_weights, "soft or external link")],
)
def test_a_damaged_state_is_one_sentence(tmp_path: Path, change: Callable[[h5py.File], None], words: str) -> None:
    folder = tmp_path / "a"
    run(folder, break_at=12)
    with h5py.File(folder / "state.h5", "r+") as file:
        change(file)
    with pytest.raises(CheckpointError, match=words):
        run(folder, resume=True)
