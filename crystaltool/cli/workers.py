"""Who does the work of a command: processes of its own, or the workers of a scheduler (`--scheduler`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concurrent.futures import Executor


class Workers:
    """The workers of a run, connected when first asked for.

    Args:
        scheduler: address of dask's, None for processes of the command's own.
        warn: says a line.
    """

    def __init__(self, scheduler: str | None, warn: Callable[[str], None]) -> None:
        self._scheduler, self._warn = scheduler, warn
        self._executor: Executor | None = None

    @property
    def executor(self) -> Executor | None:
        """What `executor.map_ordered` takes; None for processes of its own.

        Raises:
            MissingExtraError: dask.distributed is not installed.
            UsageError: no scheduler answers.
        """
        if self._scheduler is not None and self._executor is None:
            from crystaltool import engine

            self._executor = engine.connect(self._scheduler)
            n_threads = engine.threads_of_workers(self._executor)
            if n_threads == 0:
                self._warn(f"{self._scheduler} has no workers yet, waiting for them")
            if n_threads > 1:
                self._warn(f"workers have {n_threads} threads, of which one works; start them with --nthreads 1")
        return self._executor

    def count(self, jobs: int) -> int:
        """Processes that work at a time, as far as is known."""
        if self.executor is None:
            return jobs
        from crystaltool.engine import n_workers

        return max(jobs, n_workers(self.executor))

    def close(self) -> None:
        """End the connection; the workers stay."""
        if self._executor is not None:
            from crystaltool import engine

            engine.close(self._executor)
            self._executor = None
