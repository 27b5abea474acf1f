"""Workers that somebody else started: any `concurrent.futures.Executor`, and the scheduler of dask.distributed.

Such a worker may be on another machine, is prepared by nobody, and may be replaced at any time. So each item brings
what is needed to work on it, or says where that is held, and a worker keeps it for the next item of the same run.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import threading
import uuid
import warnings
from asyncio import CancelledError as TaskCancelled
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeGuard

from crystaltool import __version__
from crystaltool.errors import MissingExtraError, StoppedError, UsageError
from crystaltool.threads import limit_threads

if TYPE_CHECKING:
    from distributed.cfexecutor import ClientExecutor

__all__ = ["Collector", "Engine", "EngineError", "WorkerDied", "connect", "n_workers"]

Answer = tuple[Any, list[logging.LogRecord]]
"""A result, and what was logged on the way."""

SECONDS_TO_CONNECT = 30
"""For a scheduler to answer."""

UNKNOWN_WIDTH = 16
"""Workers that are planned for where an executor does not tell their number."""


class EngineError(StoppedError):
    """The whole engine cannot go on: it is closed or gone, or its workers lack this crystaltool."""


class WorkerDied(Exception):
    """A worker process died, under this item or beside it."""


class Collector(logging.Handler):
    """Keeps what is logged while an item is worked on, for the parent to say."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record."""
        self.records.append(record)


# ----------------------------------------------------------------------------------------------- in the worker

_HERE = uuid.uuid4().hex

MOST_HELD = 4
"""Tasks of different runs that a worker keeps: stages of a pipe may share one."""

_held: OrderedDict[str, Callable[[Any], Any]] = OrderedDict()
_busy = threading.Lock()


@dataclass(frozen=True)
class Origin:
    """The process that asks: its id, which tells forked ones apart too, its folder and its version of crystaltool."""

    token: str
    pid: int
    folder: str
    version: str


def _origin() -> Origin:
    return Origin(_HERE, os.getpid(), os.getcwd(), __version__)


def work(origin: Origin, key: str, pickled: bytes, item: bytes) -> Answer:
    """Do one item, one at a time in a process whatever threads that has, on one thread.

    Args:
        origin: process that asks; relative paths are of its folder, where this machine has that.
        key: names the task. pickled: the task.
        item: what to do it on, pickled, so that no engine looks into it.

    Raises:
        EngineError: another version of crystaltool.
    """
    if origin.version != __version__:
        raise EngineError(f"a worker has crystaltool {__version__}, expected {origin.version} as here")
    with _busy:
        if (origin.token, origin.pid) == (_HERE, os.getpid()):
            # its settings and its logging stay its own
            return _task(key, pickled)(pickle.loads(item)), []
        _limit_threads()
        with _collected() as records, _in_folder(origin.folder):
            return _task(key, pickled)(pickle.loads(item)), records


def _task(key: str, pickled: bytes) -> Callable[[Any], Any]:
    if key not in _held:
        _held[key] = pickle.loads(pickled)
        while len(_held) > MOST_HELD:
            _held.popitem(last=False)
    _held.move_to_end(key)
    return _held[key]


def _limit_threads() -> None:
    """One thread, also for libraries that were loaded before anybody asked."""
    limit_threads(1)
    with contextlib.suppress(ImportError):
        import_module("threadpoolctl").threadpool_limits(1)


def _in_folder(folder: str) -> contextlib.AbstractContextManager:
    return contextlib.chdir(folder) if os.path.isdir(folder) else contextlib.nullcontext()


@contextlib.contextmanager
def _collected():
    """A list that gets what is logged under `crystaltool` in the `with` block."""
    logger, collector = logging.getLogger("crystaltool"), Collector()
    before = logger.handlers[:], logger.propagate, logger.level
    logger.handlers[:], logger.propagate = [collector], False
    logger.setLevel(logging.INFO)
    try:
        yield collector.records
    finally:
        logger.handlers[:], logger.propagate, level = before
        logger.setLevel(level)


# ----------------------------------------------------------------------------------------------- in the parent


