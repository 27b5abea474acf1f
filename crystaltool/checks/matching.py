"""Novelty and uniqueness: pymatgen's `StructureMatcher` with its default settings, asked as seldom as can be.

What is skipped cannot match: structures of another reduced formula (the matcher compares it first), and structures
whose primitive cells hold another number of atoms (without `attempt_supercell` it maps cell on cell, atom on atom).
Each structure is reduced once, not once a comparison. Among duplicates the first is kept.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from crystaltool.asymunit import AsymUnitTable, expand
from crystaltool.checks.formula import composition, reduced
from crystaltool.checks.registry import NOVEL, UNIQUE
from crystaltool.checks.verdict import Verdict
from crystaltool.symmetry.space_group import tables

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from crystaltool.crystal import Crystal

MATCHER = "pymatgen StructureMatcher, ltol 0.2, stol 0.3, angle_tol 5"
"""The default settings, spelled out."""

MAX_MATCH_ATOMS = 2000
"""Larger cells are not handed to the matcher: its reduction to a primitive cell would take minutes."""

CACHED_STRUCTURES = 20_000
"""Reduced reference structures kept; a structure takes about 10 kB."""

UNIQUE_LIMIT = f"no match among earlier structures ({MATCHER})"

FormulaKey = tuple[tuple[int, int], ...]


def formula_key(crystal: Crystal) -> FormulaKey:
    """The reduced composition as a sorted tuple."""
    return tuple(sorted(reduced(composition(crystal.numbers)).items()))


def table_keys(table: AsymUnitTable) -> list[FormulaKey]:
    """The reduced composition of every entry, without expanding it."""
    symmetry = tables()
    first = symmetry["first_position"][np.repeat(table.group, table.n_orbits) - 1]
    multiplicities = symmetry["multiplicity"][first + table.positions].astype(np.int64)
    orbits = zip(table.numbers.tolist(), multiplicities.tolist(), strict=True)
    keys: list[FormulaKey] = []
    for n_orbits in table.n_orbits.tolist():
        counts: dict[int, int] = {}
        for number, count in islice(orbits, n_orbits):
            counts[number] = counts.get(number, 0) + count
        keys.append(tuple(sorted(reduced(counts).items())))
    return keys


class ReducedStructure:
    """A crystal in the form in which the matcher compares it: its primitive Niggli cell.

    Args:
        structure: the reduced structure, None if it could not be reduced.
        error: why not.
    """

    def __init__(self, crystal: Crystal) -> None:
        from pymatgen.core import Lattice, Structure

        self.structure: Structure | None = None
        self.error = ""
        if crystal.n_atoms > MAX_MATCH_ATOMS:
            self.error = f"{crystal.n_atoms} atoms, the matcher is given at most {MAX_MATCH_ATOMS}"
            return
        full = Structure(Lattice(crystal.lattice), crystal.numbers.tolist(), crystal.frac_coords)
        try:
            self.structure = _matcher()._get_reduced_structure(full)
        except Exception as error:  # overlapping atoms and flat cells fail in many ways inside the reduction
            self.error = f"cannot be reduced to a primitive cell: {' '.join(str(error).split())}"


def _matcher():
    from pymatgen.core.structure_matcher import StructureMatcher

    return StructureMatcher()


def same_structure(first: ReducedStructure, second: ReducedStructure) -> bool:
    """Whether the matcher calls two structures of one reduced formula equal."""
    a, b = first.structure, second.structure
    if a is None or b is None or len(a) != len(b):
        return False
    return bool(_matcher().fit(a, b, skip_structure_reduction=True))


class Reference:
    """The structures that a new one is compared with.

    Args:
        table: a data set, as `crystaltool asym-unit` writes it.
        crystals: further structures, by their atoms.
    """

    def __init__(self, table: AsymUnitTable, crystals: Sequence[Crystal] = ()) -> None:
        self._table, self._crystals = table, crystals
        self._starts = np.concatenate([[0], np.cumsum(table.n_orbits)])
        self._by_formula: dict[FormulaKey, list[int]] = {}
        for index, key in enumerate([*table_keys(table), *map(formula_key, crystals)]):
            self._by_formula.setdefault(key, []).append(index)
        self._cache: OrderedDict[int, ReducedStructure] = OrderedDict()

    def __len__(self) -> int:
        return len(self._table) + len(self._crystals)

    def check_novel(self, crystal: Crystal) -> Verdict:
        """Passes if no reference structure matches; the value is the number of references with the same formula."""
        candidates = self._by_formula.get(formula_key(crystal), [])
        limit = f"no match among {len(self)} references ({MATCHER})"
        n_candidates = float(len(candidates))
        if not candidates:
            return Verdict(NOVEL, True, n_candidates, limit, "no reference has this formula")
        mine = ReducedStructure(crystal)
        if mine.structure is None:
            return Verdict(NOVEL, False, n_candidates, limit, mine.error)
        for index in candidates:
            if same_structure(mine, self._reduced(index)):
                name = self._crystal(index).name or f"entry {index}"
                return Verdict(NOVEL, False, n_candidates, limit, f"matches {name}")
        return Verdict(NOVEL, True, n_candidates, limit, f"differs from {len(candidates)} of the same formula")

    def _reduced(self, index: int) -> ReducedStructure:
        if index in self._cache:
            self._cache.move_to_end(index)
            return self._cache[index]
        self._cache[index] = found = ReducedStructure(self._crystal(index))
        if len(self._cache) > CACHED_STRUCTURES:
            self._cache.popitem(last=False)
        return found

    def _crystal(self, index: int) -> Crystal:
        """All atoms of a structure; those of the table come first."""
        table = self._table
        if index >= len(table):
            return self._crystals[index - len(table)]
        orbits = slice(int(self._starts[index]), int(self._starts[index + 1]))
        unit = AsymUnitTable(
            group=table.group[index : index + 1],
            lattice=table.lattice[index : index + 1],
            n_orbits=table.n_orbits[index : index + 1],
            numbers=table.numbers[orbits],
            positions=table.positions[orbits],
            free_coords=table.free_coords[orbits],
            names=table.names[index : index + 1],
        )[0]
        return expand(unit)


class Seen:
    """The different structures of a stream so far. Memory grows with their number: each must be kept to be compared."""

    def __init__(self) -> None:
        self._by_formula: dict[FormulaKey, list[tuple[str, Crystal | ReducedStructure]]] = {}
        self._same: dict[bytes, str] = {}

    def check_unique(self, crystal: Crystal, name: str) -> Verdict:
        """Passes if no earlier structure that passed matches; then it is remembered.

        What is atom by atom an earlier structure matches what that matched, or that itself: the matcher is not asked.
        """
        key = _digest(crystal)
        if (first := self._same.get(key)) is not None:
            n_earlier = float(len(self._by_formula[formula_key(crystal)]))
            return Verdict(UNIQUE, False, n_earlier, UNIQUE_LIMIT, f"matches {first}")
        verdict, first = self._compared(crystal, name)
        if first:
            self._same[key] = first
        return verdict

    def _compared(self, crystal: Crystal, name: str) -> tuple[Verdict, str]:
        """The verdict, and the first structure that is the same, by name; none if that cannot be told."""
        earlier = self._by_formula.setdefault(formula_key(crystal), [])
        n_earlier = float(len(earlier))
        if not earlier:
            earlier.append((name, crystal))
            return Verdict(UNIQUE, True, n_earlier, UNIQUE_LIMIT, "first of its formula"), name
        mine = ReducedStructure(crystal)
        if mine.structure is None:
            return Verdict(UNIQUE, False, n_earlier, UNIQUE_LIMIT, mine.error), ""
        for i, (other_name, other) in enumerate(earlier):
            if not isinstance(other, ReducedStructure):
                other = ReducedStructure(other)
                earlier[i] = (other_name, other)
            if same_structure(other, mine):
                return Verdict(UNIQUE, False, n_earlier, UNIQUE_LIMIT, f"matches {other_name}"), other_name
        earlier.append((name, mine))
        message = f"differs from {len(earlier) - 1} of the same formula"
        return Verdict(UNIQUE, True, n_earlier, UNIQUE_LIMIT, message), name


def _digest(crystal: Crystal) -> bytes:
    """Cell and atoms to the last bit, in their order."""
    arrays = crystal.lattice, crystal.frac_coords, crystal.numbers
    return blake2b(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays), digest_size=16).digest()
