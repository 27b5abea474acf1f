"""`relax`: cell and positions to a minimum of the energy of a force field."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from crystaltool.arrays import Float
from crystaltool.asymunit import AsymUnit, expand, reduce
from crystaltool.bonds import BondGraph
from crystaltool.checks.kind import MOF, kind_of
from crystaltool.crystal import Crystal
from crystaltool.defaults import FORCE_FIELD, MAX_FORCE, MAX_STEPS, MOF_FORCE_FIELD, SYMPREC
from crystaltool.errors import UsageError
from crystaltool.io.provenance import extend_history
from crystaltool.io.remarks import publish
from crystaltool.lattice import matrix_to_parameters
from crystaltool.structure import Structure, declared_unit_of
from crystaltool.verbs.framework_bonds import Bonds, chosen_bonds
from crystaltool.verbs.stream import call_text, each

if TYPE_CHECKING:
    from crystaltool.forcefield.interface import ForceField
    from crystaltool.forcefield.minimise import Relaxation
    from crystaltool.forcefield.uff.relaxation import MOFRelaxation
    from crystaltool.io.cif import CifBlock

GREAT_CHANGE = 0.1
"""A volume that changes by more than this part is warned of."""


@dataclass(frozen=True)
class RelaxSettings:
    """How a structure is relaxed; see `relax`."""

    force_field: Any = None
    max_force: float = MAX_FORCE
    max_steps: int = MAX_STEPS
    keep_symmetry: bool = True
    fixed_cell: bool = False
    symprec: float = SYMPREC
    charges: bool = False
    bonds: str = Bonds.auto

    def __post_init__(self) -> None:
        if not self.max_force > 0:
            raise UsageError(f"largest force is {self.max_force:g} eV/A, expected a positive number")
        if self.max_steps < 0:
            raise UsageError(f"number of steps is {self.max_steps}, expected 0 or more")
        if self.bonds not in list(Bonds):
            raise UsageError(f"bonds is {self.bonds!r}, expected {', '.join(Bonds)}")


@dataclass(frozen=True)
class Relaxed:
    """A relaxed structure, and what to warn of, empty if nothing."""

    structure: Structure
    warning: str


def relax(
    structure: Structure | Iterable[Structure],
    force_field: Any = None,
    *,
    max_force: float = MAX_FORCE,
    max_steps: int = MAX_STEPS,
    keep_symmetry: bool = True,
    fixed_cell: bool = False,
    symprec: float = SYMPREC,
    charges: bool = False,
    bonds: str = Bonds.auto,
    jobs: int = 1,
    executor: Executor | None = None,
) -> Any:
    """Relax a structure with a force field; as `crystaltool relax`.

    Properties of the result: `energy_per_atom` (eV/atom), `max_force` (eV/A), `max_stress` (GPa), `relax_steps`,
    `relax_converged` (yes or no), `relax_start_cell` (A, degrees), `relax_volume_change` (percent), `relax_forcefield`.
    One that does not converge, or whose volume changes by more than 10 %, is warned of through `logging`.

    Args:
        structure: one, or an iterable of them.
        force_field: `uff`, `chgnet` or `ase:MODULE:FACTORY`; or an ASE calculator; or anything with the attributes of
            `crystaltool.forcefield.interface.ForceField`. None: uff for a metal-organic framework (as `check`
            tells it: `crystaltool.checks.kind.kind_of`), chgnet for others.
        max_force: converged below this largest force, eV/A.
        max_steps: evaluations of the force field after the first.
        keep_symmetry: keep the space group exactly; has no effect with bonds, which are stated in P 1.
        fixed_cell: move atoms only; the stress is ignored.
        symprec: tolerance of the symmetry search where no group is declared, Angstrom.
        charges: give the result EQeq partial charges.
        bonds: for uff: `auto`, stated ones that the geometry bears out, else perceived ones; `stated`; `perceived`.
        jobs: worker processes for an iterable.
        executor: any `concurrent.futures.Executor` (of dask, mpi4py, ...), whose workers do it in their place.

    Returns:
        The relaxed structure (`Structure`); of an iterable an iterator over them.

    Raises:
        InputError: the force field cannot describe the structure, or atoms coincide in it.
        SymmetryError: no space group is found.
        MissingExtraError: the force field is not installed.
        UsageError: a number out of range, or no such force field.
    """
    from crystaltool.forcefield.registry import as_force_field, require_force_field

    if not (force_field is None or isinstance(force_field, str)):
        force_field = as_force_field(force_field)
    settings = RelaxSettings(force_field, max_force, max_steps, keep_symmetry, fixed_cell, symprec, charges, bonds)
    if force_field is not None:
        require_force_field(force_field)
    call = call_text("relax", settings, skip=("force_field",))
    if force_field is not None:
        call += f" force_field={force_field if isinstance(force_field, str) else force_field.name}"
    return each(partial(_relaxed_with_warning, settings, call), structure, Structure, jobs, executor)


def _relaxed_with_warning(settings: RelaxSettings, call: str, structure: Structure) -> Structure:
    done = relaxed(settings, call, structure)
    if done.warning:
        publish(logging.WARNING, done.warning, structure.source, 0, structure.name)
    return done.structure


def relaxed(settings: RelaxSettings, call: str | None, structure: Structure) -> Relaxed:
    """Relax one structure.

    Args:
        settings: how.
        call: what the history says of it; None leaves no history at all.
        structure: where it starts.
    """
    block = structure.block
    wanted = settings.force_field
    if wanted is None:
        wanted = MOF_FORCE_FIELD if kind_of(block) == MOF else FORCE_FIELD
    if wanted == MOF_FORCE_FIELD:
        return _relaxed_on_bonds(settings, call, structure)
    from crystaltool.forcefield.registry import load_force_field

    return _relaxed_by_potential(settings, call, structure, load_force_field(wanted))


def _relaxed_by_potential(
    settings: RelaxSettings, call: str | None, structure: Structure, force_field: ForceField
) -> Relaxed:
    from crystaltool.forcefield.minimise import minimise

    block = structure.block
    keep = settings.keep_symmetry and block.bonds is None  # bonds are stated in P 1
    start = starting_unit(block, settings.symprec) if keep else without_symmetry(block)
    end = minimise(start, force_field, settings.max_force, settings.max_steps, settings.fixed_cell)
    form: Crystal | AsymUnit = end.unit
    if block.bonds is None:
        charges = _orbit_charges(end.unit) if settings.charges else None
    else:
        form = in_images_of(end.unit, block.crystal)
        charges = _charges(settings, block, form)
    properties = _properties(block, end, force_field.name, start.lattice, end.unit.lattice)
    history = _history(structure, call, force_field.version)
    made = _structure(structure, form, block.bonds, charges, properties, history)
    lost = ""
    if block.bonds is None and block.site_charges is not None and not settings.charges:
        lost = "charges of the input are left out (--charges writes those of EQeq)"
    said = warning_of(end.reason, start.lattice, end.unit.lattice)
    return Relaxed(made, "; ".join(filter(None, (lost, said))))


def _relaxed_on_bonds(settings: RelaxSettings, call: str | None, structure: Structure) -> Relaxed:
    from crystaltool.forcefield.minimise import Criteria
    from crystaltool.forcefield.uff.relaxation import MAX_STRESS, VERSION, relax_mof
    from crystaltool.forcefield.uff.topology import build_topology

    block = structure.block
    bonds, fault = chosen_bonds(Bonds(settings.bonds), block)
    topology = build_topology(block.crystal, bonds)
    criteria = Criteria(settings.max_force, settings.max_steps, settings.fixed_cell, MAX_STRESS)
    end = relax_mof(block.crystal, topology, criteria)
    before, after = block.crystal.lattice, end.crystal.lattice
    properties = _properties(block, end, MOF_FORCE_FIELD, before, after)
    charges = _charges(settings, block, end.crystal)
    made = _structure(structure, end.crystal, bonds, charges, properties, _history(structure, call, VERSION))
    return Relaxed(made, "; ".join(filter(None, (fault, warning_of(end.reason, before, after)))))


def _structure(
    start: Structure,
    form: Crystal | AsymUnit,
    bonds: BondGraph | None,
    charges: Float[np.ndarray, " n"] | None,
    properties: dict[str, str],
    history: tuple[str, ...],
) -> Structure:
    return Structure(
        form,
        name=start.name,
        bonds=bonds,
        charges=charges,
        properties=properties,
        history=history,
        source=start.source,
    )


def warning_of(reason: str, start: Float[np.ndarray, "3 3"], end: Float[np.ndarray, "3 3"]) -> str:
    """What to warn of: why the structure is not at rest, and a great change of volume, which the cells tell."""
    change = _volume_change(start, end)
    if abs(change) <= GREAT_CHANGE or "runs away" in reason:
        return reason
    volumes = f"the cell's volume changed by {100 * change:+.0f} %, from {_volume(start):.0f} to {_volume(end):.0f} A^3"
    return f"{reason}; {volumes}" if reason else volumes


def _volume(lattice: Float[np.ndarray, "3 3"]) -> float:
    return abs(float(np.linalg.det(lattice)))


def _volume_change(start: Float[np.ndarray, "3 3"], end: Float[np.ndarray, "3 3"]) -> float:
    """Part of the volume that came or went."""
    return _volume(end) / _volume(start) - 1


def _charges(settings: RelaxSettings, block: CifBlock, crystal: Crystal) -> Float[np.ndarray, " n_atoms"] | None:
    """Charges of the relaxed atoms in e: EQeq's if asked for, else those of the block, whose atoms have this order."""
    if not settings.charges:
        return block.atom_charges
    from crystaltool.checks.mof.eqeq import eqeq_charges

    return eqeq_charges(crystal)


