"""Sampling: item i depends on (seed, i) alone, every group gives a legal crystal, what has no freedom is used once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from crystaltool.asymunit import AsymUnit, expand
from crystaltool.batch import Batch
from crystaltool.diffusion import gaussian, wrapped_normal
from crystaltool.errors import UsageError
from crystaltool.lattice import constrain_k, matrix_to_k
from crystaltool.models.symmcd.checkpoint import LoadedSymmCD
from crystaltool.models.symmcd.model import SymmCD
from crystaltool.models.symmcd.plan import Plan, orbit_distribution
from crystaltool.models.symmcd.representation import free_components
from crystaltool.models.symmcd.request import Request
from crystaltool.models.symmcd.sampling import (
    RESULT_GRID,
    GeometryNoise,
    SamplerConfig,
    _denoise,
    clashes,
    draw_item,
    faults,
    plan_for,
    sample_batch,
    sample_symmcd,
)
from crystaltool.models.symmcd.validation import validate_by_sampling
from crystaltool.symmetry import space_group
from tests.models.tiny import batch_of, random_model, random_units, small_table, textbook_table

FEW = SamplerConfig(calls=8, attempts=1)

KEY_GRID = 2e5
"""Points are compared as integers: coordinates lie on a grid of 1e-6 plus multiples of 1/24, exact to 1e-15."""


def sampled(
    model: SymmCD, n: int, groups: Sequence[int] = (), seed: int = 0, batch_size: int = 17, config: SamplerConfig = FEW
) -> list[AsymUnit]:
    plan = plan_for(model, Request(space_group=tuple(groups)))
    return list(sample_symmcd(model, range(n), plan, seed, config, batch_size))


def assert_same_bits(first: list[AsymUnit], second: list[AsymUnit]) -> None:
    assert [unit.name for unit in first] == [unit.name for unit in second]
    for one, other in zip(first, second, strict=True):
        assert one.group == other.group
        for name in ("lattice", "numbers", "positions", "free_coords"):
            assert getattr(one, name).tobytes() == getattr(other, name).tobytes(), (one.name, name)


def keys(points: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """One integer per atom, equal for equal atoms; sorted along the last axis."""
    # The offset keeps every coordinate that can occur away from where rounding changes.
    cell = np.floor((points % 1.0) * KEY_GRID + 0.34).astype(np.int64) % int(KEY_GRID)
    return np.sort(
        ((cell[..., 0] * int(KEY_GRID) + cell[..., 1]) * int(KEY_GRID) + cell[..., 2]) * 128 + numbers, axis=-1
    )


def assert_legal(unit: AsymUnit) -> None:
    """Every operation of the group maps the crystal onto itself, the cell is the group's, no site is used twice."""
    group, crystal = space_group(unit.group), expand(unit)
    images = np.einsum("oij,nj->oni", group.rotations, crystal.frac_coords) + group.translations[:, None]
    mapped = keys(images, crystal.numbers)
    assert (mapped == keys(crystal.frac_coords, crystal.numbers)).all(), unit.name
    assert len(crystal.numbers) == unit.multiplicities.sum()
    k = matrix_to_k(unit.lattice)
    np.testing.assert_allclose(constrain_k(k, unit.group), k, atol=1e-9)
    assert np.isfinite(unit.lattice).all() and np.linalg.det(unit.lattice) > 0
    assert (unit.numbers >= 1).all() and (unit.numbers <= 94).all()
    assert (unit.free_coords >= 0).all() and (unit.free_coords < 1).all()
    freedom = np.array([group.positions[index].degrees_of_freedom for index in unit.positions])
    assert not unit.free_coords[np.arange(3) >= freedom[:, None]].any()
    fixed = unit.positions[freedom == 0]
    assert len(set(fixed.tolist())) == len(fixed), unit.name


@pytest.fixture(scope="module")
def untrained() -> SymmCD:
    """Has counted crystals of one to three orbits and learned nothing."""
    return random_model(3, small_table())


