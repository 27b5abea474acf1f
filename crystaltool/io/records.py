"""What a stream of inputs is made of: the text of a block before parsing, and a record that could not be read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from crystaltool.asymunit import AsymUnit


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

    `written` is the name that stands in the input; `has_id` says that the name is an identifier of a table's row;
    `form` is what the input is.
    """

    source: str
    line: int
    name: str
    text: str
    written: str = ""
    has_id: bool = False
    form: str = "CIF"


@dataclass(frozen=True)
class StoredUnit(RawBlock):
    """An asymmetric unit as a data set has it, which needs no reading and no detection; the text is empty."""

    unit: AsymUnit = field(kw_only=True)
    properties: dict[str, str] = field(default_factory=dict)
    history: tuple[str, ...] = ()


Raw: TypeAlias = RawBlock | BadRecord


@dataclass
class FolderTally:
    """What became of a folder given as an input.

    Args:
        path: as the user gave it.
        n_files: files below it, hidden ones and linked folders aside: the sum of the next three.
        n_with_blocks: of them, those in which structures were found.
        n_without: structure files by their names in which none was found.
        n_passed_over: those that are no structure files by their names.
        n_blocks: structures found: blocks, rows of tables.
        n_bad_blocks: of them, those that could not be read.
    """

    path: str
    n_files: int = 0
    n_with_blocks: int = 0
    n_without: int = 0
    n_passed_over: int = 0
    n_blocks: int = 0
    n_bad_blocks: int = 0

    def count(self, n_blocks: int, n_bad: int) -> None:
        """Count a structure file by the records in it; bad ones beside blocks are blocks, too."""
        self.n_with_blocks += n_blocks > 0
        self.n_without += n_blocks == 0
        if n_blocks:
            self.n_blocks += n_blocks + n_bad
            self.n_bad_blocks += n_bad

    @property
    def summary(self) -> str:
        """One line."""
        n_files = "1 file" if self.n_files == 1 else f"{self.n_files} files"
        n_blocks = "1 structure" if self.n_blocks == 1 else f"{self.n_blocks} structures"
        return (
            f"{n_files}: {self.n_with_blocks} with structures, {self.n_without} without, {self.n_passed_over} of other "
            f"kinds passed over; {n_blocks}: {self.n_blocks - self.n_bad_blocks} read, {self.n_bad_blocks} unreadable"
        )
