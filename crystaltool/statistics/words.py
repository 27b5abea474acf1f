"""What fields are called in a report: groups of them in order, and units."""

from __future__ import annotations

from collections.abc import Callable, Iterable

UNITS: dict[str, str] = {
    "density": "g/cm3",
    "volume_per_atom": "A^3",
    "volume": "A^3",
    "e_above_hull": "eV/atom",
    "formation_energy_per_atom": "eV/atom",
    "hull_energy_per_atom": "eV/atom",
    "energy_per_atom": "eV/atom",
    "max_force": "eV/A",
    "max_stress": "GPa",
    "relax_volume_change": "%",
    "pld": "A",
    "lcd": "A",
    "accessible_surface_area": "m2/g",
    "accessible_surface_area_volumetric": "m2/cm3",
    "inaccessible_surface_area": "m2/g",
    "pore_probe_radius": "A",
    "closure_max": "A",
    "closure_mean": "A",
    "angle_max": "degrees",
    "predicted_pld": "A",
    "predicted_lcd": "A",
    "predicted_density": "g/cm3",
    "predicted_co2_wc": "mmol/g",
    "predicted_co2_015": "mmol/g",
}
"""Of the values that crystaltool writes."""

COMPOSITION = ("n_elements", "n_atoms", "n_sites", "density", "volume_per_atom", "volume")
STABILITY = ("e_above_hull", "formation_energy_per_atom", "energy_per_atom", "hull_energy_per_atom")


def _groups() -> dict[str, Callable[[str], bool]]:
    from crystaltool.measure.adsorption.names import is_adsorption_key
    from crystaltool.measure.keys import HELIUM_VOID_FRACTION
    from crystaltool.measure.pores import PORE_PROPERTIES

    pores = (*PORE_PROPERTIES, HELIUM_VOID_FRACTION)
    return {
        "Composition and size": lambda name: name in COMPOSITION,
        "Energies": lambda name: name in STABILITY or "energy" in name,
        "Pores": lambda name: name in pores,
        "Adsorption": is_adsorption_key,
        "Predicted": lambda name: name.startswith("predicted_"),
        "Relaxation": lambda name: name.startswith("relax_") or name in ("max_force", "max_stress"),
        "Other values": lambda name: True,
    }


def grouped(names: Iterable[str]) -> dict[str, list[str]]:
    """The names by heading; the known ones in the order of this table, the others in their own."""
    left, found = list(names), {}
    known = (*COMPOSITION, *STABILITY)
    left.sort(key=lambda name: known.index(name) if name in known else len(known))
    for heading, belongs in _groups().items():
        if mine := [name for name in left if belongs(name)]:
            found[heading] = mine
            left = [name for name in left if name not in mine]
    return found


def unit_of(name: str) -> str:
    """The unit of a field, empty where it has none or nobody knows it."""
    return UNITS.get(name, "")


def with_unit(name: str) -> str:
    """`density, g/cm3`."""
    unit = unit_of(name)
    return f"{name}, {unit}" if unit else name


def short(value: float, width: int = 7) -> str:
    """A number in so many characters, four digits of it at most; empty for NaN."""
    if value != value:
        return ""
    texts = (f"{value:.{digits}g}" for digits in (4, 3, 2, 1))
    return next((text for text in texts if len(text) <= width), f"{value:.0e}")


def percent(share: float) -> str:
    """`12.3 %`, empty for NaN."""
    return f"{100 * share:.1f} %" if share == share else ""
