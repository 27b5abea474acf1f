"""Covalent radii, sizes for bond valences and which elements are metals, by atomic number."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from crystaltool.arrays import Bool, Float
from crystaltool.units import ElementTable

_TABLE = ElementTable(Path(__file__).with_name("elements.csv"))

COVALENT_RADIUS: Float[np.ndarray, "119"] = _TABLE.numbers("covalent_radius", first=0.0)
"""Angstrom (Cordero et al., Dalton Trans. 2008, 2832); entry 0 is empty."""

METAL: Bool[np.ndarray, "119"] = _TABLE.flags("metal")
"""Elements that form nodes."""

BOND_VALENCE_SIZE: Float[np.ndarray, "119"] = _TABLE.numbers("size", first=0.0)
BOND_VALENCE_ELECTRONEGATIVITY: Float[np.ndarray, "119"] = _TABLE.numbers("electronegativity", first=0.0)
"""Size r (A) and electronegativity c of O'Keeffe and Brese, from which R0 of a pair follows; NaN where not known."""
