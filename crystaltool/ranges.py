"""Numbers of a configuration, each within its range."""

from __future__ import annotations

import math
from typing import Any

from crystaltool.errors import UsageError


def require_least(config: Any, least: int, *names: str) -> None:
    """Numbers of a configuration are finite and not below `least`.

    Raises:
        UsageError: one is not.
    """
    for name in names:
        if not least <= getattr(config, name) < math.inf:
            raise UsageError(f"{name} is {getattr(config, name)}, expected at least {least}")


def require_positive(config: Any, *names: str) -> None:
    """Numbers of a configuration are finite and above 0.

    Raises:
        UsageError: one is not.
    """
    for name in names:
        if not 0 < getattr(config, name) < math.inf:
            raise UsageError(f"{name} is {getattr(config, name)}, expected a positive number")


def require_ends(config: Any, *names: str) -> None:
    """Each is a smallest and a largest number, finite and above 0.

    Raises:
        UsageError: one is not.
    """
    for name in names:
        ends = getattr(config, name)
        numbers = len(ends) == 2 and all(isinstance(end, int | float) for end in ends)
        if not numbers or not 0 < ends[0] < ends[1] < math.inf:
            raise UsageError(f"{name} is {list(ends)}, expected the smallest and the largest, above 0")
