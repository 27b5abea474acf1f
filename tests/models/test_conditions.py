"""Every sample meets its request, whatever the networks say; without one nothing has changed since version 0.4."""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from crystaltool.asymunit import AsymUnit, expand
from crystaltool.diffusion import absorbing
from crystaltool.errors import UsageError
from crystaltool.models.symmcd.checkpoint import LoadedSymmCD, load_symmcd
from crystaltool.models.symmcd.draws import Turn, draw_item
from crystaltool.models.symmcd.model import SymmCD
from crystaltool.models.symmcd.plan import Plan, orbit_distribution
from crystaltool.models.symmcd.request import Request
from crystaltool.models.symmcd.sampling import SamplerConfig, draw_items, plan_for, sample_symmcd
from crystaltool.models.symmcd.site_sampling import SiteSettings, choose_sites, draw_sites
from crystaltool.models.symmcd.templates import table_templates
from crystaltool.symmetry import space_group
from tests.models.test_sampling import assert_same_bits
from tests.models.tiny import random_model, textbook_table

FEW = SamplerConfig(calls=8, attempts=1, site_candidates=3, formula_candidates=3)


@pytest.fixture(scope="module")
def untrained() -> SymmCD:
    return random_model()


def sampled(model: SymmCD, n: int, request: Request, seed: int = 0, config: SamplerConfig = FEW) -> list[AsymUnit]:
    return list(sample_symmcd(model, range(n), plan_for(model, request), seed, config, 20))


def assert_kept(unit: AsymUnit, request: Request) -> None:
    """By counting the atoms of the expanded cell, without the code that the plan uses."""
    crystal = expand(unit)
    group = space_group(unit.group)
    found, counts = np.unique(crystal.numbers, return_counts=True)
    kinds = set(found.tolist())
    if request.space_group:
        assert unit.group in request.space_group
    if request.elements:
        assert kinds <= set(request.elements)
    assert kinds >= set(request.require) and not kinds & set(request.exclude)
    if request.formula:
        wanted = dict(request.formula)
        assert kinds == set(wanted)
        assert len({count / wanted[z] for z, count in zip(found.tolist(), counts.tolist(), strict=True)}) == 1
    if request.n_elements:
        assert request.n_elements[0] <= len(kinds) <= request.n_elements[1]
    if request.n_atoms:
        lattice_points = {"P": 1, "F": 4, "R": 3}.get(group.centring, 2)
        atoms = crystal.n_atoms / (lattice_points if request.primitive else 1)
        assert request.n_atoms[0] <= atoms <= request.n_atoms[1]
    if request.template:
        assert (unit.group, tuple(sorted(unit.positions.tolist()))) in {entry[:2] for entry in request.template}
    fixed = [p for p in unit.positions.tolist() if group.positions[p].degrees_of_freedom == 0]
    assert len(fixed) == len(set(fixed))


MIXED = [
    {"elements": "Li,Fe,O"},
    {"require": "Li"},
    {"exclude": "Pb,Tl,Cd,Hg"},
    {"n_elements": "3"},
    {"n_elements": "2:4", "require": "O,Na", "exclude": "Pb"},
    {"elements": "Na,Cl", "require": "Na", "n_elements": "2"},
    {"formula": "LiFePO4"},
    {"formula": "SrTiO3", "space_group": ("221", "62", "1")},
    {"formula": "MgAl2O4", "space_group": ("227",), "n_atoms": "56"},
    {"formula": "Ca3Al2Si3O12", "space_group": ("230",)},
    {"formula": "Si"},
    {"formula": "LiFePO4", "n_atoms": "28", "primitive": True},
    {"formula": "NaCl", "space_group": ("207",)},
    {"formula": "Fe2O3", "n_atoms": "10", "primitive": True, "require": "Fe"},
    {"n_atoms": "10:40"},
    {"n_atoms": "7"},
    {"n_atoms": ":6", "primitive": True, "n_elements": "2"},
    {"n_atoms": "17:", "elements": "C,N", "space_group": ("2", "225")},
    {"space_group": ("47", "2"), "n_atoms": "5:9", "n_elements": "5"},
    {"space_group": ("216",), "n_atoms": "4"},
]


