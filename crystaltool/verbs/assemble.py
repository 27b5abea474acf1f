"""`assemble`: building blocks and their places to a structure with all atoms and bonds."""

from __future__ import annotations

import re
from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from crystaltool.defaults import MAX_CLOSURE, STARTS
from crystaltool.errors import RefusedError, UsageError
from crystaltool.io.provenance import extend_history
from crystaltool.mof.assemble import Assembly, AssemblyConfig, assemble_best
from crystaltool.mof.blocks import CoarseMOF
from crystaltool.mof.rebuild import to_crystal
from crystaltool.mof.sample import MOFSample
from crystaltool.structure import Structure
from crystaltool.verbs.stream import call_text, each


class AssemblyError(RefusedError):
    """A MOF that cannot be assembled; `reason` is parity, closure, overlap or dimension."""


@dataclass(frozen=True)
class AssembleSettings:
    """How a MOF is assembled; see `assemble`."""

    starts: int = STARTS
    max_closure: float = MAX_CLOSURE
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        if not 0 < self.max_closure < float("inf"):
            raise UsageError(f"max_closure is {self.max_closure:g} A, expected a positive number")
        if self.starts < 1:
            raise UsageError(f"starts is {self.starts}, expected 1 or more")


def assemble(
    mof: MOFSample | CoarseMOF | Iterable[MOFSample | CoarseMOF],
    *,
    starts: int = STARTS,
    max_closure: float = MAX_CLOSURE,
    seed: int = 0,
    device: str = "auto",
    jobs: int = 1,
    executor: Executor | None = None,
) -> Any:
    """All atoms and bonds of a coarse-grained MOF; as `crystaltool assemble`.

    Finds the rotations of the blocks, which connection points are bound, and the cell and centres near the given ones
    for which every bond closes; of several decodings the best. Properties of the result: `closure_max`,
    `closure_mean` (A), `angle_max` (degrees off a straight bond), `contacts`, `assembly_cost` (A^2), `cell_strain`,
    `centre_shift` (A).

    Args:
        mof: what a model sampled or `fragment` gave; one, or an iterable of them.
        starts: random orientations of all blocks tried at once.
        max_closure: largest gap in a bond between blocks, A.
        seed: sample i draws from (seed, i); a `CoarseMOF` is sample 0, in an iterable it is counted.
        device: where the search runs, such as cpu or cuda:0.
        jobs: worker processes for an iterable.
        executor: any `concurrent.futures.Executor` (of dask, mpi4py, ...), whose workers do it in their place.

    Returns:
        A `Structure` with its bonds; of an iterable an iterator over them, those refused logged and left out.

    Raises:
        AssemblyError: the MOF cannot be assembled.
        UsageError: a number out of range.
    """
    from crystaltool.training.distributed import choose_device

    settings = AssembleSettings(starts, max_closure, seed, str(choose_device(device)))
    call = call_text("assemble", settings, skip=("device",))
    function = partial(_assembled_or_refused, settings, call)
    if isinstance(mof, (MOFSample, CoarseMOF)):
        return function(as_sample(mof, 0))
    return each(function, (as_sample(one, item) for item, one in enumerate(mof)), MOFSample, jobs, executor)


def as_sample(mof: MOFSample | CoarseMOF, item: int) -> MOFSample:
    """A MOF as a sample of one decoding.

    Raises:
        UsageError: it is neither.
    """
    if isinstance(mof, MOFSample):
        return mof
    if not isinstance(mof, CoarseMOF):
        raise UsageError(f"a {type(mof).__name__}, expected a MOFSample or a CoarseMOF")
    return MOFSample(item, mof.name or f"mof-{item}", "", (mof,))


def _assembled_or_refused(settings: AssembleSettings, call: str, sample: MOFSample) -> Structure:
    found = assembled(settings, sample)
    if not found.good:
        raise AssemblyError(found.reason, f"refused ({found.reason}): {found.message}")
    return structure_of(found, sample, call)


def assembled(settings: AssembleSettings, sample: MOFSample) -> Assembly:
    """The best assembly of a sample, good or refused; pure."""
    thorough = AssemblyConfig(starts=settings.starts, max_closure=settings.max_closure)
    # Of several decodings one will do: a short search on each finds as many good ones as a long one, 7 times as fast.
    short = replace(thorough, rounds=1, generations=2, solved=0.2)
    # A known net leaves little to search, and rigid blocks of other MOFs never close to the last hundredth.
    known = replace(thorough, solved=0.1, patience=2)
    free = short if len(sample.decodings) > 1 else thorough
    config = free if sample.decodings[0].edges is None else known
    return assemble_best(sample.decodings, config, settings.seed, sample.item, settings.device, is_neutral)


def is_neutral(assembly: Assembly) -> bool:
    """Whether ligands and metals, by the bonds that the assembly made, are neutral together or cannot be judged.

    Blocks are chosen by the charges that they can have; which they have, their neighbours settle.
    """
    from crystaltool.checks.mof.coordination import Coordination
    from crystaltool.checks.mof.framework_charge import check_framework_charge

    crystal, bonds = to_crystal(assembly.mof)
    return check_framework_charge(Coordination(crystal, bonds), str).passed


def structure_of(assembly: Assembly, sample: MOFSample, call: str | None) -> Structure:
    """The structure of a good assembly; `call` is what the history says of it, None leaves no history at all."""
    crystal, bonds = to_crystal(assembly.mof)
    history = () if call is None else extend_history(sample.history, call, sample.item)
    return Structure(
        crystal,
        name=sample.name,
        bonds=bonds,
        properties=properties_of(assembly),
        history=history,
        source=sample.source,
    )


def properties_of(assembly: Assembly) -> dict[str, str]:
    """The `_crystaltool_*` values of an assembled MOF: those that came with it, and the report."""
    given = {
        re.sub(r"[^a-z0-9_]", "_", key.lower()): f"{value:.6g}"
        for key, value in assembly.mof.properties.items()
        if key[:1].isalpha()
    }
    return given | {
        "n_building_blocks": str(assembly.mof.n_blocks),
        "closure_max": f"{assembly.closure_max:.4f}",
        "closure_mean": f"{assembly.closures.mean():.4f}",
        "angle_max": f"{assembly.angles.max():.2f}",
        "contacts": str(assembly.n_contacts),
        "assembly_cost": f"{assembly.cost:.5f}",
        "cell_strain": f"{assembly.strain:.5f}",
        "centre_shift": f"{assembly.displacement:.4f}",
    }
