"""Progress on stderr: one live bar for a whole pipe on a terminal, else a line a minute."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Generator
from typing import TYPE_CHECKING, Protocol

from crystaltool.cli import messages
from crystaltool.cli.terminal import Turn

if TYPE_CHECKING:
    from rich.progress import Progress

SECONDS_BETWEEN_LINES = 60.0

SECONDS_BETWEEN_TURNS = 0.1
"""How often a stage asks whether it is its turn."""


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
            what = self._what.removesuffix("s") if self._n_done == 1 and not of_total else self._what
            rate = self._n_done / (self._last - self._started)
            messages.say(self._program, "NOTE", f"{self._n_done}{of_total} {what}, {rate:.3g} per second")

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
    """A rich bar with rate and time left, drawn from when it is this stage's turn on the terminal.

    A stage that is fed by a pipe has no turn before its first item: so long the stages before it are at work.
    """

    def __init__(self, program: str, total: int | None, what: str, turn: Turn) -> None:
        self._program, self._total, self._what, self._turn = program, total, what, turn
        self._n_done, self._description = 0, what
        self._bar: Progress | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._draw_in_turn, daemon=True, name="progress")
        self._thread.start()

    def advance(self, n: int = 1) -> None:
        """Move the bar."""
        self._n_done += n
        self._update()

    def reach(self, done: int, total: int, per_second: float, detail: str) -> None:
        """Move the bar to its place."""
        self._n_done, self._total, self._description = done, total, f"{self._what}, {detail}"
        self._update()

    def close(self) -> None:
        """Take the bar away."""
        self._ended.set()
        self._thread.join()
        if self._bar is not None:
            self._bar.stop()

    def _update(self) -> None:
        if self._bar is not None:
            (task,) = self._bar.task_ids
            self._bar.update(task, completed=self._n_done, total=self._total, description=self._description)

    def _draw_in_turn(self) -> None:
        while not self._ended.wait(SECONDS_BETWEEN_TURNS):
            at_work = self._n_done or self._total is not None or not self._turn.is_fed
            if at_work and self._turn.take():
                bar = _rich_bar(self._program)
                bar.add_task(self._description, total=self._total, completed=self._n_done)
                bar.start()
                self._bar = bar
                return


def _rich_bar(program: str) -> Progress:
    """A bar that leaves standard output and error alone: what is written there erases the line first."""
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
    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False)


@contextlib.contextmanager
def open_progress(program: str, total: int | None, what: str, quiet: bool) -> Generator[ProgressDisplay, None, None]:
    """The display that fits: none with `quiet`, a bar on a terminal when it is this stage's turn, else lines."""
    if quiet:
        yield SilentProgress()
    elif not (sys.stderr is not None and sys.stderr.isatty()):
        yield LineProgress(program, total, what)
    else:
        with Turn() as turn, contextlib.closing(BarProgress(program, total, what, turn)) as bar:
            yield bar


def clock_text(seconds: float) -> str:
    """`2:05:09`: hours, minutes, seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
