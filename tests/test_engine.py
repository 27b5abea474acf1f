"""Work on workers that somebody else started: the same results, whatever executor, and whatever dies."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import pytest

from crystaltool import engine
from crystaltool.engine import EngineError
from crystaltool.errors import InputError, UsageError
from crystaltool.executor import TaskError, map_ordered, map_pairs
from tests.work import at_the_same_time, fragile, slow_square, speak, square, threads

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def cluster() -> Iterator[distributed.LocalCluster]:
    with distributed.LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=":0") as running:
        yield running


@pytest.fixture(scope="module", params=["dask", "processes", "threads"])
def executor(request: pytest.FixtureRequest, cluster: distributed.LocalCluster) -> Iterator[Executor]:
    if request.param == "dask":
        connected = engine.connect(cluster.scheduler_address)
        yield connected
        engine.close(connected)
    elif request.param == "processes":
        with ProcessPoolExecutor(2, get_context("spawn")) as pool:
            yield pool
    else:
        with ThreadPoolExecutor(2) as pool:
            yield pool


def test_order_is_kept_and_a_stream_may_be_endless(executor: Executor) -> None:
    numbers = map(int, itertools.count())
    with contextlib.closing(map_ordered(square, numbers, look_ahead=8, executor=executor)) as results:
        assert list(itertools.islice(results, 60)) == [n * n for n in range(60)]
    assert list(map_ordered(square, [3], executor=executor)) == [9]  # it is still open


def test_failures_and_items_that_cannot_travel_are_values(executor: Executor) -> None:
    results = list(map_ordered(fragile, [1, 2, 3, lambda: None, 4], executor=executor))
    assert (results[0], results[4]) == (1, 4)
    assert isinstance(results[1], InputError) and str(results[1]) == "structure 2 has no cell"
    assert isinstance(results[2], TaskError) and "ZeroDivisionError" in str(results[2])
    assert isinstance(results[3], TaskError)


def test_what_workers_log_is_logged_here_in_order(executor: Executor) -> None:
    heard: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(record.getMessage())

    logger, listener = logging.getLogger("crystaltool"), Listener()
    before = logger.handlers[:], logger.propagate
    logger.addHandler(listener)
    try:
        list(map_ordered(speak, range(6), executor=executor))
    finally:
        logger.removeHandler(listener)
    assert sorted(heard) == [f"item {number}" for number in range(6)]
    if not isinstance(executor, ThreadPoolExecutor):
        assert heard == sorted(heard)
    assert (logger.handlers, logger.propagate) == before


def test_a_process_works_on_one_item_at_a_time(executor: Executor) -> None:
    assert set(map_ordered(at_the_same_time, range(12), executor=executor)) == {1}


def test_a_worker_has_one_thread(cluster: distributed.LocalCluster) -> None:
    executor = engine.connect(cluster.scheduler_address)
    assert set(map_ordered(threads, range(4), executor=executor)) == {("1", 1)}
    assert engine.n_workers(executor) == 2 and engine.threads_of_workers(executor) == 2
    engine.close(executor)


def test_killed_workers_lose_nothing(cluster: distributed.LocalCluster) -> None:
    """One after another, while items are on them, the one that holds the task for the others among them."""
    executor = engine.connect(cluster.scheduler_address)
    pids = set()
    with contextlib.closing(map_ordered(slow_square, range(60), executor=executor)) as results:
        for number, result in enumerate(results):
            assert result == number * number
            if number in (5, 25):
                pid = next(nanny.pid for nanny in cluster.workers.values() if nanny.pid and nanny.pid not in pids)
                pids.add(pid)
                os.kill(pid, signal.SIGKILL)
    assert number == 59 and len(pids) == 2
    engine.close(executor)


def test_an_item_that_kills_its_worker_costs_itself_only() -> None:
    """It is given up by the scheduler, and dies once more, alone in a process of ours."""
    quiet = {"distributed.scheduler.allowed-failures": 1}
    dask = pytest.importorskip("dask")
    with (
        dask.config.set(quiet),
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
    ):
        executor = engine.connect(cluster.scheduler_address)
        results = list(map_ordered(fragile, [*range(10), 5], executor=executor))
        engine.close(executor)
    assert [result for result in results if isinstance(result, int)] == [0, 1, 4, 6, 7, 8, 9]
    for place in (5, 10):
        assert isinstance(results[place], TaskError) and "worker process died" in str(results[place])


def test_a_broken_or_closed_executor_ends_the_run() -> None:
    with ProcessPoolExecutor(1, get_context("spawn")) as pool, pytest.raises(EngineError, match="no more work"):
        list(map_pairs(fragile, [1, 5, 1, 1], executor=pool))
    with ThreadPoolExecutor(1) as closed:
        pass
    with pytest.raises(EngineError, match="after shutdown"):
        list(map_ordered(square, [1, 2], executor=closed))


class BrokenLine(Executor):
    """Gives the first answer and loses the connection before the second."""

    def __init__(self) -> None:
        self._n_asked = 0

    def submit(self, fn, /, *args, **kwargs) -> Future:
        future = Future()
        self._n_asked += 1
        if self._n_asked == 1:
            future.set_result(fn(*args, **kwargs))
        else:
            future.set_exception(ConnectionError("Stream is closed"))
        return future


def test_a_lost_connection_is_no_error_of_the_structure_whose_answer_it_took() -> None:
    results = map_ordered(square, [1, 2, 3], executor=BrokenLine())
    assert next(results) == 1
    with pytest.raises(EngineError, match="Stream is closed"):
        next(results)


def test_a_scheduler_that_goes_away_ends_the_run() -> None:
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster:
        executor = engine.connect(cluster.scheduler_address)
        results = map_ordered(slow_square, range(100), executor=executor)
        assert next(results) == 0
    ended = threading.Event()

    def rest() -> None:
        with contextlib.suppress(EngineError):
            list(results)
            return
        ended.set()

    thread = threading.Thread(target=rest, daemon=True)
    thread.start()
    thread.join(60)
    assert ended.is_set()


def test_another_version_and_a_wrong_address_are_refused(
    cluster: distributed.LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = engine.connect(cluster.scheduler_address)
    monkeypatch.setattr(engine, "__version__", "0.0.0")
    with pytest.raises(EngineError, match=r"a worker has crystaltool .*, expected 0\.0\.0"):
        list(map_ordered(square, [1], executor=executor))
    engine.close(executor)
    monkeypatch.setattr(engine, "SECONDS_TO_CONNECT", 1)
    for address in ("tcp://127.0.0.1:9", "no such thing"):
        with pytest.raises(UsageError, match="no dask scheduler there"):
            engine.connect(address)
