"""Each bonded term against the formula of the paper written plainly, and its derivatives against autograd."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from crystaltool.forcefield.uff import terms
from crystaltool.forcefield.uff.terms import TermValues

N = 40


def random_vectors(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64) + 0.1


def uniform(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def torsion_parameters() -> torch.Tensor:
    fold = torch.tensor([2.0, 3.0, 6.0, 1.0], dtype=torch.float64).repeat(N // 4)
    phase = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(N // 2)
    return torch.stack([uniform(N), fold, phase], dim=1)


LIFT = torch.tensor([[[0.0, 0, 0], [0, 0, 0], [4.0, 0, 0]]], dtype=torch.float64)

CASES: dict[str, tuple[Callable[[torch.Tensor], TermValues], tuple[int, ...]]] = {
    "bond": (lambda v: terms.bond_values(v, uniform(N), uniform(N, seed=2)), (N, 3)),
    "angle": (lambda v: terms.angle_values(v, uniform(N, 5)), (N, 2, 3)),
    "guarded angle": (lambda v: terms.angle_values(v, uniform(N, 5), uniform(N, seed=3)), (N, 2, 3)),
    "torsion": (lambda v: terms.torsion_values(v, torsion_parameters()), (N, 3, 3)),
    # the last vector lifted, so that no axis stands upright on its plane, where the slope is bounded
    "inversion": (lambda v: terms.inversion_values(v + LIFT, uniform(N, 3)), (N, 3, 3)),
}


@pytest.mark.parametrize("name", CASES)
def test_gradient_is_that_of_autograd(name: str) -> None:
    function, shape = CASES[name]
    vectors = random_vectors(*shape).requires_grad_()
    values = function(vectors)
    (expected,) = torch.autograd.grad(values.energy.sum(), vectors)
    mine = (values.slope[:, None, None] * values.gradient).reshape(shape)
    torch.testing.assert_close(mine, expected, atol=1e-11, rtol=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_curvature_is_the_slope_of_the_slope(name: str) -> None:
    """Along the gradient of q by a small step: dE/dq changes by the curvature times the change of q."""
    function, shape = CASES[name]
    vectors = random_vectors(*shape, seed=5)
    here = function(vectors)
    gradient = here.gradient.reshape(shape)
    square = (here.gradient**2).sum(dim=(1, 2))
    step = 1e-6
    shift = step * gradient / square.view(-1, *[1] * (len(shape) - 1))
    ahead, behind = function(vectors + shift), function(vectors - shift)
    torch.testing.assert_close((ahead.slope - behind.slope) / (2 * step), here.curvature, atol=1e-4, rtol=1e-4)


def test_dihedral_angle_of_a_known_chain() -> None:
    """i at +x of j, l turned by 70 degrees about j-k: V/2 (1 - cos 3 phi_0 cos 3 phi)."""
    phi = math.radians(70.0)
    chain = np.array([[1.0, 0, 0], [0, 0, 0], [0, 0, 1.5], [math.cos(phi), math.sin(phi), 2.0]])
    vectors = torch.tensor(np.diff(chain, axis=0))[None]
    found = terms.torsion_values(vectors, torch.tensor([[0.7, 3.0, -1.0]], dtype=torch.float64))
    assert float(found.energy) == pytest.approx(0.7 * (1 + math.cos(3 * phi)), abs=1e-12)


def test_inversion_angle_is_that_of_axis_and_plane() -> None:
    """The axis 25 degrees out of the plane of the other two: K (1 - cos w)."""
    w = math.radians(25.0)
    vectors = torch.tensor([[[math.cos(w), 0, math.sin(w)], [-0.5, 0.9, 0], [-0.5, -0.9, 0]]], dtype=torch.float64)
    found = terms.inversion_values(vectors, torch.tensor([[2.0, -2.0, 0.0]], dtype=torch.float64))
    assert float(found.energy) == pytest.approx(2.0 * (1 - math.cos(w)), abs=1e-12)


def test_a_guard_leaves_no_second_minimum_at_zero() -> None:
    """1 - cos 3 theta alone falls toward 0 degrees below 60; with the guard the energy rises all the way down."""
    angles = torch.linspace(0.02, math.radians(115), 300, dtype=torch.float64)
    vectors = torch.stack(
        [
            torch.tensor([1.0, 0, 0], dtype=torch.float64).expand(300, 3),
            torch.stack([angles.cos(), angles.sin(), 0 * angles], dim=1),
        ],
        dim=1,
    )
    series = torch.tensor([[1 / 9, 3 / 9, 0, -4 / 9, 0]], dtype=torch.float64).expand(300, 5)
    plain = terms.angle_values(vectors, series)
    guarded = terms.angle_values(vectors, series, torch.full((300,), 1.5, dtype=torch.float64))
    torch.testing.assert_close(plain.energy, (1 - torch.cos(3 * angles)) / 9)
    assert bool((plain.slope < -1e-3).any())
    # by the cosine: positive everywhere below the natural angle
    assert bool((guarded.slope > 0).all())


def test_straight_angles_have_stiffness() -> None:
    """Rows of `straightening` give the true second derivatives of a linear angle, where the cosine's gradient is 0."""
    vectors = torch.tensor([[[1.2, 0, 0], [-1.5, 0, 0]]], dtype=torch.float64)
    rows = terms.straightening(vectors)[0].permute(1, 0, 2).reshape(3, 6)

    def energy(flat: torch.Tensor) -> torch.Tensor:
        one, two = flat[:3], flat[3:]
        return 1 + (one @ two) / (one.norm() * two.norm())

    hessian = torch.autograd.functional.hessian(energy, vectors.flatten())
    torch.testing.assert_close(rows.T @ rows, hessian, atol=1e-10, rtol=0)
