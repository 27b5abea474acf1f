"""Sampling: item i depends on (seed, i) alone, an exact denoiser is followed to the data, the best latent is taken."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from crystaltool.diffusion import gaussian, wrapped_normal
from crystaltool.errors import UsageError
from crystaltool.lattice import k_to_matrix, matrix_to_k
from crystaltool.models.mofdiff.draws import draw_item
from crystaltool.models.mofdiff.model import Denoised, MOFDiff
from crystaltool.models.mofdiff.reverse import LARGEST_LOG_CHANGE, RESULT_GRID, CoarseSample
from crystaltool.models.mofdiff.sampler_config import SamplerConfig
from crystaltool.models.mofdiff.sampling import (
    FAR_ENOUGH,
    Decoded,
    best_attempts,
    sample_coarse,
    sample_mofdiff,
    separation,
)
from crystaltool.models.mofdiff.targets import Target, parse_target
from crystaltool.mof.blocks import MAX_BLOCKS, METAL, assert_block, assert_coarse
from tests.models.mofdiff.tiny import SIZES, random_model, small_library

FEW = SamplerConfig(
    calls=5,
    attempts=2,
    kept=2,
    refine_calls=3,
    latent_steps=2,
    draws=5,
    candidates=3,
    candidate_temperature=30.0,
)


@pytest.fixture(scope="module")
def model() -> MOFDiff:
    """Untrained."""
    return random_model(3)


def sampled(
    model: MOFDiff,
    n: int | Sequence[int],
    seed: int = 0,
    batch_size: int = 8,
    config: SamplerConfig = FEW,
    target: Target | None = None,
) -> list[list[Decoded]]:
    indices = range(n) if isinstance(n, int) else n
    return list(sample_mofdiff(model, small_library(), indices, seed, config, batch_size, target))


def flat(attempts: list[list[CoarseSample]]) -> list[CoarseSample]:
    """All attempts at all items."""
    return list(itertools.chain(*attempts))


def assert_same_bits(first: list[list[Decoded]], second: list[list[Decoded]]) -> None:
    assert [[found.rows for found in item] for item in first] == [[found.rows for found in item] for item in second]
    for one, other in zip(itertools.chain(*first), itertools.chain(*second), strict=True):
        assert one.mof.name == other.mof.name
        assert one.mof.lattice.tobytes() == other.mof.lattice.tobytes()
        assert one.mof.centres.tobytes() == other.mof.centres.tobytes()
        assert one.mof.properties == other.mof.properties


@pytest.fixture(scope="module")
def eight(model: MOFDiff) -> list[list[Decoded]]:
    return sampled(model, 8)


def test_samples_are_mofs_of_library_blocks_that_balance(model: MOFDiff, eight: list[list[Decoded]]) -> None:
    assert len(eight) == 8 and sum(map(len, eight)) > 12
    sizes = set()
    for index, item in enumerate(eight):
        for number, decoded in enumerate(item):
            mof = decoded.mof
            assert_coarse(mof)
            assert mof.name == f"mofdiff-s0-{index:06d}" and mof.properties["candidate"] == number
            assert mof.rotations is None and mof.connections is None
            assert 2 <= mof.n_blocks <= MAX_BLOCKS and mof.centres.min() >= 0 and mof.centres.max() < 1
            assert mof.lattice[0, 1] == mof.lattice[0, 2] == mof.lattice[1, 2] == 0
            for block, row in zip(mof.blocks, decoded.rows, strict=True):
                assert_block(block)
                np.testing.assert_array_equal(block.cart_coords, small_library().block(row).cart_coords)
            points = [b.n_connections if b.kind == METAL else -b.n_connections for b in mof.blocks]
            assert sum(points) == 0 and max(points) > 0
            assert mof.properties.keys() == {
                "candidate",
                "decoding_score",
                *(f"predicted_{name}" for name in SIZES.properties),
            }
            sizes.add(mof.n_blocks)
        assert len({(decoded.rows, decoded.mof.centres.tobytes()) for decoded in item}) == len(item) <= FEW.candidates
        assert len({decoded.mof.n_blocks for decoded in item}) <= 1
    assert len(sizes) > 3


@pytest.mark.parametrize("batch_size", [1, 3])
def test_results_do_not_depend_on_the_batch(model: MOFDiff, eight: list[list[Decoded]], batch_size: int) -> None:
    assert_same_bits(sampled(model, 8, batch_size=batch_size), eight)


def test_items_can_be_drawn_alone(model: MOFDiff, eight: list[list[Decoded]]) -> None:
    assert_same_bits(sampled(model, [7, 2], batch_size=2), [eight[7], eight[2]])


def test_batches_differ_by_far_less_than_the_grid(model: MOFDiff, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bits rest on a margin: without the grid, batches agree to a thousandth of it."""
    monkeypatch.setattr("crystaltool.models.mofdiff.reverse.RESULT_GRID", 1e-14)
    together = flat(sample_coarse(model, range(6), 0, FEW)[0])
    for index in (0, 4):
        alone = sample_coarse(model, [index], 0, FEW)[0][0][1]
        for name in ("lattice", "centres", "embeddings", "kinds", "connections"):
            apart = getattr(alone, name) - getattr(together[2 * index + 1], name)
            apart = (apart + 0.5) % 1 - 0.5 if name == "centres" else apart
            assert np.abs(apart).max() < 1e-3 * RESULT_GRID, name


