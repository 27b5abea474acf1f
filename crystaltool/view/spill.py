"""Blocks that wait to be sorted, with their texts in a temporary file once they are many."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from typing import NamedTuple

from crystaltool.io.records import RawBlock

IN_MEMORY = 32 * 2**20
"""Bytes of text that are kept in memory before the file is begun."""


class Spilled(NamedTuple):
    """A block without its text, and where the text is."""

    rest: RawBlock
    offset: int
    length: int


class Spill:
    """Keeps the texts of blocks; the file has no name and goes with the object.

    Raises:
        OSError: the folder of temporary files is full.
    """

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 it lives as long as the object
        self._end = 0

    def put(self, raw: RawBlock) -> Spilled:
        """Keep a block."""
        encoded = raw.text.encode("utf-8", "surrogatepass")
        self._file.seek(self._end)
        self._file.write(encoded)
        self._end += len(encoded)
        return Spilled(replace(raw, text=""), self._end - len(encoded), len(encoded))

    def get(self, kept: Spilled | RawBlock) -> RawBlock:
        """The block as it was; one that was not put here comes back."""
        if isinstance(kept, RawBlock):
            return kept
        self._file.seek(kept.offset)
        return replace(kept.rest, text=self._file.read(kept.length).decode("utf-8", "surrogatepass"))
