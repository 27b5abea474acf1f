"""Parameters and terms against RDKit's and Open Babel's tables: other transcriptions of the same paper."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from crystaltool.forcefield.uff.parameters import KCAL_PER_MOL, atom_types
from crystaltool.forcefield.uff.topology import build_topology
from tests.forcefield.uff.test_typing import molecule


def open_babel_rows() -> dict[str, list[float]]:
    openbabel = pytest.importorskip("openbabel")
    tables = list(Path(openbabel.__file__).parent.rglob("UFF.prm"))
    assert tables
    rows = {}
    for line in tables[0].read_text().splitlines():
        words = line.split()
        if words[:1] == ["param"]:
            rows[words[1]] = [float(word) for word in words[2:]]
    return rows


def test_the_table_of_1992_is_that_of_open_babel() -> None:
    """r, theta_0, x, D, Z*, V, U, chi of every type that both have."""
    table, theirs = atom_types(), open_babel_rows()
    compared = 0
    for row, label in enumerate(table.labels):
        if table.source[row] != 1992 or label not in theirs:
            continue
        r, theta, x, d, _, z, v, u, chi = theirs[label][:9]
        mine = [getattr(table, name)[row] for name in ("radius", "angle", "distance", "depth", "charge")]
        mine += [table.barrier_sp3[row], table.barrier_sp2[row], table.electronegativity[row]]
        np.testing.assert_allclose(mine, [r, theta, x, d, z, v, u, chi], atol=2e-3, err_msg=label)
        compared += 1
    assert compared > 100


def test_every_element_has_a_type_and_labels_are_unique() -> None:
    table = atom_types()
    assert set(table.numbers.tolist()) == set(range(1, 104))
    assert len(set(table.labels)) == len(table.labels)


@pytest.mark.parametrize("smiles", ["c1ccccc1", "C=CC", "COC", "CC#N", "CN", "c1ccncc1", "CSC", "FC(Cl)C", "CC(=O)C"])
def test_bonds_and_inversions_of_molecules_are_those_of_rdkit(smiles: str) -> None:
    from rdkit import Chem
    from rdkit.Chem import rdForceFieldHelpers as helpers

    crystal, bonds, _ = molecule(smiles)
    topology = build_topology(crystal, bonds)
    theirs = Chem.AddHs(Chem.MolFromSmiles(smiles))
    for bond, (i, j) in enumerate(bonds.pairs.tolist()):
        constant, length = helpers.GetUFFBondStretchParams(theirs, i, j)
        assert topology.bond_lengths[bond] == pytest.approx(length, abs=2e-4)
        assert topology.bond_constants[bond] / KCAL_PER_MOL == pytest.approx(constant, rel=1e-3)
    checked = 0
    for term, (axis, one, two) in enumerate(topology.inversion_bonds.tolist()):
        shared = set(bonds.pairs[axis]) & set(bonds.pairs[one]) & set(bonds.pairs[two])
        centre = int(shared.pop())
        others = [int(set(bonds.pairs[bond]).difference([centre]).pop()) for bond in (axis, one, two)]
        constant = helpers.GetUFFInversionParams(theirs, others[0], centre, others[1], others[2])
        assert topology.inversion_terms[term, 0] / KCAL_PER_MOL == pytest.approx(constant, rel=1e-6)
        checked += 1
    assert checked == len(topology.inversion_bonds)


@pytest.mark.parametrize("smiles", ["c1ccccc1", "C=CC", "COC", "CC#N", "CN", "FC(Cl)C", "CC(=O)C"])
def test_angles_of_molecules_are_those_of_rdkit(smiles: str) -> None:
    """The natural angle and K, from the energy's curvature there: E'' = K for every form."""
    from rdkit import Chem
    from rdkit.Chem import rdForceFieldHelpers as helpers

    crystal, bonds, _ = molecule(smiles)
    topology = build_topology(crystal, bonds)
    theirs = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert len(topology.angle_bonds)
    for (one, two), series in zip(topology.angle_bonds.tolist(), topology.angle_series, strict=True):
        centre = int((set(bonds.pairs[one]) & set(bonds.pairs[two])).pop())
        ends = [int(set(bonds.pairs[bond]).difference([centre]).pop()) for bond in (one, two)]
        constant, degrees = helpers.GetUFFAngleBendParams(theirs, ends[0], centre, ends[1])
        theta, step = math.radians(degrees), 1e-3
        energy = [np.polyval(series[::-1], math.cos(theta + shift)) for shift in (-step, 0.0, step)]
        assert energy[1] == pytest.approx(0, abs=1e-9)
        curvature = (energy[0] - 2 * energy[1] + energy[2]) / step**2 / KCAL_PER_MOL
        assert curvature == pytest.approx(constant, rel=2e-3)


@pytest.mark.parametrize("smiles", ["CC", "CN", "C=C", "CSSC", "OO", "c1ccccc1", "CO"])
def test_torsions_of_molecules_are_those_of_rdkit(smiles: str) -> None:
    """RDKit gives the barrier of one bond before it is shared among its torsions.

    For a bond of sp3 to sp2 it looks at the ends of each torsion, we (as the paper's text) at the bond: not compared.
    """
    from rdkit import Chem
    from rdkit.Chem import rdForceFieldHelpers as helpers

    crystal, bonds, _ = molecule(smiles)
    topology = build_topology(crystal, bonds)
    theirs = Chem.AddHs(Chem.MolFromSmiles(smiles))
    degrees = bonds.valences(crystal.n_atoms)
    assert len(topology.torsion_bonds)
    for (first, middle, last), (half, _, _) in zip(
        topology.torsion_bonds.tolist(), topology.torsion_terms.tolist(), strict=True
    ):
        j, k = bonds.pairs[middle].tolist()
        i = int(set(bonds.pairs[first]).difference([j]).pop())
        end = int(set(bonds.pairs[last]).difference([k]).pop())
        constant = helpers.GetUFFTorsionParams(theirs, i, j, k, end)
        share = (degrees[j] - 1) * (degrees[k] - 1)
        assert 2 * half / KCAL_PER_MOL * share == pytest.approx(constant, rel=1e-3)
