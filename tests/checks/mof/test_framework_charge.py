"""Charges of ligands as textbooks write them, and of frameworks as their sum."""

from __future__ import annotations

import numpy as np
import pytest
from rdkit import Chem

from crystaltool.checks.mof.coordination import Coordination
from crystaltool.checks.mof.framework_charge import check_framework_charge
from crystaltool.checks.mof.ligand_charge import as_ligand, cheapest_charge, possible_charges
from crystaltool.checks.mof.metal_charge import consecutive, states_of
from crystaltool.checks.mof.oxidation import OXIDATION_STATES, RARE_STATES
from crystaltool.checks.verdict import Verdict, not_judged
from crystaltool.crystal import Crystal
from crystaltool.mof.elements import METAL
from crystaltool.units import SYMBOLS
from tests.checks.mof.defects import with_atoms, without
from tests.mof.structures import curated, shuffled, supercell

LIGANDS = {  # SMILES, atoms at a metal marked :1; charge
    "[OH2:1]": 0,
    "[OH-:1]": -1,
    "[O-:1]C(=[O:1])c1ccc(C(=[O:1])[O-:1])cc1": -2,
    "c1c[n:1]ccc1-c1cc[n:1]cc1": 0,
    "c1c[n-:1]c[n:1]1": -1,
    "c1nn[n-:1]n1": -1,
    "c1(-c2n[n-:1][n:1]n2)n[n-:1][n:1]n1": -2,
    "c1c(-c2ccc(-c3c[n-:1][n:1]c3)cc2)c[n-:1][n:1]1": -2,
    "[N:1]#CC": 0,
    "[C-:1]#[N:1]": -1,
    "[C-:1]#[O+]": 0,
    "C[n+]1cc[n](C)[c-:1]1": 0,
    "[N-:1]=[N+]=[N-:1]": -1,
    "[N:1]#C[N-:1]C#N": -1,
    "[S-:1]c1nnc(N)s1": -1,
    "Clc1c(Cl)c(Cl)[c-:1]c(Cl)c1Cl": -1,
    "[O-:1]C(=O)[O-:1]": -2,
    "[O-:1][N+](=O)[O-:1]": -1,
    "[O-][N+](=O)c1cc[n:1]cc1": 0,
    "O=[N+]([O-])c1cc(C(=O)[O-:1])cc([N+](=O)[O-])c1": -1,
    "[O:1]=P([O-:1])([O-:1])c1ccccc1": -2,
    "[O-:1]S(=O)(=O)c1ccccc1": -1,
    "[O-:1]Br(=O)=O": -1,
    "[O-]Cl(=O)(=O)=O": -1,
    "F[Si-2:1](F)(F)(F)(F)F": -2,
    "F[P-](F)(F)(F)(F)F": -1,
    "F[B-](F)(F)F": -1,
    "I[I-]I": -1,
    "C[NH2+]C": 1,
    "C[N+](C)(C)C": 1,
}

ONE_OF_SEVERAL = {  # the graph alone does not tell phenolate from quinone, an N-oxide from its quinoid form
    "[O-:1]c1cc(C(=[O:1])[O-:1])c([O-:1])cc1C(=[O:1])[O-:1]": -4,
    "[O-:1]c1ccccc1[O-:1]": -2,
    "[O-:1][n+]1ccc(-c2cc[n+]([O-:1])cc2)cc1": 0,
}


@pytest.mark.parametrize("smiles", [*LIGANDS, *ONE_OF_SEVERAL])
def test_ligands_have_their_textbook_charge(smiles: str) -> None:
    wanted = {**LIGANDS, **ONE_OF_SEVERAL}[smiles]
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert Chem.GetFormalCharge(molecule) == wanted
    numbers = np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()])
    at_metal = np.array([atom.GetAtomMapNum() > 0 for atom in molecule.GetAtoms()])
    bonds = np.array([[bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()] for bond in molecule.GetBonds()])
    ligand = as_ligand(numbers, bonds, at_metal)
    assert wanted in possible_charges(ligand)
    order = np.random.default_rng(0).permutation(len(numbers))
    again = as_ligand(numbers[order], np.argsort(order)[bonds], at_metal[order])
    assert cheapest_charge(again) == cheapest_charge(ligand)
    if smiles in LIGANDS:
        assert cheapest_charge(ligand) == wanted


