"""Numbers in texts that anybody may have written."""

from __future__ import annotations

import math
import re

LARGEST = 1e15
"""Lengths in Angstrom, volumes and scales beyond this are refused: products of them would be no numbers."""

_WHOLE = re.compile(r"[0-9]{1,18}")


def whole_number(text: str) -> int | None:
    """The whole number that a text is, None for anything else.

    `str.isdigit` and `isdecimal` let through what `int` refuses: superscripts, and more digits than it converts. Nor is
    anything taken that numpy's integers cannot hold.
    """
    return int(text) if _WHOLE.fullmatch(text) else None


def finite_number(text: str) -> float | None:
    """The finite number that a text is, None for anything else."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
