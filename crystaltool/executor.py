"""One pure function over a stream of items: in this process or in a pool, the same results in the same order.

`map_ordered` reads ahead by a bounded number of items, so memory stays flat over an endless stream, and hands a
result on as soon as it is the next in order, even while the input is still waiting for more. One item's failure
never stops the rest: expected errors, unexpected ones and the death of a worker all come back as values in the
place of the result. The workers are processes of our own (`process_pool`), or those of any
`concurrent.futures.Executor` (`engine.Engine`).
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import queue
import signal
import sys
import threading
import traceback
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import get_context, parent_process
from typing import Any, TypeVar

from crystaltool.engine import Answer, Collector, Engine, EngineError, WorkerDied, n_workers
from crystaltool.errors import CrystaltoolError, UsageError
from crystaltool.threads import limit_threads

__all__ = ["TaskError", "in_chunks", "map_ordered", "map_pairs"]

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Items read ahead of the result in hand, per worker: enough that a slow item does not idle the others.
LOOK_AHEAD_PER_JOB = 16


class TaskError(CrystaltoolError):
    """An item failed in a way nobody foresaw: a bug, or a worker process that died.

    Args:
        message: one line for the user.
        details: the traceback as text, empty for a dead worker; shown under `-v`.
    """

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.details)


def map_ordered(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    jobs: int = 1,
    initializer: Callable[[], None] | None = None,
    look_ahead: int | None = None,
    executor: Executor | None = None,
) -> Generator[Result | CrystaltoolError, None, None]:
    """Apply a pure function to each item, in order.

    Args:
        function: picklable when `jobs` > 1; called once per item (twice if its worker died under it).
        items: any iterable, endless ones too; with `jobs` > 1 it is read in a thread of its own.
        jobs: 1 = in this process; more = that many worker processes, each limited to one thread.
        initializer: called in each working process before its first item; until it succeeds, its failure is
            every item's.
        look_ahead: most items that are read but not yet handed on; default 16 a worker.
        executor: whose workers do the work in place of processes of our own; it stays open. `jobs` is then how many
            workers to plan for at least.

    Yields:
        `function(item)`, or the `CrystaltoolError` it raised (`TaskError` for anything unforeseen).

    Raises:
        UsageError: if `jobs` is below 1.
        EngineError: the executor breaks.

    Close the iterator (`contextlib.closing`) when leaving early: that ends the workers at once.
    """
    if jobs < 1:
        raise UsageError(f"number of jobs is {jobs}, expected 1 or more")
    task = _Task(function, initializer)
    if executor is not None:
        jobs = max(jobs, n_workers(executor))
    elif jobs == 1:
        return (task(item) for item in items)
    return _map_in_pool(task, items, jobs, look_ahead or LOOK_AHEAD_PER_JOB * jobs, executor)


def map_pairs(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    jobs: int = 1,
    executor: Executor | None = None,
) -> Generator[tuple[Item, Result | CrystaltoolError], None, None]:
    """As `map_ordered`, each result with the item it belongs to, so that a failure can be reported at its place."""
    waiting: deque[Item] = deque()

    def noted() -> Generator[Item, None, None]:
        for item in items:
            waiting.append(item)
            yield item

    with contextlib.closing(map_ordered(function, noted(), jobs, executor=executor)) as results:
        for result in results:
            yield waiting.popleft(), result


def in_chunks(items: Iterable[Item], size: int) -> Generator[tuple[Item, ...], None, None]:
    """Tuples of `size` items, the last one shorter."""
    source = iter(items)
    while chunk := tuple(islice(source, size)):
        yield chunk


class _Task:
    """The function with its initializer, its failures turned into values."""

    def __init__(self, function: Callable, initializer: Callable[[], None] | None) -> None:
        self._function, self._initializer = function, initializer

    def __call__(self, item: Any) -> Any:
        return _as_value(lambda: self._initialized()(item))

    def _initialized(self) -> Callable:
        if self._initializer is not None:
            self._initializer()
            self._initializer = None
        return self._function


def _as_value(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except (EngineError, WorkerDied):
        raise
    except CrystaltoolError as error:
        return error
    except Exception as error:  # a bug must cost one item, not a night's run
        message = " ".join(str(error).split()) or "no message"
        return TaskError(f"internal error, {type(error).__name__}: {message}", traceback.format_exc())


# ----------------------------------------------------------------------------------------------- in the worker

_task: _Task | None = None


def _prepare_worker(pickled: bytes) -> None:
    """First thing in a fresh process: one thread, deaf to Ctrl-C (the parent decides), gone when the parent is.

    The work arrives pickled so that the libraries it imports are loaded after their thread numbers are set.
    """
    global _task
    limit_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not sys.warnoptions:  # as in the parent, see cli.main
        warnings.simplefilter("ignore")
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    logger = logging.getLogger("crystaltool")
    logger.handlers[:], logger.propagate = [_collector], False
    logger.setLevel(logging.INFO)
    _task = pickle.loads(pickled)


def _leave_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


_collector = Collector()


def _work(item: Any) -> Answer:
    assert _task is not None, "worker used before it was prepared"
    _collector.records = []
    return _task(item), _collector.records


# ----------------------------------------------------------------------------------------------- in the parent


def process_pool(jobs: int, pickled: bytes) -> ProcessPoolExecutor:
    """A pool of fresh (spawned) single-threaded processes that hold the pickled task."""
    return ProcessPoolExecutor(jobs, get_context("spawn"), initializer=_prepare_worker, initargs=(pickled,))


def _stop(pool: Executor) -> None:
    """End a pool at once; work in hand is abandoned."""
    processes = list((getattr(pool, "_processes", None) or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.terminate()


class _Pool:
    """A process pool that is made anew when a worker dies."""

    def __init__(self, jobs: int, pickled: bytes) -> None:
        self._jobs, self._pickled = jobs, pickled
        self._lock = threading.Lock()
        self._pool: ProcessPoolExecutor | None = None
        self._closed = False

    def submit(self, item: Any) -> Future:
        with self._lock:
            if self._closed:
                raise RuntimeError("pool is closed")
            if self._pool is None:
                self._pool = process_pool(self._jobs, self._pickled)
            try:
                return self._pool.submit(_work, item)
            except BrokenProcessPool:
                _stop(self._pool)
                self._pool = process_pool(self._jobs, self._pickled)
                return self._pool.submit(_work, item)

    def answer(self, future: Future) -> Answer:
        try:
            return future.result()
        except BrokenProcessPool:
            raise WorkerDied from None

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._pool is not None:
                _stop(self._pool)


def _map_in_pool(
    task: _Task, items: Iterable, jobs: int, look_ahead: int, executor: Executor | None
) -> Generator[Any, None, None]:
    pickled = pickle.dumps(task)
    pool = _Pool(jobs, pickled) if executor is None else Engine(executor, pickled)
    quarantine = _Pool(1, pickled)
    room = threading.Semaphore(look_ahead)
    submitted: queue.SimpleQueue[tuple[Any, Future] | BaseException | None] = queue.SimpleQueue()
    stopped = threading.Event()

    def feed(_keep_open: Any) -> None:
        ending: BaseException | None = None
        try:
            for item in items:
                room.acquire()
                if stopped.is_set():
                    return
                submitted.put((item, pool.submit(item)))
        except BaseException as error:
            ending = error
        submitted.put(ending)

    # The thread may still wait in a read of standard input when the interpreter ends. Then nobody may close that file,
    # which would abort the process; the thread holds a reference, so nobody does.
    threading.Thread(target=feed, args=(sys.stdin,), daemon=True, name="map_ordered input").start()
    try:
        while (entry := submitted.get()) is not None:
            if isinstance(entry, BaseException):
                raise entry
            item, future = entry
            try:
                result = _as_value(lambda: _with_log_said(pool.answer(future)))  # noqa: B023 -- called at once
            except WorkerDied:  # some worker died; whose item it was shows when each is run alone
                result = _run_alone(quarantine, item)
            yield result
            room.release()
    finally:
        stopped.set()
        room.release()
        pool.close()
        quarantine.close()


def _with_log_said(answer: Answer) -> Any:
    """The result in a worker's answer; what the worker logged is logged here."""
    result, records = answer
    for record in records:
        logging.getLogger(record.name).handle(record)
    return result


def _run_alone(quarantine: _Pool, item: Any) -> Any:
    try:
        return _as_value(lambda: _with_log_said(quarantine.answer(quarantine.submit(item))))
    except WorkerDied:
        return TaskError("worker process died (killed, out of memory or crashed) on this structure, alone in its pool")
