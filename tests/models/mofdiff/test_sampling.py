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
from crystaltool.models.block_encoder.library import Library
from crystaltool.models.mofdiff.draws import draw_item, draw_noise
from crystaltool.models.mofdiff.model import MOFDiff
from crystaltool.models.mofdiff.properties import predict_mofs
from crystaltool.models.mofdiff.reverse import LARGEST_LOG_CHANGE, RESULT_GRID
from crystaltool.models.mofdiff.sampler_config import SamplerConfig
from crystaltool.models.mofdiff.sampling import (
    CoarseSampler,
    Decoded,
    find_blocks,
    place_blocks,
)
from crystaltool.models.mofdiff.states import CoarseSample, Denoised, Noisy, Places
from crystaltool.models.mofdiff.targets import Target, parse_target
from crystaltool.mof.blocks import MAX_BLOCKS, NODE, assert_block, assert_coarse
from tests.models.mofdiff.tiny import SIZES, random_model, small_library

FEW = SamplerConfig(calls=5, latent_steps=2, draws=5, candidates=5, candidate_temperature=30.0, placings=3)


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
    return list(CoarseSampler(model, small_library(), config, seed, target).sample(indices, batch_size))


def found_blocks(
    model: MOFDiff, indices: Sequence[int], config: SamplerConfig = FEW, target: Target | None = None
) -> tuple[list[CoarseSample], Tensor]:
    """What `find_blocks` makes of some items of seed 0."""
    draws = [draw_item(model, 0, index, config.draws if target else 1) for index in indices]
    return find_blocks(model, draws, [draw_noise(model, config, 0, index, 0) for index in indices], config, target)


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
            points = [b.n_connections if b.kind == NODE else -b.n_connections for b in mof.blocks]
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
    together = found_blocks(model, range(6))[0]
    for index in (0, 4):
        alone = found_blocks(model, [index])[0][0]
        for name in ("lattice", "centres", "embeddings", "kinds", "connections"):
            apart = getattr(alone, name) - getattr(together[index], name)
            apart = (apart + 0.5) % 1 - 0.5 if name == "centres" else apart
            assert np.abs(apart).max() < 1e-3 * RESULT_GRID, name


def test_seeds_and_items_differ_and_repeat(model: MOFDiff) -> None:
    first, again, other = (sampled(model, 3, seed) for seed in (1, 1, 2))
    assert_same_bits(first, again)
    cells = {item[0].mof.lattice.tobytes() for item in first + other if item}
    assert len(cells) == len([item for item in first + other if item]) >= 5


# ---- random numbers


def test_random_numbers_belong_to_seed_item_and_trajectory(model: MOFDiff) -> None:
    first, again = draw_noise(model, FEW, 3, 7, 1), draw_noise(model, FEW, 3, 7, 1)
    for field in fields(first):
        np.testing.assert_array_equal(getattr(first, field.name), getattr(again, field.name))
    keys = ((3, 7, 0), (3, 7, 2), (3, 8, 1), (4, 7, 1), (7, 3, 1), (2**63 - 1, 0, 1))
    others = [draw_noise(model, FEW, *key) for key in keys]
    for field in fields(first):
        assert len({getattr(noise, field.name).tobytes() for noise in [first, *others]}) == 7
    items = [draw_item(model, *key[:2], 1) for key in keys[1:]]
    assert len({item.n_blocks for item in items}) == len({item.decoding.random() for item in items}) == 5


def test_decodings_are_drawn_alike_whatever_came_before(model: MOFDiff) -> None:
    """Latents may differ in number; the random numbers of decoding stay."""
    draws = [draw_item(model, 0, 1, n) for n in (1, 64)]
    assert draws[0].decoding.random() == draws[1].decoding.random()


def test_numbers_of_blocks_are_those_of_the_head(model: MOFDiff) -> None:
    head = model.n_blocks_head[-1]
    saved = head.bias.clone()
    try:
        for wanted, found in ((7, 7), (20, 20), (0, None), (1, None)):
            with torch.no_grad():
                head.bias.copy_(saved)
                head.bias[wanted] += 1e4
            counts = [len(sample.centres) for sample in found_blocks(model, range(5))[0]]
            # A MOF of no or one block does not exist: drawn from what is left.
            assert counts == [found] * 5 if found else min(counts) >= 2
    finally:
        with torch.no_grad():
            head.bias.copy_(saved)


# ---- places


