"""What a stream of inputs is made of: the text of a block before parsing, and a record that could not be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class BadRecord:
    """A record that could not be read: where it is, and one sentence why. `line` is 0 where lines mean nothing."""

    source: str
    line: int
    name: str
    message: str


@dataclass(frozen=True)
class RawBlock:
    """The text of one block with a name that is unique in the run: what `stream.parse_raw` (in any process) reads.

    `written` is the name that stands in the input, `form` what the input is.
    """

    source: str
    line: int
    name: str
    text: str
    written: str = ""
    form: str = "CIF"


Raw: TypeAlias = RawBlock | BadRecord


@dataclass
class FolderTally:
    """What became of a folder given as an input.

    Args:
        path: as the user gave it.
        n_files: files below it, hidden ones and linked folders aside.
        n_passed_over: of them, those that are no structure files by their name.
        n_blocks: structures found in the others.
        n_bad: records (files without a block, and blocks) that could not be read.
        n_bad_blocks: of them, blocks.
    """

    path: str
    n_files: int = 0
    n_passed_over: int = 0
    n_blocks: int = 0
    n_bad: int = 0
    n_bad_blocks: int = 0

    @property
    def summary(self) -> str:
        """One line."""
        bad = f", {self.n_bad} could not be read" if self.n_bad else ""
        return (
            f"{self.n_files} files, {self.n_passed_over} of them passed over; {self.n_blocks} blocks, "
            f"{self.n_blocks - self.n_bad_blocks} read{bad}"
        )
