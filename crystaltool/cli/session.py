"""`Session`: what every subcommand does alike: read blocks, report bad ones, write, record provenance, exit."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from crystaltool.cli import messages, options
from crystaltool.cli.main import EXIT_FAILED, EXIT_OK, EXIT_TROUBLE, PROGRAM, Run, command_line
from crystaltool.cli.remarks import RemarkHandler
from crystaltool.cli.shards import parse_shard, part_of
from crystaltool.cli.workers import Workers
from crystaltool.cli.writer import BlockWriter, Keep, keep_complete_blocks, open_binary, open_writer
from crystaltool.errors import CrystaltoolError, UsageError
from crystaltool.io import provenance
from crystaltool.io.atomic import partial_path

if TYPE_CHECKING:
    from crystaltool.io.cif import CifBlock
    from crystaltool.io.stream import BadRecord, FolderTally, Hdf5Reader, RawBlock

STDIN = "-"
_OTHER_TEXT = (".xyz", ".extxyz", ".vasp", ".poscar", ".json", ".csv", ".tsv")
_NOT_CIF = (*_OTHER_TEXT, ".h5", ".hdf5")
_NOT_HDF5 = (*_OTHER_TEXT, ".cif", ".gz")


@dataclass(frozen=True)
class Record:
    """What a worker writes of the run into a block; None without provenance.

    Args:
        command_line: for the history. created: date of the run.
    """

    command_line: str | None
    created: str | None


@dataclass(frozen=True)
class Written:
    """A finished block, and what to warn of, empty if nothing."""

    text: str
    warning: str = ""


class Session:
    """One run of one subcommand.

    Of the options in `cli.options` it looks after `quiet`, `verbose`, `fail_fast`, `no_provenance`, `shard` and
    `scheduler`: a subcommand lists those it has in its signature, and they are read from the context.

    Args:
        context: the `typer.Context` that the subcommand's function received.

    Raises:
        UsageError: if `shard` is not I/N.
    """

    def __init__(self, context: typer.Context) -> None:
        state, given = context.find_object(Run) or Run(), context.params
        self.workers = Workers(given.get("scheduler"), self.warn)  # first, since they are closed however this ends
        state.session = self
        self.command: str = context.info_name or ""
        self.program: str = f"{PROGRAM} {self.command}"
        self.command_line: str = command_line(state.arguments)
        self.quiet: bool = given.get("quiet", False)
        self.verbose: int = given.get("verbose", 0)
        self.fail_fast: bool = given.get("fail_fast", False)
        self.provenance: bool = not given.get("no_provenance", False)
        self.shard = parse_shard(given.get("shard"))
        self.silent = False
        self.n_bad = 0
        self.n_read = 0
        self.created: str | None = _now() if self.provenance else None
        self._folders: list[FolderTally] = []
        logger = logging.getLogger("crystaltool")
        self._remarks = RemarkHandler(self)
        logger.handlers[:], logger.propagate = [self._remarks], False
        logger.setLevel(logging.INFO)

    # ---- reading

    def blocks(
        self,
        files: Sequence[str] | None,
        hdf5: Hdf5Reader | None = None,
    ) -> Iterator[CifBlock]:
        """The structures of the inputs in order; bad records are reported, counted and skipped.

        Args:
            files: the FILE arguments; `None` or empty is standard input.
            hdf5: reader for an HDF5 input, given an open seekable stream and the source's name, giving `RawBlock`s; the
                default reads data sets of asymmetric units.

        Raises:
            UsageError: no FILE and standard input is a terminal.
            typer.Exit: after the first bad record with `--fail-fast`.
        """
        from crystaltool.cli.failures import report_failure
        from crystaltool.io.stream import read_raw

        for raw in self.raw_blocks(files, hdf5):
            try:
                yield read_raw(raw)
            except CrystaltoolError as error:
                report_failure(self, error, raw)

    def raw_blocks(
        self, files: Sequence[str] | None, hdf5: Hdf5Reader | None = None, names: options.Names = options.Names.block
    ) -> Iterator[RawBlock]:
        """As `blocks`, before parsing, for commands whose workers parse: `io.stream.read_raw(raw)` in the worker."""
        for raw, own in self.raw_blocks_so_far(files, hdf5, names):
            if own:
                yield raw

    def raw_blocks_so_far(
        self, files: Sequence[str] | None, hdf5: Hdf5Reader | None = None, names: options.Names = options.Names.block
    ) -> Iterator[tuple[RawBlock, bool]]:
        """As `raw_blocks`, and what comes before the shard, with whether a block is the shard's own."""
        from crystaltool.io.stream import BadRecord, iter_raw, spooled_stdin

        inputs, is_part = self.inputs(files), self.shard.count > 1
        stdin = spooled_stdin() if is_part and STDIN in inputs else None
        folders = None if is_part else self._folders

        def read() -> Iterator[RawBlock | BadRecord]:
            if stdin is not None:
                stdin.seek(0)
            return iter_raw(inputs, self.warn_at, hdf5, names == options.Names.file, folders, stdin)

        for record, own in part_of(self.shard, read, self.in_silence):
            if not isinstance(record, BadRecord):
                self.n_read += own
                yield record, own
            elif own:
                self.bad(record.message, record)

    @contextlib.contextmanager
    def in_silence(self) -> Generator[None]:
        """A context in which nothing is said of what is read: it belongs to another shard."""
        self.silent = True
        try:
            yield
        finally:
            self.silent = False

    def unreadable(self, text: str, raw: RawBlock) -> None:
        """As `bad`, for a block that could not be read."""
        for folder in self._folders:
            if raw.source.startswith(os.path.join(folder.path, "")):
                folder.n_bad_blocks += 1
        self.bad(text, raw)

    def inputs(self, files: Sequence[str] | None) -> list[str]:
        """The FILE arguments, or standard input when there are none.

        Raises:
            UsageError: no FILE and standard input is a terminal.
        """
        chosen = list(files) if files else [STDIN]
        if STDIN in chosen and sys.stdin is not None and sys.stdin.isatty():
            raise UsageError(f"no FILE given and standard input is a terminal (see '{self.program} --help')")
        return chosen

    def seekable(self, file: str) -> str | BytesIO:
        """A FILE argument for HDF5, which needs to seek: its path, or standard input in memory.

        Raises:
            UsageError: standard input is a terminal.
        """
        return BytesIO(sys.stdin.buffer.read()) if self.inputs([file]) == [STDIN] else file

    # ---- reporting

    def bad(self, text: str, record: CifBlock | RawBlock | BadRecord | None = None) -> None:
        """Report a record that could not be done: the run goes on and ends 2, or stops with `--fail-fast`."""
        self.n_bad += 1
        self._say("ERROR", text, record)
        if self.fail_fast:
            raise typer.Exit(EXIT_TROUBLE)

    def warn(self, text: str, record: CifBlock | RawBlock | BadRecord | None = None) -> None:
        """Report something odd that doesn't change the exit code."""
        if not self.quiet:
            self._say("WARNING", text, record)

    def warn_at(self, source: str, line: int, name: str, text: str) -> None:
        """As `warn`, for a place without a record."""
        if not (self.quiet or self.silent):
            messages.say(self.program, "WARNING", text, source, line or None, name)

    def note(self, text: str, record: CifBlock | RawBlock | BadRecord | None = None) -> None:
        """Say something only with `-v`."""
        if self.verbose:
            self._say("NOTE", text, record)

    def _say(self, level: str, text: str, record: CifBlock | RawBlock | BadRecord | None) -> None:
        if record is None:
            messages.say(self.program, level, text)
        else:
            messages.say(self.program, level, text, record.source, record.line or None, record.name)

    def progress(self, total: int | None = None, what: str = "structures") -> contextlib.AbstractContextManager:
        """A progress display on stderr; `.advance(n=1)` inside the `with` block. Silent with `--quiet`."""
        from crystaltool.cli.progress import open_progress

        return open_progress(self.program, total, what, self.quiet)

    # ---- writing

    def writer(
        self,
        output: str = "-",
        output_dir: Path | None = None,
        overwrite: bool = False,
        resume: bool = False,
        files: Sequence[str] | None = None,
        suffix: str = ".cif",
        keep: Keep = keep_complete_blocks,
    ) -> contextlib.AbstractContextManager[BlockWriter]:
        """The place for text blocks, see `cli.writer.open_writer`; `files` are the inputs it must not overwrite."""
        if keep is keep_complete_blocks and output.lower().removesuffix(".gz").endswith(_NOT_CIF):
            self.warn(f"{output} will hold CIF text, whatever its ending (crystaltool view --format writes others)")
        new = output != STDIN and not os.path.isfile(output) and not partial_path(output).is_file()
        if resume and new and not self.quiet:
            messages.say(self.program, "NOTE", f"nothing to resume, there is no {output} yet")
        return open_writer(output, output_dir, overwrite, resume, files or [], suffix, keep)

    def binary_output(
        self, output: str = "-", overwrite: bool = False, files: Sequence[str] | None = None
    ) -> contextlib.AbstractContextManager[Path | BytesIO]:
        """The place for an HDF5 file, see `cli.writer.open_binary`."""
        if output.lower().endswith(_NOT_HDF5):
            self.warn(f"{output} will hold HDF5, whatever its ending")
        return open_binary(output, overwrite, files or [])

    def leave_if_done(self, resume: bool, output: str) -> None:
        """With `--resume` a file that appears whole or not at all is done if it is there: the run ends.

        Raises:
            UsageError: `--resume` without a file.
            typer.Exit: the file is there.
        """
        if not resume:
            return
        if output == STDIN:
            raise UsageError("--resume needs -o FILE")
        if os.path.isfile(output):
            self.note(f"{output} is done")
            self.finish()

    def history(
        self, previous: Sequence[str] = (), item: int | None = None, extra: Sequence[str] = ()
    ) -> tuple[str, ...]:
        """The block's earlier history and this command's line; nothing with `--no-provenance`."""
        if not self.provenance:
            return ()
        return provenance.extend_history(previous, self.command_line, item, extra)

    @property
    def record(self) -> Record:
        """What workers write of this run."""
        return Record(self.command_line if self.provenance else None, self.created)

    def rewrite(
        self,
        function: Callable[[RawBlock], Written],
        raws: Iterable[RawBlock],
        writer: contextlib.AbstractContextManager[BlockWriter],
        jobs: int,
        fatal: tuple[type[Exception], ...] = (),
    ) -> NoReturn:
        """Write what a pure function makes of every block, in order and as soon as it is ready, and end the run.

        Args:
            function: picklable. raws: the blocks; those that the output has already are left out.
            writer: from `writer`. jobs: worker processes.
            fatal: failures that would be every block's, which end the run.
        """
        from crystaltool.cli.failures import report_failure
        from crystaltool.executor import map_pairs

        with writer as out, self.progress() as progress:
            todo = (raw for raw in raws if not out.has(raw.name))
            with contextlib.closing(map_pairs(function, todo, jobs, executor=self.workers.executor)) as pairs:
                for raw, result in pairs:
                    if isinstance(result, fatal):
                        raise result
                    if isinstance(result, Written):
                        if result.warning:
                            self.warn(result.warning, raw)
                        out.write(result.text, raw.name)
                    else:
                        report_failure(self, result, raw)
                    progress.advance()
        self.finish()

    def close(self) -> None:
        """End what outlives the commands: the connection to a scheduler."""
        self.workers.close()

    # ---- ending

    def finish(self, failed: bool = False) -> NoReturn:
        """End the run: 2 after a bad record, else 1 when `failed` (only `check` has that), else 0.

        How many remarks were left out and what became of folders is said first.
        """
        self._remarks.say_left_out()
        for folder in self._folders if not self.quiet else ():
            messages.say(self.program, "NOTE", folder.summary, folder.path)
        raise typer.Exit(EXIT_TROUBLE if self.n_bad else EXIT_FAILED if failed else EXIT_OK)


def _now() -> str:
    return provenance.timestamp()
