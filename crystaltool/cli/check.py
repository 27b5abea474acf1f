"""`crystaltool check`: verdicts on structures, as a table, as JSON Lines, or as a filter of the stream."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from crystaltool.cli import options
from crystaltool.cli.check_output import ANNOTATE, FAIL, HEADING, JSON, PASS, TABLE, EarlierOutput, text_of
from crystaltool.cli.failures import report_failure
from crystaltool.cli.session import STDIN, Session
from crystaltool.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from crystaltool.checks.judge import Judgement
    from crystaltool.checks.references import References
    from crystaltool.checks.registry import Plan
    from crystaltool.io.records import RawBlock


def command(
    context: typer.Context,
    files: options.Files = None,
    only: Annotated[
        Optional[list[str]],  # noqa: UP045 -- typer evaluates this at run time
        typer.Option("--only", metavar="NAME,...", help="Run these checks alone; an unknown name lists all."),
    ] = None,
    kind: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--kind", metavar="inorganic|mof", help="Kind of all structures; recognised when not given."),
    ] = None,
    reference: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            "--reference",
            metavar="DATA",
            help="Known structures (any input that asym-unit reads, or HDF5 of fragment): adds 'novel' and 'unique';"
            " repeat it to compare with several.",
        ),
    ] = None,
    pores: Annotated[
        bool, typer.Option("--pores", help="Also ask of MOFs a pore limiting diameter of 2.4 A (extra 'pore').")
    ] = False,
    as_table: Annotated[
        bool, typer.Option("--table", help="Print the whole table on a terminal too, not the first failures alone.")
    ] = False,
    stable: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(
            "--stable", metavar="EV", help="Also ask of crystals to lie at most so far above the hull, eV/atom."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object a structure, a line each.")] = False,
    pass_through: Annotated[bool, typer.Option("--pass", help="Write the blocks that pass, as they came.")] = False,
    fail_through: Annotated[bool, typer.Option("--fail", help="Write the blocks that fail, as they came.")] = False,
    annotate: Annotated[
        bool, typer.Option("--annotate", help="Write every block with its verdicts as _crystaltool_check_* values.")
    ] = False,
    exit_zero: Annotated[bool, typer.Option("--exit-zero", help="Exit 0 even if structures fail.")] = False,
    names: options.Naming = options.Names.block,
    output: options.Output = "-",
    overwrite: options.Overwrite = False,
    resume: options.Resume = False,
    shard: options.Shard = None,
    jobs: options.Jobs = 1,
    scheduler: options.Scheduler = None,
    fail_fast: options.FailFast = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Check structures and print a verdict for each check.

    Writes a table with a line per structure and check (tab-separated columns structure, check, verdict, value, limit,
    message), JSON Lines with --json, or the structures themselves with --pass or --fail. With --annotate all of them
    are written, each with _crystaltool_check_all (pass or fail) and _crystaltool_check_<name> (pass, fail or
    not_judged, - of a name as _) for crystaltool view -e to ask; verdicts of an earlier run are taken out. A summary
    goes to stderr. On a terminal the table is left out, unless --table asks for it: the first 20 failures are listed,
    a line each.

    A structure that states its bonds, or has organic carbon and a metal, is judged as a metal-organic framework, even
    if its hydrogens are missing; so are organic nets and ligands without metals, which fail. All others are judged as
    inorganic crystals; --kind overrides. With --only the named checks run on all.

    Inorganic: cell (lengths 1-100 A), distance-cdvae (shortest distance at least 0.5 A, volume at least 0.1 A^3),
    distance-lemat (every distance at least 0.5 (0.7 A + r_i + r_j) with atomic radii), density (0.01-25 g/cm3 and
    1e-5-0.5 atoms per A^3), charge (SMACT rule with its smact14 oxidation states), duplicates (no two atoms within
    0.1 A), formula (with the density) and multiplicities (with the Wyckoff letters) as declared, operations (each maps
    the structure onto itself within 0.01 A), symmetry (spglib finds every declared operation at 1e-3 and 1e-2 A),
    exact-group (at 1e-2 A it finds the declared group and no supergroup; not judged in P 1, which leaves the symmetry
    open); with --reference also novel and unique (pymatgen StructureMatcher, default settings, the first of duplicates
    passes). By name alone: cell-symmcd (lengths 1-40 A, Z at most 94); unique without a reference. With --stable EV
    also stable: the energy above the hull that crystaltool measure --hull wrote into the block, else that of a CHGNet
    single point, is at most EV eV/atom.

    MOFs, the rules of MOFChecker on bonds perceived from the geometry: has-metal, has-carbon, has-hydrogen, overlap,
    overcoordinated-c, -n and -h, undercoordinated-c, -n, -rare-earth and -alkali, lone-molecule, connected-3d,
    terminal-oxo, exposed-metal, high-charge (EQeq); and framework-charge (ligands by their valences and metals in usual
    oxidation states are neutral together), which is not MOFChecker's; formula and multiplicities as of crystals; with
    --pores pore-diameter. Novel and unique compare nodes, linkers and net.

    A check that cannot tell (charges of a cell that is too large, of ligands whose valences are not understood) says
    "not judged" with the reason, in JSON null; that is no failure.

    --resume goes on after the last whole structure of the output and counts what stands there. In a shard unique
    compares with the shards before, too, whose structures are read for it; the first shard alone has the heading of the
    table.

    Exit code 0 if all structures pass, 1 if one fails (with --pass or --fail: if nothing came through), 2 after
    trouble.
    """
    if as_table + as_json + pass_through + fail_through + annotate > 1:
        raise UsageError("--table, --json, --pass, --fail and --annotate exclude each other")
    from functools import partial

    from crystaltool.checks.judge import Judgement
    from crystaltool.checks.kind import KINDS
    from crystaltool.checks.registry import NOVEL, UNIQUE, check_names
    from crystaltool.cli.summary import Tally, failure_lines, print_summary
    from crystaltool.errors import MissingExtraError
    from crystaltool.executor import map_pairs
    from crystaltool.verbs.check import Seen, plan_of

    if kind is not None and kind not in KINDS:
        raise UsageError(f"--kind is {kind!r}, expected {' or '.join(KINDS)}")
    asked = None if only is None else [name.strip() for text in only for name in text.split(",") if name.strip()]
    plan = plan_of(asked, kind, bool(reference), pores, stable, identities=as_json)
    session = Session(context)
    references = None
    if reference and NOVEL in plan.mof:
        from crystaltool.checks.references import read_references

        if STDIN in reference and STDIN in session.inputs(files):
            raise UsageError("standard input cannot be both the structures and the reference")
        references = read_references(
            reference, kind, jobs, session, names == options.Names.file, executor=session.workers.executor
        )
    seen = Seen() if UNIQUE in plan.mof else None
    tally = Tally(check_names())
    given = {JSON: as_json, ANNOTATE: annotate, PASS: pass_through, FAIL: fail_through}
    form = next((form for form, asked_for in given.items() if asked_for), TABLE)
    brief = form == TABLE and not as_table and output == "-" and sys.stdout.isatty()
    n_written = 0
    earlier = EarlierOutput(form)
    opened = session.writer(output, overwrite=overwrite, resume=resume, files=files, keep=earlier.keep)
    with opened as out, session.progress() as progress:
        for told in earlier.told:
            n_written += 1
            if told.verdicts:
                tally.add(told)
        if form == TABLE and not brief and session.shard.is_first and not earlier.told:
            out.write(HEADING)
        todo = _todo(session.raw_blocks_so_far(files, names=names), earlier, seen is not None, out.has)
        work = partial(_work, plan, references)
        with contextlib.closing(map_pairs(work, todo, jobs, executor=session.workers.executor)) as pairs:
            for (raw, task), judgement in pairs:
                if task == JUDGE:
                    progress.advance()
                if isinstance(judgement, MissingExtraError):
                    raise judgement  # it would be every such structure's failure
                if not isinstance(judgement, Judgement):
                    if task != COMPARE:
                        report_failure(session, judgement, raw)
                    continue
                if task == JUDGE and judgement.error:
                    session.bad(judgement.error, raw)
                if seen is not None:
                    judgement = judgement.add(seen.check_unique(judgement))
                if task == JUDGE:
                    tally.add(judgement)
                    text = None if brief else text_of(form, judgement, raw)
                    if text is not None:
                        n_written += 1
                        out.write(text, judgement.name)
    if brief:
        for line in failure_lines(tally):
            typer.echo(line)
        if tally.first_failures:
            typer.echo()
    if not session.quiet and tally.n_structures:
        print_summary(tally, session.n_bad)
    failed = n_written == 0 if form in (PASS, FAIL) else tally.n_structures > tally.n_passed
    session.finish(failed=failed and not exit_zero)


