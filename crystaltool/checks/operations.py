"""Every declared operation maps the cell and the written atoms onto themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crystaltool.arrays import Float, Int
from crystaltool.checks.contacts import nearest_atom
from crystaltool.checks.remembered import remembered
from crystaltool.checks.verdict import Verdict
from crystaltool.symmetry.operations import operations_to_xyz
from crystaltool.units import SYMBOLS

if TYPE_CHECKING:
    from crystaltool.io.cif import CifBlock

MAP_TOLERANCE = 1e-2
"""Angstrom between a moved atom and the atom it must fall on: 4-decimal coordinates in a 100 A cell are as far off."""


def check_operations(block: CifBlock) -> Verdict:
    """Each operation leaves the cell's metric alone and puts every written site onto an atom of its element.

    The value is the largest displacement found, in Angstrom: of atoms, or of a cell vector by the operation's strain.
    """
    strain, worst = cell_displacement(block.crystal.lattice, block.rotations)
    limit = f"<= {MAP_TOLERANCE:g} A"
    n_operations = len(block.rotations)
    if strain > MAP_TOLERANCE:
        text = operations_to_xyz(block.rotations[worst], block.translations[worst])
        return Verdict("operations", False, strain, limit, f"{text} does not keep the cell: off by {strain:.3g} A")
    displacements = site_displacements(block)
    largest = max(float(displacements.max()), strain)
    if largest <= MAP_TOLERANCE:
        message = f"{n_operations} operations map the structure onto itself"
        return Verdict("operations", True, largest, limit, message)
    failing = int((displacements > MAP_TOLERANCE).any(axis=1).sum())
    operation, site = np.unravel_index(int(np.argmax(displacements)), displacements.shape)
    text = operations_to_xyz(block.rotations[operation], block.translations[operation])
    symbol = SYMBOLS[block.site_numbers[site]]
    where = f"{text} puts site {site + 1} ({symbol}) where there is no {symbol}"
    message = f"{failing} of {n_operations} operations fail: {where}"
    return Verdict("operations", False, largest if np.isfinite(largest) else None, limit, message)


def cell_displacement(lattice: Float[np.ndarray, "3 3"], rotations: Int[np.ndarray, "n 3 3"]) -> tuple[float, int]:
    """How far (Angstrom) an operation that is no isometry moves the end of the longest cell vector; the worst one."""
    cartesian = np.einsum("ji,njk,kl->nil", lattice, rotations, np.linalg.inv(lattice).T)
    strain = np.abs(np.swapaxes(cartesian, 1, 2) @ cartesian - np.eye(3)).max(axis=(1, 2)) / 2
    worst = int(np.argmax(strain))
    return float(strain[worst] * np.linalg.norm(lattice, axis=1).max()), worst


@remembered
def site_displacements(block: CifBlock) -> Float[np.ndarray, "n_ops n_sites"]:
    """Distance (Angstrom) from each image of each written site to the nearest atom of its element; inf if far.

    The operations form a group and every atom is an image of a site, so this covers every atom under every operation.
    """
    crystal = block.crystal
    images = np.einsum("nij,sj->nsi", block.rotations.astype(float), block.site_frac_coords)
    images += block.translations[:, None]
    found = np.full(images.shape[:2], np.inf)
    for number in np.unique(block.site_numbers):
        sites = np.flatnonzero(block.site_numbers == number)
        atoms = crystal.frac_coords[crystal.numbers == number]
        _, distance = nearest_atom(crystal.lattice, atoms, images[:, sites].reshape(-1, 3), 10 * MAP_TOLERANCE)
        found[:, sites] = distance.reshape(-1, len(sites))
    return found
