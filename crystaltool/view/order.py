"""Sorting by a field: missing values last in either direction, ties in the order of the input."""

from __future__ import annotations

from typing import Generic, TypeVar

from crystaltool.view.values import Formula, Value

SLACK = 256
"""Records kept beyond twice the wanted number before the worst are dropped."""

Key = tuple[int, float | str]

Item = TypeVar("Item")


def key_of(value: Value) -> Key:
    """Numbers before texts; sets and formulas by their text."""
    if isinstance(value, (int, float)):
        return 0, value
    if isinstance(value, frozenset):
        return 1, " ".join(sorted(value))
    return 1, value.text if isinstance(value, Formula) else value


class Ordered(Generic[Item]):
    """Records, or what stands for them, by a value: the first `head`, or all.

    Args:
        reverse: the largest first.
        head: how many are wanted; only about twice as many are kept. None keeps all.
    """

    def __init__(self, reverse: bool = False, head: int | None = None) -> None:
        self._reverse, self._head = reverse, head
        self._known: list[tuple[Key, Item]] = []
        self._missing: list[Item] = []

    def add(self, value: Value | None, record: Item) -> None:
        """One more record."""
        if value is None:
            if self._head is None or len(self._missing) < self._head:
                self._missing.append(record)
            return
        self._known.append((key_of(value), record))
        if self._head is not None and len(self._known) > 2 * self._head + SLACK:
            self._cut()

    def _cut(self) -> None:
        self._known.sort(key=lambda pair: pair[0], reverse=self._reverse)
        del self._known[self._head :]

    def result(self) -> list[Item]:
        """The records in order."""
        self._known.sort(key=lambda pair: pair[0], reverse=self._reverse)
        return ([record for _, record in self._known] + self._missing)[: self._head]
