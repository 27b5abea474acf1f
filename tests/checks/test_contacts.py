"""Periodic distances against brute force, pymatgen and closest packings."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from crystaltool.checks.contacts import close_pairs, closest_contact, nearest_atom, pair_vectors, reduce_cell
from crystaltool.checks.elements import LEMAT_RADIUS
from crystaltool.lattice import parameters_to_matrix
from tests.textbook import BY_NAME, TEXTBOOK

EXACT = 1e-9
"""Angstrom: distances come from one subtraction and one square root."""


def brute_force(lattice, frac_coords, half_limits, reach):
    """Smallest distance over limit over all pairs with images up to `reach` cells away, in the cell as given."""
    axis = np.arange(-reach, reach + 1)
    shifts = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    difference = frac_coords[:, None] - frac_coords[None]
    difference -= np.floor(difference)
    distance = np.linalg.norm((difference[:, :, None] + shifts) @ lattice, axis=-1)
    atoms = np.arange(len(frac_coords))
    distance[atoms, atoms, np.flatnonzero((shifts == 0).all(axis=1))[0]] = np.inf
    limits = (half_limits[:, None] + half_limits)[:, :, None]
    return (distance / limits).min(), distance.min()


def test_textbook_distances():
    halite = BY_NAME["halite"].crystal()
    assert closest_contact(halite.lattice, halite.frac_coords).distance == pytest.approx(5.6402 / 2, abs=EXACT)
    diamond = BY_NAME["diamond"].crystal()
    expected = 3.5668 * np.sqrt(3) / 4
    assert closest_contact(diamond.lattice, diamond.frac_coords).distance == pytest.approx(expected, abs=EXACT)


def test_own_images_count():
    contact = closest_contact(np.diag([3.0, 4.0, 5.0]), np.array([[0.2, 0.7, -3.1]]))
    assert (contact.distance, contact.first, contact.second) == (pytest.approx(3.0, abs=EXACT), 0, 0)


@pytest.mark.parametrize("angles", [(75, 82, 97), (35, 40, 30), (120, 125, 100), (60, 60, 60), (20, 20, 20)])
def test_triclinic_cells_agree_with_brute_force(angles):
    rng = np.random.default_rng(sum(angles))
    for n_atoms in (1, 2, 5):
        lattice = parameters_to_matrix(*rng.uniform(4, 7, 3), *map(float, angles))
        frac_coords = rng.random((n_atoms, 3)) * 4 - 2
        half_limits = 0.5 * (0.35 + LEMAT_RADIUS[rng.integers(1, 100, n_atoms)])
        ratio, distance = brute_force(lattice, frac_coords, half_limits, 7)
        assert closest_contact(lattice, frac_coords).distance == pytest.approx(distance, abs=EXACT)
        assert closest_contact(lattice, frac_coords, half_limits).ratio == pytest.approx(ratio, abs=EXACT)


def test_a_sheared_cell_of_the_same_lattice_gives_the_same_distances():
    crystal = BY_NAME["kyanite"].crystal()
    plain = closest_contact(crystal.lattice, crystal.frac_coords)
    shear = np.array([[1, 9, 0], [0, 1, 0], [-14, 5, 1]])
    sheared = closest_contact(shear @ crystal.lattice, crystal.frac_coords @ np.linalg.inv(shear))
    assert sheared.distance == pytest.approx(plain.distance, abs=1e-8)
    ends = [sorted(crystal.numbers[[one.first, one.second]]) for one in (sheared, plain)]
    assert ends[0] == ends[1]  # the centre of inversion makes two contacts of one length


@pytest.mark.parametrize("entry", TEXTBOOK, ids=lambda entry: entry.name)
def test_parity_with_pymatgen(entry):
    from pymatgen.core import Lattice, Structure

    crystal = entry.crystal()
    structure = Structure(Lattice(crystal.lattice), crystal.numbers.tolist(), crystal.frac_coords)
    matrix = structure.distance_matrix
    np.fill_diagonal(matrix, min(structure.lattice.abc))
    assert closest_contact(crystal.lattice, crystal.frac_coords).distance == pytest.approx(matrix.min(), abs=EXACT)


def test_boxes_and_all_pairs_find_the_same(monkeypatch):
    rng = np.random.default_rng(5)
    lattice, frac_coords = parameters_to_matrix(21.0, 17.0, 19.0, 70.0, 80.0, 105.0), rng.random((300, 3))

    def pairs():
        found = [np.stack(portion, axis=1) for portion in close_pairs(lattice, frac_coords, 3.0)]
        rows = np.concatenate(found)
        return rows[np.lexsort(rows.T[::-1])]

    direct = pairs()
    monkeypatch.setattr("crystaltool.checks.contacts.ALL_PAIRS_LIMIT", 0)
    monkeypatch.setattr("crystaltool.checks.contacts.PAIRS_AT_ONCE", 1000)
    assert len(direct) > 1000
    np.testing.assert_allclose(pairs(), direct, atol=EXACT)


def test_reduced_cell_is_the_same_lattice_and_compact():
    rng = np.random.default_rng(2)
    for _ in range(50):
        compact = parameters_to_matrix(*rng.uniform(3, 9, 3), *rng.uniform(80, 100, 3))
        shear = np.eye(3, dtype=int)
        for _ in range(6):
            i, j = rng.choice(3, 2, replace=False)
            shear[i] += rng.integers(-3, 4) * shear[j]
        transform = reduce_cell(shear @ compact)
        assert abs(round(np.linalg.det(transform))) == 1
        lengths = np.linalg.norm(transform @ shear @ compact, axis=1)
        assert lengths.max() <= np.linalg.norm(compact, axis=1).max() * np.sqrt(3)


def test_nearest_atom_across_the_cell_edge():
    atoms, distance = nearest_atom(
        np.eye(3) * 10.0,
        np.array([[0.999, 0.5, 0.5], [0.3, 0.3, 0.3]]),
        np.array([[0.002, 0.5, -0.5], [0.7, 0.7, 0.7]]),
        0.1,
    )
    assert atoms.tolist() == [0, -1]
    assert distance[0] == pytest.approx(0.03, abs=EXACT) and np.isinf(distance[1])


def test_coinciding_atoms_have_no_distance():
    assert closest_contact(np.eye(3) * 5.0, np.array([[0.25, 0, 0], [1.25, 1, -2]])).distance == 0.0


def test_two_thousand_atoms_stay_lean():
    rng = np.random.default_rng(0)
    lattice, frac_coords = np.eye(3) * 31.0, rng.random((2000, 3))
    tracemalloc.start()
    closest_contact(lattice, frac_coords, np.full(2000, 1.5))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 300e6, "all pairs with images would take gigabytes"


def test_vectors_lead_from_the_first_atom_to_an_image_of_the_second():
    rng = np.random.default_rng(4)
    for _ in range(10):
        lattice, coords = 4 * np.eye(3) + rng.normal(size=(3, 3)), rng.random((5, 3)) * 3
        first, second, vectors = pair_vectors(lattice, coords, 5.0)
        shifts = (coords[first] - coords[second]) + vectors @ np.linalg.inv(lattice)
        np.testing.assert_allclose(shifts, np.round(shifts), atol=1e-9)
        expected = [np.sort(np.concatenate([d for *_, d in close_pairs(lattice, coords, 5.0)]))]
        np.testing.assert_allclose(np.sort(np.linalg.norm(vectors, axis=1)), expected[0], atol=EXACT)
