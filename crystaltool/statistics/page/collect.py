"""The structures that a page names: rows of its table, and the best, which get pictures."""

from __future__ import annotations

from typing import Generic, TypeVar

from crystaltool.io.records import RawBlock
from crystaltool.measure.stability import DOUBTFUL
from crystaltool.statistics.facts import FAIL, Facts
from crystaltool.view.order import Ordered
from crystaltool.view.values import Value

MOST_ROWS = 2_000
"""Structures in the table of a page."""

DEFAULT_SORT = "e_above_hull"

Item = TypeVar("Item")


class Best(Generic[Item]):
    """The first of many by a value, those that failed a check or are doubtful behind the others; flat memory."""

    def __init__(self, reverse: bool, head: int) -> None:
        self._head = head
        self._good: Ordered[Item] = Ordered(reverse, head)
        self._failed: Ordered[Item] = Ordered(reverse, head)

    def add(self, value: Value | None, item: Item, failed: bool) -> None:
        """One more."""
        (self._failed if failed else self._good).add(value, item)

    def result(self) -> list[Item]:
        """The first `head`, in order."""
        return [*self._good.result(), *self._failed.result()][: self._head]


class Gallery:
    """Collects what a page shows of single structures.

    Args:
        sort: field by which they stand, None for the distance from the hull and then as they came.
        reverse: the largest first.
        n_pictures: structures that get a picture.
    """

    def __init__(self, sort: str | None = None, reverse: bool = False, n_pictures: int = 12) -> None:
        self.sort = sort or DEFAULT_SORT
        self.reverse = reverse
        self.n = self.n_with_value = self.n_doubtful = 0
        self._rows: Best[Facts] = Best(reverse, MOST_ROWS)
        self._pictures: Best[tuple[Facts, RawBlock]] = Best(reverse, n_pictures)

    def add(self, facts: Facts, raw: RawBlock) -> None:
        """One more structure."""
        value = value_of(facts, self.sort)
        doubtful = facts.numbers.get("e_above_hull", 0.0) < DOUBTFUL
        failed = facts.verdicts.get("all") == FAIL or facts.valid is False or doubtful
        self.n += 1
        self.n_doubtful += doubtful
        self.n_with_value += value is not None
        self._rows.add(value, facts, failed)
        self._pictures.add(value, (facts, raw), failed)

    @property
    def rows(self) -> list[Facts]:
        """The first 2,000."""
        return self._rows.result()

    @property
    def pictures(self) -> list[tuple[Facts, RawBlock]]:
        """The first few, with the text of their blocks."""
        return self._pictures.result()


def value_of(facts: Facts, name: str) -> Value | None:
    """A field of a structure: a number, a text, or what every one has."""
    own: dict[str, Value | None] = {"name": facts.name, "formula": facts.formula, "reduced_formula": facts.formula}
    own |= {"space_group": facts.group, "template": facts.template or None, "kind": facts.kind}
    return own[name] if name in own else facts.numbers.get(name, facts.texts.get(name))
