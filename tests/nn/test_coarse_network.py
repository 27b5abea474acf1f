"""The networks over coarse-grained MOFs: batch = single, no order, empty places, what space does to them, gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from crystaltool.lattice import LOG_BASIS
from crystaltool.models.mofdiff.losses import property_loss
from crystaltool.models.mofdiff.model import MOFDiff
from crystaltool.models.mofdiff.representation import CoarseBatch
from crystaltool.models.mofdiff.states import Noisy, Places
from crystaltool.nn.coarse_network import N_CELL_FEATURES, CoarseDenoiser, PlacePairs, TrunkSize, pair_waves
from crystaltool.nn.periodic_pairs import point_pairs
from tests.models.mofdiff.tiny import batch_of, random_model, small_data

ROUNDING = 1e-9
"""float64 sums in another order, through a few layers."""

Output = dict[str, Tensor]
PLACES = ("centres", "embeddings", "features", "kinds", "connections", "mask")


@cache
def model() -> MOFDiff:
    return random_model()


def encoder(batch: CoarseBatch) -> Output:
    mean, log_variance = model().encode(batch)
    return {"MOF mean": mean, "MOF log variance": log_variance}


def denoiser(batch: CoarseBatch) -> Output:
    """At times that differ from MOF to MOF, with a latent that does too."""
    t = torch.remainder(0.37 * batch.k.sum(1), 1.0)
    z = batch.k @ torch.linspace(-1, 1, 6 * model().config.z_size, dtype=torch.float64).view(6, -1)
    k_t = 2.0 * torch.sin(batch.k)
    out = model().denoise(Places(z, batch.k + 0.01, batch.mask), Noisy(batch.centres, batch.embeddings, k_t, t))
    return {
        "place move": out.move,
        "place embeddings": out.embeddings,
        "MOF k": out.k,
        "place kinds": out.kinds,
        "place connections": out.connections,
    }


NETWORKS = pytest.mark.parametrize("network", [encoder, denoiser])
Network = Callable[[CoarseBatch], Output]


@pytest.fixture(scope="module")
def batch() -> CoarseBatch:
    """Real MOFs and strained nets of two to nine blocks, one without filled places at the end of its row."""
    return batch_of(small_data(), [0, 1, 4, 5, 6, 8, 14])


def rows(batch: CoarseBatch, index: list[int], n_places: int) -> CoarseBatch:
    """Some MOFs of a batch, with fewer places."""
    cut = {field.name: getattr(batch, field.name)[index] for field in fields(batch)}
    return CoarseBatch(**{name: value[:, :n_places] if name in PLACES else value for name, value in cut.items()})


@NETWORKS
def test_a_mof_alone_gives_what_it_gives_in_a_batch(network: Network, batch: CoarseBatch) -> None:
    together = network(batch)
    assert len(set(batch.mask.sum(1).tolist())) > 3
    for b in range(len(batch.k)):
        n = int(batch.mask[b].sum())
        for name, value in network(rows(batch, [b], n)).items():
            expected = together[name][b : b + 1, :n] if name.startswith("place") else together[name][b : b + 1]
            torch.testing.assert_close(value, expected, atol=ROUNDING, rtol=ROUNDING)


@NETWORKS
def test_places_have_no_order(network: Network, batch: CoarseBatch) -> None:
    """A permutation, empty places among them, permutes what belongs to places and nothing else."""
    n, width = batch.mask.shape
    order = torch.stack([torch.randperm(width, generator=torch.Generator().manual_seed(b)) for b in range(n)])
    mof = torch.arange(n)[:, None]
    moved = replace(batch, **{name: getattr(batch, name)[mof, order] for name in PLACES})
    straight, permuted = network(batch), network(moved)
    for name, value in straight.items():
        if name.startswith("place"):
            used = moved.mask
            torch.testing.assert_close(permuted[name][used], value[mof, order][used], atol=ROUNDING, rtol=ROUNDING)
        else:
            torch.testing.assert_close(permuted[name], value, atol=ROUNDING, rtol=ROUNDING)


@NETWORKS
def test_what_stands_in_empty_places_does_not_matter(network: Network, batch: CoarseBatch) -> None:
    generator = torch.Generator().manual_seed(0)
    empty = ~batch.mask[..., None]
    assert empty.any()
    changed = {
        name: torch.where(
            empty,
            5 * torch.randn(getattr(batch, name).shape, generator=generator, dtype=torch.float64),
            getattr(batch, name),
        )
        for name in ("centres", "embeddings", "features")
    }
    clean, dirty = network(batch), network(replace(batch, **changed))
    for name, value in clean.items():
        used = batch.mask if name.startswith("place") else slice(None)
        torch.testing.assert_close(dirty[name][used], value[used], atol=ROUNDING, rtol=ROUNDING)


# ---- space


@NETWORKS
def test_origin_and_whole_periods_change_nothing(network: Network, batch: CoarseBatch) -> None:
    generator = torch.Generator().manual_seed(1)
    shift = torch.rand(len(batch.k), 1, 3, generator=generator, dtype=torch.float64)
    periods = torch.randint(-2, 3, batch.centres.shape, generator=generator)
    before, after = network(batch), network(replace(batch, centres=batch.centres + shift + periods))
    for name, value in before.items():
        used = batch.mask if name.startswith("place") else slice(None)
        torch.testing.assert_close(after[name][used], value[used], atol=ROUNDING, rtol=ROUNDING)


def test_both_hands_of_a_mof_have_one_z(batch: CoarseBatch) -> None:
    """Inversion leaves the cell and all distances; the denoiser, which tells the hands apart, is trained on both."""
    before, after = encoder(batch), encoder(replace(batch, centres=-batch.centres))
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, atol=ROUNDING, rtol=ROUNDING)
    moves = [denoiser(replace(batch, centres=side * batch.centres))["place move"] for side in (1, -1)]
    assert (moves[0] + moves[1]).abs().max() > 1e-3


@NETWORKS
def test_every_input_matters(network: Network, batch: CoarseBatch) -> None:
    """The suite would pass on networks that are deaf."""
    before = network(batch)
    generator = torch.Generator().manual_seed(2)
    for name in ("centres", "embeddings", "k"):
        value = getattr(batch, name)
        noise = 0.1 * torch.randn(value.shape, generator=generator, dtype=torch.float64)
        after = network(replace(batch, **{name: value + noise}))
        for output, expected in before.items():
            used = batch.mask if output.startswith("place") else slice(None)
            assert (after[output][used] - expected[used]).abs().max() > 1e-6, (name, output)


def answers(lattice: Tensor, centres: Tensor, mask: Tensor, seed: int = 0) -> tuple[Tensor, ...]:
    """The denoiser itself: the same embeddings, latents and cell features whatever the lattice is turned into."""
    network, config = model().denoiser, model().config
    generator = torch.Generator().manual_seed(seed)
    n, m = mask.shape

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    cutoff = torch.full((n,), config.cutoff[0], dtype=torch.float64)
    pairs = point_pairs(lattice, centres, mask, cutoff, config.n_functions, config.cutoff[1])
    sigma = torch.linspace(0.02, 0.4, n, dtype=torch.float64)
    inputs = normal(n, m, 32), normal(n, config.z_size), normal(n, N_CELL_FEATURES), sigma, mask
    return network(*inputs, PlacePairs(pairs, pair_waves(centres, config.n_waves)))


@pytest.fixture(scope="module")
def cells(batch: CoarseBatch) -> Tensor:
    from crystaltool.nn.cells import symmetric_lattice

    return symmetric_lattice(batch.k)


def test_a_turned_cell_turns_vectors_and_strain(batch: CoarseBatch, cells: Tensor) -> None:
    turn = torch.from_numpy(np.linalg.qr(np.random.default_rng(3).standard_normal((3, 3)))[0])
    before, after = (answers(cell, batch.centres, batch.mask) for cell in (cells, cells @ turn))
    torch.testing.assert_close(after[0], before[0] @ turn, atol=ROUNDING, rtol=ROUNDING)
    for one, other in zip((*after[1:3], *after[4:]), (*before[1:3], *before[4:]), strict=True):
        torch.testing.assert_close(one, other, atol=ROUNDING, rtol=ROUNDING)
    with_head = model().denoiser.cell_out
    model().denoiser.cell_out = Zero()  # what is told of the cell does not turn: the strain alone does
    try:
        strains = []
        for cell in (cells, cells @ turn):
            strains.append(torch.einsum("bi,ijk->bjk", answers(cell, batch.centres, batch.mask)[3], basis()))
    finally:
        model().denoiser.cell_out = with_head
    assert strains[0].abs().max() > 1e-2
    torch.testing.assert_close(strains[1], turn.T @ strains[0] @ turn, atol=ROUNDING, rtol=ROUNDING)


def basis() -> Tensor:
    return torch.from_numpy(np.asarray(LOG_BASIS, dtype=np.float64))


class Zero(torch.nn.Module):
    """A head that says nothing."""

    def forward(self, values: Tensor) -> Tensor:
        return values.new_zeros(len(values), 6)


def test_waves_are_of_where_places_lie_from_each_other() -> None:
    """Period one, no origin; the first wave of each axis alone tells where a place is, up to whole periods."""
    centres = torch.rand(2, 4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    waves = pair_waves(centres, 3)
    assert waves.shape == (2, 4, 4, 18)
    moved = centres + torch.tensor([0.3, -0.7, 2.1], dtype=torch.float64) + torch.tensor([[[1.0], [0], [-2], [5]]])
    torch.testing.assert_close(pair_waves(moved, 3), waves, atol=ROUNDING, rtol=0)
    sines, cosines = waves.unflatten(-1, (3, 6))[..., 0], waves.unflatten(-1, (3, 6))[..., 3]
    apart = torch.atan2(sines, cosines) / (2 * torch.pi)
    expected = centres[:, None] - centres[:, :, None]
    torch.testing.assert_close((apart - expected + 0.5) % 1, torch.full_like(apart, 0.5), atol=ROUNDING, rtol=0)


# ---- gradients and heads


def test_gradients_are_finite_and_reach_every_weight() -> None:
    """Of every network, MOFs of two to nine blocks, half of them without labels."""
    network = random_model(1).float().train()
    batch = batch_of(small_data(), dtype=torch.float32)
    loss, _ = network(batch, torch.Generator().manual_seed(0))
    first, _ = property_loss(network, batch, torch.arange(len(batch.k)) // 2 % 2, torch.Generator().manual_seed(0))
    (loss + first).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any(), name


def test_an_untrained_denoiser_leaves_the_cell_to_the_pairs() -> None:
    """Its last layer starts from zero, so that the first steps do not shear cells at random."""
    torch.manual_seed(0)
    network = CoarseDenoiser(4, 3, 3, 21, TrunkSize(8, 8, 1, 4, 2))
    assert not network.cell_out[-1].weight.any() and not network.cell_out[-1].bias.any()


def test_log_variance_stays_in_bounds(batch: CoarseBatch) -> None:
    """Within 5 of 0 however large what the network says."""
    far = replace(batch, embeddings=1e4 * batch.embeddings)
    _, log_variance = model().encode(far)
    assert torch.isfinite(log_variance).all() and log_variance.abs().max() <= 5


def test_the_prior_sees_place_and_time() -> None:
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(5, model().config.z_size, generator=generator, dtype=torch.float64)
    early, late = torch.full((5,), 0.1, dtype=torch.float64), torch.full((5,), 0.9, dtype=torch.float64)
    first = model().prior(z, early)
    assert first.shape == z.shape and torch.isfinite(model().prior(z, torch.zeros_like(early))).all()
    assert (model().prior(z, late) - first).abs().max() > 1e-3
    torch.testing.assert_close(model().prior(z[2:3], early[:1]), first[2:3], atol=ROUNDING, rtol=ROUNDING)
