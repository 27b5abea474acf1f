"""MOFs <-> the numbers that MOFDiff learns: canonical cells, blocks described, padded batches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from crystaltool.errors import InputError
from crystaltool.lattice import matrix_to_k, parameters_to_matrix
from crystaltool.models.mofdiff.representation import (
    N_BLOCK_FEATURES,
    N_ELEMENTS,
    canonical_cell,
    count_metals,
    describe_blocks,
    prepare,
    to_batch,
)
from crystaltool.mof.blocks import LINKER, NODE, CoarseMOF
from crystaltool.mof.table import MOFTable, tabulate
from crystaltool.units import ATOMIC_MASS
from tests.models.mofdiff.tiny import embeddings_of, net, real_mofs, small_data, small_table

CELLS = {
    "acute": parameters_to_matrix(11.0, 13.5, 15.2, 81.0, 74.0, 68.0),
    "obtuse": parameters_to_matrix(11.0, 13.5, 15.2, 95.0, 101.0, 97.0),
    "mixed signs": parameters_to_matrix(11.0, 13.5, 15.2, 95.0, 80.0, 97.0),
    "monoclinic": parameters_to_matrix(11.0, 13.5, 15.2, 90.0, 108.0, 90.0),
    "orthorhombic": np.diag([9.0, 11.0, 17.0]),
    "tetragonal": np.diag([9.0, 9.0, 17.0]),
    "cubic": np.eye(3) * 12.0,
    "fcc": (np.ones((3, 3)) - np.eye(3)) * 13.0,
    "bcc": (np.ones((3, 3)) - 2 * np.eye(3)) * 8.0,
    "hexagonal": parameters_to_matrix(15.0, 15.0, 6.8, 90.0, 90.0, 120.0),
    "MOF-74": parameters_to_matrix(6.8, 15.1, 15.1, 117.7, 98.1, 98.1),
    "needle": parameters_to_matrix(3.6, 14.0, 31.0, 92.0, 84.0, 77.0),
}


def unimodular(rng: np.random.Generator, n: int = 6) -> np.ndarray:
    """A basis change as a product of random shears and cyclic permutations; integer, determinant 1."""
    change = np.eye(3, dtype=np.int64)
    for _ in range(n):
        shear = np.eye(3, dtype=np.int64)
        i, j = rng.choice(3, 2, replace=False)
        shear[i, j] = rng.integers(-2, 3)
        change = np.roll(shear @ change, rng.integers(3), axis=0)
    assert round(np.linalg.det(change)) == 1
    return change


@pytest.mark.parametrize("name", CELLS)
def test_a_canonical_cell_is_a_right_handed_reduced_one_of_the_same_lattice(name: str) -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        change = unimodular(rng)
        lattice = change @ CELLS[name]
        basis = canonical_cell(lattice)
        assert basis.dtype.kind == "i" and round(np.linalg.det(basis)) == 1
        rows = basis @ lattice
        lengths = np.linalg.norm(rows, axis=1)
        assert (np.diff(lengths) > -1e-9 * lengths[:2]).all()
        # Minkowski: no combination with coefficients -1, 0, 1 shortens a row.
        products = rows @ rows.T
        for i, j in ((0, 1), (0, 2), (1, 2)):
            assert 2 * abs(products[i, j]) <= products[i, i] * (1 + 1e-9)
        for signs in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
            diagonal = rows[2] + signs[0] * rows[0] + signs[1] * rows[1]
            assert np.linalg.norm(diagonal) >= lengths[2] * (1 - 1e-9)
        off = products[[0, 0, 1], [1, 2, 2]]
        small = 1e-9 * np.trace(products)
        assert (off > -small).all() or (off < small).all()


@pytest.mark.parametrize("name", sorted(CELLS.keys() - {"fcc", "bcc", "MOF-74"}))
def test_every_description_of_a_lattice_gives_the_same_cell(name: str) -> None:
    """The three left out have several reduced cells: shortest vectors that tie without being equivalent by sign."""
    rng = np.random.default_rng(2)
    expected = matrix_to_k(canonical_cell(CELLS[name]) @ CELLS[name])
    for _ in range(20):
        turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
        lattice = unimodular(rng) @ CELLS[name] @ (turn * np.sign(np.linalg.det(turn)))
        found = matrix_to_k(canonical_cell(lattice) @ lattice)
        np.testing.assert_allclose(found, expected, atol=1e-9)


def test_preparing_another_description_changes_nothing_but_the_axes() -> None:
    """Centres transform with the cell: distances between blocks, over all images, stay what they were."""
    rng = np.random.default_rng(3)
    mofs = [net(3, 30, 3, rng.normal(0, 0.1, (3, 3)), name="a"), net(2, 29, 4, rng.normal(0, 0.1, (3, 3)), 2, "b")]
    other = []
    for mof in mofs:
        change = unimodular(rng)
        moved = mof.centres @ np.linalg.inv(change) + rng.integers(-2, 3, mof.centres.shape)
        other.append(replace(mof, lattice=change @ mof.lattice, centres=moved, connections=None, rotations=None))
    first, second = (prepare(table, embeddings_of(table).embedding, ()) for table in (tabulate(mofs), tabulate(other)))
    np.testing.assert_allclose(second.k, first.k, atol=1e-9)
    np.testing.assert_allclose(second.descriptors, first.descriptors, atol=1e-9)
    assert second.centres.min() >= 0 and second.centres.max() < 1
    start = 0
    for index, mof in enumerate(mofs):
        rows = slice(start, start + mof.n_blocks)
        start += mof.n_blocks
        cell = canonical_cell(mof.lattice) @ mof.lattice
        np.testing.assert_allclose(
            distances(second.centres[rows], cell), distances(mof.centres, mof.lattice), atol=1e-8
        )
        assert index == 0 or mof.n_blocks == 6


def distances(frac_coords: np.ndarray, lattice: np.ndarray, reach: int = 6) -> np.ndarray:
    """The twenty shortest distances from each point to the others' images, sorted; shape (n, 20)."""
    shifts = np.indices((2 * reach + 1,) * 3).reshape(3, -1).T - reach
    apart = frac_coords[None, :, None] - frac_coords[:, None, None] + shifts
    found = np.linalg.norm(apart @ lattice, axis=-1).reshape(len(frac_coords), -1)
    return np.sort(found, axis=1)[:, :20]


