"""`crystaltool check`: verdicts on structures, as a table, as JSON Lines, or as a filter of the stream."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from crystaltool.cli import options
from crystaltool.cli.session import Session
from crystaltool.errors import UsageError

if TYPE_CHECKING:
    from crystaltool.evaluation.judge import Judgement
    from crystaltool.cli.writer import BlockWriter

COLUMNS = ("structure", "check", "verdict", "value", "limit", "message")
"""Columns of the table; names are API."""


def command(
    context: typer.Context,
    files: options.Files = None,
    only: Annotated[
        Optional[list[str]],  # noqa: UP045 -- typer evaluates this at run time
        typer.Option("--only", metavar="NAME,...", help="Run these checks alone; an unknown name lists all."),
    ] = None,
    reference: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--reference",
            metavar="DATA.h5",
            help="Known structures (from asym-unit -o DATA.h5): adds the checks 'novel' and 'unique'.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object a structure, a line each.")] = False,
    pass_through: Annotated[bool, typer.Option("--pass", help="Write the blocks that pass, as they came.")] = False,
    fail_through: Annotated[bool, typer.Option("--fail", help="Write the blocks that fail, as they came.")] = False,
    exit_zero: Annotated[bool, typer.Option("--exit-zero", help="Exit 0 even if structures fail.")] = False,
    output: options.Output = "-",
    overwrite: options.Overwrite = False,
    jobs: options.Jobs = 1,
    fail_fast: options.FailFast = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Check structures and print a verdict for each check.

    Writes a table with a line per structure and check (tab-separated columns structure, check, verdict, value, limit,
    message), JSON Lines with --json, or the structures themselves with --pass or --fail. A summary goes to stderr.

    Checks: cell (lengths 1-100 A), distance-cdvae (shortest distance at least 0.5 A, volume at least 0.1 A^3),
    distance-lemat (every distance at least 0.5 (0.7 A + r_i + r_j) with atomic radii), density (0.01-25 g/cm3 and
    1e-5-0.5 atoms per A^3), charge (SMACT rule with its smact14 oxidation states), duplicates (no two atoms within
    0.1 A), formula and multiplicities (as declared), operations (each maps the structure onto itself within 0.01 A),
    symmetry (spglib finds every declared operation at 1e-3 and 1e-2 A); with --reference also novel and unique
    (pymatgen StructureMatcher, default settings, the first of duplicates passes). By name alone: cell-symmcd
    (lengths 1-40 A, Z at most 94); unique without a reference.

    Exit code 0 if all structures pass, 1 if one fails (with --pass or --fail: if nothing came through), 2 after
    trouble.
    """
    if as_json + pass_through + fail_through > 1:
        raise UsageError("--json, --pass and --fail exclude each other")
    from functools import partial

    from crystaltool.evaluation.judge import judge, open_reference
    from crystaltool.checks.registry import NOVEL, UNIQUE, select
    from crystaltool.executor import map_ordered
    from crystaltool.io.stream import iter_raw

    asked = None if only is None else [name.strip() for text in only for name in text.split(",") if name.strip()]
    names = select(asked, reference is not None)
    session = Session(context, quiet=quiet, verbose=verbose, fail_fast=fail_fast)
    prepare = None
    if reference is not None and NOVEL in names:
        prepare = partial(open_reference, reference)
        if jobs == 1:
            prepare()  # trouble with the reference ends the run, before any structure is read
        else:
            open_reference(reference, keep=False)
    seen = None
    if UNIQUE in names:
        from crystaltool.checks.matching import Seen

        seen = Seen()
    tally: dict[str, list[int]] = {name: [0, 0] for name in [*names, "all"]}
    n_through = 0
    inputs = session.inputs(files)
    with session.writer(output, overwrite=overwrite, files=files) as out, session.progress() as progress:
        if not (as_json or pass_through or fail_through):
            out.write("\t".join(COLUMNS) + "\n")
        results = map_ordered(partial(judge, names=tuple(names)), iter_raw(inputs, session.warn_at), jobs, prepare)
        with contextlib.closing(results):
            for result in results:
                judgement = _read(session, result)
                if judgement is None:
                    continue
                if seen is not None:
                    judgement = judgement.add(seen.check_unique(judgement.crystal, judgement.name))
                for verdict in judgement.verdicts:
                    tally[verdict.check][not verdict.passed] += 1
                tally["all"][not judgement.passed] += 1
                if as_json:
                    out.write(judgement.json_line())
                elif pass_through or fail_through:
                    if judgement.passed == pass_through:
                        n_through += 1
                        out.write(judgement.text, judgement.name)
                else:
                    _write_table(out, judgement)
                progress.advance()
    if not quiet:
        from crystaltool.cli.summary import print_summary

        print_summary(tally, session.n_bad)
    failed = n_through == 0 if pass_through or fail_through else tally["all"][1] > 0
    session.finish(failed=failed and not exit_zero)


def _read(session: Session, result: object) -> Judgement | None:
    """The judgement, or None after reporting a record that could not be read or an item that failed."""
    from crystaltool.evaluation.judge import Judgement
    from crystaltool.io.stream import BadRecord

    if isinstance(result, Judgement):
        session.n_read += 1
        return result
    if isinstance(result, BadRecord):
        session.bad(result.message, result)
    else:
        session.bad(str(result))
    return None


def _write_table(out: BlockWriter, judgement: Judgement) -> None:
    """The lines of one structure, written and flushed together."""
    lines = []
    for verdict in judgement.verdicts:
        value = "" if verdict.value is None else f"{verdict.value:.6g}"
        fields = (judgement.name, verdict.check, "pass" if verdict.passed else "fail", value, verdict.limit)
        lines.append("\t".join((*fields, verdict.message)) + "\n")
    out.write("".join(lines))
