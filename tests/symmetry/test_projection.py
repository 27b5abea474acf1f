"""Orbit reconstruction: the nearest point in Angstrom, the same orbit from every image, fixed positions taken once."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from crystaltool.asymunit import canonical_free_coords
from crystaltool.errors import SymmetryError
from crystaltool.lattice import parameters_to_matrix
from crystaltool.symmetry import space_group
from crystaltool.symmetry.projection import positions_sharing_code, positions_with_code, project
from tests.symmetry.random_crystals import (
    every_position,
    orbit_points,
    periodic_distances,
    position_of,
    random_free_coords,
    random_lattices,
    same_points,
)

CORUNDUM = parameters_to_matrix(4.7592, 4.7592, 12.9918, 90.0, 90.0, 120.0)


def project_all(groups, lattices, points, positions):
    """Every site onto the one position given for it."""
    return project(groups, lattices, points, positions, np.ones(len(groups), dtype=np.int64))


def project_one(number, lattice, points, letters, crystal=True):
    """Points of one crystal, each onto the nearest of the same candidate letters."""
    group, n = space_group(number), len(points)
    candidates = np.array([group.positions.index(group.position(letter)) for letter in letters])
    return project(
        np.full(n, number),
        np.tile(lattice, (n, 1, 1)),
        np.array(points, dtype=float),
        np.tile(candidates, n),
        np.full(n, len(candidates)),
        np.zeros(n, dtype=np.int64) if crystal else None,
    )


def canonical(groups, positions, free_coords):
    """The one name of each orbit."""
    points = np.stack([orbit_points(g, p, u)[0] for g, p, u in zip(groups, positions, free_coords, strict=True)])
    found, miss = canonical_free_coords(groups, positions, points)
    assert miss.max() < 1e-9
    return found


def assert_same_free_coords(first, second, tolerance=1e-6):
    difference = first - second
    np.testing.assert_allclose(difference - np.round(difference), 0.0, atol=tolerance)


def test_corundum_goes_to_the_nearest_point_on_hexagonal_axes():
    """0.247 A to u = 0.276; the pseudo-inverse's u = 0.306 is 0.286 A away."""
    found = project_one(167, CORUNDUM, [[0.306, 0.06, 0.25]], "e")
    np.testing.assert_allclose(found.free_coords[0], [0.276, 0.0, 0.0], atol=1e-12)
    assert found.distances[0] == pytest.approx(0.2473, abs=1e-4)
    assert np.linalg.norm(np.array([0.0, 0.06, 0.0]) @ CORUNDUM) == pytest.approx(0.2856, abs=1e-4)


def test_every_position_is_recovered():
    """All 1,731, random u, from any operation of the orbit, any lattice vector: no distance, the same orbit."""
    rng = np.random.default_rng(0)
    groups, positions = every_position()
    lattices = random_lattices(groups, rng)
    freedom = [position_of(g, p).degrees_of_freedom for g, p in zip(groups, positions, strict=True)]
    free_coords = random_free_coords(np.array(freedom), rng)
    orbits = [orbit_points(g, p, u) for g, p, u in zip(groups, positions, free_coords, strict=True)]
    points = np.stack([orbit[rng.integers(len(orbit))] for orbit in orbits]) + rng.integers(-3, 4, (len(groups), 3))
    found = project_all(groups, lattices, points, positions)
    assert found.distances.max() < 1e-6
    assert np.array_equal(found.positions, positions)
    assert_same_free_coords(canonical(groups, positions, found.free_coords), canonical(groups, positions, free_coords))


def test_position_is_recovered_from_its_code_alone():
    """All 1,731 under noise of 1e-4: where positions share a code, geometry breaks the tie."""
    rng = np.random.default_rng(1)
    groups, positions = every_position()
    freedom = [position_of(g, p).degrees_of_freedom for g, p in zip(groups, positions, strict=True)]
    free_coords = random_free_coords(np.array(freedom), rng)
    points = np.stack([orbit_points(g, p, u)[0] for g, p, u in zip(groups, positions, free_coords, strict=True)])
    points += rng.normal(0.0, 1e-4, points.shape)
    codes = np.stack([position_of(g, p).code for g, p in zip(groups, positions, strict=True)])
    candidates, counts = positions_with_code(groups, codes)
    shared, shared_counts = positions_sharing_code(groups, positions)
    assert np.array_equal(candidates, shared)
    assert np.array_equal(counts, shared_counts)
    assert counts.max() == 8
    found = project(groups, random_lattices(groups, rng), points, candidates, counts)
    assert np.array_equal(found.positions, positions)


