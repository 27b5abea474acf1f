"""Nets: how the parts of a MOF hang together, whatever the cell, the origin or the order of the parts.

The quotient graph has a vertex for each part and an edge for each pair of neighbouring copies, however many bonds
join them. Parts with two neighbours are edges, not vertices (Delgado-Friedrichs and O'Keeffe, Acta Cryst. A 2003, 59,
351). What is left is described by coordination sequences.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from crystaltool.arrays import Int
from crystaltool.mof.quotient import Pieces, find_pieces

SHELLS = 10
HASH_DIGITS = 10
SPACE = 3

Cell = tuple[int, int, int]
Edge = tuple[int, int, Cell]


@dataclass(frozen=True)
class Net:
    """What a net is like.

    Args:
        dimension: number of directions in which the most extended part repeats, 0 to 3.
        n_nets: number of interpenetrating nets: of the three-dimensional parts that the quotient graph falls into, each
            counted as often as translations of the cell carry it to a copy that it is not connected with; 1 in fewer
            dimensions, where the number of layers is the cell's.
        classes: coordination sequences to the tenth shell of the kinds of vertices, each with its share of the
            vertices as a whole number, sorted.
        text: short name of all this, for instance `3d-1-0f3c91ab27`.
    """

    dimension: int
    n_nets: int
    classes: tuple[tuple[tuple[int, ...], int], ...]
    text: str


def count_nets(n: int, pairs: Int[np.ndarray, "m 2"], images: Int[np.ndarray, "m 3"]) -> int:
    """Number of interpenetrating nets of a quotient graph, see `Net.n_nets`."""
    return _interpenetration(find_pieces(n, pairs, images))


def _interpenetration(pieces: Pieces) -> int:
    parts = zip(pieces.cycles, pieces.ranks, strict=True)
    return sum(lattice_index(cycles) for cycles, rank in parts if rank == SPACE) or 1


def net_of_graph(n: int, pairs: Int[np.ndarray, "m 2"], images: Int[np.ndarray, "m 3"]) -> Net:
    """The net of a quotient graph of `n` vertices; an edge joins i to j in the cell `image`."""
    pieces = find_pieces(n, pairs, images)
    n_nets = _interpenetration(pieces)
    edges = simplify({_canonical(i, j, tuple(c)) for (i, j), c in zip(pairs.tolist(), images.tolist(), strict=True)})
    vertices = sorted({end for i, j, _ in edges for end in (i, j)})
    sequences = coordination_sequences(vertices, edges)
    around: dict[int, list[tuple[int, ...]]] = {vertex: [] for vertex in vertices}
    for i, j, _ in edges:
        around[i].append(sequences[j])
        around[j].append(sequences[i])
    kinds = Counter((sequences[vertex], tuple(sorted(around[vertex]))) for vertex in vertices)
    share = math.gcd(*kinds.values())
    classes = Counter(sequences[vertex] for vertex in vertices)
    dimension = max(pieces.ranks, default=0)
    described = sorted((kind, count // share) for kind, count in kinds.items())
    digest = hashlib.sha256(repr(described).encode()).hexdigest()[:HASH_DIGITS]
    return Net(
        dimension,
        n_nets,
        tuple(sorted((sequence, count // math.gcd(*classes.values())) for sequence, count in classes.items())),
        f"{dimension}d-{n_nets}-{digest}",
    )


def lattice_index(cycles: tuple[Cell, ...]) -> int:
    """How many copies of a net with these cycles the lattice's translations make: the index of the lattice that
    they span in all lattice vectors of its space (greatest common divisor of the largest minors that are not all 0)."""
    basis = _reduced(cycles)
    size = len(basis)
    if size == 0:
        return 1
    minors = [
        round(np.linalg.det(np.array([[row[column] for column in columns] for row in basis], dtype=float)))
        for columns in combinations(range(3), size)
    ]
    return math.gcd(*minors)


def _reduced(vectors: tuple[Cell, ...]) -> list[list[int]]:
    """Rows in echelon form that span the same lattice (Hermite, by Euclid's algorithm)."""
    rows = [list(vector) for vector in vectors]
    basis: list[list[int]] = []
    for column in range(3):
        while sum(row[column] != 0 for row in rows) > 1:
            pivot = min((row for row in rows if row[column]), key=lambda row: abs(row[column]))
            for row in rows:
                if row is not pivot and row[column]:
                    times = row[column] // pivot[column]
                    row[:] = [a - times * b for a, b in zip(row, pivot, strict=True)]
        chosen = [row for row in rows if row[column]]
        basis.extend(chosen)
        rows = [row for row in rows if any(row) and row not in chosen]
    return basis


def simplify(edges: set[Edge]) -> set[Edge]:
    """The graph without dangling vertices, and with every vertex of two neighbours made an edge between them."""
    links: dict[int, set[tuple[int, Cell]]] = {}
    for i, j, cell in edges:
        links.setdefault(i, set()).add((j, cell))
        links.setdefault(j, set()).add((i, _minus(cell)))
    queue = sorted(links)
    while queue:
        vertex = queue.pop()
        around = links.get(vertex)
        if around is None or len(around) > 2 or any(other == vertex for other, _ in around):
            continue
        del links[vertex]
        for other, cell in around:
            links[other].discard((vertex, _minus(cell)))
        if len(around) == 2:
            (i, to_i), (j, to_j) = around
            cell = _add(to_j, _minus(to_i))
            if (i, (0, 0, 0)) != (j, cell):
                links[i].add((j, cell))
                links[j].add((i, _minus(cell)))
        queue.extend(other for other, _ in around)
    return {_canonical(i, j, cell) for i, around in links.items() for j, cell in around}


def coordination_sequences(vertices: list[int], edges: set[Edge]) -> dict[int, tuple[int, ...]]:
    """Numbers of vertices at 1, 2, ... `SHELLS` steps from each vertex of the infinite graph."""
    if not edges:
        return dict.fromkeys(vertices, (0,) * SHELLS)
    reach = SHELLS * max(max(map(abs, cell)) for *_, cell in edges) + 1
    width = 2 * reach + 1
    place = {vertex: k for k, vertex in enumerate(vertices)}
    steps: list[list[int]] = [[] for _ in vertices]  # of every vertex: what a step adds to its code
    for i, j, (a, b, c) in edges:
        change = (a * width + b) * width + c
        jump = (place[j] - place[i]) * width**3
        steps[place[i]].append(jump + change)
        steps[place[j]].append(-jump - change)
    starts = np.cumsum([0, *map(len, steps)])
    flat = np.array([step for each in steps for step in each], dtype=np.int64)
    degrees = np.diff(starts)
    origin = (reach * width + reach) * width + reach
    sequences = {}
    for vertex in vertices:
        shell = np.array([place[vertex] * width**3 + origin])
        before = shell[:0]
        counts = []
        for _ in range(SHELLS):
            at = shell // width**3
            repeats = degrees[at]
            within = np.arange(repeats.sum()) - np.repeat(np.cumsum(repeats) - repeats, repeats)
            found = np.unique(np.repeat(shell, repeats) + flat[np.repeat(starts[at], repeats) + within])
            known = np.isin(found, shell, assume_unique=True) | np.isin(found, before, assume_unique=True)
            before, shell = shell, found[~known]
            counts.append(len(shell))
        sequences[vertex] = tuple(counts)
    return sequences


def _canonical(i: int, j: int, cell: Cell) -> Edge:
    """One of the two ways to write an edge."""
    return min((i, j, cell), (j, i, _minus(cell)))


def _minus(cell: Cell) -> Cell:
    return (-cell[0], -cell[1], -cell[2])


def _add(first: Cell, second: Cell) -> Cell:
    return (first[0] + second[0], first[1] + second[1], first[2] + second[2])
