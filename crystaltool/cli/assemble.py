"""`crystaltool assemble`: coarse-grained MOFs to all-atom structures with bonds."""

from __future__ import annotations

import contextlib
import functools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from crystaltool.cli import messages, options
from crystaltool.cli.session import STDIN, Record, Session
from crystaltool.cli.shards import own_items
from crystaltool.defaults import ASSEMBLY_BATCH, MAX_CLOSURE, STARTS

if TYPE_CHECKING:
    from crystaltool.mof.sample import MOFSample
    from crystaltool.mof.table import MOFTable
    from crystaltool.verbs.assemble import AssembleSettings


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
    ] = STARTS,
    max_closure: Annotated[
        float, typer.Option("--max-closure", metavar="A", help="Largest gap in a bond between blocks, in Angstrom.")
    ] = MAX_CLOSURE,
    seed: options.Seed = 0,
    batch_size: options.BatchSize = ASSEMBLY_BATCH,
    device: options.Device = "auto",
    jobs: options.Jobs = 1,
    scheduler: options.Scheduler = None,
    output: options.Output = "-",
    output_dir: options.OutputDir = None,
    overwrite: options.Overwrite = False,
    resume: options.Resume = False,
    shard: options.Shard = None,
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
    none is left. Several files, such as those of the shards of sample, are one run.
    """
    from crystaltool.errors import UsageError
    from crystaltool.executor import in_chunks, map_pairs
    from crystaltool.training.distributed import choose_device
    from crystaltool.verbs.assemble import AssembleSettings

    session = Session(context)
    if not 0 < max_closure < float("inf"):
        raise UsageError(f"--max-closure is {max_closure:g} A, expected a positive number")
    settings = AssembleSettings(starts, max_closure, seed, str(choose_device(device)))
    tally: Counter[str] = Counter()
    with session.writer(output, output_dir, overwrite, resume, files) as out, session.progress() as progress:
        tables = read_tables(session, files)
        if session.shard.count > 1:  # which are counted first
            tables = list(tables)
        samples = own_items(session.shard, functools.partial(read_samples, session, tables), session.in_silence)
        todo = (sample for sample in samples if not out.has(sample.name))
        chunks = in_chunks(todo, batch_size)
        function = functools.partial(assemble_chunk, settings, session.record)
        with contextlib.closing(map_pairs(function, chunks, jobs, executor=session.workers.executor)) as pairs:
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
    if tally and not session.quiet:
        messages.say(session.program, "NOTE", yield_line(tally))
    session.finish(failed=bool(tally) and not tally[""] and not n_done)


def read_tables(session: Session, files: Sequence[str] | None) -> Iterator[tuple[str, MOFTable, tuple[str, ...]]]:
    """All inputs in order, each with its history; an input that cannot be read is reported."""
    from crystaltool.errors import InputError
    from crystaltool.io.hdf5 import read_history
    from crystaltool.mof.table import read_mofs

    for file in session.inputs(files):
        source, label = session.seekable(file), "standard input" if file == STDIN else file
        try:
            table = read_mofs(source, label)
            history = read_history(source, label)
            if not len(table):
                raise InputError(f"{label}: no MOFs in it")
        except InputError as error:
            session.bad(str(error))
            continue
        yield file, table, history


def read_samples(session: Session, tables: Iterable[tuple[str, MOFTable, tuple[str, ...]]]) -> Iterator[MOFSample]:
    """The samples of all inputs in order."""
    from crystaltool.mof.sample import MOFSample, grouped

    item, used = 0, set()
    for file, table, history in tables:
        for decodings in grouped(table[index] for index in range(len(table))):
            name = _unique(session, decodings[0].name or f"mof-{item}", used, file)
            yield MOFSample(item, name, file, decodings, history)
            item += 1


def assemble_chunk(settings: AssembleSettings, record: Record, chunk: tuple[MOFSample, ...]) -> list[Outcome]:
    """Assemble some samples; pure, for any process."""
    from crystaltool.verbs.assemble import assembled, structure_of

    outcomes = []
    for sample in chunk:
        found = assembled(settings, sample)
        text = ""
        if found.good:
            text = structure_of(found, sample, record.command_line).to_cif(record.created)
        outcomes.append(Outcome(text, found.reason, found.message))
    return outcomes


def yield_line(tally: Counter[str]) -> str:
    """How many samples are left after each stage."""
    asked = tally.total()
    left, parts = asked, []
    for reason in ("parity", "closure", "overlap", "dimension"):
        left -= tally[reason]
        parts.append(f"{left} after {reason} ({100 * left / asked:.1f} %)")
    return f"yield: {asked} asked, " + ", ".join(parts)


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
