"""What sites are preferred for is counted as it is meant, and sampling follows it."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from crystaltool.asymunit import AsymUnit, expand
from crystaltool.checks.charge import smact_valid
from crystaltool.checks.density import mass_density
from crystaltool.cli.sample_conditions import read_target
from crystaltool.errors import UsageError
from crystaltool.evaluation.templates import merge, template
from crystaltool.measure.hull import load_hull
from crystaltool.models.symmcd.checkpoint import LoadedSymmCD
from crystaltool.models.symmcd.preferences import DENSITY_EDGES, MOST_ORBITS, Preferences, template_sites
from crystaltool.models.symmcd.request import Request
from crystaltool.models.symmcd.sampling import SamplerConfig
from crystaltool.models.symmcd.stability import Guide
from crystaltool.models.symmcd.templates import Templates, table_templates
from tests.models.test_stability import JUDGING, NOTHING, sampled
from tests.models.tiny import random_model, small_table, textbook_table


def weight_of(unit: AsymUnit, preferences: Preferences) -> float:
    return preferences.log_weight(unit.group, unit.positions, unit.numbers)


@pytest.mark.parametrize("unit", list(textbook_table()), ids=lambda unit: unit.name)
def test_each_factor_by_independent_means(unit: AsymUnit) -> None:
    numbers = expand(unit).numbers
    n = len(set(numbers.tolist()))
    assert weight_of(unit, Preferences(NOTHING, neutral=2.0)) == 2.0 * smact_valid(numbers)
    by_number = tuple(float(i) for i in range(1, 3))
    assert weight_of(unit, Preferences(NOTHING, n_elements=by_number)) == min(n, 2)
    volumes = np.full(95, expand(unit).volume / len(numbers))
    by_density = Preferences(NOTHING, density=tuple(map(float, range(10))), volumes=volumes)
    assert weight_of(unit, by_density) == sum(mass_density(expand(unit)) >= edge for edge in DENSITY_EDGES)
    known = template_sites(((unit.group, tuple(sorted(unit.positions.tolist())), 1),))
    assert weight_of(unit, Preferences(known, new_template=3.0)) == 0.0
    assert weight_of(unit, Preferences(NOTHING, new_template=3.0)) == 3.0 * (len(unit.positions) <= MOST_ORBITS)


def test_a_template_is_known_however_its_letters_are_named() -> None:
    """`merge` of the evaluation, which counts templates, is the judge."""
    known: Templates = table_templates(small_table())
    merged = {merge(template(group, np.array(row))) for group, row, _ in known}
    preferences = Preferences(template_sites(known), new_template=1.0)
    units = [*small_table(), *textbook_table()]
    rng = np.random.default_rng(0)
    units += [replace(unit, positions=np.zeros_like(unit.positions)) for unit in rng.permutation(np.array(units))[:20]]
    new = [weight_of(unit, preferences) == 1.0 for unit in units]
    few = [len(unit.positions) <= MOST_ORBITS for unit in units]
    truly = [merge(template(unit.group, unit.positions)) not in merged for unit in units]
    assert new == [a and b for a, b in zip(few, truly, strict=True)]
    assert 0 < sum(new) < len(units)


def test_sampling_follows_the_preferences() -> None:
    model = random_model(sizes=JUDGING)
    few = Guide(0.0, NOTHING, load_hull(), 0.0, Preferences(NOTHING, n_elements=(8.0, 4.0, 0.0)))
    free = sampled(model, 60, None)
    led = sampled(model, 60, few)
    counts = [Counter(len(set(unit.numbers.tolist())) for unit in units) for units in (free, led)]
    assert counts[1][1] > counts[0][1] and counts[1][3] < counts[0][3]
    assert [unit.group for unit in free] == [unit.group for unit in led]
    neutral = sampled(model, 60, Guide(0.0, NOTHING, load_hull(), 0.0, Preferences(NOTHING, neutral=10.0)))
    assert sum(map(is_neutral, neutral)) > sum(map(is_neutral, free))


def is_neutral(unit: AsymUnit) -> bool:
    return smact_valid(expand(unit).numbers)


def test_factors_multiply() -> None:
    unit = textbook_table()[0]
    both = Preferences(NOTHING, 1.5, 0.25, (0.5, 0.5, 0.5, 0.5))
    each = [Preferences(NOTHING, 1.5), Preferences(NOTHING, 0.0, 0.25), Preferences(NOTHING, n_elements=(0.5,))]
    assert math.isclose(weight_of(unit, both), sum(weight_of(unit, one) for one in each))


@pytest.mark.parametrize(
    ("text", "aim"),
    [
        ("none", (("above_hull", ()),)),
        ("e_above_hull=0.05", (("above_hull", (0.05,)),)),
        ("e_above_hull=0, new_template=2", (("above_hull", (0.0,)), ("new_template", 2.0))),
        ("new_template=-1,e_above_hull=0", (("above_hull", (0.0,)), ("new_template", -1.0))),
    ],
)
def test_a_target_says_which_settings_change(text: str, aim: tuple) -> None:
    assert read_target(text) == aim


@pytest.mark.parametrize(
    "text",
    ["", "e_above_hull", "e_above_hull=low", "new_template=2", "e_above_hull=nan", "e_above_hull=0,e_above_hull=1",
     "e_above_hull=0,co2_wc=3", "e_above_hull=0,", "e_above_hull=0,new_template=inf"],
)  # fmt: skip
def test_what_is_no_target_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(UsageError, match="expected e_above_hull=NUMBER") as found:
        read_target(text)
    assert "\n" not in str(found.value)


def test_a_formula_is_not_led_to_new_templates() -> None:
    model = random_model(sizes=JUDGING)
    settings = SamplerConfig(above_hull=(0.0,), new_template=8.0, neutral=1.0)
    loaded = LoadedSymmCD(model, settings, "0" * 64, NOTHING, NOTHING)
    free, formula = loaded.plan().guide, loaded.plan(Request.parse(formula="NaCl")).guide
    assert free is not None and free.preferences == Preferences(NOTHING, 8.0, 1.0)
    assert formula is not None and formula.preferences is None
