"""`Plan`: which groups, numbers of orbits, Wyckoff positions and elements a request leaves open, at every step.

p(G, M) of the data is restricted to what can meet the request; then every position and every element is drawn among
those from which the rest can still be completed. So all samples meet it, and none is drawn in vain.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from crystaltool.arrays import Bool, Float, Int
from crystaltool.errors import UsageError
from crystaltool.lattice import crystal_system_index
from crystaltool.models.symmcd.feasibility import (
    Completions,
    SiteClasses,
    can_fill,
    open_elements,
    orbit_numbers,
    site_classes,
)
from crystaltool.models.symmcd.request import Request
from crystaltool.nn.layers import N_ELEMENTS
from crystaltool.symmetry.space_group import N_GROUPS, tables

if TYPE_CHECKING:
    from crystaltool.models.symmcd.stability import Guide


@dataclass(frozen=True)
class Choice:
    """What an item begins with.

    Args:
        group: space-group number minus one. n_orbits: M.
        positions: index of each orbit's Wyckoff position in its group, where a template gives them.
    """

    group: int
    n_orbits: int
    positions: Int[np.ndarray, " M"] | None = None


def orbit_distribution(counts: np.ndarray, group: int, possible: np.ndarray | bool = True) -> np.ndarray:
    """p(M | G): the group's own counts; for a group never seen, those of its crystal system; else of all the data.

    Args:
        counts: crystals with group g and M orbits; shape (230, n).
        group: space-group number minus one.
        possible: whether M orbits may be drawn; shape (n,). The first of the three that leaves anything is taken,
            then the smallest M; zeros if none is possible.
    """
    for row in _distributions(counts, group):
        kept = row * possible
        if kept.sum():
            return kept / kept.sum()
    smallest = np.zeros(counts.shape[1])
    if np.any(possible):
        smallest[np.argmax(possible)] = 1.0
    return smallest


def _distributions(counts: np.ndarray, group: int) -> Iterator[np.ndarray]:
    yield counts[group]
    yield counts[crystal_system_index(np.arange(1, N_GROUPS + 1)) == crystal_system_index(group + 1)].sum(0)
    yield counts.sum(0)


class Plan:
    """A request against the statistics of a model's training data.

    Args:
        counts: training crystals with group g and M orbits; shape (230, n).
        request: the conditions.
        guide: weighs choices of sites, for which it is asked about several of an item; None takes the first.

    Raises:
        UsageError: what is asked for cannot be, in one of the groups asked for or in any.
    """

    def __init__(
        self, counts: Float[np.ndarray, "230 n"], request: Request | None = None, guide: Guide | None = None
    ) -> None:
        self.counts, self.guide = counts, guide
        self.request = request = request or Request()
        self.has_conditions = not request.is_free
        """Whether anything but groups is asked for."""
        given = Request(
            space_group=request.space_group,
            template=request.template,
            n_atoms=request.n_atoms,
            primitive=request.primitive,
        )
        settled = request == given and not (request.n_atoms and not request.template)
        self.weighs = guide is not None or not settled
        """Whether draws differ in weight: a template settles the number of atoms beforehand."""
        self._orbits: dict[int, np.ndarray] = {}
        self._completions: dict[tuple[int, int], Completions] = {}
        self._templates: dict[int | None, list[tuple[int, tuple[int, ...], int]]] = {}
        if request.template:
            self._check_templates()
            return
        for group in request.space_group:
            if not self._orbit_row(group - 1).any():
                raise UsageError(
                    f"space group {group} cannot hold {request.describe()}: no choice of at most {counts.shape[1] - 1}"
                    " orbits on its Wyckoff positions does"
                )
        self._share = counts.sum(1) if request.space_group else self._group_share()
        if not request.space_group and not self._share.any():
            raise UsageError(f"no space group can hold {request.describe()}")

    # ---- groups and numbers of orbits

    def choose(self, index: int, choice: float, size: float) -> Choice:
        """Group and number of orbits of item `index`, from two uniform numbers."""
        asked = self.request.space_group
        group = asked[index % len(asked)] - 1 if asked else None
        if self._templates:
            own = self._templates[None if group is None else group + 1]
            share = np.cumsum([count for _, _, count in own])
            number, positions, _ = own[int(np.searchsorted(share, choice * share[-1], side="right"))]
            return Choice(number - 1, len(positions), np.array(positions))
        if group is None:
            share = self._share.cumsum()
            group = int(np.searchsorted(share, choice * share[-1], side="right"))
        share = self._orbit_row(group).cumsum()
        return Choice(group, int(np.searchsorted(share, size * share[-1], side="right")))

    def _group_share(self) -> np.ndarray:
        """Weight of each group: crystals that could be; without any, all its crystals if something can be."""
        if not self.has_conditions:
            return self.counts.sum(1)
        seen = np.flatnonzero(self.counts.any(1)).tolist()
        share = np.zeros(N_GROUPS)
        for group in seen:
            share[group] = (self.counts[group] * self._possible(group, self._largest)).sum()
        if not share.any():
            total = self.counts.sum(1) if self.counts.any() else np.ones(N_GROUPS)
            share = np.array([total[group] * self._orbit_row(group).any() for group in range(N_GROUPS)])
        if not share.any():
            share = np.array([float(self._orbit_row(group).any()) for group in range(N_GROUPS)])
        return share

    @property
    def _largest(self) -> int:
        """The largest number of orbits in the data."""
        return int(np.flatnonzero(self.counts.any(0)).max(initial=0))

    def _orbit_row(self, group: int) -> np.ndarray:
        """p(M | G) of what can meet the request; zeros if nothing can."""
        if group not in self._orbits:
            row = orbit_distribution(self.counts, group, self._possible(group, self._largest))
            if not row.any():
                row = orbit_distribution(self.counts, group, self._possible(group, self.counts.shape[1] - 1))
            self._orbits[group] = row
        return self._orbits[group]

    def _possible(self, group: int, most: int) -> Bool[np.ndarray, " n"]:
        """For each M whether `most` orbits or fewer can meet the request."""
        possible = np.ones(self.counts.shape[1], dtype=bool)
        if not self.has_conditions:
            return possible
        classes = site_classes(group + 1)
        content = self.request.content(classes.centring)
        if not content.is_open:
            possible[: most + 1] = orbit_numbers(classes, content, most)
        possible[most + 1 :] = False
        possible[: max(self.request.kinds[0], 1)] = False
        return possible

    # ---- templates

    def _fits(self, group: int, positions: tuple[int, ...]) -> bool:
        """Whether a template can meet the request."""
        if self.request.space_group and group not in self.request.space_group:
            return False
        if not self.request.kinds[0] <= len(positions) < self.counts.shape[1]:
            return False
        classes = site_classes(group)
        content = self.request.content(classes.centring)
        counts = classes.count(np.array(positions))
        atoms = sum(map(int.__mul__, counts, classes.multiplicity))
        if not content.fewest <= atoms <= content.most:
            return False
        units, rest = divmod(atoms, sum(content.formula) or 1)
        demands = tuple(sorted((units * n for n in content.formula), reverse=True))
        return not content.formula or (rest == 0 and can_fill(classes.multiplicity, counts, demands))

    def _check_templates(self) -> None:
        """Keep those that fit, by group; all of them under None."""
        fitting = [entry for entry in self.request.template if self._fits(entry[0], entry[1])]
        for group in self.request.space_group or (None,):
            own = [entry for entry in fitting if group in (None, entry[0])]
            if not own:
                where = "" if group is None else f" of space group {group}"
                raise UsageError(f"no template{where} can hold {self.request.describe()}")
            self._templates[group] = own

    # ---- positions and elements

    def open_positions(
        self, group: int, n_orbits: int, chosen: Int[np.ndarray, " n"]
    ) -> Bool[np.ndarray, " positions"] | None:
        """Which positions of a group can be drawn next; None for all.

        Args:
            group: space-group number minus one.
            n_orbits: M.
            chosen: position of each orbit so far, counted from the group's first.
        """
        classes = site_classes(group + 1)
        content = self.request.content(classes.centring)
        if content.is_open:
            return None
        key = group, n_orbits
        if key not in self._completions:
            try:
                self._completions[key] = Completions(classes, content, n_orbits)
            except OverflowError:
                raise UsageError(
                    f"space group {group + 1} can hold {self.request.describe()} on {n_orbits} orbits in millions of"
                    " ways, too many to choose from; narrow --n-atoms"
                ) from None
        return self._completions[key].open_classes(classes.count(chosen))[classes.of_position]

    def open_elements(
        self, group: int, positions: Int[np.ndarray, " M"], numbers: Int[np.ndarray, " M"], slot: int
    ) -> Bool[np.ndarray, "94"]:
        """Which elements an orbit can have, of Z = 1 ... 94.

        Args:
            group: space-group number minus one.
            positions: of each orbit, counted from the group's first.
            numbers: atomic numbers so far, 0 where open.
            slot: the orbit in question, open.
        """
        if self.request.formula:
            return self._open_in_formula(site_classes(group + 1), positions, numbers, slot)
        return self._open_by_kinds(frozenset(numbers[numbers > 0].tolist()), int((numbers == 0).sum()))

    def _open_in_formula(
        self, classes: SiteClasses, positions: np.ndarray, numbers: np.ndarray, slot: int
    ) -> Bool[np.ndarray, "94"]:
        size = np.array(classes.multiplicity)[classes.of_position[positions]]
        units = int(size.sum()) // sum(count for _, count in self.request.formula)
        demands = tuple(units * count - int(size[numbers == number].sum()) for number, count in self.request.formula)
        hidden = classes.count(positions[numbers == 0])
        of_class = int(classes.of_position[positions[slot]])
        found = np.zeros(N_ELEMENTS, dtype=bool)
        own = np.array([number for number, _ in self.request.formula])
        found[own - 1] = open_elements(classes.multiplicity, hidden, demands, of_class)
        return found

    def _open_by_kinds(self, used: frozenset[int], n_open: int) -> Bool[np.ndarray, "94"]:
        """After the draw, elements still required and kinds still wanted must fit into the orbits left."""
        fewest, most = self.request.kinds
        found = np.zeros(N_ELEMENTS, dtype=bool)
        for number in self.request.allowed:
            kinds = used | {number}
            missing = len(set(self.request.require) - kinds)
            wanted = max(missing, fewest - len(kinds))
            found[number - 1] = wanted <= n_open - 1 and len(kinds) + missing <= most
        return found


@cache
def first_position(group: int) -> int:
    """Where the positions of a group begin in the list of all; `group` is the space-group number minus one."""
    return int(tables()["first_position"][group])