def test_seeds_and_items_differ_and_repeat(model: MOFDiff) -> None:
    first, again, other = (sampled(model, 3, seed) for seed in (1, 1, 2))
    assert_same_bits(first, again)
    cells = {item[0].mof.lattice.tobytes() for item in first + other if item}
    assert len(cells) == len([item for item in first + other if item]) >= 5


# ---- random numbers


def test_random_numbers_belong_to_seed_and_item(model: MOFDiff) -> None:
    first, again = draw_item(model, FEW, 3, 7, 1), draw_item(model, FEW, 3, 7, 1)
    for field in fields(first):
        if field.name != "decoding":
            np.testing.assert_array_equal(getattr(first, field.name), getattr(again, field.name))
    assert first.decoding.random() == again.decoding.random()
    others = [draw_item(model, FEW, *key, 1) for key in ((3, 8), (4, 7), (7, 3), (2**63 - 1, 0))]
    assert len({draw.n_blocks for draw in [first, *others]}) == 5
    assert len({draw.k[0] for draw in [first, *others]}) == 5
    assert len({draw.decoding.random() for draw in [first, *others]}) == 5


def test_decodings_are_drawn_alike_whatever_came_before(model: MOFDiff) -> None:
    """Calls and latents may differ in number; the random numbers of decoding stay."""
    draws = [draw_item(model, replace(FEW, calls=calls), 0, 1, n) for calls, n in ((2, 1), (50, 64))]
    assert draws[0].decoding.random() == draws[1].decoding.random()


def test_numbers_of_blocks_are_those_of_the_head(model: MOFDiff) -> None:
    head = model.n_blocks_head[-1]
    saved = head.bias.clone()
    try:
        for wanted, found in ((7, 7), (20, 20), (0, None), (1, None)):
            with torch.no_grad():
                head.bias.copy_(saved)
                head.bias[wanted] += 1e4
            counts = [len(sample.centres) for sample in flat(sample_coarse(model, range(5), 0, FEW)[0])]
            # A MOF of no or one block does not exist: drawn from what is left.
            assert counts == [found] * 10 if found else min(counts) >= 2
    finally:
        with torch.no_grad():
            head.bias.copy_(saved)


# ---- attempts


def coarse(lattice: np.ndarray, centres: np.ndarray) -> CoarseSample:
    n = len(centres)
    return CoarseSample(lattice, centres, np.zeros((n, 32)), np.zeros((n, 3)), np.zeros((n, 21)), {})


def test_attempts_share_a_latent_and_nothing_else(model: MOFDiff) -> None:
    samples, z = sample_coarse(model, range(3), 0, replace(FEW, attempts=3))
    assert len(z) == len(samples) == 3
    for item in samples:
        assert len({len(sample.centres) for sample in item}) == 1
        assert len({sample.predicted["co2_wc"] for sample in item}) == 1
        assert len({sample.centres.tobytes() for sample in item}) == len({s.lattice.tobytes() for s in item}) == 3


def test_the_first_attempt_is_what_one_attempt_gives(model: MOFDiff) -> None:
    several, one = (flat(sample_coarse(model, range(2), 0, replace(FEW, attempts=n, kept=1))[0]) for n in (3, 1))
    for first, second in zip(several[::3], one, strict=True):
        assert first.centres.tobytes() == second.centres.tobytes()


def test_separation_is_the_nearest_pair_over_all_images() -> None:
    """By hand: 2 A across the face of a skew cell of 1,000 A^3, two blocks, cube root of 500 A^3."""
    cell = np.array([[10.0, 0, 0], [30.0, 10.0, 0], [-20.0, 40.0, 10.0]])
    found = separation(coarse(cell, np.array([[0.9, 0.2, 0.3], [0.1, 0.2, 0.3]])))
    assert found == pytest.approx(2.0 / 500 ** (1 / 3))
    twice = separation(coarse(2 * cell, np.array([[0.9, 0.2, 0.3], [0.1, 0.2, 0.3]])))
    assert twice == pytest.approx(found)


