"""Defects put into sound frameworks, one for each rule: an atom deleted, added, moved or exchanged.

Every maker takes a crystal that passes and a random generator and gives the damaged crystal, or None where the crystal
has nothing to damage in this way. They look at distances alone, never at the rules that are to find the defect.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from crystaltool.checks.mof.coordination import Coordination
from crystaltool.checks.mof.elements import ALKALI, RARE_EARTH
from crystaltool.checks.mof.oxidation import OXIDATION_STATES
from crystaltool.crystal import Crystal
from crystaltool.mof.elements import COVALENT_RADIUS, METAL
from crystaltool.mof.perception import neighbours
from crystaltool.units import SYMBOLS

_WITHOUT_OXO = "Li Na K Rb Cs Fr Be Mg Ca Sr Ba Ra Sc Y La Ac Ti Zr Hf Mn Fe Co Ni Cu Ag Zn Cd Al Ga In Tl"
NO_TERMINAL_OXO = np.isin(np.array(SYMBOLS), _WITHOUT_OXO.split())
"""Metals that form no terminal oxo group in a framework (MOFChecker's list)."""

Maker = Callable[[Crystal, np.random.Generator], Crystal | None]

H, C, N, O = 1, 6, 7, 8  # noqa: E741


def without(crystal: Crystal, atoms) -> Crystal | None:
    """The crystal without some atoms."""
    keep = np.ones(crystal.n_atoms, dtype=bool)
    keep[atoms] = False
    if not keep.any():
        return None
    return Crystal(crystal.lattice, crystal.frac_coords[keep], crystal.numbers[keep], crystal.name)


def with_atoms(crystal: Crystal, cart_coords, numbers: list[int]) -> Crystal:
    """The crystal with more atoms."""
    frac = np.concatenate([crystal.frac_coords, np.atleast_2d(cart_coords) @ np.linalg.inv(crystal.lattice)])
    return Crystal(crystal.lattice, frac, np.concatenate([crystal.numbers, numbers]), crystal.name)


def exchanged(crystal: Crystal, mask: np.ndarray, number: int) -> Crystal | None:
    """The crystal with atoms of another element in some places."""
    if not mask.any():
        return None
    return Crystal(crystal.lattice, crystal.frac_coords, np.where(mask, number, crystal.numbers), crystal.name)


def distances_to(crystal: Crystal, point: np.ndarray) -> np.ndarray:
    """Distance of every atom's nearest image from a Cartesian point."""
    frac = crystal.frac_coords - point @ np.linalg.inv(crystal.lattice)
    frac -= np.round(frac)
    cells = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    return np.linalg.norm((frac[:, None] + cells[None]) @ crystal.lattice, axis=2).min(axis=1)


def _pick(rng: np.random.Generator, places: np.ndarray) -> int | None:
    return int(rng.choice(places)) if len(places) else None


def _sphere(count: int = 400) -> np.ndarray:
    steps = np.arange(count)
    z = 1 - (2 * steps + 1) / count
    turn = np.pi * (3 - np.sqrt(5)) * steps
    return np.column_stack([np.sqrt(1 - z * z) * np.cos(turn), np.sqrt(1 - z * z) * np.sin(turn), z])


def _away(vectors: np.ndarray) -> np.ndarray:
    """The direction farthest from all of some vectors."""
    units = vectors / np.linalg.norm(vectors, axis=1)[:, None]
    directions = _sphere()
    return directions[np.argmin((directions @ units.T).max(axis=1))]


def no_metal(crystal: Crystal, rng: np.random.Generator) -> Crystal | None:
    """All metals deleted."""
    return without(crystal, METAL[crystal.numbers])


def no_carbon(crystal: Crystal, rng: np.random.Generator) -> Crystal | None:
    """All carbon made silicon."""
    return exchanged(crystal, crystal.numbers == C, 14)


def no_hydrogen(crystal: Crystal, rng: np.random.Generator) -> Crystal | None:
    """All hydrogens deleted."""
    return without(crystal, crystal.numbers == H)


def moved_onto_another(crystal: Crystal, rng: np.random.Generator) -> Crystal | None:
    """An atom moved towards a neighbour, to 0.9 of the smaller covalent radius."""
    first, second, images, distances = neighbours(crystal, 1.6)
    heavy = np.flatnonzero((crystal.numbers[first] != H) & (crystal.numbers[second] != H))
    pair = _pick(rng, heavy)
    if pair is None:
        return None
    i, j = int(first[pair]), int(second[pair])
    vector = (crystal.frac_coords[j] + images[pair] - crystal.frac_coords[i]) @ crystal.lattice
    wanted = 0.9 * float(COVALENT_RADIUS[crystal.numbers[[i, j]]].min())
    frac = crystal.frac_coords.copy()
    frac[i] += vector * (1 - wanted / distances[pair]) @ np.linalg.inv(crystal.lattice)
    return Crystal(crystal.lattice, frac, crystal.numbers, crystal.name)


def _crowded(crystal: Crystal, rng: np.random.Generator, number: int) -> Crystal | None:
    """Hydrogens added around an atom without metals until it has five neighbours."""
    bonds = Coordination(crystal)
    atom = _pick(rng, np.flatnonzero((crystal.numbers == number) & (bonds.n_metal_bonds == 0) & (bonds.n_bonds >= 2)))
    if atom is None:
        return None
    vectors = bonds.neighbours(atom).vectors
    added = []
    while len(vectors) < 5:
        added.append(_away(vectors))
        vectors = np.concatenate([vectors, added[-1][None]])
    return with_atoms(crystal, crystal.cart_coords[atom] + np.array(added), [H] * len(added))


def carbon_with_five(crystal: Crystal, rng: np.random.Generator) -> Crystal | None:
    """Hydrogens added around a carbon until it has five neighbours."""
    return _crowded(crystal, rng, C)


def nitrogen_with_five(crystal: Crystal, rng: np.random.Generator) -> Crystal | None:
    """Hydrogens added around a nitrogen without metal until it has five neighbours."""
    return _crowded(crystal, rng, N)


def hydrogen_with_two(crystal: Crystal, rng: np.random.Generator) -> Crystal | None:
    """A hydrogen added 0.8 A behind another."""
    bonds = Coordination(crystal)
    atom = _pick(rng, _hydrogens_of(bonds, C))
    if atom is None:
        return None
    back = _away(bonds.neighbours(atom).vectors)
    return with_atoms(crystal, crystal.cart_coords[atom] + 0.8 * back, [H])


def _hydrogens_of(bonds: Coordination, number: int, counts: tuple[int, ...] = (1, 2, 3)) -> np.ndarray:
    """Hydrogens of atoms of an element that have one of these numbers of them and no metal."""
    numbers = bonds.crystal.numbers
    found = []
    for atom in np.flatnonzero((numbers == number) & (bonds.n_metal_bonds == 0)).tolist():
        near = bonds.neighbours(atom).atoms
        mine = near[numbers[near] == H]
        if len(mine) in counts:
            found.extend(mine.tolist())
    return np.array(found, dtype=np.int64)


def carbon_without_hydrogen(crystal: Crystal, rng: np.random.Generator) -> Crystal | None:
    """A hydrogen of a carbon deleted."""
    atom = _pick(rng, _hydrogens_of(Coordination(crystal), C))
    return None if atom is None else without(crystal, [atom])


def nitrogen_without_hydrogen(crystal: Crystal, rng: np.random.Generator) -> Crystal | None:
    """One of the two hydrogens of an amine; ammonium, pyridinium and imidazole with one less are sound."""
    atom = _pick(rng, _hydrogens_of(Coordination(crystal), N, (2,)))
    return None if atom is None else without(crystal, [atom])


def _bared(crystal: Crystal, rng: np.random.Generator, elements: np.ndarray, left: int) -> Crystal | None:
    """All neighbours of a metal and all within 3.4 A deleted but the nearest and those that lie beside that one."""
    bonds = Coordination(crystal)
    atom = _pick(rng, np.flatnonzero(elements[crystal.numbers] & (bonds.n_bonds > left)))
    if atom is None:
        return None
    near = bonds.neighbours(atom)
    units = near.vectors / near.distances[:, None]
    cosines = units @ units[np.argmin(near.distances)]
    order = np.argsort(-cosines)[:left]
    kept = near.atoms[order[cosines[order] > BESIDE]]
    close = np.flatnonzero(distances_to(crystal, crystal.cart_coords[atom]) < 3.4)
    if len(kept) < np.isin(near.atoms, kept).sum():
        return None  # one of them is a neighbour in another cell, too
    return without(crystal, np.setdiff1d(np.concatenate([close, near.atoms]), [*kept.tolist(), atom]))


BESIDE = np.cos(np.radians(100))
"""Cosine of the largest angle between neighbours that are left."""


def rare_earth_bared(crystal: Crystal, rng: np.random.Generator) -> Crystal | None:
    """All neighbours of a rare earth but three deleted."""
    return _bared(crystal, rng, RARE_EARTH, 3)


def alkali_bared(crystal: Crystal, rng: np.random.Generator) -> Crystal | None:
    """All neighbours of an alkali or alkaline earth metal but three deleted."""
    return _bared(crystal, rng, ALKALI, 3)


def metal_bared(crystal: Crystal, rng: np.random.Generator) -> Crystal | None:
    """All neighbours of a metal but two side by side deleted."""
    return _bared(crystal, rng, METAL, 2)


def water_added(crystal: Crystal, rng: np.random.Generator) -> Crystal | None:
    """A water molecule where it is at least 3 A from every atom."""
    for point in rng.random((300, 3)) @ crystal.lattice:
        if distances_to(crystal, point).min() > 3.0:
            return with_atoms(crystal, point + np.array([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]]), [O, H, H])
    return None


