"""Covalent radii, sizes for bond valences and which elements are metals, by atomic number."""

from __future__ import annotations

from importlib.resources import files

import numpy as np

from crystaltool.arrays import Bool, Float


def _column(name: str) -> np.ndarray:
    lines = files("crystaltool.mof").joinpath("elements.csv").read_text(encoding="utf-8").splitlines()
    rows = [line.split(",") for line in lines if not line.startswith("#")]
    index = rows[0].index(name)
    return np.array([0.0, *(float(row[index] or "nan") for row in rows[1:])])


COVALENT_RADIUS: Float[np.ndarray, "119"] = _column("covalent_radius")
"""Angstrom (Cordero et al., Dalton Trans. 2008, 2832); entry 0 is empty."""

METAL: Bool[np.ndarray, "119"] = _column("metal") == 1
"""Elements that form nodes."""

BOND_VALENCE_SIZE: Float[np.ndarray, "119"] = _column("size")
BOND_VALENCE_ELECTRONEGATIVITY: Float[np.ndarray, "119"] = _column("electronegativity")
"""Size r (A) and electronegativity c of O'Keeffe and Brese, from which R0 of a pair follows; NaN where not known."""
