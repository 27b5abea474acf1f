"""Blocks for the tests: textbook crystals as the tool writes them, and changed copies of halite."""

from __future__ import annotations

from crystaltool.asymunit import reduce
from crystaltool.io.cif import CifBlock, format_asym_unit, parse_block
from crystaltool.symmetry import operations_to_xyz, space_group
from tests.textbook import BY_NAME

FACE_CENTRED = space_group(225)
OPERATIONS = [
    operations_to_xyz(rotation, translation)
    for rotation, translation in zip(FACE_CENTRED.rotations, FACE_CENTRED.translations, strict=True)
]


def textbook_text(name: str) -> str:
    """A textbook crystal as one block."""
    return format_asym_unit(reduce(BY_NAME[name].crystal()), name)


def halite_text(
    name: str = "halite",
    cell: str = "5.6402 5.6402 5.6402 90 90 90",
    sites: str = "Na1 Na 4 0 0 0\nCl1 Cl 4 0.5 0.5 0.5",
    formula: str = "'Cl Na'",
    units: str = "4",
    operations: list[str] | None = None,
    group: str = "225",
) -> str:
    """Halite with its sites (label, symbol, multiplicity, x, y, z), or whatever the arguments make of it."""
    lengths_angles = zip(
        ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma"), cell.split(), strict=True
    )
    listed = "\n".join(f"'{text}'" for text in (OPERATIONS if operations is None else operations))
    return (
        f"data_{name}\n"
        + "".join(f"_cell_{tag} {value}\n" for tag, value in lengths_angles)
        + f"_chemical_formula_sum {formula}\n_cell_formula_units_Z {units}\n_space_group_IT_number {group}\n"
        + f"loop_\n_space_group_symop_operation_xyz\n{listed}\n"
        + "loop_\n_atom_site_label\n_atom_site_type_symbol\n_atom_site_site_symmetry_multiplicity\n"
        + f"_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n{sites}\n"
    )


P1_SITES = "\n".join(
    f"{symbol}{i} {symbol} 1 {x} {y} {z}"
    for symbol, shift in (("Na", 0.0), ("Cl", 0.5))
    for i, (x, y, z) in enumerate(
        [(shift, 0, 0), (shift, 0.5, 0.5), ((shift + 0.5) % 1, 0, 0.5), ((shift + 0.5) % 1, 0.5, 0)], start=1
    )
)
"""All eight atoms of halite's cell."""


def halite(**changes) -> CifBlock:
    """`halite_text`, parsed."""
    return parse_block(halite_text(**changes))
