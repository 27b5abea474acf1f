"""`stats`: what a set of structures is like."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from concurrent.futures import Executor
from functools import partial
from typing import Any

from crystaltool.errors import CrystaltoolError, UsageError
from crystaltool.executor import map_pairs
from crystaltool.io.records import RawBlock
from crystaltool.statistics.compare import compare, comparison_as_json
from crystaltool.statistics.facts import Asked, Facts, facts_of
from crystaltool.statistics.summary import Summary, summary_as_json
from crystaltool.structure import Structure
from crystaltool.verbs.stream import log_failure


def stats(
    structures: Iterable[Structure],
    against: Iterable[Structure] | None = None,
    *,
    check: bool = False,
    declared: bool = False,
    jobs: int = 1,
    executor: Executor | None = None,
) -> dict[str, Any]:
    """What a set of structures is like, alone or beside another; as `crystaltool stats --format json`.

    Args:
        structures: one or many, read once, in flat memory.
        against: known structures, for the same figures and for how far apart the two sets are.
        check: run the checks on `structures`; without it verdicts are those that stand in them.
        declared: take space groups as they are declared, without templates: faster.
        jobs: worker processes.
        executor: any `concurrent.futures.Executor` (of dask, mpi4py, ...), whose workers do it in their place.

    Returns:
        The object that the command writes: `structures` and `refused` (numbers), `kinds`, `checks`, `crystal_systems`,
        `space_groups`, `elements`, `fields` (of each number `n`, `min`, `q1`, `median`, `q3`, `max`, `mean` in its
        unit), `texts`, `formulas`, `templates`, of MOFs `nets`, `nodes` and `linkers`; with another set `against`, the
        same of that, and `distances` (`d_rho` in g/cm3, `d_elem`, `d_sg`, `wasserstein` of every number in its unit).

    Raises:
        UsageError: something that is no structure.
    """
    plan = None
    if check:
        from crystaltool.verbs.check import plan_of

        plan = plan_of(None, None, with_reference=False)
    asked = Asked(detect=not declared, validity=against is not None, plan=plan)
    first = _summary(structures, "structures", asked, jobs, executor)
    found = summary_as_json(first)
    if against is None:
        return found
    second = _summary(against, "against", Asked(detect=not declared), jobs, executor)
    return found | {"against": summary_as_json(second), "distances": comparison_as_json(compare(first, second))}


def _summary(
    structures: Iterable[Structure], label: str, asked: Asked, jobs: int, executor: Executor | None
) -> Summary:
    """Everything added up; what cannot be read is logged and counted."""
    summary = Summary(label)
    given = [structures] if isinstance(structures, Structure) else structures
    function = partial(facts_of, asked=asked)
    with contextlib.closing(map_pairs(function, map(_raw, given), jobs, executor=executor)) as pairs:
        for raw, facts in pairs:
            if isinstance(facts, Facts):
                summary.add(facts)
            elif isinstance(facts, CrystaltoolError):
                log_failure(facts, raw)
                summary.n_refused += 1
    return summary


def _raw(structure: Any) -> RawBlock:
    """The structure as the text that the command reads.

    Raises:
        UsageError: it is none.
    """
    if not isinstance(structure, Structure):
        raise UsageError(f"a {type(structure).__name__}, expected a Structure")
    return RawBlock(structure.source, 0, structure.name, structure.to_cif())
