"""`crystaltool train`: fit a model to a prepared HDF5 data set."""

from __future__ import annotations

import functools
import shlex
import signal
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from crystaltool.cli import messages, options
from crystaltool.cli.main import EXIT_INTERRUPTED
from crystaltool.cli.session import Session
from crystaltool.threads import limit_threads
from crystaltool.verbs.models import MODELS, named

if TYPE_CHECKING:
    from crystaltool.training.loop import Progress, Stop


Model = StrEnum("Model", {name: name for name in MODELS})
"""Models that can be trained."""


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
    epochs: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--epochs", min=1, metavar="N", help="Passes through the data; with --resume more than before."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last saved step of DIR, with the settings of that run.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Start afresh in a DIR that holds a run.")] = False,
    device: options.Device = "auto",
    threads: Annotated[
        int,
        typer.Option("--threads", min=1, metavar="N", help="CPU threads of a process; more help where it is alone."),
    ] = 1,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
) -> None:
    """Train a model on a prepared HDF5 data set.

    symmcd generates inorganic crystals; blocks embeds building blocks of metal-organic frameworks; mofdiff generates
    coarse-grained ones from these embeddings.
    Leaves weights to sample from (model.safetensors, config.json), the state to resume from (state.h5) and the metrics
    (metrics.jsonl, one JSON object a line) in DIR; mofdiff learns properties first, state and metrics of that are in
    DIR/properties. A run that was killed and resumed equals an unbroken one step by step; SIGTERM saves and exits 0,
    Ctrl-C saves and exits 130, both print the line that resumes. --resume keeps the settings of the run and may have
    more --epochs, with the learning rate of the longer run from there on. Under torchrun the batch is divided among
    the processes.
    """
    from crystaltool.errors import UsageError
    from crystaltool.models.weights import find_checkpoint

    row = MODELS[model.value]
    session = Session(context, quiet=quiet, verbose=verbose)
    state = output_dir / "state.h5"
    begun = state.is_file() or any(output_dir.glob("*/state.h5"))  # of a part that is trained first
    if resume and overwrite:
        raise UsageError("--resume and --overwrite exclude each other")
    if resume and not begun:
        raise UsageError(f"--resume: {state} does not exist")
    if begun and not resume and not overwrite:
        raise UsageError(f"{output_dir} holds a run; go on with --resume or start afresh with --overwrite")
    if (embeddings is None) == row.embeddings:
        raise UsageError("train mofdiff needs --embeddings EMB.h5, other models do not take it")
    limit_threads(threads)
    fit, load_config = named(row.fit), named(row.config)
    settings = load_config(config, epochs=epochs, resumed=output_dir if resume else None)
    if embeddings is not None:
        fit = functools.partial(fit, embeddings=embeddings)
    with session.progress(what="steps") as display:

        def show(progress: Progress) -> None:
            loss = f"loss {progress.metrics['loss']:.4g}"
            display.reach(progress.step, progress.steps, progress.steps_per_second, loss)
            numbers = ", ".join(f"{name} {value:.4g}" for name, value in progress.metrics.items())
            session.note(
                f"step {progress.step} of {progress.steps}, {progress.steps_per_second:.2f} a second: {numbers}"
            )

        stop = fit(
            data,
            output_dir,
            settings,
            device=device,
            resume=resume,
            init=find_checkpoint(init) if init else None,
            threads=threads,
            on_progress=show,
        )
    if stop is not None:
        given = {"--embeddings": embeddings, "--init": init, "--threads": threads if threads > 1 else None}
        given["--device"] = device if device != "auto" else None
        again = ["crystaltool", "train", model.value, str(data), "-o", str(output_dir)]
        again += [word for option, value in given.items() if value is not None for word in (option, str(value))]
        say_stopped(session, stop, shlex.join([*again, "--resume"]))
    session.finish()


def say_stopped(session: Session, stop: Stop, command_line: str) -> None:
    """Where the run stopped and how it goes on.

    Raises:
        typer.Exit: 130 after Ctrl-C.
    """
    if not session.quiet:
        text = f"stopped after step {stop.step} of {stop.steps}, all saved; go on with: {command_line}"
        messages.say(session.program, "NOTE", text)
    if stop.signal == signal.SIGINT:
        raise typer.Exit(EXIT_INTERRUPTED)
