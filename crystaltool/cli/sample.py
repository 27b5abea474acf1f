"""`crystaltool sample`: new structures from a trained model, inorganic crystals as CIF, coarse-grained MOFs as HDF5."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, NoReturn, Optional

import typer

from crystaltool.cli import options
from crystaltool.cli import sample_conditions as conditions
from crystaltool.cli import sample_nets as nets
from crystaltool.cli.session import Record, Session
from crystaltool.defaults import BATCH_SIZE, N_SAMPLES
from crystaltool.verbs.models import MODELS

if TYPE_CHECKING:
    from crystaltool.cli.writer import BlockWriter
    from crystaltool.verbs.sample_symmcd import SampleSettings


OWN_OPTIONS = ("symmcd", "mofdiff")
"""Models with options of their own here; any other of the table takes a number and a seed."""

OPTIONS = {"space_group": "sg"}
"""Conditions whose option has another name."""

LEAST_CHUNK = 32
"""Structures that a process takes at a time at least, where batches are larger: as many as share a network call."""


def command(
    context: typer.Context,
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="Shipped model (symmcd, symmcd-fast, symmcd-mp, mofdiff) or a folder that `crystaltool train` wrote.",
        ),
    ],
    n: Annotated[int, typer.Option("-n", "--number", min=1, metavar="N", help="Number of structures.")] = N_SAMPLES,
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
            help="mofdiff: aim at a predicted property: a value or max, such as co2_wc=3.0 (mmol/g). symmcd: aim at new"
            " crystals at most so far above the hull, e_above_hull=0.0 (eV/atom); none draws as the training data are."
            " Default: the checkpoint's own.",
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
            help="mofdiff: decodings of each MOF for `assemble` to choose from. symmcd, under conditions or a target:"
            " choices of sites of which each structure takes one by its weight. Default: the checkpoint's own.",
        ),
    ] = None,
    library: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--library", metavar="LIB.h5", help="Blocks to decode with; default: the checkpoint's own. mofdiff only."
        ),
    ] = None,
    batch_size: options.BatchSize = BATCH_SIZE,
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
    kind = checkpoint_kind(checkpoint)
    coarse = kind == "mofdiff"
    wishes = {
        "space_group": sg,
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
        {f"--{OPTIONS.get(name, name).replace('_', '-')}": value for name, value in {**wishes, **inorganic}.items()}
        if coarse
        else {
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
            raise UsageError(f"{option} does not go with {kind or 'this'} models")
    if seed > LARGEST_SEED:
        raise UsageError(f"--seed is {seed}, the largest is {LARGEST_SEED}")
    if steps is not None and not coarse:
        SamplerConfig(calls=steps).split()
    if kind in MODELS and MODELS[kind].load and kind not in OWN_OPTIONS:
        _sample_plainly(session, model, n, seed, session.writer(output, output_dir, overwrite, resume))
    if coarse:
        from crystaltool.cli import sample_mofdiff
        from crystaltool.verbs.nets import Wishes
        from crystaltool.verbs.sample_mofdiff import MOFSettings

        wishes_of_mofs = Wishes(net, tuple(metal or ()), tuple(node or ()), tuple(linker or ()))
        wanted = MOFSettings(
            str(checkpoint), library, seed, steps, candidates, draws, target, str(choose_device(device)), wishes_of_mofs
        )
        sample_mofdiff.sample(session, wanted, n, batch_size, jobs, output, overwrite)
        session.finish()
    from crystaltool.verbs.sample_symmcd import SampleSettings

    settings = SampleSettings(
        checkpoint=str(checkpoint),
        request=conditions.read_request(session, checkpoint, wishes),
        seed=seed,
        steps=steps,
        attempts=attempts,
        candidates=candidates,
        above_hull=None if target is None else conditions.read_target(target),
        device=str(choose_device(device)),
    )
    settings.check()
    faulty: list[str] = []
    with session.writer(output, output_dir, overwrite, resume) as out, session.progress(n) as progress:
        todo = list(missing(settings, n, batch_size, out.has)) if resume else list(range(n))
        size = min(batch_size, max(LEAST_CHUNK, -(-len(todo) // (4 * jobs))))  # work and progress for every process
        chunks = (tuple(todo[start : start + size]) for start in range(0, len(todo), size))
        with contextlib.closing(
            map_ordered(functools.partial(sample_blocks, settings, session.record), chunks, jobs)
        ) as results:
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


def _sample_plainly(
    session: Session, model: str, n: int, seed: int, writer: contextlib.AbstractContextManager[BlockWriter]
) -> NoReturn:
    """Sample a model of which nothing but its row is known: a number and a seed."""
    from crystaltool.verbs.models import load

    with writer as out, session.progress(n) as progress:
        for structure in load(model).sample(n, seed=seed):
            out.write(structure.to_cif(session.created, session.provenance), structure.name)
            progress.advance()
    session.finish()


def missing(settings: SampleSettings, n: int, batch_size: int, has: Callable[[str], bool]) -> Iterator[int]:
    """Items of a resumed run that the output does not hold yet; names are known before any geometry is sampled."""
    from crystaltool.models.symmcd.draws import item_name
    from crystaltool.models.symmcd.sampling import draw_items
    from crystaltool.verbs.sample_symmcd import load, plan, sampler

    loaded = load(settings.checkpoint, settings.device)
    for start in range(0, n, batch_size):
        indices = range(start, min(start + batch_size, n))
        draws = draw_items(loaded.model, plan(settings), indices, settings.seed, sampler(settings, loaded))
        yield from (i for i in indices if not has(item_name(draws[i].group, settings.seed, i)))


def sample_blocks(settings: SampleSettings, record: Record, indices: tuple[int, ...]) -> list[tuple[str, str, int]]:
    """(name, CIF text, fault that all attempts have left) of some items; pure, for any process."""
    from crystaltool.verbs.sample_symmcd import sample_units, structure_of

    blocks = []
    for index, (unit, fault) in zip(indices, sample_units(settings, indices), strict=True):
        structure = structure_of(settings, unit, index, record.command_line)
        blocks.append((structure.name, structure.to_cif(record.created), fault))
    return blocks
