"""The declared operations against those that spglib detects in the expanded crystal."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from crystaltool.arrays import Bool, Float, Int
from crystaltool.checks.verdict import Verdict

if TYPE_CHECKING:
    from crystaltool.crystal import Crystal
    from crystaltool.io.cif import CifBlock

Result = TypeVar("Result")

SYMPRECS = (1e-3, 1e-2)
"""Distance tolerances of the detection in Angstrom: what is exact must be found at both."""

TRANSLATION_TOLERANCE = 0.05
"""Angstrom; operations with one rotation differ by a translation of the crystal, which is never this short."""


def check_symmetry(block: CifBlock) -> Verdict:
    """At 1e-3 and 1e-2 A spglib finds every declared operation; a supergroup passes. The value is the group."""
    groups = []
    limit = f"declared operations found at symprec {SYMPRECS[0]:g} and {SYMPRECS[1]:g} A"
    n_operations = len(block.rotations)
    declared = f"declared {block.declared_group}" if block.declared_group else f"{n_operations} operations declared"
    for symprec in SYMPRECS:
        found = detected_operations(block.crystal, symprec)
        if found is None:
            return Verdict("symmetry", False, None, limit, f"{declared}, spglib finds no group at {symprec:g} A")
        group, rotations, translations = found
        held = contained(block.crystal.lattice, (block.rotations, block.translations), (rotations, translations))
        if not held.all():
            missing = f"{int((~held).sum())} of {n_operations} operations missing"
            message = f"{declared}, found {group} at {symprec:g} A, {missing}"
            return Verdict("symmetry", False, float(group), limit, message)
        groups.append(group)
    return Verdict("symmetry", True, float(groups[-1]), limit, f"{declared}, found {' and '.join(map(str, groups))}")


def remembered(detect: Callable[[Crystal, float], Result]) -> Callable[[Crystal, float], Result]:
    """`detect`, which keeps its last answer at each tolerance: two checks in a row ask the same of one crystal."""
    kept: dict[float, tuple[Crystal, Result]] = {}

    @wraps(detect)
    def asked(crystal: Crystal, symprec: float) -> Result:
        if symprec not in kept or kept[symprec][0] is not crystal:
            kept[symprec] = crystal, detect(crystal, symprec)
        return kept[symprec][1]

    return asked


@remembered
def detected_operations(
    crystal: Crystal, symprec: float
) -> tuple[int, Int[np.ndarray, "n 3 3"], Float[np.ndarray, "n 3"]] | None:
    """Space-group number and the operations in the crystal's own cell, as spglib finds them; None if it finds none."""
    import spglib

    cell: Any = (crystal.lattice, crystal.frac_coords, crystal.numbers)
    try:
        dataset = spglib.get_symmetry_dataset(cell, symprec=symprec)
    except spglib.SpglibError:
        return None
    return None if dataset is None else (int(dataset.number), dataset.rotations, dataset.translations)


def contained(
    lattice: Float[np.ndarray, "3 3"],
    asked: tuple[Int[np.ndarray, "n 3 3"], Float[np.ndarray, "n 3"]],
    found: tuple[Int[np.ndarray, "m 3 3"], Float[np.ndarray, "m 3"]],
) -> Bool[np.ndarray, " n"]:
    """Which of the operations asked for are among those found, up to lattice translations."""
    weights = 3 ** np.arange(9)
    asked_keys, found_keys = (rotations.reshape(-1, 9) @ weights for rotations in (asked[0], found[0]))
    held = np.zeros(len(asked_keys), dtype=bool)
    for key in np.unique(asked_keys):
        mine, theirs = np.flatnonzero(asked_keys == key), np.flatnonzero(found_keys == key)
        shift = asked[1][mine][:, None] - found[1][theirs][None]
        shift -= np.round(shift)
        held[mine] = (np.linalg.norm(shift @ lattice, axis=-1) <= TRANSLATION_TOLERANCE).any(axis=1)
    return held