def test_attempts_with_blocks_far_apart_are_decoded_first() -> None:
    cell = np.eye(3) * 10
    samples = [coarse(cell, np.array([[0.0, 0, 0], [x, 0, 0]])) for x in (0.05, 0.42, 0.2, 0.5)]
    assert [separation(s) for s in samples] == pytest.approx([0.063, 0.529, 0.252, 0.63], abs=1e-3)
    assert FAR_ENOUGH < 0.529
    chosen = [float(sample.centres[1, 0]) for sample in best_attempts(samples, 3)]
    assert chosen == [0.42, 0.5, 0.2]  # far enough is as good as farther


# ---- the reverse process


class Exact:
    """`denoise` for data that are these MOFs and nothing else."""

    def __init__(self, model: MOFDiff, centres: Tensor, embeddings: Tensor, k: Tensor) -> None:
        self.model, self.centres, self.embeddings, self.k, self.calls = model, centres, embeddings, k, 0

    def __call__(self, z: Tensor, guess: Tensor, u: Tensor, e: Tensor, k: Tensor, t: Tensor, mask: Tensor) -> Denoised:
        self.calls += 1
        width = mask.shape[1]
        sigma_u, sigma_e, sigma_k = self.model.sigmas(t)
        eye = torch.eye(3, dtype=torch.float64).expand(len(z) * width, 3, 3)
        used = torch.ones(len(z) * width, 3, dtype=torch.bool)
        displacement = wrapped_normal.mean_displacement(
            (u - self.centres[:, :width]).flatten(0, 1), sigma_u.repeat_interleave(width), eye, used
        ).view_as(u)
        k_0 = (self.k - guess) / self.model.config.cell_residual
        return Denoised(
            displacement / (sigma_u * wrapped_normal.score_scale(sigma_u))[:, None, None],
            gaussian.target(self.embeddings[:, :width], e, sigma_e[:, None, None]),
            gaussian.target(k_0, k, sigma_k[:, None]),
            torch.zeros(len(z), width, 3, dtype=torch.float64),
            torch.zeros(len(z), width, 21, dtype=torch.float64),
        )


@pytest.mark.parametrize("churn", [0.0, 0.3])
def test_an_exact_denoiser_is_followed_to_the_data(
    model: MOFDiff, monkeypatch: pytest.MonkeyPatch, churn: float
) -> None:
    generator = torch.Generator().manual_seed(0)
    centres = torch.rand(4, MAX_BLOCKS, 3, generator=generator, dtype=torch.float64)
    embeddings = torch.randn(4, MAX_BLOCKS, SIZES.n_embedding, generator=generator, dtype=torch.float64)
    k = 0.2 * torch.randn(4, 6, generator=generator, dtype=torch.float64)
    k[:, 5] += 2.5
    exact = Exact(model, centres, embeddings, k)
    monkeypatch.setattr(model, "denoise", exact)
    found = flat(sample_coarse(model, range(4), 0, replace(FEW, calls=20, churn=churn, attempts=1, kept=1))[0])
    assert exact.calls == 20
    for row, sample in enumerate(found):
        n = len(sample.centres)
        apart = (sample.centres - centres[row, :n].numpy() + 0.5) % 1 - 0.5
        assert np.abs(apart).max() < 2 * RESULT_GRID
        np.testing.assert_allclose(sample.embeddings, embeddings[row, :n].numpy(), atol=1e-8)
        np.testing.assert_allclose(matrix_to_k(sample.lattice), k[row].numpy(), atol=2 * RESULT_GRID)


