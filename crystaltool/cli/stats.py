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
    from crystaltool.statistics.compare import Comparison
    from crystaltool.statistics.facts import Asked
    from crystaltool.statistics.page.collect import Gallery
    from crystaltool.statistics.summary import Summary

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
    page: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--html", metavar="FILE", help="Write a page to look at, in one file that asks no network."),
    ] = None,
    sort: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--sort", metavar="NAME", help="Of the page: the best have the least of this field; default e_above_hull."
        ),
    ] = None,
    reverse: Annotated[bool, typer.Option("--reverse", help="Of the page: the best have the most of it.")] = False,
    pictures: Annotated[
        int, typer.Option("--pictures", min=0, max=200, metavar="N", help="Of the page: pictures of the best N.")
    ] = 12,
    form: Annotated[FormatName, typer.Option("--format", metavar="text|json", help="Write this.")] = FormatName.text,
    names: options.Naming = options.Names.block,
    output: options.Output = "-",
    overwrite: options.Overwrite = False,
    jobs: options.Jobs = 1,
    scheduler: options.Scheduler = None,
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

    --html writes the page FILE and no text, unless -o asks for that, too: a table that can be sorted and filtered,
    plots, a periodic table, pictures of the best structures that can be turned, drawings of linkers, each with its
    provenance and CIF. The table has 2,000 structures at most, those that fail a check last; figures are of all.

    Structures are read once, one after the other, in flat memory.
    """
    from crystaltool.statistics.compare import compare
    from crystaltool.statistics.facts import Asked

    session = Session(context)
    if against and STDIN in against and STDIN in session.inputs(files):
        raise UsageError("standard input cannot be both the structures and what they are set against")
    if page is None and (sort is not None or reverse):
        raise UsageError("--sort and --reverse are of the page, name it with --html FILE")
    if page == STDIN:
        raise UsageError("--html needs the name of a file")
    asked = Asked(detect=not declared, validity=bool(against), plan=_plan() if check else None)
    gallery = None if page is None else _gallery(sort, reverse, pictures)
    inputs = [*(files or []), *(against or [])]
    with contextlib.ExitStack() as outputs:
        out = None
        if page is None or output != STDIN:
            out = outputs.enter_context(session.writer(output, overwrite=overwrite, files=inputs))
        outputs.enter_context(contextlib.suppress(_NoPage))
        page_out = (
            None if page is None else outputs.enter_context(session.writer(page, overwrite=overwrite, files=inputs))
        )
        first = _summarise(session, session.raw_blocks(files, names=names), _label(files), asked, jobs, gallery)
        sets = [first]
        if against:
            known = Asked(detect=not declared)  # checks of a large data set would take longer than all else
            sets.append(_summarise(session, session.raw_blocks(against, names=names), _label(against), known, jobs))
        comparison = compare(*sets) if against else None
        if out is not None:
            out.write(_text(sets, comparison, form))
        if page_out is not None and gallery is not None:
            if not first.n and session.n_bad:
                session.warn(f"{page} is not written: nothing could be read")
                raise _NoPage
            page_out.write(_page(session, sets, comparison, gallery, detected=not declared))
            if sort is not None and gallery.n and not gallery.n_with_value:
                session.warn(f"no structure has {sort}")
    session.finish()


class _NoPage(Exception):
    """There is nothing to show: the page is not left behind, text beside it is."""


def _gallery(sort: str | None, reverse: bool, pictures: int) -> Gallery:
    from crystaltool.statistics.page.collect import Gallery

    return Gallery(sort, reverse, pictures)


def _text(sets: list[Summary], comparison: Comparison | None, form: FormatName) -> str:
    """The report in its format."""
    from crystaltool.io.printable import json_line, printable
    from crystaltool.statistics.compare import comparison_as_json
    from crystaltool.statistics.summary import summary_as_json
    from crystaltool.statistics.text import report

    if form == FormatName.text:
        return "".join(printable(line) + "\n" for line in report(sets, comparison).split("\n")[:-1])
    found = summary_as_json(sets[0])
    if comparison is not None:
        found |= {"against": summary_as_json(sets[1]), "distances": comparison_as_json(comparison)}
    return json_line(found)


def _page(
    session: Session, sets: list[Summary], comparison: Comparison | None, gallery: Gallery, detected: bool
) -> str:
    from crystaltool import __version__
    from crystaltool.cli.main import PROGRAM
    from crystaltool.statistics.page.content import page_content
    from crystaltool.statistics.page.heading import page_heading
    from crystaltool.statistics.page.page import render_page

    made = f"{PROGRAM} {__version__}, {session.created}: {session.command_line}"
    heading = page_heading(sets, comparison, gallery, detected, made)
    return render_page(page_content(sets, comparison, gallery, heading))


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


def _summarise(
    session: Session,
    raws: Iterable[RawBlock],
    label: str,
    asked: Asked,
    jobs: int,
    gallery: Gallery | None = None,
) -> Summary:
    """Everything in a stream, added up; the gallery takes what the page shows of single structures."""
    from functools import partial

    from crystaltool.executor import map_pairs
    from crystaltool.statistics.facts import Facts, facts_of
    from crystaltool.statistics.summary import Summary

    summary = Summary(label)
    before, function = session.n_bad, partial(facts_of, asked=asked)
    with (
        session.progress() as progress,
        contextlib.closing(map_pairs(function, raws, jobs, executor=session.workers.executor)) as pairs,
    ):
        for raw, facts in pairs:
            progress.advance()
            if isinstance(facts, Facts):
                summary.add(facts)
                if gallery is not None:
                    gallery.add(facts, raw)
            else:
                report_failure(session, facts, raw, reads=True)
    summary.n_refused = session.n_bad - before
    return summary
