"""Linkers from SMILES and files: where they bind, their charges, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crystaltool.errors import UsageError
from crystaltool.mof.blocks import LINKER, assert_block
from crystaltool.mof.fragment import fragment
from crystaltool.mof.identity import identify
from crystaltool.mof.linkers import linker_of_file, linker_of_smiles
from crystaltool.mof.perception import perceive_bonds
from tests.mof.structures import curated

LINKERS = [
    ("OC(=O)c1ccc(cc1)C(=O)O", "C8H4O4", 4),
    ("[O-]C(=O)c1ccc(cc1)C(=O)[O-]", "C8H4O4", 4),
    ("OC(=O)c1cc(C(=O)O)cc(C(=O)O)c1", "C9H3O6", 6),
    ("c1cc(ccn1)-c1ccncc1", "C10H8N2", 2),
    ("c1cnc[nH]1", "C3H3N2", 2),
    ("Cc1ncc[nH]1", "C4H5N2", 2),
    ("c1cn[nH]c1", "C3H3N2", 2),
    ("OC(=O)c1ccncc1", "C6H4NO2", 3),
    ("C1CN2CCN1CC2", "C6H12N2", None),
    ("*[N+]12CC[N+](*)(CC1)CC2", "C6H12N2", 2),
    ("*Oc1ccc(O*)cc1", "C6H4O2", 2),
    ("CN1C=NC=C1", "C4H6N2", None),
    ("c1cncc[nH+]1", "C4H5N2", None),
]


@pytest.mark.parametrize(("smiles", "formula", "points"), LINKERS)
def test_what_binds(smiles: str, formula: str, points: int | None) -> None:
    from crystaltool.mof.identity import hill_formula

    if points is None:
        with pytest.raises(UsageError, match="connection points"):
            linker_of_smiles(smiles)
        return
    block = linker_of_smiles(smiles)
    assert_block(block)
    assert (block.kind, block.n_connections) == (LINKER, points)
    assert hill_formula(tuple(block.numbers.tolist())) == formula
    lengths = np.linalg.norm(block.cut_vectors, axis=1)
    assert ((lengths > 0.95) & (lengths < 1.1)).all()
    if points > 2 or "C(=O)" in smiles:  # nothing of the block is where a metal would be
        metals = block.cart_coords[block.connection_atoms] + 2 * block.cut_vectors
        apart = np.linalg.norm(metals[:, None] - block.cart_coords[None], axis=-1)
        assert np.sort(apart, axis=1)[:, 1].min() > 2.2


def test_terephthalate_is_the_one_that_fragment_cuts() -> None:
    """The same identity as in MOF-5, and connection points in the same places to half an Angstrom."""
    crystal = curated()["MOF-5"]
    cut = next(b for b in fragment(crystal, perceive_bonds(crystal)).blocks if b.kind == LINKER)
    ours = linker_of_smiles("OC(=O)c1ccc(cc1)C(=O)O")
    assert ours.identity == identify(cut).text
    first, second = np.triu_indices(4, 1)
    distances = [
        np.sort(np.linalg.norm(b.connection_coords[first] - b.connection_coords[second], axis=1)) for b in (ours, cut)
    ]
    assert np.abs(distances[0] - distances[1]).max() < 0.5


@pytest.mark.parametrize(
    ("smiles", "words"),
    [
        ("c1ccccc1[", "no SMILES"),
        ("CCO", "0 connection points"),
        ("CC(=O)O.CC(=O)O", "more than one molecule"),
        ("c1nnn[nH]1", "tetrazole"),
        ("[Zn+2]", "metal"),
        ("*C", "1 connection points"),
    ],
)
def test_what_is_refused(smiles: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        linker_of_smiles(smiles)
    assert "\n" not in str(caught.value)


def test_files_that_open_babel_reads(tmp_path: Path) -> None:
    pybel = pytest.importorskip("openbabel.pybel")
    molecule = pybel.readstring("smi", "OC(=O)c1ccc(cc1)C(=O)O")
    molecule.make3D()
    for ending in ("mol", "xyz", "mol2", "pdb"):
        path = tmp_path / f"linker.{ending}"
        molecule.write(ending, str(path), overwrite=True)
        block = linker_of_file(path)
        assert (block.n_atoms, block.n_connections) == (16, 4)
        assert block.identity == linker_of_smiles("OC(=O)c1ccc(cc1)C(=O)O").identity
    flat = tmp_path / "flat.smi"
    flat.write_text("OC(=O)c1ccc(cc1)C(=O)O\n")
    empty, other = tmp_path / "empty.xyz", tmp_path / "linker.nothing"
    empty.write_text("")
    other.write_text("x")
    for path, words in ((flat, "three-dimensional"), (empty, "no molecule"), (other, "reads no files")):
        with pytest.raises(UsageError, match=words):
            linker_of_file(path)
