"""One property suite over the block network: what must not matter, what must, batch = single, gradients."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from crystaltool.mof.blocks import BuildingBlock
from crystaltool.nn.block_network import block_pairs
from tests.models.block_encoder.blocks import batch_of, made_block, random_encoder

ROUNDING = 1e-9
"""float64 sums in another order, through a few layers."""


def answer(blocks: list[BuildingBlock]) -> torch.Tensor:
    with torch.no_grad():
        return random_encoder()(batch_of(blocks))


def renumbered(block: BuildingBlock, rng: np.random.Generator) -> BuildingBlock:
    """Atoms, bonds, ends of bonds and connection points in another order."""
    order, points = rng.permutation(block.n_atoms), rng.permutation(block.n_connections)
    place = np.argsort(order)
    bonds = place[block.bonds][rng.permutation(len(block.bonds))]
    swap = rng.random(len(bonds)) < 0.5
    return replace(
        block,
        numbers=block.numbers[order],
        cart_coords=block.cart_coords[order],
        bonds=np.where(swap[:, None], bonds[:, ::-1], bonds),
        connection_coords=block.connection_coords[points],
        connection_atoms=place[block.connection_atoms][points],
    )


def turned(block: BuildingBlock, matrix: np.ndarray, shift: np.ndarray) -> BuildingBlock:
    return replace(
        block,
        cart_coords=block.cart_coords @ matrix + shift,
        connection_coords=block.connection_coords @ matrix + shift,
    )


@pytest.fixture(scope="module")
def blocks() -> list[BuildingBlock]:
    return [made_block(chemistry, 0) for chemistry in range(12)]


def test_a_block_alone_gives_what_it_gives_in_a_batch(blocks: list[BuildingBlock]) -> None:
    together = answer(blocks)
    for row, block in enumerate(blocks):
        torch.testing.assert_close(answer([block])[0], together[row], atol=ROUNDING, rtol=ROUNDING)


def test_atoms_bonds_and_connection_points_have_no_order(blocks: list[BuildingBlock]) -> None:
    rng = np.random.default_rng(0)
    moved = [renumbered(block, rng) for block in blocks]
    assert any((a.numbers != b.numbers).any() for a, b in zip(blocks, moved, strict=True))
    torch.testing.assert_close(answer(moved), answer(blocks), atol=ROUNDING, rtol=ROUNDING)


@pytest.mark.parametrize("mirror", [1, -1], ids=["rotation", "reflection"])
def test_neither_place_nor_pose_matters(blocks: list[BuildingBlock], mirror: int) -> None:
    rng = np.random.default_rng(1)
    moved = [
        turned(block, mirror * Rotation.random(random_state=rng).as_matrix(), 10 * rng.standard_normal(3))
        for block in blocks
    ]
    torch.testing.assert_close(answer(moved), answer(blocks), atol=ROUNDING, rtol=ROUNDING)


def test_every_input_matters(blocks: list[BuildingBlock]) -> None:
    """The suite would pass on a network that is deaf."""
    before = answer(blocks)
    large = [row for row, block in enumerate(blocks) if len(block.bonds) > 1]
    changes = {
        "element": lambda b: replace(b, numbers=np.append(b.numbers[:-1], b.numbers[-1] % 50 + 1)),
        "coordinates": lambda b: replace(b, cart_coords=b.cart_coords * 1.02),
        "connection coordinates": lambda b: replace(b, connection_coords=b.connection_coords + 0.05),
        "one bond less": lambda b: replace(b, bonds=b.bonds[1:], bond_orders=b.bond_orders[1:]),
        "where it is cut": lambda b: replace(b, connection_atoms=(b.connection_atoms + 1) % b.n_atoms),
    }
    for name, change in changes.items():
        after = answer([change(block) for block in blocks])
        assert ((after - before).abs().amax(1)[large] > 1e-6).all(), name


def test_a_cut_bond_is_no_bond_to_an_atom(blocks: list[BuildingBlock]) -> None:
    batch = batch_of(blocks)
    model = random_encoder()
    with torch.no_grad():
        plain = model(replace(batch, bond_types=torch.zeros_like(batch.bond_types)))
        assert ((plain - model(batch)).abs().amax(1) > 1e-6).all()


def test_angles_and_torsions_are_seen() -> None:
    """A chain of four atoms with the same bonds: bent more, twisted more."""

    def chain(angle: float, torsion: float) -> BuildingBlock:
        first = np.array([np.cos(angle), np.sin(angle), 0.0])
        last = np.array([1 - np.cos(angle), np.sin(angle) * np.cos(torsion), np.sin(angle) * np.sin(torsion)])
        coords = 1.5 * np.stack([first, np.zeros(3), np.array([1.0, 0, 0]), last])
        bonds = np.array([[0, 1], [1, 2], [2, 3]])
        point = np.array([[0.7, 0.0, 0.0]])
        return BuildingBlock(1, np.full(4, 6), coords - point, bonds, np.ones(3), np.zeros((1, 3)), np.array([1]))

    shapes = answer([chain(2.0, 0.5), chain(1.9, 0.5), chain(2.0, 0.9), chain(2.0, -0.5)])
    assert (shapes[1] - shapes[0]).abs().max() > 1e-4 and (shapes[2] - shapes[0]).abs().max() > 1e-4
    torch.testing.assert_close(shapes[3], shapes[0], atol=ROUNDING, rtol=ROUNDING)  # the mirror image


def test_pairs_are_those_of_a_double_loop(blocks: list[BuildingBlock]) -> None:
    batch = batch_of(blocks)
    cutoff, coords = 3.0, batch.cart_coords.numpy()
    found = block_pairs(batch.cart_coords, batch.n_points, cutoff, 8)
    expected, diameters, start = [], [], 0
    for n in batch.n_points.tolist():
        distances = {
            (i, j): float(np.linalg.norm(coords[i] - coords[j]))
            for i in range(start, start + n)
            for j in range(i + 1, start + n)
        }
        expected += [pair for pair, distance in distances.items() if distance < cutoff]
        diameters.append(max(distances.values()))
        start += n
    assert list(zip(found.first.tolist(), found.second.tolist(), strict=True)) == expected
    assert found.basis.shape == (len(expected), 8)
    np.testing.assert_allclose(found.diameter, diameters, atol=1e-12)
    np.testing.assert_allclose(found.diameter, [block.diameter for block in blocks], atol=1e-12)


def test_gradients_are_finite_and_reach_every_weight(blocks: list[BuildingBlock]) -> None:
    model = random_encoder().train()
    twice = batch_of([*blocks, *(made_block(chemistry, 1) for chemistry in range(12))])
    loss, _ = model.loss(twice, torch.arange(24) % 12)
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all() and parameter.grad.any(), name


def test_the_gradient_is_that_of_differences(blocks: list[BuildingBlock]) -> None:
    """Along a random direction of all coordinates, within the cutoff's smooth reach."""
    model, batch = random_encoder(), batch_of(blocks)
    direction = torch.randn(batch.cart_coords.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def value(step: float) -> torch.Tensor:
        return model(replace(batch, cart_coords=batch.cart_coords + step * direction)).square().sum()

    coords = batch.cart_coords.clone().requires_grad_()
    model(replace(batch, cart_coords=coords)).square().sum().backward()
    assert coords.grad is not None
    slope = float((coords.grad * direction).sum())
    assert float(value(1e-5).detach() - value(-1e-5).detach()) / 2e-5 == pytest.approx(slope, rel=1e-5)
