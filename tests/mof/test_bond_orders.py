"""Bond orders from the graph: linkers written down by chemists (RDKit), and Open Babel's perception from geometry."""

from __future__ import annotations

import numpy as np
import pytest
from openbabel import openbabel
from rdkit import Chem
from rdkit.Chem import AllChem

from crystaltool.mof.bond_orders import formal_charges, perceive_orders

LINKERS = {
    "terephthalate": "[O-]C(=O)c1ccc(C(=O)[O-])cc1",
    "trimesate": "[O-]C(=O)c1cc(C(=O)[O-])cc(C(=O)[O-])c1",
    "fumarate": "[O-]C(=O)/C=C/C(=O)[O-]",
    "acetylenedicarboxylate": "[O-]C(=O)C#CC(=O)[O-]",
    "oxalate": "[O-]C(=O)C(=O)[O-]",
    "2-methylimidazolate": "Cc1ncc[n-]1",
    "benzimidazolate": "c1ccc2[n-]cnc2c1",
    "pyrazolate": "c1cn[n-]c1",
    "1,2,4-triazolate": "c1nc[n-]n1",
    "tetrazolate": "c1nn[n-]n1",
    "4,4'-bipyridine": "c1cc(-c2ccncc2)ccn1",
    "1,4-diazabicyclo[2.2.2]octane": "C1CN2CCN1CC2",
    "2,5-dioxidoterephthalate": "[O-]C(=O)c1cc([O-])c(C(=O)[O-])cc1[O-]",
    "catecholate": "[O-]c1ccccc1[O-]",
    "isonicotinate": "[O-]C(=O)c1ccncc1",
    "benzenesulfonate": "[O-]S(=O)(=O)c1ccccc1",
    "phenylphosphonate": "[O-]P(=O)([O-])c1ccccc1",
    "azide": "[N-]=[N+]=[N-]",
    "thiocyanate": "[S-]C#N",
    "nitroterephthalate": "[O-]C(=O)c1ccc(C(=O)[O-])c([N+](=O)[O-])c1",
    "squarate": "[O-]C1=C([O-])C(=O)C1=O",
    "naphthalenedicarboxylate": "[O-]C(=O)c1ccc2cc(C(=O)[O-])ccc2c1",
    "pyrene tetracarboxylate": "[O-]C(=O)c1cc(C(=O)[O-])c2ccc3c(C(=O)[O-])cc(C(=O)[O-])c4ccc1c2c34",
}
"""SMILES of the free ions, as a textbook writes them."""

MOLECULES = {
    "benzoic acid": "O=C(O)c1ccccc1",
    "pyridine": "c1ccncc1",
    "acetamide": "CC(N)=O",
    "acetonitrile": "CC#N",
    "butadiyne": "C#CC#C",
    "naphthalene": "c1ccc2ccccc2c1",
    "thiophene": "c1ccsc1",
    "azobenzene": "c1ccc(/N=N/c2ccccc2)cc1",
    "stilbene": "c1ccc(/C=C/c2ccccc2)cc1",
    "benzoquinone": "O=C1C=CC(=O)C=C1",
}


