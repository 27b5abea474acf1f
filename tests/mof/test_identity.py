"""Identity of blocks: bond orders from the graph, SMILES with connection points, fingerprints."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rdkit import Chem

from crystaltool.mof.blocks import BRIDGE, LINKER, NODE, BuildingBlock
from crystaltool.mof.fragment import Limits, fragment
from crystaltool.mof.identity import identify, refine
from crystaltool.mof.perception import perceive_bonds
from tests.mof.structures import TEREPHTHALATE, curated, cyanides

LINKERS = {  # the free ion as it binds; atoms that bind metals are marked by the number of their connection points
    "terephthalate": ("[O-:1]C(=[O:1])c1ccc(cc1)C([O-:1])=[O:1]", TEREPHTHALATE),
    "one oxygen binds two": ("[O-:2]C(=[O:1])c1ccccc1", None),
    "imidazolate": ("c1c[n-:1]c[n:1]1", "*<-n1cc[n-](->*)c1"),
    "pyrazolate": ("c1c[n-:1][n:1]c1", "*<-n1ccc[n-]1->*"),
    "tetrazolate": ("C[c]1[n:1][n:1][n:1][n-:1]1", None),
    "bipyrazolate": ("c1[n-:1][n:1]cc1-c1c[n-:1][n:1]c1", None),
    "bipyridine": ("[n:1]1ccc(cc1)-c1cc[n:1]cc1", "*<-n1ccc(-c2ccn(->*)cc2)cc1"),
    "cyanide": ("[C-:1]#[N:1]", "*<-[C-]#N->*"),
    "thiocyanate": ("[S-:1]C#[N:1]", None),
    "azide": ("[N-:1]=[N+]=[N-:1]", "*<-[N-]=[N+]=[N-]->*"),
    "nitrate": ("[O-][N+](=[O:1])[O-:1]", None),
    "nitroterephthalate": ("[O-:1]C(=[O:1])c1ccc(cc1[N+](=O)[O-])C([O-:1])=[O:1]", None),
    "sulfonate": ("CS(=O)(=[O:1])[O-:1]", None),
    "phosphonate": ("CP(=[O:1])([O-:1])[O-:1]", None),
    "hexafluorosilicate": ("F[Si-2]([F:1])([F:1])(F)(F)F", None),
    "squarate": ("O=C1C(=O)C([O-:1])=C1[O-:1]", None),
    "catecholate": ("c1ccc([O-:1])c([O-:1])c1", "*<-[O-]c1ccccc1[O-]->*"),
    "porphyrin": ("C1=CC2=CC3=CC=C([n-:1]3)C=C3C=CC(=[N:1]3)C=C3C=CC(=CC1=[N:1]2)[n-:1]3", None),
    "alkyne": ("[O-:1]C(=[O:1])C#CC([O-:1])=[O:1]", None),
    "methylammonium": ("C[NH2+]CC([O-:1])=[O:1]", None),
}


def linker(smiles: str) -> BuildingBlock:
    """A block from a SMILES with hydrogens added; map numbers count connection points; bond orders left out."""
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    points = [atom.GetIdx() for atom in mol.GetAtoms() for _ in range(atom.GetAtomMapNum())]
    rng = np.random.default_rng(0)
    ends = rng.normal(size=(len(points), 3))
    return BuildingBlock(
        kind=LINKER,
        numbers=np.array([atom.GetAtomicNum() for atom in mol.GetAtoms()]),
        cart_coords=rng.normal(size=(mol.GetNumAtoms(), 3)),
        bonds=np.array([(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in mol.GetBonds()]).reshape(-1, 2),
        bond_orders=np.zeros(mol.GetNumBonds()),
        connection_coords=ends - ends.mean(axis=0),
        connection_atoms=np.array(points),
    )


def reordered(block: BuildingBlock, seed: int) -> BuildingBlock:
    """The same block: atoms, bonds and points in another order, coordinates disturbed."""
    rng = np.random.default_rng(seed)
    order, rows, points = (rng.permutation(n) for n in (block.n_atoms, len(block.bonds), block.n_connections))
    place = np.argsort(order)
    bonds = place[block.bonds][rows]
    turned = rng.random(len(rows)) < 0.5
    bonds[turned] = bonds[turned][:, ::-1]
    return replace(
        block,
        numbers=block.numbers[order],
        cart_coords=block.cart_coords[order] + rng.normal(0, 0.3, (block.n_atoms, 3)),
        bonds=bonds,
        connection_coords=block.connection_coords[points],
        connection_atoms=place[block.connection_atoms][points],
    )


@pytest.mark.parametrize("name", LINKERS)
def test_a_ligand_gets_its_own_charges_and_bonds_back(name: str) -> None:
    smiles, text = LINKERS[name]
    identity = identify(linker(smiles))
    if text is not None:
        assert identity.text == text
    found = Chem.MolFromSmiles(identity.text, sanitize=False)
    expected = Chem.MolFromSmiles(smiles)
    assert sum(atom.GetFormalCharge() for atom in found.GetAtoms()) == Chem.GetFormalCharge(expected)
    found = Chem.RWMol(found)
    for atom in [atom.GetIdx() for atom in found.GetAtoms() if atom.GetAtomicNum() == 0][::-1]:
        found.RemoveAtom(atom)
    for atom in expected.GetAtoms():
        atom.SetAtomMapNum(0)
    Chem.SanitizeMol(found, Chem.SANITIZE_ALL ^ Chem.SANITIZE_PROPERTIES)
    if name == "porphyrin":  # more resonance structures than RDKit lists
        assert [atom.GetSymbol() for atom in found.GetAtoms() if atom.GetFormalCharge() == -1] == ["N", "N"]
        return
    assert Chem.MolToSmiles(found) in {Chem.MolToSmiles(mol) for mol in Chem.ResonanceMolSupplier(expected)} | {
        Chem.MolToSmiles(expected)
    }


@pytest.mark.parametrize("name", LINKERS)
def test_identity_does_not_know_the_order_of_atoms_or_their_places(name: str) -> None:
    block = linker(LINKERS[name][0])
    first = identify(block)
    for seed in range(5):
        other = reordered(block, seed)
        second = identify(other)
        assert second.text == first.text
        assert (second.bits == first.bits).all()
        kinds = []
        for each, identity in ((block, first), (other, second)):
            rows = [
                (*sorted(each.numbers[pair].tolist()), float(order))
                for pair, order in zip(each.bonds, identity.bond_orders, strict=True)
            ]
            kinds.append(sorted(rows))
        assert kinds[0] == kinds[1]


def test_bond_orders_follow_the_rows_of_the_block() -> None:
    block = linker("[O-:1]C(=[O:1])C#CCc1cc[n:1]cc1")
    elements = map(tuple, np.sort(block.numbers[block.bonds], axis=1).tolist())
    orders = dict(zip(elements, identify(block).bond_orders, strict=True))
    assert set(identify(block).bond_orders) == {1.0, 1.5, 3.0}
    assert orders[(6, 8)] == 1.5  # a carboxylate's oxygens are alike
    assert orders[(1, 6)] == 1.0
    assert orders[(6, 7)] == 1.5


def test_isomers_and_places_of_connection_differ() -> None:
    texts = {
        identify(linker(smiles)).text
        for smiles in (
            "[O-:1]C(=[O:1])c1ccc(cc1)C([O-:1])=[O:1]",
            "[O-:1]C(=[O:1])c1cccc(c1)C([O-:1])=[O:1]",
            "[O-:2]C(=[O:1])c1ccc(cc1)C([O-:1])=[O:1]",
            "[O-:1]C(=O)c1ccc(cc1)C([O-:1])=[O:1]",
        )
    }
    assert len(texts) == 4


def test_fingerprints_are_morgan_bits_with_dummy_atoms() -> None:
    block = linker(LINKERS["terephthalate"][0])
    bits = identify(block).bits
    assert bits.shape == (256,) and bits.dtype == np.uint8
    free = identify(linker("[O-]C(=[O:1])c1ccc(cc1)C([O-:1])=[O:1]")).bits
    assert (bits != free).any()
    assert 0 < np.unpackbits(bits).sum() < 60


def test_nodes_and_bridges_are_named_by_formula_and_graph() -> None:
    crystal = curated()["MIL-53"]
    names = {block.kind: identify(block).text for block in fragment(crystal, perceive_bonds(crystal), Limits()).blocks}
    assert names[NODE].startswith("Al_6_")
    assert names[BRIDGE].startswith("HO_2_")
    assert names[LINKER] == TEREPHTHALATE
    assert refine(["a", "b", "a"], [(0, 1, ""), (1, 2, "")]) == refine(["b", "a", "a"], [(0, 1, ""), (0, 2, "")])
    assert refine(["a", "b", "a"], [(0, 1, ""), (1, 2, "")]) != refine(["a", "a", "b"], [(0, 1, ""), (1, 2, "")])


def test_a_chemistry_that_rdkit_does_not_hold_possible_is_named_by_its_graph() -> None:
    mof = fragment(cyanides(), perceive_bonds(cyanides()))
    block = next(block for block in mof.blocks if block.kind == LINKER)
    six = replace(
        block,
        numbers=np.array([6, 1, 1, 1, 1, 1, 1]),
        cart_coords=np.zeros((7, 3)),
        bonds=np.array([(0, k) for k in range(1, 7)]),
        bond_orders=np.zeros(6),
        connection_atoms=np.array([0, 0]),
    )
    identity = identify(six)
    assert identity.text
    assert (identity.bond_orders == 1).all()
