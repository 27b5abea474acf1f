"""Where a subcommand's blocks go: standard output, one file, or a file per block; each block whole and flushed."""

from __future__ import annotations

import contextlib
import gzip
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from crystaltool.cli.terminal import clear_line
from crystaltool.errors import UsageError
from crystaltool.io.atomic import (
    atomic_output,
    refuse_input_as_output,
    refuse_input_as_stdout,
    resumable_output,
    safe_file_name,
)

STDOUT = "-"

Keep = Callable[[BinaryIO], set[str]]
"""Cuts a partial output after what is whole; gives the casefolded names that it keeps."""


class BlockWriter(ABC):
    """Writes texts one by one. `done` holds the casefolded names of blocks that an earlier run finished."""

    def __init__(self, done: set[str] | None = None) -> None:
        self.done: set[str] = done or set()

    @property
    def n_done(self) -> int:
        """Number of blocks that an earlier run finished."""
        return len(self.done)

    def has(self, name: str) -> bool:
        """Whether an earlier run finished this block."""
        return name.casefold() in self.done

    @abstractmethod
    def write(self, text: str, name: str = "") -> None:
        """Write one whole block and flush it, so that the next program in the pipe sees it at once."""


class StreamWriter(BlockWriter):
    """Blocks one after another into an open binary stream."""

    def __init__(self, handle: BinaryIO, label: str, done: set[str] | None = None) -> None:
        super().__init__(done)
        self._handle = handle
        self._label = label
        self._on_terminal = handle.isatty()
        self._n_met = 0

    def has(self, name: str) -> bool:
        """As `BlockWriter.has`."""
        found = super().has(name)
        self._n_met += found
        return found

    def write(self, text: str, name: str = "") -> None:
        """As `BlockWriter.write`; an error of the operating system names the stream.

        Raises:
            UsageError: the output that is continued has blocks, and this run came to none of them.
        """
        if self.done and name and not self._n_met:
            has = "1 structure" if self.n_done == 1 else f"{self.n_done} structures"
            raise UsageError(
                f"{self._label} has {has} and none that this run comes to: it is of other inputs or "
                "options (--overwrite begins anew)"
            )
        self.write_bytes(text.encode("utf-8"))

    def write_bytes(self, data: bytes | memoryview) -> None:
        """Write and flush bytes."""
        if self._on_terminal:
            clear_line()
        try:
            self._handle.write(data)
            self._handle.flush()
        except OSError as error:
            raise OSError(error.errno, error.strerror, self._label) from error  # EPIPE stays a BrokenPipeError


class FolderWriter(BlockWriter):
    """One file per block, `DIR/<block>.cif` or with another ending, each written whole."""

    def __init__(
        self, folder: Path, overwrite: bool, resume: bool, inputs: Sequence[str], suffix: str = ".cif"
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._overwrite, self._inputs, self._suffix = folder, overwrite, inputs, suffix
        self._used: set[str] = set()
        done = {path.stem.casefold() for path in folder.glob(f"*{suffix}")} if resume else set()
        super().__init__(done)

    def has(self, name: str) -> bool:
        """Whether the folder already has this block's file."""
        return safe_file_name(name).casefold() in self.done

    def write(self, text: str, name: str = "") -> None:
        """As `BlockWriter.write`; names that fall together as file names get `.2`, `.3`, ..."""
        stem = unique = safe_file_name(name)
        count = 1
        while unique.casefold() in self._used:
            count += 1
            unique = f"{stem}.{count}"
        self._used.add(unique.casefold())
        path = self._folder / f"{unique}{self._suffix}"
        refuse_input_as_output(path, self._inputs)
        if path.is_file() and not self._overwrite:
            raise UsageError(f"output {path} exists (--resume goes on, --overwrite replaces it)")
        with atomic_output(path, self._overwrite) as output:
            output.handle.write(text.encode("utf-8"))


def keep_complete_blocks(handle: BinaryIO) -> set[str]:
    """Cut a partial file after its last complete block; returns the names it keeps."""
    from crystaltool.io.stream import complete_blocks

    handle.seek(0)
    names, n_bytes = complete_blocks(handle)
    handle.truncate(n_bytes)
    handle.seek(0, os.SEEK_END)
    return {name.casefold() for name in names}


@contextlib.contextmanager
def open_writer(
    output: str = STDOUT,
    output_dir: Path | None = None,
    overwrite: bool = False,
    resume: bool = False,
    inputs: Sequence[str] = (),
    suffix: str = ".cif",
    keep: Keep = keep_complete_blocks,
) -> Generator[BlockWriter, None, None]:
    """Open the place that `-o`, `-O`, `--overwrite` and `--resume` name.

    `suffix` is the ending of the files in a folder; `keep` cuts a partial file where it is to be continued. A file
    appears under its name only when the `with` block ends without an exception.

    Raises:
        UsageError: options contradict each other, the output exists, or it is an input.
    """
    if output_dir is not None:
        if output != STDOUT:
            raise UsageError("-o and -O exclude each other")
        if output_dir.exists() and not output_dir.is_dir():
            raise UsageError(f"output {output_dir} is not a directory")
        yield FolderWriter(output_dir, overwrite, resume, inputs, suffix)
    elif output == STDOUT:
        if resume:
            raise UsageError("--resume needs -o FILE or -O DIR")
        refuse_input_as_stdout(1, inputs)
        yield StreamWriter(sys.stdout.buffer, "standard output")
    elif output.endswith(".gz"):
        if resume:
            raise UsageError(f"--resume cannot continue the compressed {output}")
        refuse_input_as_output(output, inputs)
        with (
            atomic_output(output, overwrite) as target,
            gzip.GzipFile(filename="", fileobj=target.handle, mode="wb", mtime=0) as packed,
        ):
            yield StreamWriter(packed, output)  # ty: ignore[invalid-argument-type]
    else:
        refuse_input_as_output(output, inputs)
        with resumable_output(output, overwrite, resume) as target:
            done = keep(target.handle) if target.n_kept else set()
            yield StreamWriter(target.handle, output, done)


@contextlib.contextmanager
def open_binary(
    output: str, overwrite: bool = False, inputs: Sequence[str] = ()
) -> Generator[Path | BytesIO, None, None]:
    """A target for `h5py.File(target, "w")`: a temporary path that becomes the output, or memory for a pipe.

    Raises:
        UsageError: standard output is a terminal, the output exists, or it is an input.
    """
    if output != STDOUT:
        refuse_input_as_output(output, inputs)
        with atomic_output(output, overwrite) as target:
            yield target.path
        return
    if sys.stdout.isatty():
        raise UsageError("binary output to a terminal is refused, name a file with -o FILE.h5")
    refuse_input_as_stdout(1, inputs)
    buffer = BytesIO()
    yield buffer
    StreamWriter(sys.stdout.buffer, "standard output").write_bytes(buffer.getbuffer())
