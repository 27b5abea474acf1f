"""How `view` writes the records: as they came, as a table, or in another format."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from crystaltool.cli.failures import report_failure
from crystaltool.cli.view_selection import Selection, check_name
from crystaltool.errors import CrystaltoolError, UsageError

if TYPE_CHECKING:
    from crystaltool.cli.writer import BlockWriter
    from crystaltool.view.render import AnyRecord, Format

TABLE = "table"
"""The format of a terminal."""


class Report:
    """Writes records in a format."""

    def __init__(self, view: Selection, form: str | None, columns: tuple[str, ...] | None, to_folder: bool) -> None:
        self._view, self._form, self._named, self._to_folder = view, form, columns, to_folder
        self.columns: tuple[str, ...] = columns or ()
        view.watch(self.columns)

    @property
    def suffix(self) -> str:
        """Ending of files in a folder."""
        return self._format.suffix

    @property
    def _format(self) -> Format:
        from crystaltool.verbs.format_table import CIF
        from crystaltool.view.render import format_of

        return format_of(self._form or CIF)

    def write(self, records: Iterator[AnyRecord], out: BlockWriter) -> None:
        """All records, one after another; a failed one is reported."""
        if self._form == TABLE:
            self._write_aligned(records, out)
        elif not (self._to_folder or self._format.many):
            self._write_one(records, out)
        else:
            self._write_each(records, out)

    def _columns_of(self, of: str) -> tuple[str, ...]:
        """The fields to write: those named, else the usual ones and what the filter and the order ask for."""
        from crystaltool.view.rows import COLUMNS

        if self._named is not None:
            for name in self._named:
                check_name("--columns", name, of)
            return self._named
        return tuple(dict.fromkeys((*COLUMNS[of], *self._view.named)))

    def _write_each(self, records: Iterator[AnyRecord], out: BlockWriter) -> None:
        from crystaltool.view.render import TABLES
        from crystaltool.view.rows import STRUCTURES

        form = self._format
        begun = False
        for record in records:
            if not begun:
                of = self._view.of or STRUCTURES
                self._refuse_rows(of)
                form = TABLES["tsv"] if self._form is None and of != STRUCTURES else form
                self.columns = self._columns_of(of)
                begun = True
                if (header := form.header(self.columns)) and self._view.session.shard.is_first:
                    out.write(header)
            self._each(record, out, form.write)
        empty = not begun and self._form is not None and self._view.session.shard.is_first
        if empty and (header := form.header(self._columns_of(STRUCTURES))):
            out.write(header)

    def _refuse_rows(self, of: str | None) -> None:
        """Nothing where a stream of these can be written as is asked.

        Raises:
            UsageError: rows that are no structures are to be written as such.
        """
        from crystaltool.view.render import TABLES
        from crystaltool.view.rows import STRUCTURES

        if of not in (None, STRUCTURES) and (self._to_folder or self._form not in (None, TABLE, *TABLES)):
            raise UsageError(f"{of} are no structures, they are written as csv, tsv or json into one file")

    def _each(self, record: AnyRecord, out: BlockWriter, write: Callable[[AnyRecord, Sequence[str]], str]) -> None:
        if out.has(record.raw.name):
            return
        columns = self.columns
        if self._form == "json" and self._named is None:
            columns = _all_columns(record)
        try:
            text = write(record, columns)
        except CrystaltoolError as error:
            report_failure(self._view.session, error, record.raw, reads=True)
        else:
            out.write(text, record.raw.name)

    def _write_aligned(self, records: Iterator[AnyRecord], out: BlockWriter) -> None:
        from crystaltool.io.printable import printable
        from crystaltool.view.render import AlignedTable, cells_of
        from crystaltool.view.rows import STRUCTURES

        table: AlignedTable | None = None
        for record in records:
            if table is None:
                self.columns = self._columns_of(self._view.of or STRUCTURES)
                table = AlignedTable(self.columns)
            try:
                cells = [printable(cell) for cell in cells_of(record, self.columns)]
            except CrystaltoolError as error:
                report_failure(self._view.session, error, record.raw, reads=True)
                continue
            if text := table.add(cells):
                out.write(text)
        if table is not None and (text := table.rest()):
            out.write(text)

    def _write_one(self, records: Iterator[AnyRecord], out: BlockWriter) -> None:
        """A file holds one structure: nothing is written before it is known that there is no second."""
        first = next(records, None)
        self._refuse_rows(self._view.of)
        if first is not None and next(records, None) is not None:
            name = (self._form or "").upper()
            raise UsageError(
                f"{name} holds one structure and there are more, name a folder with -O DIR or take --head 1"
            )
        if first is not None:
            self._each(first, out, self._format.write)


def _all_columns(record: AnyRecord) -> list[str]:
    from crystaltool.view.rows import ALL_COLUMNS, kind_of_row

    return list(dict.fromkeys((*ALL_COLUMNS[kind_of_row(record.raw)], *getattr(record, "properties", ()))))
