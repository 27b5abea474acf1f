"""Oxidation states of the metals of a framework: a sum of bond valences (`mof.valence`) is one within a quarter."""

from __future__ import annotations

import numpy as np

from crystaltool.arrays import Bool, Int
from crystaltool.units import SYMBOLS

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

_RARE = {
    "Cu": (3,),
    "Ni": (3, 4),
    "Pd Pt": (3,),
    "Ti V": (2,),
    "Cr": (4, 5),
    "Nb Ta": (3,),
    "In": (1,),
    "Nd Pm Tm": (2,),
    "Pr Tb": (4,),
    "Ru": (5, 6, 7, 8),
    "Am Cm Bk Cf Es": (4,),
}

RARE_STATES: dict[int, tuple[int, ...]] = {
    SYMBOLS.index(symbol): states for symbols, states in _RARE.items() for symbol in symbols.split()
}
"""Of these the states that few compounds have, with ligands chosen for it or without any (same source: Cu(III) in
periodates and tellurates, Nd(II) in halides, Pr(IV) and Tb(IV) in oxides and fluorides, Ru(V) to Ru(VIII) in
oxides)."""


HIGHEST_STATE: Int[np.ndarray, "119"] = np.array([max(OXIDATION_STATES.get(z, (0,))) for z in range(len(SYMBOLS))])
LOWEST_STATE: Int[np.ndarray, "119"] = np.array([min(OXIDATION_STATES.get(z, (0,))) for z in range(len(SYMBOLS))])
"""The highest and the lowest of them; 0 for elements that are in none."""

LONE_PAIR: Bool[np.ndarray, "119"] = np.isin(np.array(SYMBOLS), ["In", "Tl", "Ge", "Sn", "Pb", "Sb", "Bi", "Po"])
"""Metals that keep a pair of s electrons in the lower of their states."""


def keeps_lone_pair(number: int, valence_sum: float) -> bool:
    """Whether a metal of this valence sum is in the state with a lone pair: Tl(I), Sn(II), Pb(II), Sb(III), Bi(III)."""
    return bool(LONE_PAIR[number]) and valence_sum < LOWEST_STATE[number] + 1
