"""Crystal <-> asymmetric unit: what comes back, which representative is chosen, and what is refused."""

from __future__ import annotations

import csv
import gzip
import itertools

import numpy as np
import pytest
import spglib

from crystaltool.asymunit import (
    AsymUnit,
    canonical_free_coords,
    expand,
    reduce,
    reduce_many,
    tabulate,
    wrap,
)
from crystaltool.crystal import Crystal
from crystaltool.errors import SymmetryError
from crystaltool.io.cif import parse_block
from crystaltool.lattice import matrix_to_parameters, parameters_to_matrix
from crystaltool.symmetry import space_group
from crystaltool.symmetry.space_group import free_coordinate_maps, tables
from tests.symmetry.random_crystals import (
    every_position,
    fingerprint,
    orbit_points,
    position_of,
    random_free_coords,
    random_unit,
    same_points,
)
from tests.textbook import BY_NAME, TEXTBOOK

YAG = AsymUnit(  # yttrium aluminium garnet; Euler and Bruce, Acta Cryst. 19 (1965) 971
    group=230,
    lattice=np.eye(3) * 12.0,
    numbers=np.array([13, 39, 13, 8]),
    positions=np.array([0, 2, 3, 7]),
    free_coords=np.array([[0.0, 0, 0], [0, 0, 0], [0, 0, 0], [-0.0306, 0.0512, 0.15]]),
)


def signature(unit: AsymUnit) -> list[tuple[int, int, int, str]]:
    """What the Euclidean normaliser cannot change of each orbit: element, multiplicity, freedom, site symmetry."""
    listed = [space_group(unit.group).positions[position] for position in unit.positions]
    return sorted(
        (int(number), p.multiplicity, p.degrees_of_freedom, "".join(sorted(p.site_symmetry.replace(".", ""))))
        for number, p in zip(unit.numbers, listed, strict=True)
    )


def assert_same_crystal(first: Crystal, second: Crystal, tolerance: float = 1e-6) -> None:
    """All interatomic distances agree, species by species."""
    assert first.volume == pytest.approx(second.volume, rel=1e-9)
    prints, others = fingerprint(first), fingerprint(second)
    assert prints.keys() == others.keys()
    for pair in prints:
        np.testing.assert_allclose(prints[pair], others[pair], atol=tolerance)


def disguise(crystal: Crystal, rng: np.random.Generator, supercell: np.ndarray, shift: float = 1.0) -> Crystal:
    """The same crystal in a supercell, rotated, its origin shifted, its atoms permuted and in other images."""
    points = []
    span = int(np.abs(supercell).sum(axis=0).max())
    for image in itertools.product(range(-span, span + 1), repeat=3):
        points.append((crystal.frac_coords % 1.0 + image) @ np.linalg.inv(supercell))
    inside = np.concatenate(points)
    numbers = np.tile(crystal.numbers, len(points))
    kept = ((inside > -1e-9) & (inside < 1 - 1e-9)).all(axis=1)
    inside, numbers = inside[kept], numbers[kept]
    assert len(inside) == round(abs(np.linalg.det(supercell))) * crystal.n_atoms
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    rotation *= np.linalg.det(rotation)
    order = rng.permutation(len(inside))
    moved = inside + shift * rng.uniform(0, 1, 3) + rng.integers(-1, 2, inside.shape)
    return Crystal(supercell @ crystal.lattice @ rotation, moved[order], numbers[order])


@pytest.mark.parametrize("entry", TEXTBOOK, ids=lambda entry: entry.name)
def test_textbook_crystals_go_and_come_back(entry):
    crystal = entry.crystal()
    unit = reduce(crystal)
    assert unit.group == entry.group
    assert unit.name == entry.name
    published = [space_group(entry.group).position(site[1]) for site in entry.sites]
    assert sorted(unit.multiplicities) == sorted(position.multiplicity for position in published)
    assert_same_crystal(expand(unit), crystal, tolerance=2e-3)
    assert_same_crystal(expand(reduce(expand(unit), 1e-4)), expand(unit))


@pytest.mark.parametrize("name", ["corundum", "rutile", "pyrite", "diamond"])
def test_published_letters_where_the_origin_is_plain(name):
    entry = BY_NAME[name]
    assert sorted(reduce(entry.crystal()).letters) == sorted(site[1] for site in entry.sites)


@pytest.mark.parametrize("entry", TEXTBOOK, ids=lambda entry: entry.name)
def test_any_cell_of_a_crystal_gives_the_same_unit_up_to_the_normaliser(entry):
    rng = np.random.default_rng(entry.group)
    crystal = expand(reduce(entry.crystal()))
    reference = reduce(crystal)
    supercell = (
        np.array([[1, 1, 0], [0, 1, 0], [0, 0, 2]])
        if crystal.n_atoms < 20
        else np.array([[1, 0, 1], [0, 1, 0], [0, 0, 1]])
    )
    unit = reduce(disguise(crystal, rng, supercell), 1e-3)
    assert unit.group == entry.group
    np.testing.assert_allclose(matrix_to_parameters(unit.lattice), matrix_to_parameters(reference.lattice), rtol=1e-6)
    assert signature(unit) == signature(reference)
    assert_same_crystal(expand(unit), crystal, tolerance=1e-5)


