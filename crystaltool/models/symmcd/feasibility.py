"""Which numbers of orbits, Wyckoff positions and elements can still add up to what is asked for.

All of it is exact. Positions of a group matter by their multiplicity alone, so choices of M orbits are counted by
`classes`: how many orbits of each multiplicity. A position without free coordinates holds one orbit; a class that has
only such positions has a capacity, the others have none.

A `Content` is what the cell must hold: a number of atoms, or whole formula units.

Shapes: C classes of a group, N atoms of the conventional cell, k formula units of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property, lru_cache

import numpy as np

from crystaltool.arrays import Bool, Int
from crystaltool.symmetry.operations import CENTRINGS
from crystaltool.symmetry.space_group import tables

UNLIMITED = 1 << 16
"""Capacity of a class that has a position with free coordinates; more than any number of orbits."""

CENTRING_ORDER = dict(zip(CENTRINGS, (1, 2, 2, 2, 2, 4, 3), strict=True))
"""Lattice points of the conventional cell."""

MOST_VECTORS = 2_000_000
"""Ways to divide orbits among the classes of a group that are listed at most (with 8 bytes a class, 128 MB)."""


@dataclass(frozen=True)
class Content:
    """What the conventional cell of a group must hold.

    Args:
        fewest, most: bounds on its atoms, both included.
        formula: atoms of each element in one formula unit, in any order; empty leaves elements open. The cell holds
            whole units.
    """

    fewest: int = 1
    most: int = UNLIMITED
    formula: tuple[int, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether anything fits."""
        return not self.formula and self.fewest <= 1 and self.most >= UNLIMITED


@dataclass(frozen=True)
class SiteClasses:
    """The Wyckoff positions of a group by multiplicity.

    Args:
        multiplicity: of each class in the conventional cell, ascending; C values.
        capacity: how many orbits each class can hold; C values.
        of_position: class of each position, in the order of the letters.
        centring: lattice points of the conventional cell.
    """

    multiplicity: tuple[int, ...]
    capacity: tuple[int, ...]
    of_position: Int[np.ndarray, " positions"]
    centring: int

    @cached_property
    def limited(self) -> tuple[int, ...]:
        """Classes with a capacity."""
        return tuple(i for i, most in enumerate(self.capacity) if most < UNLIMITED)

    @cached_property
    def unlimited(self) -> tuple[int, ...]:
        """Classes without one."""
        return tuple(i for i, most in enumerate(self.capacity) if most >= UNLIMITED)

    def count(self, positions: Int[np.ndarray, " n"]) -> tuple[int, ...]:
        """How many of these positions, counted from the group's first, are in each class."""
        return tuple(np.bincount(self.of_position[positions], minlength=len(self.multiplicity)).tolist())


@cache
def site_classes(group: int) -> SiteClasses:
    """The classes of a space group, 1-230."""
    table, g = tables(), group - 1
    rows = slice(table["first_position"][g], table["first_position"][g] + table["n_positions"][g])
    values, inverse = np.unique(table["multiplicity"][rows], return_inverse=True)
    free = np.bincount(inverse, table["degrees_of_freedom"][rows] > 0) > 0
    capacity = np.where(free, UNLIMITED, np.bincount(inverse))
    centring = CENTRING_ORDER[CENTRINGS[table["centring"][g]]]
    return SiteClasses(tuple(values.tolist()), tuple(capacity.tolist()), inverse, centring)


def orbit_numbers(classes: SiteClasses, content: Content, most_orbits: int) -> Bool[np.ndarray, " n"]:
    """For M = 0 ... most_orbits: whether M orbits can be chosen so that the cell holds the content."""
    atoms = min(content.most, most_orbits * max(classes.multiplicity))
    if not content.formula:
        masses = _masses(classes, range(len(classes.multiplicity)), most_orbits, atoms)
        return np.any(masses[:, content.fewest :], axis=1)
    return np.any(_units(classes, content, most_orbits, atoms)[1], axis=0)


