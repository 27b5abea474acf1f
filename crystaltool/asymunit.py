"""Crystal <-> asymmetric unit: one representative per orbit, in the standard setting of its space group.

The representative is chosen by one rule: among all points of the orbit that lie on operation 0 of the Wyckoff position,
the one with the lexicographically smallest free coordinates in [0, 1) (compared on a grid of 1e-6).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from crystaltool.arrays import Float, Int
from crystaltool.crystal import Crystal
from crystaltool.defaults import SYMPREC
from crystaltool.errors import CrystaltoolError, SymmetryError
from crystaltool.lattice import constrain_k, k_to_matrix, matrix_to_k
from crystaltool.symmetry.detection import DetectedOrbits, detect_orbits
from crystaltool.symmetry.operations import TRANSLATION_DENOMINATOR
from crystaltool.symmetry.space_group import LETTERS, check_group_number, free_coordinate_maps, space_group, tables

ON_POSITION_TOLERANCE = 1e-5
"""Fractional distance within which a refined point counts as lying on its Wyckoff position (refinement gives 1e-14)."""

COORDINATE_GRID = 1e-6
"""Free coordinates closer than this count as equal when representatives are compared; 1e-5 A in a 10 A cell."""


@dataclass(frozen=True)
class AsymUnit:
    """A crystal as its space group, cell and occupied Wyckoff positions.

    Args:
        group: space-group number 1-230, in the standard setting of the tables.
        lattice: conventional cell, rows a, b, c in Angstrom; shape (3, 3).
        numbers: atomic number of each orbit; shape (n_orbits,).
        positions: index of each orbit's Wyckoff position, 0 = a; shape (n_orbits,).
        free_coords: free coordinates u, zero beyond the degrees of freedom; shape (n_orbits, 3).
        name: block name.

    Raises:
        SymmetryError: if the group or a position does not exist.
    """

    group: int
    lattice: Float[np.ndarray, "3 3"]
    numbers: Int[np.ndarray, " n_orbits"]
    positions: Int[np.ndarray, " n_orbits"]
    free_coords: Float[np.ndarray, "n_orbits 3"]
    name: str = ""

    def __post_init__(self) -> None:
        check_group_number(self.group)
        last = len(space_group(self.group).positions) - 1
        if len(self.positions) and (self.positions.min() < 0 or self.positions.max() > last):
            wrong = self.positions[(self.positions < 0) | (self.positions > last)][0]
            raise SymmetryError(f"space group {self.group} has positions 0-{last} (a-{LETTERS[last]}), got {wrong}")

    @property
    def letters(self) -> tuple[str, ...]:
        """Wyckoff letters."""
        return tuple(LETTERS[index] for index in self.positions)

    @property
    def multiplicities(self) -> Int[np.ndarray, " n_orbits"]:
        """Atoms of each orbit in the conventional cell."""
        listed = space_group(self.group).positions
        return np.array([listed[index].multiplicity for index in self.positions], dtype=np.int64)

    @property
    def frac_coords(self) -> Float[np.ndarray, "n_orbits 3"]:
        """The representatives R_0 u + t_0 in [0, 1); shape (n_orbits, 3)."""
        listed = [space_group(self.group).positions[index] for index in self.positions]
        rotations = np.stack([position.rotations[0] for position in listed])
        translations = np.stack([position.translations[0] for position in listed])
        return wrap(np.einsum("oij,oj->oi", rotations, self.free_coords) + translations)


@dataclass(frozen=True)
class AsymUnitTable:
    """Many asymmetric units in flat arrays: the data set that training reads.

    Args:
        group: shape (n,). lattice: (n, 3, 3) Angstrom. n_orbits: (n,). numbers, positions: (sum n_orbits,).
        free_coords: (sum n_orbits, 3). names: n block names.
    """

    group: Int[np.ndarray, " n"]
    lattice: Float[np.ndarray, "n 3 3"]
    n_orbits: Int[np.ndarray, " n"]
    numbers: Int[np.ndarray, " total"]
    positions: Int[np.ndarray, " total"]
    free_coords: Float[np.ndarray, "total 3"]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.group)

    def __getitem__(self, index: int) -> AsymUnit:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self._row(index, int(self.n_orbits[:index].sum()))

    def __iter__(self) -> Iterator[AsymUnit]:
        start = 0
        for index, count in enumerate(self.n_orbits):
            yield self._row(index, start)
            start += int(count)

    def _row(self, index: int, start: int) -> AsymUnit:
        """The unit whose orbits begin at `start`."""
        orbits = slice(start, start + int(self.n_orbits[index]))
        return AsymUnit(
            int(self.group[index]),
            self.lattice[index],
            self.numbers[orbits],
            self.positions[orbits],
            self.free_coords[orbits],
            self.names[index],
        )


def tabulate(units: Sequence[AsymUnit]) -> AsymUnitTable:
    """The table of a sequence of asymmetric units; orbits stay in order."""
    return AsymUnitTable(
        group=np.array([unit.group for unit in units], dtype=np.int64),
        lattice=np.array([unit.lattice for unit in units], dtype=float).reshape(-1, 3, 3),
        n_orbits=np.array([len(unit.numbers) for unit in units], dtype=np.int64),
        numbers=np.concatenate([unit.numbers for unit in units] or [np.zeros(0, dtype=np.int64)]),
        positions=np.concatenate([unit.positions for unit in units] or [np.zeros(0, dtype=np.int64)]),
        free_coords=np.concatenate([unit.free_coords for unit in units] or [np.zeros((0, 3))]),
        names=tuple(unit.name for unit in units),
    )


def join_tables(tables: Sequence[AsymUnitTable]) -> AsymUnitTable:
    """One table of several, in order."""
    tables = tables or [tabulate([])]
    fields = ("group", "lattice", "n_orbits", "numbers", "positions", "free_coords")
    arrays = {field: np.concatenate([getattr(table, field) for table in tables]) for field in fields}
    return AsymUnitTable(**arrays, names=tuple(name for table in tables for name in table.names))


def wrap(frac_coords: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Coordinates in [0, 1); a value that rounds up to 1 becomes 0."""
    wrapped = frac_coords % 1.0
    return np.where(wrapped >= 1.0, 0.0, wrapped)


