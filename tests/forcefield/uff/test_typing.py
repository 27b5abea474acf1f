"""Types, geometries and bond orders: well known MOFs, small ligands, every element."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from crystaltool.bonds import BondGraph
from crystaltool.crystal import Crystal
from crystaltool.errors import InputError
from crystaltool.forcefield.uff import typing as kinds
from crystaltool.forcefield.uff.paddlewheels import with_paddlewheels
from crystaltool.forcefield.uff.parameters import atom_types
from crystaltool.forcefield.uff.resonance import organic_orders
from crystaltool.forcefield.uff.topology import build_topology
from crystaltool.forcefield.uff.typing import Typing, assign_types
from crystaltool.mof.perception import perceive_bonds
from crystaltool.units import SYMBOLS
from tests.mof.structures import curated

EXPECTED = {
    "HKUST-1": {"Cu4+2": 12, "H_": 24, "C_R": 72, "O_2": 48},
    "MOF-5": {"Zn3f2": 8, "H_": 24, "C_R": 48, "O_3_f": 2, "O_2": 24},
    "UiO-66": {"Zr8f4": 6, "H_": 28, "C_R": 48, "O_3_f": 8, "O_2": 24},
    "ZIF-8": {"Zn3f2": 6, "H_": 60, "C_R": 36, "C_3": 12, "N_R": 24},
    "MIL-53": {"Al6+3": 2, "C_R": 16, "O_2_z": 2, "O_2": 8, "H_": 10},
    "MIL-47": {"V_6+3": 2, "H_": 8, "C_R": 16, "O_2": 10},
}
METAL_GEOMETRY = {
    "HKUST-1": kinds.SQUARE,
    "MOF-5": kinds.TETRAHEDRAL,
    "UiO-66": kinds.EIGHTFOLD,
    "ZIF-8": kinds.TETRAHEDRAL,
    "MIL-53": kinds.OCTAHEDRAL,
    "MIL-47": kinds.OCTAHEDRAL,
}


def typed(crystal: Crystal) -> Typing:
    return assign_types(crystal, with_paddlewheels(crystal, perceive_bonds(crystal)))


@pytest.mark.parametrize("name", EXPECTED)
def test_types_of_well_known_mofs(name: str) -> None:
    typing = typed(curated()[name])
    assert Counter(typing.labels) == EXPECTED[name]
    metals = np.array([label in ("Cu4+2", "Zn3f2", "Zr8f4", "Al6+3", "V_6+3") for label in typing.labels])
    assert set(typing.geometry[metals].tolist()) == {METAL_GEOMETRY[name]}
    assert (typing.orders > 0).all()


def molecule(smiles: str) -> tuple[Crystal, BondGraph, list[str]]:
    """A molecule with hydrogens in a wide cell, bonds without orders; and RDKit's symbols."""
    from rdkit import Chem
    from rdkit.Chem import AllChem

    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert AllChem.EmbedMolecule(molecule, randomSeed=7) == 0
    coords = molecule.GetConformer().GetPositions()
    numbers = np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()])
    pairs = np.array([[bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()] for bond in molecule.GetBonds()])
    crystal = Crystal(np.eye(3) * 30.0, coords / 30.0, numbers)
    bonds = BondGraph(pairs, np.zeros((len(pairs), 3), dtype=np.int64), np.zeros(len(pairs)))
    return crystal, bonds, [SYMBOLS[number] for number in numbers]


