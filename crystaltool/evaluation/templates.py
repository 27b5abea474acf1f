"""Templates: a space group and the multiset of its occupied Wyckoff positions, elements and coordinates forgotten.

Raw templates are those of SymmCD (arXiv 2502.03638, section 5.3). A change of origin that keeps the group may swap
letters, so labellings that the group's normaliser carries into one another are also counted as one ("merged").
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np

from crystaltool.arrays import Int
from crystaltool.symmetry.normaliser import position_permutations

Template = tuple[int, tuple[int, ...]]
"""Space-group number and the sorted indices of the occupied positions, 0 = a, once per orbit."""

TEMPLATE_SYMPREC = 0.1
"""Angstrom; the field re-detects symmetry at this tolerance before it counts templates."""


def template(group: int, positions: Int[np.ndarray, " n_orbits"]) -> Template:
    """The template of a structure from its group and the position of each orbit."""
    return group, tuple(np.sort(positions).tolist())


@cache
def merge(raw: Template, normaliser: str = "euclidean") -> Template:
    """The representative of all equivalent labellings: the lexicographically smallest."""
    group, positions = raw
    images = np.sort(position_permutations(group, normaliser)[:, list(positions)], axis=1)
    return group, min(map(tuple, images.tolist()))


@dataclass(frozen=True)
class TemplateCount:
    """How many different templates a set has, and how many of them occur in the training set.

    Args:
        n_structures: structures whose symmetry could be detected.
        unique: different templates. in_training: those of them that occur in training. new: those that do not.
        training: different templates of the training set.
    """

    n_structures: int
    unique: int
    in_training: int
    new: int
    training: int


def count_templates(
    generated: Iterable[Template], training: Iterable[Template], normaliser: str | None = None
) -> TemplateCount:
    """Count templates, as they are or with equivalent labellings merged."""
    mine, known = list(generated), set(training)
    if normaliser is not None:
        mine, known = [merge(raw, normaliser) for raw in mine], {merge(raw, normaliser) for raw in known}
    different = set(mine)
    return TemplateCount(len(mine), len(different), len(different & known), len(different - known), len(known))
