"""The rule on the pore limiting diameter: the largest sphere that passes through the structure, by Zeo++."""

from __future__ import annotations

from collections.abc import Callable

from crystaltool.checks.mof.coordination import Coordination
from crystaltool.checks.verdict import Verdict, not_judged
from crystaltool.errors import InputError
from crystaltool.measure.pores import pore_diameters, require_zeo

__all__ = ["MIN_DIAMETER", "check_pore_diameter", "pore_diameters", "require_zeo"]

NAME = "pore-diameter"

MIN_DIAMETER = 2.4
"""A; MOFDiff (ICLR 2024) asks for a pore that water can enter."""


def check_pore_diameter(coordination: Coordination, label: Callable[[int], str], limit: str = "") -> Verdict:
    """The largest sphere that passes has at least 2.4 A."""
    try:
        largest, limiting = pore_diameters(coordination.crystal)
    except InputError as error:
        return not_judged(NAME, limit, str(error))
    message = f"largest cavity {largest:.2f} A"
    return Verdict(NAME, limiting >= MIN_DIAMETER, limiting, limit, message)