class Engine:
    """An executor with one task.

    dask's is asked through its client, whose futures tell of every end; those of its executor never end where a result
    is lost before it is fetched and its item then given up.

    Args:
        executor: stays open.
        pickled: the task. dask sends it once a worker, others with each item.
    """

    def __init__(self, executor: Executor, pickled: bytes) -> None:
        self._key = uuid.uuid4().hex
        self._lock = threading.Lock()
        self._waiting: set[Any] = set()
        self._submit: Callable[..., Any] = executor.submit
        self._carried: Any = pickled
        if _is_dask(executor):
            self._submit = partial(executor._client.submit, **{**executor._kwargs, "pure": False})
            self._carried = _hold(self._submit, pickled)

    def submit(self, item: Any) -> Any:
        """Hand over an item; the executor's future, which need not be of `concurrent.futures`.

        Raises:
            EngineError: the executor takes no more.
        """
        try:
            packed = pickle.dumps(item)
        except Exception as error:  # an item that cannot travel
            future = Future()
            future.set_exception(error)
            return future
        try:
            future = self._submit(work, _origin(), self._key, self._carried, packed)
        except (BrokenExecutor, RuntimeError) as error:
            raise EngineError(_gone(error)) from None
        with self._lock:
            self._waiting.add(future)
        return future

    def answer(self, future: Any) -> Answer:
        """What became of an item.

        Raises:
            WorkerDied: dask gave it up after several workers had died.
            EngineError: nothing more will come.
        """
        try:
            return future.result()
        except (BrokenExecutor, CancelledError, TaskCancelled, OSError) as error:
            raise EngineError(_gone(error)) from None  # OSError: the line broke; what the work raises comes as a value
        except ImportError as error:
            raise EngineError(f"a worker cannot load the work, install crystaltool there too: {error}") from None
        except Exception as error:
            if type(error).__name__ == "KilledWorker":
                raise WorkerDied from None
            raise
        finally:
            with self._lock:
                self._waiting.discard(future)

    def close(self) -> None:
        """Take back what has not begun."""
        with self._lock:
            waiting, self._carried = list(self._waiting), b""
        for future in waiting:
            future.cancel()


def _gone(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return f"the executor takes no more work or its workers are gone ({text})"


def _is_dask(executor: Executor) -> TypeGuard[ClientExecutor]:
    return type(executor).__module__.startswith("distributed.")


def _hold(submit: Callable[..., Any], pickled: bytes) -> Any:
    """The task as a result of the cluster's own, which is made again where the worker that held it dies."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a large task, such as one with a reference
        return submit(bytes, pickled)


def n_workers(executor: Executor) -> int:
    """Workers that an executor has now, 1 at least; `UNKNOWN_WIDTH` where it does not tell."""
    if _is_dask(executor):
        return max(1, len(executor._client.nthreads()))
    told = (getattr(executor, name, None) for name in ("_max_workers", "num_workers"))
    return next((number for number in told if isinstance(number, int) and number > 0), UNKNOWN_WIDTH)


def connect(address: str) -> ClientExecutor:
    """The executor of a running dask scheduler; `close` ends the connection, the workers stay.

    Args:
        address: `tcp://HOST:PORT`, or the file that `dask scheduler --scheduler-file` wrote.

    Raises:
        MissingExtraError: dask.distributed is not installed.
        UsageError: no scheduler answers.
    """
    try:
        from distributed import Client
    except ImportError:
        raise MissingExtraError("--scheduler needs dask.distributed: pip install 'crystaltool[cluster]'") from None
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what matters comes as an exception
    try:
        place = _address_in(address) if os.path.isfile(address) else address
        _answers(place)
        client = Client(place, timeout=SECONDS_TO_CONNECT, set_as_default=False)
    except (OSError, ValueError, TypeError, KeyError) as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise UsageError(f"--scheduler {address}: no dask scheduler there: {text}") from None
    return client.get_executor(pure=False)


def _address_in(file: str) -> str:
    import json

    with open(file, encoding="utf-8") as handle:
        return str(json.load(handle)["address"])


def _answers(address: str) -> None:
    """Somebody listens: a client of dask's that cannot connect leaves threads behind.

    Raises:
        OSError, ValueError: nobody, or no address.
    """
    import socket
    from urllib.parse import urlsplit

    place = urlsplit(address)
    if not (place.scheme and place.hostname and place.port):
        raise ValueError("expected tcp://HOST:PORT or a scheduler file")
    socket.create_connection((place.hostname, place.port), SECONDS_TO_CONNECT).close()


def close(executor: Executor) -> None:
    """End the connection that `connect` opened."""
    if _is_dask(executor):
        with contextlib.suppress(OSError, TimeoutError):
            executor._client.close(timeout=5)


def threads_of_workers(executor: Executor) -> int:
    """Most threads of a dask worker, of which one can work; 0 where there is no worker, 1 where unknown."""
    return max(executor._client.nthreads().values(), default=0) if _is_dask(executor) else 1
