"""What the checks of MOFs know of an element, by atomic number, from `elements.csv` (made by `build_elements.py`)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from crystaltool.arrays import Bool, Float, Int
from crystaltool.mof.elements import METAL
from crystaltool.units import SYMBOLS, ElementTable


def _mask(symbols: str) -> np.ndarray:
    return np.isin(np.array(SYMBOLS), symbols.split())


_TABLE = ElementTable(Path(__file__).with_name("elements.csv"))

VDW_RADIUS: Float[np.ndarray, "119"] = np.nan_to_num(_TABLE.numbers("vdw_radius"), nan=2.0)
"""Van der Waals radii in Angstrom (CRC Handbook, as pymatgen has them); 2.0 where there is none."""

CHARGE_CENTRE: Int[np.ndarray, "119"] = np.nan_to_num(_TABLE.numbers("charge_centre")).astype(np.int64)
"""Oxidation state about which EQeq expands an atom's energy."""

HIGHEST_CHARGE: Int[np.ndarray, "119"] = np.select(
    [_mask("B"), _mask("Si Ge"), _mask("P As"), _mask("S Se Te"), _mask("Cl Br I")], [3, 4, 5, 6, 7], 0
)
"""Oxidation state of nonmetals among oxygen and fluorine: the number of their valence electrons."""

LOWER_ENERGY: Float[np.ndarray, "119"] = _TABLE.numbers("lower_energy")
UPPER_ENERGY: Float[np.ndarray, "119"] = _TABLE.numbers("upper_energy")
"""Ionisation energies in eV to the charge centre and beyond it; NaN where not known."""

ALKALI: Bool[np.ndarray, "119"] = _mask("Li Na K Rb Cs Fr Be Mg Ca Sr Ba Ra")
"""Alkali and alkaline earth metals."""

RARE_EARTH: Bool[np.ndarray, "119"] = _mask(
    "La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr"
)
"""Lanthanides and actinides, MOFChecker's rare earths."""

CENTRE: Bool[np.ndarray, "119"] = METAL | _mask("Ge")
"""What can be the centre of a node: metals, and germanium, which is bound as tin is."""
