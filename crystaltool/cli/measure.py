"""`crystaltool measure`: structures in, the same structures out with what was measured of them, block by block."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from crystaltool.cli import options
from crystaltool.cli.session import Record, Session, Written
from crystaltool.defaults import POTENTIAL
from crystaltool.errors import UsageError

if TYPE_CHECKING:
    from crystaltool.io.records import RawBlock
    from crystaltool.verbs.measure import HullSettings


def command(
    context: typer.Context,
    files: options.Files = None,
    hull: Annotated[bool, typer.Option("--hull", help="Energy above the convex hull, in eV/atom.")] = False,
    potential: Annotated[
        str, typer.Option("--potential", metavar="NAME", help="Potential of the energies, that of the hull's too.")
    ] = POTENTIAL,
    hull_file: Annotated[
        Optional[str],  # noqa: UP045 -- typer evaluates this at run time
        typer.Option(
            "--hull-file", metavar="FILE", help="CSV of your own phases (formula, energy_per_atom, id); with --hull."
        ),
    ] = None,
    output: options.Output = "-",
    output_dir: options.OutputDir = None,
    overwrite: options.Overwrite = False,
    resume: options.Resume = False,
    jobs: options.Jobs = 1,
    fail_fast: options.FailFast = False,
    no_provenance: options.NoProvenance = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Measure structures and write what was measured into them.

    Each block is written as it came, in order and as soon as it is ready, with _crystaltool_* values added.

    --hull: _crystaltool_e_above_hull (eV/atom; below 0: more stable than every mixture of known phases),
    _crystaltool_formation_energy_per_atom (eV/atom), _crystaltool_hull_decomposition (shares of the atoms and phases),
    and what they stand on: _crystaltool_hull_potential, _crystaltool_hull_reference,
    _crystaltool_hull_energy_per_atom and _crystaltool_hull_energy_source (relaxed or single-point). The energy is the
    one that relax wrote into the block, if by the same potential, else that of a single point of the structure as it
    is. The hull that comes with the tool is the Materials Project's (PBE and PBE+U with the corrections of 2020),
    which fits chgnet, and mp2020: energies of that kind that you wrote into the blocks yourself. Any other potential
    needs a hull of its own energies, --hull-file. An element without reference energy is an error of that structure.
    """
    if not hull:
        raise UsageError("--hull-file is of use with --hull only" if hull_file else "nothing to measure, give --hull")
    from crystaltool.errors import MissingExtraError
    from crystaltool.measure.stability import check_hull
    from crystaltool.verbs.measure import HullSettings

    session = Session(context, quiet=quiet, verbose=verbose, fail_fast=fail_fast, provenance=not no_provenance)
    check_hull(potential, hull_file)  # a hull that cannot be read ends the run at once
    session.rewrite(
        functools.partial(measure_block, HullSettings(potential, hull_file), session.record),
        session.raw_blocks(files),
        session.writer(output, output_dir, overwrite, resume, files),
        jobs,
        fatal=(MissingExtraError,),
    )


def measure_block(settings: HullSettings, record: Record, raw: RawBlock) -> Written:
    """Parse, measure and write one block; pure, for any process.

    Raises:
        CrystaltoolError: if the block cannot be read or measured.
    """
    from crystaltool.errors import InputError
    from crystaltool.io.annotate import annotate
    from crystaltool.io.stream import BadRecord, parse_raw
    from crystaltool.verbs.measure import hull_values

    block = parse_raw(raw)
    if isinstance(block, BadRecord):
        raise InputError(block.message)
    properties, history = hull_values(settings, record.command_line, block)
    return Written(annotate(block, properties, history, record.created))
