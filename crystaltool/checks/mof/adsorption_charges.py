"""Partial charges of a framework for simulations of adsorption, refused where no atom can have them.

The heat of adsorption goes with the charges, and the uptake with its exponential: a hydrogen of +2 e or a cell that is
not neutral gives numbers that look like a record. So an atom may carry at most what it has in an oxidation state of its
element: hydrogen 1 e, halogens -1 e, oxygen -2 e, nitrogen -3 e, others downwards -4 e (metals -1 e), upwards what
`charge_limits` says, all with a tenth of tolerance.
"""

from __future__ import annotations

import numpy as np

from crystaltool.arrays import Float, Int
from crystaltool.checks.mof.charge import EQEQ_ERROR, charge_limits
from crystaltool.checks.mof.eqeq import eqeq_charges
from crystaltool.errors import InputError
from crystaltool.io.cif import CifBlock
from crystaltool.mof.elements import METAL
from crystaltool.units import SYMBOLS

NONE, FILE, EQEQ = "none", "file", "eqeq"
SOURCES = (NONE, FILE, EQEQ)

NET_CHARGE = 0.1
"""e in the cell, of rounding; more is no neutral framework. It is spread over the atoms."""

_LOWEST = {1: 1.0, 7: 3.0, 8: 2.0, 9: 1.0, 15: 3.0, 16: 2.0, 17: 1.0, 34: 2.0, 35: 1.0, 52: 2.0, 53: 1.0}
_HYDROGEN = 1


def physical_range(numbers: Int[np.ndarray, " n"]) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """The lowest and the highest charge of each atom in e."""
    lowest = np.where(METAL[numbers], 1.0, 4.0)
    for number, charge in _LOWEST.items():
        lowest[numbers == number] = charge
    highest = np.where(numbers == _HYDROGEN, EQEQ_ERROR, charge_limits(numbers))
    return -EQEQ_ERROR * lowest, highest


def require_physical(numbers: Int[np.ndarray, " n"], charges: Float[np.ndarray, " n"]) -> None:
    """Refuse charges that no framework has.

    Raises:
        InputError: one that is not finite, a cell with a net charge above 0.1 e, an atom beyond its range.
    """
    if not np.isfinite(charges).all():
        raise InputError("charges are not finite")
    total = float(charges.sum())
    if abs(total) > NET_CHARGE:
        raise InputError(f"the charges of the cell sum to {total:+.2f} e, expected within {NET_CHARGE:g} e of 0")
    low, high = physical_range(numbers)
    excess = np.maximum(low - charges, charges - high)
    worst = int(np.argmax(excess))
    if excess[worst] > 0:
        raise InputError(
            f"unphysical charges: atom {worst + 1} ({SYMBOLS[int(numbers[worst])]}) has {charges[worst]:+.2f} e, "
            f"expected {low[worst]:+.2f} to {high[worst]:+.2f} e"
        )


def framework_charges(block: CifBlock, source: str) -> Float[np.ndarray, " n_atoms"] | None:
    """Charges of the atoms in e, None where none are asked for; neutral.

    Args:
        source: `none`, `file` (`_atom_site_charge`) or `eqeq`.

    Raises:
        InputError: not every site has one, or charges that are unphysical or cannot be worked out.
    """
    if source == NONE:
        return None
    if source == EQEQ:
        charges = eqeq_charges(block.crystal)
    else:
        stated = block.atom_charges
        if stated is None:
            raise InputError("not every site states a charge (_atom_site_charge)")
        charges = stated
    require_physical(block.crystal.numbers, charges)
    return charges - charges.mean()
