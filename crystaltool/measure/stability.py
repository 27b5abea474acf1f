"""Energy above the hull of a structure, from an energy that its block states or from a single point."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from crystaltool.defaults import POTENTIAL
from crystaltool.errors import InputError, UsageError
from crystaltool.measure.hull import FILLED_NAME, SHIPPED_HULLS, SHIPPED_NAME, Hull, Stability, load_hull

if TYPE_CHECKING:
    from crystaltool.crystal import Crystal
    from crystaltool.io.cif import CifBlock

STATED_POTENTIAL = "mp2020"
"""Name for density-functional energies with the corrections of the shipped hull: only stated, never computed here."""

ON_SHIPPED_HULL = {POTENTIAL: FILLED_NAME, STATED_POTENTIAL: SHIPPED_NAME}
"""Potentials whose energies stand beside a shipped hull's, and which. CHGNet was trained on corrected energies of the
Materials Project (`energy_per_atom` of MPtrj, doi 10.1038/s42256-023-00716-3); a test shows that it gives such."""

BOND_POTENTIAL = "uff"

RELAXED, SINGLE_POINT = "relaxed", "single-point"

HULL_PROPERTIES = (
    "e_above_hull",
    "formation_energy_per_atom",
    "hull_decomposition",
    "hull_energy_per_atom",
    "hull_energy_source",
    "hull_potential",
    "hull_reference",
)
"""Keys of what is measured; it belongs to one geometry, so a command that moves atoms must drop them."""

DOUBTFUL = -0.3
"""eV/atom above the hull: what lies lower shows that a phase is missing from the hull or that the potential fails."""

SAME_ENERGY = 1e-6
"""eV/atom: energies are written with six decimals."""

_MODEL = re.compile(r"\bmodel ([^\s|]+)")
CHGNET_MODEL = "0.3.0"
"""The weights that crystaltool loads; an energy of other weights, by the block's history, is computed anew."""


@dataclass(frozen=True)
class Energy:
    """An energy.

    Args:
        per_atom: eV/atom.
        potential: whose energy it is.
        source: `RELAXED` (stated by the block) or `SINGLE_POINT`.
        version: code and parameters of a single point, for the block's history.
    """

    per_atom: float
    potential: str
    source: str
    version: str = ""


def check_hull(potential: str, hull_file: str | None) -> Hull:
    """The hull for a potential, shipped or a user's own; a file of the name of a shipped hull is that hull.

    Raises:
        UsageError: if the potential's energies are not those of the shipped hull, or of no hull at all.
        InputError: if the file is none.
    """
    if potential == BOND_POTENTIAL:
        raise UsageError(f"energies of {potential} compare structures of equal bonds, they have no hull")
    if hull_file in (None, *SHIPPED_HULLS) and potential not in ON_SHIPPED_HULL:
        fits = " and ".join(ON_SHIPPED_HULL)
        raise UsageError(
            f"energies of {potential!r} do not stand beside the hull {SHIPPED_NAME}, which fits {fits}; give one "
            "of the same potential with --hull-file"
        )
    return load_hull(hull_file or ON_SHIPPED_HULL[potential])


def stated_energy(block: CifBlock, potential: str) -> float | None:
    """The energy in eV/atom that the block states for this potential, as `relax` writes it; None if it states none."""
    if block.properties.get("relax_forcefield") != potential:
        return None
    if potential == POTENTIAL and _model_of(block) not in (None, CHGNET_MODEL):
        return None
    try:
        return float(block.properties["energy_per_atom"])
    except (KeyError, ValueError):
        return None


def _model_of(block: CifBlock) -> str | None:
    """The weights that the block's last `relax` names in its history."""
    for line in reversed(block.history):
        fields = line.split(" | ")
        if len(fields) > 1 and fields[1].split()[:1] == ["relax"]:
            found = _MODEL.search(" | ".join(fields[2:]))
            return found[1] if found else None
    return None


def energy_of(block: CifBlock, potential: str) -> Energy:
    """The energy of a block's structure: stated, else by a single point.

    Raises:
        InputError: if it is neither stated nor can be computed.
        MissingExtraError: if the potential is not installed.
    """
    stated = stated_energy(block, potential)
    if stated is not None:
        return Energy(stated, potential, RELAXED)
    from crystaltool.forcefield.interface import single_point
    from crystaltool.forcefield.minimise import MIN_DISTANCE, collapsed
    from crystaltool.forcefield.registry import is_computed, load_force_field

    if not is_computed(potential):
        raise InputError(
            f"the block states no energy of {potential!r} (_crystaltool_energy_per_atom with "
            f"_crystaltool_relax_forcefield {potential}), and it cannot be computed"
        )
    crystal = primitive_cell(block)
    if collapsed(crystal):  # potentials were never trained there and may call it stable
        raise InputError(f"two atoms are closer than {MIN_DISTANCE:g} A, an energy would mean nothing")
    force_field = load_force_field(potential)
    return Energy(single_point(force_field, crystal) / crystal.n_atoms, potential, SINGLE_POINT, force_field.version)


def primitive_cell(block: CifBlock) -> Crystal:
    """A primitive cell where the block declares a centred group in the standard setting, else the cell as it is."""
    from crystaltool.declared_unit import declared_unit
    from crystaltool.forcefield.symmetric_coordinates import SymmetricCoordinates

    if block.declared_group is None or block.declared_group == 1:
        return block.crystal
    unit = declared_unit(block.crystal, block.declared_group, block.rotations, block.translations, block.atom_to_site)
    if unit is None:
        return block.crystal
    coordinates = SymmetricCoordinates(unit)
    return coordinates.crystal(np.zeros(coordinates.n_free))


def measure_stability(
    block: CifBlock, potential: str = POTENTIAL, hull_file: str | None = None
) -> tuple[Stability, Energy]:
    """Distance to the hull, and the energy that it was counted with.

    Raises:
        InputError: no energy, or an element without reference.
        UsageError, MissingExtraError: as `check_hull` and `energy_of`.
    """
    hull = check_hull(potential, hull_file)
    hull.require(block.crystal.numbers)  # before an energy is computed in vain
    energy = energy_of(block, potential)
    return hull.stability(block.crystal.numbers, energy.per_atom), energy


def hull_properties(stability: Stability, energy: Energy, hull: Hull) -> dict[str, str]:
    """The `_crystaltool_*` values: energies in eV/atom."""
    values = (
        f"{stability.above_hull:.6f}",
        f"{stability.formation:.6f}",
        stability.decomposition_text,
        f"{energy.per_atom:.6f}",
        energy.source,
        energy.potential,
        hull.name,
    )
    return dict(zip(HULL_PROPERTIES, values, strict=True))


def stated_distance(block: CifBlock) -> dict[str, str] | None:
    """The values that `measure --hull` wrote into the block; None if they are not all there, or of another energy.

    Another energy: the block states one of the same potential (`relax` wrote it later) that is not the measured one.
    """
    found = {key: block.properties.get(key, "") for key in HULL_PROPERTIES}
    try:
        value, energy = float(found["e_above_hull"]), float(found["hull_energy_per_atom"])
    except ValueError:
        return None
    stated = stated_energy(block, found["hull_potential"])
    known = math.isfinite(value) and all(found.values())
    return found if known and (stated is None or abs(stated - energy) < SAME_ENERGY) else None
