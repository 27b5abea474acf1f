"""`check`: verdicts on a structure."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from functools import partial
from math import isfinite
from typing import TYPE_CHECKING, Any

from crystaltool.checks.judge import Judgement, judge_block
from crystaltool.checks.kind import KINDS
from crystaltool.checks.registry import PORES, UNIQUE, Plan, check_names, select
from crystaltool.checks.stability import DEFAULT_ABOVE_HULL, STABLE
from crystaltool.checks.verdict import Verdict
from crystaltool.errors import UsageError
from crystaltool.io.records import BadRecord, RawBlock
from crystaltool.io.remarks import DETAIL, publish
from crystaltool.structure import Structure
from crystaltool.verbs.stream import each

if TYPE_CHECKING:
    from crystaltool.checks.references import References


def check(
    structure: Structure | Iterable[Structure],
    *,
    only: Sequence[str] | None = None,
    kind: str | None = None,
    reference: References | str | list[str] | tuple[str, ...] | None = None,
    pores: bool = False,
    stable: float | None = None,
    jobs: int = 1,
    executor: Executor | None = None,
) -> Any:
    """Judge a structure; as `crystaltool check`, whose manual says what each check asks for.

    Args:
        structure: one, or an iterable of them.
        only: names of the checks to run, whatever the kind.
        kind: `inorganic` or `mof`; None to recognise it.
        reference: files or folders of known structures, or what `known_structures` read from them once: adds `novel`,
            and for an iterable `unique`.
        pores: also ask of MOFs a pore limiting diameter of 2.4 A.
        stable: also ask of crystals to lie at most so far above the hull, eV/atom.
        jobs: worker processes for an iterable.
        executor: any `concurrent.futures.Executor` (of dask, mpi4py, ...), whose workers do it in their place.

    Returns:
        A `Judgement`: `passed`, `verdicts` (each with `check`, `passed`, `value`, `limit`, `message`), `kind`; of an
        iterable an iterator over them.

    Raises:
        UsageError: no such check or kind, or `unique` asked of one structure alone.
        MissingExtraError: what a check needs is not installed.
        InputError: a reference that holds nothing to compare with.
    """
    known = (
        known_structures(reference, kind, jobs, executor) if isinstance(reference, (str, list, tuple)) else reference
    )
    plan = plan_of(only, kind, known is not None, pores, stable)
    judged = each(partial(_judge, plan, known), structure, Structure, jobs, executor)
    if not isinstance(structure, Structure):
        return _with_unique(judged) if UNIQUE in plan.mof else judged
    if only is not None and UNIQUE in only:
        raise UsageError("the check 'unique' compares the structures of an iterable, this is one")
    return judged


def known_structures(
    paths: str | Sequence[str], kind: str | None = None, jobs: int = 1, executor: Executor | None = None
) -> References:
    """Known structures to compare with, read once: anything that `read` reads, and files of `fragment`.

    Args:
        paths: a file or folder, or several. kind: of all structures, None to recognise it. jobs: worker processes.
        executor: any `concurrent.futures.Executor`, whose workers read in their place.

    Raises:
        InputError: nothing to compare with in one of the paths.
    """
    from crystaltool.checks.references import read_references

    chosen = [paths] if isinstance(paths, str) else [str(path) for path in paths]
    return read_references(chosen, kind, jobs, _Log(), executor=executor)


def plan_of(
    only: Sequence[str] | None,
    kind: str | None,
    with_reference: bool,
    pores: bool = False,
    stable: float | None = None,
    identities: bool = False,
) -> Plan:
    """Which checks run on which structures; arguments as for `check`, `identities` as for `Plan`.

    Raises:
        UsageError: no such check or kind, a limit that is not finite.
        MissingExtraError: what a check needs is not installed.
    """
    if kind is not None and kind not in KINDS:
        raise UsageError(f"kind is {kind!r}, expected {' or '.join(KINDS)}")
    inorganic, mof = (tuple(select(only, with_reference, each_kind)) for each_kind in KINDS)
    if pores:
        from crystaltool.checks.mof.pores import require_zeo

        require_zeo()
        mof = tuple(name for name in check_names() if name in (*mof, PORES.name))
    if stable is not None:
        if not isfinite(stable):
            raise UsageError(f"--stable is {stable:g} eV/atom, expected a finite number")
        inorganic = tuple(name for name in check_names() if name in (*inorganic, STABLE))
    above_hull = DEFAULT_ABOVE_HULL if stable is None else stable
    return Plan(inorganic, mof, kind, identities=identities, above_hull=above_hull)


class Seen:
    """The different structures of a stream so far: MOFs by identity, the others as crystals."""

    def __init__(self) -> None:
        from crystaltool.checks.matching import Seen as SeenCrystals
        from crystaltool.checks.mof.identity import SeenMOFs

        self._crystals, self._mofs = SeenCrystals(), SeenMOFs()

    def check_unique(self, judgement: Judgement) -> Verdict:
        """Whether it differs from all earlier ones."""
        if judgement.identity is None or not judgement.by_identity:
            return self._crystals.check_unique(judgement.crystal, judgement.name)
        return self._mofs.check_unique(judgement.identity, judgement.name)


def _judge(plan: Plan, known: References | None, structure: Structure) -> Judgement:
    return judge_block(structure.block, plan, known)


def _with_unique(judgements: Iterator[Judgement]) -> Iterator[Judgement]:
    seen = Seen()
    for judgement in judgements:
        yield judgement.add(seen.check_unique(judgement))


class _Log:
    """Tells Python's logging what a reference holds that cannot be used."""

    def bad(self, text: str, record: RawBlock | BadRecord) -> None:
        """A record that cannot be read."""
        publish(logging.ERROR, text, record.source, record.line, record.name)

    def note(self, text: str, record: RawBlock) -> None:
        """A detail."""
        publish(DETAIL, text, record.source, record.line, record.name)
