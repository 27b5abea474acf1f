"""`crystaltool sample`: new structures from a trained model, inorganic crystals as CIF, coarse-grained MOFs as HDF5."""

from __future__ import annotations

from typing import Annotated, NamedTuple, Optional

import typer

from crystaltool.cli import options
from crystaltool.cli import sample_conditions as conditions
from crystaltool.cli import sample_nets as nets
from crystaltool.cli.sample_asked import Asked
from crystaltool.cli.session import Session
from crystaltool.defaults import BATCH_SIZE, N_SAMPLES
from crystaltool.verbs.models import MODELS, named


class Way(NamedTuple):
    """How a kind of model is sampled.

    Args:
        run: `MODULE:NAME` of a function of (session, `Asked`).
        own: options that it takes beside those that all have; others are refused.
    """

    run: str
    own: tuple[str, ...]


WAYS = {
    "symmcd": Way("crystaltool.cli.sample_symmcd:sample", (*conditions.NAMES, "attempts", "output_dir")),
    "mofdiff": Way("crystaltool.cli.sample_mofdiff:sample", ("draws", "library", *nets.NAMES)),
}
PLAIN = Way("crystaltool.cli.sample_plain:sample", ("output_dir",))
"""Any other model of the table of models takes a number and a seed."""

OPTIONS = {"space_group": "sg"}
"""Conditions whose option has another name."""


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
            help="mofdiff: aim at a property: a value or max, such as co2_wc=3.0 (mmol/g). symmcd: aim at new"
            " crystals at most so far above the hull, e_above_hull=0.0 (eV/atom), with new_template=W after a comma on"
            " templates not in the training data e^W times as often; none draws as the training data are."
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
    scheduler: options.Scheduler = None,
    output: options.Output = "-",
    output_dir: options.OutputDir = None,
    overwrite: options.Overwrite = False,
    resume: options.Resume = False,
    shard: options.Shard = None,
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
    Structure i depends on the seed and on i alone, not on --batch-size, --jobs, --shard or --resume. mofdiff's file is
    written as a whole: --resume leaves one that is there as it is; assemble takes the files of all shards at once, and
    fragment joins them.
    """
    from crystaltool.errors import UsageError
    from crystaltool.models.symmcd.draws import LARGEST_SEED
    from crystaltool.models.weights import checkpoint_kind, find_checkpoint

    session = Session(context)
    checkpoint = find_checkpoint(model)
    kind = checkpoint_kind(checkpoint)
    given = {
        "space_group": sg,
        "elements": elements,
        "require": require,
        "exclude": exclude,
        "formula": formula,
        "n_atoms": n_atoms,
        "primitive": primitive or None,
        "n_elements": n_elements,
        "template": template,
        "attempts": attempts,
        "output_dir": output_dir,
        "draws": draws,
        "library": library,
        "net": net,
        "metal": metal,
        "node": node,
        "linker": linker,
    }
    plain = kind in MODELS and MODELS[kind].load
    way = WAYS.get(kind, PLAIN if plain else WAYS["symmcd"])  # which says what is wrong with the checkpoint
    for name, value in given.items():
        if value is not None and name not in way.own:
            raise UsageError(f"--{OPTIONS.get(name, name).replace('_', '-')} does not go with {kind or 'this'} models")
    if seed > LARGEST_SEED:
        raise UsageError(f"--seed is {seed}, the largest is {LARGEST_SEED}")
    asked = Asked(
        checkpoint=checkpoint,
        device=device,
        n=n,
        items=session.shard.share(n),
        seed=seed,
        steps=steps,
        candidates=candidates,
        target=target,
        batch_size=batch_size,
        jobs=jobs,
        output=output,
        overwrite=overwrite,
        resume=resume,
        own={name: given[name] for name in way.own},
    )
    named(way.run)(session, asked)
    session.finish()
