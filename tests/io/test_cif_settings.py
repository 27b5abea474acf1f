"""Names of a group in tags that leave its setting open, or that are not known."""

from __future__ import annotations

import pytest

from crystaltool.errors import InputError
from crystaltool.io.cif import parse_block
from tests.io.blocks import halite

AXES = {"_cell_length_a": "6.2", "_cell_length_b": "7.3", "_cell_length_c": "8.4"}


def _named(tags: str, **cell: str) -> str:
    """One atom in a general position, the group named alone."""
    head, _, atoms = halite(**{**AXES, **cell}).partition("loop_\n_space_group_symop_operation_xyz\n'x,y,z'\n")
    atoms = atoms.replace("Na1 Na 0 0 0", "Na1 Na 0.12 0.23 0.34").replace("Cl1 Cl 0.5 0.5 0.5 1\n", "")
    return f"{head}{tags}\n{atoms}"


REFERENCE = "_space_group_name_H-M_ref 'P n m a'\n"


@pytest.mark.parametrize(
    ("tags", "n_images"),
    [
        ("_space_group_name_H-M_alt 'P b n m'", 8),
        ("_space_group_name_Hall '-P 2c 2ab'", 8),
        ("_space_group_IT_coordinate_system_code cab", 8),
    ],
)
def test_the_reference_symbol_names_the_type_beside_any_setting(tags: str, n_images: int) -> None:
    block = parse_block(_named(REFERENCE + tags))
    same = parse_block(_named("_space_group_name_H-M_alt 'P b n m'"))
    assert block.declared_group == 62
    assert {tuple(row) for row in block.crystal.frac_coords.round(6)} == {
        tuple(row) for row in same.crystal.frac_coords.round(6)
    }
    assert block.crystal.n_atoms == n_images


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ("", "leave the setting open"),
        ("_space_group_IT_number 61", "number 61 contradicts the declared name 'P n m a'"),
        ("_space_group_name_H-M_alt 'P b c a'", "'P b c a' and 'P n m a' contradict each other"),
        ("_space_group_name_Hall '-P 2ac 2ab'", r"\(group 61\) contradicts P n m a"),
    ],
)
def test_the_reference_symbol_alone_is_no_setting(tags: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        parse_block(_named(REFERENCE + tags))


def test_a_number_is_not_read_with_another_lattice_than_an_unknown_symbol_has() -> None:
    tags = "_symmetry_space_group_name_H-M 'B21'\n_symmetry_Int_Tables_number 4\n"
    with pytest.raises(InputError, match="no setting with that lattice"):
        parse_block(_named(tags, _cell_angle_beta="100"))
    tags = "_symmetry_space_group_name_H-M 'unknown'\n_symmetry_Int_Tables_number 19\n"
    assert parse_block(_named(tags)).crystal.n_atoms == 4
