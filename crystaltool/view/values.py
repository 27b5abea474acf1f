"""The values of fields: numbers, texts, formulas, sets of texts; None where one is not known."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from functools import cached_property, lru_cache, reduce
from typing import TypeAlias

from crystaltool.errors import InputError
from crystaltool.units import SYMBOLS, atomic_number

_PART = re.compile(r"([A-Z][a-z]?)|([()\[\]])|([0-9]+)|(\s+)")


class Formula:
    """A chemical formula, equal to every other with the same ratio of elements.

    Args:
        counts: atoms by atomic number.
        reduce_text: whether its text is that of the reduced formula.
    """

    def __init__(self, counts: Mapping[int, int], reduce_text: bool = False) -> None:
        divisor = reduce(math.gcd, counts.values())
        self.key: frozenset[tuple[int, int]] = frozenset((z, n // divisor) for z, n in counts.items())
        self._counts = {z: n // divisor if reduce_text else n for z, n in counts.items()}

    @cached_property
    def text(self) -> str:
        """In Hill's order without blanks: carbon, hydrogen, then by symbol."""
        counts = {SYMBOLS[number]: count for number, count in self._counts.items()}
        first = [symbol for symbol in ("C", "H") if "C" in counts and symbol in counts]
        order = first + sorted(symbol for symbol in counts if symbol not in first)
        return "".join(symbol + (str(counts[symbol]) if counts[symbol] > 1 else "") for symbol in order)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Formula) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return f"Formula({self.text})"


Value: TypeAlias = float | int | str | Formula | frozenset
"""A known value."""


@lru_cache(maxsize=4096)
def parse_formula(text: str) -> Formula:
    """A formula as it is written, `LiFePO4`, `Ca(OH)2`, `Li Fe P O4`.

    Raises:
        InputError: an unknown element, brackets that do not match, or a count that is not whole.
    """
    stack: list[Counter[int]] = [Counter()]
    last: Counter[int] | None = None
    position = 0
    while position < len(text):
        match = _PART.match(text, position)
        if match is None:
            raise InputError(f"{text!r} is no formula, it cannot be read at {text[position:]!r}")
        position = match.end()
        symbol, bracket, count, _ = match.groups()
        if symbol:
            stack[-1].update(last or ())
            last = Counter({atomic_number(symbol): 1})
        elif bracket and bracket in "([":
            stack[-1].update(last or ())
            last = None
            stack.append(Counter())
        elif bracket:
            stack[-1].update(last or ())
            last = stack.pop()
            if not stack or not last:
                raise InputError(f"{text!r} is no formula, its brackets do not match")
        elif count:
            if last is None or int(count) == 0:
                raise InputError(f"{text!r} is no formula, {count} counts nothing")
            stack[-1].update({number: n * int(count) for number, n in last.items()})
            last = None
    stack[-1].update(last or ())
    if len(stack) != 1 or not stack[0]:
        raise InputError(f"{text!r} is no formula")
    return Formula(stack[0])


def text_of(value: Value | None) -> str:
    """A value in a table: empty where not known, sets joined by blanks, numbers with ten digits."""
    if value is None:
        return ""
    if isinstance(value, Formula):
        return value.text
    if isinstance(value, frozenset):
        return " ".join(sorted(map(text_of, value)))
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def plain(value: Value | None) -> float | int | str | list | None:
    """A value as JSON has it."""
    if isinstance(value, Formula):
        return value.text
    return sorted(value) if isinstance(value, frozenset) else value
