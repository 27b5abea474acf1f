"""Bonds from geometry: coordination of well known frameworks, images, and what is no bond."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crystaltool.bonds import assert_bonds
from crystaltool.crystal import Crystal
from crystaltool.errors import InputError
from crystaltool.io.cif import CifBlock
from crystaltool.io.stream import iter_blocks
from crystaltool.mof.elements import BOND_VALENCE_ELECTRONEGATIVITY, BOND_VALENCE_SIZE
from crystaltool.mof.perception import perceive_bonds
from crystaltool.mof.quotient import find_pieces
from crystaltool.mof.valence import bond_valence
from tests.mof.structures import add_atoms, curated, cyanides, shuffled, supercell

CASES = Path(__file__).resolve().parents[1] / "data" / "cases" / "mof"

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


def around(metal: int, distances: list[float], ligand: int = 8) -> Crystal:
    """A metal with ligand atoms along the axes of a large cell."""
    axes = np.concatenate([np.eye(3), -np.eye(3)])[: len(distances)]
    coords = np.concatenate([np.zeros((1, 3)), axes * np.array(distances)[:, None]]) / 20
    return Crystal(np.eye(3) * 20, coords, np.array([metal, *[ligand] * len(distances)]))


@pytest.mark.parametrize(
    ("metal", "others", "longest"),
    [  # five equal bonds; the sixth carries 4 % of the metal's valence
        (30, 2.10, 2.68),
        (29, 1.98, 2.56),
        (82, 2.50, 3.08),
        (19, 2.80, 3.38),
        (57, 2.50, 3.08),
    ],
)
def test_a_bond_is_a_share_of_the_metals_valence(metal: int, others: float, longest: float) -> None:
    for distance, expected in ((longest - 0.02, 6), (longest + 0.02, 5)):
        assert len(perceive_bonds(around(metal, [*[others] * 5, distance]))) == expected


@pytest.mark.parametrize("factor", [0.97, 1.03])
def test_a_scaled_cell_keeps_weak_bonds(factor: float) -> None:
    crystal = around(29, [1.98, 1.98, 1.98, 1.98, 2.54])
    scaled = Crystal(crystal.lattice * factor, crystal.frac_coords, crystal.numbers)
    assert len(perceive_bonds(scaled)) == len(perceive_bonds(crystal)) == 5


@pytest.mark.parametrize(("file", "n_bonds"), [("input.cif", {6}), ("input-small.cif", {8})])
def test_lead_and_its_lone_pair(file: str, n_bonds: set[int]) -> None:
    (block,) = iter_blocks([str(CASES / "07-lead-bonds" / file)])
    assert isinstance(block, CifBlock)
    crystal, bonds = block.crystal, perceive_bonds(block.crystal)
    lead = crystal.numbers == 82
    assert set(bonds.valences(crystal.n_atoms)[lead].tolist()) == n_bonds
    assert max(find_pieces(crystal.n_atoms, bonds.pairs, bonds.images).ranks) == 3
    ends = crystal.numbers[bonds.pairs]
    to_lead = (ends == 82).any(axis=1)
    valences = bond_valence(ends[to_lead].max(axis=1), ends[to_lead].min(axis=1), bonds.lengths(crystal)[to_lead])
    assert valences.sum() / lead.sum() == pytest.approx(1.7, abs=0.2)


def test_the_far_oxygen_of_a_carboxylate_is_no_bond() -> None:
    """Zn-O 1.95 and 2.38 A is a chelate, 1.95 and 2.50 A is not: the second is near because the first is bound."""
    for far, expected in ((2.38, 2), (2.50, 1)):
        near, span = 1.95, 2.2  # O...O of a carboxylate
        cosine = (near**2 + far**2 - span**2) / (2 * near * far)
        first = np.array([near, 0, 0])
        second = far * np.array([cosine, np.sqrt(1 - cosine**2), 0])
        middle = (first + second) / 2
        carbon = middle + 0.62 * middle / np.linalg.norm(middle)
        others = [np.array([-1.0, -1.2, 1.2]), np.array([-1.0, -1.2, -1.2])]
        cart = np.array([np.zeros(3), first, second, carbon, *others])
        crystal = Crystal(np.eye(3) * 20, cart / 20, np.array([30, 8, 8, 6, 8, 8]))
        bonds = perceive_bonds(crystal)
        assert ((bonds.pairs == 0).any(axis=1)).sum() == expected + 2


@pytest.mark.parametrize(
    ("oxo", "angle", "length", "bound"),
    [(1.68, 180.0, 2.50, True), (1.68, 90.0, 2.50, False), (1.90, 180.0, 2.60, False), (1.68, 180.0, 2.85, False)],
)
def test_a_bond_opposite_to_an_oxo_group_is_long(oxo: float, angle: float, length: float, bound: bool) -> None:
    """Mo-O 2.4 to 2.5 A closes octahedra in beta-octamolybdate (Lindqvist, Ark. Kemi 1950, 2, 349); elsewhere it is
    no bond."""
    turn = np.radians(angle)
    ends = [[0, 0, oxo], [1.75, 0, -0.4], [-1.75, 0, -0.4], [0, 1.75, -0.4], [0, -1.95, -0.4]]
    ends.append([length * np.sin(turn) / np.sqrt(2), length * np.sin(turn) / np.sqrt(2), length * np.cos(turn)])
    cart = np.array([[0.0, 0, 0], *ends]) + 8.0
    bonds = perceive_bonds(Crystal(16.0 * np.eye(3), cart / 16.0, np.array([42] + [8] * 6)))
    assert ([0, 6] in bonds.pairs.tolist()) is bound
    assert len(bonds) == 5 + bound


def test_a_nitrogen_without_a_lone_pair_makes_no_weak_bond() -> None:
    angles = np.radians([90, 210, 330])
    flat = np.column_stack([np.cos(angles), np.sin(angles), np.zeros(3)]) * 1.4
    for lift, expected in ((0.0, 0), (-0.5, 1)):
        cart = np.concatenate([[[0, 0, 0], [0, 0, 2.4]], flat + np.array([0, 0, lift])])
        crystal = Crystal(np.eye(3) * 20, cart / 20, np.array([7, 30, 6, 6, 6]))
        assert ((perceive_bonds(crystal).pairs == 1).any(axis=1)).sum() == expected


def test_sizes_for_bond_valences_are_those_of_pymatgen() -> None:
    from pymatgen.analysis.bond_valence import BV_PARAMS

    for element, listed in BV_PARAMS.items():
        assert BOND_VALENCE_SIZE[element.Z] == listed["r"]
        assert BOND_VALENCE_ELECTRONEGATIVITY[element.Z] == listed["c"]
    assert np.isfinite(BOND_VALENCE_SIZE).sum() == len(BV_PARAMS) + 1  # and the empty entry 0


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
