"""Oxidation states of the metals of a framework, and bond valences.

Bond valences s = exp((R0 - R) / 0.37 A) with R0 from sizes and electronegativities (O'Keeffe and Brese, J. Am. Chem.
Soc. 1991, 113, 3226): one set for all elements, so a sum of valences is an oxidation state within a quarter or so.
"""

from __future__ import annotations

import numpy as np

from crystaltool.arrays import Bool, Float, Int
from crystaltool.checks.mof.elements import BOND_VALENCE_ELECTRONEGATIVITY, BOND_VALENCE_SIZE
from crystaltool.mof.elements import COVALENT_RADIUS
from crystaltool.units import SYMBOLS

SOFTNESS = 0.37
"""A: b of the bond-valence formula."""

RADII_TO_VALENCE = 0.4
"""A: R0 of elements without parameters is the sum of the covalent radii less this, the median of the other metals."""

_STATES = {
    "Li Na K Rb Cs Fr Ag": (1,),
    "Be Mg Ca Sr Ba Ra Zn Cd": (2,),
    "Al Ga Sc Y La Ac Gd Lu Dy Ho Er": (3,),
    "Zr Hf Th": (4,),
    "Nb Ta": (3, 4, 5),
    "Cu": (1, 2, 3),
    "In Tl": (1, 3),
    "Au": (1, 3),
    "Hg": (1, 2),
    "Ge Sn Pb": (2, 4),
    "Sb Bi": (3, 5),
    "Ti": (2, 3, 4),
    "V": (2, 3, 4, 5),
    "Cr": (2, 3, 4, 5, 6),
    "Mn": (2, 3, 4),
    "Fe": (2, 3),
    "Co": (2, 3),
    "Ni Pd": (2, 3, 4),
    "Pt": (2, 3, 4),
    "Mo W": (2, 3, 4, 5, 6),
    "Tc Re": (1, 2, 3, 4, 5, 6, 7),
    "Ru Os": (2, 3, 4, 5, 6, 7, 8),
    "Rh": (1, 2, 3),
    "Ir": (1, 2, 3, 4),
    "Ce Pr Tb": (3, 4),
    "Nd Pm Tm": (2, 3),
    "Sm Eu Yb": (2, 3),
    "Pa": (4, 5),
    "U Np Pu": (3, 4, 5, 6),
    "Am Cm Bk Cf Es": (3, 4),
    "Po": (2, 4),
}

OXIDATION_STATES: dict[int, tuple[int, ...]] = {
    SYMBOLS.index(symbol): states for symbols, states in _STATES.items() for symbol in symbols.split()
}
"""States in which metals (and germanium) stand in frameworks of oxygen, nitrogen, sulfur and halogen donors (Greenwood
and Earnshaw, Chemistry of the Elements, 2nd ed.)."""


HIGHEST_STATE: Int[np.ndarray, "119"] = np.array([max(OXIDATION_STATES.get(z, (0,))) for z in range(len(SYMBOLS))])
LOWEST_STATE: Int[np.ndarray, "119"] = np.array([min(OXIDATION_STATES.get(z, (0,))) for z in range(len(SYMBOLS))])
"""The highest and the lowest of them; 0 for elements that are in none."""

LONE_PAIR: Bool[np.ndarray, "119"] = np.isin(np.array(SYMBOLS), ["In", "Tl", "Ge", "Sn", "Pb", "Sb", "Bi", "Po"])
"""Metals that keep a pair of s electrons in the lower of their states."""


def one_valence_length(first: Int[np.ndarray, "..."], second: Int[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """R0: the length in Angstrom at which a bond between two elements has the valence 1."""
    r_1, r_2 = BOND_VALENCE_SIZE[first], BOND_VALENCE_SIZE[second]
    c_1, c_2 = BOND_VALENCE_ELECTRONEGATIVITY[first], BOND_VALENCE_ELECTRONEGATIVITY[second]
    length = r_1 + r_2 - r_1 * r_2 * (np.sqrt(c_1) - np.sqrt(c_2)) ** 2 / (c_1 * r_1 + c_2 * r_2)
    return np.where(np.isnan(length), COVALENT_RADIUS[first] + COVALENT_RADIUS[second] - RADII_TO_VALENCE, length)


def bond_valence(
    first: Int[np.ndarray, "..."], second: Int[np.ndarray, "..."], distances: Float[np.ndarray, "..."]
) -> Float[np.ndarray, "..."]:
    """Valences of bonds of these lengths (A) between elements given by atomic number."""
    return np.exp((one_valence_length(first, second) - distances) / SOFTNESS)


def keeps_lone_pair(number: int, valence_sum: float) -> bool:
    """Whether a metal of this valence sum is in the state with a lone pair: Tl(I), Sn(II), Pb(II), Sb(III), Bi(III)."""
    return bool(LONE_PAIR[number]) and valence_sum < LOWEST_STATE[number] + 1