def pulled_apart(crystal: Crystal, rng: np.random.Generator) -> Crystal | None:
    """The cell made 6 A thicker along one axis, a gap cut through all that crossed its face."""
    axis = int(rng.integers(3))
    lattice = crystal.lattice.copy()
    normal = np.linalg.inv(lattice)[:, axis]
    normal /= np.linalg.norm(normal)
    cart = (crystal.frac_coords % 1.0) @ lattice
    lattice[axis] += 6.0 * normal
    return Crystal(lattice, cart @ np.linalg.inv(lattice), crystal.numbers, crystal.name)


def oxo_added(crystal: Crystal, rng: np.random.Generator) -> Crystal | None:
    """An oxygen 1.75 A from a metal, where nothing else is near."""
    bonds = Coordination(crystal)
    metals = np.flatnonzero(NO_TERMINAL_OXO[crystal.numbers] & (bonds.n_bonds > 0))
    for atom in rng.permutation(metals)[:8]:
        point = crystal.cart_coords[atom] + 1.75 * _away(bonds.neighbours(int(atom)).vectors)
        distances = distances_to(crystal, point)
        distances[atom] = np.inf
        if distances.min() > 2.0 and distances[METAL[crystal.numbers]].min(initial=np.inf) > 3.1:
            return with_atoms(crystal, point, [O])
    return None


