"""The division of a MOF: which atoms belong to which block.

Metal-oxo deconstruction, as MOFid (Bucior et al., Cryst. Growth Des. 2019, 19, 6682) and MOFDiff (ICLR 2024, appendix)
have it. A node is a set of metals held together by oxygens, hydroxides or halides that belong to no linker (UiO-66:
Zr6O8), by bonds between metals, or by three or more shared bridges (a zinc paddlewheel). Where that never ends (a rod,
MIL-53) the bridging atoms become blocks of their own. A ligand bound to a single node only, a bound guest such as
water, stays with it. A metal that one organic ligand holds on all sides (porphyrin, sandwich) belongs to the linker.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crystaltool.arrays import Bool, Int
from crystaltool.bonds import BondGraph
from crystaltool.crystal import Crystal
from crystaltool.errors import RefusedError
from crystaltool.mof import blocks as noun
from crystaltool.mof.elements import METAL
from crystaltool.mof.linker_metals import linker_metals
from crystaltool.mof.quotient import Pieces, find_pieces

PADDLEWHEEL_DISTANCE = 3.6
"""A: metals that share bridges within this distance form one node (Zn-Zn in a paddlewheel: 2.9 to 3.1)."""

PADDLEWHEEL_BRIDGES = 3
_CARBON, _HYDROGEN = 6, 1


class FragmentError(RefusedError):
    """A structure that is no usable MOF; `reason` is a short name for tables."""


class _EndlessMetals(FragmentError):
    """Bonds between metals form a chain without end."""


@dataclass(frozen=True)
class Division:
    """The atoms of each block.

    Args:
        bonds: the graph that was divided.
        labels: block of every atom; shape (n_atoms,).
        kinds: kind of every block.
        offsets: cell to add to each atom so that blocks are whole; shape (n_atoms, 3).
    """

    bonds: BondGraph
    labels: Int[np.ndarray, " n_atoms"]
    kinds: list[int]
    offsets: Int[np.ndarray, "n_atoms 3"]


def divide(crystal: Crystal, bonds: BondGraph) -> Division:
    """Divide a framework; where metals bound to each other make a chain without end, their bonds are left out.

    Raises:
        FragmentError: an infinite node or linker, or no node.
    """
    try:
        return _divide(crystal, bonds)
    except _EndlessMetals:  # held by their ligands too, as in a rod of short metal-metal distances
        return _divide(crystal, _without_metal_bonds(crystal, bonds))


def _without_metal_bonds(crystal: Crystal, bonds: BondGraph) -> BondGraph:
    """The bonds without those between metals, if the crystal then still hangs together in three dimensions."""
    kept = ~METAL[crystal.numbers[bonds.pairs]].all(axis=1)
    others = BondGraph(bonds.pairs[kept], bonds.images[kept], bonds.orders[kept])
    if min(find_pieces(crystal.n_atoms, others.pairs, others.images).ranks) < 3:
        raise FragmentError("infinite-node", "a chain of metals without end")
    return others


def _divide(crystal: Crystal, bonds: BondGraph) -> Division:
    n = crystal.n_atoms
    metal = METAL[crystal.numbers] & ~linker_metals(crystal.numbers, bonds)
    if not metal.any():
        raise FragmentError("no-node", "every metal belongs to a linker")
    first, second = bonds.pairs.T
    ligand_bond = ~metal[first] & ~metal[second]
    ligands = find_pieces(n, bonds.pairs[ligand_bond], bonds.images[ligand_bond])
    for label in {int(ligands.labels[i]) for i in np.flatnonzero(~metal)}:
        if ligands.ranks[label]:
            raise FragmentError("infinite-linker", "a chain of nonmetals without end")
    inorganic = _is_inorganic_bridge(crystal.numbers, ligands) & ~metal
    nodes, bridge = _nodes(crystal, bonds, metal, inorganic, ligands)
    # whole pieces: nodes of metals with their atoms, everything else by ligand
    node_atom = (metal | inorganic) & ~bridge
    label = np.where(node_atom, nodes.labels, len(nodes) + ligands.labels)
    offsets = np.where(node_atom[:, None], nodes.offsets, ligands.offsets)
    label, offsets = _merge_bound_guests(label, offsets, bonds, metal)
    blocks, label = np.unique(label, return_inverse=True)
    kinds = []
    for block in range(len(blocks)):
        atoms = label == block
        if metal[atoms].any():
            kinds.append(noun.NODE)
        else:
            kinds.append(noun.BRIDGE if bridge[atoms].all() else noun.LINKER)
    return Division(bonds, label, kinds, offsets)


def _nodes(
    crystal: Crystal,
    bonds: BondGraph,
    metal: Bool[np.ndarray, " n_atoms"],
    inorganic: Bool[np.ndarray, " n_atoms"],
    ligands: Pieces,
) -> tuple[Pieces, Bool[np.ndarray, " n_atoms"]]:
    """Pieces of metals and their inorganic bridges, and the bridges of rods, which become blocks of their own."""
    n, (first, second) = crystal.n_atoms, bonds.pairs.T
    in_node = metal | inorganic
    inside = in_node[first] & in_node[second]
    held_pairs, held_images = _paddlewheels(crystal, bonds, metal, inorganic)
    nodes = _pieces(n, bonds, inside, held_pairs, held_images)
    endless = np.array([rank > 0 for rank in nodes.ranks])[nodes.labels] & in_node
    if not endless.any():
        return nodes, np.zeros(n, dtype=bool)
    coordination = metal[first] != metal[second]
    donors = [first[coordination & metal[second]], second[coordination & metal[first]]]
    metals_of = np.bincount(np.concatenate([ligands.labels[atoms] for atoms in donors]), minlength=len(ligands))
    bridge = endless & inorganic & (metals_of[ligands.labels] > 1)
    inside = inside & ~(bridge[first] ^ bridge[second])
    nodes = _pieces(n, bonds, inside, held_pairs, held_images)
    if any(nodes.ranks[nodes.labels[i]] for i in np.flatnonzero(metal)):
        nodes = _pieces(n, bonds, inside, held_pairs[:0], held_images[:0])
    if any(nodes.ranks[nodes.labels[i]] for i in np.flatnonzero(metal)):
        raise _EndlessMetals("infinite-node", "a chain of metals without end")
    return nodes, bridge


def _pieces(n: int, bonds: BondGraph, inside, held_pairs, held_images) -> Pieces:
    return find_pieces(
        n,
        np.concatenate([bonds.pairs[inside], held_pairs]),
        np.concatenate([bonds.images[inside], held_images]),
    )


def _is_inorganic_bridge(numbers: Int[np.ndarray, " n_atoms"], ligands: Pieces) -> np.ndarray:
    """Atoms of ligands with one heavy atom that is no carbon, or none: oxide, hydroxide, water, halide, hydride."""
    heavy = np.bincount(ligands.labels, weights=numbers != _HYDROGEN, minlength=len(ligands))
    carbon = np.bincount(ligands.labels, weights=numbers == _CARBON, minlength=len(ligands))
    return ((heavy <= 1) & (carbon == 0))[ligands.labels]


def _paddlewheels(crystal: Crystal, bonds: BondGraph, metal: np.ndarray, inorganic: np.ndarray):
    """Pairs of metals that share three or more bridges X-Y-X' (carboxylates) at a short distance, with images."""
    first, second, images = bonds.directed
    donors: dict[int, list[tuple[int, tuple[int, int, int]]]] = {}  # ligand atom -> metals, seen from the atom
    links: dict[int, list[tuple[int, tuple[int, int, int]]]] = {}
    for i, j, cell in zip(first.tolist(), second.tolist(), map(tuple, images.tolist()), strict=True):
        if metal[i] or inorganic[i]:
            continue
        if metal[j]:
            donors.setdefault(i, []).append((j, cell))
        elif not inorganic[j]:
            links.setdefault(i, []).append((j, cell))
    counts: dict[tuple[int, int, tuple[int, int, int]], int] = {}
    for middle, ends in links.items():
        if middle in donors:
            continue
        for k, (x, to_x) in enumerate(ends):
            for y, to_y in ends[k + 1 :]:
                for m, from_x in donors.get(x, ()):
                    for q, from_y in donors.get(y, ()):
                        p = tuple(a + b for a, b in zip(to_x, from_x, strict=True))
                        r = tuple(a + b for a, b in zip(to_y, from_y, strict=True))
                        image = (r[0] - p[0], r[1] - p[1], r[2] - p[2])
                        if (m, (0, 0, 0)) == (q, image):
                            continue
                        opposite = (q, m, (-image[0], -image[1], -image[2]))
                        key = max((m, q, image), opposite)
                        counts[key] = counts.get(key, 0) + 1
    keys = []
    for (m, q, image), count in counts.items():
        if count >= PADDLEWHEEL_BRIDGES:
            apart = (crystal.frac_coords[q] + image - crystal.frac_coords[m]) @ crystal.lattice
            if np.linalg.norm(apart) < PADDLEWHEEL_DISTANCE:
                keys.append((m, q, image))
    pairs = np.array([(m, q) for m, q, _ in keys], dtype=np.int64).reshape(-1, 2)
    return pairs, np.array([image for *_, image in keys], dtype=np.int64).reshape(-1, 3)


def _merge_bound_guests(label, offsets, bonds: BondGraph, metal: np.ndarray):
    """Give every ligand that is bound to one copy of one node only to that node."""
    label, offsets = label.copy(), offsets.copy()
    first, second, images = bonds.directed
    across = metal[first] & (label[first] != label[second])
    held: dict[int, set[tuple[int, int, int, int]]] = {}
    for i, j, cell in zip(first[across].tolist(), second[across].tolist(), images[across], strict=True):
        # the node's copy as seen from the ligand's whole copy
        a, b, c = (offsets[j] - cell - offsets[i]).tolist()
        held.setdefault(int(label[j]), set()).add((int(label[i]), a, b, c))
    for ligand, ends in held.items():
        if len(ends) == 1:
            node, a, b, c = next(iter(ends))
            atoms = label == ligand
            offsets[atoms] -= np.array([a, b, c])
            label[atoms] = node
    return label, offsets