@pytest.mark.parametrize("seed", range(6))
def test_free_coordinates_are_unique_where_the_normaliser_gives_no_choice(seed):
    """Ia-3d is its own Euclidean normaliser: garnet has one description, whatever cell it comes in."""
    rng = np.random.default_rng(seed)
    reference = reduce(expand(YAG), 1e-4)
    supercell = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) if seed % 3 == 0 else np.eye(3, dtype=int)
    primitive = np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]) / 2
    crystal = expand(YAG)
    if seed % 3 == 2:  # the primitive cell, half the atoms
        points = crystal.frac_coords @ np.linalg.inv(primitive) % 1.0 % 1.0
        keys = np.unique(np.round(points * 1e6).astype(int) % 10**6, axis=0, return_index=True)[1]
        crystal = Crystal(primitive @ crystal.lattice, points[keys], crystal.numbers[keys])
        assert crystal.n_atoms == 80
    unit = reduce(disguise(crystal, rng, supercell), 1e-3)
    assert (unit.group, unit.letters) == (230, reference.letters) == (230, ("a", "c", "d", "h"))
    assert unit.numbers.tolist() == reference.numbers.tolist() == YAG.numbers.tolist()
    np.testing.assert_allclose(unit.free_coords, reference.free_coords, atol=1e-7)
    np.testing.assert_allclose(unit.lattice, reference.lattice, atol=1e-7)


def test_garnet_keeps_its_published_oxygen():
    """O at (-0.0306, 0.0512, 0.15) is an image of the representative that is kept, whose coordinates are smaller."""
    points = orbit_points(230, 7, reduce(expand(YAG), 1e-4).free_coords[3])
    assert same_points(YAG.lattice, points, orbit_points(230, 7, YAG.free_coords[3]), 1e-6)


@pytest.mark.parametrize("number", range(1, 231))
def test_random_units_of_every_group_come_back(number):
    """reduce(expand(unit)) is the unit, up to the Euclidean normaliser."""
    unit = random_unit(number, 2, np.random.default_rng(number))
    crystal = expand(unit)
    assert crystal.n_atoms == unit.multiplicities.sum()
    again = reduce(crystal, 1e-4)
    assert again.group == number
    assert signature(again) == signature(unit)
    if crystal.n_atoms <= 120:
        assert_same_crystal(expand(again), crystal)


def test_the_representative_is_the_same_from_every_point_of_the_orbit():
    rng = np.random.default_rng(0)
    groups, positions = every_position()
    freedom = np.array([position_of(g, p).degrees_of_freedom for g, p in zip(groups, positions, strict=True)])
    free_coords = random_free_coords(freedom, rng)
    orbits = [orbit_points(g, p, u) for g, p, u in zip(groups, positions, free_coords, strict=True)]
    reference = None
    for _ in range(3):
        points = np.stack([orbit[rng.integers(len(orbit))] for orbit in orbits]) + rng.integers(-2, 3, (len(groups), 3))
        chosen, miss = canonical_free_coords(groups, positions, points)
        assert miss.max() < 1e-9
        reference = chosen if reference is None else reference
        np.testing.assert_allclose(chosen, reference, atol=1e-9)
    assert (chosen >= 0).all()
    assert (chosen < 1).all()


@pytest.mark.parametrize("number", [1, 2, 14, 47, 62, 136, 141, 167, 194, 205, 225])
def test_the_representative_has_the_smallest_free_coordinates(number):
    """Against a plain search: all orbit points, all lattice vectors, those on operation 0, least u in order."""
    rng = np.random.default_rng(number)
    group = space_group(number)
    maps, origins = free_coordinate_maps()
    first = tables()["first_position"][number - 1]
    for index, position in enumerate(group.positions):
        free_coords = random_free_coords(np.array([position.degrees_of_freedom]), rng)[0]
        candidates = []
        for point in orbit_points(number, index, free_coords):
            y = maps[first + index] @ (point - origins[first + index])
            rest = y[position.degrees_of_freedom :]
            if np.abs(rest - np.round(rest)).max(initial=0.0) < 1e-9:
                candidates.append(tuple(y[: position.degrees_of_freedom] % 1.0))
        chosen, _ = canonical_free_coords(
            np.array([number]),
            np.array([index]),
            (position.rotations[0] @ free_coords + position.translations[0])[None],
        )
        np.testing.assert_allclose(chosen[0][: position.degrees_of_freedom], min(candidates), atol=1e-9)


