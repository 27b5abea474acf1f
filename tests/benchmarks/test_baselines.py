"""Baselines without a model: what may stand in for what, charges, volumes, and draws that follow from (seed, i)."""

from __future__ import annotations

import numpy as np
import pytest
from baselines import DRAWS, column, draw, enumerate_elements, exchange, oxidation_states, rescaled, substitute

from crystaltool.asymunit import reduce, tabulate
from crystaltool.checks.charge import smact_valid
from tests.textbook import BY_NAME

NAMES = ("rutile", "halite", "corundum", "baddeleyite", "pyrite", "diamond")
TABLE = tabulate([reduce(BY_NAME[name].crystal()) for name in NAMES])
KNOWN = frozenset([3, 6, 8, 9, 11, 12, 13, 14, 16, 17, 19, 22, 26, 31, 34, 35, 40, 50, 57, 64, 72])


def test_columns_and_rows() -> None:
    assert set(column(17)) == {9, 35, 53, 85}
    assert 57 in column(64) and 21 not in column(64) and set(column(64)) <= set(range(57, 72))
    assert set(column(92)) <= set(range(89, 104)) and 60 not in column(92)
    assert 39 in column(21) and 57 not in column(21)


def test_a_substitution_changes_something_within_columns_and_merges_nothing() -> None:
    rng = np.random.default_rng(0)
    found = [substitute([11, 17], KNOWN, rng) for _ in range(400)]
    changed = [mapping for mapping in found if mapping is not None]
    assert {mapping[11] for mapping in changed} == {3, 11, 19} and {mapping[17] for mapping in changed} == {9, 17, 35}
    assert 0.76 < len(changed) / 400 < 0.91  # 1 - 0.4^2 = 0.84
    assert all(len(set(mapping.values())) == 2 for mapping in changed)
    assert all(substitute([9, 17], frozenset([9, 17]), rng) in (None, {9: 17, 17: 9}) for _ in range(50))


def test_ions_are_exchanged_with_charges_balanced() -> None:
    rng = np.random.default_rng(0)
    unit = TABLE[NAMES.index("halite")]
    assert oxidation_states((11, 17), (4, 4)) == (1, -1)
    drawn = [exchange(unit, frozenset(range(1, 90)), rng) for _ in range(300)]
    found = [mapping for mapping in drawn if mapping is not None]
    assert len(found) > 30
    cations = [mapping[11] for mapping in found]
    assert {3, 19, 37} & set(cations) and max(set(cations), key=cations.count) in (3, 11, 19, 37, 47)
    assert all(smact_valid(np.array(list(mapping.values()))) for mapping in found if 8 not in mapping.values())


def test_enumerated_elements_are_neutral_and_not_all_metals() -> None:
    rng, unit = np.random.default_rng(0), TABLE[NAMES.index("rutile")]
    found = [mapping for _ in range(300) if (mapping := enumerate_elements(unit, KNOWN, rng)) is not None]
    assert 5 < len(found) < 290
    for mapping in found:
        filled = np.repeat([mapping[n] for n in unit.numbers.tolist()], unit.multiplicities)
        assert smact_valid(filled) and set(mapping.values()) <= KNOWN


def test_volume_follows_the_radii_of_the_elements() -> None:
    unit = TABLE[NAMES.index("halite")]
    same = rescaled(unit, {11: 11, 17: 17}, "x")
    assert np.allclose(same.lattice, unit.lattice) and same.name == "x"
    bromide = rescaled(unit, {11: 19, 17: 35}, "y")
    # KBr, a = 6.60 A, from NaCl, 5.64 A: facts of any handbook
    assert bromide.lattice[0, 0] == pytest.approx(6.60, abs=0.25)
    assert set(bromide.numbers.tolist()) == {19, 35} and bromide.letters == unit.letters


@pytest.mark.parametrize("name", list(DRAWS))
def test_a_draw_follows_from_seed_and_number(name: str) -> None:
    first, again, other = (draw(name, TABLE, KNOWN, seed, 3) for seed in (0, 0, 1))
    assert np.array_equal(first.numbers, again.numbers) and np.array_equal(first.lattice, again.lattice)
    assert first.name == f"{name}-s0-000003" and other.name != first.name
