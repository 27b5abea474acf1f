"""The batch evaluation: derivatives by finite differences, supercells, batches, cutoffs, neighbour lists."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from crystaltool.bonds import BondGraph
from crystaltool.crystal import Crystal
from crystaltool.forcefield.uff.neighbours import near_pairs
from crystaltool.forcefield.uff.system import SKIN, System, VanDerWaals
from crystaltool.forcefield.uff.topology import Topology, build_topology
from crystaltool.mof.perception import perceive_bonds
from tests.mof.structures import curated, cyanides, supercell

NAMES = ("MIL-53", "MIL-47", "Ni-MOF-74")
RULES = {
    "tapered": VanDerWaals(),
    "soft core": VanDerWaals(core=0.9),
    "other mixing": VanDerWaals(8.0, 1.0, arithmetic=True),
}


def rattled(crystal: Crystal, size: float = 0.05, seed: int = 0) -> Crystal:
    moves = np.random.default_rng(seed).normal(size=(crystal.n_atoms, 3)) * size
    frac = crystal.frac_coords + moves @ np.linalg.inv(crystal.lattice)
    return Crystal(crystal.lattice, frac, crystal.numbers, crystal.name)


def prepared(name: str) -> tuple[Crystal, Topology]:
    crystal = curated()[name]
    return rattled(crystal), build_topology(crystal, perceive_bonds(crystal))


def energies(system: System, cart_coords: torch.Tensor, lattices: torch.Tensor) -> torch.Tensor:
    return system.evaluate(cart_coords, lattices, system.pairs(cart_coords, lattices)).energies


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", NAMES)
def test_forces_and_virials_are_derivatives(name: str, rule: str) -> None:
    crystal, topology = prepared(name)
    system = System([topology], RULES[rule])
    system.guarded = rule == "soft core"
    cart_coords, lattices = system.start([crystal])
    pairs = system.pairs(cart_coords, lattices)
    found = system.evaluate(cart_coords, lattices, pairs)
    step, rng = 1e-5, np.random.default_rng(1)
    for _ in range(4):
        direction = torch.tensor(rng.normal(size=(crystal.n_atoms, 3)))
        ahead = system.evaluate(cart_coords + step * direction, lattices, pairs).energies
        behind = system.evaluate(cart_coords - step * direction, lattices, pairs).energies
        expected = -(found.forces * direction).sum()
        torch.testing.assert_close((ahead - behind)[0] / (2 * step), expected, atol=2e-6, rtol=1e-6)
    for _ in range(4):
        strain = torch.tensor(rng.normal(size=(3, 3)))
        strain = (strain + strain.T) / 2

        def strained(sign: float, strain: torch.Tensor = strain) -> torch.Tensor:
            deformation = torch.eye(3, dtype=torch.float64) + sign * step * strain
            return system.evaluate(cart_coords @ deformation, lattices @ deformation, pairs).energies

        expected = (found.virials[0] * strain).sum()
        torch.testing.assert_close((strained(1) - strained(-1))[0] / (2 * step), expected, atol=1e-5, rtol=1e-6)
    assert torch.allclose(found.virials, found.virials.transpose(1, 2), atol=1e-9)
    assert float(found.forces.sum(dim=0).abs().max()) < 1e-9


@pytest.mark.parametrize("repeats", [(2, 1, 1), (1, 2, 2)])
def test_a_supercell_has_the_same_energy_an_atom(repeats: tuple[int, int, int]) -> None:
    """The cells are smaller than the cutoff, so images of an atom see each other."""
    small = curated()["MIL-47"]
    assert np.linalg.norm(small.lattice, axis=1).min() < VanDerWaals().cutoff
    large = supercell(small, repeats)
    values = []
    for crystal in (small, large):
        system = System([build_topology(crystal, perceive_bonds(crystal))])
        values.append(float(energies(system, *system.start([crystal]))[0]) / crystal.n_atoms)
    assert values[0] == pytest.approx(values[1], rel=1e-10)


def test_an_atom_bound_to_its_own_copies() -> None:
    """One metal, cyanide to its own images along three axes."""
    small = cyanides()
    large = supercell(small, (2, 2, 2))
    values = []
    for crystal in (small, large):
        system = System([build_topology(crystal, perceive_bonds(crystal))])
        cart_coords, lattices = system.start([crystal])
        found = system.evaluate(cart_coords, lattices, system.pairs(cart_coords, lattices))
        values.append((found.parts[:, 0] / crystal.n_atoms).numpy())
    np.testing.assert_allclose(*values, atol=1e-10)


def test_a_batch_gives_what_each_structure_gives() -> None:
    ready = [prepared(name) for name in NAMES]
    together = System([topology for _, topology in ready])
    cart_coords, lattices = together.start([crystal for crystal, _ in ready])
    found = together.evaluate(cart_coords, lattices, together.pairs(cart_coords, lattices))
    for place, (crystal, topology) in enumerate(ready):
        alone = System([topology])
        coords, lattice = alone.start([crystal])
        single = alone.evaluate(coords, lattice, alone.pairs(coords, lattice))
        start, end = together.starts[place], together.starts[place + 1]
        torch.testing.assert_close(found.energies[place], single.energies[0], rtol=1e-12, atol=1e-10)
        torch.testing.assert_close(found.forces[start:end], single.forces, rtol=1e-9, atol=1e-10)
        torch.testing.assert_close(found.virials[place], single.virials[0], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(found.parts[:, place], single.parts[:, 0], rtol=1e-9, atol=1e-10)


def test_turned_and_shifted_structures_have_the_same_energy() -> None:
    crystal, topology = prepared("MIL-53")
    turn, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))
    turn *= np.linalg.det(turn)
    moved = Crystal(crystal.lattice @ turn, crystal.frac_coords + np.array([0.3, -1.2, 5.0]), crystal.numbers)
    system = System([topology])
    assert float(energies(system, *system.start([crystal]))) == pytest.approx(
        float(energies(system, *system.start([moved]))), abs=1e-9
    )


def argon(distance: float) -> tuple[Crystal, Topology]:
    """Two argon atoms in a wide cell, not bound."""
    crystal = Crystal(np.eye(3) * 40.0, np.array([[0, 0, 0], [distance / 40, 0, 0]]), np.array([18, 18]))
    none = BondGraph(np.zeros((0, 2), dtype=np.int64), np.zeros((0, 3), dtype=np.int64), np.zeros(0))
    return crystal, build_topology(crystal, none)


@pytest.mark.parametrize("distance", [3.0, 3.868, 5.0, 7.9])
def test_lennard_jones_of_two_atoms(distance: float) -> None:
    """x = 3.868 A, D = 0.185 kcal/mol for argon (Rappe et al. 1992, Table 1)."""
    crystal, topology = argon(distance)
    system = System([topology], VanDerWaals(10.0, 2.0))
    ratio = (3.868 / distance) ** 6
    expected = 0.185 * 0.0433641153 * (ratio**2 - 2 * ratio)
    assert float(energies(system, *system.start([crystal]))) == pytest.approx(expected, rel=1e-9)


def test_taper_and_core_are_smooth() -> None:
    """Energy and force have no step where the taper begins, where it ends, and at the edge of the core."""
    for rule, places in ((VanDerWaals(10.0, 2.0), (8.0, 10.0)), (VanDerWaals(core=0.8), (0.8 * 3.868,))):
        for place in places:
            found = []
            for distance in (place - 1e-7, place + 1e-7):
                crystal, topology = argon(distance)
                system = System([topology], rule)
                cart_coords, lattices = system.start([crystal])
                value = system.evaluate(cart_coords, lattices, system.pairs(cart_coords, lattices))
                found.append((float(value.energies[0]), float(value.forces[0, 0])))
            assert found[0] == pytest.approx(found[1], abs=1e-6)


def test_the_core_bounds_the_force() -> None:
    forces = []
    for distance in (0.01, 0.5, 2.0):
        crystal, topology = argon(distance)
        system = System([topology], VanDerWaals(core=0.8))
        cart_coords, lattices = system.start([crystal])
        value = system.evaluate(cart_coords, lattices, system.pairs(cart_coords, lattices))
        forces.append(float(value.forces[1, 0]))
    assert forces[0] > 0 and forces == pytest.approx([forces[0]] * 3)


def test_pairs_are_those_of_a_plain_search() -> None:
    rng = np.random.default_rng(4)
    lattice = np.array([[6.0, 0, 0], [2.0, 5.0, 0], [-1.5, 1.0, 7.0]])
    frac = rng.random((9, 3)) * 3 - 1
    cutoff = 7.5
    first, second, images = near_pairs(torch.tensor(frac @ lattice), torch.tensor(lattice), cutoff)
    found = set()
    for i, j, image in zip(first.tolist(), second.tolist(), images.tolist(), strict=True):
        found |= {(i, j, *image), (j, i, *(-cell for cell in image))}
    assert len(found) == 2 * len(first)
    span = np.arange(-8, 9)
    cells = np.stack(np.meshgrid(span, span, span, indexing="ij"), axis=-1).reshape(-1, 3)
    expected = set()
    for i in range(9):
        for j in range(9):
            distance = np.linalg.norm((frac[j] + cells - frac[i]) @ lattice, axis=1)
            for cell in cells[(distance < cutoff) & (distance > 0)]:
                expected.add((i, j, *cell.tolist()))
    assert found == expected


def test_a_list_with_skin_serves_until_atoms_have_moved() -> None:
    crystal, topology = prepared("MIL-47")
    system = System([topology])
    cart_coords, lattices = system.start([crystal])
    pairs = system.pairs(cart_coords, lattices)
    rng = np.random.default_rng(5)
    for size, kept in ((0.1 * SKIN, True), (2 * SKIN, False)):
        direction = torch.tensor(rng.normal(size=(crystal.n_atoms, 3)))
        moved = cart_coords + size * direction / direction.norm(dim=1).max()
        strain = torch.eye(3, dtype=torch.float64) * 1.002
        again = system.pairs(moved @ strain, lattices @ strain, pairs)
        assert (again is pairs) is kept
        served = system.evaluate(moved @ strain, lattices @ strain, again).energies
        torch.testing.assert_close(served, energies(system, moved @ strain, lattices @ strain), rtol=1e-12, atol=1e-11)


def test_mixing_rules() -> None:
    """The arithmetic mean of unlike distances is the larger one."""
    _, topology = argon(4.0)
    unlike = replace(topology, distances=np.array([3.0, 5.0]))
    for arithmetic, expected in ((False, np.sqrt(15.0)), (True, 4.0)):
        system = System([unlike], VanDerWaals(arithmetic=arithmetic))
        crystal, _ = argon(4.0)
        pairs = system.pairs(*system.start([crystal]))
        assert float(pairs.distances[0]) == pytest.approx(expected)
