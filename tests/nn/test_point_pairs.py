"""`point_pairs` gives the sums of `orbit_pairs` where every slot holds one point."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from crystaltool.lattice import parameters_to_matrix
from crystaltool.nn.periodic_pairs import OrbitPairs, Orbits, orbit_pairs, point_pairs, radial_basis

CUTOFF, N = 9.0, 7
CUTOFFS = torch.full((4,), CUTOFF, dtype=torch.float64)
ROUNDING = 1e-11
CELLS = (
    parameters_to_matrix(14.1, 15.3, 6.2, 75.0, 100.0, 82.0),
    parameters_to_matrix(5.1, 7.9, 4.4, 118.0, 69.0, 95.0),
    parameters_to_matrix(9.0, 13.3, 25.1, 63.0, 71.0, 58.0),
    np.eye(3) * 30.0,
)
COUNTS = (4, 1, 6, 2)
"""Of the last two points one sits in the middle of a cell that reaches beyond the cutoff: it has no neighbours."""


def a_batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Lattices, fractional coordinates far outside the cells too, and a mask whose holes are not at the end alone."""
    rng = np.random.default_rng(seed)
    mask = torch.zeros(len(CELLS), 7, dtype=torch.bool)
    for row, count in enumerate(COUNTS):
        mask[row, torch.from_numpy(rng.choice(7, count, replace=False))] = True
    centres = torch.from_numpy(rng.uniform(-1.3, 2.1, (len(CELLS), 7, 3)))
    return torch.from_numpy(np.stack(CELLS)), centres, mask


def by_orbits(lattice: torch.Tensor, centres: torch.Tensor, mask: torch.Tensor) -> OrbitPairs:
    slots = mask.reshape(-1).nonzero()[:, 0]
    return orbit_pairs(lattice, Orbits(centres, mask, centres.reshape(-1, 3)[slots], slots), CUTOFF, N)


def assert_same(first: OrbitPairs, second: OrbitPairs, tolerance: float = ROUNDING) -> None:
    for name in ("counts", "vectors", "tensors"):
        torch.testing.assert_close(getattr(first, name), getattr(second, name), atol=tolerance, rtol=0)


@pytest.mark.parametrize("seed", range(4))
def test_same_sums_as_orbits_of_one_atom(seed: int) -> None:
    lattice, centres, mask = a_batch(seed)
    found = point_pairs(lattice, centres, mask, CUTOFFS, N, CUTOFF)
    assert_same(found, by_orbits(lattice, centres, mask))
    assert found.counts.shape == (4, 7, 7, N) and found.vectors.shape[-1] == 3 and found.tensors.shape[-1] == 6
    assert found.counts.abs().max() > 1 and found.vectors.abs().max() > 0.1
    empty = ~(mask[:, :, None] & mask[:, None, :])
    assert not found.counts[empty].any() and not found.tensors[empty].any()


def test_every_crystal_has_its_cutoff() -> None:
    """Shorter ones see less; each sees what it would see were all cutoffs like its own."""
    lattice, centres, mask = a_batch(3)
    cutoffs = torch.tensor([9.0, 6.0, 7.5, 9.0], dtype=torch.float64)
    found = point_pairs(lattice, centres, mask, cutoffs, N, CUTOFF)
    for row, cutoff in enumerate(cutoffs.tolist()):
        alone = point_pairs(lattice, centres, mask, torch.full_like(cutoffs, cutoff), N, CUTOFF)
        torch.testing.assert_close(found.vectors[row], alone.vectors[row], atol=ROUNDING, rtol=0)
    longest = point_pairs(lattice, centres, mask, CUTOFFS, N, CUTOFF)
    assert (found.counts[1].sum() < 0.5 * longest.counts[1].sum()) and longest.counts[1].sum() > 1


def test_single_precision_is_kept_and_close() -> None:
    lattice, centres, mask = a_batch()
    found = point_pairs(lattice.float(), centres.float(), mask, CUTOFFS.float(), N, CUTOFF)
    exact = point_pairs(lattice, centres, mask, CUTOFFS, N, CUTOFF)
    assert found.counts.dtype == torch.float32
    torch.testing.assert_close(found.tensors.double(), exact.tensors, atol=1e-3, rtol=1e-3)


def test_any_cell_of_the_lattice_gives_the_same() -> None:
    lattice, centres, mask = a_batch(1)
    change = torch.tensor([[1, 1, 0], [0, 1, 0], [0, -1, 1]], dtype=torch.float64)
    assert float(torch.linalg.det(change)) == pytest.approx(1)
    other = point_pairs(change @ lattice, centres @ torch.linalg.inv(change), mask, CUTOFFS, N, CUTOFF)
    assert_same(other, point_pairs(lattice, centres, mask, CUTOFFS, N, CUTOFF))


def test_rotated_cells_rotate_vectors_and_tensors() -> None:
    lattice, centres, mask = a_batch(2)
    turn = torch.from_numpy(np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0])
    before, after = (point_pairs(cell, centres, mask, CUTOFFS, N, CUTOFF) for cell in (lattice, lattice @ turn))
    torch.testing.assert_close(after.counts, before.counts, atol=ROUNDING, rtol=0)
    torch.testing.assert_close(after.vectors, before.vectors @ turn, atol=ROUNDING, rtol=0)
    torch.testing.assert_close(square(after.tensors), turn.T @ square(before.tensors) @ turn, atol=ROUNDING, rtol=0)


def square(tensors: torch.Tensor) -> torch.Tensor:
    """(xx, yy, zz, xy, xz, yz) as symmetric matrices."""
    return tensors[..., [0, 3, 4, 3, 1, 5, 4, 5, 2]].unflatten(-1, (3, 3))


def test_neighbours_that_are_none_leave_zeros() -> None:
    """A batch of cells in which every block is alone: a sampler may come to one, and must go on."""
    lattice = (torch.eye(3, dtype=torch.float64) * 40.0).expand(2, 3, 3)
    mask = torch.tensor([[True, False], [True, True]])
    centres = torch.tensor([[[0.1, 0.2, 0.3]] * 2, [[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]]], dtype=torch.float64)
    found = point_pairs(lattice, centres, mask, CUTOFFS[:2], N, CUTOFF)
    assert found.counts.shape == (2, 2, 2, N)
    assert not found.counts.any() and not found.vectors.any() and not found.tensors.any()


def test_coinciding_points_see_each_other() -> None:
    lattice = (torch.eye(3, dtype=torch.float64) * 40.0)[None]
    centres = torch.full((1, 2, 3), 0.3, dtype=torch.float64)
    found = point_pairs(lattice, centres, torch.ones(1, 2, dtype=torch.bool), CUTOFFS[:1], N, CUTOFF)
    at_zero = radial_basis(torch.zeros(1, dtype=torch.float64), CUTOFF, N)[0]
    torch.testing.assert_close(found.counts[0, 0, 1], at_zero)
    assert not found.counts[0, 0, 0].any() and not found.vectors.any()
