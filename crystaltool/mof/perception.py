"""Bonds of a periodic structure from its geometry: covalent radii and rules for hydrogen, metals and chelates.

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

NONMETAL_TOLERANCE = 0.3
"""A: between nonmetals a bond may be this much longer than the sum of the covalent radii."""

HYDROGEN_TOLERANCE = 0.3
"""A: the same for the one bond of a hydrogen."""

METAL_TOLERANCE = (0.4, 0.3)
"""A: metal to nonmetal, for metals of a radius below and above `LARGE_METAL`. The first lets the long axial bonds of
Jahn-Teller copper in; in the second the radii of alkali metals and lanthanides are generous by themselves."""

LARGE_METAL = 1.50
"""A: lead, bismuth and ruthenium lie below it."""

METAL_METAL_TOLERANCE = 0.2
LONGEST_METAL_METAL = 3.0
"""A: beyond this, two metals are held by their ligands; those of the s and f blocks always are."""

CHELATE_EXCESS = 0.25
"""A: a metal is not bound to the carbon of a carboxylate (the nitrogen of a nitrate) that lies this much farther away
than the oxygen between them."""

CLASH = 0.5
"""A: atoms this close are no structure."""

_HYDROGEN = 1
_IONS = np.zeros(len(METAL), dtype=bool)
_IONS[[3, 4, 11, 12, 19, 20, 37, 38, 55, 56, 87, 88, *range(57, 72), *range(89, 104)]] = True  # s and f block


def perceive_bonds(crystal: Crystal) -> BondGraph:
    """The bonds of a crystal, orders not known.

    Raises:
        InputError: two atoms lie within 0.5 A of each other.
    """
    first, second, images, distances = neighbours(crystal, _longest_bond(crystal.numbers))
    if (distances < CLASH).any():
        worst = int(np.argmin(distances))
        raise InputError(f"atoms {first[worst] + 1} and {second[worst] + 1} overlap, {distances[worst]:.2f} A apart")
    numbers = crystal.numbers
    keep = distances <= _limits(numbers[first], numbers[second])
    first, second, images, distances = first[keep], second[keep], images[keep], distances[keep]
    keep = _nearest_of_hydrogens(numbers, first, second, distances)
    first, second, images, distances = first[keep], second[keep], images[keep], distances[keep]
    keep = ~_spans_a_chelate(numbers, first, second, images, distances)
    pairs = np.column_stack([first, second])[keep]
    return BondGraph(pairs, images[keep], np.full(len(pairs), UNKNOWN_ORDER))


def neighbours(
    crystal: Crystal, cutoff: float
) -> tuple[Int[np.ndarray, "n"], Int[np.ndarray, "n"], Int[np.ndarray, "n 3"], Float[np.ndarray, "n"]]:
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


def _longest_bond(numbers: Int[np.ndarray, "n"]) -> float:
    kinds = np.unique(numbers)
    return float(_limits(kinds[:, None], kinds[None]).max())


def _limits(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Longest bond in A between elements; 0 between two hydrogens."""
    radii = COVALENT_RADIUS[first] + COVALENT_RADIUS[second]
    metals = METAL[first].astype(int) + METAL[second].astype(int)
    metal = np.where(METAL[first], first, second)
    large = COVALENT_RADIUS[metal] > LARGE_METAL
    limits = radii + NONMETAL_TOLERANCE
    limits = np.where(metals == 1, radii + np.where(large, METAL_TOLERANCE[1], METAL_TOLERANCE[0]), limits)
    limits = np.where(metals == 2, np.minimum(radii + METAL_METAL_TOLERANCE, LONGEST_METAL_METAL), limits)
    limits = np.where((metals == 2) & (_IONS[first] | _IONS[second]), 0.0, limits)  # Mg-Mg in a rod is 2.9
    hydrogen = (first == _HYDROGEN) | (second == _HYDROGEN)
    limits = np.where(hydrogen, radii + HYDROGEN_TOLERANCE, limits)
    return np.where((first == _HYDROGEN) & (second == _HYDROGEN), 0.0, limits)


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
            between = reach.get((metal, y, (cell[0] + step[0], cell[1] + step[1], cell[2] + step[2])))
            if between is not None and distance > between[0] + CHELATE_EXCESS:
                spans[bond] = True
                break
    return spans