def test_what_stands_in_the_table_arrives_place_by_place() -> None:
    table, data = small_table(), small_data()
    embeddings = embeddings_of(table).embedding
    start = 0
    for index in range(len(table)):
        mof = table[index]
        rows = slice(start, start + mof.n_blocks)
        start += mof.n_blocks
        assert data.n_places[index] == mof.n_blocks
        assert data.kinds[rows].tolist() == [block.kind for block in mof.blocks]
        assert data.connections[rows].tolist() == [block.n_connections for block in mof.blocks]
        mass = sum(ATOMIC_MASS[block.numbers].sum() for block in mof.blocks)
        volume = np.linalg.det(mof.lattice)
        described = data.descriptors[index, N_ELEMENTS:]
        assert np.exp(described[6]) == pytest.approx(volume / mof.n_atoms, rel=1e-9)
        assert np.exp(described[7]) == pytest.approx(mass / volume / 0.602214076, rel=1e-6)
        assert np.exp(described[8]) == pytest.approx(volume / mof.n_blocks, rel=1e-9)
        cell = canonical_cell(mof.lattice) @ mof.lattice
        apart = sorted(volume / np.linalg.norm(np.cross(*np.delete(cell, axis, axis=0))) for axis in range(3))
        np.testing.assert_allclose(np.exp(described[9:12]), apart, rtol=1e-9)
        counted = np.expm1(described[12:])
        for kind in range(3):
            blocks = [block for block in mof.blocks if block.kind == kind]
            sizes = [(1, block.n_atoms, len(block.bonds), block.n_connections) for block in blocks]
            assert counted[kind:12:3] == pytest.approx(np.sum(sizes or [[0] * 4], axis=0), abs=1e-9)
        largest = max(block.n_atoms for block in mof.blocks)
        assert counted[12:15] == pytest.approx([mof.n_atoms, largest, 1], abs=1e-9)
        for kind, found in ((NODE, counted[15:21]), (LINKER, counted[21:27])):
            of_kind = [block for block in mof.blocks if block.kind == kind]
            atoms = [np.linalg.norm(block.cart_coords, axis=1) for block in of_kind]
            ends = [np.linalg.norm(block.connection_coords, axis=1).max() for block in of_kind]
            sizes = np.array([(np.sqrt((r**2).mean()), r.max(), end) for r, end in zip(atoms, ends, strict=True)])
            expected = [*sizes.max(0), *sizes.mean(0)] if of_kind else [0] * 6
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-9)
        assert len(counted) == 27
        fractions = np.expm1(data.descriptors[index, :N_ELEMENTS]) / 20
        numbers = np.concatenate([block.numbers for block in mof.blocks])
        np.testing.assert_allclose(fractions, np.bincount(numbers, minlength=119)[1:] / len(numbers), atol=1e-12)
        blocks = table.arrays["places/block"][rows]
        # Whitened embeddings come through as they are: no norm of all dimensions is taken again.
        np.testing.assert_array_equal(data.embeddings[rows], embeddings[blocks].astype(np.float64))
    assert start == len(data.centres) == len(data.features)


def test_density_of_a_real_mof() -> None:
    """MOF-5 of the literature: 0.59 g/cm3 guest-free (Li et al., Nature 402 (1999) 276)."""
    assert real_mofs()[0].name == "MOF-5"
    assert np.exp(small_data().descriptors[0, N_ELEMENTS + 7]) == pytest.approx(0.59, abs=0.02)


