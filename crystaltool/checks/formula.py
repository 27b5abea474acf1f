"""What the block says of its content against its atoms: formula and Z, and the multiplicity of every site."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crystaltool.checks.verdict import Verdict
from crystaltool.errors import InputError
from crystaltool.io.cif_formula import (
    agrees,
    composition,
    disagreement,
    formula_text,
    parse_formula_sum,
    reduced,
    stated_and_found,
)

if TYPE_CHECKING:
    from crystaltool.io.cif import CifBlock

__all__ = ["check_formula", "check_multiplicities", "composition", "parse_formula_sum", "reduced"]


def check_formula(block: CifBlock) -> Verdict:
    """Formula times Z is the content of the cell; without Z the content is a whole multiple of the formula.

    Z alone divides it. A density that is stated must be that of cell and atoms, too.
    """
    content = composition(block.crystal.numbers)
    limit = "formula x Z = atoms of the cell, density as stated"
    n_atoms = float(block.crystal.n_atoms)
    passed, message = True, f"no formula declared, the cell holds {formula_text(content)}"
    if block.formula_sum is not None:
        units = block.formula_units_z
        try:
            declared = parse_formula_sum(block.formula_sum)
            passed, message = agrees(declared, units, content), stated_and_found(declared, units, content)
        except InputError as error:
            passed, message = False, " ".join(str(error).split())
    elif differs := disagreement(None, block.formula_units_z, block.crystal.numbers):
        passed, message = False, differs
    if block.density_otherwise:
        passed, message = False, f"{message}; {block.density_otherwise}"
    return Verdict("formula", passed, n_atoms, limit, message)


def check_multiplicities(block: CifBlock) -> Verdict:
    """Multiplicities and Wyckoff letters that are declared are those of the sites. The value is how many are not.

    The deprecated `_atom_site_symmetry_multiplicity` is in use for that and for the order of the site symmetry, which
    SHELXL-97 writes; either is right.
    """
    limit = "site multiplicity = atoms of the site, letter = position"
    if block.site_multiplicities is None and block.site_letters is None:
        return Verdict("multiplicities", True, None, limit, "none declared")
    wrong = block.sites_otherwise
    if not wrong:
        return Verdict("multiplicities", True, 0.0, limit, f"{len(block.site_labels)} sites agree")
    more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    return Verdict("multiplicities", False, float(len(wrong)), limit, f"{wrong[0]}{more}")