@pytest.mark.parametrize("words", MIXED, ids=str)
def test_every_sample_meets_its_request(untrained: SymmCD, words: dict) -> None:
    request = Request.parse(**words)
    units = sampled(untrained, 20, request)
    assert len(units) == 20
    for unit in units:
        assert_kept(unit, request)


@pytest.mark.parametrize(
    "words", [{}, {"formula": "NaCl"}, {"n_elements": "2", "n_atoms": ":8"}, {"space_group": ("225",)}], ids=str
)
def test_templates_are_filled_as_they_are(untrained: SymmCD, words: dict) -> None:
    request = replace(Request.parse(**words), template=table_templates(textbook_table()))
    for unit in sampled(untrained, 20, request):
        assert_kept(unit, request)


def test_templates_come_as_often_as_they_occur() -> None:
    templates = ((225, (0, 1), 6), (221, (0, 1, 2), 3), (62, (2, 2), 1))
    plan = Plan(np.ones((230, 9)), Request(template=templates))
    found = [draw_item(plan, 0, index).begun for index in range(2000)]
    share = [sum(choice.group == group - 1 for choice in found) / 2000 for group, _, _ in templates]
    assert share == pytest.approx([0.6, 0.3, 0.1], abs=0.035)


def test_conditions_do_not_depend_on_the_batch_and_attempts_keep_the_group(untrained: SymmCD) -> None:
    plan = plan_for(untrained, Request.parse(formula="SrTiO3", n_atoms="5:10", primitive=True))
    config = replace(FEW, attempts=3)
    whole = list(sample_symmcd(untrained, range(15), plan, 3, config, 15))
    parts = list(sample_symmcd(untrained, range(15), plan, 3, config, 4))
    assert_same_bits(whole, parts)
    first = list(sample_symmcd(untrained, range(15), plan, 3, replace(FEW, attempts=2), 15))
    assert [(u.group, len(u.numbers)) for u in whole] == [(u.group, len(u.numbers)) for u in first]
    known = draw_items(untrained, plan, range(15), 3, config)
    assert [known[i].group + 1 for i in range(15)] == [unit.group for unit in whole]


