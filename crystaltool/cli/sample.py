"""`crystaltool sample`: new structures from a trained model, inorganic crystals as CIF, coarse-grained MOFs as HDF5."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from crystaltool.cli import options
from crystaltool.cli import sample_conditions as conditions
from crystaltool.cli import sample_nets as nets
from crystaltool.cli.session import Session

if TYPE_CHECKING:
    from crystaltool.models.symmcd.checkpoint import LoadedSymmCD
    from crystaltool.models.symmcd.plan import Plan
    from crystaltool.models.symmcd.request import Request
    from crystaltool.models.symmcd.sampling import SamplerConfig


LEAST_CHUNK = 32
"""Structures that a process takes at a time at least, where batches are larger: as many as share a network call."""


@dataclass(frozen=True)
class Settings:
    """What a worker must know: the checkpoint, what is asked for, seed, network calls and device."""

    checkpoint: str
    request: Request
    seed: int
    steps: int | None
    attempts: int | None
    candidates: int | None
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
    sg: conditions.SpaceGroups = None,
    elements: conditions.Elements = None,
    require: conditions.Require = None,
    exclude: conditions.Exclude = None,
    formula: conditions.Formula = None,
    n_atoms: conditions.Atoms = None,
    primitive: conditions.Primitive = False,
    n_elements: conditions.Kinds = None,
    template: conditions.Template = None,
    net: nets.NetOption = None,
    metal: nets.MetalOption = None,
    node: nets.NodeOption = None,
    linker: nets.LinkerOption = None,
    seed: options.Seed = 0,
    steps: Annotated[
        Optional[int],  # noqa: UP045 -- typer evaluates this at run time
        typer.Option(
            "--steps",
            min=3,
            metavar="T",
            help="Network calls a structure; mofdiff with --net free: of each trajectory, one for the blocks and one"
            " for each placing; default: the checkpoint's own.",
        ),
    ] = None,
    attempts: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            "--attempts",
            min=1,
            metavar="N",
            help="Draw a structure up to N times, until no atoms are within 0.5 A and its space group is the one asked"
            " for, not a supergroup; 1 gives raw samples; default: the checkpoint's own. symmcd only.",
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
            "--draws",
            min=1,
            metavar="N",
            help="Fillings (--net free: latents) drawn a MOF under --target; the best count. mofdiff only.",
        ),
    ] = None,
    candidates: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            "--candidates",
            min=1,
            metavar="N",
            help="mofdiff: decodings of each MOF for `assemble` to choose from. symmcd, under conditions: choices of"
            " sites of which each structure takes one by its weight. Default: the checkpoint's own.",
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
    by construction; what is found at 0.01 A is that group and no supergroup, or a warning says where not, unless
    --attempts is 1. mofdiff writes one HDF5 file of coarse-grained MOFs, building blocks and their places in a cell,
    for `crystaltool assemble`: nets of known MOFs filled with blocks of the library, or blocks and places denoised
    (--net free). Conditions hold in every sample; what cannot be met is said before anything is drawn.
    Structure i depends on the seed and on i alone, not on --batch-size, --jobs or --resume.
    """
    from crystaltool.errors import UsageError
    from crystaltool.executor import map_ordered
    from crystaltool.models.symmcd.draws import LARGEST_SEED
    from crystaltool.models.symmcd.sampling import SamplerConfig
    from crystaltool.models.weights import checkpoint_kind, find_checkpoint
    from crystaltool.training.distributed import choose_device

    session = Session(context, quiet=quiet, verbose=verbose, provenance=not no_provenance)
    checkpoint = find_checkpoint(model)
    coarse = checkpoint_kind(checkpoint) == "mofdiff"
    wishes = {
        "sg": sg,
        "elements": elements,
        "require": require,
        "exclude": exclude,
        "formula": formula,
        "n_atoms": n_atoms,
        "primitive": primitive or None,
        "n_elements": n_elements,
        "template": template,
    }
    inorganic = {"attempts": attempts, "output_dir": output_dir, "resume": resume or None}
    others = (
        {f"--{name.replace('_', '-')}": value for name, value in {**wishes, **inorganic}.items()}
        if coarse
        else {
            "--target": target,
            "--draws": draws,
            "--library": library,
            "--net": net,
            "--metal": metal,
            "--node": node,
            "--linker": linker,
        }
    )
    for option, value in others.items():
        if value is not None:
            raise UsageError(f"{option} does not go with {checkpoint_kind(checkpoint) or 'this'} models")
    if seed > LARGEST_SEED:
        raise UsageError(f"--seed is {seed}, the largest is {LARGEST_SEED}")
    if steps is not None and not coarse:
        SamplerConfig(calls=steps).split()
    if coarse:
        from crystaltool.cli import sample_mofdiff

        wishes_of_mofs = nets.Wishes(net, tuple(metal or ()), tuple(node or ()), tuple(linker or ()))
        wanted = sample_mofdiff.Settings(
            str(checkpoint), library, seed, steps, candidates, draws, target, str(choose_device(device)), wishes_of_mofs
        )
        sample_mofdiff.sample(session, wanted, n, batch_size, jobs, output, overwrite)
        session.finish()
    settings = Settings(
        checkpoint=str(checkpoint),
        request=conditions.read_request(session, checkpoint, wishes),
        seed=seed,
        steps=steps,
        attempts=attempts,
        candidates=candidates,
        device=str(choose_device(device)),
        created=session.created,
        command_line=session.command_line if session.provenance else None,
    )
    loaded = load(settings.checkpoint, settings.device)
    if not plan(settings).weighs and candidates is not None:
        raise UsageError(
            "--candidates: there is nothing to weigh, no elements, formula or numbers of atoms are asked for"
        )
    faulty: list[str] = []
    with session.writer(output, output_dir, overwrite, resume) as out, session.progress(n) as progress:
        todo = list(missing(loaded, settings, n, batch_size, out.has)) if resume else list(range(n))
        size = min(batch_size, max(LEAST_CHUNK, -(-len(todo) // (4 * jobs))))  # work and progress for every process
        chunks = (tuple(todo[start : start + size]) for start in range(0, len(todo), size))
        with contextlib.closing(map_ordered(functools.partial(sample_blocks, settings), chunks, jobs)) as results:
            for blocks in results:
                if isinstance(blocks, Exception):
                    raise blocks
                for name, text, fault in blocks:
                    out.write(text, name)
                    faulty += [name] if fault else []
                    progress.advance()
    if faulty:
        some = f"{', '.join(faulty[:3])}{', ...' if len(faulty) > 3 else ''}"
        session.warn(f"{len(faulty)} of {len(todo)} have a supergroup or coinciding atoms after all attempts: {some}")
    session.finish()


@functools.lru_cache(maxsize=1)
def load(checkpoint: str, device: str) -> LoadedSymmCD:
    """The model of this process."""
    from pathlib import Path

    from crystaltool.models.symmcd.checkpoint import load_symmcd

    return load_symmcd(Path(checkpoint), device)


@functools.lru_cache(maxsize=1)
def _plan(checkpoint: str, device: str, request: Request) -> Plan:
    from crystaltool.models.symmcd.sampling import plan_for

    return plan_for(load(checkpoint, device).model, request)


def plan(settings: Settings) -> Plan:
    """What the request leaves open for the model of this process.

    Raises:
        UsageError: nothing.
    """
    return _plan(settings.checkpoint, settings.device, settings.request)


def sampler(settings: Settings, loaded: LoadedSymmCD) -> SamplerConfig:
    """The checkpoint's settings with those that the options change."""
    from dataclasses import replace

    changes = {
        "calls": settings.steps,
        "attempts": settings.attempts,
        "site_candidates": settings.candidates,
        "formula_candidates": settings.candidates,
    }
    return replace(loaded.sampler, **{name: value for name, value in changes.items() if value is not None})


def missing(loaded: LoadedSymmCD, settings: Settings, n: int, batch_size: int, has) -> Iterator[int]:
    """Items of a resumed run that the output does not hold yet; names are known before any geometry is sampled."""
    from crystaltool.models.symmcd.draws import item_name
    from crystaltool.models.symmcd.sampling import draw_items

    for start in range(0, n, batch_size):
        indices = range(start, min(start + batch_size, n))
        draws = draw_items(loaded.model, plan(settings), indices, settings.seed, sampler(settings, loaded))
        yield from (i for i in indices if not has(item_name(draws[i].group, settings.seed, i)))


def sample_blocks(settings: Settings, indices: tuple[int, ...]) -> list[tuple[str, str, int]]:
    """(name, CIF text, fault that all attempts have left) of some items; pure, for any process."""
    from crystaltool.io.cif import format_asym_unit
    from crystaltool.io.provenance import extend_history
    from crystaltool.models.symmcd.sampling import faults, sample_symmcd

    loaded = load(settings.checkpoint, settings.device)
    config = sampler(settings, loaded)
    units = sample_symmcd(loaded.model, indices, plan(settings), settings.seed, config, len(indices))
    blocks = []
    for index, unit in zip(indices, units, strict=True):
        history: tuple[str, ...] = ()
        if settings.command_line is not None:
            origin = (f"weights sha256:{loaded.sha256[:16]}", settings.device)
            history = extend_history((), settings.command_line, index, origin)
        text = format_asym_unit(unit, unit.name, history, created=settings.created)
        blocks.append((unit.name, text, faults(unit) if config.exact else 0))
    return blocks
