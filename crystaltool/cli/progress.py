"""Progress on stderr: a live bar on a terminal, else a line a minute."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Generator
from typing import Protocol

from crystaltool.cli import messages

SECONDS_BETWEEN_LINES = 60.0


class ProgressDisplay(Protocol):
    """Counts finished items."""

    def advance(self, n: int = 1) -> None:
        """`n` more items are done."""
        ...

    def reach(self, done: int, total: int, per_second: float, detail: str) -> None:
        """`done` of `total` are done, at this pace; `detail` says more."""
        ...


class SilentProgress:
    """Shows nothing."""

    def advance(self, n: int = 1) -> None:
        """Nothing to show."""

    def reach(self, done: int, total: int, per_second: float, detail: str) -> None:
        """Nothing to show."""


class LineProgress:
    """A line a minute: `crystaltool relax: NOTE, 1200 of 5000 structures, 20.1 per second`."""

    def __init__(self, program: str, total: int | None, what: str, clock=time.monotonic) -> None:
        self._program, self._total, self._what, self._clock = program, total, what, clock
        self._started = self._last = clock()
        self._n_done = 0

    def advance(self, n: int = 1) -> None:
        """Count, and print when a minute has passed."""
        self._n_done += n
        if self._is_due():
            of_total = f" of {self._total}" if self._total is not None else ""
            rate = self._n_done / (self._last - self._started)
            messages.say(self._program, "NOTE", f"{self._n_done}{of_total} {self._what}, {rate:.3g} per second")

    def reach(self, done: int, total: int, per_second: float, detail: str) -> None:
        """Print when a minute has passed."""
        if self._is_due():
            left = f", {clock_text((total - done) / per_second)} left" if per_second > 0 else ""
            text = f"{done} of {total} {self._what}, {detail}, {per_second:.3g} per second{left}"
            messages.say(self._program, "NOTE", text)

    def _is_due(self) -> bool:
        now = self._clock()
        due = now - self._last >= SECONDS_BETWEEN_LINES
        self._last = now if due else self._last
        return due


class BarProgress:
    """A rich bar with rate and time left."""

    def __init__(self, bar, task, what: str) -> None:
        self._bar, self._task, self._what = bar, task, what

    def advance(self, n: int = 1) -> None:
        """Move the bar."""
        self._bar.advance(self._task, n)

    def reach(self, done: int, total: int, per_second: float, detail: str) -> None:
        """Move the bar to its place."""
        self._bar.update(self._task, completed=done, total=total, description=f"{self._what}, {detail}")


@contextlib.contextmanager
def open_progress(program: str, total: int | None, what: str, quiet: bool) -> Generator[ProgressDisplay, None, None]:
    """The display that fits: none with `quiet`, a bar on a terminal, else lines."""
    if quiet:
        yield SilentProgress()
    elif not (sys.stderr is not None and sys.stderr.isatty()):
        yield LineProgress(program, total, what)
    else:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
        from rich.progress import TimeRemainingColumn as TimeLeft
        from rich.text import Text

        class RateColumn(ProgressColumn):
            """Items a second."""

            def render(self, task: Task) -> Text:
                return Text(f"{task.speed:.3g}/s" if task.speed else "")

        texts = TextColumn(program), TextColumn("{task.description}")
        columns = [texts[0], BarColumn(), MofNCompleteColumn(), texts[1], RateColumn(), TimeLeft()]
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            yield BarProgress(bar, bar.add_task(what, total=total), what)


def clock_text(seconds: float) -> str:
    """`2:05:09`: hours, minutes, seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
