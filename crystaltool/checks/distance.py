"""Shortest distances: the CDVAE rule, the LeMat-GenBench rule, and atoms that coincide.

All pairs count, an atom and its own images too; the published rules skip own images, so that their verdict depends on
the cell chosen. On real crystals both agree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crystaltool.checks.contacts import Contact, closest_contact
from crystaltool.checks.elements import LEMAT_RADIUS
from crystaltool.checks.remembered import remembered
from crystaltool.checks.verdict import Verdict
from crystaltool.units import SYMBOLS

if TYPE_CHECKING:
    from crystaltool.crystal import Crystal
    from crystaltool.io.cif import CifBlock

CDVAE_MIN_DISTANCE = 0.5
"""Angstrom; Xie et al., ICLR 2022, arXiv 2110.06197, section 5.2 (after Court et al. 2020)."""

CDVAE_MIN_VOLUME = 0.1
"""Cubic Angstrom; the same evaluation."""

LEMAT_OFFSET, LEMAT_FACTOR = 0.7, 0.5
"""d_ij >= 0.5 (0.7 A + r_i + r_j) with empirical atomic radii; LeMat-GenBench, arXiv 2512.04562."""

COINCIDENCE_DISTANCE = 0.1
"""Angstrom: closer atoms are one atom written twice, or an orbit that fell onto a special position."""


@remembered
def shortest(crystal: Crystal) -> Contact:
    """The closest pair of a crystal, which three checks ask for."""
    return closest_contact(crystal.lattice, crystal.frac_coords)


def check_distance_cdvae(block: CifBlock) -> Verdict:
    """Shortest distance at least 0.5 A and volume at least 0.1 cubic Angstrom."""
    crystal = block.crystal
    contact = shortest(crystal)
    passed = contact.distance >= CDVAE_MIN_DISTANCE and crystal.volume >= CDVAE_MIN_VOLUME
    limit = f">= {CDVAE_MIN_DISTANCE:g} A, volume >= {CDVAE_MIN_VOLUME:g} A^3"
    return Verdict("distance-cdvae", passed, contact.distance, limit, describe(block, contact))


def check_distance_lemat(block: CifBlock) -> Verdict:
    """Every distance at least 0.5 (0.7 + r_i + r_j) A; the value is the smallest distance over limit."""
    crystal = block.crystal
    half_limits = LEMAT_FACTOR * (LEMAT_OFFSET / 2 + LEMAT_RADIUS[crystal.numbers])
    contact = closest_contact(crystal.lattice, crystal.frac_coords, half_limits, shortest(crystal))
    limit = f"distance / ({LEMAT_FACTOR:g} ({LEMAT_OFFSET:g} + r_i + r_j)) >= 1"
    asked = half_limits[contact.first] + half_limits[contact.second]
    message = f"{describe(block, contact)}, limit {asked:.3f} A"
    return Verdict("distance-lemat", contact.ratio >= 1.0, contact.ratio, limit, message)


def check_duplicates(block: CifBlock) -> Verdict:
    """No two atoms closer than 0.1 A."""
    crystal = block.crystal
    contact = shortest(crystal)
    passed = contact.distance >= COINCIDENCE_DISTANCE
    message = "no coinciding atoms" if passed else f"{describe(block, contact)}: the same place"
    return Verdict("duplicates", passed, contact.distance, f">= {COINCIDENCE_DISTANCE:g} A", message)


def describe(block: CifBlock, contact: Contact) -> str:
    """`Na1-Cl1 2.820 A`, by site labels; the labels of two atoms of one site are equal."""
    first, second = (atom_label(block, atom) for atom in (contact.first, contact.second))
    return f"{first}-{second} {contact.distance:.3f} A"


def atom_label(block: CifBlock, atom: int) -> str:
    """The label of an atom's site, or its element and place."""
    if block.site_labels and len(block.atom_to_site):
        label = block.site_labels[block.atom_to_site[atom]]
        return "".join(char if char.isprintable() and not char.isspace() else "?" for char in label)
    return f"{SYMBOLS[block.crystal.numbers[atom]]}{atom + 1}"
