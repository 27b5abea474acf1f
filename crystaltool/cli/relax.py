"""`crystaltool relax`: structures in, relaxed structures out, block by block."""

from __future__ import annotations

import contextlib
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from crystaltool.cli import options
from crystaltool.cli.failures import report_failure
from crystaltool.cli.session import Session

if TYPE_CHECKING:
    import numpy as np

    from crystaltool.arrays import Float
    from crystaltool.asymunit import AsymUnit
    from crystaltool.bonds import BondGraph
    from crystaltool.crystal import Crystal
    from crystaltool.forcefield.minimise import Relaxation
    from crystaltool.forcefield.uff.relaxation import MOFRelaxation
    from crystaltool.io.cif import CifBlock
    from crystaltool.io.stream import RawBlock

# Stand also in forcefield/minimise.py, registry.py and symmetry/detection.py, which this module must not load for
# --help; a test compares them.
DEFAULT_FORCE_FIELD = "chgnet"
DEFAULT_MOF_FORCE_FIELD = "uff"
DEFAULT_MAX_FORCE = 0.05
DEFAULT_MAX_STEPS = 500
DEFAULT_SYMPREC = 0.01

GREAT_CHANGE = 0.1
"""A volume that changes by more than this part is warned of."""


@dataclass(frozen=True)
class Settings:
    """What a worker must know: all that decides the bytes of a block.

    `force_field` is None where each block's kind decides; `command_line` is None without provenance, `created` the
    date of the run or None.
    """

    force_field: str | None
    max_force: float
    max_steps: int
    keep_symmetry: bool
    fixed_cell: bool
    symprec: float
    command_line: str | None
    created: str | None
    charges: bool = False


@dataclass(frozen=True)
class RelaxedBlock:
    """A finished block, and what to warn of, empty if nothing."""

    text: str
    reason: str


