"""The convex hull of energies: how far a composition lies above the phases that would form in its place.

Energies are in eV per atom, those of one potential throughout. The hull energy of a composition is the least energy of
any mixture of known phases that has it, a small linear program over the phases made of its elements (Ong et al., Chem.
Mater. 20, 1798 (2008), doi 10.1021/cm702327g). A structure lower than every known phase has a negative distance.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np

from crystaltool.arrays import Int
from crystaltool.errors import InputError
from crystaltool.numerals import finite_number
from crystaltool.units import SYMBOLS, atomic_number

SHIPPED_HULL = Path(__file__).with_name("mp2020_hull.csv.gz")
COMPUTED_PHASES = Path(__file__).with_name("chgnet_hull.csv.gz")
SHIPPED_NAME = "mp2020"
"""Hull that comes with the package: Materials Project PBE and PBE+U energies with the corrections of 2020."""
FILLED_NAME = "mp2020-chgnet"
"""The same with phases whose structures alone are published, by CHGNet."""
SHIPPED_HULLS = (SHIPPED_NAME, FILLED_NAME)

FORMULA_COLUMN, ENERGY_COLUMN, NAME_COLUMN = "formula", "energy_per_atom", "id"

LEAST_SHARE = 1e-6
"""Phases with less than this share of the atoms are rounding of the linear program."""

MOST_ELEMENTS = 12
"""A composition of more elements is refused: the number of its subsystems doubles with each."""

MOST_PIVOTS, PIVOT_TOLERANCE = 200, 1e-9
"""Of `Hull.energy`: steps before another solver is asked, and what counts as zero, in eV/atom and shares."""

_AMOUNT = r"(?:[1-9][0-9]*(?:\.[0-9]*)?|0?\.[0-9]+)?"
_FLAT_FORMULA = re.compile(rf"(?:[A-Z][a-z]?{_AMOUNT}\s*)+$")  # no amount begins with 0: P04 is a slip for PO4
_PART = re.compile(rf"([A-Z][a-z]?)({_AMOUNT})")

Shares = tuple[tuple[int, float], ...]
"""(atomic number, share of the atoms), in order of atomic number."""


@dataclass(frozen=True)
class Phase:
    """A known phase: formula and identifier as its file has them, shares of its elements, energy in eV/atom."""

    formula: str
    identifier: str
    shares: Shares
    energy: float


@dataclass(frozen=True)
class Stability:
    """Where a structure lies.

    Args:
        above_hull: eV/atom, negative below the hull.
        formation: energy of formation from the elements, eV/atom.
        decomposition: the phases that the composition decomposes into, with their shares of the atoms, most first.
    """

    above_hull: float
    formation: float
    decomposition: tuple[tuple[float, Phase], ...]

    @property
    def decomposition_text(self) -> str:
        """`0.6000 Fe2O3 (mp-19770) + 0.4000 Li2O (mp-1960)`: shares of the atoms, formulas, identifiers."""
        parts = [
            f"{share:.4f} {phase.formula}" + (f" ({phase.identifier})" if phase.identifier else "")
            for share, phase in self.decomposition
        ]
        return " + ".join(parts)


class Hull:
    """The known phases of one potential.

    Args:
        phases: all of them; several of one composition are allowed.
        name: for messages and blocks.

    Raises:
        InputError: if there are none.
    """

    def __init__(self, phases: Iterable[Phase], name: str) -> None:
        self.name = name
        self._systems: dict[tuple[int, ...], list[Phase]] = {}
        for phase in phases:
            self._systems.setdefault(tuple(number for number, _ in phase.shares), []).append(phase)
        if not self._systems:
            raise InputError(f"{name}: no phases")
        self._elements = {
            system[0]: min(phase.energy for phase in found)
            for system, found in self._systems.items()
            if len(system) == 1
        }
        self._found: dict[Shares, tuple[float, tuple[tuple[float, Phase], ...]]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._systems.values()))

    def require(self, numbers: Int[np.ndarray, " n_atoms"]) -> None:
        """Check that every element has a reference energy.

        Raises:
            InputError: if one has none.
        """
        unknown = sorted(set(numbers.tolist()) - set(self._elements))
        if unknown:
            symbols = ", ".join(SYMBOLS[number] for number in unknown)
            raise InputError(f"the hull {self.name} has no reference energy of {symbols}")

    def stability(self, numbers: Int[np.ndarray, " n_atoms"], energy_per_atom: float) -> Stability:
        """Distance to the hull, energy of formation and decomposition.

        Args:
            numbers: atomic number of every atom.
            energy_per_atom: eV/atom, of the hull's potential.

        Raises:
            InputError: an element without reference energy, too many elements, or an energy that is not finite.
        """
        if not math.isfinite(energy_per_atom):
            raise InputError(f"energy is {energy_per_atom} eV/atom, expected a finite number")
        self.require(numbers)
        present, counts = np.unique(numbers, return_counts=True)
        shares = shares_of(dict(zip(present.tolist(), counts.tolist(), strict=True)))
        hull_energy, decomposition = self.decompose(shares)
        return Stability(energy_per_atom - hull_energy, energy_per_atom - self.reference(shares), decomposition)

    def reference(self, shares: Shares) -> float:
        """Energy of the elements of a composition, each in its most stable form, eV/atom."""
        return sum(share * self._elements[number] for number, share in shares)

    def decompose(self, shares: Shares) -> tuple[float, tuple[tuple[float, Phase], ...]]:
        """Hull energy in eV/atom of a composition whose elements have references, and the mixture that gives it."""
        if shares not in self._found:
            self._found[shares] = self._solve(shares)
        return self._found[shares]

    def energy(self, shares: Shares) -> float:
        """The energy of `decompose` alone, some ten times as fast: a simplex of so few rows needs no library's checks.

        Primal simplex from the elements with Dantzig's rule (Nocedal and Wright, Numerical Optimization (2006),
        procedure 13.1); where that goes round in circles, HiGHS decides.
        """
        _, content, energies = self._of_system(tuple(number for number, _ in shares))
        wanted = np.array([share for _, share in shares])
        pure = content == 1.0
        basis = np.where(pure, energies, np.inf).argmin(1)
        for _ in range(MOST_PIVOTS):
            inverse = np.linalg.inv(content[:, basis])
            reduced = energies - energies[basis] @ inverse @ content
            enters = int(reduced.argmin())
            amounts = inverse @ wanted
            if reduced[enters] > -PIVOT_TOLERANCE:
                return float(energies[basis] @ amounts)
            change = inverse @ content[:, enters]
            ratios = np.where(change > PIVOT_TOLERANCE, amounts / np.where(change > 0, change, 1.0), np.inf)
            basis[ratios.argmin()] = enters
        return self.decompose(shares)[0]

    def _of_system(self, system: tuple[int, ...]) -> tuple[list[Phase], np.ndarray, np.ndarray]:
        """Phases of some elements alone, the share of each element in each, and their energies; (n,), (k, n), (n,).

        Raises:
            InputError: too many elements.
        """
        if len(system) > MOST_ELEMENTS:
            raise InputError(f"{len(system)} elements, the hull is worked out for at most {MOST_ELEMENTS}")
        phases = [
            phase
            for size in range(1, len(system) + 1)
            for subset in combinations(system, size)
            for phase in self._systems.get(subset, ())
        ]
        row = {number: i for i, number in enumerate(system)}
        content = np.zeros((len(system), len(phases)))
        for column, phase in enumerate(phases):
            for number, share in phase.shares:
                content[row[number], column] = share
        return phases, content, np.array([phase.energy for phase in phases])

    def _solve(self, shares: Shares) -> tuple[float, tuple[tuple[float, Phase], ...]]:
        from scipy.optimize import linprog

        phases, content, energies = self._of_system(tuple(number for number, _ in shares))
        done = linprog(energies, A_eq=content, b_eq=[share for _, share in shares], method="highs")
        if done.status != 0:
            raise InputError(f"the hull cannot be worked out: {' '.join(str(done.message).split())}")
        order = np.argsort(-done.x, kind="stable")
        return float(done.fun), tuple((float(done.x[i]), phases[i]) for i in order if done.x[i] > LEAST_SHARE)


def shares_of(amounts: Mapping[int, int | float]) -> Shares:
    """Shares of the atoms from amounts by atomic number."""
    total = sum(amounts.values())
    return tuple((number, amounts[number] / total) for number in sorted(amounts))


def formula_amounts(text: str) -> dict[int, float]:
    """Amounts of the elements in a chemical formula, by atomic number: `LiFePO4`, `Fe2(SO4)3`, `Li0.5 Co O2`.

    Raises:
        InputError: if it is none.
    """
    text = text.strip()
    if "(" in text or "[" in text:
        from pymatgen.core import Composition

        with contextlib.suppress(ValueError):
            text = Composition(text).formula  # multiplied out
    if not _FLAT_FORMULA.match(text):
        raise InputError("not a chemical formula")
    amounts: dict[int, float] = {}
    for symbol, amount in _PART.findall(text):
        number = atomic_number(symbol)
        amounts[number] = amounts.get(number, 0.0) + (float(amount) if amount else 1.0)
    return amounts


def read_phases(path: Path) -> list[Phase]:
    """Phases from a CSV file, also gzipped, with the columns `formula`, `energy_per_atom` (eV) and perhaps `id`.

    Raises:
        InputError: no such file or columns, or a row without formula and energy; the message names file and line.
    """
    try:
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8-sig", newline="") as handle:
            rows = list(csv.reader(line for line in handle if not line.startswith("#")))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    except (UnicodeDecodeError, csv.Error, EOFError) as error:
        raise InputError(f"{path}: no CSV text ({' '.join(str(error).split())})") from None
    header = [name.strip() for name in rows[0]] if rows else []
    if FORMULA_COLUMN not in header or ENERGY_COLUMN not in header:
        wanted = f"{FORMULA_COLUMN},{ENERGY_COLUMN}"
        raise InputError(f"{path}: the first line names the columns {','.join(header) or 'none'}, expected {wanted}")
    return [_phase(path, number, dict(zip(header, row, strict=False))) for number, row in enumerate(rows[1:], 2) if row]


def _phase(path: Path, number: int, row: dict[str, str]) -> Phase:
    formula, energy = row.get(FORMULA_COLUMN, "").strip(), row.get(ENERGY_COLUMN, "")
    value = finite_number(energy)
    if value is None:
        raise InputError(f"{path}: row {number}: energy {energy!r} is not a finite number of eV/atom")
    try:
        shares = shares_of(formula_amounts(formula))
    except InputError as error:
        raise InputError(f"{path}: row {number}: {formula!r}: {error}") from None
    return Phase(formula, row.get(NAME_COLUMN, "").strip(), shares, value)


@cache
def load_hull(path: str = FILLED_NAME) -> Hull:
    """The hull of a file, or the shipped one of a name, read once a process.

    Raises:
        InputError: as `read_phases`.
    """
    if path == SHIPPED_NAME:
        return Hull(read_phases(SHIPPED_HULL), path)
    if path == FILLED_NAME:
        return Hull([*read_phases(SHIPPED_HULL), *read_phases(COMPUTED_PHASES)], path)
    return Hull(read_phases(Path(path)), Path(path).name)
