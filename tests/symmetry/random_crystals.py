"""Random cells and asymmetric units of any space group, for tests."""

from __future__ import annotations

import numpy as np

from crystaltool.asymunit import AsymUnit
from crystaltool.crystal import Crystal
from crystaltool.lattice import constrain_k, k_to_matrix, reduced_basis
from crystaltool.symmetry import space_group
from crystaltool.symmetry.space_group import WyckoffPosition, tables


def random_lattices(groups: np.ndarray, rng: np.random.Generator, spread: float = 0.15) -> np.ndarray:
    """A cell of every group's crystal system, edges about 8 A; shape (n, 3, 3)."""
    k = rng.normal(0.0, spread, (len(groups), 6))
    k[:, 5] += np.log(8.0)
    return k_to_matrix(constrain_k(k, groups))


def every_position() -> tuple[np.ndarray, np.ndarray]:
    """(group, index of the position) of all 1,731 Wyckoff positions."""
    table = tables()
    groups = np.repeat(np.arange(1, 231), table["n_positions"])
    return groups, np.arange(len(groups)) - table["first_position"][groups - 1]


def position_of(number: int, index: int) -> WyckoffPosition:
    """The Wyckoff position of an index; numpy integers are welcome."""
    return space_group(int(number)).positions[index]


def random_free_coords(freedom: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Free coordinates in [0.03, 0.47], zero beyond the degrees of freedom; shape (n, 3)."""
    return np.where(np.arange(3) < np.asarray(freedom)[:, None], rng.uniform(0.03, 0.47, (len(freedom), 3)), 0.0)


def random_unit(number: int, n_special: int, rng: np.random.Generator) -> AsymUnit:
    """Two general orbits, which fix the group, and some other positions, each with an element of its own."""
    listed = space_group(number).positions
    special = rng.permutation(len(listed) - 1)[:n_special]
    positions = np.concatenate([special, [len(listed) - 1] * 2]).astype(np.int64)
    return AsymUnit(
        group=number,
        lattice=random_lattices(np.array([number]), rng)[0],
        numbers=np.arange(len(positions), 0, -1),
        positions=positions,
        free_coords=random_free_coords(np.array([listed[p].degrees_of_freedom for p in positions]), rng),
    )


def orbit_points(number: int, position: int, free_coords: np.ndarray) -> np.ndarray:
    """All points R_j u + t_j, not wrapped; shape (multiplicity, 3)."""
    listed = position_of(number, position)
    return listed.rotations @ free_coords + listed.translations


def periodic_distances(lattice: np.ndarray, points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Minimum-image distances in Angstrom; shape (n, m)."""
    basis = reduced_basis(lattice).astype(float)
    difference = (points[:, None] - others[None]) @ np.linalg.inv(basis)
    shifts = np.indices((3, 3, 3)).reshape(3, 27).T - 1
    difference = (difference - np.round(difference))[:, :, None] + shifts
    return np.linalg.norm(difference @ basis @ lattice, axis=-1).min(axis=-1)


def same_points(lattice: np.ndarray, points: np.ndarray, others: np.ndarray, tolerance: float = 1e-6) -> bool:
    """Whether two sets of points are one, atom by atom, up to lattice vectors."""
    if len(points) != len(others):
        return False
    distances = periodic_distances(lattice, points, others)
    return bool((distances.min(axis=1) < tolerance).all() and (distances.min(axis=0) < tolerance).all())


def fingerprint(crystal: Crystal) -> dict[tuple[int, int], np.ndarray]:
    """Sorted interatomic distances a pair of elements: equal for one crystal in two equivalent descriptions."""
    distances = periodic_distances(crystal.lattice, crystal.frac_coords, crystal.frac_coords)
    elements = np.unique(crystal.numbers)
    return {
        (int(a), int(b)): np.sort(distances[np.ix_(crystal.numbers == a, crystal.numbers == b)], axis=None)
        for a in elements
        for b in elements
    }
