"""Syntax outside cell, symmetry and atoms never loses a structure; inside, nothing is guessed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crystaltool.errors import InputError
from crystaltool.io.cif import parse_block
from crystaltool.io.cif_tolerant import mend
from tests.io.blocks import halite

CASES = Path(__file__).parents[1] / "data" / "cases" / "mof"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("01-unquoted-P1", "_symmetry_space_group_name_H-M on line 8 is not quoted, read as 'P 1'"),
        ("02-comma-after-citation", "quote on line 2 is not closed but by ','"),
    ],
)
def test_cases_are_read_with_a_warning(name: str, words: str) -> None:
    text = (CASES / name / "input.cif").read_text(encoding="utf-8")
    block = parse_block(text)
    assert block.crystal.n_atoms == 106 and np.bincount(block.crystal.numbers)[[1, 6, 8, 30]].tolist() == [
        24,
        48,
        26,
        8,
    ]
    assert [words in remark.text for remark in block.remarks] == [True]


@pytest.mark.parametrize(
    "broken",
    [
        "_citation_author 'A. Author',\n",
        "_citation_title 'The author's crystal\n",
        '_citation_title "never closed\n',
        "_exptl_note two words\n",
        "_exptl_note\n",
        "_exptl_note 'a' stray\n",
        "loop_\n_citation_id\n_citation_year\n1 2002\n2\n",
        "loop_\n_citation_id\n",
        "_publ_text\n;\nnever closed\n",
        "_exptl_note \x0cform-feed\x1a\n",
        "save_\n",
        "stop_\n",
    ],
)
def test_anything_outside_the_structure_is_mended(broken: str) -> None:
    """Before the cell, and behind the atoms."""
    sound = parse_block(halite())
    head, rest = halite().split("\n", 1)
    for text in (f"{head}\n{broken}{rest}", halite().rstrip("\n") + "\n" + broken):
        block = parse_block(text)
        assert (block.crystal.numbers == sound.crystal.numbers).all(), broken
        assert np.allclose(block.crystal.frac_coords, sound.crystal.frac_coords)
        assert np.allclose(block.crystal.lattice, sound.crystal.lattice)


def test_words_that_belong_to_no_tag_are_left_out_before_the_structure_alone() -> None:
    head, rest = halite().split("\n", 1)
    block = parse_block(f"{head}\nstray words\n{rest}")
    assert block.crystal.n_atoms == 2 and "'stray' on line 2 belongs to no tag" in block.remarks[0].text
    with pytest.raises(InputError, match="line 20: the loop of _atom_site_label has 14 values for 6 tags"):
        parse_block(halite() + "stray words\n")


def test_sound_text_is_not_touched() -> None:
    block = parse_block(halite())
    assert block.remarks == () and block.text == halite()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("0.5 0.5 0.5 1", "0.5 0.5 1", "the loop of _atom_site_label has 11 values for 6 tags"),
        ("0.5 0.5 0.5 1", "0.5 0.5 0.5 1 1", "the loop of _atom_site_label has 13 values for 6 tags"),
        ("Na1 Na 0 0 0 1", "'Na1 Na 0 0 0 1", "the loop of _atom_site_label has"),
        ("_cell_length_b ", "_cell_length_b 1 ", "_cell_length_b has 2 values"),
    ],
)
def test_the_structure_is_never_guessed(old: str, new: str, words: str) -> None:
    assert old in halite()
    with pytest.raises(InputError, match=words):
        parse_block(halite().replace(old, new, 1))


def test_a_loop_of_atoms_without_loop_is_refused() -> None:
    text = halite()
    start = text.rindex("loop_\n_atom_site")
    with pytest.raises(InputError, match="_atom_site_occupancy has"):
        parse_block(text[:start] + text[start + len("loop_\n") :])


def test_operations_without_quotes_are_one_value_a_line() -> None:
    quoted = "loop_\n_symmetry_equiv_pos_as_xyz\n'x, y, z'\n'-x, -y, -z'\n"
    head, rest = halite().split("loop_\n_atom", 1)
    plain = "\n".join(
        line for line in head.splitlines() if "group" not in line and "symop" not in line and "x,y,z" not in line
    )
    plain = plain.replace("loop_", "").rstrip() + "\n"
    wanted = parse_block(plain + quoted + "loop_\n_atom" + rest)
    found = parse_block(plain + quoted.replace("'", "") + "loop_\n_atom" + rest)
    assert len(found.rotations) == 2 and found.crystal.n_atoms == wanted.crystal.n_atoms
    assert "not quoted" in found.remarks[0].text


def test_a_unit_behind_a_cell_length_is_left_out() -> None:
    line = next(line for line in halite().splitlines() if line.startswith("_cell_length_a"))
    block = parse_block(halite().replace(line, line + " Angstroem"))
    assert np.allclose(block.crystal.lattice, parse_block(halite()).crystal.lattice)
    assert "_cell_length_a" in block.remarks[0].text


def test_what_is_no_cif_stays_none() -> None:
    for text in ("\0" * 100, "POSCAR\n1.0\n5 0 0\n0 5 0\n0 0 5\n"):
        with pytest.raises(InputError, match="readable CIF"):
            parse_block(text)


def test_mended_text_says_what_was_done() -> None:
    text, said = mend("data_x\n_a 'it's\n_b 1 2\nloop_\n_c\n_d\n1 2 3\n_e\n")
    assert text.splitlines() == ["data_x", "_a it", "_b '1 2'", "_e ?"] or "_b '1 2'" in text
    assert len(said) == 4 and "loop of _c has 3 values for 2 tags" in said[2]


@pytest.mark.parametrize("sign", ["\u00a0", "\f", "\0"])
def test_blanks_that_cif_does_not_have_are_said(sign: str) -> None:
    block = parse_block(halite().replace("Cl1 Cl", f"Cl1{sign} Cl"))
    assert block.crystal.n_atoms == 2
    assert [remark.text for remark in block.remarks] == ["syntax mended: blanks or signs that CIF does not have"]
