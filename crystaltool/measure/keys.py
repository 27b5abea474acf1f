"""Which `_crystaltool_*` values were measured of one geometry: a command that moves atoms drops them."""

from __future__ import annotations

from crystaltool.measure.adsorption.names import is_adsorption_key
from crystaltool.measure.pores import PORE_PROPERTIES
from crystaltool.measure.stability import HULL_PROPERTIES

HELIUM_VOID_FRACTION = "helium_void_fraction"


def is_measured(key: str) -> bool:
    """Whether `measure` writes a value of this name."""
    return key in HULL_PROPERTIES or key in PORE_PROPERTIES or key == HELIUM_VOID_FRACTION or is_adsorption_key(key)
