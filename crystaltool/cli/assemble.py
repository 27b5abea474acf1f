"""`crystaltool assemble`: coarse-grained MOFs to all-atom structures with bonds."""

from __future__ import annotations

import contextlib
import functools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from crystaltool.cli import messages, options
from crystaltool.cli.session import STDIN, Session

if TYPE_CHECKING:
    from io import BytesIO

    from crystaltool.mof.assemble import Assembly
    from crystaltool.mof.blocks import CoarseMOF

# Stands also in mof/assemble/nouns.py, which this module must not load for --help; a test compares them.
DEFAULT_STARTS = 32

# Blocks of a library are rigid conformers from other MOFs: gaps of this size close in `relax`, which knows the bonds.
DEFAULT_MAX_CLOSURE = 2.0


@dataclass(frozen=True)
class Settings:
    """What a worker must know: all that decides the bytes of a block."""

    starts: int
    max_closure: float
    seed: int
    device: str
    command_line: str | None
    created: str | None


@dataclass(frozen=True)
class Sample:
    """The decodings of one sample, its number in the run, its unique name, and where it comes from."""

    item: int
    name: str
    source: str
    decodings: tuple[CoarseMOF, ...]
    history: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """What became of a sample: the text of its block, or the reason and the message of the refusal."""

    text: str
    reason: str
    message: str


