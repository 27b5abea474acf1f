"""`crystaltool fragment`: metal-organic frameworks to building blocks and coarse-grained MOFs."""

from __future__ import annotations

import contextlib
import functools
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, Optional

import typer

from crystaltool.cli import options
from crystaltool.cli.failures import report_failure
from crystaltool.cli.session import Session
from crystaltool.defaults import MAX_BLOCK_ATOMS, MAX_BLOCKS, MAX_CONNECTIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crystaltool.io.property_table import PropertyTable
    from crystaltool.io.stream import RawBlock
    from crystaltool.mof.blocks import CoarseMOF
    from crystaltool.verbs.fragment import Cut, FragmentSettings, Refusal

REPORT_COLUMNS = (
    "name",
    "verdict",
    "reason",
    "n_atoms",
    "n_blocks",
    "n_nodes",
    "n_linkers",
    "n_bridges",
    "n_nets",
    "dimension",
    "message",
)


class Guests(StrEnum):
    """What to do with free molecules."""

    refuse = "refuse"
    remove = "remove"


def command(
    context: typer.Context,
    files: options.Files = None,
    output: options.Output = "-",
    report: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--report", metavar="FILE", help="Write a table with the verdict on every structure (TSV)."),
    ] = None,
    properties: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "--properties",
            metavar="FILE",
            help="CSV file whose first column names the structures; its numeric columns go along.",
        ),
    ] = None,
    names: options.Naming = options.Names.block,
    guests: Annotated[
        Guests,
        typer.Option(
            "--guests", metavar="refuse|remove", help="Refuse structures with free molecules, or leave these out."
        ),
    ] = Guests.refuse,
    max_blocks: Annotated[
        int, typer.Option("--max-blocks", min=2, metavar="N", help="Most building blocks in a cell.")
    ] = MAX_BLOCKS,
    max_block_atoms: Annotated[
        int, typer.Option("--max-block-atoms", min=1, metavar="N", help="Most atoms in a building block.")
    ] = MAX_BLOCK_ATOMS,
    max_connections: Annotated[
        int, typer.Option("--max-connections", min=1, metavar="N", help="Most connection points of a building block.")
    ] = MAX_CONNECTIONS,
    overwrite: options.Overwrite = False,
    resume: options.Resume = False,
    shard: options.Shard = None,
    jobs: options.Jobs = 1,
    scheduler: options.Scheduler = None,
    fail_fast: options.FailFast = False,
    no_provenance: options.NoProvenance = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Cut metal-organic frameworks into building blocks.

    Bonds are perceived from the geometry; every bond between a metal node and a linker is cut, and a connection
    point stands at its middle. Written as HDF5 of kind mof-blocks: the blocks with their atoms, bonds, connection
    points and chemical identities, and each MOF as places, rotations and connections of its blocks. A structure
    that is no usable MOF (no metal, free molecules, not connected in three dimensions, too large) is named with its
    reason and left out; that is no error.

    The file is written as a whole: --resume leaves one that is there as it is. Given files of blocks alone, it joins
    them: fragment PART.h5 PART.h5 -o ALL.h5 gives what one run over all their structures writes, also of the shards of
    `sample mofdiff`. The first shard alone has the heading of --report.
    """
    from crystaltool.executor import map_pairs
    from crystaltool.io.property_table import read_property_table
    from crystaltool.mof.table import TableBuilder, write_mofs
    from crystaltool.verbs.fragment import Cut, FragmentSettings, Refusal

    session = Session(context)
    session.leave_if_done(resume, output)
    if files and all(map(holds_blocks, files)):
        _join(session, files, output, overwrite, report is not None or properties is not None)
    numbers = None if properties is None else read_property_table(properties)
    settings = FragmentSettings(max_blocks, max_block_atoms, max_connections, guests == Guests.remove)
    builder, tally = TableBuilder(), Counter()
    useless = False
    with _report(report, overwrite, files, output, session.shard.is_first) as rows:
        try:
            with session.binary_output(output, overwrite, files) as target:
                raws, function = session.raw_blocks(files, names=names), functools.partial(cut_block, settings)
                pairs = map_pairs(function, raws, jobs, executor=session.workers.executor)
                with session.progress() as progress, contextlib.closing(pairs):
                    for raw, result in pairs:
                        if isinstance(result, Cut):
                            builder.add(_named(result.mof, raw, numbers), result.ecfp4)
                            tally["ok"] += 1
                        elif isinstance(result, Refusal):
                            session.warn(f"refused ({result.reason}): {result.message}", raw)
                            tally[result.reason] += 1
                        else:
                            report_failure(session, result, raw)
                        rows.write(report_row(raw.name, result).encode())
                        progress.advance()
                if not tally["ok"] and session.shard.count == 1:
                    raise _NothingUsable
                write_mofs(target, builder.table(), session.history())
        except _NothingUsable:  # no file of blocks, but the table of verdicts
            useless = True
    if useless:
        session.bad(f"no usable MOF among {session.n_read} structure(s){_listed(tally)}")
        session.finish()
    if tally.total() > tally["ok"]:
        session.warn(f"{tally['ok']} of {tally.total()} structures are usable MOFs{_listed(tally)}")
    session.finish()


class _NothingUsable(Exception):
    """Leaves the output file unwritten."""


def holds_blocks(path: str) -> bool:
    """Whether a path is an HDF5 file of building blocks."""
    from crystaltool.errors import InputError
    from crystaltool.io.hdf5_input import open_checked
    from crystaltool.mof.table import MOF_KIND

    if not Path(path).is_file():
        return False
    with open(path, "rb") as handle:
        if handle.read(4) != b"\x89HDF":
            return False
    try:
        with open_checked(path) as file:
            return file.attrs.get("kind") == MOF_KIND
    except InputError:
        return False


def _join(session: Session, files: Sequence[str], output: str, overwrite: bool, more: bool) -> NoReturn:
    """Files of building blocks as one, and the end of the run.

    Raises:
        UsageError: options that go with structures.
        InputError: a damaged file, or files of cut and of sampled MOFs.
    """
    from crystaltool.errors import UsageError
    from crystaltool.mof.join import join_mofs
    from crystaltool.mof.table import read_mofs, write_mofs

    if more or session.shard.count > 1:
        raise UsageError("files of building blocks are joined as they are, without --shard, --report and --properties")
    joined = join_mofs([read_mofs(file) for file in files])
    with session.binary_output(output, overwrite, files) as target:
        write_mofs(target, joined, session.history())
    session.finish()


def cut_block(settings: FragmentSettings, raw: RawBlock) -> Cut | Refusal:
    """Read and fragment one structure; pure, for any process.

    Raises:
        UnreadableError: if the block cannot be read.
    """
    from crystaltool.io.stream import read_raw
    from crystaltool.verbs.fragment import cut

    return cut(settings, read_raw(raw).crystal)


def report_row(name: str, result: Cut | Refusal | Exception) -> str:
    """A line of the table of verdicts."""
    from crystaltool.verbs.fragment import Cut, Refusal

    if isinstance(result, Cut):
        from crystaltool.mof.blocks import BRIDGE, LINKER, NODE

        mof = result.mof
        kinds = Counter(block.kind for block in mof.blocks)
        counts = (mof.n_blocks, kinds[NODE], kinds[LINKER], kinds[BRIDGE], result.n_nets, 3)
        values = (name, "ok", "", mof.n_atoms, *counts, "")
    elif isinstance(result, Refusal):
        dimension = "" if result.dimension is None else result.dimension
        values = (name, "refused", result.reason, result.n_atoms, *[""] * 5, dimension, result.message)
    else:
        values = (name, "unreadable", "", *[""] * 7, " ".join(str(result).split()))
    return "\t".join(str(value) for value in values) + "\n"


@contextlib.contextmanager
def _report(path: Path | None, overwrite: bool, files: Sequence[str] | None, output: str, heading: bool):
    """The file for the table of verdicts with its header written, or one that forgets everything."""
    import io

    from crystaltool.errors import UsageError
    from crystaltool.io.atomic import atomic_output, refuse_input_as_output

    if path is None:
        yield io.BytesIO()
        return
    if str(path) == output:
        raise UsageError("--report and -o name the same file")
    refuse_input_as_output(path, files or [])
    with atomic_output(path, overwrite) as target:
        if heading:
            target.handle.write(("\t".join(REPORT_COLUMNS) + "\n").encode())
        yield target.handle


def _named(mof: CoarseMOF, raw: RawBlock, numbers: PropertyTable | None) -> CoarseMOF:
    from dataclasses import replace

    from crystaltool.io.names import file_stem

    known = {} if numbers is None else numbers.find(raw.name, raw.written, file_stem(raw.source))
    return replace(mof, name=raw.name, properties=known)


def _listed(tally: Counter[str]) -> str:
    """The reasons of refusal with their counts, most frequent first."""
    refused = [f"{reason} {count}" for reason, count in tally.most_common() if reason != "ok"]
    return f"; refused: {', '.join(refused)}" if refused else ""
