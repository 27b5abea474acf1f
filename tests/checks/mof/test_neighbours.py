"""Neighbours of the cases of public bug reports: other metals, missing hydrogens, other cells and orders, other syntax.

Right values by what a chemist knows of the compounds: M2(dobdc) exists with 2+ ions, MIL-53 with 3+ ions, and so on.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crystaltool.checks.judge import judge_block
from crystaltool.checks.mof.identity import identify_mof
from crystaltool.checks.registry import MOF_RULES, Plan
from crystaltool.crystal import Crystal
from crystaltool.io.cif import format_crystal, parse_block
from crystaltool.mof.blocks import LINKER
from crystaltool.units import atomic_number
from crystaltool.verbs.fragment import Cut, FragmentSettings, cut
from tests.checks.mof.defects import without
from tests.checks.mof.test_cases import case
from tests.mof.structures import curated

CASES = Path(__file__).parents[2] / "data" / "cases" / "mof"
DOBDC = "06-same-mof-two-identities/input"


def crystal_of(name: str) -> Crystal:
    return curated()[name] if name in curated() else case(name).crystal


def swapped(crystal: Crystal, old: str, new: str, scale: float = 1.0) -> Crystal:
    numbers = np.where(crystal.numbers == atomic_number(old), atomic_number(new), crystal.numbers)
    return Crystal(crystal.lattice * scale, crystal.frac_coords, numbers)


def broken(crystal: Crystal) -> set[str]:
    found = judge_block(parse_block(format_crystal(crystal, "x")), Plan((), tuple(rule.name for rule in MOF_RULES)))
    assert found.kind == "mof"
    return {verdict.check for verdict in found.verdicts if not verdict.passed}


@pytest.mark.parametrize(
    ("name", "old", "new", "scale", "right"),
    [
        *((DOBDC, "Zn", new, scale, set()) for new, scale in (("Mg", 1.0), ("Mn", 1.02), ("Cd", 1.04), ("Cu", 1.0))),
        (DOBDC, "Zn", "Al", 0.95, {"framework-charge"}),
        *(("04-sifsix-charge/input", "Si", new, 1.0, set()) for new in ("Ge", "Sn", "Ti")),
        *(("MIL-53", "Al", new, 1.0, set()) for new in ("Ga", "Cr", "In")),
        ("MIL-47", "V", "Ti", 1.0, set()),
        *(("HKUST-1", "Cu", new, 1.0, set()) for new in ("Mo", "Ru", "Zn")),
        ("ZIF-8", "Zn", "Hg", 1.0, set()),
        *(("07-lead-bonds/input", "Pb", new, 1.0, set()) for new in ("Sn", "Sr")),
        *(("07-lead-bonds/input", "Pb", new, 0.98, {"framework-charge"}) for new in ("Bi", "Sb", "Tl")),
    ],
)
def test_other_metals_are_judged_by_what_they_can_be(name, old, new, scale, right) -> None:
    assert broken(swapped(crystal_of(name), old, new, scale)) == right


@pytest.mark.parametrize("name", sorted(curated()))
def test_a_hydrogen_less_and_none_at_all(name: str) -> None:
    crystal = curated()[name]
    hydrogens = np.flatnonzero(crystal.numbers == 1)
    one, none = without(crystal, hydrogens[0]), without(crystal, hydrogens)
    assert one is not None and "undercoordinated-c" in broken(one)
    assert none is not None and {"has-hydrogen", "undercoordinated-c"} <= broken(none)


def shuffled(crystal: Crystal) -> Crystal:
    rng = np.random.default_rng(1)
    order = rng.permutation(crystal.n_atoms)
    coords = crystal.frac_coords[order] + rng.random(3) + rng.integers(-2, 3, (crystal.n_atoms, 3))
    return Crystal(crystal.lattice, coords, crystal.numbers[order])


def sheared(crystal: Crystal) -> Crystal:
    turn = np.array([[1, 0, 0], [1, 1, 0], [0, -1, 1]])
    return Crystal(turn @ crystal.lattice, crystal.frac_coords @ np.linalg.inv(turn), crystal.numbers)


def doubled(crystal: Crystal) -> Crystal:
    coords = np.concatenate([(crystal.frac_coords + np.array([shift, 0, 0])) / [2, 1, 1] for shift in (0, 1)])
    return Crystal(crystal.lattice * [[2], [1], [1]], coords, np.tile(crystal.numbers, 2))


def strained(crystal: Crystal) -> Crystal:
    return Crystal(crystal.lattice * 1.01, crystal.frac_coords, crystal.numbers)


@pytest.mark.parametrize("name", ["MOF-5", "MIL-53", "07-lead-bonds/input-small", "23-metal-inside-linker/input"])
@pytest.mark.parametrize("change", [shuffled, sheared, doubled, strained])
def test_the_same_framework_has_one_identity_and_one_verdict(name: str, change) -> None:
    crystal = crystal_of(name)
    assert identify_mof(change(crystal)).text == identify_mof(crystal).text
    assert broken(change(crystal)) == broken(crystal)


@pytest.mark.parametrize("metal", ["Fe", "Ru", "Co", "Cr", "Os"])
def test_metals_between_rings_belong_to_linkers(metal: str) -> None:
    found = cut(FragmentSettings(), swapped(crystal_of("23-metal-inside-linker/input"), "Fe", metal))
    assert isinstance(found, Cut)
    assert {block.kind for block in found.mof.blocks if atomic_number(metal) in block.numbers} == {LINKER}


TEXT_FIELD = "_publ_section_comment\n;\ndata_fake\nloop_\n_atom_site_label\nC1\n_cell_length_a 3.0\n;\n_cell_length_a"
SYNTAX = {
    "a text field that holds a block": lambda text: text.replace("_cell_length_a", TEXT_FIELD, 1),
    "comments behind values": lambda text: text.replace("\n_cell_length_b", " # in A\n_cell_length_b", 1),
    "capitals": lambda text: text.replace("loop_", "LOOP_").replace("data_", "DATA_"),
    "lines that end in CR LF": lambda text: text.replace("\n", "\r\n"),
    "a quote that does not end": lambda text: text.replace("_cell_length_a", "_chemical_name 'x\n_cell_length_a", 1),
    "quotes within quotes": lambda text: text.replace("_cell_length_a", "_x '5'-y of O'Z'\n_cell_length_a", 1),
    "no end of the last line": str.rstrip,
}


@pytest.mark.parametrize("change", SYNTAX.values(), ids=SYNTAX)
@pytest.mark.parametrize(
    "name", ["01-unquoted-P1/input", "02-comma-after-citation/input", "12-bonds-without-images/input"]
)
def test_syntax_never_changes_the_framework(name: str, change) -> None:
    text = (CASES / f"{name}.cif").read_text(encoding="utf-8")
    before, after = parse_block(text), parse_block(change(text))
    assert np.array_equal(before.crystal.numbers, after.crystal.numbers)
    assert np.allclose(before.crystal.cart_coords, after.crystal.cart_coords, atol=1e-9)
    assert (before.bonds is None) == (after.bonds is None)
    if before.bonds is not None and after.bonds is not None:
        assert np.array_equal(before.bonds.images, after.bonds.images)
