"""Points and bonds of blocks, conformers, what is held out, batches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from crystaltool.models.block_encoder.data import (
    BlockPoints,
    block_points,
    conformers,
    identity_batches,
    spans,
    split_blocks,
)
from crystaltool.mof.blocks import BuildingBlock
from crystaltool.mof.table import MOFTable
from tests.models.block_encoder.blocks import made_block, made_table, table_of


@pytest.fixture(scope="module")
def table() -> MOFTable:
    return made_table()


@pytest.fixture(scope="module")
def points(table: MOFTable) -> BlockPoints:
    return block_points(table)


def identities(table: MOFTable) -> np.ndarray:
    return table.arrays["blocks/identity"].astype(np.int64)


def test_spans() -> None:
    np.testing.assert_array_equal(spans(np.array([5, 0, 9]), np.array([2, 0, 3])), [5, 6, 9, 10, 11])
    assert len(spans(np.zeros(0, np.int64), np.zeros(0, np.int64))) == 0


def test_a_batch_holds_what_the_blocks_hold(table: MOFTable, points: BlockPoints) -> None:
    rows = np.array([7, 0, 30])
    batch = points.batch(rows)
    start = 0
    bonds = {tuple(pair): kind for pair, kind in zip(batch.bonds.tolist(), batch.bond_types.tolist(), strict=True)}
    for place, row in enumerate(rows):
        block = table.block(int(row))
        n, cut = block.n_atoms, block.n_connections
        assert (int(batch.n_atoms[place]), int(batch.n_connections[place])) == (n, cut)
        here = slice(start, start + n + cut)
        np.testing.assert_array_equal(batch.numbers[here], [*block.numbers, *[0] * cut])
        expected = np.concatenate([block.cart_coords, block.connection_coords])
        np.testing.assert_allclose(batch.cart_coords[here], expected, atol=1e-6)
        for i, j in block.bonds + start:
            assert bonds.pop((i, j)) == 0
        for point, atom in enumerate(block.connection_atoms):
            assert bonds.pop((start + atom, start + n + point)) == 1
        start += n + cut
    assert not bonds and start == len(batch.numbers)


def test_bond_orders_are_not_looked_at(table: MOFTable, points: BlockPoints) -> None:
    arrays = {**table.arrays, "blocks/bond_orders": np.zeros_like(table.arrays["blocks/bond_orders"])}
    other = block_points(replace(table, arrays=arrays)).batch(np.arange(9))
    for field, value in vars(points.batch(np.arange(9))).items():
        assert torch.equal(value, getattr(other, field))


def test_noise_moves_every_point_by_its_blocks_own_deviation(points: BlockPoints) -> None:
    rows = np.repeat([3, 4], 400)
    noise = np.repeat([0.0, 0.2], 400)
    clean = points.batch(rows).cart_coords
    moved = points.batch(rows, noise, np.random.default_rng(0)).cart_coords - clean
    still = int(points.n_points[rows[:400]].sum())
    assert not moved[:still].any()
    assert float(moved[still:].std()) == pytest.approx(0.2, rel=0.05)


def turned(block: BuildingBlock, noise: float, seed: int) -> BuildingBlock:
    """The same geometry in another frame, atoms in another order, a little shaken."""
    rng = np.random.default_rng(seed)
    matrix, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    order = rng.permutation(block.n_atoms)
    place = np.argsort(order)
    points = block.connection_coords @ matrix + rng.normal(0, noise, block.connection_coords.shape)
    return replace(
        block,
        numbers=block.numbers[order],
        cart_coords=(block.cart_coords @ matrix + rng.normal(0, noise, block.cart_coords.shape))[order],
        bonds=place[block.bonds],
        connection_coords=points,
        connection_atoms=place[block.connection_atoms],
    )


def test_conformers_are_told_apart_and_copies_are_not() -> None:
    originals = [made_block(chemistry, geometry) for chemistry in (1, 5, 9) for geometry in (0, 1)]
    copies = [turned(block, 0.01, seed) for seed, block in enumerate(originals)]
    table = table_of([*originals, *copies])
    stands = conformers(block_points(table), identities(table), 0.1)
    np.testing.assert_array_equal(stands, [*range(6), *range(6)])
    coarse = conformers(block_points(table), identities(table), 100.0)
    np.testing.assert_array_equal(coarse, [0, 0, 2, 2, 4, 4] * 2)


def test_blocks_of_other_identities_never_stand_for_each_other() -> None:
    block = made_block(1, 0)
    table = table_of([block, replace(block, identity="other"), block])
    np.testing.assert_array_equal(conformers(block_points(table), identities(table), 100.0), [0, 1, 0])
    unknown = np.full(3, -1)
    np.testing.assert_array_equal(conformers(block_points(table), unknown, 100.0), [0, 1, 2])


def test_swapped_elements_are_another_geometry() -> None:
    """The distances alone are the same; which elements they join is not."""
    block = made_block(1, 0)
    numbers = block.numbers.copy()
    one, other = 0, int(np.flatnonzero(numbers != numbers[0])[0])
    numbers[[one, other]] = numbers[[other, one]]
    table = table_of([block, replace(block, numbers=numbers)])
    np.testing.assert_array_equal(conformers(block_points(table), identities(table), 0.1), [0, 1])


def test_what_is_held_out(table: MOFTable) -> None:
    """Every conformer in one part; no identity of the one part in the others; all known identities keep a block."""
    many = made_table(80, 5)
    identity = identities(many)
    stands = conformers(block_points(many), identity, 0.1)
    split = split_blocks(many.identity_names, identity, stands)
    parts = (split.train, split.geometry, split.identity)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.unique(stands))
    assert not set(identity[split.identity]) & set(identity[split.train])
    assert set(identity[split.geometry]) <= set(identity[split.train])
    assert 2 <= len(np.unique(identity[split.identity])) <= 18 and 8 <= len(split.geometry) <= 60
    few = split_blocks(table.identity_names, identities(table), np.arange(table.n_blocks))
    hidden = {many.identity_names[i] for i in np.unique(identity[split.identity])}
    assert {table.identity_names[i] for i in np.unique(identities(table)[few.identity])} == hidden & set(
        table.identity_names
    )


def test_an_epoch_has_two_blocks_of_every_identity(table: MOFTable, points: BlockPoints) -> None:
    identity = identities(table)
    rows = np.flatnonzero((identity != 3) | (np.arange(len(identity)) == np.flatnonzero(identity == 3)[0]))
    for epoch in range(4):
        batches = identity_batches(rows, identity, points, 10, 7, epoch)
        assert [len(batch) for batch in batches] == [10, 10, 4]
        pairs = np.concatenate(batches)
        np.testing.assert_array_equal(identity[pairs[:, 0]], identity[pairs[:, 1]])
        assert sorted(identity[pairs[:, 0]]) == list(range(24))
        assert set(pairs.ravel()) <= set(rows)
        same = pairs[:, 0] == pairs[:, 1]
        np.testing.assert_array_equal(identity[pairs[same, 0]], [3])
        again = identity_batches(rows, identity, points, 10, 7, epoch)
        assert all(np.array_equal(a, b) for a, b in zip(batches, again, strict=True))
    assert not np.array_equal(pairs, np.concatenate(identity_batches(rows, identity, points, 10, 8, 3)))


def test_isomers_share_a_batch_in_odd_epochs() -> None:
    """Forty identities of ten formulas: in odd epochs the eight of a group are of two or three formulas."""
    blocks = [replace(made_block(k % 10, k), identity=f"isomer-{k}") for k in range(40)]
    table = table_of(blocks)
    points, identity = block_points(table), identities(table)

    def formulas(epoch: int) -> float:
        batches = identity_batches(np.arange(40), identity, points, 8, 0, epoch)
        return float(np.mean([len({row % 10 for row in batch[:, 0]}) for batch in batches]))

    assert all(formulas(epoch) <= 3.0 for epoch in (1, 3, 5))
