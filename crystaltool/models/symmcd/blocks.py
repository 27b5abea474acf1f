"""Crystals in blocks of fixed shapes, so that what a network says of one does not depend on the others.

A matrix product over another number of rows may round differently, and after some forty calls the last digits of a
crystal would be its first ones. So the network on atoms, which runs in single precision, always sees the same number of
crystals, padded to the same number of atoms; a crystal's own size alone decides which.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from crystaltool.batch import Batch

BLOCK_PAIRS = 4096
"""Pairs of atoms of one block: a tensor of that many rows stays in a processor's cache."""

LARGEST_BLOCK = 16
"""Crystals of one block."""


def padded_size(n_atoms: int) -> int:
    """Atoms to which a crystal is padded: the next multiple of 4 up to 24, of 8 up to 64, of 32 beyond."""
    step = 4 if n_atoms <= 24 else 8 if n_atoms <= 64 else 32
    return -(-n_atoms // step) * step


def block_length(size: int) -> int:
    """Crystals of a block of padded size `size`."""
    return max(1, min(LARGEST_BLOCK, BLOCK_PAIRS // size**2))


def blocks(n_atoms: list[int]) -> Iterator[tuple[int, list[int]]]:
    """Padded size and rows of each block; the last row of the last block of a size is repeated to fill it."""
    padded = [padded_size(count) for count in n_atoms]
    for size in sorted(set(padded)):
        rows = [i for i, own in enumerate(padded) if own == size]
        length = block_length(size)
        for start in range(0, len(rows), length):
            some = rows[start : start + length]
            yield size, some + some[-1:] * (length - len(some))


def in_blocks(
    call: Callable[..., tuple[Tensor, Tensor]], batch: Batch, n_atoms: list[int], *each: Tensor
) -> tuple[Tensor, Tensor]:
    """`call` on every block of a batch: its results as if the batch had been given whole.

    Args:
        call: takes a batch of `size` slots, further tensors and `size`; returns values of slots (b, size, ...) and of
            crystals (b, ...).
        batch: B crystals.
        n_atoms: atoms in the primitive cell of each, at least as many as it has orbits.
        each: further tensors, first axis B.
    """
    n_slots = batch.mask.shape[1]
    of_slots: Tensor | None = None
    of_crystals: Tensor | None = None
    for size, chosen in blocks(n_atoms):
        rows = torch.tensor(chosen, device=batch.group.device)
        slots, crystals = call(batch.rows(rows, size), *(values[rows] for values in each), size)
        if of_slots is None or of_crystals is None:
            of_slots = slots.new_zeros(len(n_atoms), n_slots, *slots.shape[2:])
            of_crystals = crystals.new_zeros(len(n_atoms), *crystals.shape[1:])
        shared = min(size, n_slots)
        of_slots[rows, :shared] = slots[:, :shared]
        of_crystals[rows] = crystals
    assert of_slots is not None and of_crystals is not None, "an empty batch"
    return of_slots, of_crystals


def distinct(*columns: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of which no two are alike, the first of each kind, and which of these each row is like; (D,), (B,).

    Args:
        columns: integers or truth values, shape (B, ...) each, which together are the rows.
    """
    whole = torch.cat([each.long() for each in columns], dim=1)
    kinds, which = whole.unique(dim=0, return_inverse=True)
    rows = torch.arange(len(whole), device=whole.device)
    return which.new_full((len(kinds),), len(whole)).scatter_reduce(0, which, rows, "amin"), which
