"""`Request`: what every sample must be, in the words of the command line. Contradictions are found when it is made."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from math import gcd
from typing import Any, TypedDict, Unpack

from crystaltool.errors import InputError, UsageError
from crystaltool.models.symmcd.feasibility import UNLIMITED, Content
from crystaltool.models.symmcd.templates import Templates
from crystaltool.nn.layers import N_ELEMENTS
from crystaltool.symmetry import parse_space_group
from crystaltool.units import SYMBOLS, atomic_number

Bounds = tuple[int, int]
"""Smallest and largest number, both included."""


class Texts(TypedDict, total=False):
    """The conditions as the command line has them; None is none."""

    space_group: Sequence[str]
    elements: str | None
    require: str | None
    exclude: str | None
    formula: str | None
    n_atoms: str | None
    primitive: bool
    n_elements: str | None
    template: Templates


class Wishes(TypedDict, total=False):
    """The conditions as a call from Python has them.

    Args:
        space_group: number or Hermann-Mauguin symbol, or several that items take in turn.
        elements: no other elements than these, symbols or a text such as `Li,Fe,O`.
        require, exclude: all of these, none of these.
        formula: exactly this composition, such as `LiFePO4`.
        n_atoms: atoms in the conventional cell (with `primitive` in that one), a number or (smallest, largest).
        primitive: which cell `n_atoms` counts.
        n_elements: different elements, likewise.
        template: known groups with their occupied Wyckoff positions.
    """

    space_group: int | str | Sequence[int | str] | None
    elements: str | Sequence[str] | None
    require: str | Sequence[str] | None
    exclude: str | Sequence[str] | None
    formula: str | None
    n_atoms: int | Bounds | str | None
    primitive: bool
    n_elements: int | Bounds | str | None
    template: Templates


@dataclass(frozen=True)
class Request:
    """Conditions that hold in every sample. The default asks for nothing.

    Args:
        space_group: numbers of space groups that items take in turn; empty draws them from the data.
        elements: atomic numbers that alone may occur; empty allows all.
        require: atomic numbers that all occur.
        exclude: atomic numbers that do not occur.
        formula: (atomic number, count) of the reduced formula unit; the cell holds whole units, however many.
        n_atoms: bounds on the atoms of the conventional cell, of the primitive one with `primitive`.
        primitive: which cell `n_atoms` counts.
        n_elements: bounds on the number of different elements.
        template: known groups with their occupied Wyckoff positions, one of which each item takes.

    Raises:
        UsageError: numbers out of range, or conditions that contradict each other whatever the group.
    """

    space_group: tuple[int, ...] = ()
    elements: tuple[int, ...] = ()
    require: tuple[int, ...] = ()
    exclude: tuple[int, ...] = ()
    formula: tuple[tuple[int, int], ...] = ()
    n_atoms: Bounds | None = None
    primitive: bool = False
    n_elements: Bounds | None = None
    template: Templates = ()

    def __post_init__(self) -> None:
        for option, bounds in (("--n-atoms", self.n_atoms), ("--n-elements", self.n_elements)):
            if bounds is not None and not 1 <= bounds[0] <= bounds[1]:
                raise UsageError(f"{option} is {_range(bounds)}, expected 1 or more, the smaller number first")
        if self.primitive and self.n_atoms is None:
            raise UsageError("--primitive says which cell --n-atoms counts, and there is no --n-atoms")
        if both := set(self.require) & set(self.exclude):
            raise UsageError(f"--require and --exclude both name {_names(both)}")
        if self.elements and (others := set(self.require) - set(self.elements)):
            raise UsageError(f"--require names {_names(others)}, --elements does not")
        if not self.allowed:
            raise UsageError("--exclude leaves none of --elements")
        if self.formula:
            self._check_formula()
        fewest, most = self.kinds
        if len(self.allowed) < fewest:
            raise UsageError(f"--n-elements asks for {fewest} elements, {len(self.allowed)} are allowed")
        if most < len(self.require):
            raise UsageError(f"--n-elements allows {most} elements, --require names {len(self.require)}")

    def _check_formula(self) -> None:
        own = {number for number, _ in self.formula}
        if others := own - self.allowed:
            raise UsageError(f"--formula holds {_names(others)}, --elements or --exclude forbids that")
        if others := set(self.require) - own:
            raise UsageError(f"--require names {_names(others)}, --formula does not hold it")
        if self.n_elements is not None and not self.n_elements[0] <= len(own) <= self.n_elements[1]:
            raise UsageError(f"--formula holds {len(own)} elements, --n-elements is {_range(self.n_elements)}")

    @classmethod
    def parse(cls, **texts: Unpack[Texts]) -> Request:
        """The request that texts such as `Li,Fe,O`, `LiFePO4`, `10:40` and `Fm-3m` make.

        Raises:
            TypeError: a condition that is none.
            SymmetryError: an unknown space group.
            UsageError: as the class, and texts that are none of these.
        """
        _refuse_unknown(texts, Texts)
        formula, n_atoms, n_elements = (texts.get(key) for key in ("formula", "n_atoms", "n_elements"))
        return cls(
            space_group=tuple(parse_space_group(text) for text in texts.get("space_group", ())),
            elements=_elements("--elements", texts.get("elements")),
            require=_elements("--require", texts.get("require")),
            exclude=_elements("--exclude", texts.get("exclude")),
            formula=() if formula is None else _formula(formula),
            n_atoms=None if n_atoms is None else _bounds("--n-atoms", n_atoms),
            primitive=texts.get("primitive", False),
            n_elements=None if n_elements is None else _bounds("--n-elements", n_elements),
            template=texts.get("template", ()),
        )

    @classmethod
    def make(cls, **wishes: Unpack[Wishes]) -> Request:
        """The request of a call from Python.

        Raises:
            TypeError, SymmetryError, UsageError: as `parse`.
        """
        _refuse_unknown(wishes, Wishes)
        space_group = wishes.get("space_group")
        groups = [space_group] if isinstance(space_group, (int, str)) else list(space_group or ())
        return cls.parse(
            space_group=[str(group) for group in groups],
            elements=_joined(wishes.get("elements")),
            require=_joined(wishes.get("require")),
            exclude=_joined(wishes.get("exclude")),
            formula=wishes.get("formula"),
            n_atoms=_bounds_text(wishes.get("n_atoms")),
            primitive=wishes.get("primitive", False),
            n_elements=_bounds_text(wishes.get("n_elements")),
            template=wishes.get("template", ()),
        )

    @property
    def allowed(self) -> frozenset[int]:
        """Atomic numbers that may occur."""
        own = {number for number, _ in self.formula}
        named = set(self.elements) or own or set(range(1, N_ELEMENTS + 1))
        return frozenset(named - set(self.exclude))

    @property
    def kinds(self) -> Bounds:
        """Bounds on the number of different elements, those of the formula and of `require` counted."""
        if self.formula:
            return len(self.formula), len(self.formula)
        fewest, most = self.n_elements or (1, N_ELEMENTS)
        return max(fewest, len(self.require), 1), most

    @property
    def is_free(self) -> bool:
        """Whether it asks for nothing but space groups."""
        return self == Request(space_group=self.space_group)

    def content(self, centring: int) -> Content:
        """What the conventional cell of a group must hold, given its lattice points."""
        fewest, most = self.n_atoms or (1, UNLIMITED)
        times = centring if self.primitive else 1
        return Content(fewest * times, min(most * times, UNLIMITED), tuple(count for _, count in self.formula))

    def describe(self) -> str:
        """What a cell must hold, for messages: `LiFePO4 with 10:40 atoms in the conventional cell`."""
        parts = []
        if self.formula:
            parts.append("".join(SYMBOLS[z] + (str(n) if n > 1 else "") for z, n in self.formula))
        elif self.kinds[0] > 1:
            parts.append(f"{self.kinds[0]} or more elements")
        if self.n_atoms is not None:
            parts.append(
                f"{_range(self.n_atoms)} atoms in the {'primitive' if self.primitive else 'conventional'} cell"
            )
        return " with ".join(parts) or "what is asked for"


def _joined(symbols: str | Sequence[str] | None) -> str | None:
    return symbols if symbols is None or isinstance(symbols, str) else ",".join(symbols)


def _bounds_text(bounds: int | Bounds | str | None) -> str | None:
    return f"{bounds[0]}:{bounds[1]}" if isinstance(bounds, tuple) else None if bounds is None else str(bounds)


def _names(numbers: set[int]) -> str:
    return ", ".join(SYMBOLS[number] for number in sorted(numbers))


def _range(bounds: Bounds) -> str:
    fewest, most = bounds
    return f"{fewest}" if fewest == most else f"{fewest}:{most if most < UNLIMITED else ''}"


def _element(option: str, symbol: str) -> int:
    try:
        number = 0 if symbol in ("D", "T") else atomic_number(symbol)
    except InputError:
        number = 0
    if not number:
        raise UsageError(f"{option}: {symbol!r} is no element")
    if number > N_ELEMENTS:
        raise UsageError(f"{option}: the model knows the elements up to {SYMBOLS[N_ELEMENTS]}, not {symbol}")
    return number


def _elements(option: str, text: str | None) -> tuple[int, ...]:
    """Atomic numbers of `Li,Fe,O`, each once, ascending."""
    if text is None:
        return ()
    symbols = text.replace(",", " ").split()
    if not symbols:
        raise UsageError(f"{option} is {text!r}, expected elements such as Li,Fe,O")
    return tuple(sorted({_element(option, symbol) for symbol in symbols}))


def _formula(text: str) -> tuple[tuple[int, int], ...]:
    """The reduced formula unit of `LiFePO4` or `Ca(OH)2`, elements in the order of the text."""
    from pymatgen.core import Composition

    expected = f"--formula is {text!r}, expected whole numbers of elements such as LiFePO4 or Ca(OH)2"
    try:
        amounts = Composition(text, strict=True).get_el_amt_dict()
    except Exception as error:  # pymatgen raises ValueError, KeyError or TypeError, as its parser happens to fail
        raise UsageError(expected) from error
    written = set(re.findall("[A-Z][a-z]?", text))  # pymatgen reads D as H and leaves out elements without atoms
    if written != set(amounts) or any(amount < 1 or amount != round(amount) for amount in amounts.values()):
        raise UsageError(expected)
    counts = {_element("--formula", symbol): round(amount) for symbol, amount in amounts.items()}
    divisor = reduce(gcd, counts.values())
    return tuple((number, count // divisor) for number, count in counts.items())


def _bounds(option: str, text: str) -> Bounds:
    """`24`, `10:40`, `10:` or `:40`."""
    first, colon, last = text.partition(":")
    try:
        fewest = int(first) if first.strip() or not colon else 1
        most = fewest if not colon else int(last) if last.strip() else UNLIMITED
    except ValueError:
        fewest = most = 0
    if not 1 <= fewest <= most or text.strip() == ":":
        raise UsageError(f"{option} is {text!r}, expected a number or a range such as 10:40, 10: or :40")
    return fewest, most


def _refuse_unknown(given: Mapping[str, Any], known: type) -> None:
    """Raise TypeError for a name that is no condition."""
    if others := sorted(set(given) - set(known.__annotations__)):
        raise TypeError(f"no condition {', '.join(others)}, expected {', '.join(known.__annotations__)}")
