"""`asym_unit` and `expand`: structures to asymmetric units, and back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from crystaltool.arrays import Float, Int
from crystaltool.asymunit import reduce_traced
from crystaltool.checks.verdict import without_verdicts
from crystaltool.defaults import SYMPREC
from crystaltool.errors import UsageError
from crystaltool.io.provenance import extend_history
from crystaltool.io.remarks import WARNING, publish
from crystaltool.structure import Structure
from crystaltool.verbs.stream import call_text, each

if TYPE_CHECKING:
    from collections.abc import Iterable
    from concurrent.futures import Executor

    from crystaltool.io.cif import CifBlock

SAME_CHARGE = 0.005
"""e; equivalent atoms have charges within this of their mean: two decimals."""


@dataclass(frozen=True)
class UnitSettings:
    """How a symmetry is found: the tolerance on distances in Angstrom."""

    symprec: float = SYMPREC

    def __post_init__(self) -> None:
        if not 0 < self.symprec <= 1:
            raise UsageError(f"symprec is {self.symprec:g} A, expected a number above 0 and at most 1")


def asym_unit(
    structure: Structure | Iterable[Structure],
    symprec: float = SYMPREC,
    *,
    jobs: int = 1,
    executor: Executor | None = None,
) -> Any:
    """The asymmetric unit of a structure: its space group detected, refined to it, in the standard setting.

    As `crystaltool asym-unit`.

    Args:
        structure: one, or an iterable of them.
        symprec: tolerance on distances, Angstrom.
        jobs: worker processes for an iterable.
        executor: any `concurrent.futures.Executor` (of dask, mpi4py, ...), whose workers do it in their place.

    Returns:
        A `Structure`; of an iterable an iterator over them.

    Raises:
        SymmetryError: no space group is found.
        UsageError: a tolerance that is not positive.
    """
    settings = UnitSettings(symprec)
    return each(partial(unit_of, settings, call_text("asym-unit", settings)), structure, Structure, jobs, executor)


def expand(structure: Structure | Iterable[Structure], *, jobs: int = 1, executor: Executor | None = None) -> Any:
    """Every atom of the cell written out, in P 1. As `crystaltool asym-unit --expand`.

    Args:
        structure: one, or an iterable of them.
        jobs: worker processes for an iterable.
        executor: any `concurrent.futures.Executor` (of dask, mpi4py, ...), whose workers do it in their place.

    Returns:
        A `Structure`; of an iterable an iterator over them.
    """
    return each(partial(expanded, "asym-unit --expand"), structure, Structure, jobs, executor)


def unit_of(settings: UnitSettings, call: str | None, structure: Structure) -> Structure:
    """One asymmetric unit, without the verdicts that the structure had before it was refined.

    `call` is what the history says of it, None to leave the history as it is.
    """
    block = structure.block
    unit, atom_to_orbit = reduce_traced(block.crystal, settings.symprec)
    charges = _orbit_charges(block, atom_to_orbit)
    say_lost(block, bonds=True)
    return Structure(
        unit,
        name=structure.name,
        charges=charges,
        properties=without_verdicts(structure.properties),
        history=extended(structure, call),
        source=structure.source,
    )


def expanded(call: str | None, structure: Structure) -> Structure:
    """All atoms of one structure, without verdicts, which were given on other operations; `call` as for `unit_of`."""
    block = structure.block
    return Structure(
        block.crystal,
        name=structure.name,
        bonds=block.bonds,
        charges=block.atom_charges,
        properties=without_verdicts(structure.properties),
        history=extended(structure, call),
        source=structure.source,
    )


def extended(structure: Structure, call: str | None) -> tuple[str, ...]:
    """The history with a line for this call."""
    return structure.history if call is None else extend_history(structure.history, call)


def _orbit_charges(block: CifBlock, atom_to_orbit: Int[np.ndarray, " n"]) -> Float[np.ndarray, " m"] | None:
    """Charges of the orbits in e: those of their atoms where these are alike, else none, which is said."""
    charges = block.atom_charges
    if charges is None:
        return None
    means = np.bincount(atom_to_orbit, weights=charges) / np.bincount(atom_to_orbit)
    spread = float(np.abs(charges - means[atom_to_orbit]).max())
    if spread <= SAME_CHARGE:
        return means
    _lost(block, f"charges are left out: equivalent atoms differ by {2 * spread:.2f} e")
    return None


def say_lost(block: CifBlock, bonds: bool = False, charges: bool = False) -> None:
    """Warn of stated bonds or charges that the output has no place for."""
    if bonds and block.bonds is not None:
        _lost(block, f"{len(block.bonds)} stated bonds are left out, an asymmetric unit has none (--expand keeps them)")
    if charges and block.site_charges is not None:
        _lost(block, "charges are left out, the data set has none")


def _lost(block: CifBlock, text: str) -> None:
    publish(WARNING, text, block.source, block.line, block.name)
