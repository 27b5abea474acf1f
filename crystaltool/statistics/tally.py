"""How often each of many texts occurs, in flat memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

MOST_DIFFERENT = 50_000
"""Different texts that are counted; later ones are counted together."""


class Tally:
    """Occurrences of texts.

    Args:
        most: different texts that are told apart.
    """

    def __init__(self, most: int = MOST_DIFFERENT) -> None:
        self._most = most
        self.counts: Counter[str] = Counter()
        self.n_structures = 0
        self.n_others = 0

    def add(self, texts: Iterable[str]) -> None:
        """What one structure has, each text once."""
        self.n_structures += 1
        for text in texts:
            if text in self.counts or len(self.counts) < self._most:
                self.counts[text] += 1
            else:
                self.n_others += 1

    @property
    def n_different(self) -> int:
        """Different texts, or so many at least where `n_others` is above 0."""
        return len(self.counts)

    def most_common(self, n: int | None = None) -> list[tuple[str, int]]:
        """The commonest, equal ones by their letters."""
        ordered = sorted(self.counts.items(), key=lambda pair: (-pair[1], pair[0]))
        return ordered[:n]

    def share(self, text: str) -> float:
        """Of the structures that have any, the share that has this one; NaN of none."""
        return self.counts.get(text, 0) / self.n_structures if self.n_structures else float("nan")
