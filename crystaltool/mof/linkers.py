"""Linkers of the user's own: a molecule to a building block, its connection points found or marked.

Found are carboxylates (a point at each oxygen), pyridines and azolates (a point at each free nitrogen of an aromatic
ring of six, or of five with two or three nitrogens); acids lose their protons. Dummy atoms (`*` in SMILES) mark the
points of anything else, and then nothing is looked for. Metals lie 2.0 A from oxygen, 2.1 A from other atoms.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from crystaltool.arrays import Float, Int
from crystaltool.errors import UsageError
from crystaltool.mof.blocks import LINKER, MAX_BLOCK_ATOMS, MAX_CONNECTIONS, BuildingBlock
from crystaltool.mof.elements import METAL

_TO_OXYGEN, _TO_OTHERS = 2.0, 2.1
"""Distance to a metal, A."""

_OUTWARD = np.radians(126.0)
"""Angle carbon-oxygen-metal at a carboxylate that bridges two metals."""

_CONFORMER_SEED = 7
_LEAST = 2
"""Connection points of a linker."""


def linker_of_smiles(smiles: str) -> BuildingBlock:
    """A conformer (RDKit's ETKDG, MMFF94 or UFF) of a molecule, as a linker.

    Raises:
        UsageError: no molecule, no conformer, or no two connection points.
    """
    from rdkit import Chem, rdBase
    from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(smiles)
        if mol is None:
            raise UsageError(f"--linker {smiles!r}: no file of this name, and no SMILES that RDKit understands")
        if "." in Chem.MolToSmiles(mol):
            raise UsageError(f"--linker {smiles!r}: more than one molecule")
        mol = Chem.AddHs(mol)
        parameters = rdDistGeom.ETKDGv3()
        parameters.randomSeed = _CONFORMER_SEED
        if rdDistGeom.EmbedMolecule(mol, parameters) != 0:
            raise UsageError(f"--linker {smiles!r}: RDKit finds no conformer")
        if rdForceFieldHelpers.MMFFHasAllMoleculeParams(mol):
            rdForceFieldHelpers.MMFFOptimizeMolecule(mol)
        elif all(atom.GetAtomicNum() for atom in mol.GetAtoms()):
            rdForceFieldHelpers.UFFOptimizeMolecule(mol)
    numbers = np.array([atom.GetAtomicNum() for atom in mol.GetAtoms()], dtype=np.int64)
    bonds = np.array([(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in mol.GetBonds()], dtype=np.int64)
    return linker_of_molecule(numbers, mol.GetConformer().GetPositions(), bonds.reshape(-1, 2), f"--linker {smiles!r}")


def linker_of_file(path: Path) -> BuildingBlock:
    """The first molecule of a file in any format that Open Babel knows by its ending; coordinates are kept.

    Raises:
        UsageError: Open Babel is not installed, cannot read it, or the molecule is no linker.
    """
    label = f"--linker {path}"
    try:
        from openbabel import pybel
    except ImportError:
        raise UsageError(f"{label}: reading molecules needs Open Babel (pip install openbabel-wheel)") from None
    pybel.ob.obErrorLog.SetOutputLevel(-1)
    ending = path.suffix.removeprefix(".").lower()
    if ending not in pybel.informats:
        raise UsageError(f"{label}: Open Babel reads no files that end in .{ending}")
    try:
        molecule = next(iter(pybel.readfile(ending, str(path))), None)
    except (OSError, ValueError) as error:
        raise UsageError(f"{label}: {' '.join(str(error).split())}") from None
    if molecule is None or not len(molecule.atoms):
        raise UsageError(f"{label}: no molecule in it")
    coords = np.array([atom.coords for atom in molecule.atoms])
    if len(coords) > 1 and np.ptp(coords, axis=0).max() < 0.1:
        raise UsageError(f"{label}: no three-dimensional coordinates; give SMILES instead")
    numbers = np.array([atom.atomicnum for atom in molecule.atoms], dtype=np.int64)
    every = pybel.ob.OBMolBondIter(molecule.OBMol)
    bonds = np.array([(b.GetBeginAtomIdx() - 1, b.GetEndAtomIdx() - 1) for b in every], dtype=np.int64)
    return linker_of_molecule(numbers, coords, bonds.reshape(-1, 2), label)


def linker_of_molecule(
    numbers: Int[np.ndarray, " n"], coords: Float[np.ndarray, "n 3"], bonds: Int[np.ndarray, "m 2"], label: str
) -> BuildingBlock:
    """A molecule as a linker: protons of acids removed, connection points where it binds metals.

    Args:
        numbers: atomic numbers, 0 for dummy atoms. coords: A. bonds: each once. label: begins messages.

    Raises:
        UsageError: fewer than two connection points, or none that can be told for certain.
    """
    if METAL[numbers].any():
        raise UsageError(f"{label}: a molecule with a metal; give nodes with --node")
    around: list[list[int]] = [[] for _ in numbers]
    for i, j in bonds.tolist():
        around[i].append(j)
        around[j].append(i)
    if (numbers == 0).any():
        ends, removed = _marked(numbers, coords, around, label)
    else:
        ends, removed = _found(numbers, coords, around, label)
    if not _LEAST <= len(ends) <= MAX_CONNECTIONS:
        raise UsageError(
            f"{label}: {len(ends)} connection points (carboxylates, pyridines, azolates), a linker has {_LEAST} to"
            f" {MAX_CONNECTIONS}; mark others with dummy atoms (*)"
        )
    kept = np.ones(len(numbers), dtype=bool)
    kept[list(removed)] = False
    if kept.sum() > MAX_BLOCK_ATOMS:
        raise UsageError(f"{label}: {int(kept.sum())} atoms, at most {MAX_BLOCK_ATOMS}")
    place = np.cumsum(kept) - 1
    points = np.array([point for _, point in ends])
    middle = points.mean(axis=0)
    inner = bonds[kept[bonds].all(axis=1)]
    block = BuildingBlock(
        LINKER,
        numbers[kept],
        coords[kept] - middle,
        place[inner],
        np.ones(len(inner)),
        points - middle,
        place[np.array([atom for atom, _ in ends])],
    )
    from crystaltool.mof.identity import identify  # RDKit

    identity = identify(block)
    return replace(block, identity=identity.text, bond_orders=identity.bond_orders)


_Ends = list[tuple[int, np.ndarray]]
"""Atoms that bind metals and the middles of these bonds, A."""


def _marked(numbers: np.ndarray, coords: np.ndarray, around: list[list[int]], label: str) -> tuple[_Ends, set[int]]:
    ends: _Ends = []
    dummies = np.flatnonzero(numbers == 0).tolist()
    for dummy in dummies:
        if len(around[dummy]) != 1 or numbers[around[dummy][0]] == 0:
            raise UsageError(f"{label}: a dummy atom with {len(around[dummy])} neighbours, expected one atom")
        atom = around[dummy][0]
        ends.append((atom, _toward(numbers, coords, atom, coords[dummy] - coords[atom])))
    return ends, set(dummies)


def _found(numbers: np.ndarray, coords: np.ndarray, around: list[list[int]], label: str) -> tuple[_Ends, set[int]]:
    ends: _Ends = []
    removed: set[int] = set()
    for carbon in np.flatnonzero(numbers == 6).tolist():
        oxygens = [i for i in around[carbon] if numbers[i] == 8 and all(numbers[j] in (1, 6) for j in around[i])]
        alone = [i for i in oxygens if sum(numbers[j] != 1 for j in around[i]) == 1]
        if len(around[carbon]) == 3 and len(alone) == 2:
            removed |= {j for i in alone for j in around[i] if numbers[j] == 1}
            for one, other in (alone, alone[::-1]):
                ends.append((one, _syn(numbers, coords, carbon, one, other)))
    for ring in _rings(numbers, coords, around):
        nitrogens = [i for i in ring if numbers[i] == 7]
        size = len(ring)
        if (size == 6 and len(nitrogens) not in (1, 2, 3)) or (size == 5 and len(nitrogens) not in (2, 3)):
            if size == 5 and len(nitrogens) > 3:
                raise UsageError(f"{label}: a tetrazole binds in several ways; mark its points with dummy atoms (*)")
            continue
        heavy = {i: [j for j in around[i] if numbers[j] != 1] for i in nitrogens}
        free = [i for i in nitrogens if len(heavy[i]) == 2]
        protons = {j for i in free for j in around[i] if numbers[j] == 1}
        if size == 6 and protons:
            continue  # a pyridone's or pyridinium's nitrogen
        if size == 5 and len(free) < len(nitrogens):
            free = [i for i in free if not any(numbers[j] == 1 for j in around[i])]
            protons = set()
        removed |= protons
        ends += [(i, _toward(numbers, coords, i, 2 * coords[i] - coords[heavy[i]].sum(axis=0))) for i in free]
    return ends, removed


def _rings(numbers: np.ndarray, coords: np.ndarray, around: list[list[int]]) -> list[tuple[int, ...]]:
    """Flat rings of five or six carbons and nitrogens that each have three neighbours at most."""
    found: set[tuple[int, ...]] = set()
    flat = [numbers[i] in (6, 7) and len(around[i]) <= 3 for i in range(len(numbers))]

    def walk(path: list[int]) -> None:
        for other in around[path[-1]]:
            if other == path[0] and len(path) in (5, 6):
                found.add(tuple(sorted(path)))
            elif other > path[0] and flat[other] and other not in path and len(path) < 6:
                walk([*path, other])

    for start in range(len(numbers)):
        if flat[start]:
            walk([start])
    kept = []
    for ring in sorted(found):
        apart = coords[list(ring)] - coords[list(ring)].mean(axis=0)
        if np.linalg.svd(apart, compute_uv=False)[2] < 0.3:
            kept.append(ring)
    return kept


def _toward(numbers: np.ndarray, coords: np.ndarray, atom: int, direction: np.ndarray) -> np.ndarray:
    """The middle of the bond to a metal in a direction from an atom."""
    length = _TO_OXYGEN if numbers[atom] == 8 else _TO_OTHERS
    return coords[atom] + 0.5 * length * direction / max(float(np.linalg.norm(direction)), 1e-6)


def _syn(numbers: np.ndarray, coords: np.ndarray, carbon: int, oxygen: int, other: int) -> np.ndarray:
    """In the plane of a carboxylate, on the side of its other oxygen."""
    back = coords[carbon] - coords[oxygen]
    back = back / np.linalg.norm(back)
    across = coords[other] - coords[oxygen]
    across = across - (across @ back) * back
    across = across / max(float(np.linalg.norm(across)), 1e-6)
    return _toward(numbers, coords, oxygen, np.cos(_OUTWARD) * back + np.sin(_OUTWARD) * across)
