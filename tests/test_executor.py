"""Order, memory, early results, failures and dead workers of `map_ordered`, in this process and in a pool."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from crystaltool.errors import InputError, UsageError
from crystaltool.executor import TaskError, map_ordered
from tests.conftest import tool_environment
from tests.work import fragile, speak, square, thread_settings


def set_flag() -> None:
    os.environ["CRYSTALTOOL_TEST_FLAG"] = os.environ.get("CRYSTALTOOL_TEST_FLAG", "") + "x"


def read_flag(_: int) -> str | None:
    return os.environ.get("CRYSTALTOOL_TEST_FLAG")


@pytest.mark.parametrize("jobs", [1, 2])
def test_order_is_kept_and_stream_may_be_endless(jobs: int) -> None:
    with contextlib.closing(map_ordered(square, map(int, itertools.count()), jobs)) as results:
        assert list(itertools.islice(results, 60)) == [n * n for n in range(60)]


@pytest.mark.parametrize("jobs", [1, 2])
def test_look_ahead_is_bounded(jobs: int) -> None:
    read = []

    def source():
        for n in itertools.count():
            read.append(n)
            yield n

    results = map_ordered(square, source(), jobs, look_ahead=5)
    for taken in range(1, 20):
        next(results)
        assert len(read) <= taken + 5 + 1
    if jobs > 1:
        results.close()


def test_results_come_while_the_input_still_waits() -> None:
    more = threading.Event()

    def slow_source():
        yield 7
        assert more.wait(30), "first result was held back until the input went on"
        yield 8

    results = map_ordered(square, slow_source(), jobs=2)
    assert next(results) == 49
    more.set()
    assert list(results) == [64]


def test_failures_are_values_in_this_process() -> None:
    results = list(map_ordered(fragile, [1, 2, 3, 4]))
    assert results[0] == 1 and results[3] == 4
    assert isinstance(results[1], InputError) and str(results[1]) == "structure 2 has no cell"
    assert isinstance(results[2], TaskError) and str(results[2]) == "internal error, ZeroDivisionError: three lines"
    assert "fragile" in results[2].details


def test_a_dead_worker_costs_its_item_only() -> None:
    results = list(map_ordered(fragile, range(12), jobs=2))
    assert [r for r in results if isinstance(r, int)] == [0, 1, 4, 6, 7, 8, 9, 10, 11]
    assert isinstance(results[2], InputError) and str(results[2]) == "structure 2 has no cell"
    assert isinstance(results[3], TaskError) and "ZeroDivisionError" in str(results[3]) and results[3].details
    assert isinstance(results[5], TaskError) and "worker process died" in str(results[5])


def test_an_item_that_cannot_travel_is_an_error_value() -> None:
    results = list(map_ordered(square, [2, lambda: None, 3], jobs=2))
    assert results[0] == 4 and results[2] == 9
    assert isinstance(results[1], TaskError)


def test_workers_have_one_thread_set_before_numpy_is_loaded() -> None:
    assert next(map_ordered(thread_settings, [0], jobs=2))[0] == "1"


def test_initializer_runs_once_a_process() -> None:
    assert set(map_ordered(read_flag, range(6), jobs=2, initializer=set_flag)) == {"x"}


def test_an_exception_of_the_input_is_raised_in_its_place() -> None:
    def broken_source():
        yield 1
        raise InputError("archive is truncated")

    results = map_ordered(square, broken_source(), jobs=2)
    assert next(results) == 1
    with pytest.raises(InputError, match="truncated"):
        next(results)


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_workers_log_is_logged_here_in_order(jobs: int) -> None:
    """Before the result it belongs to."""
    heard: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(record.getMessage())
            assert getattr(record, "block", None) == record.getMessage()[5:]

    logger, listener = logging.getLogger("crystaltool"), Listener()
    logger.addHandler(listener)
    try:
        for number, result in enumerate(map_ordered(speak, range(4), jobs)):
            assert heard == [f"item {earlier}" for earlier in range(number + 1)]
            assert result == number if number % 2 else isinstance(result, InputError)
    finally:
        logger.removeHandler(listener)


def test_jobs_below_one_are_refused() -> None:
    with pytest.raises(UsageError, match="jobs is 0"):
        map_ordered(square, [1], jobs=0)


def _children(pid: int) -> list[int]:
    listing = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in listing.stdout.split()]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_or_killed_parent_ends_and_no_worker_outlives_it(tmp_path, how: signal.Signals) -> None:
    script = tmp_path / "endless.py"
    script.write_text(
        textwrap.dedent(
            """
            import contextlib, sys, time
            from crystaltool.executor import map_ordered
            if __name__ == "__main__":
                seconds = map(float, sys.stdin.buffer)
                with contextlib.closing(map_ordered(time.sleep, seconds, jobs=2)) as results:
                    for result in results:
                        print("ready", flush=True)
            """
        )
    )
    pipe = subprocess.PIPE
    parent = subprocess.Popen(
        [sys.executable, script], stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=tool_environment()
    )
    assert parent.stdin is not None and parent.stdout is not None and parent.stderr is not None
    parent.stdin.write("0\n0\n600\n600\n")
    parent.stdin.flush()  # the input stays open: the reading thread waits in it when the end comes
    assert parent.stdout.readline() == "ready\n"
    workers = _children(parent.pid)
    assert len(workers) >= 2
    parent.send_signal(how)
    assert parent.wait(timeout=60) in (1, -how)
    assert "Fatal" not in parent.stderr.read()
    deadline = time.monotonic() + 10
    while any(os.path.exists(f"/proc/{pid}") for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in workers if os.path.exists(f"/proc/{pid}")]
