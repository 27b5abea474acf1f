"""`crystaltool train`: fit a model to a prepared HDF5 data set."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from crystaltool.cli import messages, options
from crystaltool.cli.main import EXIT_INTERRUPTED
from crystaltool.cli.progress import clock_text
from crystaltool.cli.session import Session
from crystaltool.errors import CrystaltoolError
from crystaltool.threads import limit_threads
from crystaltool.verbs.models import MODELS

if TYPE_CHECKING:
    from crystaltool.training.loop import Progress, Stop


STATE = "state.h5"
"""As in `crystaltool.training.checkpoint`, which loads torch."""

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
    part: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--part",
            metavar="PART",
            help="Only this part, into DIR/PART: nets of mofdiff (the catalogue of nets and which block goes where) or"
            " order of blocks (the order map).",
        ),
    ] = None,
    library: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--library", metavar="FILE", help="Blocks to choose from, from `embed --library`; --part nets."),
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
    the processes. mofdiff has a part that is made for itself, in a minute: --part nets puts the nets of the MOFs in
    DATA.h5 into DIR/nets, from where `sample` draws them first. So has blocks: --part order makes the map that `embed`
    puts blocks of similar fingerprints near each other by.
    """
    from crystaltool.verbs.train import train

    session = Session(context)
    limit_threads(threads)
    started, before = time.monotonic(), _reached(output_dir) if resume else None
    with session.progress(what="steps") as display:

        def show(progress: Progress) -> None:
            loss = f"loss {progress.metrics['loss']:.4g}"
            display.reach(progress.step, progress.steps, progress.steps_per_second, loss)
            numbers = ", ".join(f"{name} {value:.4g}" for name, value in progress.metrics.items())
            session.note(
                f"step {progress.step} of {progress.steps}, {progress.steps_per_second:.2f} a second: {numbers}"
            )

        stop = train(
            model.value,
            data,
            output_dir,
            config=config,
            epochs=epochs,
            init=init,
            embeddings=embeddings,
            resume=resume,
            overwrite=overwrite,
            part=part,
            library=library,
            device=device,
            threads=threads,
            on_progress=show,
        )
    if stop is not None:
        needed = None if (output_dir / STATE).is_file() else init  # the state has its weights
        given = {"--embeddings": embeddings, "--init": needed, "--threads": threads if threads > 1 else None}
        given["--device"] = device if device != "auto" else None
        again = ["crystaltool", "train", model.value, str(data), "-o", str(output_dir)]
        again += [word for option, value in given.items() if value is not None for word in (option, str(value))]
        say_stopped(session, stop, shlex.join([*again, "--resume"]))
    elif part is not None:
        _say(session, f"{output_dir / part} is made, in {clock_text(time.monotonic() - started)}")
    else:
        _say_done(session, output_dir, before)
    session.finish()


@dataclass(frozen=True)
class Reached:
    """How far the run in a folder has come: steps, seconds that they took, whether a validation is owed."""

    step: int
    seconds: float
    owed: bool


def _reached(folder: Path) -> Reached | None:
    """What the state says; None where there is none that can be read."""
    from crystaltool.training.checkpoint import load_attributes

    with contextlib.suppress(CrystaltoolError, KeyError, TypeError, ValueError):
        if (folder / STATE).is_file():
            record = load_attributes(folder / STATE)
            return Reached(int(record["step"]), float(record["seconds"]), bool(record.get("owed")))
    return None


def _say_done(session: Session, folder: Path, before: Reached | None) -> None:
    """Where the checkpoint is, and what it took."""
    now = _reached(folder)
    if now is None:
        _say(session, f"done, the checkpoint is {folder}")
    elif before is not None and before.step == now.step and not before.owed:
        text = f"nothing is left to do: all {now.step} steps are done, the checkpoint is {folder}"
        _say(session, f"{text}; more with --resume --epochs N")
    else:
        _say(session, f"done, {now.step} steps in {clock_text(now.seconds)}, the checkpoint is {folder}")


def _say(session: Session, text: str) -> None:
    """One line, of the first of several processes (torchrun)."""
    if not session.quiet and os.environ.get("RANK", "0") == "0":
        messages.say(session.program, "NOTE", text)


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
