"""The atom types of UFF and UFF4MOF, and the formulas that make terms of them.

Equation numbers are those of Rappe, Casewit, Colwell, Goddard, Skiff, J. Am. Chem. Soc. 114, 10024 (1992).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from crystaltool.arrays import Float, Int

KCAL_PER_MOL = 0.0433641153
"""eV in one kcal/mol (CODATA 2018)."""

BOND_CONSTANT = 664.12
"""kcal/mol A: G of equations 6 and 13, twice the Coulomb constant 332.06 kcal/mol A/e^2."""

BOND_ORDER_SLOPE = 0.1332
"""lambda of Pauling's bond order correction (equation 3)."""

AMIDE_ORDER = 1.41
"""Order of the C-N bond of an amide, section II.C."""

METAL_OXYGEN_ORDER = 0.5
"""Order of a bond between a metal and an oxygen for which the UFF4MOF radii were fitted (2014)."""

METAL_METAL_ORDER = 0.25
"""Order of a bond between two metals in UFF4MOF (2014)."""


@dataclass(frozen=True)
class AtomTypes:
    """The table, a row for each type; units in `atom_types.csv`."""

    labels: tuple[str, ...]
    numbers: Int[np.ndarray, " n"]
    radius: Float[np.ndarray, " n"]
    angle: Float[np.ndarray, " n"]
    distance: Float[np.ndarray, " n"]
    depth: Float[np.ndarray, " n"]
    charge: Float[np.ndarray, " n"]
    barrier_sp3: Float[np.ndarray, " n"]
    barrier_sp2: Float[np.ndarray, " n"]
    electronegativity: Float[np.ndarray, " n"]
    source: Int[np.ndarray, " n"]

    def row(self, label: str) -> int:
        """Row of a label."""
        return _rows()[label]

    @property
    def heaviest(self) -> int:
        """Largest atomic number with a type."""
        return int(self.numbers.max())


@cache
def atom_types() -> AtomTypes:
    """The atom types, read once."""
    text = files("crystaltool.forcefield.uff").joinpath("atom_types.csv").read_text(encoding="utf-8")
    lines = [line.split(",") for line in text.splitlines() if not line.startswith("#")]
    columns = dict(zip(lines[0], zip(*lines[1:], strict=True), strict=True))
    integers = {"number", "source"}
    values = {
        name: np.array(cells, dtype=np.int64 if name in integers else np.float64)
        for name, cells in columns.items()
        if name != "label"
    }
    numbers = values.pop("number")
    return AtomTypes(labels=tuple(columns["label"]), numbers=numbers, **values)


@cache
def _rows() -> dict[str, int]:
    return {label: row for row, label in enumerate(atom_types().labels)}


def natural_bond_length(
    first: Int[np.ndarray, " n"], second: Int[np.ndarray, " n"], orders: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """r_IJ in A (equation 2; the electronegativity correction is subtracted, as every code does)."""
    table = atom_types()
    r_1, r_2 = table.radius[first], table.radius[second]
    chi_1, chi_2 = table.electronegativity[first], table.electronegativity[second]
    bond_order = -BOND_ORDER_SLOPE * (r_1 + r_2) * np.log(orders)
    electronegativity = r_1 * r_2 * (np.sqrt(chi_1) - np.sqrt(chi_2)) ** 2 / (chi_1 * r_1 + chi_2 * r_2)
    return r_1 + r_2 + bond_order - electronegativity


def bond_stiffness(
    first: Int[np.ndarray, " n"], second: Int[np.ndarray, " n"], lengths: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """k of E = k/2 (r - r_IJ)^2, kcal/mol/A^2 (equation 6)."""
    charge = atom_types().charge
    return BOND_CONSTANT * charge[first] * charge[second] / lengths**3


def angle_stiffness(
    first: Int[np.ndarray, " n"],
    third: Int[np.ndarray, " n"],
    length_1: Float[np.ndarray, " n"],
    length_2: Float[np.ndarray, " n"],
    angle: Float[np.ndarray, " n"],
) -> Float[np.ndarray, " n"]:
    """K_IJK, kcal/mol/rad^2 (equation 13), for natural bond lengths in A and the natural angle in radians."""
    charge = atom_types().charge
    cosine = np.cos(angle)
    across = np.sqrt(length_1**2 + length_2**2 - 2 * length_1 * length_2 * cosine)
    factor = 3 * length_1 * length_2 * (1 - cosine**2) - across**2 * cosine
    return BOND_CONSTANT * charge[first] * charge[third] / across**5 * factor
