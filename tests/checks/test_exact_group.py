"""`exact-group`: the declared group, all of it and nothing more."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crystaltool.asymunit import AsymUnit
from crystaltool.checks.exact_group import check_exact_group
from crystaltool.checks.registry import run_checks
from crystaltool.checks.symmetry import check_symmetry, detected_operations
from crystaltool.io.cif import format_asym_unit, parse_block
from tests.checks.blocks import P1_SITES, halite, textbook_text
from tests.textbook import TEXTBOOK


def written(group: int, letters: str, numbers: list[int], lattice: list[float]):
    positions = np.array(["abcdefghijklm".index(letter) for letter in letters])
    unit = AsymUnit(group, np.diag(lattice), np.array(numbers), positions, np.zeros((len(letters), 3)), "x")
    return parse_block(format_asym_unit(unit, "x", ()), "-", 1)


@pytest.mark.parametrize("name", [entry.name for entry in TEXTBOOK])
def test_textbook_crystals_have_exactly_their_groups(name):
    verdict = check_exact_group(parse_block(textbook_text(name), "-", 1))
    assert verdict.passed and verdict.judged, verdict.message


@pytest.mark.parametrize(
    ("group", "letters", "numbers", "found"),
    [
        (216, "ab", [11, 17], 225),  # halite
        (196, "ac", [30, 16], 216),  # sphalerite
        (207, "ab", [55, 17], 221),  # caesium chloride
        (221, "ab", [26, 26], 229),  # iron: half the cell
    ],
)
def test_a_supergroup_fails_and_is_named(group, letters, numbers, found):
    verdict = check_exact_group(written(group, letters, numbers, [5.0] * 3))
    assert not verdict.passed and verdict.value == found
    assert verdict.message.startswith(f"declared {group}, found {found}, a supergroup")


def test_a_smaller_cell_of_the_same_group_fails():
    """P4/mmm with the axis doubled: the number is right, the translations are not all declared."""
    assert check_exact_group(written(123, "ab", [13, 14], [3.0, 3.0, 5.0])).passed
    verdict = check_exact_group(written(123, "ab", [13, 13], [3.0, 3.0, 5.0]))
    assert not verdict.passed and verdict.value == 123 and "a smaller cell repeats" in verdict.message


def test_p1_leaves_the_symmetry_open():
    verdict = check_exact_group(halite(sites=P1_SITES, operations=["x,y,z"], group="1"))
    assert verdict.passed and not verdict.judged and "found 225" in verdict.message
    triclinic = P1_SITES.replace("Na1 Na 1 0.0 0 0", "Na1 Na 1 0.07 0.03 0.11")
    assert triclinic != P1_SITES
    verdict = check_exact_group(halite(sites=triclinic.replace("Na2 Na", "K2 K"), operations=["x,y,z"], group="1"))
    assert verdict.passed and verdict.judged


def test_an_operation_that_is_not_there_fails():
    """One of the mirrored atoms is moved: the declared inversion is gone."""
    sites = P1_SITES.replace("Na1 Na 1 0.0 0 0", "Na1 Na 1 0.01 0.02 0")
    block = halite(sites=sites, operations=["x,y,z"], group="1")
    inversion = {
        "rotations": np.stack([np.eye(3, dtype=np.int64), -np.eye(3, dtype=np.int64)]),
        "translations": np.zeros((2, 3)),
        "declared_group": 2,
    }
    forged = replace(block, **inversion)
    verdict = check_exact_group(forged)
    assert not verdict.passed and "without 1 of the 2 operations" in verdict.message


def test_spglib_is_asked_once_for_both_checks(monkeypatch):
    import spglib

    asked = []
    original = spglib.get_symmetry_dataset
    monkeypatch.setattr(
        spglib, "get_symmetry_dataset", lambda *a, **k: (asked.append(k["symprec"]), original(*a, **k))[1]
    )
    verdicts = run_checks(halite(), ["symmetry", "exact-group"])
    assert [verdict.passed for verdict in verdicts] == [True, True] and asked == [1e-2]  # halite is exact
    run_checks(halite(), ["symmetry"])
    assert asked == [1e-2] * 2
    stretched = halite(cell="5.6402 5.6404 5.6402 90 90 90")
    run_checks(stretched, ["symmetry", "exact-group"])
    assert sorted(asked[2:]) == [1e-3, 1e-2]


@pytest.mark.parametrize("name", [entry.name for entry in TEXTBOOK])
@pytest.mark.parametrize("off", [0.0, 2e-6, 1e-4, 3e-3, 2e-2])
def test_what_is_not_looked_for_twice_would_be_found_twice(name, off):
    """`symmetry` asks spglib once where all is exact; here it is asked at both tolerances, operation by operation."""
    block = parse_block(textbook_text(name), "-", 1)
    lattice = block.crystal.lattice * np.array([[1.0], [1.0 + off / 5], [1.0 - off / 7]])
    block = replace(block, crystal=replace(block.crystal, lattice=lattice))
    expected = True
    for symprec in (1e-3, 1e-2):
        found = detected_operations(block.crystal, symprec)
        assert found is not None
        for rotation, translation in zip(block.rotations, block.translations, strict=True):
            alike = (found[1] == rotation).all(axis=(1, 2))
            shift = found[2][alike] - translation
            expected &= bool((np.linalg.norm((shift - np.round(shift)) @ lattice, axis=1) <= 0.05).any())
    assert check_symmetry(block).passed == expected
