"""A verb on one structure or on many, and the line that it leaves in the history."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import fields
from typing import Any

from crystaltool.errors import CrystaltoolError, UsageError
from crystaltool.executor import map_pairs
from crystaltool.io.remarks import publish


def each(
    function: Callable[[Any], Any],
    given: Any,
    kind: type | tuple[type, ...],
    jobs: int = 1,
    executor: Executor | None = None,
) -> Any:
    """`function(given)` for one of that kind; of an iterable of them an iterator over the results, in order.

    Args:
        function: pure; picklable for `jobs` > 1.
        given: one, or an iterable. kind: of one.
        jobs: worker processes. With more than one a script must guard its entry with `if __name__ == "__main__"`.
        executor: whose workers do the work of an iterable in place of these.

    Raises:
        UsageError: something else than one of the kind or an iterable.
    """
    if isinstance(given, kind):
        return function(given)
    if not isinstance(given, Iterable) or isinstance(given, (str, bytes)):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        expected = " or ".join(one.__name__ for one in kinds)
        raise UsageError(f"a {type(given).__name__}, expected a {expected} or an iterable of them")
    return _results(function, given, jobs, executor)


def _results(
    function: Callable[[Any], Any], items: Iterable[Any], jobs: int, executor: Executor | None
) -> Iterator[Any]:
    with contextlib.closing(map_pairs(function, items, jobs, executor=executor)) as pairs:
        for item, result in pairs:
            if isinstance(result, UsageError):
                raise result  # it would be every item's failure
            if isinstance(result, CrystaltoolError):
                log_failure(result, item)
            else:
                yield result


def log_failure(failure: CrystaltoolError, item: Any) -> None:
    """One line to Python's logging, under `crystaltool`, which prints it on standard error if nothing else is set."""
    publish(logging.ERROR, str(failure), getattr(item, "source", "") or "", 0, getattr(item, "name", ""))


def call_text(verb: str, settings: Any, skip: tuple[str, ...] = ()) -> str:
    """What a verb called from Python leaves in the history in the place of a command line: `relax max_force=0.02`.

    Args:
        verb: name of the subcommand.
        settings: a dataclass of its arguments; those that have their default are left out.
        skip: fields that are left out too.
    """
    changed = [
        f"{field.name}={value}"
        for field in fields(settings)
        if field.name not in skip and (value := getattr(settings, field.name)) != field.default
    ]
    return " ".join([verb, *changed])
