"""Checks in a row ask the same of one structure: the last answer is kept."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

Result = TypeVar("Result")


def remembered(function: Callable[..., Result]) -> Callable[..., Result]:
    """`function`, which keeps its answer on the last object at each value of its further arguments.

    The first argument counts by what it is, not by its value; the others must be hashable.
    """
    kept: dict[tuple[Any, ...], tuple[Any, Result]] = {}

    @wraps(function)
    def asked(subject: Any, *others: Any) -> Result:
        if others not in kept or kept[others][0] is not subject:
            kept[others] = subject, function(subject, *others)
        return kept[others][1]

    return asked
