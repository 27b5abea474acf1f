"""How well blocks of a library fit the vertices of a net: their connection points against those found there.

A vertex figure is where the bonds of a vertex have their middles, seen from its centre, in a MOF that has the net.
Linkers may be longer: their bonds to one copy of one neighbour move together, farther out, not farther apart. Nodes are
compared as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crystaltool.arrays import Float, Int
from crystaltool.models.block_encoder.library import Library
from crystaltool.mof.blocks import NODE, BuildingBlock
from crystaltool.mof.labelled_net import LabelledNet

_STRETCHES = np.exp(np.linspace(np.log(0.4), np.log(2.5), 16))
"""Factors by which the bonds of a vertex may lie farther out than where they were found."""


def groups_of(net: LabelledNet, vertex: int) -> Int[np.ndarray, " k"]:
    """Number of the neighbour (and its copy) that each edge of a vertex leads to, in the order of `figure`."""
    side = 0 if net.kinds[vertex] == NODE else 1
    edges = np.flatnonzero(net.edges.blocks[:, side] == vertex)
    ends = np.column_stack([net.edges.blocks[edges, 1 - side], net.edges.images[edges]])
    return np.unique(ends, axis=0, return_inverse=True)[1].reshape(-1)


def stretched(
    figure: Float[np.ndarray, "k 3"], groups: Int[np.ndarray, " k"], reach: float
) -> Float[np.ndarray, "k 3"]:
    """The figure with its groups moved out or in so that their middles lie `reach` (A) from the centre on average."""
    counts = np.bincount(groups)
    middles = np.stack([np.bincount(groups, figure[:, axis]) / counts for axis in range(3)], axis=1)
    far = np.linalg.norm(middles, axis=1)
    factor = reach / max(float(far.mean()), 1e-6)
    return figure + (factor - 1) * middles[groups]


def sorted_distances(points: Float[np.ndarray, "... k 3"]) -> Float[np.ndarray, "... p"]:
    """Distances between all pairs of points in ascending order, A."""
    first, second = np.triu_indices(points.shape[-2], 1)
    return np.sort(np.linalg.norm(points[..., first, :] - points[..., second, :], axis=-1), axis=-1)


def reach_of(points: Float[np.ndarray, "k 3"], n_groups: int) -> float:
    """`reaches_of` of one linker."""
    return float(reaches_of(points[None], n_groups)[0])


def reaches_of(points: Float[np.ndarray, "n k 3"], n_groups: int) -> Float[np.ndarray, " n"]:
    """How far the middles of each linker's groups of points lie from its centre, A: of points near each other, so many
    groups (single linkage)."""
    n, k, _ = points.shape
    if n_groups >= k:
        return np.linalg.norm(points, axis=2).mean(axis=1)
    labels = np.tile(np.arange(k), (n, 1))
    first, second = np.triu_indices(k, 1)
    apart = np.linalg.norm(points[:, first] - points[:, second], axis=2)
    left = np.full(n, k)
    every = np.arange(n)
    for pair in np.argsort(apart, axis=1, kind="stable").T:
        a, b = labels[every, first[pair]], labels[every, second[pair]]
        joined = (a != b) & (left > n_groups)
        labels = np.where(joined[:, None] & (labels == b[:, None]), a[:, None], labels)
        left -= joined
    sums, counts = np.zeros((n, k, 3)), np.zeros((n, k))
    for place in range(k):
        sums[every, labels[:, place]] += points[:, place]
        counts[every, labels[:, place]] += 1
    used = counts > 0  # n_groups of each
    middles = sums[used] / counts[used][:, None]
    return np.linalg.norm(middles, axis=1).reshape(n, n_groups).mean(axis=1)


class Shapes:
    """The connection points of a library's blocks, by kind and number, ready to be compared with vertex figures."""

    def __init__(self, library: Library) -> None:
        a = library.blocks.arrays
        self.kinds, self.n_connections = library.kinds, library.n_connections
        self._points = a["blocks/connection_coords"].astype(np.float64)
        self._starts = np.concatenate([[0], np.cumsum(self.n_connections)])
        self._rows: dict[tuple[int, int], np.ndarray] = {}
        self._distances: dict[tuple[int, int], np.ndarray] = {}
        self._reaches: dict[tuple[int, int, int], np.ndarray] = {}

    def _every(self, kind: int, k: int) -> Float[np.ndarray, "n k 3"]:
        """Connection points of the blocks that `rows` gives, their means at the origin, A."""
        found = self._points[self._starts[self.rows(kind, k)][:, None] + np.arange(k)]
        return found - found.mean(axis=1, keepdims=True)

    def rows(self, kind: int, k: int) -> Int[np.ndarray, " n"]:
        """The blocks of a kind with so many connection points."""
        if (kind, k) not in self._rows:
            self._rows[kind, k] = np.flatnonzero((self.kinds == kind) & (self.n_connections == k))
        return self._rows[kind, k]

    def misfits(self, net: LabelledNet, vertices: Sequence[int]) -> Float[np.ndarray, " n"]:
        """For each block that `rows` gives, how its points differ from the figures of vertices of one class.

        Root mean square difference of the sorted distances between points, A, the mean over the vertices: a lower
        bound of what is left after any rotation, whatever point goes where, and blind to handedness.
        """
        kind, k = int(net.kinds[vertices[0]]), int(net.n_connections[vertices[0]])
        rows = self.rows(kind, k)
        if not len(rows):
            return np.zeros(0)
        if (kind, k) not in self._distances:
            self._distances[kind, k] = sorted_distances(self._every(kind, k))
        total = np.zeros(len(rows))
        for vertex in vertices:
            groups = groups_of(net, vertex)
            if kind == NODE:
                figure = net.figure(vertex)[1]
                wanted = sorted_distances(figure - figure.mean(axis=0))
                total += np.sqrt(np.square(self._distances[kind, k] - wanted).mean(axis=1))
                continue
            n_groups = int(groups.max()) + 1
            reaches = self._reach(kind, k, n_groups)
            _, figure = net.figure(vertex)
            middle = reach_of_groups(figure, groups)
            grid = np.stack([stretched(figure, groups, middle * factor) for factor in _STRETCHES])
            grid -= grid.mean(axis=1, keepdims=True)
            nearest = np.abs(np.log(reaches[:, None] / (middle * _STRETCHES))).argmin(1)
            wanted = sorted_distances(grid)[nearest]
            total += np.sqrt(np.square(self._distances[kind, k] - wanted).mean(axis=1))
        return total / len(vertices)

    def _reach(self, kind: int, k: int, n_groups: int) -> np.ndarray:
        key = kind, k, n_groups
        if key not in self._reaches:
            self._reaches[key] = reaches_of(self._every(kind, k), n_groups).clip(0.1)
        return self._reaches[key]


def reach_of_groups(figure: Float[np.ndarray, "k 3"], groups: Int[np.ndarray, " k"]) -> float:
    """How far the middles of groups lie from the centre on average, A; 0.1 at least."""
    counts = np.bincount(groups)
    middles = np.stack([np.bincount(groups, figure[:, axis]) / counts for axis in range(3)], axis=1)
    return max(float(np.linalg.norm(middles, axis=1).mean()), 0.1)


def rays_of(block: BuildingBlock) -> Float[np.ndarray, "k 3"]:
    """Unit vectors of a block's cut bonds."""
    vectors = block.cut_vectors
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-6)
