"""What sites are preferred for besides stability: logarithms of the factors by which some are taken more often.

The guide alone returns to templates and compositions that it knows, to many elements and to light crystals more often
than the data have them; these factors lead back.
"""

from __future__ import annotations

from bisect import bisect
from dataclasses import dataclass, field

import numpy as np

from crystaltool.arrays import Int
from crystaltool.checks.charge import smact_valid_counts
from crystaltool.models.symmcd.known_sites import KnownSites
from crystaltool.models.symmcd.templates import Templates
from crystaltool.symmetry.space_group import tables
from crystaltool.units import ATOMIC_MASS, G_PER_MOL_PER_CUBIC_ANGSTROM

MOST_ORBITS = 6
"""New templates are preferred up to so many orbits: of more, two in five are new as it is, and these seldom stable."""

DENSITY_EDGES = (3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 12.0)
"""g/cm3: between these lie the intervals of densities that have factors, ten with the outer two."""


@dataclass(frozen=True)
class Preferences:
    """Factors, as logarithms, of sites of some kinds.

    Args:
        templates: those of the training data, as sites without elements.
        new_template: of sites on a template that is none of these, and of `MOST_ORBITS` at most.
        neutral: of compositions that are neutral by the SMACT rule.
        n_elements: of 1, 2, ... elements; the last holds for more of them too. Empty: none.
        density: of the intervals of `DENSITY_EDGES`. Empty: none.
        volumes: of an atom of each element, by atomic number, A^3, from which the density is foretold; (95,).
    """

    templates: KnownSites
    new_template: float = 0.0
    neutral: float = 0.0
    n_elements: tuple[float, ...] = ()
    density: tuple[float, ...] = ()
    volumes: np.ndarray | None = field(default=None, compare=False)

    def log_weight(self, group: int, positions: Int[np.ndarray, " M"], numbers: Int[np.ndarray, " M"]) -> float:
        """Logarithm of the factor of some sites; arguments as `sites_hash`."""
        first = int(tables()["first_position"][group - 1])
        elements, element = np.unique(numbers, return_inverse=True)
        counts = np.bincount(element, tables()["multiplicity"][first + positions]).astype(np.int64)
        counts //= np.gcd.reduce(counts)
        found = 0.0
        if self.n_elements:
            found += self.n_elements[min(len(elements), len(self.n_elements)) - 1]
        if self.density and self.volumes is not None:
            mass, volume = counts @ ATOMIC_MASS[elements], counts @ self.volumes[elements]
            found += self.density[bisect(DENSITY_EDGES, mass / volume * G_PER_MOL_PER_CUBIC_ANGSTROM)]
        if self.neutral and smact_valid_counts(tuple(elements.tolist()), tuple(counts.tolist())):
            found += self.neutral
        if self.new_template and len(positions) <= MOST_ORBITS:
            found += self.new_template * (not self.templates.has(group, positions, np.zeros_like(numbers)))
        return found


def template_sites(templates: Templates) -> KnownSites:
    """Templates as sites without elements."""
    return KnownSites.of_sites(
        (group, np.array(row), np.zeros(len(row), dtype=np.int64)) for group, row, _ in templates
    )
