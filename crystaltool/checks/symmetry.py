"""The declared operations against those that spglib detects in the expanded crystal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crystaltool.arrays import Bool, Float, Int
from crystaltool.checks.operations import cell_displacement, site_displacements
from crystaltool.checks.remembered import remembered
from crystaltool.checks.verdict import Verdict

if TYPE_CHECKING:
    from crystaltool.crystal import Crystal
    from crystaltool.io.cif import CifBlock

SYMPRECS = (1e-3, 1e-2)
"""Distance tolerances of the detection in Angstrom: what is exact must be found at both."""

EXACT = 1e-5
"""Angstrom: operations that hold so well hold at every tolerance of the detection; blocks are written to 1e-6."""

TRANSLATION_TOLERANCE = 0.05
"""Angstrom; operations with one rotation differ by a translation of the crystal, which is never this short."""


def check_symmetry(block: CifBlock) -> Verdict:
    """At 1e-3 and 1e-2 A spglib finds every declared operation; a supergroup passes. The value is the group.

    What is exact is not looked for twice: where spglib finds the declared operations and no other at 1e-2 A, and all
    hold within 1e-5 A, the smaller tolerance can neither lose nor add one.
    """
    limit = f"declared operations found at symprec {SYMPRECS[0]:g} and {SYMPRECS[1]:g} A"
    n_operations = len(block.rotations)
    declared = f"declared {block.declared_group}" if block.declared_group else f"{n_operations} operations declared"
    exact = _exact_group(block)
    groups = [] if exact is None else [exact] * len(SYMPRECS)
    for symprec in SYMPRECS if exact is None else ():
        found = detected_operations(block.crystal, symprec)
        if found is None:
            return Verdict("symmetry", False, None, limit, f"{declared}, spglib finds no group at {symprec:g} A")
        held = operations_held(block, symprec)
        if not held.all():
            missing = f"{int((~held).sum())} of {n_operations} operations missing"
            message = f"{declared}, found {found[0]} at {symprec:g} A, {missing}"
            return Verdict("symmetry", False, float(found[0]), limit, message)
        groups.append(found[0])
    return Verdict("symmetry", True, float(groups[-1]), limit, f"{declared}, found {' and '.join(map(str, groups))}")


def _exact_group(block: CifBlock) -> int | None:
    """The group of a crystal whose declared operations are exact and all that spglib finds at 1e-2 A, else None."""
    found = detected_operations(block.crystal, SYMPRECS[1])
    if found is None or len(found[1]) != len(block.rotations) or not operations_held(block, SYMPRECS[1]).all():
        return None
    if cell_displacement(block.crystal.lattice, block.rotations)[0] > EXACT:
        return None
    return found[0] if site_displacements(block).max() <= EXACT else None


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


@remembered
def operations_held(block: CifBlock, symprec: float) -> Bool[np.ndarray, " n"]:
    """Which of the declared operations are among those that spglib finds; none if it finds no group."""
    found = detected_operations(block.crystal, symprec)
    if found is None:
        return np.zeros(len(block.rotations), dtype=bool)
    return contained(block.crystal.lattice, (block.rotations, block.translations), found[1:])


def contained(
    lattice: Float[np.ndarray, "3 3"],
    asked: tuple[Int[np.ndarray, "n 3 3"], Float[np.ndarray, "n 3"]],
    found: tuple[Int[np.ndarray, "m 3 3"], Float[np.ndarray, "m 3"]],
) -> Bool[np.ndarray, " n"]:
    """Which of the operations asked for are among those found, up to lattice translations."""
    weights = 3 ** np.arange(9)
    asked_keys, found_keys = (rotations.reshape(-1, 9) @ weights for rotations in (asked[0], found[0]))
    order = np.argsort(found_keys, kind="stable")
    starts, ends = (np.searchsorted(found_keys[order], asked_keys, side=side) for side in ("left", "right"))
    held = np.zeros(len(asked_keys), dtype=bool)
    for step in range(int((ends - starts).max(initial=0))):
        mine = np.flatnonzero(starts + step < ends)
        shift = asked[1][mine] - found[1][order[starts[mine] + step]]
        shift -= np.round(shift)
        held[mine] |= np.linalg.norm(shift @ lattice, axis=-1) <= TRANSLATION_TOLERANCE
    return held