def test_same_orbit_from_all_27_images():
    """Any point of the cell, projected on every position of every group."""
    rng = np.random.default_rng(2)
    groups, positions = every_position()
    lattices, points = random_lattices(groups, rng), rng.uniform(0.0, 1.0, (len(groups), 3))
    reference = project_all(groups, lattices, points, positions)
    expected = canonical(groups, positions, reference.free_coords)
    for image in np.indices((3, 3, 3)).reshape(3, 27).T - 1:
        found = project_all(groups, lattices, points + image, positions)
        np.testing.assert_allclose(found.distances, reference.distances, atol=1e-9)
        assert_same_free_coords(found.free_coords, reference.free_coords)
    assert_same_free_coords(canonical(groups, positions, found.free_coords), expected)


@pytest.mark.parametrize("number", [2, 14, 62, 136, 141, 167, 194, 205, 225, 227])
def test_same_orbit_from_all_symmetry_images(number):
    rng = np.random.default_rng(number)
    group = space_group(number)
    lattice = random_lattices(np.array([number]), rng)[0]
    n_ops = len(group.rotations)
    for index, position in enumerate(group.positions[:-1]):
        point = rng.uniform(0.0, 1.0, 3)
        images = group.rotations @ point + group.translations
        found = project_one(number, lattice, images, position.letter, crystal=False)
        np.testing.assert_allclose(found.distances, found.distances[0], atol=1e-9)
        orbits = canonical(np.full(n_ops, number), np.full(n_ops, index), found.free_coords)
        assert_same_free_coords(orbits, orbits[:1])


def test_nearest_point_against_least_squares_over_all_operations_and_images():
    """All positions: numpy's least squares in Cartesian axes, every operation, lattice vectors up to 2."""
    rng = np.random.default_rng(3)
    groups, positions = every_position()
    lattices, points = random_lattices(groups, rng, 0.1), rng.uniform(-1.0, 2.0, (len(groups), 3))
    found = project_all(groups, lattices, points, positions)
    images = np.indices((5, 5, 5)).reshape(3, -1).T - 2
    for i, (number, index) in enumerate(zip(groups, positions, strict=True)):
        position = position_of(number, index)
        free = position.degrees_of_freedom
        if free == 3:
            assert found.distances[i] < 1e-9
            continue
        nearest = np.inf
        for rotation, translation in zip(position.rotations, position.translations, strict=True):
            difference = (points[i] - translation) % 1.0 - 0.5
            target = ((difference + 0.5 + images) @ lattices[i]).T
            columns = lattices[i].T @ rotation[:, :free]
            residual = target - columns @ np.linalg.lstsq(columns, target, rcond=None)[0]
            nearest = min(nearest, np.linalg.norm(residual, axis=0).min())
        assert found.distances[i] == pytest.approx(nearest, abs=1e-9), (number, position.letter)


OBLIQUE = (
    (150, "e"), (152, "a"), (160, "b"), (164, "i"), (166, "h"), (167, "e"),
    (178, "b"), (186, "c"), (191, "l"), (194, "h"), (194, "k"),
)  # fmt: skip