def command(
    context: typer.Context,
    files: options.Files = None,
    force_field: Annotated[
        str | None,
        typer.Option(
            "--forcefield",
            metavar="NAME",
            help="Force field: uff or chgnet; if not given, uff for MOFs and chgnet for others.",
        ),
    ] = None,
    max_force: Annotated[
        float, typer.Option("--fmax", metavar="EV/A", help="Converged below this largest force, in eV/A.")
    ] = DEFAULT_MAX_FORCE,
    max_steps: Annotated[
        int, typer.Option("--max-steps", min=0, metavar="N", help="Evaluations of the force field after the first.")
    ] = DEFAULT_MAX_STEPS,
    keep_symmetry: Annotated[
        bool,
        typer.Option("--keep-symmetry/--no-keep-symmetry", help="Keep the space group exactly, or free every atom."),
    ] = True,
    fixed_cell: Annotated[bool, typer.Option("--fixed-cell", help="Move atoms only; the stress is ignored.")] = False,
    symprec: options.Symprec = DEFAULT_SYMPREC,
    names: options.Naming = options.Names.block,
    charges: Annotated[
        bool, typer.Option("--charges", help="Write EQeq partial charges of the result (_atom_site_charge).")
    ] = False,
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
    """Relax structures with a force field.

    Cell and positions move together to a minimum of the energy. A block that states its bonds, or holds a metal, carbon
    and hydrogen, is a metal-organic framework and goes to uff (UFF with the UFF4MOF types, no charges) on these bonds,
    or else on bonds perceived from the geometry; it is written in P 1 with its bonds. Anything else goes to chgnet and
    keeps its space group exactly: the one that a block declares in the standard setting, else the one detected within
    --symprec (also where a block declares P 1); it is written as its asymmetric unit.

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
    from crystaltool.executor import map_pairs
    from crystaltool.forcefield.registry import require_force_field

    session = Session(context, quiet=quiet, verbose=verbose, fail_fast=fail_fast, provenance=not no_provenance)
    if force_field is not None:
        require_force_field(force_field)
    if not max_force > 0:
        raise UsageError(f"--fmax is {max_force:g} eV/A, expected a positive number")
    settings = Settings(
        force_field,
        max_force,
        max_steps,
        keep_symmetry,
        fixed_cell,
        symprec,
        session.command_line if session.provenance else None,
        session.created,
        charges,
    )
    with session.writer(output, output_dir, overwrite, resume, files) as out, session.progress() as progress:
        todo = (raw for raw in session.raw_blocks(files, names=names) if not out.has(raw.name))
        with contextlib.closing(map_pairs(functools.partial(relax_block, settings), todo, jobs)) as pairs:
            for raw, result in pairs:
                if isinstance(result, RelaxedBlock):
                    if result.reason:
                        session.warn(result.reason, raw)
                    out.write(result.text, raw.name)
                else:
                    report_failure(session, result, raw)
                progress.advance()
    session.finish()


def relax_block(settings: Settings, raw: RawBlock) -> RelaxedBlock:
    """Parse, relax and write one block; pure, for any process.

    Raises:
        CrystaltoolError: if the block cannot be read or relaxed.
    """
    from crystaltool.io.stream import read_raw

    block = read_raw(raw)
    name = settings.force_field or (DEFAULT_MOF_FORCE_FIELD if is_mof(block) else DEFAULT_FORCE_FIELD)
    if name == DEFAULT_MOF_FORCE_FIELD:
        return _relax_on_bonds(settings, block)
    return _relax_by_potential(settings, block, name)


def is_mof(block: CifBlock) -> bool:
    """Whether a block states bonds, or holds a metal, carbon and hydrogen."""
    from crystaltool.mof.elements import METAL

    numbers = block.crystal.numbers
    return block.bonds is not None or (bool(METAL[numbers].any()) and {1, 6} <= set(numbers.tolist()))


def _relax_by_potential(settings: Settings, block: CifBlock, name: str) -> RelaxedBlock:
    from crystaltool.forcefield.minimise import minimise
    from crystaltool.forcefield.registry import load_force_field
    from crystaltool.io.cif import format_asym_unit, format_crystal

    keep = settings.keep_symmetry and block.bonds is None  # bonds are stated in P 1
    unit = starting_unit(block, settings.symprec) if keep else without_symmetry(block)
    force_field = load_force_field(name)
    relaxed = minimise(unit, force_field, settings.max_force, settings.max_steps, settings.fixed_cell)
    history = _history(settings, block, force_field.version)
    properties = _properties(block, relaxed, name, unit.lattice, relaxed.unit.lattice)
    if block.bonds is None:
        charges = _orbit_charges(relaxed.unit) if settings.charges else None
        text = format_asym_unit(relaxed.unit, block.name, history, properties, settings.created, charges)
    else:
        crystal = in_images_of(relaxed.unit, block.crystal)
        charges = _charges(settings, block, crystal)
        text = format_crystal(crystal, block.name, history, properties, settings.created, block.bonds, charges)
    return RelaxedBlock(text, warning_of(relaxed.reason, unit.lattice, relaxed.unit.lattice))


def _relax_on_bonds(settings: Settings, block: CifBlock) -> RelaxedBlock:
    from crystaltool.forcefield.uff.relaxation import VERSION, relax_mof
    from crystaltool.forcefield.uff.topology import build_topology
    from crystaltool.io.cif import format_crystal

    bonds = block.bonds if block.bonds is not None else perceived_bonds(block.crystal)
    topology = build_topology(block.crystal, bonds)
    relaxed = relax_mof(block.crystal, topology, settings.max_force, settings.max_steps, settings.fixed_cell)
    history = _history(settings, block, VERSION)
    start, end = block.crystal.lattice, relaxed.crystal.lattice
    properties = _properties(block, relaxed, DEFAULT_MOF_FORCE_FIELD, start, end)
    charges = _charges(settings, block, relaxed.crystal)
    text = format_crystal(relaxed.crystal, block.name, history, properties, settings.created, bonds, charges)
    return RelaxedBlock(text, warning_of(relaxed.reason, start, end))


def warning_of(reason: str, start: Float[np.ndarray, "3 3"], end: Float[np.ndarray, "3 3"]) -> str:
    """What to warn of: why the structure is not at rest, and a great change of volume, which the cells tell."""
    change = _volume_change(start, end)
    if abs(change) <= GREAT_CHANGE or "runs away" in reason:
        return reason
    volumes = f"the cell's volume changed by {100 * change:+.0f} %, from {_volume(start):.0f} to {_volume(end):.0f} A^3"
    return f"{reason}; {volumes}" if reason else volumes


def _volume(lattice: Float[np.ndarray, "3 3"]) -> float:
    import numpy as np

    return abs(float(np.linalg.det(lattice)))


def _volume_change(start: Float[np.ndarray, "3 3"], end: Float[np.ndarray, "3 3"]) -> float:
    """Part of the volume that came or went."""
    return _volume(end) / _volume(start) - 1


def _charges(settings: Settings, block: CifBlock, crystal: Crystal) -> Float[np.ndarray, "n_atoms"] | None:
    """Charges of the relaxed atoms in e: EQeq's if asked for, else those of the block, whose atoms have this order."""
    if not settings.charges:
        return block.atom_charges
    from crystaltool.checks.mof.eqeq import eqeq_charges

    return eqeq_charges(crystal)


def _orbit_charges(unit: AsymUnit) -> Float[np.ndarray, "n_orbits"]:
    """EQeq charges in e of the first atom of every orbit."""
    import numpy as np

    from crystaltool.asymunit import expand
    from crystaltool.checks.mof.eqeq import eqeq_charges

    first = np.concatenate([[0], np.cumsum(unit.multiplicities)[:-1]])
    return eqeq_charges(expand(unit))[first]


def perceived_bonds(crystal: Crystal) -> BondGraph:
    """Bonds from the geometry, with orders between nonmetals."""
    import numpy as np

    from crystaltool.bonds import AROMATIC_ORDER, UNKNOWN_ORDER, BondGraph
    from crystaltool.forcefield.uff.resonance import organic_orders
    from crystaltool.mof.perception import perceive_bonds

    bonds = perceive_bonds(crystal)
    orders = organic_orders(crystal.numbers, bonds)
    plain = np.isin(orders, [1.0, AROMATIC_ORDER, 2.0, 3.0])
    return BondGraph(bonds.pairs, bonds.images, np.where(plain, orders, UNKNOWN_ORDER))


def in_images_of(unit: AsymUnit, start: Crystal) -> Crystal:
    """The relaxed atoms of a unit in P 1, each in the image nearest to where it started, for which bonds are stated."""
    import numpy as np

    from crystaltool.crystal import Crystal

    coords = unit.free_coords
    return Crystal(unit.lattice, coords + np.round(start.frac_coords - coords), unit.numbers, start.name)


def _history(settings: Settings, block: CifBlock, version: str) -> tuple[str, ...]:
    from crystaltool.io.provenance import extend_history

    if settings.command_line is None:
        return ()
    return extend_history(block.history, settings.command_line, extra=[version])


def _properties(
    block: CifBlock,
    relaxed: Relaxation | MOFRelaxation,
    name: str,
    start: Float[np.ndarray, "3 3"],
    end: Float[np.ndarray, "3 3"],
) -> dict[str, str]:
    from crystaltool.lattice import matrix_to_parameters
    from crystaltool.measure.keys import is_measured

    kept = {key: value for key, value in block.properties.items() if not is_measured(key)}  # atoms have moved
    return {
        **kept,
        **relaxation_properties(relaxed),
        "relax_start_cell": " ".join(f"{value:.4f}" for value in matrix_to_parameters(start)),
        "relax_volume_change": f"{100 * _volume_change(start, end):.2f}",
        "relax_forcefield": name,
    }


def starting_unit(block: CifBlock, symprec: float) -> AsymUnit:
    """The asymmetric unit in the declared group where its setting is the standard one, else in the detected group.

    A declared P 1 says nothing about the structure: most programs write it for any list of atoms.
    """
    from crystaltool.asymunit import reduce
    from crystaltool.declared_unit import declared_unit

    unit = None
    if block.declared_group is not None and block.declared_group > 1:
        unit = declared_unit(
            block.crystal, block.declared_group, block.rotations, block.translations, block.atom_to_site
        )
    return unit if unit is not None else reduce(block.crystal, symprec)


def without_symmetry(block: CifBlock) -> AsymUnit:
    """Every atom of the cell on its own, in P 1."""
    import numpy as np

    from crystaltool.asymunit import AsymUnit

    crystal = block.crystal
    positions = np.zeros(crystal.n_atoms, dtype=np.int64)
    return AsymUnit(1, crystal.lattice, crystal.numbers, positions, crystal.frac_coords, block.name)


def relaxation_properties(relaxed: Relaxation | MOFRelaxation) -> dict[str, str]:
    """The `_crystaltool_*` values of a relaxed structure."""
    from crystaltool.forcefield.minimise import EV_PER_CUBIC_ANGSTROM_IN_GPA

    return {
        "energy_per_atom": f"{relaxed.energy_per_atom:.6f}",
        "max_force": f"{relaxed.max_force:.4f}",
        "max_stress": f"{relaxed.max_stress * EV_PER_CUBIC_ANGSTROM_IN_GPA:.4f}",
        "relax_steps": str(relaxed.steps),
        "relax_converged": "yes" if relaxed.converged else "no",
    }
