"""What a block states beside its structure is compared with what is read, and a difference said with both values."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

from crystaltool.asymunit import AsymUnit
from crystaltool.checks.formula import check_formula, check_multiplicities
from crystaltool.io.cif import format_asym_unit, parse_block
from crystaltool.io.remarks import NOTE, WARNING
from crystaltool.symmetry.space_group import LETTERS, N_GROUPS, space_group

FCC = "".join(f"{op.triplet()}\n" for op in gemmi.SpaceGroup("F m -3 m").operations())
ROCK_SALT = (
    "data_x\n_cell_length_a 5.64\n_cell_length_b 5.64\n_cell_length_c 5.64\n_cell_angle_alpha 90\n_cell_angle_beta 90\n"
    "_cell_angle_gamma 90\n_chemical_formula_sum 'Cl Na'\n_cell_formula_units_Z 4\n{tags}loop_\n"
    "_space_group_symop_operation_xyz\n" + FCC + "loop_\n_atom_site_label\n_atom_site_type_symbol\n_atom_site_fract_x\n"
    "_atom_site_fract_y\n_atom_site_fract_z\n{column}\nNa1 Na 0 0 0 {first}\nCl1 Cl 0.5 0.5 0.5 {second}\n"
)


def salt(tags: str = "", column: str = "_atom_site_occupancy", first: str = "1", second: str = "1") -> str:
    return ROCK_SALT.format(tags=tags, column=column, first=first, second=second)


def said(text: str, level: int = WARNING) -> str:
    return "; ".join(remark.text for remark in parse_block(text).remarks if remark.level == level)


def molecule(*sites: str, formula: str = "") -> str:
    """A box of sites given as `label type`."""
    tags = f"_chemical_formula_sum '{formula}'\n" if formula else ""
    head = (
        salt(tags)
        .split("loop_")[0]
        .replace("_cell_length_c 5.64", "_cell_length_c 11.28")
        .replace("_chemical_formula_sum 'Cl Na'\n_cell_formula_units_Z 4\n", "")
    )
    loop = (
        "loop_\n_atom_site_label\n_atom_site_type_symbol\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n"
    )
    return head + loop + "".join(f"{site} 0 0 {number / 10}\n" for number, site in enumerate(sites))


@pytest.mark.parametrize(("weight", "fits"), [("58.44", True), ("59.0", True), ("?", True), ("74.55", False)])
def test_the_weight_of_a_formula_that_is_not_stated(weight: str, fits: bool) -> None:
    """NaCl has 58.44 g/mol, KCl 74.55."""
    tags = f"_chemical_formula_moiety 'Na Cl'\n_chemical_formula_weight {weight}\n"
    text = salt(tags).replace("_chemical_formula_sum 'Cl Na'\n", "")
    both = f"the stated weight of the formula is {weight}, cell and Z = 4 make 58.44 g/mol"
    assert said(text) == ("" if fits else both)
    assert said(salt(tags)) == ""  # the formula is compared


@pytest.mark.parametrize(("units", "fits"), [(1, True), (2, True), (4, True), (3, False), (8, False)])
def test_z_without_a_formula_divides_the_cell(units: int, fits: bool) -> None:
    text = salt().replace("_chemical_formula_sum 'Cl Na'\n_cell_formula_units_Z 4", f"_cell_formula_units_Z {units}")
    differs = f"declared Z = {units} without a formula; the cell holds Na4 Cl4"
    assert said(text) == ("" if fits else f"the stated Z does not fit: {differs}")
    verdict = check_formula(parse_block(text))
    assert verdict.passed is fits and (fits or verdict.message == differs)


@pytest.mark.parametrize(
    ("density", "fits"),
    [("2.163", True), ("2.16(2)", True), ("2.2", True), ("?", True), (".", True), ("1.98", False), ("5.4", False)],
)
def test_density(density: str, fits: bool) -> None:
    """NaCl: 4 x 58.443 g/mol in 5.64^3 A^3 are 2.164 g/cm3."""
    text = salt(f"_exptl_crystal_density_diffrn {density}\n")
    both = f"the stated density is {density} g/cm3, cell and atoms make 2.164"
    assert said(text) == ("" if fits else both)
    verdict = check_formula(parse_block(text))
    assert verdict.passed == fits and (both in verdict.message) != fits


@pytest.mark.parametrize("tag", ["_atom_site_site_symmetry_multiplicity", "_atom_site_symmetry_multiplicity"])
def test_multiplicities(tag: str) -> None:
    assert not said(salt("", tag, "4", "4"))
    text = salt("", tag, "4", "8")
    assert "site Cl1 declares multiplicity 8, its operations make 4 atoms; operations and coordinates count" in said(
        text
    )
    assert not check_multiplicities(parse_block(text)).passed


def test_what_is_not_stated_of_one_site_is_compared_for_the_others() -> None:
    assert "site Cl1 declares multiplicity 8" in said(salt("", "_atom_site_site_symmetry_multiplicity", "?", "8"))
    assert not said(salt("", "_atom_site_site_symmetry_multiplicity", "?", "4"))


def test_orders_of_the_site_symmetry() -> None:
    """m-3m has 48 operations."""
    assert not said(salt("", "_atom_site_site_symmetry_order", "48", "48"))
    text = salt("", "_atom_site_site_symmetry_order", "48", "24")
    assert "site Cl1 declares site-symmetry order 24, its operations make order 48" in said(text)


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ("a", "b", ""),
        ("4a", "'4 b'", ""),
        ("?", "b", ""),
        ("b", "a", "site Na1 declares Wyckoff letter b, its coordinates lie on a (and 1 more)"),
        ("a", "c", "site Cl1 declares Wyckoff letter c, a position of 8 atoms, it has 4"),
        ("a", "z", "site Cl1 declares Wyckoff letter z, space group 225 has a to l"),
    ],
)
def test_wyckoff_letters(first: str, second: str, words: str) -> None:
    text = salt("", "_atom_site_Wyckoff_symbol", first, second)
    assert words in said(text) and bool(words) == bool(said(text))
    assert check_multiplicities(parse_block(text)).passed == (not words)


def test_letters_of_another_origin_or_axes_are_compared_by_multiplicity() -> None:
    """Shifted by half an edge the same salt has the letters exchanged, which the operations allow."""
    shifted = salt("", "_atom_site_Wyckoff_symbol", "b", "a").replace("Na1 Na 0 0 0", "Na1 Na 1/2")
    shifted = shifted.replace("Na1 Na 1/2", "Na1 Na 0.5 0.5 0.5").replace("Cl1 Cl 0.5 0.5 0.5", "Cl1 Cl 0 0 0")
    assert not said(shifted)
    for letter, fits in (("c", True), ("a", True), ("m", True), ("e", False)):  # P 21/a, unique axis b: 2a to 2d, 4e
        ops = "".join(f"{op.triplet()}\n" for op in gemmi.SpaceGroup("P 1 21/a 1").operations())
        text = salt("", "_atom_site_Wyckoff_symbol", letter, "?").replace(FCC, ops)
        found = said(text.replace("_cell_formula_units_Z 4", "_cell_formula_units_Z 2"))
        assert ("Wyckoff" in found) == (not fits or letter == "m")


@pytest.mark.parametrize("number", range(1, N_GROUPS + 1, 7))
def test_own_letters_and_multiplicities_are_right_in_every_position(number: int) -> None:
    group = space_group(number)
    rng = np.random.default_rng(number)
    lattice = np.diag([9.0, 10.0, 11.0])
    system = group.crystal_system
    if system in ("trigonal", "hexagonal"):
        lattice = np.array([[9.0, 0, 0], [-4.5, 4.5 * np.sqrt(3), 0], [0, 0, 11.0]])
    elif system == "tetragonal":
        lattice = np.diag([9.0, 9.0, 11.0])
    elif system == "cubic":
        lattice = np.diag([9.0, 9.0, 9.0])
    for index, position in enumerate(group.positions):
        free = np.where(np.arange(3) < position.degrees_of_freedom, rng.uniform(0.1, 0.2, 3), 0.0)
        unit = AsymUnit(number, lattice, np.array([14]), np.array([index]), free[None])
        block = parse_block(format_asym_unit(unit, "x"))
        assert block.site_letters == (position.letter,) and block.sites_otherwise == ()
        other = LETTERS[(index + 1) % len(group.positions)]
        if other == position.letter:
            continue
        text = format_asym_unit(unit, "x").replace(f" {position.letter} ", f" {other} ")
        assert f"Wyckoff letter {other}" in "".join(parse_block(text).sites_otherwise)


@pytest.mark.parametrize(
    ("site", "other"),
    [
        ("Co1 Fe", "Co"),
        ("C1 N", "C"),
        ("N1 Na", "N"),
        ("Co1 C", "Co"),
        ("FE1 Co", "Fe"),
        ("Fe1 Fe", ""),
        ("CA1 C", ""),
        ("CO1 O", ""),
        ("B1 Ti", ""),
        ("M1 Fe", ""),
        ("Wat O", ""),
        ("OW1 O", ""),
        ("W1 O", ""),
        ("HW1 H", ""),
        ("HG11 H", ""),
        ("D1 H", ""),
        ("D1 D", ""),
        ("FeA Co", ""),
        ("Co1 ?", ""),
        ("O1 O2-", ""),
        ("Sn1 Sn4+", ""),
    ],
)
def test_a_label_of_another_element(site: str, other: str) -> None:
    label, symbol = site.split()
    words = f"site {label} has type {symbol} and a label of {other}; the types count" if other else ""
    assert said(molecule(site)) == words


@pytest.mark.parametrize(("name", "n"), [("H2O", 2), ("OH", 1), ("Wat", 2)])
def test_a_group_read_as_its_oxygen_is_said(name: str, n: int) -> None:
    block = parse_block(molecule("Na1 Na", f"W1 {name}"))
    assert block.crystal.numbers.tolist() == [11, 8]
    hydrogens = "1 hydrogen has no site: it is" if n == 1 else f"{n} hydrogens have no site: they are"
    text = f"site W1: {name} is read as O, {hydrogens} missing"
    assert [remark.text for remark in block.remarks] == [text]
    with_h = molecule("Na1 Na", f"W1 {name}", "H1 H")
    assert not said(with_h) and "its hydrogens are those listed" in said(with_h, NOTE)
    assert "the stated formula does not fit: declared" in said(molecule("Na1 Na", f"W1 {name}", formula="H2 Na O"))
