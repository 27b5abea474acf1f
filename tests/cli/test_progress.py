"""What a run says of its progress: step of steps, loss, pace and time left."""

from __future__ import annotations

import pytest

from crystaltool.cli.progress import LineProgress, clock_text


def test_a_line_a_minute_with_steps_loss_pace_and_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    times = iter([0.0, 30.0, 61.0, 70.0, 125.0])
    display = LineProgress("crystaltool train", None, "steps", lambda: next(times))
    for step in (100, 200, 300, 400):
        display.reach(step, 20_000, 4.0, f"loss {100 / step:.4g}")
    assert capsys.readouterr().err.splitlines() == [
        "crystaltool train: NOTE, 200 of 20000 steps, loss 0.5, 4 per second, 1:22:30 left",
        "crystaltool train: NOTE, 400 of 20000 steps, loss 0.25, 4 per second, 1:21:40 left",
    ]


def test_items_are_counted_as_before(capsys: pytest.CaptureFixture[str]) -> None:
    times = iter([0.0, 59.0, 100.0])
    display = LineProgress("crystaltool relax", 50, "structures", lambda: next(times))
    display.advance(2)
    display.advance(3)
    assert capsys.readouterr().err == "crystaltool relax: NOTE, 5 of 50 structures, 0.05 per second\n"


def test_one_item_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    times = iter([0.0, 100.0])
    LineProgress("crystaltool relax", None, "structures", lambda: next(times)).advance()
    assert capsys.readouterr().err == "crystaltool relax: NOTE, 1 structure, 0.01 per second\n"


def test_hours_minutes_seconds() -> None:
    assert [clock_text(seconds) for seconds in (0.0, 59.6, 3599.0, 36_061.0)] == [
        "0:00:00",
        "0:01:00",
        "0:59:59",
        "10:01:01",
    ]
