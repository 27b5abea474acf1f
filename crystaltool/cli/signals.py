"""How a command ends on SIGTERM and Ctrl-C: at once, but never in the middle of loading a library.

numpy and others turn whatever is raised while they load into an ImportError, which would end the command as trouble (or
cost a structure, where the rest goes on). So a signal that comes then is put off until the library is loaded.
"""

from __future__ import annotations

import signal
from types import FrameType
from typing import NoReturn

EXIT_TERMINATED = 143

LOOK_AGAIN = 0.02
"""Seconds after which a signal that was put off is looked at again."""

_LOADING = ("<frozen importlib._bootstrap>", "<frozen importlib._bootstrap_external>")

_put_off: list[int] = []


def install() -> None:
    """Take over SIGTERM and SIGINT, the latter only where it is not ignored (`nohup`, a background job)."""
    signal.signal(signal.SIGALRM, _on_alarm)
    signal.signal(signal.SIGTERM, _on_signal)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _on_signal)


def _on_signal(signum: int, frame: FrameType | None) -> None:
    if is_loading(frame):
        _put_off.append(signum)
        signal.setitimer(signal.ITIMER_REAL, LOOK_AGAIN)
    else:
        _end(signum)


def _on_alarm(signum: int, frame: FrameType | None) -> None:
    if _put_off:
        _on_signal(_put_off.pop(), frame)


def _end(signum: int) -> NoReturn:
    if signum == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(EXIT_TERMINATED)


def is_loading(frame: FrameType | None) -> bool:
    """Whether a module is being imported in this frame or one that called it."""
    while frame is not None:
        if frame.f_code.co_filename in _LOADING:
            return True
        frame = frame.f_back
    return False
