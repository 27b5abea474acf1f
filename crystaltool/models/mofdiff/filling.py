"""From a net and a block for each class of its vertices to places: centres and cell by least squares.

Each block is turned to its vertex figure; then the least squares of all gaps over centres and cell (linear), and of
each block's rotation given the points of its neighbours (Kabsch), in turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crystaltool.arrays import Float, Int
from crystaltool.crystal import Crystal
from crystaltool.models.mofdiff.figures import groups_of, rays_of, reach_of, reach_of_groups, stretched
from crystaltool.mof.assemble.contacts import atoms_of, watched_pairs
from crystaltool.mof.assemble.problem import block_order
from crystaltool.mof.blocks import NODE, BuildingBlock, CoarseMOF
from crystaltool.mof.fitting import kabsch, spread_rotations, turn_points
from crystaltool.mof.labelled_net import LabelledNet

_STARTS, _ROUNDS = 24, 6
_LEVER = 1.0
"""A: length of the lever by which the directions of cut bonds count."""

_PULL = 0.05
"""Weight of the net's own places and cell against a gap of the same length."""


@dataclass(frozen=True)
class Filling:
    """A net with a block in every vertex.

    Args:
        mof: unposed, its net known.
        strain: root mean square of what is left, A: gaps of the bonds and sums of their half bonds' unit vectors.
        rotations: of the blocks; shape (n, 3, 3).
        points: for both ends of each edge the connection point of its block; shape (m, 2).
    """

    mof: CoarseMOF
    strain: float
    rotations: Float[np.ndarray, "n 3 3"]
    points: Int[np.ndarray, "m 2"]

    def crystal(self) -> Crystal:
        """Every atom in its place, as the filling has it."""
        placed = self.mof.centres @ self.mof.lattice
        parts = zip(self.mof.blocks, self.rotations, placed, strict=True)
        cart = np.concatenate([block.cart_coords @ rotation + centre for block, rotation, centre in parts])
        numbers = np.concatenate([block.numbers for block in self.mof.blocks])
        lattice = self.mof.lattice * np.sign(np.linalg.det(self.mof.lattice))  # a left-handed basis: its opposite
        return Crystal(lattice, cart @ np.linalg.inv(lattice) % 1.0, numbers, self.mof.name)

    def contacts(self) -> tuple[float, float]:
        """Mean square per bond of what atoms of different blocks lack in distance, A^2, and the smallest distance of
        such a pair over the sum of the covalent radii."""
        mof, edges = self.mof, self.mof.edges
        assert edges is not None
        metal, other = block_order(mof)
        offsets = np.zeros(mof.n_blocks, dtype=np.int64)
        for order in (metal, other):
            offsets[order] = np.cumsum([0, *(mof.blocks[k].n_connections for k in order)])[:-1]
        ends = self.points + offsets[edges.blocks]
        partner, images = np.zeros(len(edges), dtype=np.int64), np.zeros((len(edges), 3), dtype=np.int64)
        partner[ends[:, 0]], images[ends[:, 0]] = ends[:, 1], edges.images
        order = [*metal, *other]
        placed = (mof.centres @ mof.lattice)[order]
        atoms = atoms_of(mof, len(metal))
        pairs = watched_pairs(atoms, self.rotations[order], placed, mof.lattice, partner, images)
        if not len(pairs.distances):
            return 0.0, np.inf
        depth = np.clip(pairs.limits - pairs.distances, 0.0, None)
        return float(np.square(depth).sum() / len(edges)), float((pairs.distances / pairs.radii).min())


@dataclass(frozen=True)
class _Slot:
    """A block in a vertex, turned to its figure.

    Args:
        edges: of the net that meet there; (m,). side: of these edges: 0 of metals, 1 of the others.
        rotation: to the figure; (3, 3). chosen: the block's connection point for each edge; (m,).
        points, rays: these points and the half bonds' unit vectors there, in the block's frame; (m, 3).
    """

    edges: Int[np.ndarray, " m"]
    side: int
    rotation: Float[np.ndarray, "3 3"]
    chosen: Int[np.ndarray, " m"]
    points: Float[np.ndarray, "m 3"]
    rays: Float[np.ndarray, "m 3"]