def _orbit_charges(unit: AsymUnit) -> Float[np.ndarray, " n_orbits"]:
    """EQeq charges in e of the first atom of every orbit."""
    from crystaltool.checks.mof.eqeq import eqeq_charges

    first = np.concatenate([[0], np.cumsum(unit.multiplicities)[:-1]])
    return eqeq_charges(expand(unit))[first]


def in_images_of(unit: AsymUnit, start: Crystal) -> Crystal:
    """The relaxed atoms of a unit in P 1, each in the image nearest to where it started, for which bonds are stated."""
    coords = unit.free_coords
    return Crystal(unit.lattice, coords + np.round(start.frac_coords - coords), unit.numbers, start.name)


def starting_unit(block: CifBlock, symprec: float) -> AsymUnit:
    """The asymmetric unit in the declared group where its setting is the standard one, else in the detected group.

    A declared P 1 says nothing about the structure: most programs write it for any list of atoms.
    """
    unit = declared_unit_of(block)
    return unit if unit is not None else reduce(block.crystal, symprec)


def without_symmetry(block: CifBlock) -> AsymUnit:
    """Every atom of the cell on its own, in P 1."""
    crystal = block.crystal
    positions = np.zeros(crystal.n_atoms, dtype=np.int64)
    return AsymUnit(1, crystal.lattice, crystal.numbers, positions, crystal.frac_coords, block.name)


