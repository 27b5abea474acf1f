"""`crystaltool check`: verdicts on structures, as a table, as JSON Lines, or as a filter of the stream."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from crystaltool.cli import options
from crystaltool.cli.failures import report_failure
from crystaltool.cli.session import Session
from crystaltool.errors import UsageError

if TYPE_CHECKING:
    from crystaltool.cli.writer import BlockWriter
    from crystaltool.evaluation.judge import Judgement

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

    from crystaltool.checks.registry import NOVEL, UNIQUE, select
    from crystaltool.evaluation.judge import Judgement, judge, open_reference
    from crystaltool.executor import map_pairs

    asked = None if only is None else [name.strip() for text in only for name in text.split(",") if name.strip()]
    names = select(asked, reference is not None)
    session = Session(context, quiet=quiet, verbose=verbose, fail_fast=fail_fast)
    prepare = None
    if reference is not None and NOVEL in names:
        prepare = partial(open_reference, reference)
        prepare()  # here too when workers do the work: a reference that cannot be read ends the run at once
    seen = None
    if UNIQUE in names:
        from crystaltool.checks.matching import Seen

        seen = Seen()
    tally: dict[str, list[int]] = {name: [0, 0] for name in [*names, "all"]}
    n_through = 0
    with session.writer(output, overwrite=overwrite, files=files) as out, session.progress() as progress:
        if not (as_json or pass_through or fail_through):
            out.write("\t".join(COLUMNS) + "\n")
        pairs = map_pairs(partial(judge, names=tuple(names)), session.raw_blocks(files), jobs, prepare)
        with contextlib.closing(pairs):
            for raw, judgement in pairs:
                progress.advance()
                if not isinstance(judgement, Judgement):
                    report_failure(session, judgement, raw)
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
                        out.write(raw.text, raw.name)
                else:
                    _write_table(out, judgement)
    if not quiet:
        from crystaltool.cli.summary import print_summary

        print_summary(tally, session.n_bad)
    failed = n_through == 0 if pass_through or fail_through else tally["all"][1] > 0
    session.finish(failed=failed and not exit_zero)


def _write_table(out: BlockWriter, judgement: Judgement) -> None:
    """The lines of one structure, written and flushed together."""
    lines = []
    for verdict in judgement.verdicts:
        value = "" if verdict.value is None else f"{verdict.value:.6g}"
        fields = (judgement.name, verdict.check, "pass" if verdict.passed else "fail", value, verdict.limit)
        lines.append("\t".join((*fields, verdict.message)) + "\n")
    out.write("".join(lines))
