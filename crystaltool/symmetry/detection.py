"""Space-group detection: moyopy, in the one standard setting of the tables."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from crystaltool.arrays import Float, Int
from crystaltool.crystal import Crystal
from crystaltool.errors import SymmetryError
from crystaltool.symmetry.space_group import LETTERS

_SILENT = logging.NullHandler()

DEFAULT_SYMPREC = 0.01
"""Angstrom; fits DFT-relaxed structures. MP-20's own labels were made at 0.1."""


@dataclass(frozen=True)
class DetectedOrbits:
    """What the detector found: a group, its conventional cell, and one point of every orbit in that cell.

    Args:
        group: space-group number.
        lattice: refined rows a, b, c of the conventional cell in Angstrom; shape (3, 3).
        points: refined fractional coordinates of one atom of each orbit in the conventional cell; shape (n_orbits, 3).
        numbers: atomic numbers; shape (n_orbits,).
        positions: indices of the Wyckoff positions, 0 = a; shape (n_orbits,).
    """

    group: int
    lattice: Float[np.ndarray, "3 3"]
    points: Float[np.ndarray, "n_orbits 3"]
    numbers: Int[np.ndarray, "n_orbits"]
    positions: Int[np.ndarray, "n_orbits"]


def detect_orbits(crystal: Crystal, symprec: float = DEFAULT_SYMPREC) -> DetectedOrbits:
    """Detect the space group of a crystal given in any cell, and refine it to that symmetry.

    Args:
        crystal: the structure.
        symprec: distance tolerance in Angstrom.

    Raises:
        SymmetryError: if the detector finds no group (atoms on top of each other, mostly).
    """
    import moyopy

    # Its remarks on cells that are no primitive ones concern operations that are not used here; unhandled, they would
    # reach standard error beside the tool's own messages.
    logging.getLogger("moyo").addHandler(_SILENT)
    cell = moyopy.Cell(crystal.lattice.tolist(), crystal.frac_coords.tolist(), crystal.numbers.tolist())
    try:
        found = moyopy.MoyoDataset(cell, symprec=symprec, setting=moyopy.Setting.standard())
    except Exception as error:  # its errors have no common class below Exception
        raise SymmetryError(f"no space group found at symprec {symprec:g} A: {error}") from error
    representatives = sorted(set(found.orbits))
    primitive = np.array(found.prim_std_cell.positions, dtype=float).reshape(-1, 3)
    primitive_sites = [found.mapping_std_prim[atom] for atom in representatives]
    # Coordinates of the primitive cell in the conventional one: both are selected from the same input cell.
    to_conventional = np.linalg.inv(np.array(found.std_linear, dtype=float))
    shift = np.array(found.prim_std_origin_shift) - np.array(found.std_origin_shift)
    points = (primitive[primitive_sites] @ np.array(found.prim_std_linear).T + shift) @ to_conventional.T
    return DetectedOrbits(
        group=found.number,
        lattice=np.array(found.std_cell.basis, dtype=float),
        points=points % 1.0,
        numbers=crystal.numbers[representatives].astype(np.int64),
        positions=np.array([LETTERS.index(found.wyckoffs[atom]) for atom in representatives], dtype=np.int64),
    )
