"""Interatomic distances in a periodic cell, exact for any cell shape and lean for many atoms.

The cell is first reduced (Selling), so that it is never skewed; atoms near it are copied as far as the cutoff reaches
("images"), and close pairs are then found among points in open space: all against all when few, in boxes when many.
Nothing here holds more than `PAIRS_AT_ONCE` pairs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from crystaltool.arrays import Bool, Float, Int

PAIRS_AT_ONCE = 500_000
"""Pairs held in memory at a time: 30 MB."""

ALL_PAIRS_LIMIT = 150_000
"""Up to this many pairs comparing all with all is quicker than sorting into boxes (measured)."""

SHRINK = 0.5
"""A closest pair found this much below the cutoff is worth starting again with smaller boxes."""


@dataclass(frozen=True)
class Contact:
    """The closest pair of atoms, own images included.

    Args:
        distance: in Angstrom.
        ratio: distance over the pair's limit.
        first, second: indices of the atoms; equal when an atom meets its own image.
    """

    distance: float
    ratio: float
    first: int
    second: int


@dataclass(frozen=True)
class _Images:
    """Atoms of the cell (the first ones) and copies around it; shapes (n, 3), (n,), (n,)."""

    cart_coords: Float[np.ndarray, "n 3"]
    atom: Int[np.ndarray, " n"]
    original: Bool[np.ndarray, " n"]


def reduce_cell(lattice: Float[np.ndarray, "3 3"]) -> Int[np.ndarray, "3 3"]:
    """Integer matrix T such that T @ lattice is a compact cell of the same lattice.

    Selling's algorithm (International Tables A, section 3.1.2.3): as long as two vectors of the superbase
    a, b, c, -a-b-c enclose an acute angle, replace them; ends with all angles 90 degrees or more.
    """
    return _reduced(np.ascontiguousarray(lattice, dtype=np.float64).tobytes()).copy()


@lru_cache(maxsize=4)
def _reduced(cell: bytes) -> Int[np.ndarray, "3 3"]:
    """`reduce_cell` of a lattice's bytes: the checks of one structure ask about one cell."""
    lattice = np.frombuffer(cell).reshape(3, 3)
    transform = np.eye(3, dtype=np.int64)
    others = {(0, 1): (2, 3), (0, 2): (1, 3), (0, 3): (1, 2), (1, 2): (0, 3), (1, 3): (0, 2), (2, 3): (0, 1)}
    base = np.vstack([transform, -transform.sum(axis=0)])
    for _ in range(10_000):
        vectors = base @ lattice
        products = vectors @ vectors.T
        size = float(np.abs(np.diag(products)).max())
        i, j = max(others, key=lambda pair: products[pair])
        if products[i, j] <= 1e-12 * size:
            break
        k, m = others[i, j]
        # (i, j, k, m) -> (-i, j, i + k, i + m): the scalar products sum to less, and the four vectors still to zero.
        base[k] += base[i]
        base[m] += base[i]
        base[i] *= -1
    lengths = np.linalg.norm(base @ lattice, axis=1)
    return base[np.sort(np.argsort(lengths)[:3])]


def closest_contact(
    lattice: Float[np.ndarray, "3 3"],
    frac_coords: Float[np.ndarray, "n 3"],
    half_limits: Float[np.ndarray, " n"] | None = None,
    plain: Contact | None = None,
) -> Contact:
    """The pair with the smallest distance over limit, among all pairs and images.

    Args:
        lattice: rows in Angstrom.
        frac_coords: any images.
        half_limits: the limit of a pair is the sum of its atoms' values, in Angstrom; default: 1 A for every pair,
            so that the ratio is the distance.
        plain: the closest pair by distance alone, where it is known.
    """
    n_atoms = len(frac_coords)
    if half_limits is None:
        return _search(lattice, frac_coords, np.full(n_atoms, 0.5), _packing_distance(lattice, n_atoms))
    plain = plain or closest_contact(lattice, frac_coords)
    # No pair has a smaller ratio than the closest pair's unless it lies within this distance.
    bound = plain.distance / (half_limits[plain.first] + half_limits[plain.second])
    cutoff = bound * 2 * float(half_limits.max())
    return _search(lattice, frac_coords, half_limits, max(cutoff, plain.distance))


