"""`crystaltool sample`: new structures from a trained model, inorganic crystals as CIF, coarse-grained MOFs as HDF5."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from crystaltool.cli import options
from crystaltool.cli.session import Session

if TYPE_CHECKING:
    from crystaltool.models.symmcd.checkpoint import LoadedSymmCD


@dataclass(frozen=True)
class Settings:
    """What a worker must know: the checkpoint, the space groups to take in turn, seed, network calls and device."""

    checkpoint: str
    groups: tuple[int, ...]
    seed: int
    steps: int | None
    attempts: int | None
    device: str
    created: str | None
    command_line: str | None


def command(
    context: typer.Context,
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A shipped model (symmcd or mofdiff), or the folder that `crystaltool train` wrote."
        ),
    ],
    n: Annotated[int, typer.Option("-n", "--number", min=1, metavar="N", help="Number of structures.")] = 10,
    sg: Annotated[
        Optional[list[str]],  # noqa: UP045 -- typer evaluates this at run time
        typer.Option(
            "--sg",
            metavar="GROUP",
            help="Space group, number or Hermann-Mauguin symbol; repeat it to take several in turn."
            " Without it groups are drawn as often as they occur in the training data.",
        ),
    ] = None,
    seed: options.Seed = 0,
    steps: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            "--steps",
            min=3,
            metavar="T",
            help="Network calls a structure; mofdiff: of each trajectory, one for the blocks and one for each placing;"
            " default: the checkpoint's own.",
        ),
    ] = None,
    attempts: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            "--attempts",
            min=1,
            metavar="N",
            help="Draw a structure up to N times, until no atoms are within 0.5 A; 1 gives raw samples; default: the"
            " checkpoint's own. symmcd only.",
        ),
    ] = None,
    target: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--target",
            metavar="PROPERTY=VALUE",
            help="Aim at a predicted property: a value or max, such as co2_wc=3.0 (mmol/g). mofdiff only.",
        ),
    ] = None,
    draws: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            "--draws", min=1, metavar="N", help="Latents drawn a MOF under --target; the best is decoded. mofdiff only."
        ),
    ] = None,
    candidates: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            "--candidates",
            min=1,
            metavar="N",
            help="Decodings of each MOF for `assemble` to choose from. mofdiff only.",
        ),
    ] = None,
    library: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--library", metavar="LIB.h5", help="Blocks to decode with; default: the checkpoint's own. mofdiff only."
        ),
    ] = None,
    batch_size: options.BatchSize = 200,
    device: options.Device = "auto",
    jobs: options.Jobs = 1,
    output: options.Output = "-",
    output_dir: options.OutputDir = None,
    overwrite: options.Overwrite = False,
    resume: options.Resume = False,
    no_provenance: options.NoProvenance = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Sample new structures from a trained model.

    symmcd writes one CIF block per structure, complete with the operations of its space group, Wyckoff letters and
    multiplicities. The symmetry is exact: coordinates and cell lie on the Wyckoff positions and in the crystal system
    by construction. mofdiff writes one HDF5 file of coarse-grained MOFs, building blocks and their places in a cell,
    for `crystaltool assemble`. Structure i depends on the seed and on i alone, not on --batch-size, --jobs or --resume.
    """
    from crystaltool.errors import UsageError
    from crystaltool.executor import map_ordered
    from crystaltool.models.symmcd.sampling import LARGEST_SEED, SamplerConfig
    from crystaltool.models.weights import checkpoint_kind, find_checkpoint
    from crystaltool.symmetry import parse_space_group
    from crystaltool.training.distributed import choose_device

    session = Session(context, quiet=quiet, verbose=verbose, provenance=not no_provenance)
    checkpoint = find_checkpoint(model)
    coarse = checkpoint_kind(checkpoint) == "mofdiff"
    others = (
        {"--sg": sg, "--attempts": attempts, "--output-dir": output_dir, "--resume": resume or None}
        if coarse
        else {"--target": target, "--draws": draws, "--candidates": candidates, "--library": library}
    )
    for option, value in others.items():
        if value is not None:
            raise UsageError(f"{option} does not go with {checkpoint_kind(checkpoint) or 'this'} models")
    groups = tuple(parse_space_group(text) for text in sg or ())
    if seed > LARGEST_SEED:
        raise UsageError(f"--seed is {seed}, the largest is {LARGEST_SEED}")
    if steps is not None and not coarse:
        SamplerConfig(calls=steps).split()
    if coarse:
        from crystaltool.cli import sample_mofdiff

        wanted = sample_mofdiff.Settings(
            str(checkpoint), library, seed, steps, candidates, draws, target, str(choose_device(device))
        )
        sample_mofdiff.sample(session, wanted, n, batch_size, jobs, output, overwrite)
        session.finish()
    settings = Settings(
        checkpoint=str(checkpoint),
        groups=groups,
        seed=seed,
        steps=steps,
        attempts=attempts,
        device=str(choose_device(device)),
        created=session.created,
        command_line=session.command_line if session.provenance else None,
    )
    loaded = load(settings.checkpoint, settings.device)
    with session.writer(output, output_dir, overwrite, resume) as out, session.progress(n) as progress:
        todo = list(missing(loaded, settings, n, out.has)) if resume else list(range(n))
        chunks = (tuple(todo[start : start + batch_size]) for start in range(0, len(todo), batch_size))
        with contextlib.closing(map_ordered(functools.partial(sample_blocks, settings), chunks, jobs)) as results:
            for blocks in results:
                if isinstance(blocks, Exception):
                    raise blocks
                for name, text in blocks:
                    out.write(text, name)
                    progress.advance()
    session.finish()


@functools.lru_cache(maxsize=1)
def load(checkpoint: str, device: str) -> LoadedSymmCD:
    """The model of this process."""
    from pathlib import Path

    from crystaltool.models.symmcd.checkpoint import load_symmcd

    return load_symmcd(Path(checkpoint), device)


def missing(loaded: LoadedSymmCD, settings: Settings, n: int, has) -> Iterator[int]:
    """Items of a resumed run that the output does not hold yet; names are known before anything is sampled."""
    from crystaltool.models.symmcd.sampling import draw_item, item_name

    counts = loaded.model.orbit_counts.cpu().double().numpy()
    for index in range(n):
        if not has(item_name(draw_item(counts, settings.groups, settings.seed, index).group, settings.seed, index)):
            yield index


def sample_blocks(settings: Settings, indices: tuple[int, ...]) -> list[tuple[str, str]]:
    """(name, CIF text) of some items; pure, for any process."""
    from dataclasses import replace

    from crystaltool.io.cif import format_asym_unit
    from crystaltool.io.provenance import extend_history
    from crystaltool.models.symmcd.sampling import sample_symmcd

    loaded = load(settings.checkpoint, settings.device)
    changes = {"calls": settings.steps, "attempts": settings.attempts}
    config = replace(loaded.sampler, **{name: value for name, value in changes.items() if value is not None})
    units = sample_symmcd(loaded.model, indices, settings.groups, settings.seed, config, len(indices))
    blocks = []
    for index, unit in zip(indices, units, strict=True):
        history: tuple[str, ...] = ()
        if settings.command_line is not None:
            origin = (f"weights sha256:{loaded.sha256[:16]}", settings.device)
            history = extend_history((), settings.command_line, index, origin)
        blocks.append((unit.name, format_asym_unit(unit, unit.name, history, created=settings.created)))
    return blocks