def _history(structure: Structure, call: str | None, version: str) -> tuple[str, ...]:
    return () if call is None else extend_history(structure.history, call, extra=[version])


def _properties(
    block: CifBlock,
    end: Relaxation | MOFRelaxation,
    name: str,
    before: Float[np.ndarray, "3 3"],
    after: Float[np.ndarray, "3 3"],
) -> dict[str, str]:
    from crystaltool.checks.verdict import without_verdicts
    from crystaltool.measure.keys import is_measured

    # atoms have moved: what was measured or judged of them before is not true any more
    kept = {key: value for key, value in without_verdicts(block.properties).items() if not is_measured(key)}
    return {
        **kept,
        **relaxation_properties(end),
        "relax_start_cell": " ".join(f"{value:.4f}" for value in matrix_to_parameters(before)),
        "relax_volume_change": f"{100 * _volume_change(before, after):.2f}",
        "relax_forcefield": name,
    }


def relaxation_properties(end: Relaxation | MOFRelaxation) -> dict[str, str]:
    """The `_crystaltool_*` values of a relaxed structure."""
    from crystaltool.forcefield.minimise import EV_PER_CUBIC_ANGSTROM_IN_GPA

    return {
        "energy_per_atom": f"{end.energy_per_atom:.6f}",
        "max_force": f"{end.max_force:.4f}",
        "max_stress": f"{end.max_stress * EV_PER_CUBIC_ANGSTROM_IN_GPA:.4f}",
        "relax_steps": str(end.steps),
        "relax_converged": "yes" if end.converged else "no",
    }
