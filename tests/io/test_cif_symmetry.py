"""Operations of a block and the expansion of its sites, against gemmi's tables and spglib."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest
import spglib

from crystaltool.errors import InputError
from crystaltool.io.cif import parse_block
from crystaltool.io.cif_symmetry import (
    IDENTITY,
    IDENTITY_OPERATIONS,
    MAX_OPERATIONS,
    SPECIAL_POSITION_DISTANCE,
    expand_sites,
    group_of_operations,
    parse_operations,
)
from crystaltool.lattice import parameters_to_matrix
from tests.io.blocks import halite

SETTINGS = sorted({group.xhm(): group for group in gemmi.spacegroup_table()}.items())
SOME = [group for _, group in SETTINGS[::23]]


def texts_of(group: gemmi.SpaceGroup) -> tuple[str, ...]:
    return tuple(op.triplet() for op in group.operations())


def matrices_of(group: gemmi.SpaceGroup) -> list[np.ndarray]:
    """Each operation as 4 by 4, translations modulo 1."""
    found = []
    for op in group.operations():
        matrix = np.array(op.seitz(), dtype=float).reshape(4, 4)
        matrix[:3, 3] %= 1.0
        found.append(matrix)
    return found


@pytest.mark.parametrize("group", SOME, ids=[group.xhm() for group in SOME])
def test_products_are_those_of_the_matrices(group: gemmi.SpaceGroup) -> None:
    texts = texts_of(group)
    shuffled = tuple(np.random.default_rng(0).permutation(texts).tolist())
    operations = parse_operations(shuffled)
    assert len(operations) == len(texts)
    np.testing.assert_array_equal(operations.rotations[0], np.eye(3))
    assert not operations.translations[0].any()
    matrices = np.tile(np.eye(4), (len(operations), 1, 1))
    matrices[:, :3, :3], matrices[:, :3, 3] = operations.rotations, operations.translations
    expected = {tuple(matrix.round(6).ravel() % 7) for matrix in matrices_of(group)}
    assert {tuple(matrix.round(6).ravel() % 7) for matrix in matrices} == expected
    for i in range(0, len(operations), max(1, len(operations) // 12)):
        product = matrices[i] @ matrices
        wanted = matrices[operations.products[i]]
        np.testing.assert_array_equal(product[:, :3, :3], wanted[:, :3, :3])
        apart = product[:, :3, 3] - wanted[:, :3, 3]
        np.testing.assert_allclose(apart, apart.round(), atol=1e-9)


def test_every_tabulated_setting_is_the_group_that_gemmi_says() -> None:
    for _, group in SETTINGS:
        assert group_of_operations(texts_of(group)) == group.number


@pytest.mark.parametrize("number", [2, 14, 19, 62, 88, 123, 148, 166, 194, 205, 225, 227])
def test_an_untabulated_basis_and_origin_is_the_same_group(number: int) -> None:
    """Gemmi does not know it; spglib finds the type from the operations alone."""
    basis = np.array([[1, 1, 0], [0, 1, 1], [0, 0, 1]])
    change = np.eye(4)
    change[:3, :3], change[:3, 3] = basis, [0.125, 0.25, 0.0]
    texts = []
    for matrix in matrices_of(gemmi.find_spacegroup_by_number(number)):
        moved = change @ matrix @ np.linalg.inv(change)
        op = gemmi.Op()
        op.rot = (np.rint(moved[:3, :3]).astype(int) * op.DEN).tolist()
        op.tran = (np.rint(moved[:3, 3] * op.DEN).astype(int) % op.DEN).tolist()
        texts.append(op.triplet())
    assert gemmi.find_spacegroup_by_ops(gemmi.GroupOps([gemmi.Op(text) for text in texts])) is None
    assert group_of_operations(tuple(texts)) == number


def cell_of(group: gemmi.SpaceGroup) -> np.ndarray:
    """A cell that the group leaves alone, the mean of a metric; too wide for general sites to be near special ones."""
    start = np.diag([24.0, 28.0, 32.0]) ** 2
    rotations = [matrix[:3, :3] for matrix in matrices_of(group)]
    return np.linalg.cholesky(np.mean([r.T @ start @ r for r in rotations], axis=0))


def all_images(group: gemmi.SpaceGroup, site: np.ndarray, lattice: np.ndarray) -> np.ndarray:
    """Different images of a site modulo the lattice, by comparing every two."""
    kept: list[np.ndarray] = []
    for matrix in matrices_of(group):
        image = (matrix[:3, :3] @ site + matrix[:3, 3]) % 1.0
        apart = [other - image - np.rint(other - image) for other in kept]
        if all(np.linalg.norm(vector @ lattice) > 1e-3 for vector in apart):
            kept.append(image)
    return np.array(kept)


def same_points(first: np.ndarray, second: np.ndarray, tolerance: float = 1e-6) -> bool:
    apart = first[:, None] - second[None]
    near = np.abs(apart - np.rint(apart)).max(axis=2) < tolerance
    return len(first) == len(second) and bool(near.any(axis=1).all() and near.any(axis=0).all())


@pytest.mark.parametrize("number", [2, 12, 36, 62, 88, 123, 148, 166, 186, 194, 205, 225, 227])
def test_sites_expand_to_all_their_images(number: int) -> None:
    """On the origin, on points that an operation keeps, and in general position."""
    group = gemmi.find_spacegroup_by_number(number)
    lattice, operations = cell_of(group), parse_operations(texts_of(group))
    sites = [np.zeros(3), np.array([0.137, 0.213, 0.331])]
    for matrix in matrices_of(group)[1:6]:  # the mean of a point and its images is kept by a rotation of finite order
        images, point = [], np.array([0.09, 0.21, 0.37])
        for _ in range(12):
            images.append(point)
            point = matrix[:3, :3] @ point + matrix[:3, 3]
        sites.append(np.mean(images, axis=0))
    sites = np.array(sites)
    labels = [f"X{k}" for k in range(len(sites))]
    coords, owner, placed, moved = expand_sites(lattice, sites, labels, operations, 2000)
    np.testing.assert_allclose(moved[:2], 0, atol=1e-9)
    np.testing.assert_allclose(placed[:2], sites[:2], atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm((placed - sites) @ lattice, axis=1), moved, atol=1e-9)
    assert (moved < SPECIAL_POSITION_DISTANCE).all()
    assert (coords >= 0).all() and (coords < 1).all()
    sizes = set()
    for k, site in enumerate(placed):
        expected = all_images(group, site, lattice)
        assert same_points(coords[owner == k], expected), (number, k)
        sizes.add(len(expected))
    assert len(operations) in sizes and len(sizes) > 1


@pytest.mark.parametrize("number", [62, 166, 194, 225])
def test_a_site_near_a_special_position_is_put_on_it(number: int) -> None:
    """Off by less than the reach; spglib finds the group again at a tight tolerance, so the point is exact."""
    group = gemmi.find_spacegroup_by_number(number)
    lattice, operations = cell_of(group), parse_operations(texts_of(group))
    off = np.array([0.06, -0.05, 0.07]) @ np.linalg.inv(lattice)
    sites = np.array([off, [0.137, 0.213, 0.331]])
    coords, owner, placed, moved = expand_sites(lattice, sites, ["A", "B"], operations, 2000)
    assert moved[0] == pytest.approx(np.linalg.norm(off @ lattice), abs=1e-9) and moved[1] == 0
    np.testing.assert_allclose(placed[0], 0, atol=1e-9)
    assert same_points(coords[owner == 0], all_images(group, np.zeros(3), lattice))
    found = spglib.get_symmetry_dataset((lattice, coords, (owner + 1).tolist()), symprec=1e-5)
    assert found.number == number


def test_a_site_farther_than_the_reach_stays_where_it_is() -> None:
    operations = parse_operations(("x,y,z", "-x,-y,-z"))
    lattice = np.eye(3) * 10
    for distance, n_atoms in ((0.019, 1), (0.021, 2)):  # the image is twice as far: 0.38 and 0.42 A
        coords, *_ = expand_sites(lattice, np.array([[distance, 0, 0]]), ["A"], operations, 10)
        assert len(coords) == n_atoms


def test_what_is_no_group_is_refused_with_the_product_that_is_missing() -> None:
    with pytest.raises(InputError, match="do not include x,y,z"):
        parse_operations(("-x,-y,-z",))
    with pytest.raises(InputError, match=r"do not form a group: .* after .* is .*, which is missing"):
        parse_operations(("x,y,z", "-y,x,z", "-x,-y,z"))
    with pytest.raises(InputError, match="1 operation is given twice"):
        parse_operations(("x,y,z", "-y,x,z", "-y,x,z"))
    with pytest.raises(InputError, match=f"the limit is {MAX_OPERATIONS}"):
        parse_operations(("x,y,z",) * (MAX_OPERATIONS + 1))
    with pytest.raises(InputError):
        parse_operations(("x,y,q",))


def test_limits_of_the_expansion() -> None:
    group = gemmi.find_spacegroup_by_number(225)
    operations = parse_operations(texts_of(group))
    site = np.array([[0.137, 0.213, 0.331]])
    with pytest.raises(InputError, match="more than 100 atoms in the cell, the limit"):
        expand_sites(np.eye(3) * 30, site, ["A"], operations, 100)
    assert len(expand_sites(np.eye(3) * 30, site, ["A"], operations, 192)[0]) == 192


def test_the_identity() -> None:
    parsed = parse_operations(IDENTITY)
    for name in ("rotations", "translations", "products"):
        np.testing.assert_array_equal(getattr(parsed, name), getattr(IDENTITY_OPERATIONS, name))
    lattice = parameters_to_matrix(5.0, 6.0, 7.0, 80.0, 95.0, 102.0)
    sites = np.array([[1.25, -0.5, 0.0]])
    coords, _, placed, _ = expand_sites(lattice, sites, ["A"], parsed, 1)
    np.testing.assert_allclose(coords, [[0.25, 0.5, 0.0]])
    np.testing.assert_array_equal(placed, sites)


MAGNETIC = "loop_\n_space_group_symop_magn_operation.xyz\n'x,y,z,+1'\n'{}'\n"


UNREADABLE = ("-x+1/1e18,-y,-z,+1", "-x+1/99999999999999999999,y,z,+1", "w,y,z,+1", ",,,+1")


@pytest.mark.parametrize("operation", UNREADABLE)
def test_a_magnetic_operation_that_cannot_be_read_is_one_sentence(operation: str) -> None:
    with pytest.raises(InputError, match="operation"):
        parse_block(halite("x").replace("loop_\n_atom", MAGNETIC.format(operation) + "loop_\n_atom", 1))


def test_a_cell_in_a_loop_of_several_values_is_one_sentence() -> None:
    text = halite("x", _cell_length_a="") + "loop_\n_cell_length_a\n5.64\n5.65\n"
    with pytest.raises(InputError, match="_cell_length_a has 2 values, expected 1"):
        parse_block(text)
