"""Templates and the permutations of Wyckoff positions by which they are merged."""

from __future__ import annotations

import numpy as np
import pytest

from crystaltool.asymunit import AsymUnit, expand, reduce
from crystaltool.evaluation import build_normaliser
from crystaltool.evaluation.templates import count_templates, merge, template
from crystaltool.symmetry import space_group
from crystaltool.symmetry.normaliser import position_permutations
from crystaltool.symmetry.space_group import LETTERS


def swaps(group: int, normaliser: str = "euclidean") -> set[str]:
    """Permutations as words: the letters that a, b, c, ... become."""
    return {"".join(LETTERS[i] for i in row) for row in position_permutations(group, normaliser)}


@pytest.mark.parametrize(
    ("group", "words"),
    [
        # From the normalisers of Koch and Fischer, International Tables A (2006), tables 15.2.1.3 and 15.2.1.4.
        (62, {"abcd", "bacd"}),  # Pnma: a shift by c/2 swaps the two sets of centres
        (225, {"abcdefghijkl", "bacdefgihjkl"}),  # Fm-3m: a shift by (1/2, 1/2, 1/2)
        (229, {"abcdefghijkl"}),  # Im-3m is its own normaliser
        (1, {"a"}),
    ],
)
def test_euclidean_normalisers_of_the_tables(group, words):
    assert swaps(group) == words


@pytest.mark.parametrize(
    ("group", "euclidean", "affine"),
    [
        (2, 8, 1344),  # eight centres: translations alone, and the affine group of the cube F_2^3, of order 8 * 168
        (3, 4, 24),  # four axes: translations, and all permutations of them (affine group of F_2^2)
        (47, 8, 48),  # Pmmm: eight centres, times six orders of the axes
        (123, 4, 4),  # P4/mmm: a shift by c/2 and one by (a+b)/2
        (216, 8, 8),  # F-43m: a, b, c, d as the corners of a square
        (221, 2, 2),
    ],
)
def test_orders_of_the_permutation_groups(group, euclidean, affine):
    assert len(position_permutations(group)) == euclidean
    assert len(position_permutations(group, "affine")) == affine


def test_zinc_blende_positions_turn_in_a_square():
    """F-43m: a (0,0,0), c (1/4,1/4,1/4), b (1/2,1/2,1/2), d (3/4,3/4,3/4) along the diagonal, a opposite to b."""
    square = {"abcd", "abdc", "bacd", "badc", "cdab", "cdba", "dcab", "dcba"}
    assert {word[:4] for word in swaps(216)} == square


@pytest.mark.parametrize("group", range(1, 231))
def test_permutations_form_a_group_that_keeps_the_kind(group):
    positions = space_group(group).positions
    kinds = np.array([(p.multiplicity, p.degrees_of_freedom) for p in positions])
    for normaliser in ("euclidean", "affine"):
        rows = position_permutations(group, normaliser)
        assert (np.sort(rows, axis=1) == np.arange(len(positions))).all()
        assert (kinds[rows] == kinds).all()
        assert rows[0].tolist() == list(range(len(positions)))
        held = {row.tobytes() for row in rows}
        some = rows[:: max(1, len(rows) // 12)]
        assert all(a[b].tobytes() in held for a in some for b in some)


def test_euclidean_permutations_are_among_the_affine_ones():
    for group in range(1, 231):
        assert swaps(group) <= swaps(group, "affine")


@pytest.mark.parametrize("group", [3, 14, 62, 123, 166, 194, 216, 225])
def test_the_file_is_what_the_generator_makes(group):
    for affine, name in ((False, "euclidean"), (True, "affine")):
        np.testing.assert_array_equal(
            build_normaliser.group_permutations(group, affine), position_permutations(group, name)
        )


@pytest.mark.parametrize("group", [2, 12, 62, 136, 166, 216, 225, 227])
def test_relabelled_orbits_are_the_same_structure(group):
    """Zero-freedom orbits on the image positions make the same crystal, by its interatomic distances."""
    fixed = [i for i, p in enumerate(space_group(group).positions) if p.degrees_of_freedom == 0][:2]
    lattice = reference_cell(group)
    numbers = np.array([11, 17])[: len(fixed)]

    def distances(positions: list[int]) -> np.ndarray:
        crystal = expand(AsymUnit(group, lattice, numbers, np.array(positions), np.zeros((len(positions), 3))))
        shifts = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
        delta = crystal.frac_coords[:, None, None] - crystal.frac_coords[None, :, None]
        delta = (delta - np.floor(delta) + shifts) @ lattice
        pairs = crystal.numbers[:, None] * 1000.0 + crystal.numbers
        lengths = np.linalg.norm(delta, axis=-1) + 1000.0 * pairs[:, :, None]
        near = np.linalg.norm(delta, axis=-1) < np.linalg.norm(lattice, axis=1).min()
        return np.sort(lengths[near])

    expected = distances(fixed)
    for row in position_permutations(group):
        np.testing.assert_allclose(distances([int(row[i]) for i in fixed]), expected, atol=1e-6)


def reference_cell(group: int) -> np.ndarray:
    """A cell of the group's crystal system without accidental symmetry."""
    from crystaltool.lattice import parameters_to_matrix

    cells = {
        "triclinic": (4.1, 5.3, 6.7, 81, 97, 103),
        "monoclinic": (4.1, 5.3, 6.7, 90, 101, 90),
        "orthorhombic": (4.1, 5.3, 6.7, 90, 90, 90),
        "tetragonal": (4.1, 4.1, 6.7, 90, 90, 90),
        "trigonal": (4.1, 4.1, 6.7, 90, 90, 120),
        "hexagonal": (4.1, 4.1, 6.7, 90, 90, 120),
        "cubic": (4.1, 4.1, 4.1, 90, 90, 90),
    }
    return parameters_to_matrix(*map(float, cells[space_group(group).crystal_system]))


def test_shifted_rock_salt_is_one_template_when_merged():
    cell = np.eye(3) * 5.64
    first = AsymUnit(225, cell, np.array([11, 17]), np.array([0, 2]), np.zeros((2, 3)))
    second = AsymUnit(225, cell, np.array([11, 17]), np.array([1, 2]), np.zeros((2, 3)))
    templates = [template(unit.group, unit.positions) for unit in (first, second)]
    assert templates[0] != templates[1] and merge(templates[0]) == merge(templates[1])
    raw, merged = count_templates(templates, []), count_templates(templates, [], "euclidean")
    assert (raw.unique, raw.new, merged.unique, merged.new) == (2, 2, 1, 1)


def test_counts():
    training = [(225, (0, 1)), (225, (0, 1)), (62, (2,))]
    generated = [(225, (0, 1)), (225, (0, 0)), (225, (0, 0)), (1, (0,))]
    count = count_templates(generated, training)
    assert (count.n_structures, count.unique, count.in_training, count.new, count.training) == (4, 3, 1, 2, 2)


def test_detected_orbits_give_the_template():
    unit = reduce(expand(AsymUnit(225, np.eye(3) * 5.64, np.array([11, 17]), np.array([0, 1]), np.zeros((2, 3)))))
    assert template(unit.group, unit.positions) == (225, (0, 1))
