"""One property suite over all networks: batch = single, order of the slots, empty slots, gradients."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from crystaltool.batch import Batch
from crystaltool.models.symmcd.model import SymmCD, SymmCDConfig
from crystaltool.models.symmcd.representation import free_components
from crystaltool.symmetry.space_group import N_POSITIONS
from tests.models.tiny import ATOM_SIZES, SIZES, batch_of, random_model, random_units, textbook_table

ROUNDING = 1e-9
"""float64 sums in another order, through a few layers."""

Output = dict[str, Tensor]


@cache
def model() -> SymmCD:
    return random_model()


def sites(batch: Batch) -> Output:
    """Every second filled slot hidden."""
    hidden = batch.mask & (batch.position + batch.numbers).remainder(2).bool()
    h = model().site_states(batch, hidden, hidden)
    logits, _ = model().position_logits(h, batch, hidden)
    return {"slot position": logits.clamp(min=-1e3), "slot element": model().sites.element_logits(h)}


@cache
def atom_model() -> SymmCD:
    return random_model(sizes=ATOM_SIZES)


def geometry(batch: Batch, model: Callable[[], SymmCD] = model) -> Output:
    """At noise levels that differ from crystal to crystal."""
    sigma = 0.01 + 0.002 * batch.group.double()
    mean, scale = model().cell_reference(batch)
    k_t = torch.where(free_components(model().symmetry().system[batch.group]), (batch.k - mean) / scale, 0.0)
    move, k_output = model().denoise_geometry(batch, batch.free_coords, k_t, sigma, 10 * sigma)
    return {"slot move": move, "crystal k": k_output}


def atoms(batch: Batch) -> Output:
    """The geometry on single atoms."""
    return geometry(batch, atom_model)


NETWORKS = pytest.mark.parametrize("network", [sites, geometry, atoms])
Network = Callable[[Batch], Output]


@pytest.fixture(scope="module")
def batch() -> Batch:
    """Seven crystals, one of each crystal system, with one to four orbits."""
    return batch_of(random_units(np.random.default_rng(0)))


def rows(batch: Batch, index: slice | list[int], n_slots: int | None = None) -> Batch:
    """Some crystals of a batch, with fewer slots."""
    short = {name: getattr(batch, name)[index, :n_slots] for name in ("numbers", "position", "free_coords", "mask")}
    return Batch(group=batch.group[index], k=batch.k[index], **short)


@NETWORKS
def test_a_crystal_alone_gives_what_it_gives_in_a_batch(network: Network, batch: Batch) -> None:
    together = network(batch)
    for b in range(len(batch.group)):
        n = int(batch.mask[b].sum())
        alone = network(rows(batch, [b], n))
        for name, value in alone.items():
            expected = together[name][b : b + 1, :n] if name.startswith("slot") else together[name][b : b + 1]
            torch.testing.assert_close(value, expected, atol=ROUNDING, rtol=ROUNDING)


@NETWORKS
def test_slots_have_no_order(network: Network, batch: Batch) -> None:
    """A permutation of the slots, empty ones among them, permutes what belongs to slots and nothing else."""
    order = torch.stack(
        [torch.randperm(batch.mask.shape[1], generator=torch.Generator().manual_seed(b)) for b in range(7)]
    )
    crystal = torch.arange(7)[:, None]
    moved = batch.replace(
        **{name: getattr(batch, name)[crystal, order] for name in ("numbers", "position", "free_coords", "mask")}
    )
    straight, permuted = network(batch), network(moved)
    for name, value in straight.items():
        if name.startswith("slot"):
            used = moved.mask
            torch.testing.assert_close(permuted[name][used], value[crystal, order][used], atol=ROUNDING, rtol=ROUNDING)
        else:
            torch.testing.assert_close(permuted[name], value, atol=ROUNDING, rtol=ROUNDING)


@NETWORKS
def test_what_stands_in_empty_slots_does_not_matter(network: Network, batch: Batch) -> None:
    generator = torch.Generator().manual_seed(0)
    empty = ~batch.mask
    assert empty.any()
    filled = batch.replace(
        numbers=torch.where(empty, torch.randint(1, 95, empty.shape, generator=generator), batch.numbers),
        position=torch.where(empty, torch.randint(N_POSITIONS, empty.shape, generator=generator), batch.position),
        free_coords=torch.where(
            empty[..., None], torch.rand(*empty.shape, 3, generator=generator, dtype=torch.float64), batch.free_coords
        ),
    )
    clean, dirty = network(batch), network(filled)
    for name, value in clean.items():
        used = batch.mask if name.startswith("slot") else slice(None)
        torch.testing.assert_close(dirty[name][used], value[used], atol=ROUNDING, rtol=ROUNDING)


@NETWORKS
def test_every_input_matters(network: Network, batch: Batch) -> None:
    """The suite would pass on a network that is deaf: element, position and group each change its answer."""
    before = network(batch)
    numbers = torch.where(batch.mask, batch.numbers % 94 + 1, batch.numbers)
    assert any(
        (network(batch.replace(numbers=numbers))[name] - value).abs().max() > 1e-6 for name, value in before.items()
    )
    shorter = batch.replace(mask=batch.mask & (torch.arange(batch.mask.shape[1]) < 1))
    for name, value in network(shorter).items():
        one = value[:, :1] if name.startswith("slot") else value
        there = before[name][:, :1] if name.startswith("slot") else before[name]
        assert (one - there).abs().max() > 1e-6


@pytest.mark.parametrize(("part", "sizes"), [("sites", SIZES), ("geometry", SIZES), ("geometry", ATOM_SIZES)])
def test_gradients_are_finite_and_reach_every_weight(part: str, sizes: SymmCDConfig) -> None:
    """On the textbook crystals: one to sixteen orbits, positions without freedom, padded slots."""
    network = random_model(1, sizes=sizes).float().train()
    batch = batch_of(textbook_table(), torch.float32)
    for seed in range(3):  # a draw may hide no element or no position
        loss, _ = network.loss(batch, torch.Generator().manual_seed(seed), (part,))
        loss.backward()
    for name, parameter in getattr(network, part).named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any(), name
    other = network.geometry if part == "sites" else network.sites
    assert all(parameter.grad is None for parameter in other.parameters())


def test_score_of_a_position_is_the_sum_over_axes_and_a_product(batch: Batch) -> None:
    """15 log-probabilities, one an axis, by explicit loops; and the position's own vector."""
    network = model().sites
    h = model().site_states(batch, batch.mask, batch.mask)
    candidates = model().symmetry().candidates[batch.group]
    found = network.position_logits(h, candidates)
    code = network.encoder.site_code.view(N_POSITIONS, 15, 13)
    vectors = network.encoder.positions(torch.arange(N_POSITIONS))
    for b, slot, k in ((0, 0, 0), (2, 1, 3), (6, 0, 7), (4, 2, 1)):
        position = int(candidates[b, k])
        axes = torch.log_softmax(network.axis_head(h[b, slot]).view(15, 13), dim=1)
        by_axis = sum(axes[axis, int(code[position, axis].argmax())] for axis in range(15))
        product = network.query_head(h[b, slot]) @ vectors[position] / np.sqrt(h.shape[-1])
        torch.testing.assert_close(found[b, slot, k], by_axis + product, atol=1e-10, rtol=0)


def test_positions_of_one_site_symmetry_differ_by_their_own_vector(batch: Batch) -> None:
    """In group 225 a and b are both m-3m: the sum over axes alone could not tell them apart."""
    code = model().sites.encoder.site_code
    a, b = model().symmetry().candidates[224, :2].tolist()
    assert torch.equal(code[a], code[b])
    h = model().site_states(batch, batch.mask, batch.mask)
    logits = model().sites.position_logits(h, model().symmetry().candidates[batch.group])
    assert (logits[6, 0, 0] - logits[6, 0, 1]).abs() > 1e-6
