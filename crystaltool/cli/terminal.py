"""Whose turn it is to draw, where several stages of a pipe share one terminal.

Locks on empty files in the user's runtime folder say who is at work; the kernel frees them whatever ends a process.
Every stage holds the lock of the pipe that it writes to, named after the pipe's inode, which the stage behind reads
from its standard input. Who draws holds the lock of the terminal. So the first stage that is still at work draws, and
the next one when it has ended, whatever programs stand between them.
"""

from __future__ import annotations

import contextlib
import os
import stat

try:
    import fcntl
except ImportError:  # no locks, no turns: every stage draws
    fcntl = None

STDIN, STDOUT, STDERR = 0, 1, 2

ERASE_LINE = b"\r\x1b[2K"


def clear_line() -> None:
    """Erase the line of progress that any stage may have drawn on the terminal, before something else is written."""
    with contextlib.suppress(OSError):
        if os.isatty(STDERR):
            os.write(STDERR, ERASE_LINE)


class Turn:
    """The right to draw on the terminal of standard error; a context manager, entered before anything is written."""

    def __init__(self) -> None:
        self._reads, self._writes = _pipe_name(STDIN), _pipe_name(STDOUT)
        self._held: dict[str, int] = {}

    def __enter__(self) -> Turn:
        if self._writes:
            self._take(self._writes)
        return self

    def __exit__(self, *_error: object) -> None:
        for name, lock in self._held.items():
            with contextlib.suppress(OSError):
                os.unlink(_path(name))
            os.close(lock)
        self._held.clear()

    @property
    def is_fed(self) -> bool:
        """Whether standard input is a pipe."""
        return bool(self._reads)

    def take(self) -> bool:
        """Whether this stage may draw from now on: none before it is at work and nobody else draws."""
        return not (self._reads and _is_held(self._reads)) and self._take(_terminal_name())

    def _take(self, name: str) -> bool:
        if name in self._held or fcntl is None:
            return True
        try:
            lock = os.open(_path(name), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError:
            return True  # a folder that takes no files keeps nobody from drawing
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The one before may have removed the file between the two calls: then this lock is nobody's.
            if os.path.samestat(os.fstat(lock), os.stat(_path(name))):
                self._held[name] = lock
                return True
        os.close(lock)
        return False


def _is_held(name: str) -> bool:
    if fcntl is None:
        return False
    try:
        lock = os.open(_path(name), os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False


def _pipe_name(descriptor: int) -> str:
    """A name of the pipe behind a file descriptor that both of its ends give; empty if it is none."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return ""
    return f"pipe-{status.st_dev}-{status.st_ino}" if stat.S_ISFIFO(status.st_mode) and status.st_ino else ""


def _terminal_name() -> str:
    status = os.fstat(STDERR)
    return f"terminal-{status.st_dev}-{status.st_rdev}"


def _path(name: str) -> str:
    folder = os.environ.get("XDG_RUNTIME_DIR")
    if not folder:
        import tempfile

        folder = tempfile.gettempdir()
    return os.path.join(folder, f"crystaltool-{os.getuid()}-{name}.lock")
