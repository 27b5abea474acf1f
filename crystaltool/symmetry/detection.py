"""Space-group detection: moyopy, in the one standard setting of the tables."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from crystaltool.arrays import Float, Int
from crystaltool.crystal import Crystal
from crystaltool.defaults import SYMPREC
from crystaltool.errors import SymmetryError
from crystaltool.symmetry.space_group import LETTERS, space_group

if TYPE_CHECKING:
    import moyopy

_LOGGER = logging.getLogger(__name__)
_SILENT = logging.NullHandler()
_NOTE = 25
"""The level of `crystaltool.io.remarks.NOTE`, which stands above this package."""

SAME_TOLERANCE = 1e-6
"""Relative difference of the tolerance in force from the one asked for that is none."""

OTHER_TOLERANCES = (1.1, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 0.8, 0.6, 0.4, 0.2, 0.1)
"""At what multiples of its tolerance the detector is asked again."""


@dataclass(frozen=True)
class DetectedOrbits:
    """What the detector found: a group, its conventional cell, and one point of every orbit in that cell.

    Args:
        group: space-group number.
        lattice: refined rows a, b, c of the conventional cell in Angstrom; shape (3, 3).
        points: refined fractional coordinates of one atom of each orbit in the conventional cell; shape (n_orbits, 3).
        numbers: atomic numbers; shape (n_orbits,).
        positions: indices of the Wyckoff positions, 0 = a; shape (n_orbits,).
        atom_to_orbit: index of the orbit of each atom of the crystal that was given; shape (n_atoms,).
    """

    group: int
    lattice: Float[np.ndarray, "3 3"]
    points: Float[np.ndarray, "n_orbits 3"]
    numbers: Int[np.ndarray, " n_orbits"]
    positions: Int[np.ndarray, " n_orbits"]
    atom_to_orbit: Int[np.ndarray, " n_atoms"]


def detect_orbits(crystal: Crystal, symprec: float = SYMPREC) -> DetectedOrbits:
    """Detect the space group of a crystal given in any cell, and refine it to that symmetry.

    Args:
        crystal: the structure.
        symprec: distance tolerance in Angstrom.

    Raises:
        SymmetryError: if the detector finds no group (atoms on top of each other, mostly).
    """
    return _orbits(crystal, detect(crystal, symprec))


def detect(crystal: Crystal, symprec: float = SYMPREC) -> moyopy.MoyoDataset:
    """The detector's answer in the standard setting, at the tolerance that is asked for.

    The detector may change its tolerance without a word. Then it is asked again at others, and what holds within the
    tolerance that was asked for, by our own measure, and has the most symmetry is taken; where that is the first
    answer, its tolerance is logged.

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
        found = _ask(cell, symprec)
    except Exception as error:  # its errors have no common class below Exception
        found = _ask_again(crystal, cell, symprec, None)
        if found is None:
            raise SymmetryError(f"no space group found at symprec {symprec:g} A: {error}") from error
    if abs(found.symprec / symprec - 1.0) > SAME_TOLERANCE:
        better = _ask_again(crystal, cell, symprec, found)
        if better is None or better is found:
            level = logging.WARNING if better is None else _NOTE
            text = f"space group {found.number} was found at a tolerance of {found.symprec:.2g} A, not {symprec:g} A"
            if better is found:
                text += f"; its operations hold within {deviation(crystal, found):.2g} A"
            _LOGGER.log(level, "%s: %s", crystal.name, text, extra={"remark": text, "block": crystal.name})
        found = better or found
    return found


def _ask(cell: moyopy.Cell, symprec: float) -> moyopy.MoyoDataset:
    import moyopy

    return moyopy.MoyoDataset(cell, symprec=symprec, setting=moyopy.Setting.standard())


def _ask_again(
    crystal: Crystal, cell: moyopy.Cell, symprec: float, first: moyopy.MoyoDataset | None
) -> moyopy.MoyoDataset | None:
    """The most symmetric answer at tolerances around the one asked for that holds within it; None if none does."""
    answers = [] if first is None else [first]
    for factor in OTHER_TOLERANCES:
        with contextlib.suppress(Exception):  # its errors have no common class below Exception
            answers.append(_ask(cell, factor * symprec))
    density = [len(space_group(answer.number).rotations) / abs(np.linalg.det(answer.std_linear)) for answer in answers]
    best: dict[int, float] = {}
    for index in sorted(range(len(answers)), key=lambda i: -density[i]):
        if answers[index].number not in best:
            best[answers[index].number] = deviation(crystal, answers[index])
            if best[answers[index].number] <= symprec:
                return answers[index]
    return None


def deviation(crystal: Crystal, found: moyopy.MoyoDataset) -> float:
    """How far (Angstrom) the operations of a detected group miss: images from atoms, and primitive edges in length."""
    group = space_group(found.number)
    linear, shift = np.array(found.std_linear, dtype=float), np.array(found.std_origin_shift, dtype=float)
    rotations = linear @ group.rotations @ np.linalg.inv(linear)
    translations = (group.translations @ linear.T) + shift - rotations @ shift
    images = np.einsum("nij,aj->nai", rotations, crystal.frac_coords) + translations[:, None]
    worst = 0.0
    for number in np.unique(crystal.numbers):
        mine = np.flatnonzero(crystal.numbers == number)
        for image in images[:, mine]:
            difference = image[:, None] - crystal.frac_coords[mine]
            difference -= np.round(difference)
            worst = max(worst, float(np.linalg.norm(difference @ crystal.lattice, axis=-1).min(axis=1).max()))
    edges = np.array(found.prim_std_linear, dtype=float)  # of the primitive cell, as columns in the crystal's own
    moved = np.swapaxes(rotations @ edges, 1, 2) @ crystal.lattice
    lengths = np.linalg.norm(edges.T @ crystal.lattice, axis=1)
    return max(worst, float(np.abs(np.linalg.norm(moved, axis=2) - lengths).max()))


def _orbits(crystal: Crystal, found: moyopy.MoyoDataset) -> DetectedOrbits:
    """One refined point of every orbit, in the conventional cell."""
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
        atom_to_orbit=np.searchsorted(representatives, found.orbits),
    )
