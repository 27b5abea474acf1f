"""`crystaltool stats`: what a set of structures is like, as text, JSON or a page, also beside another set."""

from __future__ import annotations

import contextlib
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from crystaltool.cli import options
from crystaltool.cli.failures import report_failure
from crystaltool.cli.session import STDIN, Session
from crystaltool.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from crystaltool.io.records import RawBlock
    from crystaltool.stats.facts import Asked
    from crystaltool.stats.summary import Summary

FormatName = StrEnum("FormatName", ("text", "json"))
"""Formats of the output."""


def command(
    context: typer.Context,
    files: options.Files = None,
    against: Annotated[
        Optional[list[str]],  # noqa: UP045 -- typer evaluates this at run time
        typer.Option(
            "--against",
            metavar="DATA",
            help="Put the same figures of these structures beside them, and how far apart the two sets are; repeat it"
            " for a set of several files.",
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Run the checks; without it verdicts are those that stand in the blocks.")
    ] = False,
    declared: Annotated[
        bool,
        typer.Option("--declared", help="Take space groups as they are declared, without templates: faster."),
    ] = False,
    form: Annotated[FormatName, typer.Option("--format", metavar="text|json", help="Write this.")] = FormatName.text,
    names: options.Naming = options.Names.block,
    output: options.Output = "-",
    overwrite: options.Overwrite = False,
    jobs: options.Jobs = 1,
    fail_fast: options.FailFast = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Say what a set of structures is like.

    Counts, share valid by rule (verdicts that check --annotate wrote, or with --check those of its checks now),
    crystal systems, space groups, elements, templates, of metal-organic frameworks nets, nodes and linkers, and of
    composition, size and every _crystaltool_* value that is a number its count, quartiles and mean; for a terminal of
    80 columns, or as one JSON object.

    With --against the same of known structures stands beside it, and how far apart the two are: d_rho, d_elem and
    d_sg as the field has them, and the Wasserstein distance of every number that both have.

    Structures are read once, one after the other, in flat memory.
    """
    import json

    from crystaltool.cli.messages import printable
    from crystaltool.stats.compare import compare, comparison_as_json
    from crystaltool.stats.facts import Asked
    from crystaltool.stats.summary import summary_as_json
    from crystaltool.stats.text import report

    session = Session(context, quiet=quiet, verbose=verbose, fail_fast=fail_fast)
    if against and STDIN in against and STDIN in session.inputs(files):
        raise UsageError("standard input cannot be both the structures and what they are set against")
    asked = Asked(detect=not declared, validity=bool(against), plan=_plan() if check else None)
    with session.writer(output, overwrite=overwrite, files=[*(files or []), *(against or [])]) as out:
        first = _summarise(session, session.raw_blocks(files, names=names), _label(files), asked, jobs)
        second = None
        if against:
            known = Asked(detect=not declared, plan=asked.plan)
            second = _summarise(session, session.raw_blocks(against, names=names), _label(against), known, jobs)
        comparison = None if second is None else compare(first, second)
        if form == FormatName.json:
            found = summary_as_json(first)
            if second is not None and comparison is not None:
                found |= {"against": summary_as_json(second), "distances": comparison_as_json(comparison)}
            out.write(json.dumps(found, allow_nan=False, ensure_ascii=False) + "\n")
        else:
            lines = report(first, second, comparison).splitlines()
            out.write("".join(printable(line) + "\n" for line in lines))
    session.finish()


def _plan():
    from crystaltool.verbs.check import plan_of

    return plan_of(None, None, with_reference=False)


def _label(files: list[str] | None) -> str:
    """What a set is called: its file, or how many files."""
    from pathlib import PurePath

    chosen = files or [STDIN]
    if chosen == [STDIN]:
        return "standard input"
    name = PurePath(chosen[0]).name or chosen[0]
    return name if len(chosen) == 1 else f"{name} and {len(chosen) - 1} more"


def _summarise(session: Session, raws: Iterable[RawBlock], label: str, asked: Asked, jobs: int) -> Summary:
    """Everything in a stream, added up."""
    from functools import partial

    from crystaltool.executor import map_pairs
    from crystaltool.stats.facts import Facts, facts_of
    from crystaltool.stats.summary import Summary

    summary = Summary(label)
    before = session.n_bad
    with (
        session.progress() as progress,
        contextlib.closing(map_pairs(partial(facts_of, asked=asked), raws, jobs)) as pairs,
    ):
        for raw, facts in pairs:
            progress.advance()
            if isinstance(facts, Facts):
                summary.add(facts)
            else:
                report_failure(session, facts, raw)
    summary.n_refused = session.n_bad - before
    return summary
