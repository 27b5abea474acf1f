"""The asymmetric unit of the space group that a file declares, as opposed to the one a detector finds."""

from __future__ import annotations

import numpy as np

from crystaltool.arrays import Float, Int
from crystaltool.asymunit import ON_POSITION_TOLERANCE, AsymUnit, canonical_free_coords
from crystaltool.crystal import Crystal
from crystaltool.errors import InputError
from crystaltool.lattice import constrain_k, k_to_matrix, matrix_to_k, matrix_to_parameters
from crystaltool.symmetry import space_group
from crystaltool.symmetry.operations import TRANSLATION_DENOMINATOR

LENGTH_TOLERANCE = 0.05
"""Angstrom by which a cell may miss its crystal system: rounding and sloppy files, not another system."""

ANGLE_TOLERANCE = 0.5
"""Degrees, likewise."""


def declared_unit(
    crystal: Crystal,
    group: int,
    rotations: Int[np.ndarray, "n_ops 3 3"],
    translations: Float[np.ndarray, "n_ops 3"],
    atom_to_site: Int[np.ndarray, " n_atoms"],
) -> AsymUnit | None:
    """The asymmetric unit in the declared group, sites in their order; None if the setting is not the standard one.

    Args:
        crystal: every atom of the cell, placed by the operations.
        group: space-group number 1-230 that the operations make.
        rotations, translations: the operations, in any order.
        atom_to_site: for each atom the site whose image it is.

    Raises:
        InputError: if the cell does not belong to the group's crystal system.
    """
    if not is_standard_setting(group, rotations, translations):
        return None
    lattice = k_to_matrix(constrain_k(matrix_to_k(crystal.lattice), group))
    _check_cell(group, matrix_to_parameters(crystal.lattice), matrix_to_parameters(lattice))
    sites, first, counts = np.unique(atom_to_site, return_index=True, return_counts=True)
    listed = np.array([position.multiplicity for position in space_group(group).positions])
    site, position = np.nonzero(counts[:, None] == listed)  # every position of the right multiplicity
    free_coords, miss = canonical_free_coords(np.full(len(site), group), position, crystal.frac_coords[first[site]])
    fits = miss < ON_POSITION_TOLERANCE
    site, position, free_coords = site[fits], position[fits], free_coords[fits]
    if not np.array_equal(site, np.arange(len(sites))):  # a stabiliser of that order lies on one position exactly
        return None
    return AsymUnit(group, lattice, crystal.numbers[first].astype(np.int64), position, free_coords, crystal.name)


def _check_cell(group: int, given: Float[np.ndarray, "6"], ideal: Float[np.ndarray, "6"]) -> None:
    off = np.abs(given - ideal)
    if off[:3].max() > LENGTH_TOLERANCE or off[3:].max() > ANGLE_TOLERANCE:
        cell = " ".join(f"{value:.6g}" for value in given)
        raise InputError(f"cell {cell} is not {space_group(group).crystal_system}, as space group {group} needs")


def is_standard_setting(
    group: int, rotations: Int[np.ndarray, "n_ops 3 3"], translations: Float[np.ndarray, "n_ops 3"]
) -> bool:
    """Whether these are the operations of the group in the setting of the tables, in whatever order."""
    standard = space_group(group)
    return _keys(rotations, translations) == _keys(standard.rotations, standard.translations)


def _keys(rotations: Int[np.ndarray, "n_ops 3 3"], translations: Float[np.ndarray, "n_ops 3"]) -> set[tuple[int, ...]]:
    shifts = np.round(translations * TRANSLATION_DENOMINATOR).astype(np.int64) % TRANSLATION_DENOMINATOR
    rows = np.concatenate([rotations.reshape(-1, 9), shifts], axis=1)
    return {tuple(row) for row in rows.tolist()}