def test_placings_are_the_decodings_own_and_go_round(model: MOFDiff, eight: list[list[Decoded]]) -> None:
    """Even decodings to the same blocks are placed each by itself: the noise is theirs."""
    assert max(map(len, eight)) == FEW.candidates > FEW.placings
    for item in eight:
        cells, centres = ([getattr(found.mof, name).tobytes() for found in item] for name in ("lattice", "centres"))
        for places in (cells, centres):
            assert len(set(places)) == min(len(item), FEW.placings)
            assert places == [places[number % FEW.placings] for number in range(len(item))]
    (_, z), rows = found_blocks(model, [0]), np.zeros((4, SIZES.n_embedding))
    same = place_blocks(model, z[[0, 0]], [rows, rows], [draw_noise(model, FEW, 0, 0, n) for n in (1, 2)], FEW)
    assert same[0].centres.tobytes() != same[1].centres.tobytes()


def test_the_first_decodings_do_not_depend_on_how_many_follow(model: MOFDiff, eight: list[list[Decoded]]) -> None:
    for one, several in zip(sampled(model, 8, config=replace(FEW, candidates=1)), eight, strict=True):
        assert_same_bits([one], [several[:1]])


# ---- the reverse process


class Exact:
    """`denoise` for data that are these MOFs and nothing else."""

    def __init__(self, model: MOFDiff, centres: Tensor, embeddings: Tensor, k: Tensor) -> None:
        self.model, self.centres, self.embeddings, self.k, self.calls = model, centres, embeddings, k, 0

    def __call__(self, places: Places, noisy: Noisy) -> Denoised:
        self.calls += 1
        n, width = places.mask.shape
        sigma_u, sigma_e, sigma_k = self.model.sigmas(noisy.t)
        eye = torch.eye(3, dtype=torch.float64).expand(n * width, 3, 3)
        used = torch.ones(n * width, 3, dtype=torch.bool)
        displacement = wrapped_normal.mean_displacement(
            (noisy.u - self.centres[:, :width]).flatten(0, 1), sigma_u.repeat_interleave(width), eye, used
        ).view_as(noisy.u)
        k_0 = (self.k - places.guess) / self.model.config.cell_residual
        return Denoised(
            displacement / (sigma_u * wrapped_normal.score_scale(sigma_u))[:, None, None],
            gaussian.target(self.embeddings[:, :width], noisy.e, sigma_e[:, None, None]),
            gaussian.target(k_0, noisy.k, sigma_k[:, None]),
            torch.zeros(n, width, 3, dtype=torch.float64),
            torch.zeros(n, width, 21, dtype=torch.float64),
        )


@pytest.fixture
def exact(model: MOFDiff, monkeypatch: pytest.MonkeyPatch) -> Exact:
    """In the place of the model's own `denoise`."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.rand(4, MAX_BLOCKS, 3, generator=generator, dtype=torch.float64)
    embeddings = torch.randn(4, MAX_BLOCKS, SIZES.n_embedding, generator=generator, dtype=torch.float64)
    k = 0.2 * torch.randn(4, 6, generator=generator, dtype=torch.float64)
    k[:, 5] += 2.5
    exact = Exact(model, centres, embeddings, k)
    monkeypatch.setattr(model, "denoise", exact)
    return exact


@pytest.mark.parametrize("churn", [0.0, 0.3])
@pytest.mark.parametrize("last", [0.0, 0.25])
def test_an_exact_denoiser_is_followed_to_the_data(model: MOFDiff, exact: Exact, churn: float, last: float) -> None:
    config = replace(FEW, calls=20, churn=churn, last_time=last)
    found, z = found_blocks(model, range(4), config)
    assert exact.calls == 20
    held = [np.zeros((len(sample.centres), SIZES.n_embedding)) for sample in found]
    placed = place_blocks(model, z, held, [draw_noise(model, config, 0, index, 1) for index in range(4)], config)
    assert exact.calls == 40
    for row, (sample, other) in enumerate(zip(found, placed, strict=True)):
        n = len(sample.centres)
        for centres in (sample.centres, other.centres):
            apart = (centres - exact.centres[row, :n].numpy() + 0.5) % 1 - 0.5
            assert np.abs(apart).max() < 2 * RESULT_GRID
        np.testing.assert_allclose(sample.embeddings, exact.embeddings[row, :n].numpy(), atol=1e-8)
        for lattice in (sample.lattice, other.lattice):
            np.testing.assert_allclose(matrix_to_k(lattice), exact.k[row].numpy(), atol=2 * RESULT_GRID)


def test_given_embeddings_are_held(model: MOFDiff, exact: Exact, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the network sees of them is themselves with the noise of each time, whatever it says."""
    seen, times = [], []

    def watched(places: Places, noisy: Noisy) -> Denoised:
        seen.append((noisy.e - 7.0) / model.sigmas(noisy.t)[1][:, None, None])
        times.append(float(noisy.t[0]))
        return exact(places, noisy)

    monkeypatch.setattr(model, "denoise", watched)
    config = replace(FEW, calls=10)
    given = [np.full((5, SIZES.n_embedding), 7.0)] * 4
    noise = [draw_noise(model, config, 0, index, 1) for index in range(4)]
    place_blocks(model, torch.zeros(4, SIZES.z_size, dtype=torch.float64), given, noise, config)
    assert len(seen) == 10
    for scaled in seen:
        assert float(scaled.std()) == pytest.approx(1.0, abs=0.25)
        assert float(scaled.mean()) == pytest.approx(0.0, abs=0.25)
    assert (times[0], times[-1]) == (1.0, config.last_time) and min(times) == config.last_time


