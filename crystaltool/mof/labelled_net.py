"""`LabelledNet`: the net of a MOF with what its vertices must be, and one way to embed it in space.

The labelled quotient graph: vertices of a kind (node, linker, bridge) with a number of connections, one edge for every
bond between two blocks with the lattice vector it reaches over. Vertices of one class hold one block.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from dataclasses import dataclass

import numpy as np

from crystaltool.arrays import Float, Int
from crystaltool.errors import InputError
from crystaltool.mof.blocks import MAX_BLOCKS, NODE, CoarseMOF, Edges
from crystaltool.mof.net import Net, net_of_graph
from crystaltool.mof.quotient import find_pieces

_ROUNDS = 6
KEY_DIGITS = 8


@dataclass(frozen=True)
class LabelledNet:
    """A net to be filled with blocks.

    Args:
        kinds: NODE, LINKER or BRIDGE of each vertex; shape (n,).
        classes: class of each vertex, numbered from 0; vertices of a class hold one block; shape (n,).
        edges: one for every bond; a metal vertex first.
        lattice: rows, A; shape (3, 3). centres: of the vertices, fractional; shape (n, 3).
        points: where each bond's middle lies, from the centre of its first vertex, A; shape (m, 3).
        name: of the structure that it was found in, or of the file.
        count: MOFs that it stands for.
    """

    kinds: Int[np.ndarray, " n"]
    classes: Int[np.ndarray, " n"]
    edges: Edges
    lattice: Float[np.ndarray, "3 3"]
    centres: Float[np.ndarray, "n 3"]
    points: Float[np.ndarray, "m 3"]
    name: str = ""
    count: int = 1

    @property
    def n_vertices(self) -> int:
        """Vertices in the cell."""
        return len(self.kinds)

    @property
    def n_connections(self) -> Int[np.ndarray, " n"]:
        """Edges of each vertex."""
        return np.bincount(self.edges.blocks.ravel(), minlength=self.n_vertices)

    @property
    def vectors(self) -> Float[np.ndarray, "m 3"]:
        """From the centre of each edge's first vertex to that of its second, A."""
        first, second = self.edges.blocks.T
        return (self.centres[second] + self.edges.images - self.centres[first]) @ self.lattice

    def figure(self, vertex: int) -> tuple[Int[np.ndarray, " k"], Float[np.ndarray, "k 3"]]:
        """Edges of a vertex, and where their middles lie from its centre, A."""
        side = 0 if self.kinds[vertex] == NODE else 1
        edges = np.flatnonzero(self.edges.blocks[:, side] == vertex)
        return edges, self.points[edges] - (self.vectors[edges] if side else 0.0)

    def net(self) -> Net:
        """Coordination sequences and dimension of its net, however many bonds an edge stands for."""
        return net_of_graph(self.n_vertices, self.edges.blocks, self.edges.images)

    def key(self) -> str:
        """Short name that nets of other labels or coordination sequences do not share: `3d-1-0f3c91ab27.9be1b20c`.

        Neither the order of the vertices, the choice of the cell nor how often it repeats the net matter.
        """
        kinds = colours(self.kinds, self.edges)
        share = math.gcd(*kinds.values())
        text = repr(sorted((colour, count // share) for colour, count in kinds.items()))
        return f"{self.net().text}.{hashlib.sha256(text.encode()).hexdigest()[:KEY_DIGITS]}"


def colours(kinds: Int[np.ndarray, " n"], edges: Edges) -> Counter[str]:
    """Vertices of each colour, see `vertex_colours`."""
    return Counter(vertex_colours(kinds, edges))


def vertex_colours(kinds: Int[np.ndarray, " n"], edges: Edges) -> list[str]:
    """Kind and number of connections, refined by those of the neighbours (Weisfeiler and Leman, 1968).

    Vertices that an automorphism of the net exchanges have one colour; the other way round it need not hold.
    """
    degree = np.bincount(edges.blocks.ravel(), minlength=len(kinds))
    labels = [f"{kind}.{n}" for kind, n in zip(kinds.tolist(), degree.tolist(), strict=True)]
    around: list[Counter[tuple[int, tuple[int, ...]]]] = [Counter() for _ in labels]
    for (i, j), image in zip(edges.blocks.tolist(), edges.images.tolist(), strict=True):
        around[i][j, tuple(image)] += 1
        around[j][i, tuple(-x for x in image)] += 1
    for _ in range(_ROUNDS):
        texts = [
            label + "(" + ",".join(sorted(f"{times}x{labels[j]}" for (j, _), times in links.items())) + ")"
            for label, links in zip(labels, around, strict=True)
        ]
        labels = [hashlib.sha256(text.encode()).hexdigest()[:16] for text in texts]
    return labels


def classes_of(kinds: Int[np.ndarray, " n"], edges: Edges) -> Int[np.ndarray, " n"]:
    """Classes of vertices by their colours, numbered by first vertex."""
    seen: dict[str, int] = {}
    return np.array([seen.setdefault(colour, len(seen)) for colour in vertex_colours(kinds, edges)], dtype=np.int64)


def net_of_mof(mof: CoarseMOF) -> LabelledNet:
    """The labelled net of a posed MOF; places of one identity and number of connections are a class.

    Raises:
        InputError: the MOF is not posed.
    """
    if mof.connections is None or mof.rotations is None:
        raise InputError(f"{mof.name or 'MOF'}: the blocks are not posed, their net is not known")
    seen: dict[tuple[str, int], int] = {}
    ends = mof.connections
    classes = [seen.setdefault((block.identity, block.n_connections), len(seen)) for block in mof.blocks]
    points = np.array(
        [
            mof.blocks[block].connection_coords[point] @ mof.rotations[block]
            for block, point in zip(ends.blocks[:, 0].tolist(), ends.points[:, 0].tolist(), strict=True)
        ]
    ).reshape(-1, 3)
    return LabelledNet(
        np.array([block.kind for block in mof.blocks], dtype=np.int64),
        np.array(classes, dtype=np.int64),
        Edges(ends.blocks, ends.images),
        mof.lattice,
        mof.centres,
        points,
        mof.name,
    )


def assert_net(net: LabelledNet) -> None:
    """What holds of every net that can be filled.

    Raises:
        InputError: with what is wrong.
    """
    n = net.n_vertices
    if not 2 <= n <= MAX_BLOCKS:
        raise InputError(f"{n} vertices, expected 2 to {MAX_BLOCKS}")
    first, second = net.edges.blocks.T
    if len(first) == 0 or net.edges.blocks.min() < 0 or net.edges.blocks.max() >= n:
        raise InputError("an edge to a vertex that is not there, or no edge")
    if (net.kinds[first] != NODE).any() or (net.kinds[second] == NODE).any():
        raise InputError("an edge that does not join a node to a linker or bridge")
    if (net.n_connections < 2).any():
        raise InputError("a vertex with fewer than two edges")
    for vertices in (np.flatnonzero(net.classes == c) for c in np.unique(net.classes)):
        if len({(int(net.kinds[v]), int(net.n_connections[v])) for v in vertices}) > 1:
            raise InputError("a class of vertices with other kinds or numbers of connections")
    finite = np.isfinite(net.lattice).all() and np.isfinite(net.centres).all() and np.isfinite(net.points).all()
    if not finite or np.linalg.det(net.lattice) <= 1e-6:
        raise InputError("a cell or a place that is not finite, or a cell without volume")
    ranks = find_pieces(n, net.edges.blocks, net.edges.images).ranks
    if min(ranks) != 3:
        raise InputError(f"a net of {min(ranks)} dimensions, expected 3")
