"""The geometry denoiser sees a crystal, not its description: site symmetry, choice of the representative, origin."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch

from crystaltool.batch import Batch
from crystaltool.models.symmcd.model import SymmCD
from crystaltool.nn.cells import symmetric_lattice
from crystaltool.symmetry import space_group
from crystaltool.symmetry.space_group import free_coordinate_maps, tables
from tests.models.tiny import ATOM_SIZES, batch_of, random_model, random_unit

ROUNDING = 1e-8
"""Sums over neighbours in another order."""


@cache
def model() -> SymmCD:
    return random_model(2)


@cache
def atom_model() -> SymmCD:
    return random_model(2, sizes=ATOM_SIZES)


BOTH = pytest.mark.parametrize("model", [model, atom_model], ids=["orbits", "atoms"])
Make = Callable[[], SymmCD]


def answer(
    batch: Batch, free_coords: torch.Tensor | None = None, model: Make = model
) -> tuple[torch.Tensor, torch.Tensor]:
    """Displacements of the free coordinates and update of k, all cells and noise levels alike."""
    u = batch.free_coords if free_coords is None else free_coords
    n = len(batch.group)
    sigma = torch.full((n,), 0.05, dtype=torch.float64)
    return model().denoise_geometry(batch, u, torch.zeros(n, 6, dtype=torch.float64), sigma, sigma)


def with_every_position(group: int, seed: int = 0, largest: int = 24) -> Batch:
    """A crystal per Wyckoff position (multiplicity up to `largest`), which shares it with a second, special orbit."""
    rng = np.random.default_rng(seed)
    listed = space_group(group).positions
    few = [i for i, position in enumerate(listed) if position.multiplicity <= largest]
    return batch_of([random_unit(group, [index, few[0]] if index != few[0] else [index], rng) for index in few])


@pytest.mark.parametrize("group", [10, 47, 136, 164, 167, 194, 215, 221])
def test_displacement_keeps_the_site_symmetry(group: int) -> None:
    """Before any projection the vector lies in the span of the position's free directions, to rounding."""
    batch = with_every_position(group)
    caught = []
    hook = model().geometry.register_forward_hook(lambda module, arguments, output: caught.append(output[0]))
    try:
        answer(batch)
    finally:
        hook.remove()
    (vectors,) = caught
    mean, _ = model().cell_reference(batch)
    rotation = model().symmetry().rotation[batch.position]
    freedom = model().symmetry().freedom[batch.position]
    system = model().symmetry().system[batch.group]
    k = torch.where(torch.tensor(np.array(FREE[int(system[0])])), mean, HEXAGONAL[int(system[0])])
    jacobian = symmetric_lattice(k).transpose(1, 2)[:, None] @ rotation
    largest = vectors[batch.mask].norm(dim=-1).max()
    assert largest > 1e-2
    seen_special = 0
    for b, slot in batch.mask.nonzero().tolist():
        d = int(freedom[b, slot])
        span = jacobian[b, slot, :, :d]
        inside = span @ torch.linalg.pinv(span) @ vectors[b, slot] if d else torch.zeros(3, dtype=torch.float64)
        assert (vectors[b, slot] - inside).norm() < ROUNDING * largest, (group, int(batch.position[b, slot]))
        seen_special += d < 3
    assert seen_special >= 3


def _constants() -> tuple[list[list[bool]], list[torch.Tensor]]:
    from crystaltool.lattice import FREE_K, HEXAGONAL_K1

    fixed = []
    for system in range(7):
        value = torch.zeros(6, dtype=torch.float64)
        if system in (4, 5):
            value[0] = HEXAGONAL_K1
        fixed.append(value)
    return FREE_K.tolist(), fixed


FREE, HEXAGONAL = _constants()


