"""Mass density and number density in the ranges of LeMat-GenBench (arXiv 2512.04562, physical plausibility)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crystaltool.checks.verdict import Verdict
from crystaltool.units import ATOMIC_MASS, G_PER_MOL_PER_CUBIC_ANGSTROM

if TYPE_CHECKING:
    from crystaltool.crystal import Crystal
    from crystaltool.io.cif import CifBlock

MIN_MASS_DENSITY, MAX_MASS_DENSITY = 0.01, 25.0
"""g/cm3; osmium, the densest crystal, has 22.6."""

MIN_ATOMIC_DENSITY, MAX_ATOMIC_DENSITY = 1e-5, 0.5
"""Atoms per cubic Angstrom; diamond, the densest, has 0.18."""


def mass_density(crystal: Crystal) -> float:
    """Mass density in g/cm3."""
    return float(ATOMIC_MASS[crystal.numbers].sum()) / crystal.volume * G_PER_MOL_PER_CUBIC_ANGSTROM


def check_density(block: CifBlock) -> Verdict:
    """Mass density 0.01-25 g/cm3 and 1e-5-0.5 atoms per cubic Angstrom."""
    crystal = block.crystal
    mass, atoms = mass_density(crystal), crystal.n_atoms / crystal.volume
    passed = MIN_MASS_DENSITY <= mass <= MAX_MASS_DENSITY and MIN_ATOMIC_DENSITY <= atoms <= MAX_ATOMIC_DENSITY
    limit = f"{MIN_MASS_DENSITY:g}-{MAX_MASS_DENSITY:g} g/cm3, {MIN_ATOMIC_DENSITY:g}-{MAX_ATOMIC_DENSITY:g} atoms/A^3"
    return Verdict("density", passed, mass, limit, f"{mass:.3f} g/cm3, {atoms:.4f} atoms/A^3")
