"""Which records a run of `view` writes, and in which order."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING

from crystaltool.cli.failures import report_failure
from crystaltool.errors import CrystaltoolError, InputError, UsageError

if TYPE_CHECKING:
    from crystaltool.cli.progress import ProgressDisplay
    from crystaltool.cli.session import Session
    from crystaltool.io.records import RawBlock
    from crystaltool.view.expression import Filter
    from crystaltool.view.render import AnyRecord


WHERE_FIELDS_STAND = "fields: man crystaltool-view; values of a file: crystaltool view --info FILE"


def check_name(option: str, name: str, of: str = "structures") -> None:
    """A field must be one of the rows' table, or, of structures, can be a value's name.

    Raises:
        UsageError: it is neither.
    """
    import re

    from crystaltool.view.choices import nearest
    from crystaltool.view.rows import STRUCTURES, TABLES

    table = TABLES[of]
    known_elsewhere = of == STRUCTURES and re.fullmatch(r"[a-z_][a-z0-9_]*", name)
    if name not in table and not known_elsewhere:
        close = nearest(name, table)
        hint = f", did you mean {close}?" if close else f"; {of} have {', '.join(table)}"
        raise UsageError(f"{option}: no field {name!r}{hint}")


def _can_be_of_rows(expression: str) -> bool:
    """Whether an expression that makes no sense for structures does for what else files hold."""
    from crystaltool.view.expression import Filter
    from crystaltool.view.rows import STRUCTURES, TABLES

    for of, fields in TABLES.items():
        with contextlib.suppress(UsageError):
            if of != STRUCTURES:
                Filter(expression, fields, open_names=False)
                return True
    return False


class Selection:
    """Filter, order and number of the records of one run."""

    def __init__(
        self, session: Session, expression: str | None, sort: str | None, reverse: bool, head: int | None
    ) -> None:
        self.session = session
        self._expression, self._sort, self._reverse, self.head = expression, sort, reverse, head
        self._filter: Filter | None = None
        self._not_of_structures: UsageError | None = None
        self._unseen: set[str] = set()
        self._seen_values: set[str] = set()
        self._n_structures = 0
        self.of: str | None = None
        if sort is not None:
            check_name("--sort", sort)
        if expression is not None:
            from crystaltool.view.expression import Filter
            from crystaltool.view.fields import FIELDS
            from crystaltool.view.syntax import ExpressionError

            try:
                self._filter = Filter(expression, FIELDS)
            except ExpressionError as error:
                if not _can_be_of_rows(expression):
                    raise
                self._not_of_structures = error

    @property
    def named(self) -> list[str]:
        """Fields that the filter and the order ask for."""
        found = list(self._filter.names) if self._filter else []
        return found + ([self._sort] if self._sort and self._sort not in found else [])

    def watch(self, names: Sequence[str]) -> None:
        """Note fields that a run in which no structure has them must say so of."""
        from crystaltool.view.fields import FIELDS

        self._unseen.update(name for name in names if name not in FIELDS)

    def chosen(self, raws: Iterator[RawBlock], progress: ProgressDisplay) -> Generator[AnyRecord, None, None]:
        """The records that pass, in order."""
        from crystaltool.view.order import Ordered
        from crystaltool.view.rows import record_of
        from crystaltool.view.spill import Spill, Spilled

        self.watch(self.named)
        if self._sort is None:
            yield from itertools.islice(self._passing(raws, progress), self.head)
            return
        ordered: Ordered[RawBlock | Spilled] = Ordered(self._reverse, self.head)
        spill = Spill()
        for record in self._passing(raws, progress):
            try:  # of an endless stream only the best few are kept, in memory
                ordered.add(record.get(self._sort), spill.put(record.raw) if self.head is None else record.raw)
            except CrystaltoolError as error:
                report_failure(self.session, error, record.raw, reads=True)
        for kept in ordered.result():
            yield record_of(spill.get(kept))

    def _passing(self, raws: Iterator[RawBlock], progress: ProgressDisplay) -> Iterator[AnyRecord]:
        from crystaltool.view.rows import record_of

        if self.head == 0:
            return
        for raw in raws:
            progress.advance()
            record = record_of(raw)
            try:
                self._begin(raw)
                self._look_for_unseen(record)
                if self._filter is None or self._filter(record):
                    yield record
            except UsageError:
                raise
            except CrystaltoolError as error:
                report_failure(self.session, error, raw, reads=True)

    def _begin(self, raw: RawBlock) -> None:
        """The first record decides what the run is of; the filter is held against its fields."""
        from crystaltool.view.rows import STRUCTURES, TABLES, kind_of_row

        of = kind_of_row(raw)
        if self.of is None:
            self.of = of
            if of != STRUCTURES:
                self._unseen.clear()
                if self._expression is not None:
                    from crystaltool.view.expression import Filter

                    self._filter = Filter(self._expression, TABLES[of], open_names=False)
                if self._sort is not None:
                    check_name("--sort", self._sort, of)
            elif self._not_of_structures is not None:
                raise self._not_of_structures
        elif of != self.of:
            raise InputError(f"{of} among {self.of}, give them in a run of their own")

    def _look_for_unseen(self, record: AnyRecord) -> None:
        self._n_structures += 1
        if self._unseen:
            self._unseen = {name for name in self._unseen if record.get(name) is None}
            if len(self._seen_values) < 1000:
                self._seen_values.update(getattr(record, "properties", ()))

    def say_unknown(self, columns: Sequence[str]) -> None:
        """A warning of fields that no structure had: most likely a slip of the pen."""
        from crystaltool.view.choices import nearest
        from crystaltool.view.fields import FIELDS

        for name in sorted(self._unseen) if self._n_structures else ():
            close = nearest(name, [*FIELDS, *self._seen_values])
            hint = f", did you mean {close}?" if close else f" ({WHERE_FIELDS_STAND})"
            self.session.warn(f"no structure has {name}{hint}")
