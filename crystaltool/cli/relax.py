"""`crystaltool relax`: structures in, relaxed structures out, block by block."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Annotated

import typer

from crystaltool.cli import options
from crystaltool.cli.session import Record, Session, Written
from crystaltool.defaults import MAX_FORCE, MAX_STEPS, SYMPREC
from crystaltool.verbs.framework_bonds import Bonds

if TYPE_CHECKING:
    from crystaltool.io.records import RawBlock
    from crystaltool.verbs.relax import RelaxSettings


def command(
    context: typer.Context,
    files: options.Files = None,
    force_field: Annotated[
        str | None,
        typer.Option(
            "--forcefield",
            metavar="NAME",
            help="Force field: uff, chgnet or ase:MODULE:FACTORY (any calculator of ASE, made by a call of FACTORY);"
            " if not given, uff for MOFs and chgnet for others.",
        ),
    ] = None,
    max_force: Annotated[
        float, typer.Option("--fmax", metavar="EV/A", help="Converged below this largest force, in eV/A.")
    ] = MAX_FORCE,
    max_steps: Annotated[
        int, typer.Option("--max-steps", min=0, metavar="N", help="Evaluations of the force field after the first.")
    ] = MAX_STEPS,
    keep_symmetry: Annotated[
        bool,
        typer.Option("--keep-symmetry/--no-keep-symmetry", help="Keep the space group exactly, or free every atom."),
    ] = True,
    fixed_cell: Annotated[bool, typer.Option("--fixed-cell", help="Move atoms only; the stress is ignored.")] = False,
    symprec: options.Symprec = SYMPREC,
    names: options.Naming = options.Names.block,
    charges: Annotated[
        bool, typer.Option("--charges", help="Write EQeq partial charges of the result (_atom_site_charge).")
    ] = False,
    bonds: Annotated[
        Bonds,
        typer.Option(
            "--bonds",
            metavar="auto|stated|perceived",
            help="Bonds for uff: stated ones that the geometry bears out, else perceived; or refuse; or all perceived.",
        ),
    ] = Bonds.auto,
    output: options.Output = "-",
    output_dir: options.OutputDir = None,
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
    """Relax structures with a force field.

    Cell and positions move together to a minimum of the energy. What check judges as a metal-organic framework (a block
    that states its bonds, or has organic carbon and a metal, or is an organic net) goes to uff (UFF with the UFF4MOF
    types, no charges) on these bonds, or on bonds perceived from the geometry where none are stated, or with a warning
    where stated ones are too long, too many or not all (--bonds); it is written in P 1 with its bonds. Anything else
    goes to chgnet and keeps its space group exactly: the one that a block declares in the standard setting, else the
    one detected within --symprec (also where a block declares P 1); it is written as its asymmetric unit.

    Partial charges of the input (_atom_site_charge) go into the output where every atom is written; --charges writes
    those of EQeq instead.

    Each structure is written in order and as soon as it is ready, with _crystaltool_relax_forcefield,
    _crystaltool_energy_per_atom (eV/atom), _crystaltool_max_force (eV/A), _crystaltool_max_stress (GPa),
    _crystaltool_relax_steps and _crystaltool_relax_converged (yes or no); _crystaltool_relax_start_cell has the cell
    before (A, degrees), _crystaltool_relax_volume_change what came or went in percent. Converged means the largest
    force below --fmax and every stress component below 0.1 GPa, with uff 0.01 GPa. A structure that does not converge
    is written too, with a warning; so is one whose volume changes by more than 10 percent, whose cell runs away to
    twice or half its volume, or whose atoms fall together.
    """
    from crystaltool.errors import UsageError
    from crystaltool.forcefield.registry import require_force_field
    from crystaltool.verbs.relax import RelaxSettings

    session = Session(context)
    if force_field is not None:
        require_force_field(force_field)
    if not max_force > 0:
        raise UsageError(f"--fmax is {max_force:g} eV/A, expected a positive number")
    settings = RelaxSettings(force_field, max_force, max_steps, keep_symmetry, fixed_cell, symprec, charges, bonds)
    session.rewrite(
        functools.partial(relax_block, settings, session.record),
        session.raw_blocks(files, names=names),
        session.writer(output, output_dir, overwrite, resume, files),
        jobs,
    )


def relax_block(settings: RelaxSettings, record: Record, raw: RawBlock) -> Written:
    """Parse, relax and write one block; pure, for any process.

    Raises:
        CrystaltoolError: if the block cannot be read or relaxed.
    """
    from crystaltool.io.stream import read_raw
    from crystaltool.structure import Structure
    from crystaltool.verbs.relax import relaxed

    done = relaxed(settings, record.command_line, Structure.from_block(read_raw(raw)))
    return Written(done.structure.to_cif(record.created), done.warning)
