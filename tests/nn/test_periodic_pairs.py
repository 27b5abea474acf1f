"""Pair sums against a plain sum over images, in cells without a right angle."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from crystaltool.lattice import parameters_to_matrix
from crystaltool.nn.periodic_pairs import MAX_IMAGES, OrbitPairs, Orbits, orbit_pairs, radial_basis

CUTOFF, N = 5.0, 6
CELLS = (
    parameters_to_matrix(4.1, 5.3, 6.2, 75.0, 100.0, 82.0),
    parameters_to_matrix(3.1, 7.9, 4.4, 118.0, 69.0, 95.0),
    parameters_to_matrix(9.0, 3.3, 5.1, 63.0, 71.0, 58.0),
)


def a_crystal(rng: np.random.Generator, counts: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Fractional coordinates, far outside the cell too, and the orbit of each atom."""
    return rng.uniform(-1.3, 2.1, (sum(counts), 3)), np.repeat(np.arange(len(counts)), counts)


def pairs_of(crystals: list[tuple[np.ndarray, np.ndarray, np.ndarray]], n_slots: int) -> OrbitPairs:
    """`orbit_pairs` of (lattice, atoms, orbit of each atom); an orbit's first atom represents it."""
    lattice = torch.from_numpy(np.stack([cell for cell, _, _ in crystals]))
    mask = torch.zeros(len(crystals), n_slots, dtype=torch.bool)
    representatives = torch.full((len(crystals), n_slots, 3), 0.123, dtype=torch.float64)
    for b, (_, atoms, orbit) in enumerate(crystals):
        first = np.unique(orbit, return_index=True)[1]
        mask[b, : len(first)] = True
        representatives[b, : len(first)] = torch.from_numpy(atoms[first])
    atoms = torch.from_numpy(np.concatenate([atoms for _, atoms, _ in crystals]))
    slots = np.concatenate([b * n_slots + orbit for b, (_, _, orbit) in enumerate(crystals)])
    return orbit_pairs(lattice, Orbits(representatives, mask, atoms, torch.from_numpy(slots)), CUTOFF, N)


def by_hand(cell: np.ndarray, atoms: np.ndarray, orbit: np.ndarray, n_images: int = 5) -> tuple[np.ndarray, ...]:
    """Counts, vectors and tensors, one neighbour after the other."""
    n = orbit.max() + 1
    first = np.unique(orbit, return_index=True)[1]
    counts, vectors, tensors = np.zeros((n, n, N)), np.zeros((n, n, N, 3)), np.zeros((n, n, N, 6))
    centres = np.arange(N) * CUTOFF / (N - 1)
    shifts = np.indices((2 * n_images + 1,) * 3).reshape(3, -1).T - n_images
    for i in range(n):
        for k, point in enumerate(atoms):
            apart = point - atoms[first[i]]
            for shift in shifts - np.round(apart).astype(int):
                vector = (apart + shift) @ cell
                d = math.sqrt(vector @ vector)
                if d >= CUTOFF or (k == first[i] and d < 1e-9):
                    continue
                basis = (
                    np.exp(-0.5 * ((d - centres) * (N - 1) / CUTOFF) ** 2) * (math.cos(math.pi * d / CUTOFF) + 1) / 2
                )
                x, y, z = vector / (d + 1e-4)
                counts[i, orbit[k]] += basis
                vectors[i, orbit[k]] += basis[:, None] * np.array([x, y, z])
                tensors[i, orbit[k]] += basis[:, None] * np.array([x * x, y * y, z * z, x * y, x * z, y * z])
    return counts, vectors, tensors


def test_sums_equal_those_over_images_one_by_one() -> None:
    rng = np.random.default_rng(0)
    crystals = [(cell, *a_crystal(rng, counts)) for cell, counts in zip(CELLS, ([2, 1], [1], [3, 1, 2]), strict=True)]
    found = pairs_of(crystals, 4)
    for b, crystal in enumerate(crystals):
        n = crystal[2].max() + 1
        for sums, expected in zip((found.counts, found.vectors, found.tensors), by_hand(*crystal), strict=True):
            np.testing.assert_allclose(sums[b, :n, :n].numpy(), expected, atol=1e-10)
            assert not sums[b, n:].any() and not sums[b, :, n:].any()


def test_any_cell_of_the_lattice_gives_the_same() -> None:
    rng = np.random.default_rng(1)
    atoms, orbit = a_crystal(rng, [2, 1, 1])
    changed = np.array([[1, 1, 0], [0, 1, 0], [0, -1, 1]])
    assert round(np.linalg.det(changed)) == 1
    other = (changed @ CELLS[0], atoms @ np.linalg.inv(changed), orbit)
    first, second = pairs_of([(CELLS[0], atoms, orbit)], 3), pairs_of([other], 3)
    for name in ("counts", "vectors", "tensors"):
        torch.testing.assert_close(getattr(first, name), getattr(second, name), atol=1e-10, rtol=0)
    assert first.counts.abs().max() > 1


def test_atoms_moved_by_lattice_vectors_change_nothing() -> None:
    rng = np.random.default_rng(2)
    atoms, orbit = a_crystal(rng, [3, 2])
    moved = atoms + rng.integers(-2, 3, atoms.shape)
    first, second = pairs_of([(CELLS[1], atoms, orbit)], 2), pairs_of([(CELLS[1], moved, orbit)], 2)
    torch.testing.assert_close(first.vectors, second.vectors, atol=1e-10, rtol=0)


def test_a_cell_thinner_than_the_stated_limit_loses_its_farthest_shells() -> None:
    """0.8 A along a, of which `MAX_IMAGES` cells each way are looked at."""
    cell = np.diag([0.8, 9.0, 11.0])
    crystal = (cell, np.array([[0.2, 0.3, 0.4]]), np.array([0]))
    expected = by_hand(*crystal, n_images=MAX_IMAGES)
    np.testing.assert_allclose(pairs_of([crystal], 1).counts[0].numpy(), expected[0], atol=1e-10)
    assert by_hand(*crystal, n_images=8)[0].sum() > expected[0].sum() + 0.1


def test_only_the_first_atom_of_the_own_orbit_is_the_representative_itself() -> None:
    """A second atom of the orbit on the same point is a neighbour at distance zero, so coinciding atoms are seen."""
    cell = np.eye(3) * 20.0
    alone = pairs_of([(cell, np.zeros((1, 3)), np.array([0]))], 1)
    twice = pairs_of([(cell, np.zeros((2, 3)), np.array([0, 0]))], 1)
    assert not alone.counts.any()
    at_zero = radial_basis(torch.zeros(1, dtype=torch.float64), CUTOFF, N)
    torch.testing.assert_close(twice.counts[0, 0], at_zero)
    assert not twice.vectors.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_radial_basis_is_smooth_to_zero_at_the_cutoff(dtype: torch.dtype) -> None:
    values = radial_basis(torch.tensor([0.0, CUTOFF * 0.999, CUTOFF], dtype=dtype), CUTOFF, N)
    assert values.dtype == dtype and values.shape == (3, N)
    assert float(values[0, 0]) == 1.0 and values[1].max() < 1e-5 and values[2].abs().max() < 1e-7