class Turns:
    """How blocks stand in the vertices of one net, kept once found.

    Args:
        net: whose vertices they are.
    """

    def __init__(self, net: LabelledNet) -> None:
        self.net = net
        self._figures: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
        self._slots: dict[tuple[int, int], _Slot] = {}
        self._reaches: dict[tuple[int, int], float] = {}
        self._alive: dict[int, BuildingBlock] = {}  # an `id` is a block's as long as the block lives

    def of(self, blocks: Sequence[BuildingBlock]) -> list[_Slot]:
        """How each block, one for each vertex, stands there."""
        missing: dict[int, list[int]] = {}
        for vertex, block in enumerate(blocks):
            if (vertex, id(block)) not in self._slots:
                self._alive[id(block)] = block
                missing.setdefault(block.n_connections, []).append(vertex)
        for vertices in missing.values():
            self._find(vertices, [blocks[vertex] for vertex in vertices])
        return [self._slots[vertex, id(block)] for vertex, block in enumerate(blocks)]

    def _find(self, vertices: list[int], blocks: list[BuildingBlock]) -> None:
        """Slots of blocks with one number of connection points."""
        points = np.stack([block.connection_coords for block in blocks])
        targets = np.stack([self._wanted(vertex, block) for vertex, block in zip(vertices, blocks, strict=True)])
        rotations, chosen = turn_points(points, targets, spread_rotations(_STARTS))
        rays = {id(block): rays_of(block) for block in blocks}
        for row, (vertex, block) in enumerate(zip(vertices, blocks, strict=True)):
            edges, order = self._figure(vertex)[0], chosen[row]
            self._slots[vertex, id(block)] = _Slot(
                edges,
                0 if self.net.kinds[vertex] == NODE else 1,
                rotations[row],
                order,
                block.connection_coords[order],
                rays[id(block)][order],
            )

    def _figure(self, vertex: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Edges of a vertex, its figure, and the groups of its edges."""
        if vertex not in self._figures:
            self._figures[vertex] = *self.net.figure(vertex), groups_of(self.net, vertex)
        return self._figures[vertex]

    def _wanted(self, vertex: int, block: BuildingBlock) -> Float[np.ndarray, "k 3"]:
        """Where a block's connection points should lie from its centre, A."""
        _, figure, groups = self._figure(vertex)
        if block.kind != NODE:
            n_groups = int(groups.max()) + 1
            key = id(block), n_groups
            if key not in self._reaches:
                self._reaches[key] = reach_of(block.connection_coords, n_groups)
            figure = stretched(figure, groups, max(self._reaches[key], 0.05 * reach_of_groups(figure, groups)))
        return figure - figure.mean(axis=0)


@dataclass(frozen=True)
class _Alike:
    """The vertices with one number of edges, g of them with k edges each.

    Args:
        vertices: which; (g,). edges: of each; (g, k). sides: of these edges; (g, 1).
        points, rays: of their blocks, in the blocks' frames; (g, k, 3).
    """

    vertices: Int[np.ndarray, " g"]
    edges: Int[np.ndarray, "g k"]
    sides: Int[np.ndarray, "g 1"]
    points: Float[np.ndarray, "g k 3"]
    rays: Float[np.ndarray, "g k 3"]


def _alike(slots: Sequence[_Slot]) -> list[_Alike]:
    sizes = np.array([len(slot.edges) for slot in slots])
    found = []
    for size in np.unique(sizes).tolist():
        vertices = np.flatnonzero(sizes == size)
        some = [slots[vertex] for vertex in vertices.tolist()]
        found.append(
            _Alike(
                vertices,
                np.stack([slot.edges for slot in some]),
                np.array([[slot.side] for slot in some]),
                np.stack([slot.points for slot in some]),
                np.stack([slot.rays for slot in some]),
            )
        )
    return found


def fill(net: LabelledNet, blocks: Sequence[BuildingBlock], turns: Turns | None = None) -> Filling | None:
    """Places of blocks, one for each vertex; None where no cell with a volume comes out.

    Args:
        net: whose vertices have the kinds and numbers of connections of the blocks.
        blocks: one for each vertex.
        turns: what was found for this net before.
    """
    slots = (turns or Turns(net)).of(blocks)
    alike = _alike(slots)
    rotations = np.stack([slot.rotation for slot in slots])
    ends = np.zeros((len(net.edges), 2, 2, 3))  # of each edge: end, middle and ray, in the frame of the cell
    centres, lattice = net.centres @ net.lattice, net.lattice
    for round_ in range(_ROUNDS):
        for some in alike:
            ends[some.edges, some.sides, 0] = some.points @ rotations[some.vertices]
            ends[some.edges, some.sides, 1] = some.rays @ rotations[some.vertices]
        centres, lattice = _places(net, ends, centres, lattice)
        if round_ < _ROUNDS - 1:
            rotations = _rotations(net, alike, ends, centres, lattice)
    if np.linalg.det(lattice) <= 0.1 * np.linalg.det(net.lattice) * (len(blocks) > 0):
        return None
    gaps = _gaps(net, ends, centres, lattice)
    bends = ends[:, 0, 1] + ends[:, 1, 1]
    strain = float(np.sqrt((np.square(gaps).sum(1) + _LEVER**2 * np.square(bends).sum(1)).mean()))
    mof = CoarseMOF(lattice, tuple(blocks), centres @ np.linalg.inv(lattice), edges=net.edges, turns=rotations)
    taken = np.zeros((len(net.edges), 2), dtype=np.int64)
    for slot in slots:
        taken[slot.edges, slot.side] = slot.chosen
    return Filling(mof, strain, rotations, taken)


def _gaps(net: LabelledNet, ends: np.ndarray, centres: np.ndarray, lattice: np.ndarray) -> Float[np.ndarray, "m 3"]:
    first, second = net.edges.blocks.T
    apart = centres[second] + net.edges.images @ lattice - centres[first]
    return apart + ends[:, 1, 0] - ends[:, 0, 0]


def _places(net: LabelledNet, ends: np.ndarray, centres: np.ndarray, lattice: np.ndarray):
    """Centres and cell (A) of the least sum of squared gaps, pulled a little to the given ones."""
    n, m = net.n_vertices, len(net.edges)
    first, second = net.edges.blocks.T
    rows = np.zeros((m + n + 3, n + 3))
    index = np.arange(m)
    rows[index, first] -= 1.0
    rows[index, second] += 1.0
    rows[:m, n:] = net.edges.images
    rows[m:] = _PULL * np.eye(n + 3)
    wanted = np.concatenate([ends[:, 0, 0] - ends[:, 1, 0], _PULL * np.concatenate([centres, lattice])])
    found = np.linalg.lstsq(rows, wanted, rcond=None)[0]
    return found[:n], found[n:]


def _rotations(net: LabelledNet, alike: Sequence[_Alike], ends: np.ndarray, centres: np.ndarray, lattice: np.ndarray):
    """Rotations of the blocks to the points that they shall meet."""
    first, second = net.edges.blocks.T
    apart = centres[second] + net.edges.images @ lattice - centres[first]
    found = np.zeros((net.n_vertices, 3, 3))
    for some in alike:
        others = 1 - some.sides
        ways = np.where(some.sides[..., None] == 0, apart[some.edges], -apart[some.edges])
        targets = ways + ends[some.edges, others, 0]
        own = np.concatenate([some.points, _LEVER * some.rays], axis=1)
        wanted = np.concatenate([targets, -_LEVER * ends[some.edges, others, 1]], axis=1)
        found[some.vertices] = kabsch(own, wanted)
    return found
