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
    from crystaltool.checks.verdict import Verdict
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
    kind: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--kind", metavar="inorganic|mof", help="Kind of all structures; recognised when not given."),
    ] = None,
    reference: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--reference",
            metavar="DATA",
            help="Known structures (HDF5 of asym-unit or fragment, CIFs of MOFs): adds 'novel' and 'unique'.",
        ),
    ] = None,
    pores: Annotated[
        bool, typer.Option("--pores", help="Also ask of MOFs a pore limiting diameter of 2.4 A (extra 'pore').")
    ] = False,
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

    A structure with a metal, carbon and hydrogen, or one that states its bonds, is judged as a metal-organic framework,
    all others as inorganic crystals; --kind overrides. With --only the named checks run on all.

    Inorganic: cell (lengths 1-100 A), distance-cdvae (shortest distance at least 0.5 A, volume at least 0.1 A^3),
    distance-lemat (every distance at least 0.5 (0.7 A + r_i + r_j) with atomic radii), density (0.01-25 g/cm3 and
    1e-5-0.5 atoms per A^3), charge (SMACT rule with its smact14 oxidation states), duplicates (no two atoms within
    0.1 A), formula and multiplicities (as declared), operations (each maps the structure onto itself within 0.01 A),
    symmetry (spglib finds every declared operation at 1e-3 and 1e-2 A); with --reference also novel and unique
    (pymatgen StructureMatcher, default settings, the first of duplicates passes). By name alone: cell-symmcd
    (lengths 1-40 A, Z at most 94); unique without a reference.

    MOFs, the rules of MOFChecker on bonds perceived from the geometry: has-metal, has-carbon, has-hydrogen, overlap,
    overcoordinated-c, -n and -h, undercoordinated-c, -n, -rare-earth and -alkali, lone-molecule, connected-3d,
    terminal-oxo, exposed-metal, high-charge (EQeq); with --pores pore-diameter. Novel and unique compare nodes,
    linkers and net.

    Exit code 0 if all structures pass, 1 if one fails (with --pass or --fail: if nothing came through), 2 after
    trouble.
    """
    if as_json + pass_through + fail_through > 1:
        raise UsageError("--json, --pass and --fail exclude each other")
    from functools import partial

    from crystaltool.checks.kind import KINDS
    from crystaltool.checks.registry import NOVEL, PORE_DIAMETER, UNIQUE, Plan, check_names, select
    from crystaltool.evaluation.judge import Judgement, judge, knows_mofs, open_reference
    from crystaltool.executor import map_pairs

    if kind is not None and kind not in KINDS:
        raise UsageError(f"--kind is {kind!r}, expected {' or '.join(KINDS)}")
    asked = None if only is None else [name.strip() for text in only for name in text.split(",") if name.strip()]
    inorganic, mof = (tuple(select(asked, reference is not None, each)) for each in KINDS)
    if pores:
        from crystaltool.checks.mof.pores import require_zeo

        require_zeo()
        mof = tuple(name for name in check_names() if name in (*mof, PORE_DIAMETER))
    session = Session(context, quiet=quiet, verbose=verbose, fail_fast=fail_fast)
    prepare, by_identity = None, True
    if reference is not None and NOVEL in mof:
        prepare = partial(open_reference, reference)
        prepare()  # here too when workers do the work: a reference that cannot be read ends the run at once
        by_identity = knows_mofs()
    plan = Plan(inorganic, mof, kind, by_identity)
    seen = _Seen() if UNIQUE in mof else None
    tally: dict[str, list[int]] = {name: [0, 0] for name in [*check_names(), "all"]}
    n_through = 0
    with session.writer(output, overwrite=overwrite, files=files) as out, session.progress() as progress:
        if not (as_json or pass_through or fail_through):
            out.write("\t".join(COLUMNS) + "\n")
        pairs = map_pairs(partial(judge, plan=plan), session.raw_blocks(files), jobs, prepare)
        with contextlib.closing(pairs):
            for raw, judgement in pairs:
                progress.advance()
                if not isinstance(judgement, Judgement):
                    report_failure(session, judgement, raw)
                    continue
                if seen is not None:
                    judgement = judgement.add(seen.check_unique(judgement))
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

        judged = {name: counts for name, counts in tally.items() if sum(counts) or name == "all"}
        print_summary(judged if len(judged) > 1 else dict.fromkeys([*inorganic, "all"], (0, 0)), session.n_bad)
    failed = n_through == 0 if pass_through or fail_through else tally["all"][1] > 0
    session.finish(failed=failed and not exit_zero)


class _Seen:
    """The different structures of a stream so far: MOFs by identity, the others as crystals."""

    def __init__(self) -> None:
        from crystaltool.checks.matching import Seen
        from crystaltool.checks.mof.identity import SeenMOFs

        self._crystals, self._mofs = Seen(), SeenMOFs()

    def check_unique(self, judgement: Judgement) -> Verdict:
        """Whether it differs from all earlier ones."""
        if judgement.identity is None:
            return self._crystals.check_unique(judgement.crystal, judgement.name)
        return self._mofs.check_unique(judgement.identity, judgement.name)


def _write_table(out: BlockWriter, judgement: Judgement) -> None:
    """The lines of one structure, written and flushed together."""
    lines = []
    for verdict in judgement.verdicts:
        value = "" if verdict.value is None else f"{verdict.value:.6g}"
        fields = (judgement.name, verdict.check, "pass" if verdict.passed else "fail", value, verdict.limit)
        lines.append("\t".join((*fields, verdict.message)) + "\n")
    out.write("".join(lines))