def coset(group: int, index: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Maps u -> A u + b between the free coordinates of equivalent points on operation 0, one an operation."""
    listed = space_group(group)
    p = int(tables()["first_position"][group - 1]) + index
    maps, origins = free_coordinate_maps()
    inner, origin, d = maps[p].astype(float), origins[p], listed.positions[index].degrees_of_freedom
    first = listed.positions[index].rotations[0][:, :d].astype(float)
    found = []
    for rotation, translation in zip(listed.rotations, listed.translations, strict=True):
        linear = inner @ rotation @ first
        constant = inner @ (rotation @ origin + translation - origin)
        stays = (
            np.abs(linear[d:]).max(initial=0) < 1e-9
            and np.abs(constant[d:] - np.round(constant[d:])).max(initial=0) < 1e-9
        )
        if stays:
            found.append((linear[:d], constant[:d]))
    return found


@BOTH
@pytest.mark.parametrize("group", [14, 62, 99, 147, 166, 186, 198, 229])
def test_any_point_of_the_orbit_may_represent_it(group: int, model: Make) -> None:
    """Another free coordinate of the same orbit: the displacement turns along, cell and other orbits do not notice."""
    batch = with_every_position(group, seed=3, largest=16)
    move, k = answer(batch, model=model)
    first = int(tables()["first_position"][group - 1])
    n_changed = 0
    for turn in (1, 3, 5):
        u, linears = batch.free_coords.clone(), []
        for b in range(len(batch.group)):
            index = int(batch.position[b, 0]) - first
            d = space_group(group).positions[index].degrees_of_freedom
            choices = coset(group, index)
            linear, constant = choices[turn % len(choices)]
            u[b, 0, :d] = torch.from_numpy(linear) @ u[b, 0, :d] + torch.from_numpy(constant)
            full = torch.zeros(3, 3, dtype=torch.float64)
            full[:d, :d] = torch.from_numpy(linear)
            linears.append(full)
            n_changed += bool(d) and not np.allclose(linear, np.eye(d))
        turned, k_turned = answer(batch, u, model)
        expected = move.clone()
        expected[:, 0] = (torch.stack(linears) @ move[:, 0, :, None])[..., 0]
        torch.testing.assert_close(turned, expected, atol=ROUNDING, rtol=ROUNDING)
        torch.testing.assert_close(k_turned, k, atol=ROUNDING, rtol=ROUNDING)
    assert n_changed and move.abs().max() > 1e-3


@BOTH
@pytest.mark.parametrize(
    ("group", "axis"), [(1, [0.31, 0.17, -0.23]), (4, [0, 0.37, 0]), (99, [0, 0, 0.21]), (186, [0, 0, -0.4])]
)
def test_origin_shift_along_a_polar_axis_changes_nothing(group: int, axis: list[float], model: Make) -> None:
    rng = np.random.default_rng(4)
    last = len(space_group(group).positions) - 1
    batch = batch_of([random_unit(group, [last, 0, last], rng)])
    maps, _ = free_coordinate_maps()
    # x = R u + t and x + s have free coordinates u and u + U s.
    shift = torch.from_numpy(maps[batch.position[0].numpy()] @ np.array(axis))
    free = torch.arange(3) < model().symmetry().freedom[batch.position[0]][:, None]
    moved = batch.free_coords + (shift * free)[None]
    before, after = answer(batch, model=model), answer(batch, moved, model)
    assert (moved - batch.free_coords).abs().max() > 0.1 and before[0].abs().max() > 1e-3
    for one, other in zip(before, after, strict=True):
        torch.testing.assert_close(one, other, atol=ROUNDING, rtol=ROUNDING)


@BOTH
def test_whole_periods_change_nothing(model: Make) -> None:
    batch = with_every_position(62, seed=5)
    free = torch.arange(3) < model().symmetry().freedom[batch.position][..., None]
    steps = torch.randint(-2, 3, batch.free_coords.shape, generator=torch.Generator().manual_seed(0)) * free
    for one, other in zip(answer(batch, model=model), answer(batch, batch.free_coords + steps, model), strict=True):
        torch.testing.assert_close(one, other, atol=ROUNDING, rtol=ROUNDING)
