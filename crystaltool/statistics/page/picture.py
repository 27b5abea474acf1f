"""What is drawn of a structure: atoms of the cell and what they bind, bonds, polyhedra, edges of the cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crystaltool.arrays import Bool, Float, Int
from crystaltool.bonds import BondGraph
from crystaltool.checks.elements import ELECTRONEGATIVITY
from crystaltool.crystal import Crystal
from crystaltool.errors import InputError
from crystaltool.io.cif import CifBlock
from crystaltool.mof.elements import COVALENT_RADIUS, METAL
from crystaltool.mof.perception import neighbours, perceive_bonds
from crystaltool.units import SYMBOLS, atomic_number

MOST_ATOMS = 3000
"""Atoms that are drawn of a structure; a larger one has no picture."""

EDGE = 0.02
"""Fractional: an atom so near a face of the cell is drawn on the opposite one, too."""

STRETCH = 1.12
"""A bond is at most so many times the sum of the covalent radii (Cordero), in what states no bonds."""

IONIC = 0.8
"""Difference of electronegativities (Pauling) from which a metal is the centre of a polyhedron of its partners."""

LARGE = 1.75
"""A: covalent radius from which a metal has no polyhedron, unless no other has: alkali metals, Sr, Ba, rare earths."""

CORNERS = (4, 8)
"""Vertices of a polyhedron."""

SPHERE = 0.4
"""Radius of an atom's sphere, of its covalent radius."""

_HYDROGEN = 1


@dataclass(frozen=True)
class Drawing:
    """A structure as it is drawn.

    Args:
        symbols: of the elements that occur.
        elements: which of them each atom is; shape (n,).
        positions: Angstrom; shape (n, 3).
        bonds: pairs of atoms; shape (m, 2).
        polyhedra: of each centre the vertices, rows of `positions`.
        lattice: rows a, b, c.
    """

    symbols: tuple[str, ...]
    elements: Int[np.ndarray, " n"]
    positions: Float[np.ndarray, "n 3"]
    bonds: Int[np.ndarray, "m 2"]
    polyhedra: tuple[tuple[int, list[int]], ...]
    lattice: Float[np.ndarray, "3 3"]


def draw(block: CifBlock, is_mof: bool) -> Drawing | None:
    """The drawing of a structure; None of one that is too large.

    In the cell stand its atoms, those on faces on both of them. Beyond it stands what completes the surroundings of
    cations, or in a MOF one bond's reach.
    """
    crystal = block.crystal
    if crystal.n_atoms > MOST_ATOMS:
        return None
    bonds = _bonds(block, is_mof)
    centres = np.ones(crystal.n_atoms, dtype=bool) if is_mof else _cations(crystal, bonds)
    atoms, cells = _shown(crystal, bonds, centres)
    if len(atoms) > MOST_ATOMS:
        return None
    place = {(atom, *cell): row for row, (atom, cell) in enumerate(zip(atoms.tolist(), cells.tolist(), strict=True))}
    around = _around(bonds, place)
    numbers = crystal.numbers[atoms]
    kinds, elements = np.unique(numbers, return_inverse=True)
    pairs = sorted({(min(i, j), max(i, j)) for i, row in enumerate(around) for j in row})
    return Drawing(
        tuple(SYMBOLS[kind] for kind in kinds.tolist()),
        elements,
        (crystal.frac_coords[atoms] + cells) @ crystal.lattice,
        np.array(pairs, dtype=np.int64).reshape(-1, 2),
        _polyhedra(crystal, bonds, atoms, around),
        crystal.lattice,
    )


def _bonds(block: CifBlock, is_mof: bool) -> BondGraph:
    crystal = block.crystal
    if block.bonds is not None:
        return block.bonds
    if is_mof:
        try:
            return perceive_bonds(crystal)
        except InputError:  # atoms overlap
            pass
    numbers = crystal.numbers
    reach = 2 * STRETCH * float(COVALENT_RADIUS[numbers].max())
    first, second, images, distances = neighbours(crystal, reach)
    near = distances <= STRETCH * (COVALENT_RADIUS[numbers[first]] + COVALENT_RADIUS[numbers[second]])
    metals = METAL[numbers[first]].astype(int) + METAL[numbers[second]].astype(int)
    if not METAL[numbers].all():
        near &= metals < 2  # beside anions, contacts of metals are no bonds
    near &= ~((numbers[first] == _HYDROGEN) & (numbers[second] == _HYDROGEN) & (distances > 1.0))
    return BondGraph(np.column_stack([first, second])[near], images[near], np.zeros(int(near.sum())))


