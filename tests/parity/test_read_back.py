"""What is written is the same structure for other readers of CIF (gemmi, pymatgen, ASE) and for the one here."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest

from crystaltool.asymunit import expand, reduce
from crystaltool.crystal import Crystal
from crystaltool.io.cif import format_asym_unit, format_crystal, parse_block
from crystaltool.mof.perception import perceive_bonds
from tests.mof.structures import curated
from tests.textbook import TEXTBOOK

FARTHEST = 2e-3
"""Angstrom; coordinates are written with 8 decimals, operations hold exactly."""


def by_gemmi(text: str) -> Crystal:
    import gemmi

    small = gemmi.make_small_structure_from_block(gemmi.cif.read_string(text).sole_block())
    sites = small.get_all_unit_cell_sites()
    lattice = np.array(small.cell.orth.mat.tolist()).T
    numbers = np.array([site.element.atomic_number for site in sites])
    return Crystal(lattice, np.array([site.fract.tolist() for site in sites]), numbers)


def by_pymatgen(text: str) -> Crystal:
    from pymatgen.io.cif import CifParser

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (found,) = CifParser(io.StringIO(text)).parse_structures(primitive=False)
    return Crystal(found.lattice.matrix, found.frac_coords, np.array(found.atomic_numbers))


def by_ase(text: str) -> Crystal:
    from ase.io import read

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = read(io.StringIO(text), format="cif")
    return Crystal(np.array(found.cell), found.get_scaled_positions(), found.numbers)


def by_us(text: str) -> Crystal:
    return parse_block(text).crystal


READERS = {"gemmi": by_gemmi, "pymatgen": by_pymatgen, "ase": by_ase, "us": by_us}


def farthest(one: Crystal, other: Crystal) -> float:
    """Angstrom from an atom to the nearest one of its element in the other cell, at most; inf if the atoms differ."""
    if sorted(one.numbers.tolist()) != sorted(other.numbers.tolist()):
        return np.inf
    if not np.allclose(one.lattice @ one.lattice.T, other.lattice @ other.lattice.T, rtol=1e-5, atol=1e-4):
        return np.inf
    gap = one.frac_coords[:, None] - other.frac_coords[None]
    gap = np.linalg.norm((gap - np.round(gap)) @ one.lattice, axis=-1)
    gap[one.numbers[:, None] != other.numbers[None]] = np.inf
    return float(max(gap.min(axis=0).max(), gap.min(axis=1).max()))


@pytest.mark.parametrize("reader", READERS)
def test_crystals_and_their_asymmetric_units(reader: str) -> None:
    for entry in TEXTBOOK:
        crystal = entry.crystal()
        unit = reduce(crystal, 0.01)
        written = ((format_crystal(crystal, "x"), crystal), (format_asym_unit(unit, "x"), expand(unit)))
        for text, right in written:
            assert farthest(READERS[reader](text), right) < FARTHEST, entry.name


@pytest.mark.parametrize("reader", READERS)
def test_frameworks_with_their_bonds(reader: str) -> None:
    for name, crystal in curated().items():
        text = format_crystal(crystal, name, bonds=perceive_bonds(crystal))
        assert farthest(READERS[reader](text), crystal) < FARTHEST, name
