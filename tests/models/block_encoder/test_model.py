"""The losses against loops, the shortcut, whitening."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from crystaltool.errors import UsageError
from crystaltool.models.block_encoder.data import block_points
from crystaltool.models.block_encoder.embedding import embed_points
from crystaltool.models.block_encoder.fit import SMALLEST_SCALE, occurrences, whiten
from crystaltool.models.block_encoder.model import BlockEncoderConfig, contrastive_loss
from tests.models.block_encoder.blocks import batch_of, made_block, made_table, random_encoder


def test_contrastive_loss_is_that_of_explicit_loops() -> None:
    """Khosla et al., equation 2: sums over positives outside the logarithm, all j != i below."""
    vectors = torch.randn(9, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    identity = torch.tensor([0, 0, 1, 2, 2, 2, 3, 1, 4])
    unit = vectors / vectors.norm(dim=1, keepdim=True)
    terms = []
    for i in range(9):
        positives = [p for p in range(9) if p != i and identity[p] == identity[i]]
        below = sum(math.exp(float(unit[i] @ unit[j]) / 0.1) for j in range(9) if j != i)
        shares = [math.log(math.exp(float(unit[i] @ unit[p]) / 0.1) / below) for p in positives]
        terms += [-sum(shares) / len(shares)] if shares else []
    assert len(terms) == 7
    assert float(contrastive_loss(vectors, identity, 0.1)) == pytest.approx(sum(terms) / 7, rel=1e-12)


def test_contrastive_loss_without_positives_or_without_negatives() -> None:
    """The reference's form, negatives alone below, is unbounded on the second."""
    vectors = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    assert float(contrastive_loss(vectors, torch.arange(6), 0.1)) == 0.0
    same = contrastive_loss(torch.ones(6, 4), torch.zeros(6, dtype=torch.long), 0.1)
    assert float(same) == pytest.approx(math.log(5), rel=1e-5)
    leaf = vectors.clone().requires_grad_()
    contrastive_loss(leaf, torch.zeros(6, dtype=torch.long), 0.1).backward()
    assert leaf.grad is not None and torch.isfinite(leaf.grad).all()


def test_contrastive_loss_falls_as_siblings_come_together() -> None:
    identity = torch.tensor([0, 0, 1, 1])
    apart = torch.tensor([[1.0, 0], [0, 1], [-1, 0], [0, -1]])
    together = torch.tensor([[1.0, 0], [1, 0], [-1, 0], [-1, 0]])
    assert contrastive_loss(together, identity, 0.1) < 1e-6 < contrastive_loss(apart, identity, 0.1)


def test_loss_is_the_weighted_sum_of_its_parts() -> None:
    model = random_encoder()
    batch = batch_of([made_block(chemistry, geometry) for chemistry in range(4) for geometry in range(2)])
    total, parts = model.loss(batch, torch.arange(8) // 2)
    assert set(parts) == {"contrast", "atoms", "connections", "diameter"}
    expected = 5 * parts["contrast"] + parts["atoms"] + parts["connections"] + parts["diameter"]
    assert float(total.detach()) == pytest.approx(float(expected), rel=1e-12)
    raw, diameter = model.raw(batch)
    heads = model.heads(raw)
    atoms = -torch.log_softmax(heads.n_atoms, 1)[torch.arange(8), batch.n_atoms].mean()
    assert float(parts["atoms"]) == pytest.approx(float(atoms.detach()), rel=1e-12)
    error = (heads.diameter - diameter / 5.0).square().mean()
    assert float(parts["diameter"]) == pytest.approx(float(error.detach()), rel=1e-12)


def test_counts_and_diameter_enter_through_the_shortcut() -> None:
    """The network's own vector held still, each of the three changes the embedding."""
    model = random_encoder()
    batch = batch_of([made_block(1, 0)])
    model.network.forward = lambda numbers, n_points, *rest: numbers.new_ones(len(n_points), 32).double()
    with torch.no_grad():
        before = model(batch)
        assert (model(replace(batch, n_atoms=batch.n_atoms - 1)) - before).abs().max() > 1e-6  # and connections + 1
        assert (model(replace(batch, cart_coords=1.3 * batch.cart_coords)) - before).abs().max() > 1e-6
        assert torch.equal(model(replace(batch, numbers=batch.numbers + 1)), before)


def test_whitened_is_mean_zero_deviation_one_with_the_weights_of_occurrence() -> None:
    table = made_table()
    points, model = block_points(table), random_encoder()
    weights = occurrences(table, np.arange(len(points)))
    assert weights.sum() == len(table.arrays["places/block"])
    whiten(model, points, np.arange(len(points)), weights)
    vectors = embed_points(model, points)
    share = weights[:, None] / weights.sum()
    mean = (share * vectors).sum(0)
    np.testing.assert_allclose(mean, 0.0, atol=1e-9)
    np.testing.assert_allclose((share * (vectors - mean) ** 2).sum(0), 1.0, atol=1e-9)
    raw = embed_points(model, points, raw=True)
    np.testing.assert_allclose(model.unwhiten(torch.from_numpy(vectors)), raw, atol=1e-12)


def test_a_dimension_that_never_changes_is_not_blown_up() -> None:
    points, model = block_points(made_table()), random_encoder()
    with torch.no_grad():
        list(model.out.children())[-1][-1].weight[3] = 0.0
    whiten(model, points, np.arange(4), np.ones(4))
    assert float(model.embedding_scale[3]) == SMALLEST_SCALE and float(embed_points(model, points)[:, 3].max()) == 0.0


def test_batches_never_change_a_result_and_rows_keep_their_order() -> None:
    points, model = block_points(made_table()), random_encoder()
    whole = embed_points(model, points)
    done = []
    np.testing.assert_allclose(embed_points(model, points, n_points=1, on_progress=done.append), whole, atol=1e-12)
    assert done == [1] * len(points)
    rows = np.array([5, 2, 40, 2])
    np.testing.assert_allclose(embed_points(model, points, rows, n_points=30), whole[rows], atol=1e-12)
    assert embed_points(model, points, rows[:0]).shape == (0, 32)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"width": 0}, "width is 0"),
        ({"n_functions": 1}, "at least 2"),
        ({"n_near_layers": 5}, "more than n_layers"),
        ({"cutoff": -1.0}, "cutoff is -1.0"),
        ({"temperature": math.nan}, "temperature is nan"),
    ],
)
def test_sizes_that_no_network_can_have(change: dict, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        BlockEncoderConfig(**change)
