"""Signals that ask a run to stop: it ends after the step in hand."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Generator
from typing import Any


class BrokenOff(BaseException):
    """A signal came while something may be broken off."""


class SignalFlag:
    """While open, SIGTERM and the first SIGINT raise a flag instead of ending the process."""

    def __init__(self) -> None:
        self.raised = 0
        self._breaks_off = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> SignalFlag:
        for number in (signal.SIGTERM, signal.SIGINT):
            before = signal.getsignal(number)
            if before in (None, signal.SIG_IGN):  # as nohup and background jobs of scripts have it
                continue
            with contextlib.suppress(ValueError):  # not the main thread, where no handler can be set
                signal.signal(number, self._raise)
                self._before[number] = before
        return self

    def _raise(self, number: int, frame: object) -> None:
        if self.raised == number == signal.SIGINT:
            raise KeyboardInterrupt
        self.raised = number
        if self._breaks_off:
            raise BrokenOff

    @contextlib.contextmanager
    def breaks_off(self) -> Generator[None, None, None]:
        """While open, a signal raises `BrokenOff` too."""
        self._breaks_off = True
        try:
            if self.raised:
                raise BrokenOff
            yield
        finally:
            self._breaks_off = False

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
