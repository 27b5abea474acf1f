"""Space groups, Wyckoff positions and symmetry operations (International Tables for Crystallography, volume A)."""

from crystaltool.symmetry.operations import operations_to_xyz, xyz_to_operation
from crystaltool.symmetry.space_group import SpaceGroup, WyckoffPosition, space_group
from crystaltool.symmetry.symbols import parse_space_group

__all__ = [
    "SpaceGroup",
    "WyckoffPosition",
    "operations_to_xyz",
    "parse_space_group",
    "space_group",
    "xyz_to_operation",
]
