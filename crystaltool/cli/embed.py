"""`crystaltool embed`: building blocks to embeddings, and the library that embeddings are decoded to."""

from __future__ import annotations

import contextlib
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from crystaltool.cli import options
from crystaltool.cli.session import STDIN, Session

if TYPE_CHECKING:
    from crystaltool.models.block_encoder.checkpoint import LoadedBlockEncoder


By = StrEnum("By", {"order": "order", "embedding": "embedding"})
"""What --nearest goes by."""


def command(
    context: typer.Context,
    checkpoint: Annotated[
        str,
        typer.Argument(metavar="CHECKPOINT", help="Block encoder: a name such as blocks, or a folder."),
    ],
    file: Annotated[
        str,
        typer.Argument(
            metavar="BLOCKS.h5",
            help="Building blocks written by `crystaltool fragment`; - or nothing is standard input.",
        ),
    ] = STDIN,
    output: options.Output = "-",
    library: Annotated[
        Optional[Path],  # noqa: UP045 -- typer evaluates this at run time
        typer.Option("--library", metavar="FILE", help="Also write the decoding library: every distinct block once."),
    ] = None,
    keep: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "--keep",
            metavar="FILE",
            help="Only blocks of these MOFs go into the library: a text file, a name a line.",
        ),
    ] = None,
    nearest: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            "--nearest", min=1, metavar="N", help="Write a table in place of embeddings: N nearest blocks of each."
        ),
    ] = None,
    among: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "--among", metavar="FILE", help="Library that --nearest looks in. Default: that of the shipped MOFDiff."
        ),
    ] = None,
    by: Annotated[
        Optional[By],  # noqa: UP045
        typer.Option(
            "--by",
            metavar="WHAT",
            help="What --nearest goes by: order (order vectors, similar fingerprints) or embedding. Default: order,"
            " where the encoder has them.",
        ),
    ] = None,
    overwrite: options.Overwrite = False,
    device: options.Device = "auto",
    no_provenance: options.NoProvenance = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Embed building blocks of metal-organic frameworks.

    Gives each block 32 numbers that do not depend on how it is turned, shifted or numbered; blocks of one chemistry
    lie close together, whatever their conformation. Written as HDF5 of kind block-embeddings, a row for each block of
    the input, with the sha256 of the blocks and of the encoder's weights. An encoder with an order map also gives order
    vectors: blocks whose fingerprints are similar lie near each other. With --nearest N a table instead,
    tab-separated: for each identity the N nearest of a library, with the Tanimoto similarity of their fingerprints.
    """
    from dataclasses import replace

    from crystaltool.errors import UsageError
    from crystaltool.io.atomic import refuse_input_as_output
    from crystaltool.io.hdf5 import read_history
    from crystaltool.models.block_encoder.checkpoint import load_block_encoder
    from crystaltool.models.block_encoder.embedding_file import write_embeddings
    from crystaltool.models.block_encoder.library import build_library, write_library
    from crystaltool.models.mofdiff.charges import library_charges
    from crystaltool.models.weights import find_checkpoint
    from crystaltool.mof.table import read_mofs
    from crystaltool.training.distributed import choose_device
    from crystaltool.verbs.embed import embedded

    session = Session(context)
    if keep is not None and library is None:
        raise UsageError("--keep chooses blocks for a --library")
    if nearest is not None and library is not None:
        raise UsageError("--nearest writes a table, no --library")
    if among is not None and nearest is None:
        raise UsageError("--among is of use with --nearest only")
    if by is not None and nearest is None:
        raise UsageError("--by is of use with --nearest only")
    if library is not None:
        refuse_input_as_output(library, [file])
        if output not in ("-", "") and Path(output).absolute() == library.absolute():
            raise UsageError("-o and --library name one file")
    names = None if keep is None else _names(keep)
    loaded = load_block_encoder(find_checkpoint(checkpoint), str(choose_device(device)))
    if nearest is not None:
        _write_nearest(session, file, loaded, nearest, among, by and by.value, output, overwrite)
        session.finish()
    with (
        session.binary_output(output, overwrite, [file]) as target,
        _library_output(session, library, overwrite) as library_target,
    ):
        source = session.seekable(file)
        table = read_mofs(source, "standard input" if file == STDIN else file)
        history = session.history(read_history(source), extra=[f"weights sha256:{loaded.sha256[:16]}"])
        with session.progress(table.n_blocks, "blocks") as progress:
            embeddings = embedded(table, loaded, file, progress.advance)
        write_embeddings(target, embeddings, history)
        if library_target is not None:
            made = build_library(table, embeddings, names)
            made = replace(made, charges=library_charges(made))
            write_library(library_target, made, history)
            session.note(f"library of {len(made)} blocks from {table.n_blocks}")
    session.finish()


def _write_nearest(
    session: Session,
    file: str,
    loaded: LoadedBlockEncoder,
    n: int,
    among: Path | None,
    by: str | None,
    output: str,
    overwrite: bool,
) -> None:
    """The table of `--nearest`."""
    from crystaltool.cli.embed_nearest import library_among, order_among, table_lines, write_table
    from crystaltool.mof.table import read_mofs
    from crystaltool.verbs.embed import embedded

    library = library_among(among, loaded)
    vectors = order_among(library, loaded, by)
    table = read_mofs(session.seekable(file), "standard input" if file == STDIN else file)
    with session.progress(table.n_blocks, "blocks") as progress:
        embeddings = embedded(table, loaded, file, progress.advance)
    inputs = [file] if among is None else [file, str(among)]
    write_table(table_lines(table, embeddings, library, n, vectors), output, overwrite, inputs)


def _names(path: Path) -> list[str]:
    """The names in a text file, a line each."""
    from crystaltool.errors import UsageError

    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise UsageError(f"--keep {path} is not UTF-8 text") from None
    return [line.strip() for line in lines if line.strip()]


@contextlib.contextmanager
def _library_output(session: Session, path: Path | None, overwrite: bool):
    """The place for the library, or None."""
    if path is None:
        yield None
        return
    with session.binary_output(str(path), overwrite) as target:
        yield target
