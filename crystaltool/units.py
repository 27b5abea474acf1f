"""Element symbols and masses, and the constants that more than one room needs."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from crystaltool.arrays import Bool, Float
from crystaltool.errors import InputError

_SYMBOLS = """X H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr
    Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu
    Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr
    Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og"""

SYMBOLS: tuple[str, ...] = tuple(_SYMBOLS.split())
"""Element symbols by atomic number; entry 0 is a placeholder."""

_NUMBERS = {symbol: number for number, symbol in enumerate(SYMBOLS) if number} | {"D": 1, "T": 1}

# Abridged standard atomic weights (IUPAC 2021, doi 10.1515/pac-2019-0603), most stable isotope for radioelements.
_MASSES = """nan
    1.008 4.0026 6.94 9.0122 10.81 12.011 14.007 15.999 18.998 20.180 22.990 24.305 26.982 28.085 30.974 32.06
    35.45 39.95 39.098 40.078 44.956 47.867 50.942 51.996 54.938 55.845 58.933 58.693 63.546 65.38 69.723 72.630
    74.922 78.971 79.904 83.798 85.468 87.62 88.906 91.224 92.906 95.95 97 101.07 102.91 106.42 107.87 112.41
    114.82 118.71 121.76 127.60 126.90 131.29 132.91 137.33 138.91 140.12 140.91 144.24 145 150.36 151.96 157.25
    158.93 162.50 164.93 167.26 168.93 173.05 174.97 178.49 180.95 183.84 186.21 190.23 192.22 195.08 196.97 200.59
    204.38 207.2 208.98 209 210 222 223 226 227 232.04 231.04 238.03 237 244 243 247 247 251 252 257 258 259 262
    267 268 269 270 269 277 281 282 285 286 290 290 293 294 294"""

ATOMIC_MASS: Float[np.ndarray, "119"] = np.array([float(text) for text in _MASSES.split()])
"""Atomic masses in g/mol by atomic number."""

G_PER_MOL_PER_CUBIC_ANGSTROM = 1.66053906660
"""Density in g/cm3 of one g/mol per cubic Angstrom (CODATA 2018 Avogadro constant, exact)."""


def atomic_number(symbol: str) -> int:
    """Atomic number of an element symbol; deuterium and tritium count as hydrogen.

    Raises:
        InputError: for anything that is not an element symbol.
    """
    number = _NUMBERS.get(symbol)
    if number is None:
        raise InputError(f"{symbol!r} is not an element")
    return number


class ElementTable:
    """Columns of a CSV file with one row an element, H first; lines that begin with `#` are remarks.

    Args:
        path: the file.

    Raises:
        RuntimeError: its rows are not the elements in order.
    """

    def __init__(self, path: Path) -> None:
        with path.open(encoding="utf-8", newline="") as handle:
            self.rows = list(csv.DictReader(line for line in handle if not line.startswith("#")))
        if tuple(row["symbol"] for row in self.rows) != SYMBOLS[1:]:
            raise RuntimeError(f"{path} does not list the elements in order")

    def numbers(self, column: str, first: float = np.nan) -> Float[np.ndarray, "119"]:
        """Values by atomic number, NaN where there is none; `first` is the entry 0."""
        return np.array([first, *(float(row[column] or "nan") for row in self.rows)])

    def flags(self, column: str) -> Bool[np.ndarray, "119"]:
        """True where the column holds 1."""
        return np.array([False, *(row[column] == "1" for row in self.rows)])
