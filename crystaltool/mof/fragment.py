"""Cut a metal-organic framework into building blocks: metal nodes, linkers and the bridges of rods.

Metal-oxo deconstruction, as MOFid (Bucior et al., Cryst. Growth Des. 2019, 19, 6682) and MOFDiff (ICLR 2024, appendix)
have it: every bond between a node and a linker is cut, and the connection point stands at its middle. A node is a set
of metals held together by oxygens, hydroxides or halides that belong to no linker (UiO-66: Zr6O8), by bonds between
metals, or by three or more shared bridges (a zinc paddlewheel). Where that never ends (a rod, MIL-53) the bridging
atoms become blocks of their own. A ligand bound to a single node only, a bound guest such as water, stays with it. A
metal that one organic ligand holds on all sides (porphyrin, sandwich) belongs to the linker.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crystaltool.arrays import Float, Int
from crystaltool.bonds import BondGraph
from crystaltool.crystal import Crystal
from crystaltool.errors import InputError
from crystaltool.mof import blocks as noun
from crystaltool.mof.blocks import BuildingBlock, CoarseMOF, Connections
from crystaltool.mof.elements import METAL
from crystaltool.mof.linker_metals import linker_metals
from crystaltool.mof.quotient import Pieces, find_pieces

PADDLEWHEEL_DISTANCE = 3.6
"""A: metals that share bridges within this distance form one node (Zn-Zn in a paddlewheel: 2.9 to 3.1)."""

PADDLEWHEEL_BRIDGES = 3
CARBON_BONDS = 4
_BORON, _CARBON, _HYDROGEN = 5, 6, 1


class FragmentError(InputError):
    """A structure that is no usable MOF; `reason` is a short name for tables."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.reason, str(self))


class _EndlessMetals(FragmentError):
    """Bonds between metals form a chain without end."""


@dataclass(frozen=True)
class Limits:
    """What a usable MOF may have: blocks in the cell, atoms and connection points of a block."""

    blocks: int = noun.MAX_BLOCKS
    atoms: int = noun.MAX_BLOCK_ATOMS
    connections: int = noun.MAX_CONNECTIONS


def fragment(
    crystal: Crystal, bonds: BondGraph, limits: Limits | None = None, remove_guests: bool = False
) -> CoarseMOF:
    """The building blocks of a MOF, posed: centres, rotations and connections give the crystal back.

    Args:
        crystal: every atom of the cell.
        bonds: its bonds (`crystaltool.mof.perception.perceive_bonds`).
        limits: of a usable MOF.
        remove_guests: leave free molecules out; otherwise they are a reason to refuse.

    Raises:
        FragmentError: no metal or carbon, superposed atoms, a free molecule, fewer than three dimensions, an infinite
            node or linker, no linker, or more blocks, atoms or connection points than `limits`.
    """
    limits = limits or Limits()
    crystal, bonds = framework_of(crystal, bonds, remove_guests)
    try:
        piece_of, kinds, offsets = _divide(crystal, bonds)
    except _EndlessMetals:  # held by their ligands too, as in a rod of short metal-metal distances
        bonds = _without_metal_bonds(crystal, bonds)
        piece_of, kinds, offsets = _divide(crystal, bonds)
    return _blocks(crystal, bonds, piece_of, kinds, offsets, limits)


def _refuse_superposed(crystal: Crystal, bonds: BondGraph) -> None:
    """Raise FragmentError for a carbon with more than four neighbours: superposed positions of a disordered part.

    Metals do not count, nor does boron (carboranes).
    """
    counted = ~METAL & (np.arange(len(METAL)) != _BORON)
    numbers, (first, second) = crystal.numbers, bonds.pairs.T
    n_bonds = np.bincount(first[counted[numbers[second]]], minlength=len(numbers))
    n_bonds += np.bincount(second[counted[numbers[first]]], minlength=len(numbers))
    n_bonds[numbers != _CARBON] = 0
    if n_bonds.max() > CARBON_BONDS:
        atom = int(n_bonds.argmax())
        raise FragmentError("disorder", f"carbon {atom + 1} has {n_bonds[atom]} neighbours that are no metals")