def squeezed(crystal: Crystal, rng: np.random.Generator) -> Crystal | None:
    """All lengths three quarters of what they were: the charges lose their minimum."""
    return Crystal(0.75 * crystal.lattice, crystal.frac_coords, crystal.numbers, crystal.name)


def cation_added(crystal: Crystal, rng: np.random.Generator) -> Crystal | None:
    """A sodium ion in a hole of a framework whose metals have one oxidation state each."""
    metals = set(crystal.numbers[METAL[crystal.numbers]].tolist())
    if any(len(OXIDATION_STATES.get(metal, ())) != 1 for metal in metals):
        return None
    for point in rng.random((300, 3)) @ crystal.lattice:
        if distances_to(crystal, point).min() > 2.2:
            return with_atoms(crystal, point, [11])
    return None


MAKERS: dict[str, Maker] = {
    "has-metal": no_metal,
    "has-carbon": no_carbon,
    "has-hydrogen": no_hydrogen,
    "overlap": moved_onto_another,
    "overcoordinated-c": carbon_with_five,
    "overcoordinated-n": nitrogen_with_five,
    "overcoordinated-h": hydrogen_with_two,
    "undercoordinated-c": carbon_without_hydrogen,
    "undercoordinated-n": nitrogen_without_hydrogen,
    "undercoordinated-rare-earth": rare_earth_bared,
    "undercoordinated-alkali": alkali_bared,
    "lone-molecule": water_added,
    "connected-3d": pulled_apart,
    "terminal-oxo": oxo_added,
    "exposed-metal": metal_bared,
    "high-charge": squeezed,
    "framework-charge": cation_added,
}
"""The defect that breaks each rule."""
