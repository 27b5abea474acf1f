"""`--shard I/N`: one of N parts of a run, so that an array job needs no arithmetic.

Parts are contiguous, and their sizes differ by one at most: of n items part I has those from floor((I-1) n / N) to
before floor(I n / N). So outputs, one after the other, are the output of one run. To know n a stream is read twice, the
first time without a word; standard input is kept for that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from crystaltool.errors import UsageError

Item = TypeVar("Item")


@dataclass(frozen=True)
class Shard:
    """Part `index` (from 1) of `count`."""

    index: int = 1
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether nothing comes before it: it writes the heading of a table."""
        return self.index == 1

    def share(self, n: int) -> range:
        """Its items of n, counted from 0."""
        return range((self.index - 1) * n // self.count, self.index * n // self.count)

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


WHOLE = Shard()


def parse_shard(text: str | None) -> Shard:
    """What `--shard` says; None is the whole run.

    Raises:
        UsageError: not two numbers I/N with I from 1 to N.
    """
    if text is None:
        return WHOLE
    found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text.strip())
    index, count = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= index <= count:
        raise UsageError(f"--shard is {text!r}, expected I/N with I from 1 to N, such as 2/8")
    return Shard(index, count)


def part_of(
    shard: Shard, read: Callable[[], Iterable[Item]], silent: Callable[[], AbstractContextManager]
) -> Iterator[tuple[Item, bool]]:
    """The items up to the end of a shard, each with whether it is the shard's own.

    Args:
        shard: which part.
        read: gives all items from the beginning, each time it is called.
        silent: a context in which nothing is said of what is read.
    """
    if shard.count == 1:
        yield from ((item, True) for item in read())
        return
    with silent():
        n = sum(1 for _ in read())
    share = shard.share(n)
    items = iter(read())
    for _ in range(share.start):
        with silent():
            item = next(items)
        yield item, False
    last = shard.index == shard.count
    yield from ((item, True) for item in (items if last else islice(items, len(share))))


def own_items(
    shard: Shard, read: Callable[[], Iterable[Item]], silent: Callable[[], AbstractContextManager]
) -> Iterator[Item]:
    """The shard's own items of `part_of`."""
    return (item for item, own in part_of(shard, read, silent) if own)
