"""Novelty and uniqueness of frameworks: the same nodes and linkers on the same net are the same MOF.

The identity is `crystaltool.mof.framework`'s, from bonds that are perceived; free molecules and bound solvent are left
out. Whole crystals are never compared: MOFs that differ by a strain, a rotated ring or a solvent are one.
"""

from __future__ import annotations

from collections.abc import Iterable

from crystaltool.checks.verdict import Verdict
from crystaltool.crystal import Crystal
from crystaltool.errors import InputError
from crystaltool.mof.framework import MOFIdentity, identify_framework, metals_among
from crystaltool.mof.perception import perceive_bonds
from crystaltool.mof.rebuild import to_crystal
from crystaltool.mof.table import MOFTable

SAME = "nodes, linkers and net"
"""What two MOFs share that count as one."""


def identify_mof(crystal: Crystal) -> MOFIdentity:
    """The identity of a framework.

    Raises:
        InputError: with the reason, if it has none.
    """
    return identify_framework(crystal, perceive_bonds(crystal))


class MOFReference:
    """The MOFs that a new one is compared with.

    Args:
        known: identities with the names of their MOFs.
    """

    def __init__(self, known: Iterable[tuple[MOFIdentity, str]] = ()) -> None:
        self._table: MOFTable | None = None
        self._rows: dict[tuple[int, ...], list[int]] = {}  # not yet identified, by metals
        self._by_blocks: dict[str, list[tuple[str, str]]] = {}
        self._n_mofs = 0
        for identity, name in known:
            self._by_blocks.setdefault(identity.blocks, []).append((identity.text, name))
            self._n_mofs += 1

    @classmethod
    def of_table(cls, table: MOFTable, source: str) -> MOFReference:
        """The MOFs of a table; one without its identity gets it when a MOF of the same metals comes.

        Raises:
            InputError: its MOFs have no connections.
        """
        if not table.posed:
            raise InputError(f"{source}: its MOFs are not assembled, expected a file of crystaltool fragment")
        found = cls()
        found._table, found._n_mofs = table, len(table)
        numbers = table.arrays["blocks/numbers"]
        metals = [metals_among(numbers[table.span("block atom", block)]) for block in range(table.n_blocks)]
        for row in range(len(table)):
            text = table.identities[row] if table.identities else ""
            if text:
                found._by_blocks.setdefault(MOFIdentity(text, ()).blocks, []).append((text, table.names[row]))
                continue
            blocks = table.arrays["places/block"][table.span("place", row)].tolist()
            together = tuple(sorted({metal for block in blocks for metal in metals[block]}))
            found._rows.setdefault(together, []).append(row)
        return found

    def __len__(self) -> int:
        return self._n_mofs

    def check_novel(self, identity: MOFIdentity | str) -> Verdict:
        """Passes if no reference has the identity; the value is the number of references with the same blocks."""
        limit = f"no match among {len(self)} references ({SAME})"
        if isinstance(identity, str):
            return Verdict("novel", False, None, limit, f"no identity: {identity}")
        self._identify(identity.metals)
        alike = self._by_blocks.get(identity.blocks, [])
        for text, name in alike:
            if text == identity.text:
                return Verdict("novel", False, float(len(alike)), limit, f"matches {name}")
        message = f"another net than {len(alike)} of the same blocks" if alike else "no reference has its blocks"
        return Verdict("novel", True, float(len(alike)), limit, message)

    def _identify(self, metals: tuple[int, ...]) -> None:
        """Find the identities of the references with these metals that have none yet."""
        for row in self._rows.pop(metals, []):
            if self._table is None:
                continue
            mof = self._table[row]
            try:
                identity = identify_mof(to_crystal(mof)[0])
            except InputError:  # cut with bonds of its own, and no framework for ours
                continue
            self._by_blocks.setdefault(identity.blocks, []).append((identity.text, mof.name or f"entry {row}"))


class SeenMOFs:
    """The different MOFs of a stream so far."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def check_unique(self, identity: MOFIdentity | str, name: str) -> Verdict:
        """Passes if no earlier MOF has the identity; then it is remembered."""
        limit = f"no match among earlier structures ({SAME})"
        if isinstance(identity, str):
            return Verdict("unique", False, None, limit, f"no identity: {identity}")
        earlier = self._names.setdefault(identity.text, name)
        if earlier is not name:
            return Verdict("unique", False, float(len(self._names)), limit, f"matches {earlier}")
        return Verdict("unique", True, float(len(self._names)), limit, identity.text)
