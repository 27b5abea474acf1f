"""What the checks know of an element, by atomic number, read from `elements.csv` (made by `build_elements.py`)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from crystaltool.arrays import Bool, Float
from crystaltool.units import ElementTable

SMACT_VERSION = "4.0.2"
"""The smact release whose tables `elements.csv` holds."""


_TABLE = ElementTable(Path(__file__).with_name("elements.csv"))

ATOMIC_RADIUS: Float[np.ndarray, "119"] = _TABLE.numbers("atomic_radius")
"""Empirical atomic radii in Angstrom (Slater 1964, as pymatgen has them); NaN where there is none."""

LEMAT_RADIUS: Float[np.ndarray, "119"] = np.where(np.isnan(ATOMIC_RADIUS), 1.0, ATOMIC_RADIUS)
"""The radii of LeMat-GenBench's distance rule: `ATOMIC_RADIUS`, and 1.0 A where there is none."""

ELECTRONEGATIVITY: Float[np.ndarray, "119"] = _TABLE.numbers("electronegativity")
"""Pauling electronegativities as smact has them; NaN where it has none."""

SMACT_METAL: Bool[np.ndarray, "119"] = _TABLE.flags("metal")
"""Whether smact counts the element as a metal (semimetals Ge, Sb, Bi, Po included; Pm and Lr are missing there)."""

SMACT14_STATES: tuple[tuple[int, ...], ...] = (
    (),
    *(tuple(int(text) for text in row["smact14_states"].split()) for row in _TABLE.rows),
)
"""Oxidation states of smact's 2014 set; empty where it has none."""
