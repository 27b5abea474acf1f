"""Lennard-Jones parameters of the atoms of a framework: Dreiding for H, C, N and O, UFF for the rest.

Dreiding: Mayo, Olafson, Goddard, J. Phys. Chem. 94, 8897 (1990). UFF: Rappe et al., J. Am. Chem. Soc. 114, 10024
(1992).
Chosen by the isotherms of QMOF (`benchmarks/results/adsorption.md`).
"""

from __future__ import annotations

from functools import cache

import numpy as np

from crystaltool.arrays import Float, Int
from crystaltool.errors import InputError
from crystaltool.forcefield.uff.parameters import atom_types
from crystaltool.units import SYMBOLS

FORCE_FIELD = "Dreiding (H, C, N, O), else UFF"

KCAL = 503.2195
"""K in one kcal/mol."""

DREIDING = {1: (3.195, 0.0152), 6: (3.8983, 0.0951), 7: (3.6621, 0.0774), 8: (3.4046, 0.0957)}
"""Van der Waals distance in A and well depth in kcal/mol."""


@cache
def _table() -> dict[int, tuple[float, float]]:
    """Epsilon in K and sigma in A by atomic number: of an element's types all have the same."""
    types = atom_types()
    found = {
        int(number): (float(distance), float(depth))
        for number, distance, depth in zip(types.numbers, types.distance, types.depth, strict=True)
    }
    found |= DREIDING
    return {number: (depth * KCAL, distance / 2 ** (1 / 6)) for number, (distance, depth) in found.items()}


def lennard_jones(number: int) -> tuple[float, float]:
    """Epsilon in K and sigma in A of an atom of the framework.

    Raises:
        InputError: an element without parameters.
    """
    if number not in _table():
        raise InputError(f"no Lennard-Jones parameters of {SYMBOLS[number]}")
    return _table()[number]


def framework_parameters(numbers: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n 2"]:
    """Epsilon in K and sigma in A of every atom.

    Raises:
        InputError: elements without parameters, all named.
    """
    present = np.unique(numbers).tolist()
    unknown = [SYMBOLS[number] for number in present if number not in _table()]
    if unknown:
        raise InputError(f"no Lennard-Jones parameters of {', '.join(unknown)}")
    table = np.zeros((max(present) + 1, 2))
    for number in present:
        table[number] = _table()[number]
    return table[numbers]