def test_properties_that_are_not_known_are_nan() -> None:
    data = prepare(small_table(), embeddings_of(small_table()).embedding, ("nothing", "density", "co2_wc"))
    assert data.properties.shape == (16, 3)
    assert np.isnan(data.properties[:, 0]).all() and np.isfinite(data.properties[:, 1]).all()
    assert np.isfinite(data.properties[:, 2]).tolist() == [bool(i % 2) for i in range(16)]
    assert prepare(small_table(), embeddings_of(small_table()).embedding, ()).properties.shape == (16, 0)


def test_blocks_are_described_by_numbers_of_order_one() -> None:
    """Kind, atoms, mass, connection points and size, none of which a rotation changes."""
    features = describe_blocks(small_table())
    assert features.shape == (small_table().n_blocks, N_BLOCK_FEATURES)
    assert np.abs(features).max() < 3.5
    for row, block in ((i, small_table().block(i)) for i in (0, 3, 20, small_table().n_blocks - 1)):
        assert features[row, block.kind] == 1 and features[row, :3].sum() == 1
        mass = ATOMIC_MASS[block.numbers].sum()
        assert features[row, 4] == pytest.approx(np.log(mass) / 2 - 2.5)
        assert features[row, 5] == pytest.approx(block.n_connections / 5 - 1)
        radius = np.sqrt(np.square(block.cart_coords).sum(1).mean())
        assert features[row, 6] == pytest.approx(radius / 3 - 1, abs=1e-5)


# ---- batches


def test_batches_are_padded_and_in_any_order() -> None:
    data = small_data()
    starts = np.cumsum(data.n_places) - data.n_places
    order = np.random.default_rng(0).permutation(len(data))
    batch = to_batch(data, order, starts)
    assert batch.mask.sum(1).tolist() == data.n_places[order].tolist()
    assert batch.mask.shape[1] == data.n_places.max()
    for row, index in enumerate(order.tolist()):
        places = slice(starts[index], starts[index] + data.n_places[index])
        used = batch.mask[row]
        np.testing.assert_allclose(batch.centres[row][used], data.centres[places], atol=1e-6)
        np.testing.assert_allclose(batch.embeddings[row][used], data.embeddings[places], atol=1e-6)
        np.testing.assert_array_equal(batch.kinds[row][used], data.kinds[places])
        np.testing.assert_array_equal(batch.connections[row][used], data.connections[places])
        for name in ("centres", "embeddings", "features", "kinds", "connections"):
            assert not getattr(batch, name)[row][~used].any()
        np.testing.assert_allclose(batch.k[row], data.k[index], atol=1e-6)
    assert batch.k.dtype == batch.centres.dtype == torch.float32


def test_metals_are_counted_where_places_are_filled() -> None:
    """NODE is 0, which is also what stands in empty places."""
    batch = to_batch(small_data(), np.arange(16), np.cumsum(small_data().n_places) - small_data().n_places)
    expected = [sum(block.kind == NODE for block in small_table()[i].blocks) for i in range(16)]
    assert not batch.mask.all() and count_metals(batch).tolist() == expected


# ---- what the model cannot hold


def test_data_that_do_not_fit_are_refused() -> None:
    table = small_table()
    vectors = embeddings_of(table).embedding
    with pytest.raises(InputError, match=f"{len(vectors) - 1} embeddings for {len(vectors)} blocks"):
        prepare(table, vectors[1:], ())
    with pytest.raises(InputError, match="no MOF"):
        prepare(tabulate([]), vectors[:0], ())
    many = stacked(net(3, 30, 2, np.zeros((3, 3))), 6)
    with pytest.raises(InputError, match="MOF of 24 blocks, the limit is 20"):
        prepare(many, np.zeros((many.n_blocks, 32), dtype=np.float32), ())
    crowded = crowd(21)
    with pytest.raises(InputError, match="block with 21 connection points, the limit is 20"):
        prepare(crowded, np.zeros((crowded.n_blocks, 32), dtype=np.float32), ())


def stacked(mof: CoarseMOF, copies: int) -> MOFTable:
    """Copies of a MOF in one cell, unposed."""
    centres = np.concatenate([mof.centres + np.array([0.01 * i, 0, 0]) for i in range(copies)])
    return tabulate([CoarseMOF(mof.lattice, mof.blocks * copies, centres)])


def crowd(n: int) -> MOFTable:
    """A MOF whose node has n connection points."""
    mof = net(1, 30, 2, np.zeros((3, 3)))
    block = mof.blocks[0]
    points = np.zeros((n, 3))
    big = replace(block, connection_coords=points, connection_atoms=np.zeros(n, dtype=np.int64))
    return tabulate([CoarseMOF(mof.lattice, (big, mof.blocks[1]), mof.centres)])
