"""Exact orbit reconstruction: the Wyckoff position and free coordinates nearest to a noisy representative, in Angstrom.

A Wyckoff position is the set of points R_j u + t_j over its operations j and free coordinates u. For a query x, a
candidate position, one of its operations k and a lattice vector n the nearest u in the metric G = L L^T is

    u = (R_k^T G R_k)^-1 R_k^T G (x + n - t_k),

and the position, operation and lattice vector with the smallest |(R_k u + t_k - x - n) L| win. The orbit of that point
is {R_j u + t_j mod 1}: with this u, which belongs to operation k, and not with x put through the operations of another.
An oblique (plain pseudo-inverse) projection misses the nearest point on hexagonal axes: corundum's oxygen at
(.306 .06 .25) goes to u = .276, 0.247 A away, and not to u = .306, 0.286 A away.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crystaltool.arrays import Float, Int
from crystaltool.errors import SymmetryError
from crystaltool.lattice import LATTICE_VECTORS, reduced_basis
from crystaltool.symmetry.space_group import TRANSLATION_DENOMINATOR, tables

TIE_TOLERANCE = 1e-7
"""Angstrom; distances on a grid of this size count as equal, and the candidate listed first wins. Far below noise."""

_CHUNK = 16384
"""Operations times sites held at once, each with its 27 lattice vectors: about 30 MB."""


@dataclass(frozen=True)
class Projection:
    """Where every query went.

    Args:
        positions: index of the Wyckoff position within its group, 0 = a; shape (n_sites,).
        free_coords: free coordinates u in [0, 1), zero beyond the degrees of freedom; shape (n_sites, 3). They name the
            right orbit, but not by its canonical representative: that is `asymunit.canonical_free_coords`' to choose.
        distances: from the query to the nearest point of the orbit, Angstrom; shape (n_sites,).
    """

    positions: Int[np.ndarray, " n_sites"]
    free_coords: Float[np.ndarray, "n_sites 3"]
    distances: Float[np.ndarray, " n_sites"]


def project(
    groups: Int[np.ndarray, " n_sites"],
    lattices: Float[np.ndarray, "n_sites 3 3"],
    points: Float[np.ndarray, "n_sites 3"],
    candidates: Int[np.ndarray, " n_pairs"],
    n_candidates: Int[np.ndarray, " n_sites"],
    crystals: Int[np.ndarray, " n_sites"] | None = None,
) -> Projection:
    """The nearest candidate position of every site, and the free coordinates of the nearest point on it.

    Args:
        groups: space-group number of each site's crystal.
        lattices: its conventional cell, rows in Angstrom, of the group's crystal system.
        points: query points, fractional, any image.
        candidates: indices of the positions each site may take, site after site; of equally near ones the first wins.
        n_candidates: how many candidates each site has, at least one.
        crystals: which crystal each site belongs to. If given, a position without freedom is taken once only within a
            crystal: pairs of site and position are settled greedily by growing distance, so the nearest site keeps it
            and the others go to their next candidate. If None, sites do not see each other.

    Raises:
        SymmetryError: if a site has no candidate (left), or a candidate does not exist in its group.
    """
    table = tables()
    site = np.repeat(np.arange(len(groups)), n_candidates)
    if (n_candidates < 1).any():
        raise SymmetryError(f"site {int(np.argmin(n_candidates)) + 1} has no candidate position")
    wrong = (candidates < 0) | (candidates >= table["n_positions"][groups - 1][site])
    if wrong.any():
        pair = int(np.argmax(wrong))
        raise SymmetryError(f"space group {groups[site[pair]]} has no position of index {candidates[pair]}")
    free_coords, distances = _nearest_points(groups[site], lattices[site], points[site], candidates)
    if crystals is None:
        chosen = _first_of_each(site, np.round(distances / TIE_TOLERANCE))
    else:
        position = table["first_position"][groups - 1][site] + candidates
        fixed = table["degrees_of_freedom"][position] == 0
        # A seat that only one site may take; every other pair has a seat of its own.
        seat = np.where(fixed, crystals[site] * len(table["multiplicity"]) + position, -1 - np.arange(len(site)))
        chosen = _settle(site, seat, np.round(distances / TIE_TOLERANCE), len(groups))
    return Projection(candidates[chosen].astype(np.int64), free_coords[chosen], distances[chosen])


def positions_with_code(
    groups: Int[np.ndarray, " n_sites"], codes: Int[np.ndarray, "n_sites 15"]
) -> tuple[Int[np.ndarray, " n_pairs"], Int[np.ndarray, " n_sites"]]:
    """All Wyckoff positions of each site's group that have the given site-symmetry code.

    Returns:
        `candidates` and `n_candidates` as `project` takes them; a code that its group lacks gives no candidate.
    """
    table = tables()
    first, counts = table["first_position"][groups - 1], table["n_positions"][groups - 1].astype(np.int64)
    site, index = _ragged(counts)
    same = (table["site_code"][first[site] + index] == codes[site]).all(axis=1)
    return index[same], np.bincount(site[same], minlength=len(groups))


def positions_sharing_code(
    groups: Int[np.ndarray, " n_sites"], positions: Int[np.ndarray, " n_sites"]
) -> tuple[Int[np.ndarray, " n_pairs"], Int[np.ndarray, " n_sites"]]:
    """`positions_with_code` for the code of a position, itself among them."""
    table = tables()
    position = table["first_position"][groups - 1] + positions
    return positions_with_code(groups, table["site_code"][position].astype(np.int64))


def _ragged(counts: Int[np.ndarray, " n"]) -> tuple[Int[np.ndarray, " total"], Int[np.ndarray, " total"]]:
    """For lists of the given lengths laid end to end: the list of each entry, and its place within that list."""
    owner = np.repeat(np.arange(len(counts)), counts)
    return owner, np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)


def _first_of_each(owner: Int[np.ndarray, " n"], keys: Float[np.ndarray, " n"]) -> Int[np.ndarray, " n_owners"]:
    """Index of the entry with the smallest key of every owner (ascending), the earliest among equals."""
    order = np.lexsort((keys, owner))
    return order[np.unique(owner[order], return_index=True)[1]]


def _nearest_points(
    groups: Int[np.ndarray, " n"],
    lattices: Float[np.ndarray, "n 3 3"],
    points: Float[np.ndarray, "n 3"],
    positions: Int[np.ndarray, " n"],
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, " n"]]:
    """Free coordinates in [0, 1) of the point of each position nearest to each query, and its distance in Angstrom."""
    table = tables()
    position = table["first_position"][groups - 1] + positions
    freedom = table["degrees_of_freedom"][position]
    # Every operation of the general position leads to a point of one orbit, at distance 0: one is enough.
    pair, member = _ragged(np.where(freedom == 3, 1, table["multiplicity"][position]).astype(np.int64))
    member += table["first_orbit"][position][pair]
    basis = reduced_basis(lattices).astype(float)
    to_basis = np.linalg.inv(basis)
    free_coords, distances = np.empty((len(pair), 3)), np.empty(len(pair))
    for start in range(0, len(pair), _CHUNK):
        rows = slice(start, start + _CHUNK)
        p, m = pair[rows], member[rows]
        difference = points[p] - table["orbit_translation"][m] / TRANSLATION_DENOMINATOR
        free_coords[rows], distances[rows] = _nearest_on_operations(
            table["orbit_rotation"][m].astype(float),
            np.einsum("ni,nij->nj", difference, to_basis[p]),
            freedom[p],
            lattices[p],
            basis[p],
        )
    best = _first_of_each(pair, np.round(distances / TIE_TOLERANCE))
    wrapped = free_coords[best] % 1.0
    return np.where(wrapped >= 1.0, 0.0, wrapped), distances[best]


def _nearest_on_operations(
    rotation: Float[np.ndarray, "n 3 3"],
    difference: Float[np.ndarray, "n 3"],
    freedom: Int[np.ndarray, " n"],
    lattice: Float[np.ndarray, "n 3 3"],
    basis: Float[np.ndarray, "n 3 3"],
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, " n"]]:
    """u and distance of the lattice translate of R u + t nearest to x, one operation a row; the module's formula.

    `difference` is x - t in `basis`, whose rows are a reduced basis of the lattice in fractional coordinates.
    """
    rows = np.arange(len(rotation))
    columns = np.swapaxes(lattice, 1, 2) @ rotation  # Cartesian vectors of the free directions
    gram = np.swapaxes(columns, 1, 2) @ columns
    unused = np.arange(3) >= freedom[:, None]
    gram[:, range(3), range(3)] += unused  # those rows and columns are zero, and their u stays 0
    cells = basis @ lattice
    to_free = np.linalg.solve(gram, np.swapaxes(cells @ columns, 1, 2))  # (x - t in the reduced basis) to u
    to_residual = cells - np.swapaxes(columns @ to_free, 1, 2)  # and to the Cartesian vector left over, from the right
    start = difference - np.round(difference)
    shifts = (LATTICE_VECTORS.astype(float) @ to_residual.transpose(1, 0, 2).reshape(3, -1)).reshape(27, -1, 3)
    residual = shifts + np.einsum("ni,nij->nj", start, to_residual)
    squared = np.einsum("vni,vni->vn", residual, residual)
    nearest = np.argmin(squared, axis=0)
    u = np.einsum("nij,nj->ni", to_free, start + LATTICE_VECTORS[nearest])
    return np.where(unused, 0.0, u), np.sqrt(squared[nearest, rows])


def _settle(
    site: Int[np.ndarray, " n_pairs"],
    seat: Int[np.ndarray, " n_pairs"],
    keys: Float[np.ndarray, " n_pairs"],
    n_sites: int,
) -> Int[np.ndarray, " n_sites"]:
    """The pair of every site when pairs are accepted by growing key, each seat once; one pass settles many sites.

    A pair that is the first choice of its site and the best claim on its seat is what the greedy order would accept
    too, whatever comes before it elsewhere, so all such pairs are accepted at once.
    """
    chosen = np.full(n_sites, -1)
    rank = np.empty(len(site), dtype=np.int64)
    rank[np.lexsort((np.arange(len(site)), keys))] = np.arange(len(site))
    _, seat = np.unique(seat, return_inverse=True)
    left = np.arange(len(site))
    while len(left):
        best_of_site, best_of_seat = np.full(n_sites, len(site)), np.full(seat.max() + 1, len(site))
        np.minimum.at(best_of_site, site[left], rank[left])
        np.minimum.at(best_of_seat, seat[left], rank[left])
        accepted = left[(rank[left] == best_of_site[site[left]]) & (rank[left] == best_of_seat[seat[left]])]
        chosen[site[accepted]] = accepted
        taken = np.zeros(seat.max() + 1, dtype=bool)
        taken[seat[accepted]] = True
        left = left[(chosen[site[left]] < 0) & ~taken[seat[left]]]
    if (chosen < 0).any():
        raise SymmetryError(f"site {int(np.argmin(chosen)) + 1} finds all its positions, without freedom, taken")
    return chosen
