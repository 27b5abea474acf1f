"""Reading one block: what is understood, and what is refused with which words."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crystaltool.crystal import Crystal
from crystaltool.errors import InputError
from crystaltool.io.cif import MAX_ATOMS, CifBlock, parse_block, parse_crystal
from crystaltool.io.remarks import WARNING
from tests.io.blocks import halite


def distances_to(crystal: Crystal, other: Crystal) -> float:
    """Largest distance (Angstrom) from an atom of one to the nearest of the same kind in the other."""
    shifts = crystal.frac_coords[:, None] - other.frac_coords[None]
    lengths = np.linalg.norm((shifts - np.round(shifts)) @ crystal.lattice, axis=-1)
    lengths[crystal.numbers[:, None] != other.numbers[None]] = np.inf
    return float(lengths.min(axis=1).max())


def site_rows(*rows: str) -> str:
    """The block with other site rows."""
    return halite().rsplit("Na1 Na", 1)[0] + "".join(f"{row}\n" for row in rows)


def test_reads_cell_sites_and_name() -> None:
    block = parse_block(halite("x-1"), "in.cif", 7)
    assert (block.name, block.source, block.line) == ("x-1", "in.cif", 7)
    np.testing.assert_allclose(block.crystal.lattice, np.eye(3) * 5.6402, atol=1e-12)
    assert block.crystal.numbers.tolist() == [11, 17]
    assert block.crystal.name == "x-1"
    assert block.site_labels == ("Na1", "Cl1")
    assert block.declared_group is None and len(block.rotations) == 1
    assert block.site_letters is None and block.site_multiplicities is None


@pytest.mark.parametrize(
    ("tag", "value", "words"),
    [
        ("_cell_length_b", "", "no _cell_length_b, the cell is missing"),
        ("_cell_length_b", "?", "_cell_length_b is '?'"),
        ("_cell_length_b", "nan", "_cell_length_b is 'nan'"),
        ("_cell_length_b", "1e400", "expected a number"),
        ("_cell_length_b", "0", "not positive numbers"),
        ("_cell_length_b", "-5", "not positive numbers"),
        ("_cell_angle_beta", "180", "not between 0 and 180"),
        ("_cell_angle_beta", "0", "not between 0 and 180"),
        ("_cell_angle_beta", "inf", "expected a number"),
    ],
)
def test_bad_cells_are_refused(tag: str, value: str, words: str) -> None:
    with pytest.raises(InputError, match=words.replace("?", r"\?")):
        parse_block(halite(**{tag: value}))


def test_a_flat_cell_is_refused() -> None:
    text = halite(_cell_angle_alpha="30", _cell_angle_beta="30", _cell_angle_gamma="90")
    with pytest.raises(InputError, match="volume"):
        parse_block(text)


@pytest.mark.parametrize("value", ["?", ".", "nan", "NaN", "inf", "-inf", "abc", "1_0", "0x1p3", "1.2.3"])
def test_coordinates_that_are_no_numbers_name_the_site(value: str) -> None:
    with pytest.raises(InputError, match=r"site Cl1: _atom_site_fract_y is "):
        parse_block(site_rows("Na1 Na 0 0 0 1", f"Cl1 Cl 0.5 {value} 0.5 1"))


@pytest.mark.parametrize(
    ("value", "number"),
    [("0.25", 0.25), ("0.2500(3)", 0.25), (".25", 0.25), ("-.75", -0.75), ("2.5e-1", 0.25), ("1.", 1.0)],
)
def test_numbers_with_uncertainty_and_exponent(value: str, number: float) -> None:
    block = parse_block(site_rows(f"Na1 Na {value} 0 0 1"))
    assert block.site_frac_coords[0, 0] == pytest.approx(number, abs=1e-12)


@pytest.mark.parametrize("occupancy", ["0.5", "0.98", "0", "nan", "2", "0.5(1)"])
def test_partial_occupancy_names_the_site(occupancy: str) -> None:
    with pytest.raises(InputError, match=r"site Cl1 is partially occupied"):
        parse_block(site_rows("Na1 Na 0 0 0 1", f"Cl1 Cl 0.5 0.5 0.5 {occupancy}"))


@pytest.mark.parametrize("occupancy", ["1", "1.0", "1.000(1)", "?", ".", "0.9999"])
def test_full_occupancy_in_every_spelling(occupancy: str) -> None:
    assert parse_crystal(site_rows(f"Na1 Na 0 0 0 {occupancy}")).n_atoms == 1


def test_disorder_groups_name_the_site() -> None:
    text = halite().replace("_atom_site_occupancy", "_atom_site_disorder_group")
    with pytest.raises(InputError, match=r"site Na1 is disordered \(group 1\)"):
        parse_block(text)
    assert parse_crystal(text.replace("0 1\n", "0 .\n").replace("0.5 1\n", "0.5 .\n")).n_atoms == 2


@pytest.mark.parametrize(
    ("symbol", "number"),
    [
        ("Fe", 26),
        ("Fe3+", 26),
        ("FE", 26),
        ("O2-", 8),
        ("D", 1),
        ("C", 6),
        ("Co", 27),
        ("Uuo", None),
        ("Xx", None),
        ("Cu0.5+", 29),
        ("Mn3.5+", 25),
        ("Fe0.5", None),
        ("Fe.5", None),
        ("Fe(0.5)", None),
    ],
)
def test_element_symbols(symbol: str, number: int | None) -> None:
    text = site_rows(f"A1 {symbol} 0 0 0 1")
    if number is None and symbol != "Uuo":
        with pytest.raises(InputError, match="is not an element"):
            parse_crystal(text)
    elif number is not None:
        assert parse_crystal(text).numbers.tolist() == [number]


def test_elements_from_labels_when_there_is_no_type_column() -> None:
    text = halite().replace("_atom_site_type_symbol\n", "").replace("Na1 Na", "Na1").replace("Cl1 Cl", "Cl1")
    assert parse_crystal(text).numbers.tolist() == [11, 17]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "0 data blocks"),
        ("# nothing\n", "0 data blocks"),
        ("data_x\n", "the cell is missing"),
        (halite().split("loop_\n_atom")[0], "no atoms"),
        (halite().split("Na1")[0], "loop of atom sites is empty"),
        (halite()[:-12], r"the loop of _atom_site_label has \d+ values for 6 tags"),
        (
            halite().replace("0.5 0.5 0.5 1", "0.5 0.5 0.5"),
            r"line 19: the loop of _atom_site_label has 11 values for 6 tags",
        ),
        (halite("a") + halite("b"), "2 data blocks"),
        (halite() + "_cell_length_a 5\n", "_cell_length_a is given twice, as 5.6402 and as 5"),
        (halite().replace("fract", "Cartn"), "only _atom_site_Cartn"),
    ],
)
def test_broken_blocks_are_one_sentence(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        parse_block(text)
    assert "\n" not in str(caught.value)


def test_many_sites_are_refused_quickly() -> None:
    rows = "".join(f"Na{i} Na {i / 1e5:.5f} 0 0 1\n" for i in range(100_000))
    with pytest.raises(InputError, match=f"100000 sites, the limit is {MAX_ATOMS} atoms"):
        parse_block(site_rows().rstrip("\n") + "\n" + rows)


def test_many_atoms_after_expansion_are_refused() -> None:
    group = gemmi.find_spacegroup_by_name("F m -3 m")
    ops = "\n".join(f"'{op.triplet()}'" for op in group.operations())
    rng = np.random.default_rng(0)
    rows = "".join("Na{} Na {:.4f} {:.4f} {:.4f} 1\n".format(i, *rng.random(3)) for i in range(200))
    text = site_rows().replace("'x,y,z'", ops).replace("5.6402", "56.402")
    with pytest.raises(InputError, match=f"more than {MAX_ATOMS} atoms"):
        parse_block(text.rstrip("\n") + "\n" + rows)


# ---- symmetry


def with_operations(ops: list[str], extra: str = "", rows: tuple[str, ...] = ("Na1 Na 0 0 0 1",)) -> str:
    """A block with these operations."""
    listed = "\n".join(f"'{op}'" for op in ops)
    return site_rows(*rows).replace("'x,y,z'", listed).replace("loop_\n_space", f"{extra}loop_\n_space")


def cubic_operations(symbol: str) -> list[str]:
    return [op.triplet() for op in gemmi.find_spacegroup_by_name(symbol).operations()]


@pytest.mark.parametrize("symbol", ["F m -3 m", "F d -3 m:2", "P 2 3", "I a -3 d", "P n -3 n:2"])
def test_expansion_agrees_with_gemmi(symbol: str) -> None:
    ops = cubic_operations(symbol)
    rows = ("Na1 Na 0 0 0 1", "Cl1 Cl 0.125 0.125 0.125 1", "O1 O 0.1 0.1 0.33 1", "S1 S 0.07 0.19 0.41 1")
    text = with_operations(ops, rows=rows).replace("5.6402", "40.0")  # gemmi merges images within 0.4 A
    crystal = parse_crystal(text)
    small = gemmi.make_small_structure_from_block(gemmi.cif.read_string(text).sole_block())
    small.spacegroup = gemmi.find_spacegroup_by_name(symbol)
    sites = small.get_all_unit_cell_sites()
    expected = Crystal(
        crystal.lattice,
        np.array([[s.fract.x, s.fract.y, s.fract.z] for s in sites]),
        np.array([s.element.atomic_number for s in sites]),
    )
    assert crystal.n_atoms == expected.n_atoms
    assert distances_to(crystal, expected) < 1e-6 and distances_to(expected, crystal) < 1e-6


@given(st.floats(-2, 2), st.floats(-2, 2), st.floats(-2, 2), st.sampled_from(["P m -3 m", "I -4 3 d", "P a -3"]))
@settings(max_examples=30, deadline=None)
def test_expanded_cell_is_closed_under_the_operations(x: float, y: float, z: float, symbol: str) -> None:
    block = parse_block(with_operations(cubic_operations(symbol), rows=(f"Na1 Na {x:.6f} {y:.6f} {z:.6f} 1",)))
    for rotation, translation in zip(block.rotations, block.translations, strict=True):
        moved = Crystal(
            block.crystal.lattice, block.crystal.frac_coords @ rotation.T + translation, block.crystal.numbers
        )
        assert distances_to(moved, block.crystal) < 1e-6


def test_thirds_of_three_decimals_are_one_special_position() -> None:
    ops = [op.triplet() for op in gemmi.find_spacegroup_by_name("P 63/m m c").operations()]
    text = with_operations(ops, rows=("Mg1 Mg 0.333 0.667 0.25 1",)).replace(
        "_cell_angle_gamma 90", "_cell_angle_gamma 120"
    )
    crystal = parse_crystal(text)
    assert crystal.n_atoms == 2
    assert np.abs(np.sort(crystal.frac_coords[:, 0]) - [1 / 3, 2 / 3]).max() < 1e-9


def warnings_of(block: CifBlock) -> list[str]:
    return [remark.text for remark in block.remarks if remark.level >= WARNING]


def test_operations_win_and_a_contradiction_is_a_warning() -> None:
    ops = cubic_operations("F m -3 m")
    assert parse_block(with_operations(ops, "_space_group_IT_number 225\n")).declared_group == 225
    for tags in (
        "_space_group_IT_number 221\n",
        "_symmetry_Int_Tables_number 221\n",
        "_symmetry_space_group_name_H-M 'P m -3 m'\n",
    ):
        block = parse_block(with_operations(ops, tags))
        (said,) = warnings_of(block)
        assert "make space group 225, declared is 221" in said
        assert (block.crystal.n_atoms, block.declared_group) == (4, 225)
    block = parse_block(with_operations(["x,y,z"], "_space_group_IT_number 225\n"))
    assert "make space group 1, declared is 225" in warnings_of(block)[0]
    assert (block.crystal.n_atoms, block.declared_group) == (1, 1)


def test_operations_in_an_untabulated_setting_are_identified() -> None:
    ops = [f"{x},{y},{z}" for x, y, z in (("x", "y", "z"), ("-x+1/3", "-y+1/7", "-z"))]
    block = parse_block(with_operations(ops, "_space_group_IT_number 2\n", rows=("Na1 Na 0.1 0.2 0.3 1",)))
    assert block.crystal.n_atoms == 2
    block = parse_block(with_operations(ops, "_space_group_IT_number 3\n", rows=("Na1 Na 0.1 0.2 0.3 1",)))
    assert "make space group 2, declared is 3" in warnings_of(block)[0]


@pytest.mark.parametrize(
    ("ops", "words"),
    [
        (["x,y,z", "-x,-y,z", "x,-y,-z"], "do not form a group"),
        (["-x,-y,-z"], "do not include x,y,z"),
        (["x,y,z", "x/2,y,z"], "not a rotation"),
        (["x,y,z", "x/0,y,z"], "divides by zero"),
        (["x,y,z", "x,y+1/2,z+1/2", "x+1/2,y,z+1/2", "x,y+1/2,z+1/2"], "which is missing; 1 operation is given twice"),
        (["x,y,z", "x,y"], "2 parts, expected 3"),
        (["x,y,z", "x,y,w"], "cannot be read"),
        (["x,y,z", "x,x,z"], "not a rotation"),
        (["x,y,z"] + [f"x+1/{n},y,z" for n in range(2, 400)], "the limit is 192"),
    ],
)
def test_bad_operations(ops: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        parse_block(with_operations(ops))


@pytest.mark.parametrize(
    ("tags", "n_atoms", "group"),
    [
        ("_symmetry_space_group_name_H-M 'F m -3 m'\n", 4, 225),
        ("_symmetry_Int_Tables_number 225\n", 4, 225),
        ("_space_group_name_Hall '-F 4 2 3'\n", 4, 225),
        ("_symmetry_space_group_name_H-M 'F d -3 m:2'\n", 16, 227),
        ("", 1, None),
    ],
)
def test_names_alone_expand(tags: str, n_atoms: int, group: int | None) -> None:
    text = site_rows("Na1 Na 0 0 0 1").replace("loop_\n_space_group_symop_operation_xyz\n'x,y,z'\n", tags)
    block = parse_block(text)
    assert (block.crystal.n_atoms, block.declared_group) == (n_atoms, group)


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ("_symmetry_space_group_name_H-M 'F d -3 m'\n", "F d -3 m:1, F d -3 m:2 all fit the cell"),
        ("_symmetry_Int_Tables_number 227\n", "leave the setting open"),
        ("_symmetry_Int_Tables_number 194\n", "the cell fits no setting of its space group"),
        ("_symmetry_Int_Tables_number 231\n", "231 does not exist"),
        ("_symmetry_space_group_name_H-M 'Q 3'\n", "is unknown"),
        ("_space_group_name_Hall 'Q 3'\n", "cannot be read"),
        ("_space_group_name_H-M_alt 'F m -3 m'\n_space_group_IT_number 221\n", "contradicts"),
    ],
)
def test_names_that_do_not_suffice(tags: str, words: str) -> None:
    text = site_rows("Na1 Na 0 0 0 1").replace("loop_\n_space_group_symop_operation_xyz\n'x,y,z'\n", tags)
    with pytest.raises(InputError, match=words):
        parse_block(text)


def test_own_columns_and_history() -> None:
    text = halite().replace(
        "_cell_length_a",
        "_crystaltool_energy -3.2\n_crystaltool_Note 'two words'\n_audit_update_record\n;\n1 first\n\n2 second\n;\n"
        "_chemical_formula_sum 'Cl Na'\n_cell_formula_units_Z 1\n_cell_length_a",
    )
    block = parse_block(text)
    assert block.properties == {"energy": "-3.2", "note": "two words"}
    assert block.history == ("1 first", "2 second")
    assert (block.formula_sum, block.formula_units_z) == ("Cl Na", 1)


def test_one_site_written_without_a_loop() -> None:
    text = halite().split("loop_\n_atom")[0] + (
        "_atom_site_label Po1\n_atom_site_fract_x 0\n_atom_site_fract_y 0\n_atom_site_fract_z 0\n"
    )
    assert parse_crystal(text).numbers.tolist() == [84]