def _cations(crystal: Crystal, bonds: BondGraph) -> Bool[np.ndarray, " n_atoms"]:
    """Metals among partners that are much more electronegative; of small and large ones the small."""
    numbers = crystal.numbers
    first, second, _ = bonds.directed
    apart = ELECTRONEGATIVITY[numbers[second]] - ELECTRONEGATIVITY[numbers[first]]
    ionic = np.bincount(first[apart >= IONIC], minlength=len(numbers)) > 0
    found = METAL[numbers] & ionic
    small = found & (COVALENT_RADIUS[numbers] < LARGE)
    return small if small.any() else found


def _shown(
    crystal: Crystal, bonds: BondGraph, centres: Bool[np.ndarray, " n_atoms"]
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, "n 3"]]:
    """Atoms and their cells, counted from where the crystal gives the atom."""
    home = -np.floor(crystal.frac_coords + EDGE).astype(np.int64)
    inside: dict[tuple[int, int, int, int], None] = {}
    for atom in range(crystal.n_atoms):
        where = crystal.frac_coords[atom] + home[atom]
        spans = [(0, 1) if value < EDGE else (0,) for value in where.tolist()]
        for a in spans[0]:
            for b in spans[1]:
                for c in spans[2]:
                    inside[(atom, *(home[atom] + (a, b, c)).tolist())] = None
    partners: list[list[tuple[int, list[int]]]] = [[] for _ in range(crystal.n_atoms)]
    for i, j, image in zip(*(array.tolist() for array in bonds.directed), strict=True):
        partners[i].append((j, image))
    shown = dict(inside)
    for atom, *cell in inside:
        for other, image in partners[atom] if centres[atom] else ():
            shown[(other, cell[0] + image[0], cell[1] + image[1], cell[2] + image[2])] = None
    rows = np.array(list(shown), dtype=np.int64).reshape(-1, 4)
    return rows[:, 0], rows[:, 1:]


def _around(bonds: BondGraph, place: dict[tuple[int, int, int, int], int]) -> list[list[int]]:
    """Of each shown atom the shown ones that it binds."""
    partners: dict[int, list[tuple[int, list[int]]]] = {}
    for i, j, image in zip(*(array.tolist() for array in bonds.directed), strict=True):
        partners.setdefault(i, []).append((j, image))
    found: list[list[int]] = []
    for atom, a, b, c in place:
        keys = [(other, a + image[0], b + image[1], c + image[2]) for other, image in partners.get(atom, [])]
        found.append([place[key] for key in keys if key in place])
    return found


def _polyhedra(
    crystal: Crystal, bonds: BondGraph, atoms: Int[np.ndarray, " n"], around: list[list[int]]
) -> tuple[tuple[int, list[int]], ...]:
    """Centres whose whole surroundings are shown, with them."""
    numbers = crystal.numbers
    cations = _cations(crystal, bonds)
    n_bonds = bonds.valences(crystal.n_atoms)
    found = []
    for row, atom in enumerate(atoms.tolist()):
        near = around[row]
        apart = ELECTRONEGATIVITY[numbers[atoms[near]]] - ELECTRONEGATIVITY[numbers[atom]]
        whole = len(near) == n_bonds[atom] and CORNERS[0] <= len(near) <= CORNERS[1]
        if cations[atom] and whole and (apart >= IONIC).all():
            found.append((row, near))
    return tuple(found)


def faces(points: Float[np.ndarray, "n 3"]) -> list[list[int]]:
    """Triangles of the convex hull of points, seen from outside anticlockwise; none of points in a plane."""
    from scipy.spatial import ConvexHull, QhullError

    try:
        hull = ConvexHull(points)
    except QhullError:
        return []
    found = []
    for (i, j, k), equation in zip(hull.simplices.tolist(), hull.equations, strict=True):
        normal = np.cross(points[j] - points[i], points[k] - points[i])
        found.append([i, j, k] if normal @ equation[:3] > 0 else [i, k, j])
    return found


def drawing_as_json(drawing: Drawing) -> dict[str, object]:
    """What the page's script draws: flat lists, Angstrom with three decimals, the centre of the cell at the origin."""
    middle = drawing.lattice.sum(axis=0) / 2
    polyhedra = []
    for centre, near in drawing.polyhedra:
        triangles = faces(drawing.positions[near])
        if triangles:
            polyhedra.append([int(drawing.elements[centre]), near, [corner for face in triangles for corner in face]])
    return {
        "symbols": list(drawing.symbols),
        "radii": [round(SPHERE * float(COVALENT_RADIUS[atomic_number(symbol)]), 3) for symbol in drawing.symbols],
        "elements": drawing.elements.tolist(),
        "positions": (drawing.positions - middle).round(3).ravel().tolist(),
        "bonds": drawing.bonds.ravel().tolist(),
        "polyhedra": polyhedra,
        "lattice": drawing.lattice.round(4).tolist(),
        "origin": (-middle).round(4).tolist(),
    }
