"""How `view` goes on in an output that ended early, in any format: it must be the beginning of what is written.

Everything is worked out again, which costs little; as long as the texts are those that stand there nothing is written.
"""

from __future__ import annotations

import os
from typing import BinaryIO

from crystaltool.cli.writer import BlockWriter
from crystaltool.errors import UsageError


class EarlierText:
    """What an earlier run left, to be compared with what this one writes."""

    def __init__(self) -> None:
        self._handle: BinaryIO | None = None
        self.n_left = 0

    def keep(self, handle: BinaryIO) -> set[str]:
        """Take all that is there, for `cli.writer.open_writer`; no name is done."""
        self._handle, self.n_left = handle, handle.seek(0, os.SEEK_END)
        handle.seek(0)
        return set()

    def has(self, data: bytes) -> bool:
        """Whether a text stands there in its place; where it ends early it is cut off.

        Raises:
            UsageError: something else stands there.
        """
        if self._handle is None or self.n_left == 0:
            return False
        place = self._handle.tell()
        found = self._handle.read(min(len(data), self.n_left))
        self.n_left -= len(found)
        if found == data:
            return True
        if self.n_left or not data.startswith(found):
            raise _other()
        self._handle.seek(place)
        self._handle.truncate()
        return False

    def check_end(self) -> None:
        """Nothing is left.

        Raises:
            UsageError: the output holds more than this run writes.
        """
        if self.n_left:
            raise _other()


class ContinuedWriter(BlockWriter):
    """Writes what does not stand in the output yet.

    Args:
        out: where it goes. earlier: what stands there.
    """

    def __init__(self, out: BlockWriter, earlier: EarlierText) -> None:
        super().__init__(out.done)
        self._out, self._earlier = out, earlier

    def has(self, name: str) -> bool:
        """As `BlockWriter.has`; only files of a folder have names."""
        return self._out.has(name)

    def write(self, text: str, name: str = "") -> None:
        """As `BlockWriter.write`."""
        if not self._earlier.has(text.encode("utf-8")):
            self._out.write(text, name)


def _other() -> UsageError:
    return UsageError("--resume: the output is not the beginning of what this run writes")
