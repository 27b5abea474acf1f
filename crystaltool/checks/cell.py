"""Cell sanity: lengths, angles and volume in the ranges of LeMat-GenBench, or in the narrower ones of SymmCD."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crystaltool.checks.verdict import Verdict
from crystaltool.lattice import matrix_to_parameters
from crystaltool.units import SYMBOLS

if TYPE_CHECKING:
    from crystaltool.crystal import Crystal
    from crystaltool.io.cif import CifBlock

MIN_LENGTH, MAX_LENGTH = 1.0, 100.0
"""Angstrom; LeMat-GenBench, arXiv 2512.04562, physical plausibility."""

MIN_VOLUME = 1.0
"""Cubic Angstrom; the same rule."""

SYMMCD_MIN_LENGTH, SYMMCD_MAX_LENGTH, SYMMCD_MAX_NUMBER = 1.0, 40.0, 94
"""What SymmCD's evaluation (arXiv 2502.03638) asks of a generated MP-20 crystal beside the CDVAE rule."""


def check_cell(block: CifBlock) -> Verdict:
    """Lengths 1-100 A, angles between 0 and 180 degrees, volume above 1 cubic Angstrom."""
    crystal = block.crystal
    limit = f"lengths {MIN_LENGTH:g}-{MAX_LENGTH:g} A, angles 0-180 deg, volume > {MIN_VOLUME:g} A^3"
    complaint = _outside(crystal, MIN_LENGTH, MAX_LENGTH)
    if not complaint and crystal.volume <= MIN_VOLUME:
        complaint = f"volume is {crystal.volume:.4g} A^3"
    return Verdict("cell", not complaint, crystal.volume, limit, complaint or _describe(crystal))


def check_cell_symmcd(block: CifBlock) -> Verdict:
    """Lengths 1-40 A, angles between 0 and 180 degrees, no element beyond Pu."""
    crystal = block.crystal
    limit = f"lengths {SYMMCD_MIN_LENGTH:g}-{SYMMCD_MAX_LENGTH:g} A, angles 0-180 deg, Z <= {SYMMCD_MAX_NUMBER}"
    complaint = _outside(crystal, SYMMCD_MIN_LENGTH, SYMMCD_MAX_LENGTH)
    heaviest = int(crystal.numbers.max())
    if not complaint and heaviest > SYMMCD_MAX_NUMBER:
        complaint = f"{SYMBOLS[heaviest]} has Z = {heaviest}"
    longest = float(matrix_to_parameters(crystal.lattice)[:3].max())
    return Verdict("cell-symmcd", not complaint, longest, limit, complaint or _describe(crystal))


def _outside(crystal: Crystal, shortest: float, longest: float) -> str:
    """The first parameter out of range, as a phrase; empty if none is."""
    parameters = matrix_to_parameters(crystal.lattice)
    for name, length in zip("abc", parameters[:3], strict=True):
        if not shortest <= length <= longest:
            return f"{name} is {length:.4g} A"
    for name, angle in zip(("alpha", "beta", "gamma"), parameters[3:], strict=True):
        if not 0 < angle < 180:
            return f"{name} is {angle:.4g} degrees"
    return ""


def _describe(crystal: Crystal) -> str:
    return " ".join(f"{value:.4f}" for value in np.round(matrix_to_parameters(crystal.lattice), 4))
