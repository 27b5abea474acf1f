"""Texts that look like numbers: what `int` and `float` refuse or take for infinity is refused by the readers."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from crystaltool.errors import InputError, SymmetryError
from crystaltool.io.cif_formula import parse_formula_sum
from crystaltool.io.cif_table import to_number
from crystaltool.io.records import BadRecord
from crystaltool.io.stream import iter_blocks
from crystaltool.numerals import finite_number, whole_number
from crystaltool.symmetry.symbols import parse_space_group
from tests.io.blocks import halite

LONG = "9" * 5000
XYZ = '2\nLattice="5.6 0 0 0 5.6 0 0 0 5.6" Properties=species:S:1:pos:R:3\nNa 0 0 0\nCl 2.8 2.8 2.8\n'
POSCAR = "x\n1.0\n5.6 0 0\n0 5.6 0\n0 0 5.6\nNa Cl\n1 1\nDirect\n0 0 0\n0.5 0.5 0.5\n"


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("225", 225), ("007", 7), ("9" * 18, 10**18 - 1)])
def test_whole_numbers(text: str, number: int) -> None:
    assert whole_number(text) == number


@pytest.mark.parametrize("text", ["", "-1", "+1", "1.0", "1 ", "²", "٣", "1_0", "9" * 19, LONG])
def test_anything_else_is_none(text: str) -> None:
    assert whole_number(text) is None


@pytest.mark.parametrize(
    ("text", "number"), [("-1.5", -1.5), ("1e-3", 1e-3), ("1e999", None), ("nan", None), ("x", None)]
)
def test_finite_numbers(text: str, number: float | None) -> None:
    assert finite_number(text) == number


@pytest.mark.parametrize("text", ["+-5", "²", LONG, "0", "231", "-1"])
def test_no_space_group(text: str) -> None:
    with pytest.raises(SymmetryError):
        parse_space_group(text)


@pytest.mark.parametrize("text", [f"H{LONG}", "H.", "H1.5", "H0", "H2147483648000"])
def test_no_formula(text: str) -> None:
    with pytest.raises(InputError):
        parse_formula_sum(text)


def test_infinity_is_no_number_of_a_cif() -> None:
    assert to_number("1e300") == 1e300 and to_number("1e999") is None and to_number("nan") is None


@pytest.mark.parametrize(
    ("text", "change"),
    [
        (XYZ, ("2.8 2.8", "--1 2.8")),
        (XYZ, ("2.8 2.8", "nan 2.8")),
        (XYZ, ("2.8 2.8", "1e999 2.8")),
        (XYZ, ("5.6 0 0 0", "1e300 0 0 0")),
        (XYZ, ("2\n", f"{LONG}\n")),
        (XYZ, ("2\n", "²\n")),
        (XYZ, ("R:3", f"R:{LONG}")),
        (POSCAR, ("1 1\n", f"1 {LONG}\n")),
        (POSCAR, ("1 1\n", "1 ²\n")),
        (POSCAR, ("5.6 0 0\n", "1e300 0 0\n")),
        (POSCAR, ("0.5 0.5", "inf 0.5")),
        (halite("x"), ("_cell_length_a", "_cell_length_a 1e999 #")),
    ],
)
def test_a_reader_refuses_it_in_one_sentence(tmp_path: Path, text: str, change: tuple[str, str]) -> None:
    """No other exception, and no warning of numpy, which would go to standard error."""
    path = tmp_path / ("input.xyz" if text is XYZ else "POSCAR" if text is POSCAR else "input.cif")
    assert change[0] in text
    path.write_text(text.replace(*change, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first, *_ = iter_blocks([str(path)])
    assert isinstance(first, BadRecord)


@pytest.mark.parametrize("tag", ["_cell_formula_units_Z", "_space_group_IT_number"])
@pytest.mark.parametrize("number", ["²", LONG])
def test_a_stated_number_that_is_none_is_passed_over(tmp_path: Path, tag: str, number: str) -> None:
    path = tmp_path / "input.cif"
    path.write_text(halite("x").replace("_cell_length_a", f"{tag} {number}\n_cell_length_a", 1))
    (block,) = iter_blocks([str(path)])
    assert not isinstance(block, BadRecord) and block.crystal.n_atoms == 2
