"""Which of the settings that a block's names can mean it is: the one that its cell and its atoms suit."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from crystaltool.arrays import Float
from crystaltool.errors import InputError
from crystaltool.io.cif_merge import Placed, same_atoms
from crystaltool.io.cif_settings import Candidate
from crystaltool.io.cif_symmetry import parse_operations
from crystaltool.io.remarks import DETAIL, WARNING, Remark
from crystaltool.symmetry.operations import cell_strain

STRAIN_LIMITS = (2e-4, 1e-2)
"""Relative misfit of a cell to a setting: what rounding makes of it (0.01 degrees), and the most that is allowed."""


def choose_setting(
    candidates: Sequence[Candidate],
    lattice: Float[np.ndarray, "3 3"],
    place: Callable[[tuple[str, ...]], Placed],
    agrees: Callable[[Placed], bool],
) -> tuple[Candidate, Placed, tuple[Remark, ...]]:
    """The one setting whose operations keep the cell and place the atoms without contradiction.

    Args:
        candidates: the settings that the names can mean.
        lattice: rows a, b, c in Angstrom.
        place: all atoms under a list of operations; raises InputError where they cannot be.
        agrees: whether placed atoms are what the stated formula says; True where none is stated.

    Raises:
        InputError: none fits, or several do and make different structures.
    """
    strains = [cell_strain(lattice, parse_operations(candidate.texts).rotations) for candidate in candidates]
    names = ", ".join(candidate.name for candidate in candidates[:6])
    remarks: tuple[Remark, ...] = ()
    limit = next((limit for limit in STRAIN_LIMITS if min(strains) <= limit), None)
    if limit is None:
        raise InputError(f"the cell fits no setting of its space group ({names}): off by {min(strains):.1%} at best")
    if limit > STRAIN_LIMITS[0]:
        remarks = (Remark(WARNING, f"the cell misses its space group by {min(strains):.2%}"),)
    fitting = [candidate for candidate, strain in zip(candidates, strains, strict=True) if strain <= limit]
    if len(fitting) == 1:
        return fitting[0], place(fitting[0].texts), remarks
    placed: list[tuple[Candidate, Placed]] = []
    for candidate in fitting:
        try:
            found = place(candidate.texts)
        except InputError as error:
            last = error
            continue
        if not any(same_atoms(lattice, found, other) for _, other in placed):
            placed.append((candidate, found))
    if not placed:
        raise last
    if len(placed) > 1:
        right = [(candidate, found) for candidate, found in placed if agrees(found)]
        if len(right) != 1:  # a list of the whole cell shows its setting: the operations map it onto itself
            right = [(candidate, found) for candidate, found in right or placed if found.is_closed]
        if len(right) != 1:
            open_names = ", ".join(candidate.name for candidate, _ in placed)
            raise InputError(
                f"its names leave the setting open and no operations are listed: {open_names} all fit the cell and make"
                " different structures"
            )
        placed = right
        remarks = (*remarks, Remark(DETAIL, f"{right[0][0].name} is the setting that suits the formula and the atoms"))
    return *placed[0], remarks