def judged(crystal: Crystal) -> Verdict:
    return check_framework_charge(Coordination(crystal), str)


@pytest.mark.parametrize("name", sorted(curated()))
def test_well_known_frameworks_are_neutral(name: str) -> None:
    verdict = judged(curated()[name])
    assert verdict.passed and verdict.judged and verdict.value == 0.0


def test_what_is_missing_is_counted_alike_in_any_cell() -> None:
    crystal = curated()["MIL-53"]
    bonds = Coordination(crystal)
    hydroxide = [
        atom
        for atom in np.flatnonzero(crystal.numbers == 1).tolist()
        if crystal.numbers[bonds.neighbours(atom).atoms[0]] == 8
    ]
    bare = without(crystal, hydroxide)
    assert bare is not None
    verdict = judged(bare)
    assert not verdict.passed and verdict.value == -len(hydroxide)
    assert verdict.message.endswith("cations or hydrogens missing")
    double = judged(shuffled(supercell(bare, (1, 1, 2)), 1))
    assert double.value == -2.0 * len(hydroxide)


def with_metal(name: str, symbol: str) -> Crystal:
    """A curated framework with every metal replaced."""
    crystal = curated()[name]
    numbers = np.where(METAL[crystal.numbers], SYMBOLS.index(symbol), crystal.numbers)
    return Crystal(crystal.lattice, crystal.frac_coords, numbers)


@pytest.mark.parametrize("symbol", ["Cd", "Mn", "Fe", "Co", "Ni", "Cu", "Pd", "Hg", "Pb", "Eu"])
def test_elements_that_have_the_state_balance(symbol: str) -> None:
    assert judged(with_metal("MOF-5", symbol)).passed


@pytest.mark.parametrize("symbol", ["Li", "Ag", "Al", "In", "Tl", "Bi", "Sb", "Ti", "Zr", "Nd", "Nb", "Au", "La"])
def test_a_state_that_an_element_does_not_have_balances_nothing(symbol: str) -> None:
    """MOF-5 asks for +2 of every metal: no mean of Tl(I) and Tl(III) is, nor Ti(II) or Nd(II), which few compounds
    have (Greenwood and Earnshaw)."""
    verdict = judged(with_metal("MOF-5", symbol))
    assert verdict.judged and not verdict.passed
    double = judged(supercell(with_metal("MOF-5", symbol), (1, 1, 2)))
    assert double.value == 2 * (verdict.value or 0)


@pytest.mark.parametrize(("symbol", "passes"), [("Cr", True), ("Tl", True), ("Bi", True), ("Cu", False), ("Pb", False)])
def test_three_in_mil_53(symbol: str, passes: bool) -> None:
    assert judged(with_metal("MIL-53", symbol)).passed is passes


def test_states_of_elements() -> None:
    assert consecutive((2, 3, 6)) == [(2, 3), (6, 6)]
    assert states_of(SYMBOLS.index("Cr"), False) == (2, 3, 6)
    assert states_of(SYMBOLS.index("Hg"), True) == (1, 2) and states_of(SYMBOLS.index("Hg"), False) == (2,)
    for number, rare in RARE_STATES.items():
        assert set(rare) < set(OXIDATION_STATES[number])


def test_a_crystal_without_carbon_is_no_framework() -> None:
    coords = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    salt = Crystal(
        5.64 * np.eye(3), np.concatenate([coords, coords + np.array([0.5, 0, 0])]), np.array([11] * 4 + [17] * 4)
    )
    verdict = judged(salt)
    assert not verdict.judged and "no carbon" in verdict.message


def test_what_cannot_be_told_is_no_failure() -> None:
    crystal = curated()["MIL-53"]
    point = np.array([0.5, 0.5, 0.5]) @ crystal.lattice
    verdict = judged(with_atoms(crystal, point, [10]))  # neon has no valence states
    assert verdict.passed and not verdict.judged
    assert verdict.message.startswith("not judged: valences of the ligand of ")
    with pytest.raises(ValueError, match="failure that was not judged"):
        Verdict("x", False, None, "", "", judged=False)
    assert not_judged("x", "limit", "reason").message == "not judged: reason"
