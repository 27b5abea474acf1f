"""Relaxing MOFs: known cells, kept bonds, overlaps, batches, limits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crystaltool.bonds import BondGraph
from crystaltool.crystal import Crystal
from crystaltool.defaults import MAX_FORCE
from crystaltool.errors import InputError, UsageError
from crystaltool.forcefield.minimise import Criteria
from crystaltool.forcefield.uff.relaxation import DEFAULT_CRITERIA, MAX_STRESS, MOFRelaxation, relax_mof, relax_mofs
from crystaltool.forcefield.uff.system import System
from crystaltool.forcefield.uff.topology import Topology, build_topology
from crystaltool.mof.perception import perceive_bonds
from tests.forcefield.uff.test_system import rattled
from tests.mof.structures import curated

CELL_TOLERANCE = 0.05
"""UFF4MOF against the cells of QMOF's density functional, for frameworks that do not breathe: 4.2 % for UiO-66."""


def prepared(name: str) -> tuple[Crystal, BondGraph, Topology]:
    crystal = curated()[name]
    bonds = perceive_bonds(crystal)
    return crystal, bonds, build_topology(crystal, bonds)


def edges(crystal: Crystal) -> np.ndarray:
    return np.linalg.norm(crystal.lattice, axis=1)


def bond_set(bonds: BondGraph) -> set[tuple[int, ...]]:
    first, second, images = bonds.directed
    return set(zip(first.tolist(), second.tolist(), *images.T.tolist(), strict=True))


@pytest.mark.parametrize("name", ["HKUST-1", "MOF-5", "UiO-66", "ZIF-8", "MIL-47"])
def test_well_known_mofs_keep_cell_and_bonds(name: str) -> None:
    crystal, bonds, topology = prepared(name)
    relaxed = relax_mof(crystal, topology)
    assert relaxed.converged and relaxed.reason == ""
    assert relaxed.max_force < MAX_FORCE and relaxed.max_stress < MAX_STRESS
    np.testing.assert_allclose(edges(relaxed.crystal), edges(crystal), rtol=CELL_TOLERANCE)
    # images still fit: every bond has about its natural length (the metal bond of HKUST-1 is the shortest, by 18 %)
    np.testing.assert_allclose(bonds.lengths(relaxed.crystal), topology.bond_lengths[: len(bonds)], rtol=0.2)
    assert bond_set(perceive_bonds(relaxed.crystal)) == bond_set(bonds)


def test_the_end_is_a_minimum_of_the_reported_energy() -> None:
    crystal, _, topology = prepared("MIL-47")
    relaxed = relax_mof(crystal, topology)
    system = System([topology])
    cart_coords, lattices = system.start([relaxed.crystal])
    found = system.evaluate(cart_coords, lattices, system.pairs(cart_coords, lattices))
    assert float(found.energies[0]) / crystal.n_atoms == pytest.approx(relaxed.energy_per_atom, abs=1e-9)
    assert float(found.forces.norm(dim=1).max()) == pytest.approx(relaxed.max_force, abs=1e-9)
    cart_coords, lattices = system.start([crystal])
    before = system.evaluate(cart_coords, lattices, system.pairs(cart_coords, lattices))
    assert float(found.energies[0]) < float(before.energies[0])


def test_a_rattled_mof_comes_back() -> None:
    """Every atom moved by 0.25 A a coordinate, far enough for atoms to overlap."""
    crystal, bonds, topology = prepared("MOF-5")
    direct, back = relax_mof(crystal, topology), relax_mof(rattled(crystal, 0.25), topology)
    assert back.converged
    assert back.energy_per_atom == pytest.approx(direct.energy_per_atom, abs=2e-3)
    np.testing.assert_allclose(edges(back.crystal), edges(direct.crystal), rtol=0.01)
    assert bond_set(perceive_bonds(back.crystal)) == bond_set(bonds)


def test_atoms_on_top_of_each_other_are_parted() -> None:
    """Hydrogens put onto carbons: no direction to push in, an endless force without the soft core."""
    crystal, _, topology = prepared("MOF-5")
    frac = crystal.frac_coords.copy()
    hydrogens, carbons = np.flatnonzero(crystal.numbers == 1), np.flatnonzero(crystal.numbers == 6)
    frac[hydrogens[0]] = frac[carbons[0]]
    frac[hydrogens[1]] = frac[carbons[-1]] + 0.002
    relaxed = relax_mof(Crystal(crystal.lattice, frac, crystal.numbers), topology)
    assert np.isfinite(relaxed.crystal.frac_coords).all()
    assert relaxed.converged or relaxed.reason


def test_a_fixed_cell_stays() -> None:
    crystal, _, topology = prepared("MIL-47")
    relaxed = relax_mof(crystal, topology, Criteria(fixed_cell=True))
    assert relaxed.converged and relaxed.max_force < MAX_FORCE
    np.testing.assert_allclose(relaxed.crystal.lattice, crystal.lattice, atol=1e-12)


def same(one: MOFRelaxation, two: MOFRelaxation) -> None:
    assert (one.converged, one.reason) == (two.converged, two.reason)
    assert one.energy_per_atom == pytest.approx(two.energy_per_atom, abs=2e-3)
    np.testing.assert_allclose(edges(one.crystal), edges(two.crystal), rtol=0.01)


def test_a_batch_ends_where_each_structure_ends() -> None:
    """To the tolerance of the convergence: the pair lists of a batch are made anew together."""
    names = ("MIL-47", "MOF-5", "ZIF-8")
    ready = [prepared(name) for name in names]
    crystals, topologies = [rattled(crystal, 0.1) for crystal, _, _ in ready], [topology for _, _, topology in ready]
    for alone, together in zip(
        (relax_mof(*pair) for pair in zip(crystals, topologies, strict=True)),
        relax_mofs(crystals, topologies),
        strict=True,
    ):
        same(alone, together)


def test_steps_are_counted_and_bounded() -> None:
    crystal, _, topology = prepared("MIL-47")
    shaken = rattled(crystal, 0.3)
    for steps in (0, 3, 12):
        relaxed = relax_mof(shaken, topology, replace(DEFAULT_CRITERIA, max_steps=steps))
        assert not relaxed.converged and relaxed.steps <= steps
        assert relaxed.reason == f"not converged in {steps} steps"


def test_a_cell_that_runs_away_is_stopped() -> None:
    """Every length half as large again: on its way back the cell halves its volume."""
    crystal, bonds, topology = prepared("MOF-5")
    swollen = Crystal(crystal.lattice * 1.5, crystal.frac_coords, crystal.numbers)
    relaxed = relax_mof(swollen, topology, replace(DEFAULT_CRITERIA, max_steps=2000))
    assert not relaxed.converged
    assert "the cell runs away: volume 0.4" in relaxed.reason or "0.5" in relaxed.reason
    assert len(bonds) == len(topology.bonds)


def test_wrong_limits_are_refused() -> None:
    _, _, topology = prepared("MIL-47")
    with pytest.raises(UsageError, match="largest force is 0 eV/A"):
        Criteria(max_force=0.0)
    with pytest.raises(UsageError, match="number of steps is -1"):
        Criteria(max_steps=-1)
    with pytest.raises(InputError, match="terms for 36 atoms, but the structure has 106"):
        relax_mof(curated()["MOF-5"], topology)