LIGANDS = {
    "c1ccccc1": {"C_R": 6, "H_": 6},
    "C=CC": {"C_2": 2, "C_3": 1, "H_": 6},
    "C#CC=O": {"C_1": 2, "C_2": 1, "O_2": 1, "H_": 2},
    "c1ccncc1": {"C_R": 5, "N_R": 1, "H_": 5},
    "c1ccoc1": {"C_R": 4, "O_R": 1, "H_": 4},
    "c1ccsc1": {"C_R": 4, "S_R": 1, "H_": 4},
    "c1c[nH]cn1": {"C_R": 3, "N_R": 2, "H_": 4},
    "CC(=O)N": {"C_3": 1, "C_2": 1, "O_2": 1, "N_R": 1, "H_": 5},
    "CN": {"C_3": 1, "N_3": 1, "H_": 5},
    "CC#N": {"C_3": 1, "C_1": 1, "N_1": 1, "H_": 3},
    "COC": {"C_3": 2, "O_3": 1, "H_": 6},
    "C[N+](=O)[O-]": {"C_3": 1, "N_R": 1, "O_R": 2, "H_": 3},
    "O=C1C=CC(=O)C=C1": {"C_2": 6, "O_2": 2, "H_": 4},
    "CSC": {"C_3": 2, "S_3+2": 1, "H_": 6},
    "CS(=O)(=O)C": {"C_3": 2, "S_3+6": 1, "O_2": 2, "H_": 6},
    "FC(Cl)(Br)I": {"C_3": 1, "F_": 1, "Cl": 1, "Br": 1, "I_": 1},
    "CP(C)C": {"C_3": 3, "P_3+3": 1, "H_": 9},
    "c1ccc2ccccc2c1": {"C_R": 10, "H_": 8},
    "OB(O)C": {"O_3": 2, "B_2": 1, "C_3": 1, "H_": 5},
    "C[Si](C)(C)C": {"C_3": 4, "Si3": 1, "H_": 12},
}


@pytest.mark.parametrize("smiles", LIGANDS)
def test_types_of_ligands(smiles: str) -> None:
    crystal, bonds, _ = molecule(smiles)
    assert Counter(assign_types(crystal, bonds).labels) == LIGANDS[smiles]


@pytest.mark.parametrize(
    ("smiles", "expected"),
    [
        ("c1ccccc1", {"C-C": [1.5] * 6}),
        ("C=CC", {"C-C": [1.0, 2.0]}),
        ("CC(=O)N", {"C-C": [1.0], "C-O": [2.0], "C-N": [1.41]}),
        ("C[N+](=O)[O-]", {"N-O": [1.5, 1.5]}),
        ("CC#N", {"C-N": [3.0]}),
    ],
)
def test_bond_orders(smiles: str, expected: dict[str, list[float]]) -> None:
    crystal, bonds, symbols = molecule(smiles)
    found: dict[str, list[float]] = {}
    for (i, j), order in zip(bonds.pairs.tolist(), organic_orders(crystal.numbers, bonds).tolist(), strict=True):
        found.setdefault("-".join(sorted((symbols[i], symbols[j]))), []).append(order)
    for kind, orders in expected.items():
        assert sorted(found[kind]) == orders


def test_stated_orders_are_kept() -> None:
    crystal, bonds, _ = molecule("C=CC")
    stated = BondGraph(bonds.pairs, bonds.images, np.ones(len(bonds)))
    assert (organic_orders(crystal.numbers, stated) == 1.0).all()


def test_carboxylates_of_a_mof_share_their_double_bond() -> None:
    crystal = curated()["MOF-5"]
    bonds = perceive_bonds(crystal)
    typing = assign_types(crystal, bonds)
    kinds_of = np.sort(crystal.numbers[bonds.pairs], axis=1)
    carboxylate = (kinds_of == [6, 8]).all(axis=1)
    to_metal = (kinds_of == [8, 30]).all(axis=1)
    assert set(typing.orders[carboxylate].tolist()) == {1.5}
    assert set(typing.orders[to_metal].tolist()) == {0.5}


def test_every_element_and_coordination_has_a_type() -> None:
    """A central atom of each element with 0 to 12 oxygens around it, in no nice arrangement."""
    rng = np.random.default_rng(0)
    for number in range(1, atom_types().heaviest + 1):
        for n in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12):
            around = rng.normal(size=(n, 3))
            around *= 2.0 / np.linalg.norm(around, axis=1, keepdims=True)
            coords = np.concatenate([np.zeros((1, 3)), around]) / 20.0
            crystal = Crystal(np.eye(3) * 20.0, coords, np.array([number] + [8] * n))
            pairs = np.column_stack([np.zeros(n, dtype=np.int64), np.arange(1, n + 1)])
            bonds = BondGraph(pairs, np.zeros((n, 3), dtype=np.int64), np.zeros(n))
            topology = build_topology(crystal, bonds)
            typing = assign_types(crystal, bonds)
            assert atom_types().numbers[typing.rows[0]] == number
            assert np.isfinite(topology.angle_series).all() and (topology.bond_lengths > 0.3).all()


