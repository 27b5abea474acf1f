"""The declared space group is the crystal's own: spglib finds all of its operations and no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crystaltool.checks.symmetry import detected_operations, operations_held
from crystaltool.checks.verdict import Verdict, not_judged

if TYPE_CHECKING:
    from crystaltool.io.cif import CifBlock

SYMPREC = 1e-2
"""Angstrom; the tolerance of the detection."""

LIMIT = f"the declared group and no supergroup found at symprec {SYMPREC:g} A"


def check_exact_group(block: CifBlock) -> Verdict:
    """At 1e-2 A spglib finds exactly the declared operations. The value is the number of the group found.

    A group of the same type with more operations is a supergroup too: the cell then holds a smaller one several times.
    Blocks in P 1 are not judged if more is found: so structures are written whose symmetry is left open.
    """
    n_declared = len(block.rotations)
    declared = f"declared {block.declared_group}" if block.declared_group else f"{n_declared} operations declared"
    found = detected_operations(block.crystal, SYMPREC)
    if found is None:
        return Verdict("exact-group", False, None, LIMIT, f"{declared}, spglib finds no group")
    group, rotations, _ = found
    held = operations_held(block, SYMPREC)
    message = f"{declared}, found {group}"
    if not held.all():
        message += f" without {int((~held).sum())} of the {n_declared} operations"
        return Verdict("exact-group", False, float(group), LIMIT, message)
    if len(rotations) == n_declared:
        return Verdict("exact-group", True, float(group), LIMIT, message)
    if n_declared == 1:
        return not_judged("exact-group", LIMIT, f"{message}; P 1 leaves the symmetry open")
    message += f", a supergroup with {len(rotations)} operations for {n_declared}"
    if group == block.declared_group:
        message += ": a smaller cell repeats"
    return Verdict("exact-group", False, float(group), LIMIT, message)
