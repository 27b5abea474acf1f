"""Members that see the same, keep to their own part of z, and are averaged."""

from __future__ import annotations

from dataclasses import replace

import torch

from crystaltool.models.mofdiff.losses import property_loss
from crystaltool.nn.property_encoder import PropertyEncoder
from tests.models.mofdiff.tiny import SIZES, batch_of, random_model, small_data


def test_each_member_reads_and_writes_its_own_dimensions() -> None:
    torch.manual_seed(0)
    network = PropertyEncoder(3, 2, 4, 5, 8)
    known = torch.randn(7, 5)
    mean, log_variance = network(known)
    assert mean.shape == log_variance.shape == (7, 6) and log_variance.abs().max() <= 5
    with torch.no_grad():
        network.members[1][0].weight.mul_(2)
    moved = (network(known)[0] != mean).any(0)
    assert moved.tolist() == [False, False, True, True, False, False]
    before = network.predict(mean)
    mean = mean.detach().clone()
    mean[:, 4:] += 1
    changed = (network.predict(mean) != before).any(0).any(1)
    assert before.shape == (7, 3, 4) and changed.tolist() == [False, False, True]
    assert network(1e6 * known)[1].abs().max() <= 5


def test_the_property_head_of_the_model_is_the_mean_of_the_members() -> None:
    model = random_model(0)
    z = torch.randn(4, SIZES.z_size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    each = model.property_encoder.predict(z[:, SIZES.n_latent :])
    assert not torch.equal(each[:, 0], each[:, 1])
    torch.testing.assert_close(model.heads(z).properties, each.mean(1))


def test_a_member_learns_nothing_from_mofs_that_are_left_out_for_it() -> None:
    model = random_model(0).float().train()
    batch = batch_of(small_data(), dtype=torch.float32)
    loss, _ = property_loss(model, batch, torch.zeros(16), torch.Generator().manual_seed(0))
    loss.backward()
    heads = model.property_encoder.heads
    assert not any(weight.grad.any() for weight in heads[0].parameters())
    assert all(weight.grad.any() for weight in heads[1].parameters())


def test_noise_on_what_the_encoder_of_properties_is_told() -> None:
    """With the same seed the loss is another one when there is noise, and only then."""
    batch, losses = batch_of(small_data(), dtype=torch.float32), []
    for deviation in (0.0, 1e-9, 1.0):
        model = random_model(0, replace(SIZES, property_noise=deviation)).float()
        nobody, generator = torch.full((16,), -1), torch.Generator().manual_seed(0)
        losses.append(float(property_loss(model, batch, nobody, generator)[0].detach()))
    assert abs(losses[1] - losses[0]) < 1e-6 * losses[0] and abs(losses[2] - losses[0]) > 1e-3 * losses[0]
