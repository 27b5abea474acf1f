"""Crystals in blocks of fixed shapes: no crystal's result depends on the others, in single precision too."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from crystaltool.batch import Batch
from crystaltool.models.symmcd.blocks import LARGEST_BLOCK, block_length, blocks, distinct, in_blocks, padded_size
from crystaltool.models.symmcd.model import SymmCD
from crystaltool.models.symmcd.sampling import SamplerConfig
from tests.models.test_sampling import assert_same_bits, sampled
from tests.models.tiny import ATOM_SIZES, batch_of, random_model, textbook_table

FEW = SamplerConfig(calls=14, attempts=1)


@pytest.fixture(scope="module")
def single() -> SymmCD:
    """The network on atoms as a checkpoint is sampled: in float32, the rest in float64; of a size that is blocked."""
    model = random_model(5, sizes=replace(ATOM_SIZES, geometry_width=64, pair_width=32))
    model.geometry.float()
    return model


def test_sizes_and_lengths() -> None:
    assert [padded_size(n) for n in (1, 4, 5, 20, 24, 25, 64, 65, 97)] == [4, 4, 8, 20, 24, 32, 64, 96, 128]
    assert [block_length(n) for n in (4, 12, 20, 64, 96)] == [16, 16, 10, 1, 1]


def test_every_row_is_in_one_block_of_its_size() -> None:
    n_atoms = [3, 20, 4, 100, 1, *[2] * 40, 19]
    seen = []
    for size, rows in blocks(n_atoms):
        assert len(rows) == block_length(size) and {padded_size(n_atoms[row]) for row in rows} == {size}
        seen += list(dict.fromkeys(rows))
    assert sorted(seen) == list(range(len(n_atoms)))


def test_results_come_back_to_their_rows() -> None:
    batch = batch_of(textbook_table())
    n_atoms = (batch.mask.sum(1) * 3).tolist()

    def call(some: Batch, twice: torch.Tensor, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        assert some.mask.shape == (block_length(size), size)
        return some.free_coords * 2, twice + some.k

    slots, crystals = in_blocks(call, batch, n_atoms, 2 * batch.k)
    torch.testing.assert_close(slots, 2 * batch.free_coords, atol=0, rtol=0)
    torch.testing.assert_close(crystals, 3 * batch.k, atol=0, rtol=0)


def test_samples_do_not_depend_on_the_batch(single: SymmCD) -> None:
    every = sampled(single, 3 * LARGEST_BLOCK, batch_size=3 * LARGEST_BLOCK, config=FEW)
    for batch_size in (1, 7, 40):
        assert_same_bits(sampled(single, 3 * LARGEST_BLOCK, batch_size=batch_size, config=FEW), every)


def test_without_blocks_they_would(single: SymmCD, monkeypatch: pytest.MonkeyPatch) -> None:
    """Single precision is not exact enough for any batch: what the blocks are for."""
    whole = lambda call, batch, n_atoms, *each: call(batch, *each)  # noqa: E731
    monkeypatch.setattr("crystaltool.models.symmcd.model.in_blocks", whole)
    every = sampled(single, 40, batch_size=40, config=FEW)
    alone = sampled(single, 40, batch_size=1, config=FEW)
    assert any((a.free_coords != b.free_coords).any() for a, b in zip(every, alone, strict=True))


def test_rows_that_are_alike_are_found() -> None:
    generator = torch.Generator().manual_seed(0)
    numbers, mask = torch.randint(3, (60, 2), generator=generator), torch.rand(60, 1, generator=generator) > 0.5
    rows, which = distinct(numbers, mask)
    whole = [tuple(row) for row in torch.cat([numbers, mask.long()], dim=1).tolist()]
    assert sorted(whole[i] for i in rows.tolist()) == sorted(set(whole))
    assert [rows[i] for i in which.tolist()] == [whole.index(row) for row in whole]


def test_sites_that_are_alike_are_looked_at_once() -> None:
    model = random_model(3)
    batch = batch_of(textbook_table()).rows(torch.tensor([0, 1, 0, 2, 1, 0]), 6)
    hidden = batch.mask & (torch.arange(6) > 0)
    whole = model.site_states(batch, ~batch.mask, hidden).detach()
    seen = []
    handle = model.sites.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    with torch.no_grad():
        once = model.site_states(batch, ~batch.mask, hidden)
    handle.remove()
    assert seen == [3]
    torch.testing.assert_close(once[batch.mask], whole[batch.mask], rtol=1e-12, atol=1e-12)
