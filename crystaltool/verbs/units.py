"""`asym_unit` and `expand`: structures to asymmetric units, and back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from crystaltool.asymunit import reduce
from crystaltool.defaults import SYMPREC
from crystaltool.errors import UsageError
from crystaltool.io.provenance import extend_history
from crystaltool.structure import Structure
from crystaltool.verbs.stream import call_text, each


@dataclass(frozen=True)
class UnitSettings:
    """How a symmetry is found: the tolerance on distances in Angstrom."""

    symprec: float = SYMPREC

    def __post_init__(self) -> None:
        if not self.symprec > 0:
            raise UsageError(f"symprec is {self.symprec:g} A, expected a positive number")


def asym_unit(structure: Structure | Iterable[Structure], symprec: float = SYMPREC, *, jobs: int = 1) -> Any:
    """The asymmetric unit of a structure: its space group detected, refined to it, in the standard setting.

    As `crystaltool asym-unit`.

    Args:
        structure: one, or an iterable of them.
        symprec: tolerance on distances, Angstrom.
        jobs: worker processes for an iterable.

    Returns:
        A `Structure`; of an iterable an iterator over them.

    Raises:
        SymmetryError: no space group is found.
        UsageError: a tolerance that is not positive.
    """
    settings = UnitSettings(symprec)
    return each(partial(unit_of, settings, call_text("asym-unit", settings)), structure, Structure, jobs)


def expand(structure: Structure | Iterable[Structure], *, jobs: int = 1) -> Any:
    """Every atom of the cell written out, in P 1. As `crystaltool asym-unit --expand`.

    Args:
        structure: one, or an iterable of them.
        jobs: worker processes for an iterable.

    Returns:
        A `Structure`; of an iterable an iterator over them.
    """
    return each(partial(expanded, "asym-unit --expand"), structure, Structure, jobs)


def unit_of(settings: UnitSettings, call: str | None, structure: Structure) -> Structure:
    """One asymmetric unit; `call` is what the history says of it, None to leave the history as it is."""
    return Structure(
        reduce(structure.block.crystal, settings.symprec),
        name=structure.name,
        properties=structure.properties,
        history=extended(structure, call),
        source=structure.source,
    )


def expanded(call: str | None, structure: Structure) -> Structure:
    """All atoms of one structure; `call` as for `unit_of`."""
    block = structure.block
    return Structure(
        block.crystal,
        name=structure.name,
        charges=block.atom_charges,
        properties=structure.properties,
        history=extended(structure, call),
        source=structure.source,
    )


def extended(structure: Structure, call: str | None) -> tuple[str, ...]:
    """The history with a line for this call."""
    return structure.history if call is None else extend_history(structure.history, call)
