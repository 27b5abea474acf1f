"""What the block says of its content against its atoms: formula and Z, and the multiplicity of every site."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crystaltool.checks.verdict import Verdict
from crystaltool.errors import InputError
from crystaltool.io.cif_formula import (
    agrees,
    composition,
    formula_text,
    parse_formula_sum,
    reduced,
    stated_and_found,
)

if TYPE_CHECKING:
    from crystaltool.io.cif import CifBlock

__all__ = ["check_formula", "check_multiplicities", "composition", "parse_formula_sum", "reduced"]


def check_formula(block: CifBlock) -> Verdict:
    """Formula times Z is the content of the cell; without Z the content is a whole multiple of the formula."""
    content = composition(block.crystal.numbers)
    limit = "formula x Z = atoms of the cell"
    n_atoms = float(block.crystal.n_atoms)
    if block.formula_sum is None:
        return Verdict("formula", True, n_atoms, limit, f"no formula declared, the cell holds {formula_text(content)}")
    try:
        declared = parse_formula_sum(block.formula_sum)
    except InputError as error:
        return Verdict("formula", False, n_atoms, limit, " ".join(str(error).split()))
    units = block.formula_units_z
    message = stated_and_found(declared, units, content)
    return Verdict("formula", agrees(declared, units, content), n_atoms, limit, message)


def check_multiplicities(block: CifBlock) -> Verdict:
    """The declared multiplicity of every site is the number of atoms its images make.

    The deprecated `_atom_site_symmetry_multiplicity` is in use for that and for the order of the site symmetry, which
    SHELXL-97 writes; either is right.
    """
    limit = "site multiplicity = atoms of the site"
    if block.site_multiplicities is None:
        return Verdict("multiplicities", True, None, limit, "none declared")
    counts = np.bincount(block.atom_to_site, minlength=len(block.site_labels))
    declared = np.array(block.site_multiplicities)
    right = counts == declared
    if block.multiplicity_may_be_order:
        right |= counts * declared == len(block.rotations)
    wrong = np.flatnonzero(~right)
    if len(wrong) == 0:
        return Verdict("multiplicities", True, 0.0, limit, f"{len(counts)} sites agree")
    first = int(wrong[0])
    message = f"site {first + 1} declares {block.site_multiplicities[first]}, its operations make {counts[first]} atoms"
    return Verdict("multiplicities", False, float(len(wrong)), limit, message)