def test_a_point_off_its_position_is_measured():
    _, miss = canonical_free_coords(np.array([225]), np.array([0]), np.array([[0.03, 0.0, 0.0]]))
    assert miss[0] == pytest.approx(0.03)


def test_expansion_against_the_bare_operations():
    """Every orbit is the set of images of its representative under the group, each point once."""
    for number in (2, 15, 62, 141, 167, 194, 227):
        unit = random_unit(number, 3, np.random.default_rng(number))
        group, points = space_group(number), expand(unit).frac_coords
        starts = np.concatenate([[0], np.cumsum(unit.multiplicities)])
        for orbit, representative in enumerate(unit.frac_coords):
            images = wrap(group.rotations @ representative + group.translations)
            distinct = np.unique(np.round(images * 1e8).astype(np.int64) % 10**8, axis=0) / 1e8
            assert same_points(unit.lattice, points[starts[orbit] : starts[orbit + 1]], distinct, 1e-5)


def test_orbits_are_listed_by_position_element_and_coordinates():
    unit = reduce(BY_NAME["kyanite"].crystal())
    rows = list(zip(unit.positions, unit.numbers, unit.free_coords.round(6).tolist(), strict=True))
    assert rows == sorted(rows)


def test_wrapping_never_gives_one():
    wrapped = wrap(np.array([-1e-17, 1.0, -0.25, 2.5]))
    np.testing.assert_array_equal(wrapped, [0.0, 0.0, 0.75, 0.5])


def test_tables_hold_their_units():
    units = [reduce(BY_NAME[name].crystal()) for name in ("rutile", "corundum", "halite")]
    table = tabulate(units)
    assert len(table) == 3
    for unit, by_index, by_iteration in zip(units, (table[i] for i in range(3)), table, strict=True):
        for other in (by_index, by_iteration):
            assert (other.group, other.name) == (unit.group, unit.name)
            np.testing.assert_array_equal(other.lattice, unit.lattice)
            np.testing.assert_array_equal(other.free_coords, unit.free_coords)
            assert other.letters == unit.letters
    with pytest.raises(IndexError):
        table[3]
    assert len(tabulate([])) == 0


def test_failures_keep_their_place():
    """Two atoms in one place have no space group; the structures around them are reduced."""
    good = BY_NAME["halite"].crystal()
    bad = Crystal(np.eye(3) * 4.0, np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]), np.array([11, 11]))
    first, second, third = reduce_many([good, bad, good])
    assert isinstance(second, SymmetryError)
    assert isinstance(first, AsymUnit)
    assert isinstance(third, AsymUnit)
    assert (first.group, third.group) == (225, 225)
    with pytest.raises(SymmetryError, match="no space group"):
        reduce(bad)
    assert reduce_many([]) == []


@pytest.mark.parametrize(("group", "position"), [(0, 0), (231, 0), (225, 12), (225, -1)])
def test_units_that_cannot_exist_are_refused(group, position):
    with pytest.raises(SymmetryError):
        AsymUnit(group, np.eye(3), np.array([1]), np.array([position]), np.zeros((1, 3)))


def test_refined_cells_are_exact():
    """A cell read with errors in its last digits comes out with the angles of its crystal system."""
    corundum = BY_NAME["corundum"].crystal()
    skewed = Crystal(
        parameters_to_matrix(4.7592, 4.7595, 12.9918, 90.01, 89.99, 120.005), corundum.frac_coords, corundum.numbers
    )
    a, b, _, *angles = matrix_to_parameters(reduce(skewed).lattice)
    assert a == pytest.approx(b, rel=1e-14)
    np.testing.assert_allclose(angles, [90, 90, 120], atol=1e-10)


@pytest.mark.data
def test_mp20_structures_come_back(mp20):
    """The first 150 of the validation split: spglib finds the same group, the volume an atom stays."""
    with gzip.open(mp20 / "val.csv.gz", "rt", newline="") as stream:
        rows = list(itertools.islice(csv.DictReader(stream), 150))
    crystals = [parse_block(row["cif"], "val.csv.gz", 1).crystal for row in rows]
    for crystal, unit in zip(crystals, reduce_many(crystals, 0.1), strict=True):
        assert isinstance(unit, AsymUnit)
        rebuilt = expand(unit)
        cell = (rebuilt.lattice, rebuilt.frac_coords, rebuilt.numbers)
        found = spglib.get_symmetry_dataset(cell, symprec=1e-3)
        assert found is not None
        assert found.number == unit.group
        assert rebuilt.n_atoms % crystal.n_atoms == 0 or crystal.n_atoms % rebuilt.n_atoms == 0
        assert rebuilt.volume / rebuilt.n_atoms == pytest.approx(crystal.volume / crystal.n_atoms, rel=2e-2)