@pytest.mark.parametrize(("number", "letter"), OBLIQUE)
def test_nearest_point_against_a_fine_grid_and_a_minimiser(number, letter):
    """Hexagonal axes: no u on a grid, polished by scipy, comes closer, and the u found is where the minimum is."""
    rng = np.random.default_rng(number)
    group = space_group(number)
    position = group.position(letter)
    lattice, point = random_lattices(np.array([number]), rng)[0], rng.uniform(0.0, 1.0, 3)
    found = project_one(number, lattice, [point], letter)

    def distance(u: np.ndarray) -> float:
        free = np.zeros(3)
        free[: len(u)] = u
        return float(periodic_distances(lattice, point[None], position.rotations @ free + position.translations).min())

    axes = [np.arange(0.0, 1.0, 1 / (48 if position.degrees_of_freedom == 1 else 16))] * position.degrees_of_freedom
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, position.degrees_of_freedom)
    starts = grid[np.argsort([distance(u) for u in grid])[:6]]
    best = min(
        minimize(distance, u, method="Nelder-Mead", options={"xatol": 1e-10, "fatol": 1e-12}).fun for u in starts
    )
    assert found.distances[0] == pytest.approx(best, abs=1e-6)
    assert distance(found.free_coords[0][: position.degrees_of_freedom]) == pytest.approx(best, abs=1e-6)


def test_a_plain_pseudo_inverse_would_be_oblique_at_73_positions():
    """At these special positions, all of the hexagonal family, it misses the nearest point; elsewhere both agree."""
    count = 0
    groups, positions = every_position()
    for number, index in zip(groups, positions, strict=True):
        position = position_of(number, index)
        free = position.degrees_of_freedom
        if free in (0, 3):
            continue
        lattice = random_lattices(np.array([number]), np.random.default_rng(5), 0.0)[0]
        metric = lattice @ lattice.T
        oblique = False
        for rotation in position.rotations[:, :, :free].astype(float):
            orthogonal = np.linalg.solve(rotation.T @ metric @ rotation, rotation.T @ metric)
            oblique |= not np.allclose(rotation @ orthogonal, rotation @ np.linalg.pinv(rotation), atol=1e-9)
        assert not oblique or 143 <= number <= 194
        count += oblique
    assert count == 73


@pytest.mark.parametrize(
    ("number", "parameters"),
    [
        (2, (12.0, 4.0, 3.5, 85.0, 157.0, 84.0)),
        (2, (4.0, 11.0, 3.6, 24.0, 92.0, 88.0)),
        (14, (12.0, 5.0, 3.5, 90.0, 158.0, 90.0)),
        (12, (3.2, 4.0, 13.0, 90.0, 21.0, 90.0)),
    ],
)
def test_skew_cells(number, parameters):
    """The three nearest lattice vectors a direction are not enough in a skew basis: against vectors up to 6."""
    rng = np.random.default_rng(number)
    lattice = parameters_to_matrix(*parameters)
    images = np.indices((13, 13, 13)).reshape(3, -1).T - 6
    for position in space_group(number).positions[:-1]:
        points = rng.uniform(0.0, 1.0, (12, 3))
        found = project_one(number, lattice, points, position.letter, crystal=False)
        free = position.degrees_of_freedom
        for point, distance in zip(points, found.distances, strict=True):
            nearest = np.inf
            for rotation, translation in zip(position.rotations, position.translations, strict=True):
                target = ((point - translation + images) @ lattice).T
                columns = lattice.T @ rotation[:, :free]
                residual = target - columns @ np.linalg.pinv(columns) @ target if free else target
                nearest = min(nearest, np.linalg.norm(residual, axis=0).min())
            assert distance == pytest.approx(nearest, abs=1e-9)


