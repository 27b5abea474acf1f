"""Connected pieces of a periodic graph: which atoms hang together, how each piece unwraps, along how many directions
it repeats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crystaltool.arrays import Int


@dataclass(frozen=True)
class Pieces:
    """The connected pieces of a quotient graph.

    Args:
        labels: piece of each vertex, numbered from 0 by first vertex; shape (n,).
        offsets: cell to add to each vertex so that its piece hangs together along a spanning tree; shape (n, 3).
        ranks: number of independent directions in which each piece repeats, 0 to 3.
        cycles: translations that generate each piece's repeats.
    """

    labels: Int[np.ndarray, " n"]
    offsets: Int[np.ndarray, "n 3"]
    ranks: tuple[int, ...]
    cycles: tuple[tuple[tuple[int, int, int], ...], ...]

    def __len__(self) -> int:
        return len(self.ranks)


def find_pieces(n: int, pairs: Int[np.ndarray, "m 2"], images: Int[np.ndarray, "m 3"]) -> Pieces:
    """Walk the graph of `n` vertices breadth first; an edge joins i to j in the cell `image`."""
    links: list[list[tuple[int, int, int, int]]] = [[] for _ in range(n)]
    for (i, j), (a, b, c) in zip(pairs.tolist(), images.tolist(), strict=True):
        links[i].append((j, a, b, c))
        links[j].append((i, -a, -b, -c))
    labels = [-1] * n
    offsets = [(0, 0, 0)] * n
    ranks: list[int] = []
    cycles: list[tuple[tuple[int, int, int], ...]] = []
    for root in range(n):
        if labels[root] >= 0:
            continue
        label = len(ranks)
        labels[root] = label
        queue = [root]
        found: set[tuple[int, int, int]] = set()
        for vertex in queue:
            x, y, z = offsets[vertex]
            for other, a, b, c in links[vertex]:
                if labels[other] < 0:
                    labels[other] = label
                    offsets[other] = (x + a, y + b, z + c)
                    queue.append(other)
                else:
                    u, v, w = offsets[other]
                    cycle = (x + a - u, y + b - v, z + c - w)
                    if cycle != (0, 0, 0) and (-cycle[0], -cycle[1], -cycle[2]) not in found:
                        found.add(cycle)
        cycles.append(tuple(sorted(found)))
        ranks.append(rank(cycles[-1]))
    return Pieces(
        np.array(labels, dtype=np.int64), np.array(offsets, dtype=np.int64).reshape(n, 3), tuple(ranks), tuple(cycles)
    )


def rank(translations: Sequence[tuple[int, int, int]]) -> int:
    """Number of independent directions among integer translations."""
    return int(np.linalg.matrix_rank(np.array(translations))) if translations else 0