def _packing_distance(lattice: np.ndarray, n_atoms: int) -> float:
    """No n points a cell can all be further apart: the densest packing of spheres has density pi / sqrt(18)."""
    return float((np.sqrt(2.0) * abs(np.linalg.det(lattice)) / n_atoms) ** (1 / 3))


def _search(lattice: np.ndarray, frac_coords: np.ndarray, half_limits: np.ndarray, cutoff: float) -> Contact:
    best = Contact(np.inf, np.inf, -1, -1)
    largest_limit = 2 * float(half_limits.max())
    while True:
        cutoff *= 1 + 1e-9
        for first, second, distance in close_pairs(lattice, frac_coords, cutoff):
            ratio = distance / (half_limits[first] + half_limits[second])
            at = int(np.argmin(ratio)) if len(ratio) else -1
            if at >= 0 and ratio[at] < best.ratio:
                i, j = sorted((int(first[at]), int(second[at])))
                best = Contact(float(distance[at]), float(ratio[at]), i, j)
                if 0 < best.ratio * largest_limit < SHRINK * cutoff and len(frac_coords) > 1000:
                    break
            if best.ratio == 0:
                return best
        else:
            return best
        cutoff = best.ratio * largest_limit


def close_pairs(
    lattice: Float[np.ndarray, "3 3"], frac_coords: Float[np.ndarray, "n 3"], cutoff: float
) -> Iterator[tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"], Float[np.ndarray, " pairs"]]]:
    """All pairs (first, second, distance) up to a cutoff in Angstrom, in portions; each pair appears from both ends."""
    cell, points = _in_reduced_cell(lattice, frac_coords)
    images = _images(cell, points, cutoff)
    queries = images.cart_coords[images.original]
    for query, image, distance in _near(queries, images.cart_coords, cutoff):
        other = query != image  # originals come first, so only an atom and itself have equal numbers
        yield query[other], images.atom[image[other]], distance[other]


def pair_vectors(
    lattice: Float[np.ndarray, "3 3"], frac_coords: Float[np.ndarray, "n 3"], cutoff: float
) -> tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"], Float[np.ndarray, "pairs 3"]]:
    """All pairs up to a cutoff in Angstrom and the vector from the first atom to the second; each from both ends."""
    cell, points = _in_reduced_cell(lattice, frac_coords)
    images = _images(cell, points, cutoff)
    queries = images.cart_coords[images.original]
    found = [
        (query[query != image], image[query != image]) for query, image, _ in _near(queries, images.cart_coords, cutoff)
    ]
    query, image = (np.concatenate(ends) for ends in zip(*found, strict=True))
    return query, images.atom[image], images.cart_coords[image] - queries[query]


def nearest_atom(
    lattice: Float[np.ndarray, "3 3"],
    frac_coords: Float[np.ndarray, "n 3"],
    points: Float[np.ndarray, "m 3"],
    cutoff: float,
) -> tuple[Int[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """For every point (fractional) the nearest atom, image regardless, and its distance; -1, inf beyond the cutoff."""
    cell, atoms = _in_reduced_cell(lattice, frac_coords)
    images = _images(cell, atoms, cutoff)
    queries = _in_reduced_cell(lattice, points)[1] @ cell
    nearest, distances = np.full(len(points), -1), np.full(len(points), np.inf)
    for query, image, distance in _near(queries, images.cart_coords, cutoff):
        order = np.lexsort((distance, query))
        first = order[np.concatenate([[True], np.diff(query[order]) > 0])] if len(order) else order
        better = first[distance[first] < distances[query[first]]]
        nearest[query[better]] = images.atom[image[better]]
        distances[query[better]] = distance[better]
    return nearest, distances


def _in_reduced_cell(lattice: np.ndarray, frac_coords: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The reduced cell, and the coordinates in it, from 0 to 1 (rounding may give 1 itself)."""
    transform = reduce_cell(lattice)
    return transform @ lattice, frac_coords @ np.linalg.inv(transform) % 1.0


def _images(cell: np.ndarray, points: np.ndarray, cutoff: float) -> _Images:
    """Points of a cell and every copy within the cutoff of that cell."""
    heights = 1 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    margins = cutoff / heights + 1e-9
    atom, shifted = np.arange(len(points)), np.zeros(len(points), dtype=bool)
    for axis, margin in enumerate(margins):
        reach = int(np.ceil(margin))
        copies = [(points, atom, shifted)]
        for shift in range(-reach, reach + 1):
            moved = points[:, axis] + shift
            near = (moved >= -margin) & (moved <= 1 + margin)
            if shift and near.any():
                copy = points[near]
                copy[:, axis] += shift
                copies.append((copy, atom[near], np.ones(len(copy), dtype=bool)))
        points = np.concatenate([copy[0] for copy in copies])
        atom = np.concatenate([copy[1] for copy in copies])
        shifted = np.concatenate([copy[2] for copy in copies])
    return _Images(points @ cell, atom, ~shifted)


def _near(
    queries: np.ndarray, points: np.ndarray, cutoff: float
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Pairs (query, point, distance) within the cutoff in open space, in portions."""
    if len(queries) * len(points) <= ALL_PAIRS_LIMIT:
        squares = sum((queries[:, None, axis] - points[None, :, axis]) ** 2 for axis in range(3))
        query, point = np.nonzero(squares <= cutoff * cutoff)
        yield query, point, np.sqrt(squares[query, point])
        return
    starts, counts, order = _boxes(queries, points, cutoff)
    totals = np.cumsum(counts.sum(axis=1))
    begin = 0
    while begin < len(queries):
        done = totals[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(totals, done + PAIRS_AT_ONCE, side="right")))
        lengths = counts[begin:end].ravel()
        query = np.repeat(np.repeat(np.arange(begin, end), counts.shape[1]), lengths)
        within = np.arange(len(query)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        point = order[np.repeat(starts[begin:end].ravel(), lengths) + within]
        squares = ((queries[query] - points[point]) ** 2).sum(axis=1)
        close = squares <= cutoff * cutoff
        yield query[close], point[close], np.sqrt(squares[close])
        begin = end


def _boxes(queries: np.ndarray, points: np.ndarray, cutoff: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each query nine runs of boxes around it: starts and counts in the order of the points by box.

    Returns:
        starts, shape (n_queries, 9); counts, the same; order of the points, shape (n_points,).
    """
    low = np.minimum(points.min(axis=0), queries.min(axis=0))
    extent = np.maximum(points.max(axis=0), queries.max(axis=0)) - low
    width = max(cutoff, float(extent.max()) * 1e-6)
    size = (extent / width).astype(np.int64) + 3  # an empty box at either end of each axis

    def keys(coords: np.ndarray) -> np.ndarray:
        box = ((coords - low) / width).astype(np.int64) + 1
        return (box[:, 0] * size[1] + box[:, 1]) * size[2] + box[:, 2]

    point_keys = keys(points)
    order = np.argsort(point_keys, kind="stable")
    point_keys = point_keys[order]
    middle = keys(queries)[:, None] + np.array([(x * size[1] + y) * size[2] for x in (-1, 0, 1) for y in (-1, 0, 1)])
    starts = np.searchsorted(point_keys, middle - 1, side="left")
    return starts, np.searchsorted(point_keys, middle + 1, side="right") - starts, order
