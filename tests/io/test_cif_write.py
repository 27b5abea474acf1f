"""Writing blocks: one golden text, the round trip, and other programs reading the same atoms."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import gemmi
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from crystaltool.asymunit import AsymUnit, expand, reduce
from crystaltool.crystal import Crystal
from crystaltool.errors import InputError
from crystaltool.io.cif import clean_name, format_asym_unit, format_crystal, formula_sum, parse_block
from crystaltool.lattice import constrain_k, k_to_matrix, parameters_to_matrix
from crystaltool.symmetry import space_group
from tests.io.test_cif_read import distances_to
from tests.textbook import BY_NAME, TEXTBOOK

GOLDEN = Path(__file__).parents[1] / "golden"
HISTORY = ("1 crystaltool 0.1.0 | sample symmcd --sg 136 --seed 0 | item 3 | weights sha256:00ff",)


def unit_of(name: str) -> AsymUnit:
    """A textbook crystal reduced to its asymmetric unit."""
    return reduce(BY_NAME[name].crystal(), 0.01)


def test_golden_block() -> None:
    text = format_asym_unit(
        unit_of("rutile"), "rutile-1", HISTORY, {"energy": "-3.2", "note": "two words"}, "2026-11-22T18:40:00Z"
    )
    assert text == (GOLDEN / "rutile.cif").read_text()


@pytest.mark.parametrize("entry", TEXTBOOK, ids=lambda entry: entry.name)
def test_written_textbook_crystals(entry) -> None:
    unit = reduce(entry.crystal(), 0.01)
    block = parse_block(format_asym_unit(unit, entry.name))
    assert (block.declared_group, block.formula_sum, block.formula_units_z) == (
        entry.group,
        entry.formula,
        entry.units_z,
    )
    assert block.crystal.n_atoms == entry.n_atoms
    assert distances_to(block.crystal, expand(unit)) < 1e-6
    assert sorted(block.site_letters or ()) == sorted(unit.letters)
    assert sum(block.site_multiplicities or ()) == entry.n_atoms
    assert np.bincount(block.atom_to_site).tolist() == list(block.site_multiplicities or ())


@pytest.mark.parametrize("entry", TEXTBOOK, ids=lambda entry: entry.name)
def test_gemmi_ase_and_pymatgen_read_the_same_atoms(entry) -> None:
    import ase.io
    from pymatgen.io.cif import CifParser

    text = format_asym_unit(reduce(entry.crystal(), 0.01), entry.name, HISTORY, created="2026-11-22T18:40:00Z")
    ours = parse_block(text).crystal
    small = gemmi.make_small_structure_from_block(gemmi.cif.read_string(text).sole_block())
    assert small.spacegroup.number == entry.group
    sites = small.get_all_unit_cell_sites()
    found = [
        Crystal(
            ours.lattice,
            np.array([[s.fract.x, s.fract.y, s.fract.z] for s in sites]),
            np.array([s.element.atomic_number for s in sites]),
        )
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        atoms = ase.io.read(io.StringIO(text), format="cif")
        structure = CifParser.from_str(text).parse_structures(primitive=False)[0]
    assert atoms.info["spacegroup"].no == entry.group
    found.append(Crystal(np.array(atoms.cell), atoms.get_scaled_positions(), np.array(atoms.numbers)))
    found.append(Crystal(structure.lattice.matrix, structure.frac_coords, np.array(structure.atomic_numbers)))
    for other in found:
        assert other.n_atoms == entry.n_atoms
        assert distances_to(ours, other) < 1e-4 and distances_to(other, ours) < 1e-4


@given(st.integers(1, 230), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_round_trip_of_random_units(group: int, seed: int) -> None:
    """Every operation maps the written crystal onto itself, and reading gives back what was written."""
    rng = np.random.default_rng(seed)
    positions = space_group(group).positions
    chosen = rng.integers(0, len(positions), size=2)
    free = rng.random((2, 3)) * (np.arange(3) < np.array([[positions[i].degrees_of_freedom] for i in chosen]))
    k = constrain_k(np.append(rng.normal(0, 0.1, 5), 3.0), group)
    unit = AsymUnit(group, k_to_matrix(k), rng.integers(1, 100, 2), chosen, free, "random")
    expected = expand(unit)
    try:
        block = parse_block(format_asym_unit(unit, "random"))
    except InputError as error:
        assert "of different elements" in str(error) and _contact(expected) < 0.02
        return
    assert block.declared_group == group
    near_special = block.crystal.n_atoms != expected.n_atoms
    if near_special:  # two images of one site within 0.02 A are read as one atom
        lengths = _contact(expected)
        assert lengths < 0.02
        return
    assert distances_to(block.crystal, expected) < 1e-5
    assert (block.formula_sum, block.formula_units_z) == formula_sum(expected.numbers)
    written = np.array(block.site_frac_coords)
    for rotation, translation in zip(block.rotations, block.translations, strict=True):
        moved = Crystal(block.crystal.lattice, written @ rotation.T + translation, block.site_numbers)
        assert distances_to(moved, block.crystal) < 1e-6


def _contact(crystal: Crystal) -> float:
    shifts = crystal.frac_coords[:, None] - crystal.frac_coords[None]
    lengths = np.linalg.norm((shifts - np.round(shifts)) @ crystal.lattice, axis=-1)
    return float(lengths[~np.eye(crystal.n_atoms, dtype=bool)].min())


@given(
    st.lists(st.tuples(st.integers(1, 118), *[st.floats(-3, 3, allow_nan=False)] * 3), min_size=1, max_size=6),
    st.tuples(*[st.floats(2, 30)] * 3, *[st.floats(65, 115)] * 3),
)
@settings(max_examples=40, deadline=None)
def test_round_trip_in_p1(sites: list, cell: tuple) -> None:
    numbers, coords = np.array([s[0] for s in sites]), np.array([s[1:] for s in sites], dtype=float)
    crystal = Crystal(parameters_to_matrix(*cell), coords, numbers, "p1")
    assume(len(sites) == 1 or _contact(crystal) > 0.02)  # in one place they are one atom, or refused
    block = parse_block(format_crystal(crystal))
    assert block.crystal.numbers.tolist() == numbers.tolist()
    np.testing.assert_allclose(block.crystal.lattice, crystal.lattice, atol=1e-6)
    shifts = block.crystal.frac_coords - coords
    assert np.abs(shifts - np.round(shifts)).max() < 1e-8 + 1e-12
    assert (block.formula_sum, block.formula_units_z) == formula_sum(numbers)


def test_a_coordinate_that_rounds_to_one_is_zero() -> None:
    crystal = Crystal(np.eye(3) * 4, np.array([[1 - 1e-10, -1e-12, 0.999999994]]), np.array([84]))
    assert "Po1 Po 0.00000000 0.00000000 0.99999999 1" in format_crystal(crystal, "x")


@pytest.mark.parametrize(
    ("numbers", "formula", "units"),
    [
        ([11, 17], "Cl Na", 1),
        ([6, 6, 1, 1, 8, 8], "C H O", 2),
        ([8, 8, 14], "O2 Si", 1),
        ([1, 1, 8], "H2 O", 1),
        ([6] * 8, "C", 8),
        ([35, 6, 1, 1, 1], "C H3 Br", 1),
    ],
)
def test_hill_formula(numbers: list[int], formula: str, units: int) -> None:
    assert formula_sum(numbers) == (formula, units)


def test_names_are_made_legal() -> None:
    assert clean_name("a b/c;d") == "a_b_c_d"
    assert clean_name("x" * 100) == "x" * 75
    assert clean_name(" ") == "unnamed"
    crystal = Crystal(np.eye(3) * 4, np.zeros((1, 3)), np.array([84]))
    assert format_crystal(crystal, "../etc/x y").startswith("data_.._etc_x_y\n")


def test_properties_with_bad_names_are_refused_and_values_quoted() -> None:
    crystal = Crystal(np.eye(3) * 4, np.zeros((1, 3)), np.array([84]))
    with pytest.raises(InputError, match="property name"):
        format_crystal(crystal, "x", properties={"Bad name": "1"})
    for value in ("data_x", 'it\'s "so"', "_tag", "loop_", "#c", "", "a\n;b", "é", "?x"):
        block = parse_block(format_crystal(crystal, "x", properties={"note": value}))
        assert block.properties["note"] == " ".join(value.replace("é", "\\xe9").split())
        assert block.crystal.n_atoms == 1


def test_charges_are_written_and_read() -> None:
    text = (Path(__file__).parents[1] / "data" / "cases" / "mof" / "14-charges-lost" / "input.cif").read_text()
    block = parse_block(text)
    assert block.atom_charges is not None and block.atom_charges[[0, 12]].tolist() == [1.0046, 0.1246]
    again = parse_block(format_crystal(block.crystal, "again", charges=block.atom_charges))
    assert again.atom_charges is not None and np.abs(again.atom_charges - block.atom_charges).max() < 1e-6
    assert parse_block(format_crystal(block.crystal, "none")).atom_charges is None


def test_naive_readers_find_no_loop_of_atom_tags_but_the_sites() -> None:
    """lammps-interface 0.2.2 takes any loop of `_atom_*` for the sites and stops at text fields."""
    crystal = Crystal(np.eye(3) * 5, np.array([[0.0, 0, 0], [0.5, 0.5, 0.5]]), np.array([11, 17]))
    text = format_crystal(crystal, "x", charges=np.array([0.5, -0.5]))
    assert text.count("_atom_") == text.count("_atom_site_") == 7
    assert not any(line.startswith(";") for line in text.splitlines())
