"""Bonds from geometry: coordination of well known frameworks, images, and what is no bond."""

from __future__ import annotations

import numpy as np
import pytest

from crystaltool.bonds import assert_bonds
from crystaltool.crystal import Crystal
from crystaltool.errors import InputError
from crystaltool.mof.perception import perceive_bonds
from tests.mof.structures import add_atoms, curated, cyanides, shuffled, supercell

COORDINATION = {  # neighbours of every atom of an element, as the frameworks' papers have them
    "HKUST-1": {29: {5}, 6: {3}, 1: {1}, 8: {2}},  # four O and the other Cu of the paddlewheel
    "MOF-5": {30: {4}, 8: {2, 4}, 6: {3}, 1: {1}},
    "UiO-66": {40: {8}, 6: {3}, 1: {1}, 8: {2, 3, 4}},  # carboxylate, mu3-O, mu3-OH
    "ZIF-8": {30: {4}, 7: {3}, 6: {3, 4}, 1: {1}},
    "Ni-MOF-74": {28: {5}, 6: {3}, 1: {1}, 8: {2, 3}},
    "MIL-53": {13: {6}, 6: {3}, 1: {1}, 8: {2, 3}},
    "MIL-47": {23: {6}, 6: {3}, 1: {1}, 8: {2}},
}


@pytest.mark.parametrize("name", COORDINATION)
def test_coordination_of_well_known_frameworks(name: str) -> None:
    crystal = curated()[name]
    bonds = perceive_bonds(crystal)
    assert_bonds(bonds, crystal.n_atoms)
    valences = bonds.valences(crystal.n_atoms)
    found = {int(z): set(valences[crystal.numbers == z].tolist()) for z in np.unique(crystal.numbers)}
    assert found == COORDINATION[name]


@pytest.mark.parametrize("name", COORDINATION)
def test_bond_lengths_do_not_know_origin_order_or_cell(name: str) -> None:
    crystal = curated()[name]
    lengths = np.sort(perceive_bonds(crystal).lengths(crystal))
    moved = shuffled(crystal, seed=1)
    assert np.allclose(np.sort(perceive_bonds(moved).lengths(moved)), lengths, atol=1e-9)
    double = supercell(crystal, (1, 1, 2))
    assert np.allclose(np.sort(perceive_bonds(double).lengths(double)), np.repeat(lengths, 2), atol=1e-9)


def test_an_atom_bound_to_both_copies_of_its_neighbour_has_both_bonds() -> None:
    crystal = cyanides("x")
    bonds = perceive_bonds(crystal)
    assert len(bonds) == 3
    assert sorted(map(tuple, np.abs(bonds.images).tolist())) == [(0, 0, 0), (0, 0, 0), (1, 0, 0)]


def test_hydrogen_keeps_one_bond() -> None:
    crystal = add_atoms(cyanides("xyz"), [(2.5, 2.5, 2.5), (2.5, 2.5, 3.46), (2.5, 2.5, 4.6)], [8, 1, 8])
    bonds = perceive_bonds(crystal)
    hydrogen = int(np.flatnonzero(crystal.numbers == 1)[0])
    mine = bonds.pairs[(bonds.pairs == hydrogen).any(axis=1)]
    assert mine.tolist() == [[hydrogen - 1, hydrogen]]


def test_a_metal_is_not_bound_to_the_carbon_of_its_carboxylate() -> None:
    crystal = curated()["MOF-5"]
    bonds = perceive_bonds(crystal)
    ends = {tuple(sorted(pair)) for pair in crystal.numbers[bonds.pairs].tolist()}
    assert (6, 30) not in ends
    assert (8, 30) in ends


@pytest.mark.parametrize(("metal", "bound"), [(29, True), (12, False), (57, False)])
def test_metals_bind_each_other_but_not_those_of_the_s_and_f_blocks(metal: int, bound: bool) -> None:
    pair = Crystal(np.eye(3) * 20, np.array([[0.0, 0, 0], [0, 0, 2.8 / 20]]), np.array([metal, metal]))
    assert (len(perceive_bonds(pair)) == 1) == bound


@pytest.mark.parametrize(("metal", "longest"), [(29, 2.38), (44, 2.52), (82, 2.52), (19, 2.99), (57, 3.03)])
def test_longest_bonds_to_oxygen(metal: int, longest: float) -> None:
    for distance, expected in ((longest - 0.01, 1), (longest + 0.02, 0)):
        pair = Crystal(np.eye(3) * 20, np.array([[0.0, 0, 0], [0, 0, distance / 20]]), np.array([metal, 8]))
        assert len(perceive_bonds(pair)) == expected


def test_overlapping_atoms_are_named() -> None:
    crystal = add_atoms(cyanides(), [(0.0, 0.0, 0.3)], [8])
    with pytest.raises(InputError, match=r"atoms 1 and 8 overlap, 0\.30 A apart"):
        perceive_bonds(crystal)


def test_a_triclinic_cell_smaller_than_the_cutoff() -> None:
    lattice = np.array([[5.1, 0, 0], [1.3, 5.1, 0], [-0.8, 1.1, 5.1]])
    cubic = cyanides()
    skewed = Crystal(lattice, cubic.frac_coords @ cubic.lattice @ np.linalg.inv(lattice), cubic.numbers)
    bonds = perceive_bonds(skewed)
    double = supercell(skewed, (2, 2, 2))
    assert len(perceive_bonds(double)) == 8 * len(bonds)