def framework_of(crystal: Crystal, bonds: BondGraph, remove_guests: bool) -> tuple[Crystal, BondGraph]:
    """The crystal without free molecules, if it is a metal-organic framework connected in three dimensions.

    Raises:
        FragmentError: no metal or carbon, superposed atoms, a free molecule (unless removed), fewer dimensions.
    """
    if not METAL[crystal.numbers].any():
        raise FragmentError("no-metal", "no metal atom")
    if not (crystal.numbers == _CARBON).any():
        raise FragmentError("no-carbon", "no carbon atom")
    _refuse_superposed(crystal, bonds)
    pieces = find_pieces(crystal.n_atoms, bonds.pairs, bonds.images)
    dimension = max(pieces.ranks)
    if dimension < 3:
        raise FragmentError("dimension", f"connected in {dimension} dimensions, expected 3")
    free = np.array(pieces.ranks)[pieces.labels] == 0
    if free.any():
        n_free = sum(rank == 0 for rank in pieces.ranks)
        if not remove_guests:
            raise FragmentError(
                "guest", f"{n_free} free molecule(s), {free.sum()} atoms; --guests remove leaves them out"
            )
        new = np.cumsum(~free) - 1
        kept = ~free[bonds.pairs[:, 0]]
        crystal = Crystal(crystal.lattice, crystal.frac_coords[~free], crystal.numbers[~free], crystal.name)
        bonds = BondGraph(new[bonds.pairs[kept]], bonds.images[kept], bonds.orders[kept])
        pieces = find_pieces(crystal.n_atoms, bonds.pairs, bonds.images)
    if min(pieces.ranks) < 3:
        raise FragmentError("dimension", f"a net connected in {min(pieces.ranks)} dimensions, expected 3")
    return crystal, bonds


def _without_metal_bonds(crystal: Crystal, bonds: BondGraph) -> BondGraph:
    """The bonds without those between metals, if the crystal then still hangs together in three dimensions."""
    kept = ~METAL[crystal.numbers[bonds.pairs]].all(axis=1)
    others = BondGraph(bonds.pairs[kept], bonds.images[kept], bonds.orders[kept])
    if min(find_pieces(crystal.n_atoms, others.pairs, others.images).ranks) < 3:
        raise FragmentError("infinite-node", "a chain of metals without end")
    return others


def _divide(
    crystal: Crystal, bonds: BondGraph
) -> tuple[Int[np.ndarray, "n_atoms"], list[int], Int[np.ndarray, "n_atoms 3"]]:
    """The block of every atom, the kind of every block, and the cell to add to each atom so that blocks are whole."""
    n = crystal.n_atoms
    metal = METAL[crystal.numbers] & ~linker_metals(crystal.numbers, bonds)
    if not metal.any():
        raise FragmentError("no-node", "every metal belongs to a linker")
    first, second = bonds.pairs.T
    ligand_bond = ~metal[first] & ~metal[second]
    coordination = metal[first] != metal[second]
    ligands = find_pieces(n, bonds.pairs[ligand_bond], bonds.images[ligand_bond])
    for label in {int(ligands.labels[i]) for i in np.flatnonzero(~metal)}:
        if ligands.ranks[label]:
            raise FragmentError("infinite-linker", "a chain of nonmetals without end")
    inorganic = _is_inorganic_bridge(crystal.numbers, ligands) & ~metal
    in_node = metal | inorganic
    inside = in_node[first] & in_node[second]
    held_pairs, held_images = _paddlewheels(crystal, bonds, metal, inorganic)
    nodes = _pieces(n, bonds, inside, held_pairs, held_images)
    endless = np.array([rank > 0 for rank in nodes.ranks])[nodes.labels] & in_node
    bridge = np.zeros(n, dtype=bool)
    if endless.any():  # rods: their bridging atoms become blocks of their own
        metals_of = np.bincount(
            np.concatenate(
                [
                    ligands.labels[first[coordination & metal[second]]],
                    ligands.labels[second[coordination & metal[first]]],
                ]
            ),
            minlength=len(ligands),
        )
        bridge = endless & inorganic & (metals_of[ligands.labels] > 1)
        inside = inside & ~(bridge[first] ^ bridge[second])
        nodes = _pieces(n, bonds, inside, held_pairs, held_images)
        if any(nodes.ranks[nodes.labels[i]] for i in np.flatnonzero(metal)):
            nodes = _pieces(n, bonds, inside, held_pairs[:0], held_images[:0])
        if any(nodes.ranks[nodes.labels[i]] for i in np.flatnonzero(metal)):
            raise _EndlessMetals("infinite-node", "a chain of metals without end")
    # whole pieces: nodes of metals with their atoms, everything else by ligand
    node_atom = in_node & ~bridge
    label = np.where(node_atom, nodes.labels, len(nodes) + ligands.labels)
    offsets = np.where(node_atom[:, None], nodes.offsets, ligands.offsets)
    label, offsets = _merge_bound_guests(label, offsets, bonds, node_atom, metal)
    blocks, label = np.unique(label, return_inverse=True)
    kinds = []
    for block in range(len(blocks)):
        atoms = label == block
        if metal[atoms].any():
            kinds.append(noun.METAL)
        else:
            kinds.append(noun.BRIDGE if bridge[atoms].all() else noun.ORGANIC)
    return label, kinds, offsets


