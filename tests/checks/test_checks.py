"""Every check passes real crystals and fails a structure made to fail it alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from crystaltool.checks.registry import CHECKS, check_names, run_checks, select
from crystaltool.checks.symmetry import detected_operations
from crystaltool.checks.verdict import Verdict
from crystaltool.crystal import Crystal
from crystaltool.errors import InputError, UsageError
from crystaltool.io.cif import CifBlock, parse_block
from crystaltool.symmetry import space_group
from tests.checks.blocks import P1_SITES, halite, textbook_text
from tests.textbook import TEXTBOOK

DEFAULT = tuple(check.name for check in CHECKS if check.default)


def verdict(block: CifBlock, name: str) -> Verdict:
    (found,) = run_checks(block, [name])
    return found


def failing(block: CifBlock) -> set[str]:
    return {found.check for found in run_checks(block, DEFAULT) if not found.passed}


@pytest.mark.parametrize("entry", TEXTBOOK, ids=lambda entry: entry.name)
def test_textbook_crystals_pass_every_check(entry):
    block = parse_block(textbook_text(entry.name))
    assert failing(block) - {"charge"} == set()
    assert verdict(block, "cell-symmcd").passed
    assert verdict(block, "symmetry").value == entry.group


def test_halite_passes_and_values_are_the_textbook_ones():
    block = halite()
    assert failing(block) == set()
    assert verdict(block, "distance-cdvae").value == pytest.approx(5.6402 / 2, abs=1e-9)
    assert verdict(block, "density").value == pytest.approx(2.164, abs=0.002)  # CRC Handbook: 2.17 g/cm3
    assert verdict(block, "distance-lemat").value == pytest.approx(2.8201 / (0.5 * (0.7 + 1.8 + 1.0)), abs=1e-6)


@pytest.mark.parametrize(
    ("cell", "message"),
    [("120 5.6 5.6 90 90 90", "a is 120 A"), ("5.6 0.9 5.6 90 90 90", "b is 0.9 A"), ("1 1 1 40 40 40", "volume")],
)
def test_cell_out_of_range(cell, message):
    found = verdict(halite(cell=cell, operations=["x,y,z"], group="1"), "cell")
    assert not found.passed and message in found.message


def test_symmcd_bounds_are_narrower():
    long = halite(cell="45 5.6 5.6 90 90 90", operations=["x,y,z"], group="1")
    assert verdict(long, "cell").passed and not verdict(long, "cell-symmcd").passed
    heavy = halite(sites="Cm1 Cm 4 0 0 0\nCl1 Cl 4 0.5 0.5 0.5", formula="'Cl Cm'")
    assert verdict(heavy, "cell-symmcd").message == "Cm has Z = 96"


def test_one_atom_moved_onto_another():
    moved = P1_SITES.replace("Cl1 Cl 1 0.5 0 0", "Cl1 Cl 1 0.05 0 0")
    block = halite(sites=moved, operations=["x,y,z"], group="1")
    assert failing(block) == {"distance-cdvae", "distance-lemat"}
    assert verdict(block, "distance-cdvae").message == "Na1-Cl1 0.282 A"
    nearer = halite(sites=moved.replace("0.05 0 0", "0.2 0 0"), operations=["x,y,z"], group="1")
    assert failing(nearer) == {"distance-lemat"}
    assert "limit 1.750 A" in verdict(nearer, "distance-lemat").message


def test_a_limit_met_exactly_passes():
    atoms = "Na1 Na 1 0 0 0\nCl1 Cl 1 0.05 0 0"
    block = halite(cell="10 10 10 90 90 90", sites=atoms, operations=["x,y,z"], group="1", units="1")
    assert verdict(block, "distance-cdvae").value == pytest.approx(0.5, abs=1e-12)


def test_an_atom_close_to_its_own_image_fails():
    block = halite(cell="1.2 20 20 90 90 90", sites="Na1 Na 1 0 0 0", operations=["x,y,z"], group="1", formula="Na")
    assert not verdict(block, "distance-lemat").passed
    assert verdict(block, "distance-lemat").message.startswith("Na1-Na1 1.200 A")


@pytest.mark.parametrize(("length", "fails"), [("20", False), ("60", True), ("2.3", True)])
def test_density(length, fails):
    block = halite(cell=f"{length} {length} {length} 90 90 90")
    assert verdict(block, "density").passed != fails


def test_too_light_and_too_crowded():
    light = halite(
        cell="90 90 90 90 90 90", sites="H1 H 1 0 0 0", operations=["x,y,z"], group="1", formula="H", units="1"
    )
    assert not verdict(light, "density").passed
    sites = "\n".join(f"H{i} H 1 {i / 10} 0 0" for i in range(10))
    crowded = halite(cell="2 2 2 90 90 90", sites=sites, operations=["x,y,z"], group="1", formula="H", units="10")
    assert verdict(crowded, "density").value < 25 and not verdict(crowded, "density").passed


def test_an_atom_listed_twice():
    """Read as one atom, which the stated formula contradicts; where the formula counts both, they stay apart."""
    sites = "Na1 Na 4 0 0 0\nNa2 Na 4 0.5 0.5 0\nCl1 Cl 4 0.5 0.5 0.5"
    assert failing(halite(sites=sites, formula="'Cl Na2'")) == {"formula"}
    near = P1_SITES + "\nNa5 Na 1 0.506 0.5 0"
    block = halite(sites=near, operations=["x,y,z"], group="1", formula="'Cl4 Na5'", units="1")
    assert {"duplicates", "distance-cdvae", "distance-lemat"} <= failing(block)
    crystal = Crystal(block.crystal.lattice, np.zeros((2, 3)), np.array([11, 11]))
    again = dataclasses.replace(block, crystal=crystal, atom_to_site=np.array([0, 1]))
    assert "the same place" in verdict(again, "duplicates").message


@pytest.mark.parametrize(
    ("formula", "units", "passes"),
    [
        ("'Cl Na'", "4", True),
        ("'Cl4 Na4'", "4", True),  # as pymatgen writes it
        ("'Cl4 Na4'", "1", True),
        ("'Cl Na'", "?", True),
        ("?", "4", True),
        ("'Cl Na'", "3", False),
        ("'Cl4 Na4'", "2", False),
        ("'Cl2 Na'", "4", False),
        ("'Br Na'", "4", False),
        ("'Cl3 Na3'", "?", False),
        ("'Cl0.5 Na'", "4", False),
        ("'Cl Qq'", "4", False),
    ],
)
def test_formula_and_z(formula, units, passes):
    block = halite(formula=formula, units=units)
    assert verdict(block, "formula").passed == passes
    assert failing(block) == (set() if passes else {"formula"})


@pytest.mark.parametrize(("units", "passes"), [("2", True), ("1", True), ("4", False), ("3", False)])
def test_diatomic_gases_as_pymatgen_counts_them(units, passes):
    sites = "N1 N 1 0 0 0.1\nN2 N 1 0 0 0.3\nN3 N 1 0 0.5 0.6\nN4 N 1 0 0.5 0.8"
    block = halite(sites=sites, operations=["x,y,z"], group="1", formula="N4", units=units)
    assert verdict(block, "formula").passed == passes


def test_wrong_multiplicity():
    block = halite(sites="Na1 Na 4 0 0 0\nCl1 Cl 8 0.5 0.5 0.5")
    assert failing(block) == {"multiplicities"}
    assert verdict(block, "multiplicities").message == "site Cl1 declares multiplicity 8, its operations make 4 atoms"


def test_declared_group_that_the_cell_does_not_have():
    with pytest.raises(InputError, match=r"operations do not keep the cell: off by 4\.7%"):
        halite(cell="5.6402 5.6402 5.9 90 90 90")
    block = halite(cell="5.6402 5.6402 5.68 90 90 90")
    assert failing(block) == {"operations", "symmetry", "exact-group"}
    assert "does not keep the cell" in verdict(block, "operations").message
    assert "found 139" in verdict(block, "symmetry").message


def test_declared_group_that_the_atoms_do_not_have():
    block = halite()
    moved = block.crystal.frac_coords.copy()
    moved[-1] += [0.01, 0, 0]
    spoiled = dataclasses.replace(block, crystal=Crystal(block.crystal.lattice, moved, block.crystal.numbers))
    assert {"operations", "symmetry", "exact-group"} == failing(spoiled)
    found = verdict(spoiled, "operations")
    assert found.value == pytest.approx(0.0564, abs=1e-4) and "where there is no Cl" in found.message


def test_a_site_far_from_any_atom_has_no_finite_displacement():
    block = halite()
    spoiled = dataclasses.replace(block, site_frac_coords=block.site_frac_coords + np.array([0.2, 0, 0]))
    assert verdict(spoiled, "operations").value is None and not verdict(spoiled, "operations").passed


def test_a_small_displacement_is_found_at_the_tighter_tolerance():
    block = halite()
    moved = block.crystal.frac_coords.copy()
    moved[-1] += [0.005 / 5.6402, 0, 0]
    spoiled = dataclasses.replace(block, crystal=Crystal(block.crystal.lattice, moved, block.crystal.numbers))
    assert verdict(spoiled, "operations").passed
    assert not verdict(spoiled, "symmetry").passed and "at 0.001 A" in verdict(spoiled, "symmetry").message


def test_a_supergroup_passes_symmetry_and_fails_exact_group():
    subgroup = space_group(216)
    from crystaltool.symmetry import operations_to_xyz

    texts = [operations_to_xyz(r, t) for r, t in zip(subgroup.rotations, subgroup.translations, strict=True)]
    block = halite(operations=texts, group="216")
    found = verdict(block, "symmetry")
    assert found.passed and found.value == 225 and found.message == "declared 216, found 225 and 225"
    assert failing(block) == {"exact-group"}


def test_coinciding_atoms_have_no_group():
    sites = "Na1 Na 1 0 0 0\nNa2 Na 1 0.001 0 0"
    block = halite(sites=sites, operations=["x,y,z"], group="1", formula="Na", units="2")
    coords = np.zeros((2, 3))
    block = dataclasses.replace(block, crystal=Crystal(block.crystal.lattice, coords, block.crystal.numbers[[0, 0]]))
    assert detected_operations(block.crystal, 1e-2) is None
    assert not verdict(block, "symmetry").passed


def test_messages_stay_one_line():
    with pytest.raises(ValueError, match="not one line"):
        Verdict("cell", True, None, "limit", "two\nlines")


def test_selection():
    assert select(None, False) == list(DEFAULT)
    assert select(None, True) == [*DEFAULT, "novel", "unique"]
    assert select(["charge", "cell"], False) == ["cell", "charge"]
    with pytest.raises(UsageError, match=r"no check named 'colour', expected cell, .*unique"):
        select(["cell", "colour"], False)
    with pytest.raises(UsageError, match="needs --reference"):
        select(["novel"], False)
    with pytest.raises(UsageError):
        select([], False)
    assert len(set(check_names())) == len(check_names())


def test_checks_do_not_change_the_block():
    block = halite()
    before = block.crystal.frac_coords.copy()
    run_checks(block, DEFAULT)
    np.testing.assert_array_equal(block.crystal.frac_coords, before)
