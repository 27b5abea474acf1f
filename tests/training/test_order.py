"""Batches of an epoch: every row once, a pure function of seed and epoch, rows of a batch of like size."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from crystaltool.training.distributed import World
from crystaltool.training.order import POOL, epoch_batches, n_batches


@settings(max_examples=60, deadline=None)
@given(n_rows=st.integers(1, 700), batch_size=st.integers(1, 40), seed=st.integers(0, 5), epoch=st.integers(0, 5))
def test_every_row_once(n_rows: int, batch_size: int, seed: int, epoch: int) -> None:
    sizes = np.random.default_rng(n_rows).integers(1, 20, n_rows)
    batches = epoch_batches(sizes, batch_size, seed, epoch)
    assert sorted(np.concatenate(batches).tolist()) == list(range(n_rows))
    assert len(batches) == n_batches(n_rows, batch_size)
    assert all(1 <= len(batch) <= batch_size for batch in batches)
    again = epoch_batches(sizes, batch_size, seed, epoch)
    assert all(np.array_equal(a, b) for a, b in zip(batches, again, strict=True))


def test_another_epoch_and_another_seed_are_other_orders() -> None:
    sizes = np.ones(300, dtype=int)
    orders = [np.concatenate(epoch_batches(sizes, 16, seed, epoch)) for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    assert not np.array_equal(orders[0], orders[1]) and not np.array_equal(orders[0], orders[2])


def test_little_of_a_batch_is_padding() -> None:
    """The sum of (largest - size) over batches, against batches at random."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 20, POOL * 32)
    padding = sum(int((sizes[batch].max() - sizes[batch]).sum()) for batch in epoch_batches(sizes, 32, 0, 0))
    random = sum(int((part.max() - part).sum()) for part in np.array_split(rng.permutation(sizes), POOL))
    assert padding < random / 5


def test_processes_share_a_batch_without_remainder() -> None:
    rows = np.arange(11)
    parts = [World(rank, 4).share(rows) for rank in range(4)]
    assert sorted(np.concatenate(parts).tolist()) == rows.tolist()
    assert {len(part) for part in parts} == {2, 3}