def test_calls_are_as_many_as_asked_for(model: MOFDiff, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    original = model.denoiser.forward
    monkeypatch.setattr(model.denoiser, "forward", lambda *a, **k: (made.append(1), original(*a, **k))[1])
    for placings in (1, 3):
        made.clear()
        sampled(model, 2, config=replace(FEW, calls=9, placings=placings))
        assert len(made) == 18  # the decodings of all items are placed as one batch
    usual = SamplerConfig()
    assert usual.calls * (1 + usual.placings) <= 100  # network calls a MOF


def test_a_network_that_asks_for_impossible_cells_gets_possible_ones(model: MOFDiff) -> None:
    """Whatever it says far from its training data, one MOF may not end the run, nor take hours of memory."""
    for head in (model.denoiser.cell_out[-1], model.k_head[-1]):
        saved = head.bias.clone()
        try:
            for change in (1e6, -1e6):
                with torch.no_grad():
                    head.bias.copy_(saved + change)
                for sample in found_blocks(model, range(3), replace(FEW, calls=4))[0]:
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
    _, z = found_blocks(model, range(4), FEW, target)
    for index in range(4):
        noise = torch.from_numpy(draw_item(model, 0, index, FEW.draws).latent)
        with torch.no_grad():
            latents = model.draw_latent(noise, FEW.latent_steps)
            values = model.properties_of_latent(latents)[:, column]
        best = int(values.argmax() if target.value is None else (values - target.value).abs().argmin())
        assert len(set(values.tolist())) > 1
        torch.testing.assert_close(z[index], latents[best], atol=1e-9, rtol=0)


def test_more_draws_come_nearer(model: MOFDiff) -> None:
    column = SIZES.properties.index("co2_wc")
    found = [
        float(model.properties_of_latent(z)[:, column].detach().mean())
        for draws, target in ((1, None), (4, Target("co2_wc", None)), (40, Target("co2_wc", None)))
        for _, z in [found_blocks(model, range(6), replace(FEW, calls=2, draws=draws), target)]
    ]
    assert found[0] < found[1] < found[2]


def test_predicted_values_are_those_of_the_decoded_mof(model: MOFDiff, eight: list[list[Decoded]]) -> None:
    for item in eight:
        for decoded, values in zip(item, predict_mofs(model, [decoded.mof for decoded in item]), strict=True):
            told = {name: decoded.mof.properties[f"predicted_{name}"] for name in SIZES.properties}
            assert told == values
    assert len({decoded.mof.properties["predicted_density"] for item in eight for decoded in item}) > 12


def test_an_element_that_the_library_lacks_is_not_asked_for(model: MOFDiff, monkeypatch: pytest.MonkeyPatch) -> None:
    items = []
    for needed in ((6,), (6, 92)):
        monkeypatch.setattr("crystaltool.models.mofdiff.sampling.NEEDED", needed)
        items.append(sampled(model, 3))
    assert any(items[0]) and not small_library().containing(92).any()
    assert_same_bits(*items)


def test_items_that_cannot_be_decoded_are_empty(model: MOFDiff, monkeypatch: pytest.MonkeyPatch) -> None:
    library = small_library()
    monkeypatch.setattr(Library, "containing", lambda self, number: np.arange(len(self)) == len(self) + number - 7)
    items = list(CoarseSampler(model, library, FEW, 0).sample(range(8), 8))
    more = list(CoarseSampler(model, library, FEW, 0, Target("density", 1.0)).sample(range(8), 3))
    one = list(CoarseSampler(model, library, replace(FEW, candidates=1), 0).sample(range(8), 8))
    assert [] in items and [] in more
    assert [bool(item) for item in items] == [bool(item) for item in one]
    for item in [*items, *more]:
        assert all(len(library) - 1 in decoded.rows for decoded in item)


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
        {"last_time": -0.1},
        {"last_time": 1.0},
        {"last_time": math.nan},
        {"candidates": 0},
        {"placings": 0},
        {"draws": 0},
        {"latent_steps": 0},
        {"spread": 0.0},
        {"spread": math.inf},
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
    cold, hot = (found_blocks(model, range(8), replace(FEW, calls=2, latent_temperature=t))[1] for t in (0.1, 1.0))
    assert cold.std(0).mean() < hot.std(0).mean()
