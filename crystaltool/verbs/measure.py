"""`measure_hull`: the energy above the convex hull, as a property of the structure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from crystaltool.defaults import POTENTIAL
from crystaltool.io.annotate import annotate
from crystaltool.io.cif import parse_block
from crystaltool.io.provenance import extend_history
from crystaltool.measure.stability import check_hull, hull_properties, load_hull, measure_stability
from crystaltool.structure import Structure
from crystaltool.verbs.stream import call_text, each

if TYPE_CHECKING:
    from crystaltool.io.cif import CifBlock


@dataclass(frozen=True)
class HullSettings:
    """Whose energies, and the file of a hull of one's own."""

    potential: str = POTENTIAL
    hull_file: str | None = None


def measure_hull(
    structure: Structure | Iterable[Structure],
    *,
    potential: str = POTENTIAL,
    hull_file: str | None = None,
    jobs: int = 1,
) -> Any:
    """The structure with `e_above_hull` and `formation_energy_per_atom` (eV/atom), and what they stand on.

    As `crystaltool measure --hull`: the energy is the one that `relax` left if of the same potential, else that of a
    single point.

    Args:
        structure: one, or an iterable of them.
        potential: whose energies; the shipped hull fits chgnet and mp2020.
        hull_file: CSV of phases of one's own (formula, energy_per_atom, id).
        jobs: worker processes for an iterable.

    Returns:
        A `Structure`; of an iterable an iterator over them.

    Raises:
        InputError: no energy, or an element without reference.
        UsageError: the potential's energies have no such hull.
        MissingExtraError: the potential is not installed.
    """
    check_hull(potential, hull_file)
    settings = HullSettings(potential, hull_file)
    return each(partial(_measured, settings, call_text("measure --hull", settings)), structure, Structure, jobs)


def _measured(settings: HullSettings, call: str, structure: Structure) -> Structure:
    block = structure.block
    text = annotate(block, *hull_values(settings, call, block))
    return Structure.from_block(parse_block(text, block.source, 0))


def hull_values(settings: HullSettings, call: str | None, block: CifBlock) -> tuple[dict[str, str], tuple[str, ...]]:
    """The properties that a block gets, and its history with a line for this call, empty if `call` is None."""
    stability, energy = measure_stability(block, settings.potential, settings.hull_file)
    properties = hull_properties(stability, energy, load_hull(settings.hull_file))
    if call is None:
        return properties, ()
    return properties, extend_history(block.history, call, extra=[energy.version] if energy.version else [])