def graph(smiles: str) -> tuple[Chem.Mol, np.ndarray, np.ndarray, np.ndarray]:
    """A molecule with its hydrogens; atomic numbers, bonds, and which atoms bind metals: anions and donors beside."""
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    numbers = np.array([atom.GetAtomicNum() for atom in mol.GetAtoms()])
    bonds = np.array([(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in mol.GetBonds()])
    anionic = {atom.GetIdx() for atom in mol.GetAtoms() if atom.GetFormalCharge() < 0}
    at_metal = np.zeros(len(numbers), dtype=bool)
    for atom in mol.GetAtoms():
        nitro = any(other.GetFormalCharge() > 0 and other.GetDegree() == 3 for other in atom.GetNeighbors())
        at_metal[atom.GetIdx()] = atom.GetIdx() in anionic and not nitro
    return mol, numbers, bonds, at_metal


def rebuilt(numbers: np.ndarray, bonds: np.ndarray, orders: np.ndarray, charges: np.ndarray) -> str:
    """Canonical SMILES of a molecule with these orders and charges, without hydrogens, stereochemistry aside."""
    mol = Chem.RWMol()
    for number, charge in zip(numbers.tolist(), charges.tolist(), strict=True):
        atom = Chem.Atom(number)
        atom.SetFormalCharge(charge)
        atom.SetNoImplicit(True)
        mol.AddAtom(atom)
    kinds = {1: Chem.BondType.SINGLE, 2: Chem.BondType.DOUBLE, 3: Chem.BondType.TRIPLE}
    for (i, j), order in zip(bonds.tolist(), orders.tolist(), strict=True):
        mol.AddBond(i, j, kinds[order])
    Chem.SanitizeMol(mol)
    return Chem.MolToSmiles(Chem.RemoveHs(mol), isomericSmiles=False)


def canonical(mol: Chem.Mol) -> str:
    return Chem.MolToSmiles(Chem.RemoveHs(mol), isomericSmiles=False)


def perceived(numbers: np.ndarray, bonds: np.ndarray, at_metal: np.ndarray) -> str:
    orders = perceive_orders(numbers, bonds, at_metal)
    return rebuilt(numbers, bonds, orders, formal_charges(numbers, bonds, orders, at_metal))


@pytest.mark.parametrize("name", LINKERS)
def test_linkers_get_the_bonds_of_their_textbook_formula(name: str) -> None:
    """Up to resonance: the molecule that orders and charges make is the one that was written down."""
    mol, numbers, bonds, at_metal = graph(LINKERS[name])
    assert perceived(numbers, bonds, at_metal) == canonical(mol)


@pytest.mark.parametrize("name", MOLECULES)
def test_molecules_without_metals(name: str) -> None:
    mol, numbers, bonds, at_metal = graph(MOLECULES[name])
    assert not at_metal.any()
    orders = perceive_orders(numbers, bonds, at_metal)
    assert not formal_charges(numbers, bonds, orders, at_metal).any()
    assert perceived(numbers, bonds, at_metal) == canonical(mol)


@pytest.mark.parametrize("name", sorted(MOLECULES.keys() - {"azobenzene"}))  # whose N=N Open Babel takes for N-N
def test_open_babel_sees_the_same_in_their_geometry(name: str) -> None:
    """Open Babel perceives orders from lengths and angles of a geometry by RDKit, and is told no order."""
    mol, numbers, bonds, at_metal = graph(MOLECULES[name])
    assert AllChem.EmbedMolecule(mol, randomSeed=1) == 0
    AllChem.MMFFOptimizeMolecule(mol)
    theirs = openbabel.OBMol()
    theirs.BeginModify()
    for number, (x, y, z) in zip(numbers.tolist(), mol.GetConformer().GetPositions().tolist(), strict=True):
        atom = theirs.NewAtom()
        atom.SetAtomicNum(number)
        atom.SetVector(x, y, z)
    theirs.EndModify()
    theirs.ConnectTheDots()
    theirs.PerceiveBondOrders()
    found = {
        frozenset((bond.GetBeginAtomIdx() - 1, bond.GetEndAtomIdx() - 1)): bond.GetBondOrder()
        for bond in openbabel.OBMolBondIter(theirs)
    }
    assert found.keys() == {frozenset(bond) for bond in bonds.tolist()}
    orders = np.array([float(found[frozenset(bond)]) for bond in bonds.tolist()])
    assert rebuilt(numbers, bonds, orders, np.zeros(len(numbers), dtype=int)) == perceived(numbers, bonds, at_metal)


@pytest.mark.parametrize("name", ["terephthalate", "benzimidazolate", "azide", "pyrene tetracarboxylate"])
def test_neither_order_of_atoms_nor_of_bonds_matters(name: str) -> None:
    mol, numbers, bonds, at_metal = graph(LINKERS[name])
    rng = np.random.default_rng(0)
    for _ in range(5):
        new_place = rng.permutation(len(numbers))
        order = np.argsort(new_place)
        moved = new_place[bonds][rng.permutation(len(bonds))]
        assert perceived(numbers[order], moved, at_metal[order]) == canonical(mol)


@pytest.mark.parametrize("name", LINKERS)
def test_charges_are_those_of_the_ion(name: str) -> None:
    mol, numbers, bonds, at_metal = graph(LINKERS[name])
    orders = perceive_orders(numbers, bonds, at_metal)
    assert formal_charges(numbers, bonds, orders, at_metal).sum() == Chem.GetFormalCharge(mol)


def test_nothing_to_perceive() -> None:
    none = np.zeros((0, 2), dtype=np.int64)
    assert perceive_orders(np.array([8]), none, np.array([True])).shape == (0,)
    water = perceive_orders(np.array([8, 1, 1]), np.array([[0, 1], [0, 2]]), np.array([True, False, False]))
    assert water.tolist() == [1.0, 1.0]