def test_elements_beyond_lawrencium_are_refused() -> None:
    crystal = Crystal(np.eye(3) * 5.0, np.zeros((1, 3)), np.array([104]))
    none = BondGraph(np.zeros((0, 2), dtype=np.int64), np.zeros((0, 3), dtype=np.int64), np.zeros(0))
    with pytest.raises(InputError, match=r"no parameters for Rf \(Z = 104\), it ends at Lr"):
        assign_types(crystal, none)


def around(number: int, directions: list[tuple[float, float, float]]) -> Typing:
    """A metal with oxygens 2 A away along directions."""
    vectors = np.array(directions, dtype=float)
    vectors *= 2.0 / np.linalg.norm(vectors, axis=1, keepdims=True)
    n = len(vectors)
    coords = np.concatenate([np.zeros((1, 3)), vectors]) / 20.0
    crystal = Crystal(np.eye(3) * 20.0, coords, np.array([number] + [8] * n))
    pairs = np.column_stack([np.zeros(n, dtype=np.int64), np.arange(1, n + 1)])
    return assign_types(crystal, BondGraph(pairs, np.zeros((n, 3), dtype=np.int64), np.zeros(n)))


TETRAHEDRON = [(1.0, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)]
PLANE = [(1.0, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0)]
AXES = [*PLANE, (0, 0, 1.0), (0, 0, -1)]
TRIANGLE = [(1.0, 0, 0), (-0.5, 0.866, 0), (-0.5, -0.866, 0)]


@pytest.mark.parametrize(
    ("number", "directions", "label", "geometry"),
    [
        (30, TETRAHEDRON, "Zn3f2", kinds.TETRAHEDRAL),
        (46, PLANE, "Pd4+2", kinds.SQUARE),
        (29, PLANE, "Cu4+2", kinds.SQUARE),
        (29, [*PLANE, (0, 0, 1)], "Cu4+2", kinds.SQUARE),
        (26, AXES, "Fe6+3", kinds.OCTAHEDRAL),
        (30, AXES, "Zn4+2", kinds.OCTAHEDRAL),
        (26, [*TRIANGLE, (0, 0, 1), (0, 0, -1)], "Fe4+2", kinds.BIPYRAMID),
        (47, TRIANGLE, "Ag2f2", kinds.TRIGONAL),
        (47, [(1, 0, 0), (-1, 0, 0)], "Ag1f1", kinds.LINEAR),
        (40, [(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], "Zr8f4", kinds.EIGHTFOLD),
        (57, [*AXES, (1, 1, 1)], "La8f4", kinds.UNDIRECTED),
        (19, AXES, "K_4f2", kinds.UNDIRECTED),
    ],
)
def test_geometry_at_metals(number: int, directions: list, label: str, geometry: int) -> None:
    typing = around(number, directions)
    assert (typing.labels[0], typing.geometry[0]) == (label, geometry)


def test_paddlewheels_get_their_metal_bond() -> None:
    crystal = curated()["HKUST-1"]
    bonds = perceive_bonds(crystal)
    metal = crystal.numbers[bonds.pairs] == 29
    without = ~metal.all(axis=1)
    assert without.sum() == len(bonds) - 6
    bare = BondGraph(bonds.pairs[without], bonds.images[without], bonds.orders[without])
    again = with_paddlewheels(crystal, bare)
    assert len(again) == len(bonds)
    np.testing.assert_allclose(np.sort(again.lengths(crystal)), np.sort(bonds.lengths(crystal)))
    assert with_paddlewheels(crystal, bonds) is bonds
    zinc = curated()["MOF-5"]
    assert len(with_paddlewheels(zinc, perceive_bonds(zinc))) == len(perceive_bonds(zinc))
