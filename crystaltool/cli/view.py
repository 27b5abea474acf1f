"""`crystaltool view`: structures in, those that pass a filter out, in order, as blocks, tables or other formats."""

from __future__ import annotations

import contextlib
import sys
from enum import StrEnum
from typing import Annotated, Optional

import typer

from crystaltool.cli import options
from crystaltool.cli.session import Session
from crystaltool.cli.view_report import TABLE, Report
from crystaltool.cli.view_resume import ContinuedWriter, EarlierText
from crystaltool.cli.view_selection import Selection, check_name
from crystaltool.errors import UsageError
from crystaltool.verbs.format_table import CIF, FORMATS

TABULAR = ("csv", "tsv", "json")
"""Formats of columns; a test compares them with `view.render.TABLES`, which this module must not load."""

FORMAT_NAMES = tuple(dict.fromkeys((CIF, *TABULAR, *FORMATS)))
FormatName = StrEnum("FormatName", FORMAT_NAMES)
"""Formats of the output."""


def command(
    context: typer.Context,
    files: options.Files = None,
    expression: Annotated[
        Optional[str],  # noqa: UP045 -- typer evaluates this at run time
        typer.Option("-e", "--expression", metavar="EXPR", help="Take the structures for which this holds."),
    ] = None,
    columns: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--columns", metavar="NAME,...", help="Write a table of these fields."),
    ] = None,
    sort: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--sort", metavar="NAME", help="Sort by this field, smallest first, missing values last."),
    ] = None,
    reverse: Annotated[
        bool, typer.Option("--reverse", help="Sort the largest first; missing values stay last.")
    ] = False,
    head: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--head", min=0, metavar="N", help="Write the first N alone."),
    ] = None,
    form: Annotated[
        Optional[FormatName],  # noqa: UP045
        typer.Option("--format", metavar="|".join(FORMAT_NAMES), help="Write this format; else the ending of -o says."),
    ] = None,
    info: Annotated[
        bool,
        typer.Option(
            "--info",
            help="Say what each file is, and each folder or archive as a whole: kind, format version, counts, history.",
        ),
    ] = False,
    names: options.Naming = options.Names.block,
    output: options.Output = "-",
    output_dir: options.OutputDir = None,
    overwrite: options.Overwrite = False,
    resume: options.Resume = False,
    shard: options.Shard = None,
    fail_fast: options.FailFast = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Filter, sort, list and convert structures, as samtools view does reads.

    Without --columns and --format the blocks are written as they came, or, on a terminal, as a table. --columns writes
    a table: csv, tsv or json as --format says, else tsv, on a terminal aligned. json is an object a line; without
    --columns it has all fields that need no bonds, and every _crystaltool_* value. extxyz and poscar hold names, cell
    and atoms, extxyz the _crystaltool_* values too; several structures as POSCAR need --output-dir.

    Structures are written as they are read, so the stream may be endless. --sort with --head N keeps about 2 N of them
    in memory, without --head all that pass, the texts of many in a temporary file.

    Of an HDF5 file of building blocks the rows are their identities with counts (linkers by SMILES), of one of
    embeddings the vectors; of a data set its structures.

    --resume goes through the input again and writes what the output, the beginning of the same run's, lacks.

    A field is worked out only if it is asked for, so a block that cannot be read is noticed only where its atoms are.
    """
    from crystaltool.view.rows import hdf5_rows

    session = Session(context)
    if session.shard.count > 1 and (info or sort is not None or head is not None):
        raise UsageError("--shard does not go with --sort, --head and --info, which are about all structures")
    if info:
        _refuse_with_info(expression or columns or sort or head is not None or output_dir or resume, form)
        _write_info(session, files, form, names, output, overwrite)
    if reverse and sort is None:
        raise UsageError("--reverse is of use with --sort only")
    view = Selection(session, expression, sort, reverse, head)
    wanted = _format(form or _by_ending(output), columns, output, output_dir is not None)
    report = Report(view, wanted, _column_names(columns), output_dir is not None)
    suffix = ".cif" if wanted is None or wanted == TABLE else report.suffix
    earlier = EarlierText()
    with (
        session.writer(output, output_dir, overwrite, resume, files, suffix, earlier.keep) as out,
        session.progress() as progress,
        contextlib.closing(view.chosen(session.raw_blocks(files, hdf5_rows, names), progress)) as chosen,
    ):
        report.write(chosen, ContinuedWriter(out, earlier))
        earlier.check_end()
    view.say_unknown(report.columns)
    session.finish()


def _format(form: FormatName | None, columns: str | None, output: str, to_folder: bool) -> str | None:
    """The format to write; None for blocks as they came (rows that are no blocks as tsv).

    Raises:
        UsageError: options contradict each other.
    """
    on_terminal = output == "-" and not to_folder and sys.stdout.isatty()
    if form is None:
        if to_folder and columns is not None:
            raise UsageError("--columns writes one table, -O a file a structure")
        return TABLE if on_terminal else "tsv" if columns is not None else None
    if columns is not None and form.value not in TABULAR:
        raise UsageError(f"--columns writes a table, --format {form.value} whole structures")
    if to_folder and form.value in TABULAR:
        raise UsageError(f"--format {form.value} writes one table, -O a file a structure")
    return form.value


def _by_ending(output: str) -> FormatName | None:
    """The format that the name of the output tells; None for CIF and what has no such ending."""
    plain = output.lower().removesuffix(".gz")
    endings = {name: row.suffixes for name, row in FORMATS.items() if name != CIF} | {n: (f".{n}",) for n in TABULAR}
    return next((FormatName(name) for name, found in endings.items() if plain.endswith(found)), None)


def _column_names(columns: str | None) -> tuple[str, ...] | None:
    if columns is None:
        return None
    found = tuple(name.strip() for name in columns.split(",") if name.strip())
    if not found:
        raise UsageError("--columns names no field")
    twice = [name for index, name in enumerate(found) if name in found[:index]]
    if twice:
        raise UsageError(f"--columns names {twice[0]} twice")
    for name in found:
        check_name("--columns", name)
    return found


def _refuse_with_info(others: object, form: FormatName | None) -> None:
    if others or form not in (None, "json"):
        raise UsageError("--info goes with --format json and -o alone")


def _write_info(
    session: Session,
    files: list[str] | None,
    form: FormatName | None,
    names: options.Names,
    output: str,
    overwrite: bool,
) -> None:
    """What each file is, and the end of the run."""
    import json

    from crystaltool.view.info import Survey, info_text

    survey = Survey(session.inputs(files))
    with session.writer(output, overwrite=overwrite, files=files) as out, session.progress() as progress:
        for raw in session.raw_blocks(files, survey.hdf5, names):
            survey.add(raw)
            progress.advance()
        found = survey.result()
        for index, info in enumerate(found):
            text = json.dumps(info) + "\n" if form else info_text(info) + ("\n" if index + 1 < len(found) else "")
            out.write(text)
    session.finish()
