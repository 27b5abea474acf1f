"""No supergroup: what is found of crystals and of sets of positions, and what the sampler makes of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import spglib
import torch

from crystaltool.asymunit import AsymUnit, expand
from crystaltool.batch import Batch
from crystaltool.models.symmcd.model import SymmCD
from crystaltool.models.symmcd.request import Request
from crystaltool.models.symmcd.sampling import SamplerConfig, plan_for, sample_symmcd
from crystaltool.models.symmcd.supergroup import (
    break_supergroups,
    has_supergroup,
    least_orbits,
    positions_have_supergroup,
)
from crystaltool.symmetry import space_group
from crystaltool.symmetry.space_group import tables
from tests.models.tiny import random_model, random_unit, small_table

FEW = SamplerConfig(calls=8)


def indices(group: int, letters: str) -> tuple[int, ...]:
    return tuple(sorted("abcdefghijklmnopqrstuvwxyzA".index(letter) for letter in letters))


def unit(group: int, letters: str, numbers: list[int], free: list[list[float]], lattice: list[float]) -> AsymUnit:
    positions = np.array(["abcdefghijklmnopqrstuvwxyz".index(letter) for letter in letters])
    return AsymUnit(group, np.diag(lattice), np.array(numbers), positions, np.array(free, dtype=float))


NOTHING = [0.0, 0.0, 0.0]
CRYSTALS = {
    "halite in 225": (unit(225, "ab", [11, 17], [NOTHING] * 2, [5.64] * 3), 225, False),
    "halite in F-43m": (unit(216, "ab", [11, 17], [NOTHING] * 2, [5.64] * 3), 225, True),
    "halite in F23": (unit(196, "ab", [11, 17], [NOTHING] * 2, [5.64] * 3), 225, True),
    "sphalerite in 216": (unit(216, "ac", [30, 16], [NOTHING] * 2, [5.41] * 3), 216, False),
    # a (0 0 0) and b (0 0 1/2) of one element: half the cell, and P4/mmm still
    "half the cell": (unit(123, "ab", [13, 13], [NOTHING] * 2, [3.0, 3.0, 5.0]), 123, True),
    "the whole cell": (unit(123, "ab", [13, 14], [NOTHING] * 2, [3.0, 3.0, 5.0]), 123, False),
    "off by 0.002 A": (unit(5, "ac", [13, 8], [[0.1, 0, 0], [0.21, 0.1004, 0.34]], [5.0, 5.5, 6.1]), 12, True),
    "off by 0.2 A": (unit(5, "ac", [13, 8], [[0.1, 0, 0], [0.21, 0.14, 0.34]], [5.0, 5.5, 6.1]), 5, False),
}


@pytest.mark.parametrize("name", CRYSTALS)
def test_a_supergroup_is_found_as_spglib_finds_it(name: str) -> None:
    """The group is spglib's; a crystal of half the cell has one too, though its group has the same number."""
    crystal, group, more = CRYSTALS[name]
    full = expand(crystal)
    found = spglib.get_symmetry_dataset((full.lattice, full.frac_coords, full.numbers), symprec=0.01)
    assert found.number == group
    assert (len(found.rotations) > len(space_group(crystal.group).rotations)) == more
    assert has_supergroup(crystal) == more


@pytest.mark.parametrize(
    ("group", "letters", "more"),
    [
        (207, "abcdefghij", True),  # every special position of P432 is one of Pm-3m
        (207, "ak", False),
        (207, "k", False),
        (196, "aeefg", True),
        (196, "ah", False),
        (177, "abcdefghijklm", True),
        (177, "n", False),
        (225, "a", False),
        (225, "c", True),  # 1/4 1/4 1/4 alone: Pm-3m with half the axis
        (1, "a", True),  # one atom: P-1
        (1, "aa", False),
        (2, "i", False),
        (6, "c", True),  # two atoms beside a mirror: P2/m
        (6, "ac", False),
        (99, "a", True),  # 4mm, and one height: P4/mmm
        (99, "ab", False),
    ],
)
def test_positions_with_a_supergroup(group: int, letters: str, more: bool) -> None:
    assert positions_have_supergroup(group, indices(group, letters)) == more


