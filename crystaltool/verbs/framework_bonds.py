"""Which bonds `relax` takes: those that a block states, or those that the geometry shows."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crystaltool.bonds import BondGraph
    from crystaltool.io.cif import CifBlock


class Bonds(StrEnum):
    """Which bonds a framework is relaxed on."""

    auto = "auto"
    stated = "stated"
    perceived = "perceived"


def chosen_bonds(which: Bonds, block: CifBlock) -> tuple[BondGraph, str]:
    """The bonds to relax on, and what to warn of: stated ones that the geometry does not bear out.

    Raises:
        InputError: these, with `--bonds stated`; or atoms overlap.
    """
    from crystaltool.checks.distance import atom_label
    from crystaltool.errors import InputError
    from crystaltool.forcefield.uff.bonds import fault_of, perceived_bonds

    stated = block.bonds
    if stated is None or which == Bonds.perceived:
        if which == Bonds.stated:
            raise InputError("no bonds are stated (--bonds auto perceives them)")
        return perceived_bonds(block.crystal), ""
    fault = "" if "closure_max" in block.properties else fault_of(block.crystal, stated, lambda i: atom_label(block, i))
    if not fault:
        return stated, ""
    if which == Bonds.stated:
        raise InputError(fault)
    return perceived_bonds(block.crystal), f"{fault}; bonds are perceived instead"
