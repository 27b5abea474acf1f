"""What new structures are compared with: known structures in any form in which `crystaltool asym-unit` reads them.

Crystals are compared as crystals. Metal-organic frameworks are compared by their identity, wherever the reference has
identities; a structure of a kind of which the reference holds nothing cannot be compared at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from crystaltool.asymunit import AsymUnitTable, expand, join_tables
from crystaltool.checks.kind import INORGANIC, MOF, kind_of, kind_of_atoms
from crystaltool.checks.matching import Reference
from crystaltool.checks.verdict import Verdict
from crystaltool.crystal import Crystal
from crystaltool.errors import CrystaltoolError, InputError
from crystaltool.executor import map_pairs
from crystaltool.io.byte_streams import SeekableReader
from crystaltool.io.cif import clean_name
from crystaltool.io.hdf5 import ASYM_UNIT_KIND, read_asym_units
from crystaltool.io.hdf5_input import open_checked
from crystaltool.io.records import StoredUnit
from crystaltool.io.stream import BadRecord, Raw, RawBlock, iter_raw, read_raw

if TYPE_CHECKING:
    from crystaltool.checks.mof.identity import MOFIdentity, MOFReference

_CARBON = 6


@runtime_checkable
class Reporter(Protocol):
    """Who is told of what a reference holds that cannot be used, as `cli.session.Session` is."""

    def bad(self, text: str, record: RawBlock | BadRecord) -> None:
        """A record that cannot be read."""

    def note(self, text: str, record: RawBlock) -> None:
        """A detail."""


class KnownMOFs:
    """Frameworks by identity, from several files.

    Args:
        parts: one a file of blocks, one for all frameworks given as structures.
    """

    def __init__(self, parts: Sequence[MOFReference]) -> None:
        self._parts = parts

    def __len__(self) -> int:
        return sum(len(part) for part in self._parts)

    def check_novel(self, identity: MOFIdentity | str) -> Verdict:
        """Passes if no framework has the identity; the value is the number of those with the same blocks."""
        verdicts = [part.check_novel(identity) for part in self._parts]
        found = next((verdict for verdict in verdicts if not verdict.passed), verdicts[0])
        if len(verdicts) == 1 or found.value is None:
            return found
        limit = found.limit.replace(f"among {len(self._parts[verdicts.index(found)])} ", f"among {len(self)} ", 1)
        alike = next((v for v in verdicts if v.passed and v.value), found)
        message = alike.message if found.passed else found.message
        return replace(found, value=sum(verdict.value or 0.0 for verdict in verdicts), limit=limit, message=message)


@dataclass(frozen=True)
class References:
    """Known structures.

    Args:
        crystals: all that are compared as crystals, None if there are none.
        mofs: all that are compared by identity, None if there are none.
        kinds: of what is known.
        unidentified: whether frameworks without identity are among the crystals.
    """

    crystals: Reference | None
    mofs: KnownMOFs | None
    kinds: frozenset[str]
    unidentified: bool = False

    def compares_by_identity(self, kind: str, identity: MOFIdentity | str | None) -> bool:
        """Whether a structure is compared by its identity, rather than as a crystal.

        One without identity can equal only what has none either.
        """
        return kind == MOF and self.mofs is not None and not (isinstance(identity, str) and self.unidentified)

    def check_novel(self, kind: str, crystal: Crystal, identity: MOFIdentity | str | None) -> Verdict:
        """Passes if nothing known is the same.

        Args:
            kind: of the structure. crystal: all its atoms.
            identity: what a framework is, or why it has no identity; None of what is no framework.

        Raises:
            InputError: the reference holds nothing of the kind.
        """
        if kind not in self.kinds:
            known = "metal-organic frameworks" if kind == INORGANIC else "inorganic crystals"
            wanted = "an inorganic crystal" if kind == INORGANIC else "a metal-organic framework"
            raise InputError(f"novelty cannot be judged: this is {wanted}, the reference holds {known} only")
        if identity is not None and self.mofs is not None and self.compares_by_identity(kind, identity):
            return self.mofs.check_novel(identity)
        if self.crystals is None:
            raise InputError("novelty cannot be judged: no structure of the reference can be compared as a crystal")
        return self.crystals.check_novel(crystal)


def read_references(
    paths: Sequence[str],
    kind: str | None,
    jobs: int,
    reporter: Reporter,
    by_file: bool = False,
    executor: Executor | None = None,
) -> References:
    """Read `--reference`: anything that `crystaltool asym-unit` reads, and files of `crystaltool fragment`.

    Args:
        paths: files or folders; all count.
        kind: of all structures, None to recognise it.
        jobs: worker processes that read and identify. executor: in whose place.
        reporter: told of records that cannot be read and of frameworks without identity; the rest is used.
        by_file: call structures as their files.

    Raises:
        InputError: nothing to compare with in one of the paths.
    """
    from crystaltool.checks.mof.identity import MOFReference

    sets = _DataSets(kind)
    known: list[tuple[RawBlock, _Known]] = []
    for path in paths:
        before, bad = len(known) + len(sets), []
        readable = _readable(iter_raw([path], hdf5=sets.read, by_file=by_file), bad)
        for raw, found in map_pairs(partial(_identified, kind), readable, jobs, executor=executor):
            if isinstance(found, CrystaltoolError):
                bad.append((str(found), raw))
            else:
                known.append((raw, found))
        if len(known) + len(sets) == before:
            reason, record = bad[0] if bad else ("no structures", None)
            place = record.source if record is not None and record.source != path else ""
            raise InputError(f"{path}: nothing to compare with{f' in {place}' if place else ''}: {reason}")
        for text, record in bad:
            reporter.bad(f"not compared with: {text}", record)
    identified = [(found.identity, found.crystal.name) for _, found in known if found.identity is not None]
    parts = sets.blocks + ([MOFReference(identified)] if identified else [])
    crystals = [found.crystal for raw, found in known if not isinstance(raw, StoredUnit) and found.identity is None]
    reference = Reference(join_tables(sets.tables), crystals)
    unidentified = [(raw, found) for raw, found in known if found.reason]
    for raw, found in unidentified:
        reporter.note(f"compared as a crystal, it has no identity: {found.reason}", raw)
    return References(
        reference if len(reference) else None,
        KnownMOFs(parts) if parts else None,
        frozenset(sets.kinds | {found.kind for _, found in known}),
        bool(unidentified),
    )


@dataclass(frozen=True)
class _Known:
    """A known structure, with its identity or the reason why a framework has none."""

    kind: str
    crystal: Crystal
    identity: MOFIdentity | None
    reason: str


def _readable(records: Iterable[Raw], bad: list[tuple[str, RawBlock | BadRecord]]) -> Iterator[RawBlock]:
    for record in records:
        if isinstance(record, BadRecord):
            bad.append((record.message, record))
        else:
            yield record


def _identified(kind: str | None, raw: RawBlock) -> _Known:
    """What a structure is; pure, for any process.

    Raises:
        UnreadableError: if it cannot be read.
    """
    if isinstance(raw, StoredUnit):
        crystal = expand(raw.unit)
        kind = kind or kind_of_atoms(crystal)
    else:
        block = read_raw(raw)
        crystal, kind = block.crystal, kind or kind_of(block)
    crystal = replace(crystal, name=raw.name)
    if kind != MOF:
        return _Known(kind, crystal, None, "")
    from crystaltool.checks.mof.identity import identify_mof

    try:
        return _Known(kind, crystal, identify_mof(crystal), "")
    except InputError as error:
        return _Known(kind, crystal, None, str(error))


class _DataSets:
    """The HDF5 files of a reference, wherever they are found."""

    def __init__(self, kind: str | None) -> None:
        self._kind = kind
        self.tables: list[AsymUnitTable] = []
        self.blocks: list[MOFReference] = []
        self.kinds: set[str] = set()

    def __len__(self) -> int:
        return sum(map(len, self.tables)) + sum(map(len, self.blocks))

    def read(self, stream: SeekableReader, source: str) -> Iterator[Raw]:
        """Keep a data set; gives the structures of which only their atoms can tell whether they are frameworks."""
        from crystaltool.checks.mof.identity import MOFReference
        from crystaltool.mof.table import MOF_KIND, read_mofs

        try:
            with open_checked(stream, None, source) as file:
                kind = file.attrs.get("kind")
            if kind == MOF_KIND:
                self.blocks.append(MOFReference.of_table(read_mofs(stream, source), source))
                self.kinds.add(MOF)
                return
            if kind != ASYM_UNIT_KIND:
                raise InputError(f"{source}: an HDF5 file of kind {kind}, expected {ASYM_UNIT_KIND} or {MOF_KIND}")
            table = read_asym_units(stream, source)
        except InputError as error:
            yield BadRecord(source, 0, "", str(error).removeprefix(f"{source}: "))
            return
        self.tables.append(table)
        for index in self._perhaps_frameworks(table):
            unit = table[index]
            name = clean_name(unit.name or f"entry-{index:06d}")
            yield StoredUnit(source, 0, name, "", unit=unit)

    def _perhaps_frameworks(self, table: AsymUnitTable) -> list[int]:
        """The entries that can be frameworks; if there are others, crystals are among the kinds."""
        holds_carbon = np.zeros(len(table), dtype=bool)
        holds_carbon[np.repeat(np.arange(len(table)), table.n_orbits)[table.numbers == _CARBON]] = True
        asked = {None: holds_carbon, MOF: np.ones_like(holds_carbon)}.get(self._kind, np.zeros_like(holds_carbon))
        if not asked.all():
            self.kinds.add(INORGANIC)
        return np.flatnonzero(asked).tolist()
