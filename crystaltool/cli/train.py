"""`crystaltool train`: fit a model to a prepared HDF5 data set."""

from __future__ import annotations

import functools
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from crystaltool.cli import options
from crystaltool.cli.session import Session

if TYPE_CHECKING:
    from crystaltool.training.loop import Progress


class Model(StrEnum):
    """Models that can be trained."""

    symmcd = "symmcd"
    blocks = "blocks"
    mofdiff = "mofdiff"


def command(
    context: typer.Context,
    model: Annotated[
        Model, typer.Argument(metavar="MODEL", help="What to train: symmcd, blocks or mofdiff.", show_default=False)
    ],
    data: Annotated[
        Path, typer.Argument(metavar="DATA.h5", help="Data set written by `crystaltool asym-unit` or `fragment`.")
    ],
    output_dir: Annotated[
        Path, typer.Option("-o", "--output-dir", metavar="DIR", help="Folder of the run, made if it does not exist.")
    ],
    config: Annotated[
        Optional[Path],  # noqa: UP045 -- typer evaluates this at run time
        typer.Option("--config", metavar="TOML", help="Tables [model], [loop] and [fit]; see FILES."),
    ] = None,
    init: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--init", metavar="CHECKPOINT", help="Start from the weights of this checkpoint, name or folder."),
    ] = None,
    embeddings: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--embeddings", metavar="EMB.h5", help="Embeddings of DATA's blocks from `embed`; mofdiff only."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last saved step of DIR.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Start afresh in a DIR that holds a run.")] = False,
    device: options.Device = "auto",
    threads: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--threads", min=1, metavar="N", help="CPU threads of a process; default: all cores, shared."),
    ] = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Train a model on a prepared HDF5 data set.

    symmcd generates inorganic crystals; blocks embeds building blocks of metal-organic frameworks; mofdiff generates
    coarse-grained ones from these embeddings.
    Leaves weights to sample from (model.safetensors, config.json), the state to resume from (state.h5) and the metrics
    (metrics.jsonl, one JSON object a line) in DIR; mofdiff learns properties first, state and metrics of that are in
    DIR/properties. A run that was killed and resumed equals an unbroken one step by step; SIGTERM saves and exits 0.
    Under torchrun the batch is divided among the processes.
    """
    from crystaltool.errors import UsageError
    from crystaltool.models.weights import find_checkpoint

    session = Session(context, quiet=quiet, verbose=verbose)
    state = output_dir / "state.h5"
    begun = state.is_file() or any(output_dir.glob("*/state.h5"))  # of a part that is trained first
    if resume and overwrite:
        raise UsageError("--resume and --overwrite exclude each other")
    if resume and not begun:
        raise UsageError(f"--resume: {state} does not exist")
    if begun and not resume and not overwrite:
        raise UsageError(f"{output_dir} holds a run; go on with --resume or start afresh with --overwrite")
    if (embeddings is None) == (model is Model.mofdiff):
        raise UsageError("train mofdiff needs --embeddings EMB.h5, other models do not take it")
    fit, settings = _fit(model, config)
    if embeddings is not None:
        fit = functools.partial(fit, embeddings=embeddings)
    with session.progress(what="steps") as display:
        done = 0

        def show(progress: Progress) -> None:
            nonlocal done
            if progress.step < done:  # another part of the training
                done = 0
            display.advance(progress.step - done)
            done = progress.step
            numbers = ", ".join(f"{name} {value:.4g}" for name, value in progress.metrics.items())
            session.note(
                f"step {progress.step} of {progress.steps}, {progress.steps_per_second:.2f} a second: {numbers}"
            )

        fit(
            data,
            output_dir,
            settings,
            device=device,
            resume=resume,
            init=find_checkpoint(init) if init else None,
            threads=threads,
            on_progress=show,
        )
    session.finish()


def _fit(model: Model, config: Path | None) -> tuple[Callable[..., None], Any]:
    """The function that trains a model, and its settings."""
    match model:
        case Model.symmcd:
            from crystaltool.models.symmcd import fit as symmcd

            return symmcd.fit_symmcd, symmcd.load_config(config)
        case Model.blocks:
            from crystaltool.models.block_encoder import fit as blocks

            return blocks.fit_block_encoder, blocks.load_config(config)
        case Model.mofdiff:
            from crystaltool.models.mofdiff import fit as mofdiff

            return mofdiff.fit_mofdiff, mofdiff.load_config(config)
