"""Bond valences: how much of a metal's valence a bond to a nonmetal carries, from its length.

s = exp((R0 - R) / b) (Brown and Altermatt, Acta Cryst. 1985, B41, 244), R0 from a size and an electronegativity of
either element (O'Keeffe and Brese, J. Am. Chem. Soc. 1991, 113, 3226).
"""

from __future__ import annotations

import numpy as np

from crystaltool.arrays import Float, Int
from crystaltool.mof.elements import BOND_VALENCE_ELECTRONEGATIVITY, BOND_VALENCE_SIZE, COVALENT_RADIUS

SOFTNESS = 0.37
"""A: b of the bond-valence formula."""

WITHOUT_PARAMETERS = 0.4
"""A: R0 of elements that have no parameters (Pt, Au, Os, Tc, most actinides) is this much less than the sum of the
covalent radii, the median of the other metals with O, N, S and Cl."""


def unit_length(first: Int[np.ndarray, "..."], second: Int[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """R0: length in Angstrom of a bond of valence 1 between elements, by atomic number."""
    r_1, r_2 = BOND_VALENCE_SIZE[first], BOND_VALENCE_SIZE[second]
    c_1, c_2 = BOND_VALENCE_ELECTRONEGATIVITY[first], BOND_VALENCE_ELECTRONEGATIVITY[second]
    length = r_1 + r_2 - r_1 * r_2 * (np.sqrt(c_1) - np.sqrt(c_2)) ** 2 / (c_1 * r_1 + c_2 * r_2)
    radii = COVALENT_RADIUS[first] + COVALENT_RADIUS[second]
    return np.where(np.isnan(length), radii - WITHOUT_PARAMETERS, length)


def bond_valence(
    first: Int[np.ndarray, "..."], second: Int[np.ndarray, "..."], distances: Float[np.ndarray, "..."]
) -> Float[np.ndarray, "..."]:
    """Valence of bonds between elements at distances in Angstrom; a single bond has 1."""
    return np.exp((unit_length(first, second) - distances) / SOFTNESS)


def longest_with(
    valence: float, first: Int[np.ndarray, "..."], second: Int[np.ndarray, "..."]
) -> Float[np.ndarray, "..."]:
    """Length in Angstrom at which a bond between elements has a valence."""
    return unit_length(first, second) - SOFTNESS * np.log(valence)