JUDGE, COMPARE, DONE = "judge", "compare", "done"
"""A structure is judged, or what follows is compared with it: one of an earlier shard, one that the output has."""


def _todo(
    blocks: Iterator[tuple[RawBlock, bool]], earlier: EarlierOutput, compares: bool, has: Callable[[str], bool]
) -> Iterator[tuple[RawBlock, str]]:
    """What to do with each structure; what neither is judged nor compared with is left out.

    An output of --pass or --fail says nothing of what did not come through: there all up to its last structure is done.

    Raises:
        UsageError: the last structure of the output is not in the input.
    """
    prefix = earlier.form in (PASS, FAIL)
    last = earlier.told[-1].name.casefold() if prefix and earlier.told else None
    for raw, own in blocks:
        done = own and has(raw.name)
        if not own:
            if compares:
                yield raw, COMPARE
        elif last is not None or done:
            if compares or prefix:
                yield raw, DONE
            last = None if raw.name.casefold() == last else last
        else:
            yield raw, JUDGE
    if last is not None:
        raise UsageError(f"--resume: the input does not hold {earlier.told[-1].name}, the last structure of the output")


def _work(plan: Plan, references: References | None, item: tuple[RawBlock, str]) -> Judgement:
    """What a process does with one structure.

    Raises:
        CrystaltoolError: if the block cannot be read.
    """
    from crystaltool.checks.judge import compared, judge

    raw, task = item
    return (judge if task == JUDGE else compared)(raw, plan, references)
