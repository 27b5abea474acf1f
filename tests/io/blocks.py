"""Short CIF texts for the tests."""

from __future__ import annotations

HALITE = """data_{name}
_cell_length_a 5.6402
_cell_length_b 5.6402
_cell_length_c 5.6402
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
loop_
_space_group_symop_operation_xyz
'x,y,z'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Na1 Na 0 0 0 1
Cl1 Cl 0.5 0.5 0.5 1
"""
"""Two atoms in a cubic P 1 cell."""


def halite(name: str = "halite", **changes: str) -> str:
    """The text with lines changed: `halite(_cell_length_a="?")` replaces a tag's value, an empty one drops the tag."""
    lines = []
    for line in HALITE.format(name=name).splitlines():
        tag = line.split()[0]
        if tag in changes:
            if changes[tag]:
                lines.append(f"{tag} {changes[tag]}")
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"