def _masses(classes: SiteClasses, chosen, most_orbits: int, atoms: int) -> Bool[np.ndarray, "orbits atoms"]:
    """Entry (m, n): whether m orbits of the chosen classes can hold n atoms."""
    reach = np.zeros((most_orbits + 1, atoms + 1), dtype=bool)
    reach[0, 0] = True
    for i in chosen:
        size, before = classes.multiplicity[i], reach.copy()
        if classes.capacity[i] >= UNLIMITED:
            for m in range(1, most_orbits + 1):
                reach[m, size:] |= reach[m - 1, : max(atoms + 1 - size, 0)]
            continue
        for n in range(1, min(classes.capacity[i], most_orbits, atoms // size) + 1):
            reach[n:, n * size :] |= before[:-n, : atoms + 1 - n * size]
    return reach


def _units(
    classes: SiteClasses, content: Content, most_orbits: int, atoms: int
) -> tuple[Int[np.ndarray, " k"], Bool[np.ndarray, "k orbits"]]:
    """Numbers of formula units that may be, and with how many orbits each can; one element after the other.

    What is left of the limited classes is the state; of the unlimited ones any number may be taken.
    """
    unit = sum(content.formula)
    k = np.arange(-(-content.fewest // unit), atoms // unit + 1)
    open_masses = _masses(classes, classes.unlimited, most_orbits, atoms)
    taken = list(np.ndindex(*(classes.capacity[i] + 1 for i in classes.limited)))
    sizes = [classes.multiplicity[i] for i in classes.limited]
    start = np.zeros((len(k), most_orbits + 1), dtype=bool)
    start[:, 0] = True
    states = {taken[-1]: start}
    for atoms_of_element in sorted(content.formula):
        ways = {}
        for vector in taken:
            n, left = sum(vector), k * atoms_of_element - sum(map(int.__mul__, vector, sizes))
            if n > most_orbits or not (left >= 0).any():
                continue
            table = np.zeros((len(k), most_orbits + 1), dtype=bool)
            table[:, n:] = open_masses[: most_orbits + 1 - n, np.maximum(left, 0)].T & (left >= 0)[:, None]
            if table.any():
                ways[vector] = table
        following: dict[tuple[int, ...], np.ndarray] = {}
        for state, so_far in states.items():
            for vector, table in ways.items():
                rest = tuple(a - b for a, b in zip(state, vector, strict=True))
                if min(rest, default=0) >= 0:
                    both = following.setdefault(rest, np.zeros_like(so_far))
                    for m in np.flatnonzero(so_far.any(0)):
                        both[:, m:] |= so_far[:, m, None] & table[:, : most_orbits + 1 - m]
        states = following
    total = np.zeros((len(k), most_orbits + 1), dtype=bool)
    for table in states.values():
        total |= table
    return k, total


class Completions:
    """All ways to divide M orbits among the classes of a group so that the cell holds the content.

    Args:
        classes: of the group.
        content: what the cell must hold.
        n_orbits: M.

    Raises:
        OverflowError: more than `MOST_VECTORS` would have to be listed.
    """

    def __init__(self, classes: SiteClasses, content: Content, n_orbits: int) -> None:
        self.vectors = _vectors(classes, content, n_orbits)
        self._known: dict[tuple[int, ...], np.ndarray] = {}

    def open_classes(self, chosen: tuple[int, ...]) -> Bool[np.ndarray, " C"]:
        """Of which classes a further orbit can be, once `chosen` orbits of each are."""
        if chosen not in self._known:
            left = self.vectors - np.array(chosen, dtype=self.vectors.dtype)
            self._known[chosen] = np.any(left[(left >= 0).all(1)] > 0, axis=0)
        return self._known[chosen]


def _vectors(classes: SiteClasses, content: Content, n_orbits: int) -> Int[np.ndarray, "n C"]:
    """Counts of orbits in each class, a row a way."""
    atoms = min(content.most, n_orbits * max(classes.multiplicity))
    if not content.formula:
        every = _bounded(classes, n_orbits, atoms, content.fewest)
        return every[every.sum(1) == n_orbits]
    k, possible = _units(classes, content, n_orbits, atoms)
    k = k[possible[:, n_orbits]]
    if len(k) == 0:
        return np.zeros((0, len(classes.multiplicity)), dtype=np.int32)
    every = _bounded(classes, n_orbits + 1 - len(content.formula), int(k.max()) * max(content.formula))
    held = every @ np.array(classes.multiplicity)
    order = np.argsort(held, kind="stable")
    every, held = every[order], held[order]
    rows = []
    for units in k.tolist():
        sums = np.zeros((1, len(classes.multiplicity)), dtype=every.dtype)
        for done, atoms_of_element in enumerate(sorted(content.formula, reverse=True), 1):
            first, last = (
                np.searchsorted(held, units * atoms_of_element, side="left"),
                np.searchsorted(held, units * atoms_of_element, side="right"),
            )
            if len(sums) * int(last - first) > MOST_VECTORS * 4:
                raise OverflowError
            both = (sums[:, None] + every[None, first:last]).reshape(-1, sums.shape[1])
            both = both[both.sum(1) <= n_orbits - (len(content.formula) - done)]
            both = both[(both <= np.array(classes.capacity)).all(1)]
            sums = np.unique(both, axis=0)
        rows.append(sums[sums.sum(1) == n_orbits])
    return np.concatenate(rows)


def _bounded(classes: SiteClasses, most_orbits: int, most: int, fewest: int = 0) -> Int[np.ndarray, "n C"]:
    """All counts of orbits in each class, at most `most_orbits`, with `fewest` to `most` atoms; large classes first."""
    rows = np.zeros((1, 0), dtype=np.int32)
    for i, size in reversed(list(enumerate(classes.multiplicity))):
        n_here = min(classes.capacity[i], most_orbits, most // size)
        if len(rows) * (n_here + 1) > 4 * MOST_VECTORS:
            raise OverflowError
        rows = np.concatenate([np.insert(rows, 0, n, axis=1) for n in range(n_here + 1)])
        n_orbits, held = rows.sum(1), rows @ np.array(classes.multiplicity[i:])
        still = (most_orbits - n_orbits) * (classes.multiplicity[i - 1] if i else 0)
        rows = rows[(n_orbits <= most_orbits) & (held <= most) & (held + still >= fewest)]
    return rows


@lru_cache(maxsize=1 << 18)
def can_fill(sizes: tuple[int, ...], counts: tuple[int, ...], demands: tuple[int, ...]) -> bool:
    """Whether orbits can be divided among elements so that each gets exactly its atoms.

    Args:
        sizes: multiplicity of each class.
        counts: orbits of each class.
        demands: atoms of each element, descending.
    """
    if sum(map(int.__mul__, sizes, counts)) != sum(demands):
        return False
    if len(demands) <= 1 or demands[0] == 0:
        return True
    return any(
        can_fill(sizes, tuple(a - b for a, b in zip(counts, part, strict=True)), demands[1:])
        for part in _parts(sizes, counts, demands[0])
    )


def _parts(sizes: tuple[int, ...], counts: tuple[int, ...], atoms: int):
    """All choices among the orbits that hold exactly that many atoms, large orbits first."""
    if not sizes:
        if atoms == 0:
            yield ()
        return
    size = sizes[-1]
    for n in range(min(counts[-1], atoms // size), -1, -1):
        for part in _parts(sizes[:-1], counts[:-1], atoms - n * size):
            yield (*part, n)


@lru_cache(maxsize=1 << 18)
def open_elements(
    sizes: tuple[int, ...], counts: tuple[int, ...], demands: tuple[int, ...], of_class: int
) -> tuple[bool, ...]:
    """For each element whether an orbit of a class can be its own.

    Args:
        sizes, counts: as `can_fill`; `counts` are the orbits without element, the one in question among them.
        demands: atoms that each element still wants.
        of_class: the orbit's.
    """
    rest = tuple(n - (i == of_class) for i, n in enumerate(counts))
    found = []
    for element, wanted in enumerate(demands):
        left = wanted - sizes[of_class]
        others = sorted((*demands[:element], *demands[element + 1 :], left), reverse=True)
        found.append(left >= 0 and can_fill(sizes, rest, tuple(others)))
    return tuple(found)