def expand(unit: AsymUnit) -> Crystal:
    """Every atom of the conventional cell, orbit by orbit: the points R_j u + t_j modulo 1."""
    listed = [space_group(unit.group).positions[index] for index in unit.positions]
    points = [
        wrap(position.rotations @ free + position.translations)
        for position, free in zip(listed, unit.free_coords, strict=True)
    ]
    numbers = np.repeat(unit.numbers, [position.multiplicity for position in listed])
    return Crystal(unit.lattice, np.concatenate(points), numbers, unit.name)


def reduce(crystal: Crystal, symprec: float = SYMPREC) -> AsymUnit:
    """The asymmetric unit of a crystal given in any cell, its symmetry detected and refined.

    Args:
        crystal: the structure.
        symprec: distance tolerance in Angstrom.

    Raises:
        SymmetryError: if no space group is found.
    """
    return reduce_traced(crystal, symprec)[0]


def reduce_many(crystals: Iterable[Crystal], symprec: float = SYMPREC) -> list[AsymUnit | CrystaltoolError]:
    """`reduce` for many crystals at once, the choice of representatives batched; failures are values, in place."""
    return [found if isinstance(found, CrystaltoolError) else found[0] for found in _traced(list(crystals), symprec)]


def reduce_traced(crystal: Crystal, symprec: float = SYMPREC) -> tuple[AsymUnit, Int[np.ndarray, " n_atoms"]]:
    """As `reduce`; also the index of the orbit of each atom of the crystal.

    Raises:
        SymmetryError: if no space group is found.
    """
    (found,) = _traced([crystal], symprec)
    if isinstance(found, CrystaltoolError):
        raise found
    return found


