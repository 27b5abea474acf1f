"""The minimiser against scipy's on the same energies, and what it promises of steps, batches and runaway cells."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize, minimize_scalar

from crystaltool.crystal import Crystal
from crystaltool.forcefield.uff.descent import ENERGY_NOISE, MAX_MOVE, MAX_STRAIN, State, descend
from crystaltool.forcefield.uff.system import System
from crystaltool.forcefield.uff.topology import Topology, build_topology
from crystaltool.mof.perception import perceive_bonds
from tests.forcefield.uff.molecules import water
from tests.mof.structures import curated, cyanides

ENDLESS = float("inf")
TIGHT_FORCE, TIGHT_STRESS = 1e-4, 1e-6


def prepared(crystal: Crystal) -> Topology:
    return build_topology(crystal, perceive_bonds(crystal))


def rattled(crystal: Crystal, size: float, seed: int = 0) -> Crystal:
    moves = np.random.default_rng(seed).normal(size=(crystal.n_atoms, 3)) * size
    frac = crystal.frac_coords + moves @ np.linalg.inv(crystal.lattice)
    return Crystal(crystal.lattice, frac, crystal.numbers)


def run(crystal: Crystal, topology: Topology, max_stress: float, max_steps: int) -> tuple[System, State]:
    system = System([topology])
    return system, descend(system, *system.start([crystal]), TIGHT_FORCE, max_stress, max_steps)


def by_scipy(crystal: Crystal, topology: Topology) -> float:
    """Least energy at a fixed cell that scipy's L-BFGS-B comes to from the same start, eV."""
    system = System([topology])
    cart_coords, lattices = system.start([crystal])

    def at(flat: np.ndarray) -> tuple[float, np.ndarray]:
        moved = torch.as_tensor(flat).view(-1, 3)
        found = system.evaluate(moved, lattices, system.pairs(moved, lattices))
        return float(found.energies[0]), -found.forces.numpy().ravel()

    options = {"maxiter": 5000, "maxfun": 20000, "ftol": 1e-15, "gtol": 1e-5, "maxcor": 30}
    return float(minimize(at, cart_coords.numpy().ravel(), jac=True, method="L-BFGS-B", options=options).fun)


@pytest.mark.parametrize("start", ["water", "cyanides", pytest.param("MIL-47", marks=pytest.mark.slow)])
def test_at_a_fixed_cell_scipy_comes_to_the_same_energy(start: str) -> None:
    if start == "water":
        crystal, topology = water(length=1.15, angle=95.0)
    else:
        made = cyanides() if start == "cyanides" else curated()[start]
        crystal, topology = rattled(made, 0.05), prepared(made)
    system, state = run(crystal, topology, ENDLESS, 3000)
    assert state.max_forces(system)[0] < TIGHT_FORCE and not state.stuck.any()
    expected = by_scipy(crystal, topology)
    assert float(state.found.energies[0]) == pytest.approx(expected, abs=1e-5 * crystal.n_atoms)
    torch.testing.assert_close(state.lattices[0], torch.as_tensor(crystal.lattice), atol=0, rtol=0)


def test_water_ends_at_its_natural_length_and_angle() -> None:
    """A case whose minimum is known without any minimiser: zero energy."""
    crystal, topology = water(length=1.15, angle=95.0)
    _, state = run(crystal, topology, ENDLESS, 200)
    arms = (state.cart_coords[1:] - state.cart_coords[0]).numpy()
    lengths = np.linalg.norm(arms, axis=1)
    np.testing.assert_allclose(lengths, topology.bond_lengths, atol=1e-5)
    angle = np.degrees(np.arccos(arms[0] @ arms[1] / lengths.prod()))
    assert angle == pytest.approx(104.51, abs=1e-2)
    assert abs(float(state.found.energies[0])) < 1e-8


def test_the_cell_ends_where_a_scan_of_its_edge_has_its_minimum() -> None:
    """A cubic net of cyanides stays cubic, so its edge alone is searched by scipy, atoms relaxed at each."""
    start = cyanides(edge=5.3)
    topology = prepared(start)

    def at_edge(edge: float) -> float:
        lattice = np.eye(3) * edge
        return by_scipy(Crystal(lattice, start.frac_coords, start.numbers), topology)

    best = minimize_scalar(at_edge, bounds=(4.9, 5.4), method="bounded", options={"xatol": 1e-4})
    system, state = run(start, topology, TIGHT_STRESS, 3000)
    assert state.max_stresses()[0] < TIGHT_STRESS and state.max_forces(system)[0] < TIGHT_FORCE
    edges = np.linalg.norm(state.lattices[0].numpy(), axis=1)
    np.testing.assert_allclose(edges, best.x, atol=2e-3)
    assert float(state.found.energies[0]) == pytest.approx(best.fun, abs=1e-5)


def test_steps_are_counted_short_and_never_uphill() -> None:
    crystal = rattled(curated()["MIL-47"], 0.1)
    topology = prepared(curated()["MIL-47"])
    system = System([topology])
    start = system.start([crystal])
    before = system.evaluate(*start, system.pairs(*start))
    energies, states = [float(before.energies[0])], []
    for steps in range(1, 9):
        states.append(descend(system, *start, TIGHT_FORCE, TIGHT_STRESS, steps))
        assert int(states[-1].steps[0]) <= steps
        energies.append(float(states[-1].found.energies[0]))
    assert (np.diff(energies) <= ENERGY_NOISE * float(before.parts.abs().sum())).all() and energies[-1] < energies[0]
    deformation = torch.linalg.solve(start[1], states[0].lattices)[0]
    strain = deformation - torch.eye(3, dtype=torch.float64)
    moves = states[0].cart_coords @ torch.linalg.inv(deformation) - start[0]
    assert 0 < moves.norm(dim=1).max() <= MAX_MOVE * (1 + 1e-9)
    # the limit is on components of an orthonormal basis, whose off-diagonal ones are larger by the root of two
    assert 0 < strain.abs().max() <= MAX_STRAIN * (1 + 1e-9)


def test_without_steps_nothing_moves() -> None:
    crystal = rattled(curated()["MIL-47"], 0.1)
    _, state = run(crystal, prepared(curated()["MIL-47"]), TIGHT_STRESS, 0)
    np.testing.assert_array_equal(state.cart_coords.numpy(), crystal.cart_coords)
    assert int(state.steps[0]) == 0


def test_a_structure_goes_the_same_way_alone_and_in_a_batch() -> None:
    """Over few steps, before roundings of sums in another order have grown."""
    made = [cyanides(), curated()["MIL-47"]]
    crystals, topologies = [rattled(crystal, 0.05) for crystal in made], [prepared(crystal) for crystal in made]
    both = System(topologies)
    together = descend(both, *both.start(crystals), TIGHT_FORCE, TIGHT_STRESS, 6)
    for index, (crystal, topology) in enumerate(zip(crystals, topologies, strict=True)):
        _, alone = run(crystal, topology, TIGHT_STRESS, 6)
        span = slice(both.starts[index], both.starts[index + 1])
        torch.testing.assert_close(together.cart_coords[span], alone.cart_coords, atol=1e-5, rtol=0)
        torch.testing.assert_close(together.lattices[index], alone.lattices[0], atol=1e-5, rtol=0)
        assert int(together.steps[index]) == int(alone.steps[0])
