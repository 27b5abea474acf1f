"""Stability: the energy above the hull that the block states, or else one measured by a single point."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crystaltool.checks.verdict import Verdict
from crystaltool.errors import InputError

if TYPE_CHECKING:
    from crystaltool.io.cif import CifBlock

STABLE = "stable"
DEFAULT_ABOVE_HULL = 0.1
"""eV/atom: the field's limit of what may be metastable."""


def check_stable(block: CifBlock, limit: float) -> Verdict:
    """Passes at most `limit` eV/atom above the hull; a structure whose distance cannot be told does not pass.

    Raises:
        MissingExtraError: if a single point is needed and CHGNet is not installed.
    """
    from crystaltool.measure.stability import hull_properties, load_hull, measure_stability, stated_distance

    asked = f"at most {limit:g} eV/atom above the hull"
    found = stated_distance(block)
    if found is None:
        try:
            stability, energy = measure_stability(block)
        except InputError as error:
            return Verdict(STABLE, False, None, asked, f"cannot be told: {error}")
        found = hull_properties(stability, energy, load_hull())
    value = float(found["e_above_hull"])
    message = f"{found['hull_energy_source']} energy of {found['hull_potential']}, hull {found['hull_reference']}"
    return Verdict(STABLE, value <= limit, value, asked, message)
