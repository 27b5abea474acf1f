"""MOFDiff: what z can see, noise and targets, scaling of cells, losses over the labels that there are."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from crystaltool.diffusion import gaussian, wrapped_normal
from crystaltool.errors import UsageError
from crystaltool.models.mofdiff import model as model_module
from crystaltool.models.mofdiff.config import MOFDiffConfig
from crystaltool.models.mofdiff.losses import property_error
from crystaltool.models.mofdiff.model import MOFDiff
from crystaltool.models.mofdiff.representation import CoarseBatch, prepare
from crystaltool.models.mofdiff.states import Denoised, Noisy, Places, restore, transform
from crystaltool.mof.blocks import CoarseMOF
from crystaltool.mof.table import tabulate
from crystaltool.nn.cells import symmetric_lattice
from tests.models.mofdiff.tiny import SIZES, batch_of, embeddings_of, net, random_model, small_data


@pytest.fixture(scope="module")
def model() -> MOFDiff:
    return random_model()


# ---- what the encoder sees


def a_net_of_long_edges() -> CoarseBatch:
    """Primitive cubic, node to linker 5.3 A, the shortest distance between blocks."""
    table = tabulate([net(3, 30, 5, np.zeros((3, 3)))])
    batch = batch_of(prepare(table, embeddings_of(table).embedding, SIZES.properties))
    cell = symmetric_lattice(batch.k)
    apart = (batch.centres[0, 1:] - batch.centres[0, :1] + 0.5) % 1 - 0.5
    assert (apart @ cell[0]).norm(dim=-1).min() > 5
    return replace(batch, properties=torch.zeros(1, 2, dtype=torch.float64))


def test_z_sees_where_blocks_are_however_long_the_edges(model: MOFDiff) -> None:
    batch = a_net_of_long_edges()
    moved = batch.centres.clone()
    moved[0, 1] += torch.tensor([0.15, 0.1, 0.0], dtype=torch.float64)
    far, near = (
        random_model(0, replace(SIZES, cutoff=cutoff)).encode(replace(batch, centres=moved))[0]
        - random_model(0, replace(SIZES, cutoff=cutoff)).encode(batch)[0]
        for cutoff in (SIZES.cutoff, (4.0, 4.1))
    )
    assert far.abs().max() > 1e-4
    assert not near.any()  # nothing is within 4 A, so z would know the composition alone


def test_the_shipped_cutoff_reaches_beyond_any_bond_between_blocks() -> None:
    """Half the largest node and half the largest linker of the usable MOFs: about 12 A."""
    assert MOFDiffConfig().cutoff[0] >= 12


def test_the_cutoff_grows_with_the_room_of_a_block() -> None:
    """In a cell of one block every 11 A the nearest copies of a place are seen, in a dense one no more than before."""
    shipped = random_model(0, replace(SIZES, cutoff=MOFDiffConfig().cutoff, reach=MOFDiffConfig().reach))
    for edge, seen in ((19.0, True), (30.0, False), (14.0, False)):  # 30 A is beyond the most; 14 A, dense: the least
        n_blocks = 4 if edge > 15 else 20
        centres = torch.zeros(1, n_blocks, 3, dtype=torch.float64)
        mask = torch.ones(1, n_blocks, dtype=torch.bool)
        pairs = shipped.pairs(torch.eye(3, dtype=torch.float64)[None] * edge, centres, mask)
        assert bool(pairs.counts[0, 0, 0].any()) is seen, edge


# ---- noise of the centres


def test_noise_ends_at_half_a_cell_and_levels_rise_with_time() -> None:
    model = MOFDiff(MOFDiffConfig())
    t = torch.linspace(0, 1, 50)
    levels = model.sigmas(t)
    assert float(levels[0][-1]) == pytest.approx(0.5)
    for sigma in levels:
        assert (sigma.diff() > 0).all()
    assert float(wrapped_normal.score_scale(levels[0][-1:])[0]) < 0.1  # no wasted noise: the cell is just full
    with pytest.raises(UsageError, match="coordinate_sigma"):
        MOFDiffConfig(coordinate_sigma=(0.5, 0.004))


def watched_loss(
    model: MOFDiff, batch: CoarseBatch, answer: Callable[..., Denoised], seed: int = 0
) -> dict[str, Tensor]:
    """Losses where the denoiser gives `answer(places, noisy)`."""
    original = model.denoise
    try:
        model.denoise = answer  # ty: ignore[invalid-assignment]
        return model(batch, torch.Generator().manual_seed(seed))[1]
    finally:
        model.denoise = original  # ty: ignore[invalid-assignment]


def displacement_by_images(u_t: Tensor, u_0: Tensor, sigma: Tensor, n_images: int = 3) -> Tensor:
    """Posterior mean of x_0 - x_t from the wrapped density, one dimension after the other by autograd."""
    point = (u_t - u_0).double().clone().requires_grad_(True)
    images = torch.arange(-n_images, n_images + 1.0, dtype=torch.float64)
    variance = sigma.double()[:, None, None, None] ** 2
    density = torch.logsumexp(-0.5 * (point[..., None] + images) ** 2 / variance, dim=-1)
    (score,) = torch.autograd.grad(density.sum(), point)
    return score * sigma.double()[:, None, None] ** 2


def test_targets_are_those_of_the_wrapped_normal_and_of_unit_variance_data() -> None:
    """A denoiser that knows the data has no loss; where noise is large, pointing straight back would have one."""
    model = random_model(0).float()
    batch = batch_of(small_data(), dtype=torch.float32)
    seen: dict[str, float] = {}

    def knows(places: Places, noisy: Noisy) -> Denoised:
        mask, u_t, e_t, k_t = places.mask, noisy.u, noisy.e, noisy.k
        sigma_u, sigma_e, sigma_k = model.sigmas(noisy.t)
        sides = [displacement_by_images(u_t, side * batch.centres, sigma_u).float() for side in (1, -1)]
        steps = [(u_t - side * batch.centres).square().sum((1, 2)) for side in (1, -1)]
        inverted = steps[1] < steps[0]  # half the MOFs are shown by their other hand
        assert 0 < int(inverted.sum()) < len(inverted)
        move = torch.where(inverted[:, None, None], sides[1], sides[0])
        amplitude = (sigma_u * wrapped_normal.score_scale(sigma_u))[:, None, None]
        mean = (move * mask[..., None]).sum(1, keepdim=True) / mask.sum(1)[:, None, None]
        move, step = move - mean, torch.where(inverted[:, None, None], u_t + batch.centres, u_t - batch.centres)
        k_0 = (batch.k - places.guess) / model.config.cell_residual
        seen["largest"] = max(seen.get("largest", 0), float(sigma_u.max()))
        seen["apart"] = float((move + mean + step).abs()[mask].max())
        assert not step[~mask].any() and not e_t[~mask].any()
        return Denoised(
            move / amplitude,
            gaussian.target(batch.embeddings, e_t, sigma_e[:, None, None]),
            gaussian.target(k_0, k_t, sigma_k[:, None]),
            torch.nn.functional.one_hot(batch.kinds, 3) * 50.0,
            torch.nn.functional.one_hot(batch.connections, 21) * 50.0,
        )

    found = watched_loss(model, batch, knows)
    for name in ("centre", "embedding", "cell", "kind", "connection"):
        assert float(found[name]) < 1e-4, name
    assert seen["largest"] > 0.25 and seen["apart"] > 0.25


def test_a_blind_denoiser_has_a_loss_of_about_one() -> None:
    """Each denoising loss starts there, so none drowns the others."""
    model = random_model(0).float()
    batch = batch_of(small_data(), dtype=torch.float32)
    batch = replace(batch, k=batch.k - batch.k.mean(0) + model.absolute_k(torch.zeros(1, 6), torch.ones(1))[0])

    def blind(places: Places, noisy: Noisy) -> Denoised:
        zeros, shape = torch.zeros_like, places.mask.shape
        kinds, connections = torch.zeros(*shape, 3), torch.zeros(*shape, 21)
        return Denoised(zeros(noisy.u), zeros(noisy.e), zeros(noisy.k), kinds, connections)

    found = [watched_loss(model, batch, blind, seed) for seed in range(12)]
    mean = {name: float(np.mean([float(log[name]) for log in found])) for name in found[0]}
    assert 0.5 < mean["centre"] < 1.2  # the mean of K places is taken out: (K - 1) / K, and 1 of 2 for the smallest
    assert 0.6 < mean["embedding"] < 1.2
    assert mean["kind"] == pytest.approx(math.log(3), abs=1e-5)
    assert mean["connection"] == pytest.approx(math.log(21), abs=1e-5)


def test_displacements_do_not_move_the_mof_as_a_whole(model: MOFDiff) -> None:
    batch = batch_of(small_data())
    n = len(batch.k)
    z = torch.zeros(n, SIZES.z_size, dtype=torch.float64)
    t = torch.linspace(0, 1, n, dtype=torch.float64)
    noisy = Noisy(batch.centres, batch.embeddings, torch.zeros_like(batch.k), t)
    out = model.denoise(Places(z, batch.k, batch.mask), noisy)
    assert out.move.abs().max() > 1e-2 and not out.move[~batch.mask].any()
    assert out.move.sum(1).abs().max() < 1e-10


def test_displacements_are_fractional_with_the_length_of_the_cell_taken_out(model: MOFDiff) -> None:
    """Of Cartesian vectors and fractional ones; a cell twice as large moves blocks by the same fractions."""
    caught: list[tuple[Tensor, ...]] = []
    hook = model.denoiser.register_forward_hook(lambda module, arguments, output: caught.append(output[:2]))
    batch = batch_of(small_data(), [2, 5])
    try:
        out = model.denoise(
            Places(torch.zeros(2, SIZES.z_size, dtype=torch.float64), batch.k, batch.mask),
            Noisy(
                batch.centres,
                batch.embeddings,
                torch.zeros_like(batch.k),
                torch.tensor([0.3, 0.6], dtype=torch.float64),
            ),
        )
    finally:
        hook.remove()
    lattice = symmetric_lattice(batch.k)
    cartesian = out.move @ lattice
    length = torch.linalg.det(lattice)[:, None, None] ** (1 / 3)
    for b in range(2):
        used = batch.mask[b]
        vectors = caught[0][0][b, used] * length[b] + caught[0][1][b, used] @ lattice[b]
        expected = vectors - vectors.mean(0)
        torch.testing.assert_close(cartesian[b, used], expected, atol=1e-9, rtol=1e-9)


# ---- cells


def test_relative_and_absolute_k_are_inverses(model: MOFDiff) -> None:
    generator = torch.Generator().manual_seed(0)
    k = torch.randn(20, 6, generator=generator, dtype=torch.float64)
    n_blocks = torch.arange(1, 21)
    torch.testing.assert_close(model.absolute_k(model.relative_k(k, n_blocks), n_blocks), k, atol=1e-12, rtol=0)
    torch.testing.assert_close(model.relative_k(model.absolute_k(k, n_blocks), n_blocks), k, atol=1e-12, rtol=0)


def test_a_cell_grows_with_its_blocks(model: MOFDiff) -> None:
    """The same relative k of K blocks spans K times the volume of one block, in the same shape."""
    relative = 0.3 * torch.randn(1, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64).expand(20, 6)
    lattice = symmetric_lattice(model.absolute_k(relative, torch.arange(1, 21)))
    volume = torch.linalg.det(lattice)
    torch.testing.assert_close(volume / volume[0], torch.arange(1.0, 21.0, dtype=torch.float64), atol=1e-9, rtol=1e-9)
    shape = lattice / volume[:, None, None] ** (1 / 3)
    torch.testing.assert_close(shape, shape[:1].expand(20, 3, 3), atol=1e-9, rtol=0)


def test_statistics_are_of_volumes_a_block(model: MOFDiff) -> None:
    """What is fitted is what is applied: the mean relative k of the data is 0, their spread 1."""
    data = small_data()
    relative = model.relative_k(torch.from_numpy(data.k), torch.from_numpy(data.n_places))
    torch.testing.assert_close(relative.mean(0), torch.zeros(6, dtype=torch.float64), atol=1e-5, rtol=0)
    assert ((relative.std(0) > 0.95) & (relative.std(0) < 1.05)).all()
    volume = np.exp(3 * data.k[:, 5]) / data.n_places
    assert float(model.k_mean[5]) == pytest.approx(np.log(volume).mean() / 3, abs=1e-5)


def test_larger_cells_of_one_net_are_one_size_a_block() -> None:
    """A MOF of four blocks and its supercell of eight: what the heads must learn for both is the same volume."""
    mofs = [net(3, 30, 3, np.zeros((3, 3)), copies) for copies in (1, 2, 4)]
    data = prepare(tabulate(mofs), embeddings_of(tabulate(mofs)).embedding, ())
    model = MOFDiff(replace(SIZES, properties=()))
    relative = model.relative_k(torch.from_numpy(data.k).float(), torch.from_numpy(data.n_places))
    torch.testing.assert_close(relative[:, 5], relative[:1, 5].expand(3), atol=1e-5, rtol=0)


# ---- labels


def test_only_labelled_rows_count(model: MOFDiff) -> None:
    predicted = torch.tensor([[0.5, -1.0], [2.0, 0.0], [1.0, 1.0]], dtype=torch.float64, requires_grad=True)
    nan = math.nan
    known = torch.tensor([[3.0, nan], [nan, nan], [1.0, 0.7]], dtype=torch.float64)
    target = (known.log1p() - model.property_mean) / model.property_scale
    expected = sum((predicted[i, j] - target[i, j]) ** 2 for i, j in ((0, 0), (2, 0), (2, 1))) / 3
    found = property_error(model, predicted, known)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)
    found.backward()
    assert predicted.grad is not None
    assert (predicted.grad != 0).tolist() == [[True, False], [False, False], [True, True]]


def test_no_labels_at_all_is_no_loss() -> None:
    """Batches without a label, and models without properties, train all the same."""
    for names in (("nothing",), ()):
        model = random_model(0, replace(SIZES, properties=names)).float().train()
        loss, log = model(batch_of(small_data(names), dtype=torch.float32), torch.Generator().manual_seed(0))
        loss.backward()
        assert torch.isfinite(loss) and float(log["property"]) == 0
        assert all(p.grad is None or bool(torch.isfinite(p.grad).all()) for p in model.parameters())
        assert model.encoder.out[0].weight.grad is not None and bool(model.encoder.out[0].weight.grad.any())


def test_statistics_of_properties_leave_out_what_is_not_known() -> None:
    labels = small_data().properties[:, 0]
    logs = np.log1p(labels[np.isfinite(labels)])
    model = MOFDiff(SIZES, small_data())
    assert float(model.property_mean[0]) == pytest.approx(logs.mean(), abs=1e-6)
    assert float(model.property_scale[0]) == pytest.approx(logs.std(), abs=1e-5)


def test_properties_are_predicted_in_their_own_units(model: MOFDiff) -> None:
    values = torch.tensor([0.0, 0.3, 2.5, 40.0], dtype=torch.float64)
    torch.testing.assert_close(restore(transform(values)), values, atol=1e-12, rtol=1e-12)
    np.testing.assert_allclose(transform(values.numpy()), transform(values).numpy())
    assert float(restore(torch.tensor(-3.0))) == 0  # no uptake is negative
    assert bool(torch.isnan(transform(torch.tensor(math.nan))))
    z = torch.randn(5, SIZES.z_size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = (model.heads(z).properties * model.property_scale + model.property_mean).expm1().clamp(min=0)
    torch.testing.assert_close(model.properties_of_latent(z), expected)


# ---- the rest


def test_the_loss_of_a_batch_repeats_and_its_noise_is_the_generators(model: MOFDiff) -> None:
    single = random_model(0).float()
    batch = batch_of(small_data(), [0, 4, 5, 9], torch.float32)
    first, again, other = (float(single(batch, torch.Generator().manual_seed(s))[0].detach()) for s in (1, 1, 2))
    assert first == again != other


def test_the_prior_does_not_pull_at_the_encoder() -> None:
    """It is fitted to posteriors, which it must not flatten: without the other losses the encoder has no gradient."""
    model = random_model(0).float().train()
    batch = batch_of(small_data(), dtype=torch.float32)
    caught = []
    original = model_module.flow.interpolate

    def watched(noise: Tensor, data: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        caught.append(data)
        return original(noise, data, s)

    model_module.flow.interpolate = watched  # ty: ignore[invalid-assignment]
    try:
        model(batch, torch.Generator().manual_seed(0))
    finally:
        model_module.flow.interpolate = original  # ty: ignore[invalid-assignment]
    assert len(caught) == 1 and not caught[0].requires_grad and caught[0].shape == (16, SIZES.z_size)


def test_bfloat16_leaves_cells_and_distances_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model(0).float()
    batch = batch_of(small_data(), dtype=torch.float32)
    seen = set()
    original = model_module.point_pairs

    def watched(lattice: Tensor, centres: Tensor, *rest):
        assert not torch.is_autocast_enabled("cpu")
        seen.update((lattice.dtype, centres.dtype))
        return original(lattice, centres, *rest)

    monkeypatch.setattr(model_module, "point_pairs", watched)
    plain = model(batch, torch.Generator().manual_seed(0))[1]
    model.mixed_precision = True
    loss, rounded = model(batch, torch.Generator().manual_seed(0))
    assert seen == {torch.float32} and loss.dtype == torch.float32
    for name, value in plain.items():
        assert float(rounded[name]) == pytest.approx(float(value), rel=0.1, abs=0.02), name
    loss.backward()
    assert all(p.grad is None or bool(torch.isfinite(p.grad).all()) for p in model.parameters())


@pytest.mark.parametrize(
    "changes",
    [
        {"width": 0},
        {"prior_layers": -1},
        {"n_functions": 1},
        {"cutoff": (13.0, math.nan)},
        {"cutoff": (13.0, 9.0)},
        {"settling": (0.5, 1.1)},
        {"reach": 0.0},
        {"embedding_power": math.nan},
        {"embedding_noise": -0.1},
        {"cell_residual": 0.0},
        {"kl_weight": -0.1},
        {"property_weight": math.inf},
        {"cell_sigma": (3.0, 3.0)},
        {"embedding_sigma": (0.0, 20.0)},
        {"coordinate_sigma": (-0.1, 0.5)},
    ],
    ids=str,
)
def test_sizes_that_no_network_has_are_refused(changes: dict) -> None:
    with pytest.raises(UsageError, match=next(iter(changes))):
        MOFDiffConfig(**changes)


def test_unposed_mofs_are_encoded_too(model: MOFDiff) -> None:
    """What `sample` writes can be embedded again: neither rotations nor connections are used."""
    mof = net(3, 30, 3, np.zeros((3, 3)))
    bare = CoarseMOF(mof.lattice, mof.blocks, mof.centres)
    tables = [tabulate([mof]), tabulate([bare])]
    found = [
        model.encode(batch_of(prepare(table, embeddings_of(table).embedding, SIZES.properties)))[0] for table in tables
    ]
    torch.testing.assert_close(found[0], found[1], atol=0, rtol=0)
