"""Bonds of a periodic structure from its geometry: the one perception behind check, fragment, relax and identities.

Between nonmetals, and between two metals, a bond is a distance: the sum of the covalent radii and a tolerance. A metal
and a donor (N, O, F, P, S, Cl, As, Se, Br, Te, I with a lone pair left) are bound if the bond carries at least 4 % of
the metal's valence (Brown, The Chemical Bond in Inorganic Chemistry, 2002), that is of the sum of the bond valences
around it. So no oxidation state need be known, a bond of K(I) may be as weak for its metal as one of Zr(IV), the far
side of a lone pair counts, and a cell that is scaled by 1 % keeps its bonds: the others grow as well. Carbon and the
other elements bind metals within a distance.

Every bond carries the image it reaches into, so that a linker bound twice to the same atom in two cells, or an atom
bound to its own copy, keeps all its bonds.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import KDTree

from crystaltool.arrays import Float, Int
from crystaltool.bonds import UNKNOWN_ORDER, BondGraph
from crystaltool.crystal import Crystal
from crystaltool.errors import InputError
from crystaltool.mof.elements import COVALENT_RADIUS, METAL
from crystaltool.mof.valence import bond_valence, longest_with

NONMETAL_TOLERANCE = 0.3
"""A: between nonmetals a bond may be this much longer than the sum of the covalent radii."""

HYDROGEN_TOLERANCE = 0.3
"""A: the same for the one bond of a hydrogen."""

LEAST_SHARE = 0.04
"""Of its valence, what a metal gives to a donor at least that it is bound to. Of 19,131 pairs of a metal and a ligand
in 2,500 structures of QMOF 5 % have a best bond of less than 1 %, 2 % one of 1 to 4 %, 2 % one of 4 to 7 %, the others
more; Zn, Cd, Al, Zr and the lanthanides leave this range nearly empty, Cu and Ag do not."""

TRANS_SHARE, TRANS_ANGLE, MULTIPLE_VALENCE = 0.02, 155.0, 1.4
"""Share, degrees, valence units: opposite to a multiple bond (an oxo or imido group, V=N 1.64, Mo=O 1.7 A) a bond is
long and counts from this share on: V-Cl 2.78 A in chains of VCl3(NR), Mo-O 2.5 A in octamolybdates."""

LEAST_VALENCE = 0.5
"""Valence units: a metal whose bonds sum to less is looked at as if they had this sum."""

DONOR_NEIGHBOURS = {7: 3, 8: 2, 9: 1, 15: 3, 16: 2, 17: 1, 33: 3, 34: 2, 35: 1, 52: 2, 53: 1}
"""Most nonmetal neighbours with which an atom still has a lone pair."""

FLAT = 0.5
"""A nitrogen with three nonmetal neighbours has a lone pair if the unit vectors to them sum to a longer one than this
(pyramid: 1, flat: 0)."""

CARBON_TOLERANCE = (0.4, 0.3)
"""A: metal to carbon and to whatever has no lone pair left, for radii below and above `LARGE_METAL`."""

LARGE_METAL = 1.50
"""A: lead, bismuth and ruthenium lie below it."""

METAL_METAL_TOLERANCE = 0.2
LONGEST_METAL_METAL = 3.0
"""A: beyond this, two metals are held by their ligands; those of the s and f blocks always are."""

CHELATE_EXCESS = 0.25
"""A: a metal is not bound to the carbon of a carboxylate (the nitrogen of a nitrate) that lies this much farther away
than the oxygen between them."""

DRAGGED_EXCESS = 0.45
"""A: nor to the second oxygen of a carboxylate that lies this much farther away than the first: it is near because its
neighbour is bound. (A bond valence of 30 % of the other's.)"""

CLASH = 0.5
"""A: atoms this close are no structure."""

_HYDROGEN, _NITROGEN = 1, 7
_MOST_NEIGHBOURS = np.zeros(len(METAL), dtype=np.int64)
_MOST_NEIGHBOURS[list(DONOR_NEIGHBOURS)] = list(DONOR_NEIGHBOURS.values())
_DONOR = _MOST_NEIGHBOURS > 0
_IONS = np.zeros(len(METAL), dtype=bool)
_IONS[[3, 4, 11, 12, 19, 20, 37, 38, 55, 56, 87, 88, *range(57, 72), *range(89, 104)]] = True  # s and f block


def perceive_bonds(crystal: Crystal, overlaps: bool = False) -> BondGraph:
    """The bonds of a crystal, orders not known.

    Args:
        crystal: every atom of the cell.
        overlaps: take a structure with atoms on top of each other as it is.

    Raises:
        InputError: two atoms lie within 0.5 A of each other, unless `overlaps`.
    """
    first, second, images, distances = neighbours(crystal, _longest_bond(crystal.numbers))
    if not overlaps and (distances < CLASH).any():
        worst = int(np.argmin(distances))
        raise InputError(f"atoms {first[worst] + 1} and {second[worst] + 1} overlap, {distances[worst]:.2f} A apart")
    numbers = crystal.numbers
    keep = distances <= _limits(numbers[first], numbers[second])
    first, second, images, distances = first[keep], second[keep], images[keep], distances[keep]
    keep = _nearest_of_hydrogens(numbers, first, second, distances)
    first, second, images, distances = first[keep], second[keep], images[keep], distances[keep]
    donor = _donors(crystal, first, second, images)
    keep = ~_far_from_no_donor(numbers, donor, first, second, distances)
    first, second, images, distances = first[keep], second[keep], images[keep], distances[keep]
    keep = ~_spans_a_chelate(numbers, first, second, images, distances)
    first, second, images, distances = first[keep], second[keep], images[keep], distances[keep]
    keep = _carries_enough(crystal, first, second, images, distances)
    pairs = np.column_stack([first, second])[keep]
    return BondGraph(pairs, images[keep], np.full(len(pairs), UNKNOWN_ORDER))


def neighbours(
    crystal: Crystal, cutoff: float
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"], Int[np.ndarray, "n 3"], Float[np.ndarray, " n"]]:
    """All pairs of atoms within `cutoff` (A), each once: first, second, image of the second, distance in A."""
    wrapped = crystal.frac_coords - np.floor(crystal.frac_coords)
    shift = np.floor(crystal.frac_coords).astype(np.int64)
    reach = cutoff * np.linalg.norm(np.linalg.inv(crystal.lattice), axis=0)
    spans = [np.arange(-int(np.ceil(r)), int(np.ceil(r)) + 1) for r in reach]
    cells = np.stack(np.meshgrid(*spans, indexing="ij"), axis=-1).reshape(-1, 3)
    ghosts = (wrapped[None] + cells[:, None]).reshape(-1, 3)
    near = ((ghosts >= -reach) & (ghosts <= 1 + reach)).all(axis=1)
    atoms = np.tile(np.arange(crystal.n_atoms), len(cells))[near]
    ghost_cells = np.repeat(cells, crystal.n_atoms, axis=0)[near]
    tree = KDTree(ghosts[near] @ crystal.lattice)
    found = KDTree(wrapped @ crystal.lattice).sparse_distance_matrix(tree, cutoff, output_type="ndarray")
    first, ghost, distances = found["i"].astype(np.int64), found["j"].astype(np.int64), found["v"]
    second, image = atoms[ghost], ghost_cells[ghost]
    once = (first < second) | ((first == second) & _is_positive(image))
    first, second, image, distances = first[once], second[once], image[once], distances[once]
    order = np.lexsort((distances, second, first))
    first, second, image, distances = first[order], second[order], image[order], distances[order]
    return first, second, image + shift[first] - shift[second], distances


def _is_positive(image: Int[np.ndarray, "n 3"]) -> np.ndarray:
    """Of an image and its opposite, one: the first component that is not zero is positive."""
    a, b, c = image.T
    return (a > 0) | ((a == 0) & ((b > 0) | ((b == 0) & (c > 0))))


def _longest_bond(numbers: Int[np.ndarray, " n"]) -> float:
    kinds = np.unique(numbers)
    return float(_limits(kinds[:, None], kinds[None]).max())


def _limits(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Longest bond in A between elements; 0 between two hydrogens. Of a metal and a donor that is what a bond has at
    most, whatever the metal's other bonds."""
    radii = COVALENT_RADIUS[first] + COVALENT_RADIUS[second]
    metals = METAL[first].astype(int) + METAL[second].astype(int)
    limits = radii + NONMETAL_TOLERANCE
    limits = np.where(metals == 1, _without_lone_pair(first, second), limits)
    longest = longest_with(LEAST_SHARE * LEAST_VALENCE, first, second)
    limits = np.where((metals == 1) & (_DONOR[first] | _DONOR[second]), longest, limits)
    limits = np.where(metals == 2, np.minimum(radii + METAL_METAL_TOLERANCE, LONGEST_METAL_METAL), limits)
    limits = np.where((metals == 2) & (_IONS[first] | _IONS[second]), 0.0, limits)  # Mg-Mg in a rod is 2.9
    hydrogen = (first == _HYDROGEN) | (second == _HYDROGEN)
    limits = np.where(hydrogen, radii + HYDROGEN_TOLERANCE, limits)
    return np.where((first == _HYDROGEN) & (second == _HYDROGEN), 0.0, limits)


def _without_lone_pair(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Longest bond in A between a metal and an atom that has no lone pair."""
    large = COVALENT_RADIUS[np.where(METAL[first], first, second)] > LARGE_METAL
    return COVALENT_RADIUS[first] + COVALENT_RADIUS[second] + np.where(large, CARBON_TOLERANCE[1], CARBON_TOLERANCE[0])


def _donors(crystal: Crystal, first: np.ndarray, second: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Atoms with a lone pair that their nonmetal neighbours leave free."""
    numbers = crystal.numbers
    inner = ~METAL[numbers[first]] & ~METAL[numbers[second]]
    first, second, images = first[inner], second[inner], images[inner]
    n_near = np.bincount(np.concatenate([first, second]), minlength=len(numbers))
    donor = _DONOR[numbers] & (n_near <= _MOST_NEIGHBOURS[numbers])
    vectors = (crystal.frac_coords[second] + images - crystal.frac_coords[first]) @ crystal.lattice
    units = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), CLASH)
    sums = np.zeros((len(numbers), 3))
    np.add.at(sums, first, units)
    np.add.at(sums, second, -units)
    flat = (numbers == _NITROGEN) & (n_near == _MOST_NEIGHBOURS[_NITROGEN]) & (np.linalg.norm(sums, axis=1) < FLAT)
    return donor & ~flat


def _far_from_no_donor(
    numbers: np.ndarray, donor: np.ndarray, first: np.ndarray, second: np.ndarray, distances: np.ndarray
) -> np.ndarray:
    """Pairs of a metal and an atom that has no lone pair left, too far away for such a bond."""
    metal = METAL[numbers]
    other = np.where(metal[first], second, first)
    far = distances > _without_lone_pair(numbers[first], numbers[second])
    return (metal[first] != metal[second]) & ~donor[other] & far & (numbers[other] != _HYDROGEN)


def _carries_enough(
    crystal: Crystal, first: np.ndarray, second: np.ndarray, images: np.ndarray, distances: np.ndarray
) -> np.ndarray:
    """All pairs but those of a metal and a donor whose bond is too small a share of the metal's valence."""
    numbers = crystal.numbers
    metal = METAL[numbers]
    mixed = metal[first] != metal[second]
    centre = np.where(metal[first], first, second)
    other = np.where(metal[first], second, first)
    valences = np.where(mixed, bond_valence(numbers[centre], numbers[other], distances), 0.0)
    totals = np.maximum(np.bincount(centre, weights=valences, minlength=len(numbers)), LEAST_VALENCE)
    shares = valences / totals[centre]
    keep = ~(mixed & _DONOR[numbers[other]]) | (shares >= LEAST_SHARE)
    multiple = np.flatnonzero(valences >= MULTIPLE_VALENCE)
    weak = np.flatnonzero(~keep & (shares >= TRANS_SHARE) & np.isin(centre, centre[multiple]))
    if len(weak):
        outward = np.where(metal[first], 1.0, -1.0)[:, None]
        vectors = outward * ((crystal.frac_coords[second] + images - crystal.frac_coords[first]) @ crystal.lattice)
        units = vectors / distances[:, None]
        opposite = units[weak] @ units[multiple].T < np.cos(np.radians(TRANS_ANGLE))
        keep[weak] = (opposite & (centre[weak, None] == centre[multiple])).any(axis=1)
    return keep


def _nearest_of_hydrogens(numbers, first, second, distances) -> np.ndarray:
    """A hydrogen keeps its shortest bond; one to a metal only if there is no other (a hydride)."""
    keep = np.ones(len(first), dtype=bool)
    for mine, other in ((first, second), (second, first)):
        bonds = np.flatnonzero(numbers[mine] == _HYDROGEN)
        rank = distances[bonds] + 10.0 * METAL[numbers[other[bonds]]]
        best: dict[int, tuple[float, int]] = {}
        for bond, atom, value in zip(bonds.tolist(), mine[bonds].tolist(), rank.tolist(), strict=True):
            if atom not in best or value < best[atom][0]:
                best[atom] = (value, bond)
        chosen = {bond for _, bond in best.values()}
        keep[[bond for bond in bonds.tolist() if bond not in chosen]] = False
    # a hydrogen can stand first in one bond and second in another
    hydrogens = np.flatnonzero(numbers == _HYDROGEN)
    counts = np.bincount(np.concatenate([first[keep], second[keep]]), minlength=len(numbers))
    for atom in hydrogens[counts[hydrogens] > 1]:
        bonds = np.flatnonzero(keep & ((first == atom) | (second == atom)))
        others = np.where(first[bonds] == atom, second[bonds], first[bonds])
        rank = distances[bonds] + 10.0 * METAL[numbers[others]]
        keep[np.delete(bonds, np.argmin(rank))] = False
    return keep


def _spans_a_chelate(numbers, first, second, images, distances) -> np.ndarray:
    """Bonds metal-X that only pass over a ligand atom Y, bound to both X and the metal and clearly nearer to it."""
    spans = np.zeros(len(first), dtype=bool)
    is_metal = METAL[numbers]
    mixed = np.flatnonzero(is_metal[first] != is_metal[second])
    if len(mixed) == 0:
        return spans
    links: dict[int, list[tuple[int, tuple[int, int, int]]]] = {}
    for i, j, cell in zip(first.tolist(), second.tolist(), map(tuple, images.tolist()), strict=True):
        if not (is_metal[i] or is_metal[j]):
            links.setdefault(i, []).append((j, cell))
            links.setdefault(j, []).append((i, (-cell[0], -cell[1], -cell[2])))
    reach: dict[tuple[int, int, tuple[int, int, int]], tuple[float, int]] = {}
    for bond in mixed.tolist():
        i, j, cell = int(first[bond]), int(second[bond]), images[bond].tolist()
        if is_metal[j]:
            i, j, cell = j, i, [-c for c in cell]
        reach[i, j, tuple(cell)] = (float(distances[bond]), bond)
    for (metal, x, cell), (distance, bond) in reach.items():
        for y, step in links.get(x, ()):
            over = (cell[0] + step[0], cell[1] + step[1], cell[2] + step[2])
            between = reach.get((metal, y, over))
            if between is not None and distance > between[0] + CHELATE_EXCESS:
                spans[bond] = True
                break
            for z, further in links.get(y, ()):
                beyond = reach.get((metal, z, (over[0] + further[0], over[1] + further[1], over[2] + further[2])))
                if beyond is not None and distance > beyond[0] + DRAGGED_EXCESS:
                    spans[bond] = True
                    break
    return spans
