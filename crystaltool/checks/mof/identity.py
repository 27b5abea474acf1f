"""Novelty and uniqueness of frameworks: the same nodes, linkers and bridges on the same net are the same MOF.

The identity is `crystaltool.mof.net.mof_identity`'s, from bonds that are perceived; free molecules are left out. Whole
crystals are never compared: MOFs that differ by a strain, a rotated ring or a solvent are one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from crystaltool.checks.verdict import Verdict
from crystaltool.crystal import Crystal
from crystaltool.errors import InputError
from crystaltool.mof.fragment import Limits, fragment
from crystaltool.mof.net import mof_identity
from crystaltool.mof.perception import perceive_bonds
from crystaltool.mof.table import MOFTable

SAME = "nodes, linkers, bridges and net"
"""What two MOFs share that count as one."""

_NO_LIMITS = Limits(blocks=10**6, atoms=10**6, connections=10**6)


@dataclass(frozen=True)
class MOFIdentity:
    """What a MOF is.

    Args:
        blocks: names of its different building blocks.
        text: `nodes;linkers;bridges;net`.
    """

    blocks: frozenset[str]
    text: str


def identify_mof(crystal: Crystal) -> MOFIdentity:
    """The identity of a framework.

    Raises:
        InputError: with the reason, if it cannot be cut into building blocks.
    """
    from crystaltool.mof.identity import identify  # RDKit

    mof = fragment(crystal, perceive_bonds(crystal), _NO_LIMITS, remove_guests=True)
    return MOFIdentity(frozenset(block.identity or identify(block).text for block in mof.blocks), mof_identity(mof))


class MOFReference:
    """The MOFs that a new one is compared with.

    Args:
        known: identities with the names of their MOFs.
    """

    def __init__(self, known: Iterable[tuple[MOFIdentity, str]] = ()) -> None:
        self._table: MOFTable | None = None
        self._by_blocks: dict[frozenset[str], list[tuple[str, str]]] = {}
        self._rows: dict[frozenset[str], list[int]] = {}
        self._n_mofs = 0
        for identity, name in known:
            self._by_blocks.setdefault(identity.blocks, []).append((identity.text, name))
            self._n_mofs += 1

    @classmethod
    def of_table(cls, table: MOFTable, source: str) -> MOFReference:
        """The MOFs of a table; nets are found when a MOF with the same blocks comes, and kept.

        Raises:
            InputError: its MOFs have no connections or its blocks no identities.
        """
        if not table.posed:
            raise InputError(f"{source}: its MOFs are not assembled, expected a file of crystaltool fragment")
        names = np.array([*table.identity_names, ""], dtype=object)
        identities = table.arrays["blocks/identity"][table.arrays["places/block"]]
        if (identities < 0).any():
            raise InputError(f"{source}: blocks without identity, expected a file of crystaltool fragment")
        found = cls()
        found._table, found._n_mofs = table, len(table)
        for row in range(len(table)):
            found._rows.setdefault(frozenset(names[identities[table.span("place", row)]]), []).append(row)
        return found

    def __len__(self) -> int:
        return self._n_mofs

    def check_novel(self, identity: MOFIdentity | str) -> Verdict:
        """Passes if no reference has the identity; the value is the number of references with the same blocks."""
        limit = f"no match among {len(self)} references ({SAME})"
        if isinstance(identity, str):
            return Verdict("novel", False, None, limit, f"no identity: {identity}")
        alike = self._with_blocks(identity.blocks)
        for text, name in alike:
            if text == identity.text:
                return Verdict("novel", False, float(len(alike)), limit, f"matches {name}")
        message = f"another net than {len(alike)} of the same blocks" if alike else "no reference has its blocks"
        return Verdict("novel", True, float(len(alike)), limit, message)

    def _with_blocks(self, blocks: frozenset[str]) -> list[tuple[str, str]]:
        """Identities and names of the references with these blocks."""
        for row in self._rows.pop(blocks, []):
            if self._table is not None:
                mof = self._table[row]
                self._by_blocks.setdefault(blocks, []).append((mof_identity(mof), mof.name or f"entry {row}"))
        return self._by_blocks.get(blocks, [])


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
