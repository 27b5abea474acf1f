"""From a net and a block for each class of its vertices to places: centres and cell by least squares.

Each block is turned to its vertex figure; then the least squares of all gaps over centres and cell (linear), and of
each block's rotation given the points of its neighbours (Kabsch), in turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crystaltool.arrays import Float, Int
from crystaltool.models.mofdiff.figures import groups_of, rays_of, reach_of, reach_of_groups, stretched
from crystaltool.mof.assemble.contacts import atoms_of, watched_pairs
from crystaltool.mof.assemble.problem import block_order
from crystaltool.mof.blocks import METAL, BuildingBlock, CoarseMOF
from crystaltool.mof.fitting import fit_points, kabsch, spread_rotations
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


Turns = dict[tuple[int, int], "_Slot"]
"""For a vertex and a block (by its `id`) how the block stands there."""


def fill(net: LabelledNet, blocks: Sequence[BuildingBlock], turns: Turns | None = None) -> Filling | None:
    """Places of blocks, one for each vertex; None where no cell with a volume comes out.

    Args:
        net: whose vertices have the kinds and numbers of connections of the blocks.
        blocks: one for each vertex.
        turns: what was found for this net before; blocks must live as long.
    """
    turns = {} if turns is None else turns
    for vertex, block in enumerate(blocks):
        if (vertex, id(block)) not in turns:
            turns[vertex, id(block)] = _slot(net, vertex, block)
    slots = [turns[vertex, id(block)] for vertex, block in enumerate(blocks)]
    rotations = [slot.rotation for slot in slots]
    ends = np.zeros((len(net.edges), 2, 2, 3))  # of each edge: end, middle and ray, in the frame of the cell
    centres, lattice = net.centres @ net.lattice, net.lattice
    for round_ in range(_ROUNDS):
        for slot, rotation in zip(slots, rotations, strict=True):
            ends[slot.edges, slot.side, 0] = slot.points @ rotation
            ends[slot.edges, slot.side, 1] = slot.rays @ rotation
        centres, lattice = _places(net, ends, centres, lattice)
        if round_ < _ROUNDS - 1:
            rotations = _rotations(net, slots, ends, centres, lattice)
    if np.linalg.det(lattice) <= 0.1 * np.linalg.det(net.lattice) * (len(blocks) > 0):
        return None
    gaps = _gaps(net, ends, centres, lattice)
    bends = ends[:, 0, 1] + ends[:, 1, 1]
    strain = float(np.sqrt((np.square(gaps).sum(1) + _LEVER**2 * np.square(bends).sum(1)).mean()))
    mof = CoarseMOF(lattice, tuple(blocks), centres @ np.linalg.inv(lattice), edges=net.edges)
    taken = np.zeros((len(net.edges), 2), dtype=np.int64)
    for slot in slots:
        taken[slot.edges, slot.side] = slot.chosen
    return Filling(mof, strain, np.stack(rotations), taken)


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


def _slot(net: LabelledNet, vertex: int, block: BuildingBlock) -> _Slot:
    edges, figure = net.figure(vertex)
    rotation, chosen = _turn(block, figure, groups_of(net, vertex))
    side = 0 if net.kinds[vertex] == METAL else 1
    return _Slot(edges, side, rotation, chosen, block.connection_coords[chosen], rays_of(block)[chosen])


def _turn(block: BuildingBlock, figure: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotation of a block to a vertex figure, and its point for each edge."""
    wanted = figure
    if block.kind != METAL:
        reach = reach_of(block.connection_coords, int(groups.max()) + 1)
        wanted = stretched(figure, groups, max(reach, 0.05 * reach_of_groups(figure, groups)))
    fits = fit_points(block.connection_coords, wanted - wanted.mean(axis=0), spread_rotations(_STARTS), most=1)
    return fits.rotations[0], fits.points[0]


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


def _rotations(net: LabelledNet, slots: Sequence[_Slot], ends: np.ndarray, centres: np.ndarray, lattice: np.ndarray):
    """Rotations of the blocks to the points that they shall meet."""
    first, second = net.edges.blocks.T
    apart = centres[second] + net.edges.images @ lattice - centres[first]
    found = []
    for slot in slots:
        edges, other = slot.edges, 1 - slot.side
        targets = (apart[edges] if slot.side == 0 else -apart[edges]) + ends[edges, other, 0]
        own = np.concatenate([slot.points, _LEVER * slot.rays])
        found.append(kabsch(own, np.concatenate([targets, -_LEVER * ends[edges, other, 1]])))
    return found
