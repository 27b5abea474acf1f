"""Whole files or none: write beside the target, fsync, rename; removed after an exception.

click's own atomic writer renames the partial file into place after an exception, so it isn't used.
A process that is killed leaves at most a hidden temporary beside the target, never a half-written target.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from crystaltool.errors import StoppedError, UsageError

try:
    import fcntl
except ImportError:  # a platform without file locks: two writers of one target are then not noticed
    fcntl = None


@dataclass(frozen=True)
class OutputFile:
    """An output that is being written.

    Args:
        handle: open for binary writing at `path`.
        path: the temporary that becomes the target (for libraries that open paths themselves).
        n_kept: bytes taken over from an earlier, partial run; 0 unless resuming.
    """

    handle: BinaryIO
    path: Path
    n_kept: int = 0


def refuse_input_as_output(output: str | os.PathLike[str], inputs: Iterable[str]) -> None:
    """Raise `UsageError` when the output file is one of the inputs (same device and inode, so links count)."""
    for name in inputs:
        if name != "-" and os.path.exists(name) and os.path.exists(output) and os.path.samefile(name, output):
            raise UsageError(f"output {output} is the input {name}")


def refuse_input_as_stdout(descriptor: int, inputs: Iterable[str]) -> None:
    """Raise `UsageError` when the file behind an open descriptor (`>> in.cif`) is one of the inputs."""
    try:
        target = os.fstat(descriptor)
    except OSError:
        return
    if not stat.S_ISREG(target.st_mode):
        return
    for name in inputs:
        with contextlib.suppress(OSError):
            if name != "-" and os.path.samestat(os.stat(name), target):
                raise UsageError(f"standard output is the input {name}")


def _target(path: str | os.PathLike[str], overwrite: bool) -> Path:
    """The real file behind the name, checked."""
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise UsageError(f"output {path} is a directory")
    if not target.parent.is_dir():
        raise UsageError(f"output {path}: no directory {target.parent}")
    if target.is_file() and not overwrite:
        raise UsageError(f"output {path} exists (--overwrite replaces it)")
    return target


def _is_special(target: Path) -> bool:
    """Whether the target is a device or a named pipe, which must be written in place."""
    return target.exists() and not target.is_file()


def _move_into_place(temporary: Path, target: Path, overwrite: bool) -> None:
    """Rename; without `overwrite` a target that appeared meanwhile wins."""
    if overwrite:
        os.replace(temporary, target)
    else:
        try:
            os.link(temporary, target)
        except FileExistsError:
            raise UsageError(f"output {target} exists (--overwrite replaces it)") from None
        except OSError:  # a file system without hard links
            os.replace(temporary, target)
        else:
            os.unlink(temporary)
    directory = os.open(target.parent, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(directory)
    finally:
        os.close(directory)


def _mode_of_new_files() -> int:
    """Permission bits a plain `open` would give a new file."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


@contextlib.contextmanager
def atomic_output(path: str | os.PathLike[str], overwrite: bool = False) -> Generator[OutputFile, None, None]:
    """Write a file that appears whole under its name, or not at all.

    Args:
        path: the target; a symbolic link is followed; a device or named pipe is written in place.
        overwrite: whether an existing file is replaced.

    Raises:
        UsageError: the target exists, is a directory, or its folder does not exist.
        OSError: the disk is full or not writable; the temporary is gone by then.
    """
    target = _target(path, overwrite)
    if _is_special(target):
        with named(path), open(target, "wb") as handle:
            yield OutputFile(handle, target)
        return
    with named(path):
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    temporary = Path(name)
    try:
        with named(path), os.fdopen(descriptor, "wb") as handle:
            os.fchmod(handle.fileno(), _mode_of_new_files())
            yield OutputFile(handle, temporary)
            handle.flush()
            os.fsync(handle.fileno())
        _sync(temporary)
        _move_into_place(temporary, target, overwrite)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _sync(path: Path) -> None:
    """fsync a file that a library may have written through its own handle."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def named(path: str | os.PathLike[str]) -> Generator[None, None, None]:
    """Give a nameless OSError (a full disk) the user's file name."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename not in (None, ""):
            raise
        raise type(error)(error.errno, error.strerror, os.fspath(path)) from error


def partial_path(path: str | os.PathLike[str]) -> Path:
    """Where `resumable_output` keeps unfinished work: a hidden file beside the target."""
    target = Path(os.path.realpath(path))
    return target.with_name(f".{target.name}.partial")


@contextlib.contextmanager
def resumable_output(
    path: str | os.PathLike[str], overwrite: bool = False, resume: bool = False
) -> Generator[OutputFile, None, None]:
    """As `atomic_output`, for streams of blocks that may be continued after a kill.

    The unfinished file has a fixed name (`partial_path`). A run that is killed, interrupted or stopped leaves it (the
    last two get a note that says so); `resume` takes it up (or, where there is none, the finished target), and
    then also keeps it after any other exception. The handle is open for reading and writing and stands at the end;
    the caller cuts an unfinished last block off with `truncate`.

    Raises:
        UsageError: as `atomic_output`, or another process is writing the same target.
    """
    target = _target(path, overwrite or resume)
    if _is_special(target):
        if resume:
            raise UsageError(f"output {path} is not a regular file, --resume cannot continue it")
        with atomic_output(path, overwrite) as output:
            yield output
        return
    temporary = partial_path(path)
    with named(temporary):
        handle = open(temporary, "r+b" if temporary.exists() else "w+b")  # noqa: SIM115 -- closed below
    try:
        with named(path), handle:
            _lock(handle, path)
            if not resume:
                handle.truncate(0)
            elif temporary.stat().st_size == 0 and target.is_file():
                _copy_into(target, handle)
            n_kept = handle.seek(0, os.SEEK_END)
            yield OutputFile(handle, temporary, n_kept)
            handle.flush()
            os.fsync(handle.fileno())
            _move_into_place(temporary, target, overwrite or resume)
    except _Locked as error:
        raise UsageError(str(error)) from None
    except BaseException as error:
        interrupted = isinstance(error, (KeyboardInterrupt, SystemExit, StoppedError)) and temporary.stat().st_size > 0
        if interrupted:
            shown = os.path.join(os.path.dirname(path), temporary.name)
            error.add_note(f"what is done stands in {shown}, the same command with --resume goes on")
        elif not resume:
            temporary.unlink(missing_ok=True)
        raise


class _Locked(Exception):
    """Another process writes the same partial file."""


def _lock(handle: BinaryIO, path: str | os.PathLike[str]) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(handle.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise _Locked(f"output {path} is being written by another process") from None


def _copy_into(source: Path, handle: BinaryIO) -> None:
    with open(source, "rb") as old:
        while chunk := old.read(1 << 20):
            handle.write(chunk)
    handle.flush()


def safe_file_name(block_name: str) -> str:
    """A file name for a block: letters, digits and `_.+-` only, never hidden, at most 120 characters."""
    kept = "".join(char if (char.isascii() and char.isalnum()) or char in "_.+-" else "_" for char in block_name)
    return kept.lstrip(".")[:120] or "unnamed"