def test_the_orbit_of_the_projected_point_holds_the_point():
    """Trap 1: u of the operation that won, not the representative's operations on a point of another one."""
    rng = np.random.default_rng(6)
    for number, letter in [(167, "e"), (194, "h"), (225, "h"), (136, "f"), (62, "c"), (227, "g")]:
        position = space_group(number).position(letter)
        lattice = random_lattices(np.array([number]), rng)[0]
        exact = position.rotations @ np.array([0.137, 0.291, 0.0]) + position.translations
        noise = rng.normal(0.0, 2e-3, 3)
        for point in exact[:: max(1, len(exact) // 6)]:
            found = project_one(number, lattice, [point + noise], letter)
            orbit = position.rotations @ found.free_coords[0] + position.translations
            assert same_points(lattice, orbit, exact, 2 * np.linalg.norm(noise @ lattice))


def test_a_fixed_position_is_taken_once():
    """Halite: two sites near a of the group; the nearer keeps it, the other goes to b (both are m-3m)."""
    lattice = np.eye(3) * 5.64
    found = project_one(225, lattice, [[0.06, 0.0, 0.0], [0.01, 0.02, 0.0]], "ab")
    assert found.positions.tolist() == [1, 0]
    independent = project_one(225, lattice, [[0.06, 0.0, 0.0], [0.01, 0.02, 0.0]], "ab", crystal=False)
    assert independent.positions.tolist() == [0, 0]


def test_a_position_with_freedom_is_taken_as_often_as_wanted():
    lattice = np.eye(3) * 5.64
    found = project_one(225, lattice, [[0.1, 0.1, 0.11], [0.3, 0.31, 0.3], [0.2, 0.2, 0.2]], "f")
    np.testing.assert_allclose(found.free_coords[:, 0], [0.31 / 3, 0.91 / 3, 0.2], atol=1e-9)


def test_crystals_do_not_see_each_other():
    lattices = np.tile(np.eye(3) * 5.64, (2, 1, 1))
    points, groups = np.array([[0.01, 0.0, 0.0], [0.02, 0.0, 0.0]]), np.array([225, 225])
    candidates, counts = np.array([0, 1, 0, 1]), np.array([2, 2])
    assert project(groups, lattices, points, candidates, counts, np.array([0, 1])).positions.tolist() == [0, 0]
    assert project(groups, lattices, points, candidates, counts, np.array([0, 0])).positions.tolist() == [0, 1]


def test_greedy_order_against_a_plain_loop():
    """Random crystals of group 47 (eight fixed positions among its 27), up to nine sites each with all candidates."""
    rng = np.random.default_rng(8)
    group = space_group(47)
    n_positions = len(group.positions) - 1
    counts = rng.integers(1, 10, 12)
    crystals = np.repeat(np.arange(12), counts)
    n = len(crystals)
    lattices, points = random_lattices(np.full(12, 47), rng)[crystals], rng.uniform(0.0, 1.0, (n, 3))
    # Fixed positions alone for most, so that sites compete; the mirror planes (letters u-z) for the rest.
    allowed = [np.arange(8) if rng.uniform() < 0.8 else np.arange(20, n_positions) for _ in range(n)]
    for i in range(n):  # never more than eight sites for the eight fixed positions
        if (crystals[:i] == crystals[i]).sum() >= 8:
            allowed[i] = np.arange(20, n_positions)
    n_candidates = np.array([len(a) for a in allowed])
    found = project(np.full(n, 47), lattices, points, np.concatenate(allowed), n_candidates, crystals)
    site = np.repeat(np.arange(n), n_candidates)
    alone = project_all(np.full(len(site), 47), lattices[site], points[site], np.concatenate(allowed))
    taken, chosen = set(), {}
    for pair in np.argsort(alone.distances, kind="stable"):
        s, position = int(site[pair]), int(alone.positions[pair])
        if s in chosen or (crystals[s], position) in taken:
            continue
        chosen[s] = position
        if group.positions[position].degrees_of_freedom == 0:
            taken.add((crystals[s], position))
    assert found.positions.tolist() == [chosen[s] for s in range(n)]


def test_equally_near_candidates_go_to_the_first():
    found = project_one(225, np.eye(3) * 4.0, [[0.0, 0.0, 0.0]], "al")
    assert found.positions.tolist() == [0]


def test_too_many_sites_for_the_fixed_positions():
    with pytest.raises(SymmetryError, match="taken"):
        project_one(225, np.eye(3) * 4.0, [[0.01, 0.0, 0.0], [0.4, 0.5, 0.5], [0.02, 0.0, 0.0]], "ab")


def test_sites_without_candidates_and_unknown_positions_are_refused():
    lattice, point = np.eye(3)[None] * 4.0, np.zeros((1, 3))
    with pytest.raises(SymmetryError, match="no candidate"):
        project(np.array([225]), lattice, point, np.array([], dtype=np.int64), np.array([0]))
    with pytest.raises(SymmetryError, match="group 4 has no position of index 1"):
        project(np.array([4]), lattice, point, np.array([1]), np.array([1]))
    code = np.full((1, 15), 12)
    assert positions_with_code(np.array([1]), code)[1].tolist() == [0]