def test_calls_are_as_many_as_asked_for(model: MOFDiff, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    original = model.denoiser.forward
    monkeypatch.setattr(model.denoiser, "forward", lambda *a, **k: (made.append(1), original(*a, **k))[1])
    sampled(model, 2, config=replace(FEW, calls=9, refine_calls=0))
    assert len(made) == 9
    made.clear()
    sampled(model, 2, config=replace(FEW, calls=9, refine_calls=5))
    assert len(made) == 14  # all candidates of all items are refined as one batch


def test_a_network_that_asks_for_impossible_cells_gets_possible_ones(model: MOFDiff) -> None:
    """Whatever it says far from its training data, one MOF may not end the run, nor take hours of memory."""
    for head in (model.denoiser.cell_out[-1], model.k_head[-1]):
        saved = head.bias.clone()
        try:
            for change in (1e6, -1e6):
                with torch.no_grad():
                    head.bias.copy_(saved + change)
                for sample in flat(sample_coarse(model, range(3), 0, replace(FEW, calls=4))[0]):
                    usual = model.absolute_k(torch.zeros(1, 6), torch.tensor([len(sample.centres)]))[0]
                    k = matrix_to_k(sample.lattice)
                    assert np.abs(k - usual.numpy()).max() < LARGEST_LOG_CHANGE + 1e-5
                    assert np.linalg.det(sample.lattice) > 1 and np.isfinite(sample.centres).all()
        finally:
            with torch.no_grad():
                head.bias.copy_(saved)


def test_the_bounds_of_cells_leave_those_of_the_data_alone() -> None:
    """A cell at the bound of one component: seven times as long as wide, far beyond any MOF."""
    lengths = np.linalg.norm(k_to_matrix(np.array([0, 0, 0, 0, LARGEST_LOG_CHANGE / 2, 0])), axis=1)
    assert lengths.max() / lengths.min() > 5


# ---- targets


@pytest.mark.parametrize("target", [Target("co2_wc", None), Target("density", 0.9)], ids=["max", "value"])
def test_the_latent_is_the_best_of_its_draws(model: MOFDiff, target: Target) -> None:
    column = SIZES.properties.index(target.name)
    samples, z = sample_coarse(model, range(4), 0, FEW, target)
    for index, (sample, _) in enumerate(samples):
        noise = torch.from_numpy(draw_item(model, FEW, 0, index, FEW.draws).latent)
        with torch.no_grad():
            latents = model.draw_latent(noise, FEW.latent_steps)
            values = model.predict_properties(latents)[:, column]
        best = int(values.argmax() if target.value is None else (values - target.value).abs().argmin())
        assert len(set(values.tolist())) > 1
        torch.testing.assert_close(z[index], latents[best], atol=1e-9, rtol=0)
        assert sample.predicted[target.name] == pytest.approx(float(values[best]), abs=2 * RESULT_GRID)


def test_more_draws_come_nearer(model: MOFDiff) -> None:
    found = [
        np.mean(
            [
                sample.predicted["co2_wc"]
                for sample, _ in sample_coarse(model, range(6), 0, replace(FEW, calls=2, draws=draws), target)[0]
            ]
        )
        for draws, target in ((1, None), (4, Target("co2_wc", None)), (40, Target("co2_wc", None)))
    ]
    assert found[0] < found[1] < found[2]


def test_predicted_values_travel_with_each_structure(model: MOFDiff) -> None:
    (samples, _), target = sample_coarse(model, range(3), 0, FEW, Target("density", 1.0)), Target("density", 1.0)
    for (sample, _), item in zip(samples, sampled(model, 3, target=target), strict=True):
        for decoded in item:
            assert decoded.mof.properties["predicted_density"] == sample.predicted["density"]
            assert decoded.mof.properties["predicted_co2_wc"] == sample.predicted["co2_wc"]


def test_targets_as_text() -> None:
    names = ("co2_wc", "density")
    assert parse_target("co2_wc=3.0", names) == Target("co2_wc", 3.0)
    assert parse_target("density=max", names) == Target("density", None)
    assert parse_target("density=-1e-3", names) == Target("density", -1e-3)
    for text in ("co2_wc", "", "=3", "pld=3", "co2_wc=", "co2_wc=much", "co2_wc=nan", "co2_wc=inf", "CO2_WC=1", "=max"):
        with pytest.raises(UsageError) as caught:
            parse_target(text, names)
        assert repr(text) in str(caught.value) and "\n" not in str(caught.value)


# ---- settings


@pytest.mark.parametrize(
    "changes",
    [
        {"calls": 1},
        {"refine_calls": -1},
        {"refine_time": 0.0},
        {"candidates": 0},
        {"attempts": 0},
        {"kept": 0},
        {"kept": 7},
        {"draws": 0},
        {"latent_steps": 0},
        {"spread": 0.0},
        {"spread": math.inf},
        {"time_power": math.nan},
        {"churn": -1.0},
        {"latent_temperature": math.nan},
        {"candidate_temperature": -0.1},
        {"penalties": ()},
        {"penalties": (-1.0,)},
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(changes: dict) -> None:
    with pytest.raises(UsageError, match=next(iter(changes))):
        SamplerConfig(**changes)


def test_latent_temperature_narrows(model: MOFDiff) -> None:
    cold, hot = (sample_coarse(model, range(8), 0, replace(FEW, calls=2, latent_temperature=t))[1] for t in (0.1, 1.0))
    assert cold.std(0).mean() < hot.std(0).mean()