def command(
    context: typer.Context,
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE",
            help="HDF5 files of kind mof-blocks, as sample mofdiff and fragment write; - or nothing is standard input.",
            show_default=False,
        ),
    ] = None,
    starts: Annotated[
        int, typer.Option("--starts", min=1, metavar="N", help="Random orientations of all blocks tried at once.")
    ] = DEFAULT_STARTS,
    max_closure: Annotated[
        float, typer.Option("--max-closure", metavar="A", help="Largest gap in a bond between blocks, in Angstrom.")
    ] = DEFAULT_MAX_CLOSURE,
    seed: options.Seed = 0,
    batch_size: options.BatchSize = 8,
    device: options.Device = "auto",
    jobs: options.Jobs = 1,
    output: options.Output = "-",
    output_dir: options.OutputDir = None,
    overwrite: options.Overwrite = False,
    resume: options.Resume = False,
    fail_fast: options.FailFast = False,
    no_provenance: options.NoProvenance = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Assemble coarse-grained MOFs to structures with all atoms and bonds.

    Finds the rotations of the building blocks, which connection points are bound to each other, and the cell and
    centres near the given ones for which every bond closes. Decodings of one sample (one name, numbered by the
    property candidate) are all tried, the most promising at length, and the best is written. Each block is in P 1
    with its bonds and _crystaltool_closure_max, _closure_mean (Angstrom), _angle_max (degrees off a straight bond),
    _contacts, _assembly_cost (square Angstrom), _cell_strain and _centre_shift (Angstrom). A MOF that cannot be
    assembled is named with its reason (parity, closure, overlap, dimension) and left out; that is no error unless
    none is left.
    """
    from crystaltool.errors import UsageError
    from crystaltool.executor import map_pairs
    from crystaltool.training.distributed import choose_device

    session = Session(context, quiet=quiet, verbose=verbose, fail_fast=fail_fast, provenance=not no_provenance)
    if not 0 < max_closure < float("inf"):
        raise UsageError(f"--max-closure is {max_closure:g} A, expected a positive number")
    settings = Settings(
        starts,
        max_closure,
        seed,
        str(choose_device(device)),
        session.command_line if session.provenance else None,
        session.created,
    )
    tally: Counter[str] = Counter()
    with session.writer(output, output_dir, overwrite, resume, files) as out, session.progress() as progress:
        todo = (sample for sample in read_samples(session, files) if not out.has(sample.name))
        chunks = _in_chunks(todo, batch_size)
        with contextlib.closing(map_pairs(functools.partial(assemble_chunk, settings), chunks, jobs)) as pairs:
            for chunk, outcomes in pairs:
                if isinstance(outcomes, Exception):
                    raise outcomes
                for sample, outcome in zip(chunk, outcomes, strict=True):
                    tally[outcome.reason] += 1
                    if outcome.reason:
                        session.warn_at(sample.source, 0, sample.name, f"refused ({outcome.reason}): {outcome.message}")
                    else:
                        out.write(outcome.text, sample.name)
                    progress.advance()
        n_done = out.n_done
    if tally and not quiet:
        messages.say(session.program, "NOTE", yield_line(tally))
    session.finish(failed=bool(tally) and not tally[""] and not n_done)


def read_samples(session: Session, files: Sequence[str] | None) -> Iterator[Sample]:
    """The samples of all inputs in order; an input that cannot be read is reported."""
    from crystaltool.errors import InputError
    from crystaltool.io.hdf5 import read_history
    from crystaltool.mof.table import read_mofs

    item, used = 0, set()
    for file in session.inputs(files):
        source, label = _source(file), "standard input" if file == STDIN else file
        try:
            table = read_mofs(source, label)
            history = read_history(source, label)
            if not len(table):
                raise InputError(f"{label}: no MOFs in it")
        except InputError as error:
            session.bad(str(error))
            continue
        for decodings in grouped(table[index] for index in range(len(table))):
            name = _unique(session, decodings[0].name or f"mof-{item}", used, file)
            yield Sample(item, name, file, decodings, history)
            item += 1


def grouped(mofs: Iterable[CoarseMOF]) -> Iterator[tuple[CoarseMOF, ...]]:
    """Decodings of one sample: MOFs of one name in a row whose property `candidate` goes up."""
    found: list[CoarseMOF] = []
    for mof in mofs:
        if found and (
            mof.name != found[-1].name
            or not mof.properties.get("candidate", -1.0) > found[-1].properties.get("candidate", 0.0)
        ):
            yield tuple(found)
            found = []
        found.append(mof)
    if found:
        yield tuple(found)


def assemble_chunk(settings: Settings, chunk: tuple[Sample, ...]) -> list[Outcome]:
    """Assemble some samples; pure, for any process."""
    from crystaltool.mof.assemble import AssemblyConfig, assemble_best

    thorough = AssemblyConfig(starts=settings.starts, max_closure=settings.max_closure)
    # Of several decodings one will do: a short search on each finds as many good ones as a long one, 7 times as fast.
    short = replace(thorough, rounds=1, generations=2, solved=0.2)
    # A known net leaves little to search, and rigid blocks of other MOFs never close to the last hundredth.
    known = replace(thorough, solved=0.1, patience=2)
    return [
        _outcome(
            settings,
            sample,
            assemble_best(
                sample.decodings,
                known if sample.decodings[0].edges is not None else short if len(sample.decodings) > 1 else thorough,
                settings.seed,
                sample.item,
                settings.device,
            ),
        )
        for sample in chunk
    ]


def _outcome(settings: Settings, sample: Sample, assembly: Assembly) -> Outcome:
    from crystaltool.io.cif import format_crystal
    from crystaltool.io.provenance import extend_history
    from crystaltool.mof.rebuild import to_crystal

    if not assembly.good:
        return Outcome("", assembly.reason, assembly.message)
    crystal, bonds = to_crystal(assembly.mof)
    history = ()
    if settings.command_line is not None:
        history = extend_history(sample.history, settings.command_line, sample.item)
    text = format_crystal(crystal, sample.name, history, properties_of(assembly), settings.created, bonds)
    return Outcome(text, "", "")


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


def yield_line(tally: Counter[str]) -> str:
    """How many samples are left after each stage."""
    asked = tally.total()
    left, parts = asked, []
    for reason in ("parity", "closure", "overlap", "dimension"):
        left -= tally[reason]
        parts.append(f"{left} after {reason} ({100 * left / asked:.1f} %)")
    return f"yield: {asked} asked, " + ", ".join(parts)


def _in_chunks(samples: Iterator[Sample], size: int) -> Iterator[tuple[Sample, ...]]:
    chunk: list[Sample] = []
    for sample in samples:
        chunk.append(sample)
        if len(chunk) == size:
            yield tuple(chunk)
            chunk = []
    if chunk:
        yield tuple(chunk)


def _source(file: str) -> str | BytesIO:
    """A path, or standard input in memory: HDF5 needs to seek."""
    if file != STDIN:
        return file
    import sys
    from io import BytesIO

    return BytesIO(sys.stdin.buffer.read())


def _unique(session: Session, name: str, used: set[str], source: str) -> str:
    """The name, legal in CIF, with `.2`, `.3`, ... where it was used before."""
    from crystaltool.io.cif import clean_name

    unique = clean_name(name)
    count = 1
    while unique.casefold() in used:
        count += 1
        unique = clean_name(f"{clean_name(name)[: 74 - len(str(count))]}.{count}")
    used.add(unique.casefold())
    if count > 1:
        session.warn_at(source, 0, name, f"name repeats, renamed to {unique}")
    return unique