def _traced(
    crystals: Sequence[Crystal], symprec: float
) -> list[tuple[AsymUnit, Int[np.ndarray, " n_atoms"]] | CrystaltoolError]:
    """For each crystal its asymmetric unit and the orbit of each of its atoms, or why there is none."""
    found: list[DetectedOrbits | CrystaltoolError] = []
    for crystal in crystals:
        try:
            found.append(detect_orbits(crystal, symprec))
        except CrystaltoolError as error:
            found.append(error)
    good = [orbits for orbits in found if isinstance(orbits, DetectedOrbits)]
    if not good:
        return [error for error in found if isinstance(error, CrystaltoolError)]
    n_orbits = [len(orbits.numbers) for orbits in good]
    groups = np.array([orbits.group for orbits in good])
    lattices = k_to_matrix(constrain_k(matrix_to_k(np.stack([orbits.lattice for orbits in good])), groups))
    free_coords, off = canonical_free_coords(
        np.repeat(groups, n_orbits),
        np.concatenate([orbits.positions for orbits in good]),
        np.concatenate([orbits.points for orbits in good]),
    )
    starts = np.concatenate([[0], np.cumsum(n_orbits)])
    units = iter(
        _unit(orbits, lattices[i], free_coords[starts[i] : starts[i + 1]], off[starts[i] : starts[i + 1]])
        for i, orbits in enumerate(good)
    )
    reduced = [next(units) if isinstance(orbits, DetectedOrbits) else orbits for orbits in found]
    return [
        unit if isinstance(unit, CrystaltoolError) else (replace(unit[0], name=crystal.name), unit[1])
        for unit, crystal in zip(reduced, crystals, strict=True)
    ]


def _unit(
    orbits: DetectedOrbits, lattice: np.ndarray, free: np.ndarray, off: np.ndarray
) -> tuple[AsymUnit, Int[np.ndarray, " n_atoms"]] | SymmetryError:
    """One asymmetric unit, orbits sorted by position, element, free coordinates; and the orbits of the atoms."""
    if off.max() > ON_POSITION_TOLERANCE:
        site = int(np.argmax(off))
        letter = LETTERS[orbits.positions[site]]
        where = f"Wyckoff position {letter} of group {orbits.group}"
        return SymmetryError(f"orbit {site + 1} misses {where} by {off[site]:.2g} (fractional)")
    keys = np.round(free / COORDINATE_GRID)
    order = np.lexsort((keys[:, 2], keys[:, 1], keys[:, 0], orbits.numbers, orbits.positions))
    unit = AsymUnit(orbits.group, lattice, orbits.numbers[order], orbits.positions[order], free[order])
    return unit, np.argsort(order)[orbits.atom_to_orbit]


def canonical_free_coords(
    groups: Int[np.ndarray, " n"], positions: Int[np.ndarray, " n"], points: Float[np.ndarray, "n 3"]
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, " n"]]:
    """Free coordinates of the representative of each orbit, chosen by the module's rule.

    Args:
        groups: space-group number of each orbit.
        positions: index of its Wyckoff position.
        points: any point of the orbit, exact to `ON_POSITION_TOLERANCE`, fractional.

    Returns:
        free coordinates, zero beyond the degrees of freedom, shape (n, 3), and how far (fractional) the nearest image
        is from operation 0 of the position, shape (n,).
    """
    table = tables()
    maps, origins = free_coordinate_maps()
    position = table["first_position"][groups - 1] + positions
    freedom = table["degrees_of_freedom"][position].astype(np.int64)
    counts = table["n_operations"][groups - 1].astype(np.int64)
    orbit = np.repeat(np.arange(len(groups)), counts)
    operation = np.arange(len(orbit)) - np.repeat(np.cumsum(counts) - counts, counts)
    operation += table["first_operation"][groups - 1][orbit]
    images = np.einsum("cij,cj->ci", table["op_rotation"][operation].astype(float), points[orbit])
    images += table["op_translation"][operation] / TRANSLATION_DENOMINATOR
    y = np.einsum("cij,cj->ci", maps[position[orbit]].astype(float), images - origins[position[orbit]])
    free = np.arange(3) < freedom[orbit][:, None]
    miss = np.where(free, 0.0, np.abs(y - np.round(y))).max(axis=1)
    keys = np.where(free, np.round(y / COORDINATE_GRID) % round(1 / COORDINATE_GRID), 0.0)
    order = np.lexsort((keys[:, 2], keys[:, 1], keys[:, 0], miss > ON_POSITION_TOLERANCE, orbit))
    first = order[np.concatenate([[0], np.cumsum(counts)[:-1]])]
    chosen = wrap(np.where(free[first], y[first], 0.0))
    # The grid may call 0.9999999 zero; keep the value beside the key that won.
    chosen = np.where(chosen > 1 - COORDINATE_GRID / 2, 0.0, chosen)
    return chosen, miss[first]
