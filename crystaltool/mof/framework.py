"""What a MOF is, whatever its denticity: metals and bridging atoms, free linkers, and the net in which they touch.

How many oxygens of a carboxylate a metal holds hangs on a cut-off, and on the refinement. So nothing here counts bonds:

- the nodes are named together, by the metals and by the bridging atoms (oxide, hydroxide, halide) of a formula unit,
- linkers by the free ion, as MOFid does (Bucior et al., Cryst. Growth Des. 2019, 19, 6682),
- the net joins a metal to a ligand that touches it, by however many atoms.

Left out is what an activated sample loses and a refinement misses: free molecules, and water, ammonia and other
neutral molecules that hang on metals by one atom. Hydrogens on oxygen, and the last one of an ammonium, are not told
apart (oxide and hydroxide, acid and anion): X-rays see them badly, and calculations move them.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from crystaltool.arrays import Bool, Int
from crystaltool.bonds import BondGraph
from crystaltool.crystal import Crystal
from crystaltool.mof.division import FragmentError
from crystaltool.mof.elements import METAL
from crystaltool.mof.fragment import framework_of
from crystaltool.mof.linker_metals import linker_metals
from crystaltool.mof.net import net_of_graph
from crystaltool.mof.quotient import Pieces, find_pieces

_HYDROGEN, _CARBON, _NITROGEN, _OXYGEN = 1, 6, 7, 8
_WATER, _AMMONIA = 2, 3
"""Hydrogens of these molecules."""


@dataclass(frozen=True)
class MOFIdentity:
    """What a MOF is.

    Args:
        text: `nodes;linkers;net`, as `OZn4;3xO=C([O-])c1ccc(C(=O)[O-])cc1;3d-1-27db43fd1b`. MOFs whose texts differ are
            different; those with one text have the same parts in the same ratio on nets with the same coordination
            sequences.
        metals: elements of its nodes and linkers that are metals, sorted.
        linkers: canonical SMILES of its linkers, each once, sorted; empty where only the text is known.
    """

    text: str
    metals: tuple[int, ...]
    linkers: tuple[str, ...] = field(default=(), compare=False)

    @property
    def blocks(self) -> str:
        """The text without the net."""
        return self.text.rpartition(";")[0]


@dataclass(frozen=True)
class _Ligand:
    """A connected piece without metals of nodes: its atoms, its copies of metals, how many of its atoms bind."""

    atoms: Int[np.ndarray, " k"]
    metals: frozenset[tuple[int, int, int, int]]
    binding: int


def identify_framework(crystal: Crystal, bonds: BondGraph) -> MOFIdentity:
    """The identity of a framework; free molecules are left out.

    Raises:
        FragmentError: no metal or carbon, superposed atoms, fewer than three dimensions, a ligand without end, no node.
    """
    crystal, bonds = framework_of(crystal, bonds, remove_guests=True)
    numbers = crystal.numbers
    metal = METAL[numbers] & ~linker_metals(numbers, bonds)
    if not metal.any():
        raise FragmentError("no-node", "every metal belongs to a linker")
    pieces, ligands = _ligands(numbers, bonds, metal)
    atoms: Counter[int] = Counter(numbers[metal].tolist())
    names: Counter[str] = Counter()
    kept = metal.copy()
    for ligand in ligands:
        atom, name = _name(numbers, bonds, ligand)
        if atom:
            atoms[atom] += 1
        elif name:
            names[name] += 1
        kept[ligand.atoms] = bool(atom or name)
    share = math.gcd(*atoms.values(), *names.values())
    linkers = ".".join(_times(count // share) + name for name, count in sorted(names.items()))
    text = f"{_formula(atoms, share)};{linkers};{_net(bonds, metal, kept, pieces)}"
    return MOFIdentity(text, metals_among(numbers), tuple(sorted(names)))


def metals_among(numbers: Int[np.ndarray, " n"]) -> tuple[int, ...]:
    """The metals among atomic numbers, each once, sorted."""
    return tuple(np.unique(numbers[METAL[numbers]]).tolist())


def _ligands(numbers: np.ndarray, bonds: BondGraph, metal: np.ndarray) -> tuple[Pieces, list[_Ligand]]:
    """Pieces that the metals of nodes leave, and the ligands among them."""
    inner = ~metal[bonds.pairs].any(axis=1)
    pieces = find_pieces(len(numbers), bonds.pairs[inner], bonds.images[inner])
    members: dict[int, list[int]] = {}
    for atom, label in enumerate(pieces.labels.tolist()):
        if not metal[atom]:
            members.setdefault(label, []).append(atom)
    first, second, images = bonds.directed
    across = metal[first] & ~metal[second]
    touched: dict[int, set[tuple[int, int, int, int]]] = {label: set() for label in members}
    binding: dict[int, set[int]] = {label: set() for label in members}
    for i, j, cell in zip(first[across].tolist(), second[across].tolist(), images[across], strict=True):
        label = int(pieces.labels[j])
        touched[label].add((i, *(cell - pieces.offsets[j]).tolist()))
        binding[label].add(j)
    for label in members:
        if pieces.ranks[label]:
            raise FragmentError("infinite-linker", "a chain of nonmetals without end")
    return pieces, [
        _Ligand(np.array(rows), frozenset(touched[label]), len(binding[label])) for label, rows in members.items()
    ]


def _name(numbers: np.ndarray, bonds: BondGraph, ligand: _Ligand) -> tuple[int, str]:
    """The element of a bridging atom or a halide, or the name of a linker; neither for what is left out."""
    elements = numbers[ligand.atoms]
    heavy = elements[elements != _HYDROGEN]
    if len(heavy) <= 1 and _CARBON not in heavy:
        return (0, "") if _is_solvent(elements, len(ligand.metals)) else (int(max(elements)), "")
    inside = np.isin(bonds.pairs, ligand.atoms).all(axis=1)
    atoms = ligand.atoms
    if METAL[elements].any():
        atoms = _without_solvent(numbers, bonds.pairs[inside], atoms)
        inside = np.isin(bonds.pairs, atoms).all(axis=1)
    from crystaltool.mof.identity import name_ligand  # RDKit

    name, charge = name_ligand(numbers[atoms], np.searchsorted(atoms, bonds.pairs[inside]))
    return (0, "" if ligand.binding <= 1 and charge == 0 else name)


def _is_solvent(elements: Int[np.ndarray, " k"], n_metals: int) -> bool:
    """Whether a ligand of one heavy atom is water, ammonia, or an oxygen at one metal, which may be water too."""
    hydrogens = int((elements == _HYDROGEN).sum())
    if _OXYGEN in elements:
        return hydrogens >= _WATER or n_metals <= 1
    return _NITROGEN in elements and hydrogens >= _AMMONIA


def _without_solvent(
    numbers: np.ndarray, pairs: Int[np.ndarray, "m 2"], atoms: Int[np.ndarray, " k"]
) -> Int[np.ndarray, " k"]:
    """The atoms of a ligand with a metal inside but for the solvent on that metal."""
    inner = pairs[~METAL[numbers[pairs]].any(axis=1)]
    pieces = find_pieces(len(atoms), np.searchsorted(atoms, inner), np.zeros((len(inner), 3), dtype=np.int64))
    kept = np.ones(len(atoms), dtype=bool)
    for piece in range(len(pieces)):
        rows = pieces.labels == piece
        elements = numbers[atoms[rows]]
        if not METAL[elements].any() and (elements != _HYDROGEN).sum() <= 1 and _is_solvent(elements, 1):
            kept[rows] = False
    return atoms[kept]


def _net(bonds: BondGraph, metal: Bool[np.ndarray, " n"], kept: Bool[np.ndarray, " n"], pieces: Pieces) -> str:
    """The net of metals and ligands, an edge where they touch."""
    vertex = np.full(len(metal), -1)
    _, vertex[kept] = np.unique(np.where(metal, -1 - np.arange(len(metal)), pieces.labels)[kept], return_inverse=True)
    across = (metal[bonds.pairs].sum(axis=1) == 1) & kept[bonds.pairs].all(axis=1)
    offsets = np.where(metal[:, None], 0, pieces.offsets)
    first, second = bonds.pairs[across].T
    images = bonds.images[across] + offsets[first] - offsets[second]
    return net_of_graph(int(vertex.max()) + 1, np.column_stack([vertex[first], vertex[second]]), images).text


def _formula(atoms: Counter[int], share: int) -> str:
    from crystaltool.mof.identity import hill_formula

    return hill_formula(tuple(atom for atom, count in atoms.items() for _ in range(count // share)))


def _times(count: int) -> str:
    return "" if count == 1 else f"{count}x"
