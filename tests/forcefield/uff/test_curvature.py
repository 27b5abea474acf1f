"""The model Hessian against finite differences of the energy, where the two must agree, and its bookkeeping."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from crystaltool.forcefield.uff.curvature import (
    N_STRAINS,
    POSITION_FLOOR,
    STRAIN_FLOOR,
    Layout,
    model_factor,
    strain_components,
    strain_matrices,
)
from crystaltool.forcefield.uff.system import System
from crystaltool.forcefield.uff.topology import build_topology
from crystaltool.mof.perception import perceive_bonds
from tests.forcefield.uff.molecules import energy, molecule, water
from tests.mof.structures import curated, cyanides

STEP = 1e-3
"""A and strain; second differences are then right to about 1e-6."""


def carbon_monoxide():
    """Two atoms at the natural length of their bond."""
    _, topology = molecule(np.array([[0, 0, 0], [1.1, 0, 0]]), [6, 8], [(0, 1)])
    along = np.array([2.0, 1.0, -2.0]) / 3
    return molecule(np.array([[0.0, 0, 0], along * topology.bond_lengths[0]]), [6, 8], [(0, 1)])


def model(system: System, start, free_cell: bool = True) -> torch.Tensor:
    """L L^T of the factor, without the floors, of one structure."""
    factor = model_factor(Layout(system), *start, system.pairs(*start), free_cell)[0].double()
    hessian = factor @ factor.T
    n = len(hessian) - N_STRAINS
    hessian[range(n), range(n)] -= POSITION_FLOOR
    volume = float(torch.linalg.det(start[1][0]))
    hessian[range(n, n + N_STRAINS), range(n, n + N_STRAINS)] -= STRAIN_FLOOR * volume
    return hessian


def by_differences(system: System, start) -> torch.Tensor:
    """Second derivatives of the energy by coordinates of the atoms and components of the strain."""
    pairs, n = system.pairs(*start), 3 * system.n_atoms

    def at(q: np.ndarray) -> float:
        moves = torch.as_tensor(q[:n]).view(-1, 3)
        return energy(system, start, pairs, moves, strain_matrices(torch.as_tensor(q[n:])[None])[0])

    size = n + N_STRAINS
    unit, hessian = np.eye(size) * STEP, np.zeros((size, size))
    for i in range(size):
        for j in range(i + 1):
            ends = [at(a * unit[i] + b * unit[j]) * a * b for a in (1, -1) for b in (1, -1)]
            hessian[i, j] = hessian[j, i] = sum(ends) / (4 * STEP**2)
    return torch.as_tensor(hessian)


@pytest.mark.parametrize("make", [carbon_monoxide, water])
def test_it_is_the_hessian_where_no_term_has_a_slope(make) -> None:
    """Of a molecule at natural lengths and angles, positions, strain and what couples them: no part is left out."""
    crystal, topology = make()
    system = System([topology])
    start = system.start([crystal])
    expected = by_differences(system, start)
    assert expected.abs().max() > 10
    scale = float(expected.abs().max())
    torch.testing.assert_close(model(system, start), expected, atol=3e-4 * scale, rtol=0)


def test_a_fixed_cell_is_not_coupled() -> None:
    crystal, topology = water()
    system = System([topology])
    start = system.start([crystal])
    free, fixed = model(system, start), model(system, start, free_cell=False)
    n = 3 * crystal.n_atoms
    assert free[:n, n:].abs().max() > 1 and free[n:, n:].abs().max() > 1
    assert not fixed[:n, n:].any() and fixed[n:, n:].abs().max() < 1e-2  # the floor in single precision
    torch.testing.assert_close(free[:n, :n], fixed[:n, :n], atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("angle", [60.0, 104.51, 150.0, 179.9])
def test_no_direction_is_without_stiffness_or_goes_down(angle: float) -> None:
    """At any angle and length, stretched bonds included, where the true Hessian has negative directions."""
    crystal, topology = water(length=1.3, angle=angle)
    system = System([topology])
    start = system.start([crystal])
    factor = model_factor(Layout(system), *start, system.pairs(*start), True)[0].double()
    assert torch.isfinite(factor).all()
    assert torch.linalg.eigvalsh(factor @ factor.T).min() > 0.99 * POSITION_FLOOR


def test_structures_of_a_batch_do_not_meet() -> None:
    """Each has the factor that it has alone; a short one's empty places hold the floor."""
    crystals = [cyanides(), curated()["MIL-47"]]
    topologies = [build_topology(crystal, perceive_bonds(crystal)) for crystal in crystals]
    both = System(topologies)
    start = both.start(crystals)
    layout = Layout(both)
    factors = model_factor(layout, *start, both.pairs(*start), True).double()
    together = factors @ factors.transpose(1, 2)
    for index, (crystal, topology) in enumerate(zip(crystals, topologies, strict=True)):
        system = System([topology])
        own = system.start([crystal])
        factor = model_factor(Layout(system), *own, system.pairs(*own), True)[0].double()
        n = 3 * crystal.n_atoms
        rows = [*range(n), *range(layout.width - N_STRAINS, layout.width)]
        alone = factor @ factor.T
        torch.testing.assert_close(together[index][rows][:, rows], alone, atol=1e-4 * float(alone.max()), rtol=0)
    empty = range(3 * crystals[0].n_atoms, layout.width - N_STRAINS)
    expected = POSITION_FLOOR * torch.eye(len(empty), dtype=torch.float64)
    torch.testing.assert_close(together[0][empty][:, empty], expected, atol=1e-6, rtol=0)


def test_rows_and_split_are_inverse() -> None:
    crystals = [cyanides(), curated()["MIL-47"]]
    system = System([build_topology(crystal, perceive_bonds(crystal)) for crystal in crystals])
    generator = torch.Generator().manual_seed(0)
    by_atom = torch.randn(system.n_atoms, 3, generator=generator, dtype=torch.float64)
    by_strain = torch.randn(2, N_STRAINS, generator=generator, dtype=torch.float64)
    layout = Layout(system)
    rows = layout.rows(by_atom, by_strain)
    assert rows.shape == (2, 3 * max(crystal.n_atoms for crystal in crystals) + N_STRAINS)
    again, strain = layout.split(rows)
    assert torch.equal(again, by_atom) and torch.equal(strain, by_strain)
    torch.testing.assert_close(rows.square().sum(), by_atom.square().sum() + by_strain.square().sum())


def test_strain_components_are_an_orthonormal_basis_of_symmetric_matrices() -> None:
    matrices = torch.randn(5, 3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    symmetric = matrices + matrices.transpose(1, 2)
    components = strain_components(symmetric)
    torch.testing.assert_close(strain_matrices(components), symmetric, atol=1e-14, rtol=0)
    torch.testing.assert_close(components.square().sum(1), symmetric.square().sum((1, 2)))
    turned = strain_components(matrices - matrices.transpose(1, 2))
    torch.testing.assert_close(turned, torch.zeros_like(turned), atol=1e-14, rtol=0)