def test_a_general_orbit_beside_another_breaks_every_supergroup() -> None:
    """In all groups, whatever the other is: so the last position can always be drawn again."""
    polar = {"1", "2", "m", "mm2", "4", "4mm", "3", "3m", "6", "6mm"}
    for group in range(1, 231):
        general = len(space_group(group).positions) - 1
        for other in {0, general // 2, general}:
            assert not positions_have_supergroup(group, (other, general)), (group, other)
        alone = positions_have_supergroup(group, (general,))
        assert least_orbits(group) == 1 + alone
        point_group = spglib.get_spacegroup_type(space_group(group).hall_number).pointgroup_international
        assert not alone or point_group in polar, group


def test_the_second_draw_keeps_the_network_s_distribution() -> None:
    """Over the positions that break all supergroups, with the shares that the network gives them."""
    group, n = 16, 4000  # P222: a general orbit u, or pairs of twofold axes
    first = int(tables()["first_position"][group - 1])
    k = len(space_group(group).positions)
    rng = np.random.default_rng(0)
    candidates = first + torch.arange(k).repeat(n, 1)
    logits = torch.from_numpy(np.tile(rng.normal(size=k), (n, 1)))
    revealed = indices(group, "i")[0]
    batch = Batch(
        group=torch.full((n,), group - 1),
        k=torch.zeros(n, 6),
        numbers=torch.zeros(n, 2, dtype=torch.long),
        position=torch.tensor([[first + revealed, 0]]).repeat(n, 1),
        free_coords=torch.zeros(n, 2, 3),
        mask=torch.ones(n, 2, dtype=torch.bool),
    )
    share = torch.softmax(logits[0], 0)
    drawn = candidates[0][torch.multinomial(share.repeat(n, 1), 1, generator=torch.Generator().manual_seed(1))[:, 0]]
    last = torch.ones(n, dtype=torch.long)
    found = break_supergroups(batch, logits, candidates, drawn, last, torch.from_numpy(rng.random(n)))
    good = torch.tensor([not positions_have_supergroup(group, tuple(sorted((revealed, p)))) for p in range(k)])
    assert 1 <= good.sum() < k
    counts = torch.bincount(found - first, minlength=k) / n
    expected = share * good / (share * good).sum()
    assert (counts - expected).abs().max() < 4 * (0.25 / n) ** 0.5
    untouched = break_supergroups(batch, logits, candidates, drawn, -last, torch.from_numpy(rng.random(n)))
    assert torch.equal(untouched, drawn)


HARD = [1, 6, 16, 99, 177, 192, 196, 203, 207, 222]


@pytest.fixture(scope="module")
def untrained() -> SymmCD:
    """Learned nothing: any position is as good as another, so most raw samples of these groups have a supergroup."""
    return random_model(3, small_table())


def test_sampled_crystals_have_exactly_their_group(untrained: SymmCD) -> None:
    def sampled(attempts: int, batch_size: int = 30) -> list[AsymUnit]:
        plan = plan_for(untrained, Request(space_group=tuple(HARD)))
        return list(sample_symmcd(untrained, range(30), plan, 5, replace(FEW, attempts=attempts), batch_size))

    raw, kept = sampled(1), sampled(4)
    more = [has_supergroup(each) for each in raw]
    assert sum(more) > 8
    assert not any(positions_have_supergroup(u.group, tuple(sorted(u.positions.tolist()))) for u in kept)
    assert sum(has_supergroup(each) for each in kept) <= 1
    for one, again in zip(kept, sampled(4, 7), strict=True):
        assert one.positions.tobytes() == again.positions.tobytes()
        assert one.free_coords.tobytes() == again.free_coords.tobytes()
        assert one.lattice.tobytes() == again.lattice.tobytes()


def test_of_bad_attempts_the_least_bad_is_kept(untrained: SymmCD, monkeypatch: pytest.MonkeyPatch) -> None:
    """Apart with a supergroup rather than on top of each other, the earlier of two alike."""
    verdicts = iter([2, 1, 1])
    monkeypatch.setattr("crystaltool.models.symmcd.sampling.faults", lambda _: next(verdicts))
    seen = []
    original = random_unit(225, [0], np.random.default_rng(0))

    def to_units(batch: Batch, names: list[str]) -> list[AsymUnit]:
        seen.append(replace(original, name=f"attempt {len(seen)}"))
        return seen[-1:]

    monkeypatch.setattr("crystaltool.models.symmcd.sampling.to_units", to_units)
    (kept,) = sample_symmcd(
        untrained, [0], plan_for(untrained, Request(space_group=(225,))), 0, replace(FEW, attempts=3), 1
    )
    assert kept.name == "attempt 1"