# ---- what cannot be


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            {"space_group": ("225",), "formula": "LiFePO4", "n_atoms": "1:28"},
            "space group 225 cannot hold LiFePO4 with 1:28 atoms",
        ),
        ({"space_group": ("62", "225"), "n_atoms": "3"}, "space group 62 cannot hold 3 atoms in the conventional cell"),
        (
            {"space_group": ("225",), "n_atoms": "5", "n_elements": "2"},
            "space group 225 cannot hold 2 or more elements with 5",
        ),
        ({"n_atoms": "2", "n_elements": "3"}, "no space group can hold 3 or more elements with 2 atoms"),
        ({"formula": "LiO99999"}, "no space group can hold LiO99999"),
        ({"space_group": ("230",), "n_atoms": "1:15"}, "space group 230 cannot hold 1:15 atoms"),
    ],
    ids=str,
)
def test_what_cannot_be_met_is_said_at_once(untrained: SymmCD, words: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        plan_for(untrained, Request.parse(**words))


def test_what_templates_cannot_hold_is_said(untrained: SymmCD) -> None:
    templates = ((225, (0, 1), 6), (62, (2, 2), 1))
    for words, message in (
        ({"formula": "SrTiO3"}, "no template can hold SrTiO3"),
        ({"space_group": (225, 221)}, "no template of space group 221"),
        ({"space_group": (62,), "n_atoms": (1, 4)}, "no template of space group 62 can hold 1:4 atoms"),
    ):
        words = {**words, **({"formula": ((38, 1), (22, 1), (8, 3))} if "formula" in words else {})}
        with pytest.raises(UsageError, match=message):
            plan_for(untrained, Request(**words, template=templates))


# ---- which groups and numbers of orbits


def test_groups_and_orbits_are_those_of_the_data_that_can_be() -> None:
    """p(G, M) restricted and nothing else: 225 with two orbits holds NaCl, 1 needs an even number of them."""
    counts = np.zeros((230, 9))
    counts[224, 2], counts[0, 4], counts[0, 3], counts[1, 1] = 3, 1, 50, 50
    plan = Plan(counts, Request.parse(formula="NaCl"))
    found = [draw_item(plan, 0, index) for index in range(1000)]
    share = sum((d.group, d.n_orbits) == (224, 2) for d in found) / 1000
    assert share == pytest.approx(0.75, abs=0.04)
    assert {(d.group, d.n_orbits) for d in found} == {(224, 2), (0, 4)}


def test_numbers_of_orbits_that_the_data_lack_come_from_the_system_then_all_then_the_smallest() -> None:
    counts = np.zeros((230, 9))
    counts[224, 2], counts[195, 3], counts[0, 5] = 5, 2, 1
    possible = np.arange(9)
    np.testing.assert_allclose(orbit_distribution(counts, 224, possible == 2)[2], 1)
    np.testing.assert_allclose(orbit_distribution(counts, 224, possible >= 3)[3], 1)
    np.testing.assert_allclose(orbit_distribution(counts, 224, possible >= 4)[5], 1)
    np.testing.assert_allclose(orbit_distribution(counts, 224, possible >= 6)[6], 1)
    assert not orbit_distribution(counts, 224, possible > 9).any()


# ---- weights


def test_the_weight_of_a_draw_is_what_the_network_gave_to_what_was_open(untrained: SymmCD) -> None:
    """Two orbits of group 1, revealed one a call: the sum over all outcomes of probability is the weight's mean."""
    request = Request.parse(space_group=("1",), formula="NaCl", n_atoms="2")
    plan = plan_for(untrained, request)
    draws = [draw_item(plan, 0, i) for i in range(4)]
    batch, weight = draw_sites(untrained, draws, (2, 2), plan=plan)
    for row, drawn in enumerate(draws):
        order = np.argsort(drawn.element_order)
        numbers, total = batch.numbers[row : row + 1].clone(), 0.0
        alone = replace_rows(batch, row)
        for step, slot in enumerate(order.tolist()):
            hidden = torch.ones(1, 2, dtype=torch.bool)
            hidden[0, order[:step].tolist()] = False
            h = untrained.site_states(alone, torch.zeros_like(hidden), hidden)
            log = untrained.sites.element_logits(h)[0, slot].log_softmax(-1)
            left = {11, 17} - {int(numbers[0, other]) for other in order[:step].tolist()}
            total += float(torch.logsumexp(log[[z - 1 for z in left]], 0).detach())
        assert float(weight[row]) == pytest.approx(total, abs=1e-9)


def replace_rows(batch, row: int):
    """One row of a batch."""
    return type(batch)(**{name: getattr(batch, name)[row : row + 1] for name in vars(batch)})


def test_candidates_are_taken_by_their_weights(untrained: SymmCD) -> None:
    """One orbit or eight, equally often in the data: sodium among them makes eight more likely, as weights say."""
    counts = np.zeros((230, 9))
    counts[0, 1] = counts[0, 8] = 1
    plan = Plan(counts, Request.parse(space_group=("1",), require="Na"))
    singles = [draw_item(plan, 1, i) for i in range(600)]
    batch, weight = draw_sites(untrained, singles, (2, 2), plan=plan)
    many, share = (batch.mask.sum(1) == 8).numpy(), weight.exp().numpy()
    groups = np.random.default_rng(0).integers(0, 600, (4000, 10))
    expected = float(((share * many)[groups].sum(1) / share[groups].sum(1)).mean())
    chosen = choose_sites(untrained, plan, 2, dict.fromkeys(range(120)), Turn(), SiteSettings(10, (2, 2)))
    found = np.mean([sites.n_orbits == 8 for _, sites in chosen.values()])
    assert many.mean() == pytest.approx(0.5, abs=0.06) and expected > 0.65
    assert found == pytest.approx(expected, abs=0.12)


def test_choices_that_leave_a_supergroup_are_not_taken_where_there_are_others(
    untrained: SymmCD, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if position a of P-1 left one: it is drawn, but not taken; where all choices leave one, one of them is."""
    judge = "crystaltool.models.symmcd.site_sampling.positions_have_supergroup"
    plan = plan_for(untrained, Request.parse(space_group=("2",), formula="NaCl", n_atoms="2:4"))
    shares = []
    for exact in (False, True):
        monkeypatch.setattr(judge, lambda group, positions: 0 in positions)
        chosen = choose_sites(untrained, plan, 0, dict.fromkeys(range(12)), Turn(exact=exact), SiteSettings(12, (2, 2)))
        shares.append(np.mean([0 in sites.positions for _, sites in chosen.values()]))
    assert shares[0] > 0 and shares[1] == 0
    monkeypatch.setattr(judge, lambda group, positions: True)
    again = choose_sites(untrained, plan, 0, dict.fromkeys(range(4)), Turn(exact=True), SiteSettings(3, (2, 2)))
    assert len(again) == 4


def test_what_is_blocked_is_never_drawn() -> None:
    logits = torch.tensor([[0.0, -torch.inf, 1.0, -torch.inf], [-torch.inf, 3.0, -torch.inf, -torch.inf]]).double()
    for uniform in (0.0, 0.3, 1.0 - 2**-53, 1.0):
        drawn = absorbing.draw(logits, torch.full((2,), uniform).double())
        assert torch.isfinite(logits[torch.arange(2), drawn]).all(), uniform


# ---- without a request


GOLDEN = [
    [225, [9, 9], [8, 67]], [225, [9, 8], [69, 69]], [225, [11, 10], [25, 58]], [225, [5, 8], [66, 18]],
    [225, [11, 11], [58, 28]], [62, [3, 3, 2], [42, 66, 87]], [225, [7, 9], [80, 71]], [62, [3, 3, 2], [92, 56, 78]],
    [225, [7, 8], [49, 93]], [225, [11, 11], [87, 14]], [62, [3, 3, 2], [63, 47, 88]], [225, [11, 6], [16, 76]],
]  # fmt: skip
GOLDEN_IN_TURN = [
    [2, [8, 8], [8, 67]], [47, [21, 20, 24], [69, 37, 88]], [62, [3, 3, 2], [58, 12, 15]], [207, [5, 7], [66, 18]],
    [225, [11, 11], [58, 28]], [2, [8, 8, 3], [42, 66, 87]], [47, [18, 20, 26], [71, 10, 86]],
    [62, [3, 3, 2], [92, 56, 78]], [207, [6, 7], [49, 93]], [225, [11, 11], [87, 14]], [2, [8, 6], [11, 63]],
]  # fmt: skip
"""Group, positions and elements that a checkpoint of the first format gave before there were conditions."""


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> LoadedSymmCD:
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(Path(__file__).parent.parent / "old_checkpoints" / "symmcd-format-1.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return load_symmcd(folder)


@pytest.mark.parametrize(("groups", "golden"), [((), GOLDEN), ((2, 47, 62, 207, 225), GOLDEN_IN_TURN)], ids=str)
def test_sites_without_conditions_are_those_of_earlier_versions(
    old: LoadedSymmCD, groups: Sequence[int], golden: list
) -> None:
    units = sampled(old.model, len(golden), Request(space_group=tuple(groups)), 7, SamplerConfig(calls=12, attempts=1))
    assert [[u.group, u.positions.tolist(), u.numbers.tolist()] for u in units] == golden
