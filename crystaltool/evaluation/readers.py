"""Whether gemmi, ase and pymatgen read the same crystal from a block."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from crystaltool.checks.contacts import nearest_atom
from crystaltool.crystal import Crystal
from crystaltool.lattice import matrix_to_parameters, parameters_to_matrix
from crystaltool.units import atomic_number

CELL_TOLERANCE = 1e-3
"""Angstrom and degrees."""

POSITION_TOLERANCE = 1e-2
"""Angstrom: readers round special positions differently."""


def read_with_gemmi(text: str) -> Crystal:
    """All atoms of the cell by gemmi's small-structure reader."""
    import gemmi

    structure = gemmi.make_small_structure_from_block(gemmi.cif.read_string(text).sole_block())
    sites = structure.get_all_unit_cell_sites()
    cell = structure.cell
    return Crystal(
        parameters_to_matrix(cell.a, cell.b, cell.c, cell.alpha, cell.beta, cell.gamma),
        np.array([site.fract.tolist() for site in sites]).reshape(-1, 3),
        np.array([site.element.atomic_number for site in sites]),
    )


def read_with_ase(text: str) -> Crystal:
    """All atoms of the cell by ase."""
    from ase.io import read

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        atoms: Any = read(io.StringIO(text), format="cif")
    return Crystal(np.array(atoms.cell), atoms.get_scaled_positions(), atoms.numbers)


def read_with_pymatgen(text: str) -> Crystal:
    """All atoms of the cell by pymatgen."""
    from pymatgen.io.cif import CifParser

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (structure,) = CifParser.from_str(text).parse_structures(primitive=False)
    numbers = np.array([atomic_number(site.specie.symbol) for site in structure])
    return Crystal(structure.lattice.matrix, structure.frac_coords, numbers)


READERS: dict[str, Callable[[str], Crystal]] = {
    "gemmi": read_with_gemmi,
    "ase": read_with_ase,
    "pymatgen": read_with_pymatgen,
}


def disagreement(text: str) -> str:
    """What differs between the readers, as one line; empty if all read the same crystal."""
    crystals = {}
    for name, reader in READERS.items():
        try:
            crystals[name] = reader(text)
        except Exception as error:  # each library fails in its own way, and failing is the answer
            return f"{name}: {' '.join(str(error).split()) or type(error).__name__}"
    (first, expected), *others = crystals.items()
    for name, crystal in others:
        if difference := crystal_difference(expected, crystal):
            return f"{first} and {name}: {difference}"
    return ""


def crystal_difference(first: Crystal, second: Crystal) -> str:
    """What differs between two crystals in the same cell; empty if nothing does."""
    if sorted(first.numbers.tolist()) != sorted(second.numbers.tolist()):
        return f"{first.n_atoms} and {second.n_atoms} atoms, or other elements"
    cells = [matrix_to_parameters(crystal.lattice) for crystal in (first, second)]
    if np.abs(cells[0] - cells[1]).max() > CELL_TOLERANCE:
        return f"cells {cells[0].round(4).tolist()} and {cells[1].round(4).tolist()}"
    for number in np.unique(first.numbers):
        mine, theirs = (crystal.frac_coords[crystal.numbers == number] for crystal in (first, second))
        found, distance = nearest_atom(first.lattice, theirs, mine, POSITION_TOLERANCE)
        if len(np.unique(found)) < len(found) or not np.isfinite(distance).all():
            return f"positions of element {number}"
    return ""
