"""`crystaltool measure`: structures in, the same structures out with what was measured of them, block by block."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from crystaltool.cli import options
from crystaltool.cli.session import Record, Session, Written
from crystaltool.defaults import CYCLES, MOF_MODEL, POTENTIAL, PRESSURES, PROBE, TEMPERATURE
from crystaltool.errors import UsageError

if TYPE_CHECKING:
    from crystaltool.io.records import RawBlock
    from crystaltool.verbs.measure_block import MeasureSettings


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
            "--hull-file",
            metavar="FILE",
            help="CSV of your own phases (formula, energy_per_atom, id), or the name of a shipped hull; with --hull.",
        ),
    ] = None,
    pores: Annotated[
        bool, typer.Option("--pores", help="Pore diameters, accessible surface, void fractions (extra 'pore').")
    ] = False,
    probe: Annotated[
        float, typer.Option("--probe", metavar="A", help="Radius of the probe of surface and volume, in A.")
    ] = PROBE,
    adsorption: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--adsorption", metavar="GAS", help="Uptake of CO2, CH4, N2 or H2; may be repeated."),
    ] = None,
    pressure: Annotated[
        str, typer.Option("--pressure", metavar="P,...", help="Pressures in bar; several give a working capacity.")
    ] = PRESSURES,
    temperature: Annotated[
        float, typer.Option("--temperature", metavar="K", help="Temperature of the gas, in K.")
    ] = TEMPERATURE,
    charges: Annotated[
        str, typer.Option("--charges", metavar="eqeq|file|none", help="Partial charges of the framework.")
    ] = "none",
    cycles: Annotated[
        float, typer.Option("--cycles", metavar="N", help="Accepted moves for each molecule; more: smaller errors.")
    ] = CYCLES,
    estimate: Annotated[
        bool,
        typer.Option("--estimate", help="Working capacity of CO2 by a formula, not simulated."),
    ] = False,
    predict: Annotated[
        bool, typer.Option("--predict", help="What the heads of a MOFDiff checkpoint predict of the MOF as it is.")
    ] = False,
    model: Annotated[str, typer.Option("--model", metavar="NAME|DIR", help="Checkpoint of --predict.")] = MOF_MODEL,
    seed: options.Seed = 0,
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
    """Measure structures and write what was measured into them.

    Each block is written as it came, in order and as soon as it is ready, with _crystaltool_* values added. What was
    measured before stays, unless the same is measured again. Several measurements may be asked for at once.

    --hull: _crystaltool_e_above_hull (eV/atom; below 0: more stable than every mixture of known phases),
    _crystaltool_formation_energy_per_atom (eV/atom), _crystaltool_hull_decomposition (shares of the atoms and phases),
    and what they stand on: _crystaltool_hull_potential, _crystaltool_hull_reference,
    _crystaltool_hull_energy_per_atom and _crystaltool_hull_energy_source (relaxed or single-point). The energy is the
    one that relax wrote into the block, if by the same potential, else that of a single point of the structure as it
    is. Two hulls come with the tool. mp2020 has published energies of the Materials Project (PBE and PBE+U with the
    corrections of 2020); it is taken for --potential mp2020, energies of that kind that you wrote into the blocks
    yourself. mp2020-chgnet adds CHGNet's energies of phases whose structures are published without such an energy; it
    is taken for chgnet, unless --hull-file mp2020 leaves them out. Any other potential needs a hull of its own
    energies, --hull-file. An element without reference energy is an error of that structure.

    --pores: _crystaltool_lcd and _crystaltool_pld (A; largest cavity and pore limiting diameter),
    _crystaltool_accessible_surface_area (m2/g; _volumetric: m2/cm3), _crystaltool_inaccessible_surface_area (m2/g, of
    pockets), _crystaltool_accessible_void_fraction and _crystaltool_n_channels for a probe of --probe, by Zeo++, and
    _crystaltool_helium_void_fraction, Widom's mean of helium at 298 K.

    --adsorption: by grand-canonical Monte Carlo in the rigid framework, with co2, ch4, n2 or h2 in the names and
    pressures written as 0p1bar: _crystaltool_co2_uptake_0p1bar (absolute, mmol/g; _volumetric: cm3 of gas at 0 C and 1
    atm in a cm3), _crystaltool_co2_heat_0p1bar (isosteric heat of adsorption, kJ/mol), with several pressures
    _crystaltool_co2_working_capacity, the uptake at the highest less that at the lowest, and for small pressures
    _crystaltool_co2_henry (mmol/(g bar)) and _crystaltool_co2_heat_zero; standard errors end on _error.
    _crystaltool_co2_temperature, _charges and _force_field say how, _crystaltool_co2_remark what to mind. Without
    --charges the framework has none; eqeq works them out and writes them into the block. A structure with an element
    without Lennard-Jones parameters, or with charges that no atom can have, is an error. --estimate writes
    _crystaltool_co2_estimated_working_capacity instead, to choose what to simulate: a formula of the energies that a
    molecule alone finds, for CO2 in frameworks without charges.

    --predict: _crystaltool_predicted_*, from the cell as it is and the blocks that fragment finds in it; those that
    sample wrote are replaced.
    """
    asked = bool(adsorption)
    if not (hull or pores or asked or predict):
        if hull_file:
            raise UsageError("--hull-file is of use with --hull only")
        raise UsageError("nothing to measure, give --hull, --pores, --adsorption or --predict")
    useless = {
        "--hull-file with --hull": hull_file is not None and not hull,
        "--probe with --pores": probe != PROBE and not pores,
        "--pressure with --adsorption": pressure != PRESSURES and not asked,
        "--temperature with --adsorption": temperature != TEMPERATURE and not asked,
        "--charges with --adsorption": charges != "none" and not asked,
        "--cycles with --adsorption": cycles != CYCLES and not asked,
        "--estimate with --adsorption": estimate and not asked,
        "--cycles without --estimate": cycles != CYCLES and estimate,
        "--model with --predict": model != MOF_MODEL and not predict,
    }
    for option in (text for text, found in useless.items() if found):
        raise UsageError(f"{option.replace(' with', ' is of use with', 1)} only")
    from crystaltool.errors import MissingExtraError
    from crystaltool.verbs.measure_block import MeasureSettings, adsorption_settings, prepare

    session = Session(context)
    settings = MeasureSettings(
        hull=hull,
        potential=potential,
        hull_file=hull_file,
        probe=probe if pores else None,
        adsorption=adsorption_settings(adsorption or [], pressure, temperature, charges, cycles, estimate),
        model=model if predict else None,
        seed=seed,
    )
    prepare(settings)  # what no structure can have ends the run at once
    session.rewrite(
        functools.partial(rewrite, settings, session.record),
        session.raw_blocks(files),
        session.writer(output, output_dir, overwrite, resume, files),
        jobs,
        fatal=(MissingExtraError,),
    )


def rewrite(settings: MeasureSettings, record: Record, raw: RawBlock) -> Written:
    """Parse, measure and write one block; pure, for any process.

    Raises:
        CrystaltoolError: if the block cannot be read or measured.
    """
    from crystaltool.io.stream import read_raw
    from crystaltool.verbs.measure_block import measure_block

    text, warnings = measure_block(settings, record.command_line, read_raw(raw), record.created)
    return Written(text, "; ".join(warnings))
