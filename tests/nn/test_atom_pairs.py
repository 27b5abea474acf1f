"""`atom_pairs` gives the sums of `point_pairs`, and no cell is too oblique for it."""

from __future__ import annotations

import pytest
import torch

from crystaltool.nn.periodic_pairs import atom_pairs, point_pairs
from tests.nn.test_point_pairs import CUTOFF, CUTOFFS, N, a_batch, assert_same


@pytest.mark.parametrize("seed", range(4))
def test_same_sums_as_point_pairs(seed: int) -> None:
    lattice, centres, mask = a_batch(seed)
    difference = centres[:, None] - centres[:, :, None]
    found = atom_pairs(lattice, difference, mask, CUTOFF, N)
    assert_same(found, point_pairs(lattice, centres, mask, CUTOFFS, N, CUTOFF))
    assert found.counts.abs().max() > 1 and found.tensors.abs().max() > 0.1


def test_other_vectors_of_the_same_lattice_give_the_same_sums() -> None:
    """The cell (a, b + 2 a, c - b) spans the lattice of (a, b, c)."""
    lattice, centres, mask = a_batch(7)
    change = torch.tensor([[1.0, 0, 0], [2, 1, 0], [0, -1, 1]], dtype=torch.float64)
    other = centres @ torch.linalg.inv(change)
    found = atom_pairs(change @ lattice, other[:, None] - other[:, :, None], mask, 4.0, N)
    assert_same(found, atom_pairs(lattice, centres[:, None] - centres[:, :, None], mask, 4.0, N))
    assert found.counts.abs().max() > 0.1