def test_results_do_not_depend_on_the_batch(overfitted: LoadedSymmCD) -> None:
    every = sampled(overfitted.model, 20, batch_size=20)
    assert len({unit.group for unit in every}) >= 4
    for batch_size in (1, 3, 17):
        assert_same_bits(sampled(overfitted.model, 20, batch_size=batch_size), every)
    some = list(sample_symmcd(overfitted.model, [13, 4, 19], plan_for(overfitted.model), 0, FEW, 2))
    assert_same_bits(some, [every[13], every[4], every[19]])


def test_batches_differ_by_far_less_than_the_grid(overfitted: LoadedSymmCD, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bits rest on a margin: without the grid, batches agree to a ten-thousandth of it."""
    monkeypatch.setattr("crystaltool.models.symmcd.sampling.RESULT_GRID", 1e-14)
    draws = [draw_item(plan_for(overfitted.model), 0, index, FEW.split()[2]) for index in range(16)]
    together = sample_batch(overfitted.model, draws, FEW)
    for i in range(0, 16, 3):
        alone = sample_batch(overfitted.model, [draws[i]], FEW)
        m = draws[i].n_orbits
        apart = (alone.free_coords[0, :m] - together.free_coords[i, :m] + 0.5) % 1 - 0.5
        assert apart.abs().max() < 1e-4 * RESULT_GRID
        assert (alone.k[0] - together.k[i]).abs().max() < 1e-4 * RESULT_GRID


def test_seeds_and_items_differ_and_repeat(overfitted: LoadedSymmCD) -> None:
    first, again, other = (sampled(overfitted.model, 6, [225], seed) for seed in (1, 1, 2))
    assert_same_bits(first, again)
    cells = {unit.lattice.tobytes() for unit in first + other}
    assert len(cells) == 12
    assert [unit.name for unit in other] == [f"symmcd-sg225-s2-{i:06d}" for i in range(6)]


def test_every_group_gives_a_legal_crystal_from_an_untrained_model(untrained: SymmCD) -> None:
    """222 of the groups were never seen; one crystal of each."""
    units = sampled(untrained, 230, range(1, 231), batch_size=230, config=SamplerConfig(calls=5, attempts=1))
    assert [unit.group for unit in units] == list(range(1, 231))
    assert len({len(unit.numbers) for unit in units}) == 3
    for unit in units:
        assert_legal(unit)


def test_an_operation_too_many_is_noticed(untrained: SymmCD) -> None:
    """The oracle fails where it must: an atom off its position by the grid of the keys."""
    unit = next(
        u for u in sampled(untrained, 20, [225]) if (space_group(225).positions[u.positions[0]].multiplicity > 24)
    )
    assert_legal(unit)
    crystal = expand(unit)
    group = space_group(225)
    points = crystal.frac_coords.copy()
    points[0] += 2e-5
    images = np.einsum("oij,nj->oni", group.rotations, points) + group.translations[:, None]
    assert not (keys(images, crystal.numbers) == keys(points, crystal.numbers)).all()


@pytest.mark.parametrize("group", [2, 47, 123, 221, 225])
def test_positions_without_freedom_hold_one_orbit_each(
    untrained: SymmCD, group: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that wants nothing else, and two orbits more than there are such positions: each is used, and once."""
    fixed = [i for i, position in enumerate(space_group(group).positions) if position.degrees_of_freedom == 0]
    counts = torch.zeros(230, 65, dtype=torch.float64)
    counts[group - 1, len(fixed) + 2] = 1
    freedom = untrained.symmetry().freedom

    def eager(h: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
        return (30.0 * (freedom[candidates] == 0)).double()[:, None].expand(-1, h.shape[1], -1)

    monkeypatch.setattr(untrained.sites, "position_logits", eager)
    monkeypatch.setitem(untrained._buffers, "orbit_counts", counts)
    for calls in (3, 16):
        for unit in sampled(untrained, 6, [group], config=SamplerConfig(calls=calls, attempts=1)):
            assert len(unit.positions) == len(fixed) + 2
            assert sorted(i for i in unit.positions.tolist() if i in fixed) == fixed


def test_an_overfitted_model_gives_the_crystals_back(overfitted: LoadedSymmCD) -> None:
    """Sites, elements and cell, from nothing but the number of the group."""
    for name in ("halite", "pyrite"):
        truth = next(unit for unit in textbook_table() if unit.name == name)
        sites = sorted(zip(truth.positions.tolist(), truth.numbers.tolist(), strict=True))
        units = sampled(overfitted.model, 20, [truth.group], config=SamplerConfig(calls=16))
        hits = [u for u in units if sorted(zip(u.positions.tolist(), u.numbers.tolist(), strict=True)) == sites]
        assert len(hits) > 14, name
        volumes = [np.linalg.det(unit.lattice) for unit in hits]
        assert np.median(volumes) == pytest.approx(np.linalg.det(truth.lattice), rel=0.05)


@pytest.mark.parametrize("churn", [0.0, 1.5])
def test_a_network_that_knows_the_answer_ends_at_it(
    untrained: SymmCD, churn: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the network's place the exact posterior for one crystal a group: the sampler undoes what the losses define."""
    truth = batch_of([unit for unit in random_units(np.random.default_rng(8)) if unit.group in (62, 186, 225)])
    exact = Exact(untrained, truth)
    draws = [draw_item(Plan(np.ones((230, 2))), 0, index, 20) for index in range(len(truth.group))]
    noise = GeometryNoise(
        torch.rand(truth.free_coords.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64),
        torch.from_numpy(np.stack([draw.k for draw in draws])),
        [torch.randn(truth.free_coords.shape, dtype=torch.float64) * truth.mask[..., None] for _ in range(20)],
        torch.from_numpy(np.stack([draw.churn_k for draw in draws], axis=1)),
    )
    monkeypatch.setattr(untrained, "denoise_geometry", exact)
    found = _denoise(untrained, truth, noise, SamplerConfig(churn=churn))
    apart = (found.free_coords - truth.free_coords + 0.5) % 1 - 0.5
    assert (apart.abs() * truth.mask[..., None]).max() < 2 * RESULT_GRID
    free = free_components(untrained.symmetry().system[truth.group])
    assert ((found.k - truth.k).abs() * free).max() < 2 * RESULT_GRID
    assert exact.calls == 20


class Exact:
    """`denoise_geometry` for data that are these crystals and nothing else."""

    def __init__(self, model: SymmCD, truth: Batch) -> None:
        self.model, self.truth, self.calls = model, truth, 0

    def __call__(self, batch: Batch, u: torch.Tensor, k: torch.Tensor, sigma_u: torch.Tensor, sigma_k: torch.Tensor):
        self.calls += 1
        mean, scale = self.model.cell_reference(batch)
        free = torch.arange(3) < self.model.symmetry().freedom[batch.position][..., None]
        inverse = self.model.noise_inverse[batch.position]
        displacement = wrapped_normal.mean_displacement(
            ((u - self.truth.free_coords) * free).flatten(0, 1),
            sigma_u.repeat_interleave(u.shape[1]),
            inverse.flatten(0, 1),
            free.flatten(0, 1),
        ).view_as(u)
        k_0 = (self.truth.k - mean) / scale
        return (
            displacement / (sigma_u * wrapped_normal.score_scale(sigma_u))[:, None, None],
            gaussian.target(k_0, k, sigma_k[:, None]),
        )


def test_a_network_that_asks_for_impossible_cells_gets_possible_ones(untrained: SymmCD) -> None:
    """Whatever it says of a group that it has never seen, one structure may not end the run."""
    head = untrained.geometry.cell_out[-1]
    saved = head.bias.clone()
    try:
        for sign in (1, -1):
            with torch.no_grad():
                head.bias.copy_(saved + sign * 1e6)
            for unit in sampled(untrained, 14, [1, 2, 5, 16, 75, 143, 195], config=SamplerConfig(calls=5, attempts=1)):
                assert_legal(unit)
    finally:
        with torch.no_grad():
            head.bias.copy_(saved)


# ---- what is drawn from the data


def test_groups_are_drawn_as_often_as_they_occur() -> None:
    counts = np.zeros((230, 5))
    counts[224, 2], counts[1, 4], counts[1, 1] = 60, 30, 10
    draws = [draw_item(Plan(counts), 0, index) for index in range(2000)]
    found = {key: sum((d.group, d.n_orbits) == key for d in draws) / 2000 for key in ((224, 2), (1, 4), (1, 1))}
    assert sum(found.values()) == 1.0
    assert found[224, 2] == pytest.approx(0.6, abs=0.04) and found[1, 1] == pytest.approx(0.1, abs=0.03)


def test_number_of_orbits_of_a_group_never_seen() -> None:
    """That of its crystal system; where the data have none of it, that of everything."""
    counts = np.zeros((230, 5))
    counts[224, 2], counts[195, 3], counts[0, 4] = 3, 1, 4
    np.testing.assert_allclose(orbit_distribution(counts, 224), [0, 0, 1, 0, 0])
    np.testing.assert_allclose(orbit_distribution(counts, 220), [0, 0, 0.75, 0.25, 0])
    np.testing.assert_allclose(orbit_distribution(counts, 100), [0, 0, 3 / 8, 1 / 8, 4 / 8])


def test_groups_asked_for_come_in_turn() -> None:
    counts = np.ones((230, 3))
    assert [draw_item(Plan(counts, Request(space_group=(225, 14))), 0, index).group + 1 for index in range(5)] == [
        225,
        14,
        225,
        14,
        225,
    ]


def test_calls_are_all_spent() -> None:
    for calls in (3, 4, 7, 50, 333):
        parts = SamplerConfig(calls=calls).split()
        assert sum(parts) == calls and min(parts) >= 1
    with pytest.raises(UsageError, match="at least 3"):
        SamplerConfig(calls=2).split()


@pytest.mark.parametrize(
    "changes", [{"attempts": 0}, {"churn": -1.0}, {"churn": float("nan")}, {"element_temperature": 0.0}], ids=str
)
def test_settings_out_of_range_are_refused(changes: dict) -> None:
    with pytest.raises(UsageError):
        SamplerConfig(**changes)


def test_a_structure_with_coinciding_atoms_is_drawn_again(untrained: SymmCD) -> None:
    """The first attempt is the raw sample; a later one is another draw of the same group."""
    raw, again = (sampled(untrained, 15, [1, 2, 3], config=replace(FEW, attempts=attempts)) for attempts in (1, 4))
    same = [one.free_coords.tobytes() == other.free_coords.tobytes() for one, other in zip(raw, again, strict=True)]
    bad = [faults(unit) > 0 for unit in raw]
    assert all(same[i] for i in range(15) if not bad[i]) and not all(same) and 0 < sum(bad) < 15
    assert sum(clashes(unit) for unit in again) < sum(clashes(unit) for unit in raw)
    assert all(a.group == b.group for a, b in zip(raw, again, strict=True))
    assert_same_bits(sampled(untrained, 15, [1, 2, 3], batch_size=3, config=replace(FEW, attempts=4)), again)


def test_calls_are_not_exceeded(untrained: SymmCD, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for part in (untrained.sites, untrained.geometry):
        original = part.forward
        monkeypatch.setattr(part, "forward", lambda *a, f=original, **k: (made.append(1), f(*a, **k))[1])
    sampled(untrained, 5, config=SamplerConfig(calls=9, attempts=1))
    assert 3 <= len(made) <= 9


# ---- validation by sampling


def test_validation_repeats_and_knows_what_it_has_seen(overfitted: LoadedSymmCD) -> None:
    first = validate_by_sampling(overfitted.model, small_table(), 10, 0)
    assert first == validate_by_sampling(overfitted.model, small_table(), 10, 0)
    assert first.keys() == {"structure_valid", "contacts_valid", "composition_valid", "valid", "score"}
    assert first["score"] <= first["valid"] <= min(first["contacts_valid"], first["composition_valid"])
    # Against a table of its own samples nothing is new.
    from crystaltool.asymunit import tabulate

    own = tabulate(
        list(sample_symmcd(overfitted.model, range(10), plan_for(overfitted.model), 0, SamplerConfig(attempts=1), 10))
    )
    assert validate_by_sampling(overfitted.model, own, 10, 0) == {**first, "score": 0.0}


def test_temperature_sharpens(untrained: SymmCD) -> None:
    def kinds(config: SamplerConfig) -> int:
        return len({tuple(unit.numbers.tolist()) for unit in sampled(untrained, 15, [225], config=config)})

    assert kinds(replace(FEW, element_temperature=0.01)) < kinds(FEW)
