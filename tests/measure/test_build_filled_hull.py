"""Phases by a potential are added to a hull, and what is published bounds them."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from crystaltool.measure.build_filled_hull import SLACK, bounded, lowest, published_points
from crystaltool.measure.hull import FILLED_NAME, SHIPPED_NAME, Hull, Phase, formula_amounts, load_hull, shares_of

ELEMENTS = [Phase(symbol, symbol, shares_of(formula_amounts(symbol)), 0.0) for symbol in ("Na", "Cl")]


def phase(formula: str, energy: float, identifier: str) -> Phase:
    return Phase(formula, identifier, shares_of(formula_amounts(formula)), energy)


def shares(formula: str) -> tuple[tuple[int, float], ...]:
    return shares_of(formula_amounts(formula))


def test_the_lowest_of_each_composition() -> None:
    found = lowest([phase("NaCl", -1.0, "a"), phase("Na2Cl2", -1.2, "b"), phase("NaCl2", -0.5, "c")])
    assert sorted(each.identifier for each in found) == ["b", "c"]


def test_a_computed_phase_is_raised_until_the_published_energy_holds() -> None:
    """Na3Cl at -1 would pull NaCl's hull to the mixture Na3Cl + Cl; where NaCl is published, it may not."""
    computed = [phase("Na3Cl", -1.0, "x"), phase("NaCl3", -0.1, "y")]
    free = bounded(ELEMENTS, computed, [])
    assert [each.energy for each in free] == [-1.0, -0.1]
    # NaCl is 2/3 Na3Cl and 1/3 Cl by atoms: -0.667 without a bound
    assert Hull([*ELEMENTS, *computed], "free").energy(shares("NaCl")) == pytest.approx(-0.7, abs=0.04)
    held = bounded(ELEMENTS, computed, [(shares("NaCl"), -0.3)])
    hull = Hull([*ELEMENTS, *held], "held")
    assert hull.energy(shares("NaCl")) == pytest.approx(-0.3 - SLACK, abs=1e-6)
    assert all(after.energy >= before.energy for after, before in zip(held, computed, strict=True))


def test_a_bound_that_is_kept_moves_nothing() -> None:
    computed = [phase("Na3Cl", -0.2, "x")]
    assert bounded(ELEMENTS, computed, [(shares("NaCl"), -0.9)]) == computed


def test_published_energies_of_the_whole_hull(tmp_path: Path) -> None:
    path = tmp_path / "mp20.csv.gz"
    rows = "pretty_formula,formation_energy_per_atom,e_above_hull\nNaCl,-1.5,0.25\nNa2Cl,-0.5,\n"
    path.write_bytes(gzip.compress(rows.encode()))
    assert published_points(path, Hull(ELEMENTS, "elements")) == [(shares("NaCl"), -1.75)]


def test_the_filled_hull_knows_what_the_published_energies_lack() -> None:
    """Praseodymium, hafnium and thorium fluorides are stable salts, and no energy of theirs is among the published."""
    published, filled = load_hull(SHIPPED_NAME), load_hull()
    assert filled.name == FILLED_NAME and len(filled) > len(published)
    for formula in ("PrF3", "HfF4", "ThF4"):
        without, (found, ((_, known), *others)) = published.energy(shares(formula)), filled.decompose(shares(formula))
        assert not others and known.formula == formula and known.identifier.startswith("mp-")
        assert found < without - 1.0


def test_filling_only_lowers() -> None:
    published, filled = load_hull(SHIPPED_NAME), load_hull()
    rng = np.random.default_rng(2)
    for _ in range(300):
        numbers = rng.choice(np.array([3, 8, 9, 11, 14, 17, 22, 26, 40, 59, 72]), 3, replace=False)
        mixture = shares_of(dict(zip(numbers.tolist(), rng.integers(1, 6, 3).tolist(), strict=True)))
        assert filled.energy(mixture) <= published.energy(mixture) + 1e-9


@pytest.mark.data
@pytest.mark.slow
def test_no_published_distance_of_mp20_is_off_by_more_than_the_slack(mp20: Path) -> None:
    filled = load_hull()
    points = published_points(mp20 / "test.csv.gz", filled)
    below = [energy - filled.energy(composition) for composition, energy in points[::10]]
    assert len(below) > 600 and max(below) < SLACK + 1e-4
