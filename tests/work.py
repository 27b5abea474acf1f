"""What worker processes do in the tests of the pool and of other engines; it imports nothing that a worker may lack."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time

from crystaltool.errors import InputError

at_work: list[int] = []
"""Items in hand in this process."""


def square(number: int) -> int:
    time.sleep(0.002 * (number % 3))
    return number * number


def fragile(number: int) -> int:
    if number == 2:
        raise InputError("structure 2 has no cell")
    if number == 3:
        raise ZeroDivisionError("three\nlines")
    if number == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def thread_settings(_: int) -> tuple[str | None, bool]:
    return os.environ.get("OMP_NUM_THREADS"), "numpy" in sys.modules


def speak(number: int) -> int:
    """Logs its item, the even ones before failing."""
    logging.getLogger("crystaltool.io").warning("item %d", number, extra={"block": str(number)})
    if number % 2 == 0:
        raise InputError("even")
    return number


def slow_square(number: int) -> int:
    time.sleep(0.1)
    return number * number


def at_the_same_time(_: int) -> int:
    """How many items are in hand in this process."""
    at_work.append(0)
    time.sleep(0.02)
    count = len(at_work)
    at_work.pop()
    return count


def threads(number: int) -> tuple[str | None, int]:
    """Of numerical libraries and of torch, once both were loaded."""
    import numpy as np
    import torch

    assert np.linalg.norm(np.eye(200) @ np.eye(200)) > 0
    return thread_settings(number)[0], torch.get_num_threads()