def _pieces(n: int, bonds: BondGraph, inside, held_pairs, held_images) -> Pieces:
    return find_pieces(
        n,
        np.concatenate([bonds.pairs[inside], held_pairs]),
        np.concatenate([bonds.images[inside], held_images]),
    )


def _is_inorganic_bridge(numbers: Int[np.ndarray, "n_atoms"], ligands: Pieces) -> np.ndarray:
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


def _merge_bound_guests(label, offsets, bonds: BondGraph, node_atom: np.ndarray, metal: np.ndarray):
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


def _blocks(crystal: Crystal, bonds: BondGraph, label, kinds: list[int], offsets, limits: Limits) -> CoarseMOF:
    first, second = bonds.pairs.T
    cut = label[first] != label[second]
    crossing = (~cut) & ((offsets[second] != bonds.images + offsets[first]).any(axis=1))
    if crossing.any():
        raise FragmentError("self-connected", "a ligand bound to two copies of the block that holds it")
    if not (noun.METAL in kinds and (noun.ORGANIC in kinds or noun.BRIDGE in kinds)):
        raise FragmentError("no-linker", "no linker between the nodes")
    if noun.ORGANIC not in kinds:
        raise FragmentError("no-linker", "no organic linker between the nodes")
    if len(kinds) > limits.blocks:
        raise FragmentError("too-many-blocks", f"{len(kinds)} building blocks, the limit is {limits.blocks}")
    sizes = np.bincount(label, minlength=len(kinds))
    if sizes.max() > limits.atoms:
        raise FragmentError("block-too-large", f"a block of {sizes.max()} atoms, the limit is {limits.atoms}")
    points = np.bincount(np.concatenate([label[first[cut]], label[second[cut]]]), minlength=len(kinds))
    if points.max() > limits.connections:
        text = f"a block with {points.max()} connection points, the limit is {limits.connections} (--max-connections)"
        raise FragmentError("too-many-connections", text)
    if points.min() == 0:
        raise FragmentError("guest", "a block without connection points")
    whole = (crystal.frac_coords + offsets) @ crystal.lattice
    vectors = bonds.vectors(crystal)
    cut_bonds = np.flatnonzero(cut)
    is_metal = np.array(kinds)[label] == noun.METAL
    made, centres, rotations = [], [], []
    point_of = np.zeros((len(bonds), 2), dtype=np.int64)
    for block, kind in enumerate(kinds):
        atoms = np.flatnonzero(label == block)
        local = {atom: k for k, atom in enumerate(atoms.tolist())}
        ends, at = [], []
        for bond in cut_bonds.tolist():
            for side, atom, sign in ((0, int(first[bond]), 0.5), (1, int(second[bond]), -0.5)):
                if label[atom] == block:
                    point_of[bond, side] = len(at)
                    at.append(local[atom])
                    ends.append(whole[atom] + sign * vectors[bond])
        inner = np.flatnonzero(~cut & (label[first] == block))
        centre = np.mean(ends, axis=0)
        frame = principal_frame(np.concatenate([whole[atoms], ends]) - centre)
        made.append(
            BuildingBlock(
                kind=kind,
                numbers=crystal.numbers[atoms],
                cart_coords=(whole[atoms] - centre) @ frame.T,
                bonds=np.array([(local[i], local[j]) for i, j in bonds.pairs[inner].tolist()], dtype=np.int64).reshape(
                    -1, 2
                ),
                bond_orders=bonds.orders[inner],
                connection_coords=(np.array(ends) - centre) @ frame.T,
                connection_atoms=np.array(at, dtype=np.int64),
            )
        )
        centres.append(centre)
        rotations.append(frame)
    frac_centres = np.array(centres) @ np.linalg.inv(crystal.lattice)
    home = np.floor(frac_centres).astype(np.int64)
    # from the metal's block to the other; blocks moved home, so images follow
    swap = ~is_metal[first[cut_bonds]]
    ends = np.column_stack([label[first], label[second]])[cut_bonds]
    at_points = point_of[cut_bonds]
    cells = (bonds.images + offsets[first] - offsets[second])[cut_bonds] + home[ends[:, 1]] - home[ends[:, 0]]
    ends[swap], at_points[swap], cells[swap] = ends[swap][:, ::-1], at_points[swap][:, ::-1], -cells[swap]
    nets = find_pieces(len(kinds), ends, cells)
    return CoarseMOF(
        lattice=crystal.lattice,
        blocks=tuple(made),
        centres=frac_centres - home,
        rotations=np.array(rotations),
        connections=Connections(ends, at_points, cells),
        nets=nets.labels,
        name=crystal.name,
    )


def principal_frame(points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "3 3"]:
    """Rows: the principal axes of a cloud of points, longest first, right-handed."""
    _, _, axes = np.linalg.svd(points - points.mean(axis=0), full_matrices=True)
    axes[2] *= np.sign(np.linalg.det(axes))
    return axes
