"""The declared group of a file as an asymmetric unit: textbook crystals, other settings, cells that contradict."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crystaltool.asymunit import expand
from crystaltool.declared_unit import declared_unit
from crystaltool.errors import InputError
from crystaltool.io.cif import format_asym_unit, parse_block
from tests.forcefield.units import CORUNDUM, ROCK_SALT, RUTILE, random_unit
from tests.textbook import TEXTBOOK, Textbook


def from_text(text: str):
    block = parse_block(text)
    return declared_unit(
        block.crystal, block.declared_group, block.rotations, block.translations, block.atom_to_site
    ), block


def same_crystal(one, other) -> bool:
    """Whether every atom of one lies on a like atom of the other, within 1e-5 A."""
    apart = one.frac_coords[:, None] - other.frac_coords
    near = np.linalg.norm((apart - np.round(apart)) @ one.lattice, axis=2) < 1e-5
    near &= one.numbers[:, None] == other.numbers
    return bool((near.sum(axis=0) == 1).all() and (near.sum(axis=1) == 1).all())


@pytest.mark.parametrize("number", [2, 12, 38, 62, 82, 146, 167, 194, 205, 216, 227])
def test_written_units_come_back_in_their_group(number: int) -> None:
    unit = random_unit(number, np.random.default_rng(number))
    found, block = from_text(format_asym_unit(unit, "x"))
    assert found.group == number
    np.testing.assert_array_equal(found.positions, unit.positions)
    np.testing.assert_allclose(found.lattice @ found.lattice.T, unit.lattice @ unit.lattice.T, atol=1e-6)
    assert same_crystal(expand(found), block.crystal)


@pytest.mark.parametrize("textbook", TEXTBOOK, ids=lambda textbook: textbook.name)
def test_letters_of_textbook_crystals(textbook: Textbook) -> None:
    """A subgroup's letters cannot be told from the geometry of a supergroup: the declared group must be used."""
    crystal = textbook.crystal()
    from crystaltool.symmetry import space_group

    group = space_group(textbook.group)
    counts = [group.position(letter).multiplicity for _, letter, *_ in textbook.sites]
    found = declared_unit(
        crystal, textbook.group, group.rotations, group.translations, np.repeat(np.arange(len(counts)), counts)
    )
    assert found is not None
    assert list(found.letters) == [letter for _, letter, *_ in textbook.sites]


def test_a_lower_group_than_the_structure_has_is_kept() -> None:
    """Rock salt written in group 216 stays there; a detector would say 225."""
    lower = replace(ROCK_SALT, group=216, positions=np.array([0, 1]))
    found, _ = from_text(format_asym_unit(lower, "x"))
    assert found.group == 216 and found.letters == ("a", "b")


def test_another_setting_is_left_to_the_detector() -> None:
    text = format_asym_unit(CORUNDUM, "x")
    block = parse_block(text)
    shifted = block.translations.copy()
    shifted[1] += [0.5, 0, 0]
    assert declared_unit(block.crystal, 167, block.rotations, shifted, block.atom_to_site) is None


def test_a_cell_of_another_system_is_refused_and_rounding_is_not() -> None:
    text = format_asym_unit(RUTILE, "x")
    wrong = text.replace("_cell_length_b 4.594", "_cell_length_b 4.794")
    with pytest.raises(InputError, match=r"operations do not keep the cell: off by 4\.\d%"):
        from_text(wrong)
    found, _ = from_text(text.replace("_cell_length_b 4.594", "_cell_length_b 4.596"))
    assert found.lattice[0, 0] == pytest.approx(found.lattice[1, 1])
