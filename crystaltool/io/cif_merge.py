"""Listed sites to atoms: images on special positions, sites that are listed twice, and shares of one element."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crystaltool.arrays import Float, Int
from crystaltool.bonds import BondGraph
from crystaltool.errors import InputError
from crystaltool.io.cif_symmetry import IDENTITY_OPERATIONS, SPECIAL_POSITION_DISTANCE, Operations, expand_sites
from crystaltool.io.remarks import DETAIL, NOTE, WARNING, Remark

COINCIDENCE_DISTANCE = 0.02
"""Angstrom, beside what rounding makes, within which two listed sites are one place."""

NEAREST = 0.9
"""Angstrom; no two atoms are nearer, N2 has 1.1: they are alternatives of a disorder. With hydrogen 0.4, by X-rays."""

OCCUPANCY_TOLERANCE = 1e-3
"""An occupancy this close to 1 is full (refined values are quoted as 1.000(1))."""

MOVED = 1e-3
"""Angstrom; a site that is moved by less onto its special position is not worth a word."""

_DENSE = 100
"""Atoms up to which all pairs are looked at."""

_ONES = np.ones(3)
_NO_ATOMS, _NO_DISTANCES = np.zeros(0, dtype=np.int64), np.zeros(0)


@dataclass(frozen=True)
class Sites:
    """The listed sites of a block.

    Args:
        labels: as written. numbers: atomic numbers, shape (n_sites,). frac_coords: shape (n_sites, 3).
        occupancies: shares of the sites, as written; None where all are full.
        raw_coords: the three columns of coordinates as written.
    """

    labels: list[str]
    numbers: Int[np.ndarray, " n_sites"]
    frac_coords: Float[np.ndarray, "n_sites 3"]
    occupancies: Sequence[tuple[str, float]] | None
    raw_coords: tuple[list[str], list[str], list[str]]


@dataclass(frozen=True)
class Placed:
    """The atoms that sites and operations make.

    Args:
        frac_coords: shape (n_atoms, 3). numbers: shape (n_atoms,). atom_to_site: indices into `kept`, shape (n_atoms,).
        kept: indices of the listed sites that stand for their atoms; the others repeat one of them.
        site_coords: coordinates of the kept sites, on their special positions; shape (n_kept, 3).
        stands_for: for every listed site the index into `kept` of the one that stands for it; shape (n_sites,).
        merged: whether anything was made one atom that is more than `COINCIDENCE_DISTANCE` apart.
        remarks: what was moved or merged.
    """

    frac_coords: Float[np.ndarray, "n_atoms 3"]
    numbers: Int[np.ndarray, " n_atoms"]
    atom_to_site: Int[np.ndarray, " n_atoms"]
    kept: Int[np.ndarray, " n_kept"]
    site_coords: Float[np.ndarray, "n_kept 3"]
    stands_for: Int[np.ndarray, " n_sites"]
    merged: bool
    remarks: tuple[Remark, ...]

    @property
    def is_closed(self) -> bool:
        """Whether sites were listed that the operations make of others, and every atom is listed."""
        return len(self.kept) < len(self.stands_for) == len(self.numbers)

    def of_kept(self, column: list[str]) -> tuple[str, ...]:
        """The values of the kept sites from a column of all listed ones."""
        return tuple(column if len(self.kept) == len(column) else [column[index] for index in self.kept])


def place_sites(
    lattice: Float[np.ndarray, "3 3"], sites: Sites, operations: Operations, max_atoms: int, reach: float
) -> Placed:
    """All atoms of the cell.

    Images of a site closer than `reach` (Angstrom) are one atom. Sites that coincide within rounding (and `reach`), by
    themselves or under the operations, are one site if they are of one element and fill it.

    Raises:
        InputError: more than `max_atoms` atoms, sites of two elements in one place, a partly filled site.
    """
    remarks: list[Remark] = []
    n_sites = len(sites.labels)
    everyone = stands_for = np.arange(n_sites)
    coords, atom_to_site, site_coords, merged = sites.frac_coords, everyone, sites.frac_coords, False
    if operations is not IDENTITY_OPERATIONS:
        expanded = expand_sites(lattice, sites.frac_coords, sites.labels, operations, max_atoms, reach)
        coords, atom_to_site, site_coords, moved = expanded
        merged = _say_moved(lattice, sites, moved, remarks)
    first, second, distance = near_pairs(lattice, coords, NEAREST)
    if len(first):
        tolerance = np.minimum(rounding_distance(lattice, sites.raw_coords), reach)
        pairs = (atom_to_site[first], atom_to_site[second], distance)
        n_images = np.bincount(atom_to_site, minlength=n_sites)
        stands_for, far = _merge(sites, tolerance, pairs, n_images, remarks)
        merged |= far
    if sites.occupancies is not None:
        _refuse_partial(sites, stands_for)
    kept = everyone
    if stands_for is not everyone and not np.array_equal(stands_for, everyone):
        kept = np.flatnonzero(stands_for == everyone)
        inside = stands_for[atom_to_site] == atom_to_site
        coords, atom_to_site = coords[inside], atom_to_site[inside]
        index = np.cumsum(stands_for == everyone) - 1
        atom_to_site, stands_for, site_coords = index[atom_to_site], index[stands_for], site_coords[kept]
    numbers = sites.numbers if kept is everyone else sites.numbers[kept]
    numbers = numbers if operations is IDENTITY_OPERATIONS else numbers[atom_to_site]
    return Placed(coords, numbers, atom_to_site, kept, site_coords, stands_for, merged, tuple(remarks))


def _say_moved(
    lattice: Float[np.ndarray, "3 3"], sites: Sites, moved: Float[np.ndarray, " n_sites"], remarks: list[Remark]
) -> bool:
    """Say which sites were moved onto special positions; whether one was by more than `COINCIDENCE_DISTANCE`."""
    far = int(np.argmax(moved))
    if moved[far] <= MOVED:
        return False
    n_moved = int((moved > MOVED).sum())
    text = f"{n_moved} site{'s' if n_moved > 1 else ''} moved onto special positions"
    beyond = moved > rounding_distance(lattice, sites.raw_coords)
    level = NOTE if beyond.any() else DETAIL
    remarks.append(Remark(level, f"{text}, by {moved[far]:.3f} A at most ({sites.labels[far]})"))
    return bool(moved[far] > COINCIDENCE_DISTANCE)


def _merge(
    sites: Sites,
    tolerance: Float[np.ndarray, " n_sites"],
    pairs: tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"], Float[np.ndarray, " n"]],
    n_images: Int[np.ndarray, " n_sites"],
    remarks: list[Remark],
) -> tuple[Int[np.ndarray, " n_sites"], bool]:
    """For every site the first listed one that it coincides with, itself if none; whether one was not quite there."""
    stands_for = np.arange(len(sites.labels))
    far = False
    closest: dict[tuple[int, int], float] = {}
    for i, j, distance in zip(*(array.tolist() for array in pairs), strict=True):
        pair = (min(i, j), max(i, j))
        closest[pair] = min(distance, closest.get(pair, np.inf))
    near = []
    for (i, j), distance in sorted(closest.items()):
        names = f"sites {sites.labels[i]} and {sites.labels[j]}"
        if distance > SPECIAL_POSITION_DISTANCE and 1 in (sites.numbers[i], sites.numbers[j]):
            continue
        if i == j:
            near.append(f"images of site {sites.labels[i]} are {distance:.2f} A apart")
        elif distance > max(tolerance[i], tolerance[j]):
            near.append(f"{names} are {distance:.2f} A apart")
        elif sites.numbers[i] != sites.numbers[j]:
            raise InputError(f"{names} are in one place ({distance:.2f} A apart) and of different elements")
        elif n_images[i] != n_images[j]:
            raise InputError(f"{names} coincide in part: {n_images[i]} and {n_images[j]} atoms")
        else:
            far |= distance > COINCIDENCE_DISTANCE
            one, other = stands_for[i], stands_for[j]
            stands_for[stands_for == max(one, other)] = min(one, other)
    if near:
        more = f", and {len(near) - 1} more pairs" if len(near) > 1 else ""
        remarks.append(Remark(WARNING, f"{near[0]}{more}; no real atoms are"))
    repeated = np.flatnonzero(stands_for != np.arange(len(stands_for)))
    if len(repeated):
        shown = ", ".join(f"{sites.labels[s]} = {sites.labels[stands_for[s]]}" for s in repeated[:4])
        more = ", ..." if len(repeated) > 4 else ""
        what = "1 site repeats another" if len(repeated) == 1 else f"{len(repeated)} sites repeat others"
        remarks.append(Remark(NOTE, f"{what}, read as one atom: {shown}{more}"))
    return stands_for, far


def rounding_distance(
    lattice: Float[np.ndarray, "3 3"], raw_coords: Sequence[list[str]]
) -> Float[np.ndarray, " n_sites"]:
    """How far apart (Angstrom) two images of one place can be written: one unit of the last digit along every edge."""
    decimals = np.array([[len(raw.partition("(")[0].partition(".")[2]) for raw in column] for column in raw_coords])
    digits = decimals.max(axis=0)
    digits = np.where(digits <= 1, digits.max(), digits)  # 0 and 0.5 are exact
    spread = COINCIDENCE_DISTANCE + 10.0**-digits * np.linalg.norm(lattice)
    return np.minimum(spread, SPECIAL_POSITION_DISTANCE)


def _refuse_partial(sites: Sites, stands_for: Int[np.ndarray, " n_sites"]) -> None:
    """Raise InputError unless every place is filled, by one site or by several of its element."""
    assert sites.occupancies is not None
    for site in np.unique(stands_for):
        members = np.flatnonzero(stands_for == site)
        texts, values = zip(*(sites.occupancies[member] for member in members), strict=True)
        if all(abs(value - 1.0) <= OCCUPANCY_TOLERANCE for value in values):
            continue
        rounding = sum(0.5 * 10.0 ** -len(text.partition("(")[0].partition(".")[2]) for text in texts)
        allowed = OCCUPANCY_TOLERANCE if len(members) == 1 else max(OCCUPANCY_TOLERANCE, 0.99 * rounding)
        if not abs(sum(values) - 1.0) <= allowed:
            label, text = sites.labels[members[0]], texts[0]
            if len(members) > 1:
                names = ", ".join(sites.labels[member] for member in members)
                raise InputError(f"sites {names} fill one place to {sum(values):g}, only ordered structures are read")
            raise InputError(f"site {label} is partially occupied ({text}), only ordered structures are read")


def near_pairs(
    lattice: Float[np.ndarray, "3 3"], coords: Float[np.ndarray, "n 3"], cutoff: float
) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """Pairs of atoms closer than the cutoff (Angstrom, far below the cell's edges), and their distances."""
    if len(coords) <= _DENSE:
        difference = coords[:, None] - coords
        difference -= np.rint(difference)
        vectors = difference @ lattice
        squares = (vectors * vectors) @ _ONES
        close = squares < cutoff * cutoff
        if np.count_nonzero(close) == len(coords):
            return _NO_ATOMS, _NO_ATOMS, _NO_DISTANCES
        first, second = np.nonzero(np.triu(close, 1))
        return first, second, np.sqrt(squares[first, second])
    return _swept_pairs(lattice, coords % 1.0, cutoff)


def _swept_pairs(lattice: Float[np.ndarray, "3 3"], coords: Float[np.ndarray, "n 3"], cutoff: float):
    """As `near_pairs`: atoms sorted along the axis with the widest planes, each against those next to it."""
    heights = 1.0 / np.linalg.norm(np.linalg.inv(lattice), axis=0)
    axis = int(np.argmax(heights))
    reach = cutoff / heights[axis]
    order = np.argsort(coords[:, axis], kind="stable")
    sorted_coords = coords[order]
    wrapped = np.concatenate([sorted_coords, sorted_coords[sorted_coords[:, axis] <= reach] + np.eye(3)[axis]])
    position = np.arange(len(wrapped)) % len(coords)
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for step in range(1, len(coords)):
        gap = wrapped[step:, axis] - wrapped[:-step, axis]
        inside = np.flatnonzero(gap <= reach)
        if len(inside) == 0:
            break
        difference = wrapped[inside + step] - wrapped[inside]
        difference -= np.round(difference)
        lengths = np.linalg.norm(difference @ lattice, axis=1)
        close = lengths < cutoff
        ends = position[inside[close]], position[inside[close] + step]
        found.append((order[ends[0]], order[ends[1]], lengths[close]))
    if not found:
        return _NO_ATOMS, _NO_ATOMS, _NO_DISTANCES
    return tuple(np.concatenate(parts) for parts in zip(*found, strict=True))


def same_atoms(lattice: Float[np.ndarray, "3 3"], one: Placed, other: Placed) -> bool:
    """Whether two expansions are the same crystal in the same cell, within rounding."""
    if not np.array_equal(np.sort(one.numbers), np.sort(other.numbers)):
        return False
    n = len(one.numbers)
    first, second, distance = near_pairs(lattice, np.concatenate([one.frac_coords, other.frac_coords]), 0.1)
    across = (first < n) != (second < n)
    low, high = np.minimum(first, second)[across], np.maximum(first, second)[across] - n
    alike = (one.numbers[low] == other.numbers[high]) & (distance[across] < COINCIDENCE_DISTANCE)
    return len(np.unique(low[alike])) == n and len(np.unique(high[alike])) == n


def bonds_between_kept(bonds: BondGraph, placed: Placed, sites: Sites) -> BondGraph:
    """The bonds with those ends that repeat a site put on the one that stands for it, every bond once."""
    shift = np.round(sites.frac_coords - placed.site_coords[placed.stands_for]).astype(np.int64)
    first, second = bonds.pairs.T
    pairs = placed.stands_for[bonds.pairs]
    images = bonds.images + shift[second] - shift[first]
    flipped = (pairs[:, 0] > pairs[:, 1])[:, None]
    ordered = np.where(flipped, pairs[:, ::-1], pairs)
    keys = np.concatenate([ordered, np.where(flipped, -images, images)], axis=1)
    rows = np.sort(np.unique(keys, axis=0, return_index=True)[1])
    rows = rows[(pairs[rows, 0] != pairs[rows, 1]) | images[rows].any(axis=1)]
    return BondGraph(pairs[rows], images[rows], bonds.orders[rows])
