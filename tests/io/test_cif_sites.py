"""Columns of the sites: as many values as sites, dummies and disorder in any spelling, partial charges by any name."""

from __future__ import annotations

import pytest

from crystaltool.errors import InputError
from crystaltool.io.cif import parse_block
from crystaltool.io.remarks import NOTE, WARNING
from tests.io.blocks import halite


def _with_column(tag: str, *values: str) -> str:
    """The two sites of halite with one more column."""
    text = halite().replace("_atom_site_occupancy\n", f"{tag}\n")
    return text.replace("0 0 0 1", f"0 0 0 {values[0]}").replace("0.5 0.5 0.5 1", f"0.5 0.5 0.5 {values[1]}")


@pytest.mark.parametrize(
    "tag",
    [
        "_atom_site_occupancy",
        "_atom_site_type_symbol",
        "_atom_site_label",
        "_atom_site_fract_y",
        "_atom_site_disorder_group",
        "_atom_site_calc_flag",
    ],
)
def test_a_column_has_a_value_for_every_site(tag: str) -> None:
    lines = [line for line in halite().splitlines() if line != tag]
    at = {"_atom_site_label": 0, "_atom_site_type_symbol": 1, "_atom_site_fract_y": 3, "_atom_site_occupancy": 5}.get(
        tag
    )
    rows = [" ".join(w for k, w in enumerate(line.split()) if k != at) for line in lines[-2:]]
    text = "\n".join([*lines[:-2], *rows]) + "\n"
    value = {"_atom_site_label": "Na1", "_atom_site_type_symbol": "Na"}.get(tag, "0.5")
    with pytest.raises(InputError, match=f"{tag} has 1 value, the block lists 2 sites"):
        parse_block(f"{text}{tag} {value}\n")
    if tag in ("_atom_site_occupancy", "_atom_site_disorder_group"):
        assert parse_block(f"{text}{tag} ?\n").crystal.n_atoms == 2


@pytest.mark.parametrize(
    ("tag", "value", "words"),
    [
        ("_atom_site_label_alt_id", "B", r"site Cl1 is disordered \(alternative B\)"),
        ("_atom_site_disorder_assembly", "A", r"site Cl1 is disordered \(assembly A\)"),
        ("_atom_site_disorder_group", "-1", r"site Cl1 is disordered \(group -1\)"),
        ("_atom_site_calc_flag", "Dum", "site Cl1 is a dummy"),
    ],
)
def test_what_is_no_certain_atom_is_refused(tag: str, value: str, words: str) -> None:
    assert parse_block(_with_column(tag, ".", ".")).crystal.n_atoms == 2
    with pytest.raises(InputError, match=words):
        parse_block(_with_column(tag, ".", value))


@pytest.mark.parametrize("tag", ["_atom_site_refinement_flags_occupancy", "_atom_site_refinement_flags"])
def test_a_flag_of_partial_occupancy_is_a_warning(tag: str) -> None:
    assert not parse_block(_with_column(tag, ".", "RG")).remarks
    (remark,) = parse_block(_with_column(tag, ".", "P")).remarks
    assert remark.level == WARNING and remark.text == "site Cl1: flagged as partly occupied (P), read as full"


@pytest.mark.parametrize(
    ("element", "distance", "near"),
    [("C", 0.6, True), ("C", 0.85, True), ("C", 1.1, False), ("H", 0.6, False), ("H", 0.35, True)],
)
def test_atoms_that_are_alternatives_of_each_other_are_a_warning(element: str, distance: float, near: bool) -> None:
    text = (
        halite()
        .replace("Na1 Na", "C1A C")
        .replace("Cl1 Cl 0.5 0.5 0.5", f"{element}1B {element} 0 0 {distance / 5.6402}")
    )
    block = parse_block(text)
    said = f"sites C1A and {element}1B are {distance:.2f} A apart; no real atoms are"
    assert block.crystal.n_atoms == 2
    assert [remark.text for remark in block.remarks] == ([said] if near else [])


@pytest.mark.parametrize(
    "tag",
    ["_atom_site_charge", "_atom_site_partial_charge", "_atom_type_partial_charge", "_atom_type_parital_charge"],
)
def test_partial_charges_are_read_by_the_names_in_use(tag: str) -> None:
    block = parse_block(_with_column(tag, "0.9", "-0.9(1)"))
    assert block.atom_charges is not None and block.atom_charges.tolist() == [0.9, -0.9]
    assert not block.remarks


def test_charges_of_types_are_none_of_sites_and_gaps_are_said() -> None:
    types = "loop_\n_atom_type_symbol\n_atom_type_charge\nCl -1\nNa 1\n"
    assert parse_block(halite() + types).atom_charges is None
    block = parse_block(_with_column("_atom_site_charge", "0.9", "?"))
    assert block.atom_charges is None
    assert [(remark.level, remark.text) for remark in block.remarks] == [
        (NOTE, "_atom_site_charge has numbers for 1 of 2 sites: the charges are passed over")
    ]


@pytest.mark.parametrize(("place", "odd"), [("2.82 2.82 2.82", True), ("1.2 -0.3 0.9", False), ("0.5 0.5 9", False)])
def test_coordinates_that_may_be_cartesian_are_a_warning(place: str, odd: bool) -> None:
    block = parse_block(halite().replace("Na1 Na 0 0 0", "Na1 Na 1.7 1.8 0.1").replace("0.5 0.5 0.5", place))
    assert ["may be Cartesian" in remark.text for remark in block.remarks] == [True] * odd
