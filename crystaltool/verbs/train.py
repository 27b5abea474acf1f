"""`train`: fit a model of the table to a prepared data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crystaltool.errors import UsageError
from crystaltool.verbs.models import MODELS, named

if TYPE_CHECKING:
    from crystaltool.training.loop import Stop


def train(
    model: str,
    data: str | Path,
    output_dir: str | Path,
    *,
    config: str | Path | None = None,
    epochs: int | None = None,
    init: str | None = None,
    embeddings: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    part: str | None = None,
    library: str | Path | None = None,
    device: str = "auto",
    threads: int = 1,
    on_progress: Callable[[Any], object] = lambda progress: None,
) -> Stop | None:
    """Train a model on an HDF5 data set; as `crystaltool train`. `load(output_dir)` then samples from it.

    Args:
        model: `symmcd` (of a data set of asymmetric units), `blocks` or `mofdiff` (of MOF blocks).
        data: file that `write(units, "x.h5")` or `write(mofs, "x.h5")` made, or a command.
        output_dir: folder of the run, made if it does not exist.
        config: TOML file with the tables [model], [loop] and [fit], as in the manual of `crystaltool train`.
        epochs: passes through the data.
        init: checkpoint, name or folder, to start from its weights; sizes that `config` leaves out are its own.
        embeddings: of the blocks, from `crystaltool embed`; mofdiff only.
        resume: go on from the last saved step. overwrite: start afresh in a folder that holds a run.
        part: "nets" for the catalogue of nets and the model of which block goes where, `output_dir/nets`, of mofdiff;
            "order" for the order map, `output_dir/order`, of blocks.
        library: the blocks that it chooses from, as `embed --library` writes them; for `nets` only.
        device: where networks run. threads: CPU threads.
        on_progress: called with a `crystaltool.training.loop.Progress` now and then.

    Returns:
        None at the end, a `Stop` (step, steps, signal) if a signal stopped it; all is saved then.

    Raises:
        UsageError: arguments that contradict each other, or a folder that holds a run.
        InputError: a data set that cannot be read.
    """
    from crystaltool.models.weights import find_checkpoint

    if model not in MODELS:
        raise UsageError(f"no model {model!r}, expected one of: {', '.join(MODELS)}")
    row, folder, given = MODELS[model], Path(output_dir), None if config is None else Path(config)
    if part is not None or library is not None:
        other = {"--embeddings": embeddings, "--init": init, "--resume": resume or None}
        run = _PartRun(folder, Path(data), Path(library) if library else None, given, epochs, overwrite, other)
        return _train_part(model, part, run, on_progress)
    _check_folder(folder, resume, overwrite)
    if (embeddings is None) == row.embeddings:
        raise UsageError("train mofdiff needs --embeddings EMB.h5, other models do not take it")
    start = find_checkpoint(init) if init else None
    more = {"init": start} if start else {}
    settings = named(row.config)(given, epochs=epochs, resumed=folder if resume else None, **more)
    fit = named(row.fit)
    options = {"device": device, "resume": resume, "init": start, "threads": threads}
    options |= {} if embeddings is None else {"embeddings": Path(embeddings)}
    return fit(Path(data), folder, settings, on_progress=on_progress, **options)


@dataclass(frozen=True)
class _PartRun:
    """A part that is asked for: where to, from what, and what was said besides."""

    folder: Path
    data: Path
    library: Path | None
    config: Path | None
    epochs: int | None
    overwrite: bool
    other: Mapping[str, object]


def _train_part(model: str, name: str | None, run: _PartRun, on_progress: Callable[[Any], object]) -> None:
    """Train a part of a model into a folder of its name.

    Raises:
        UsageError: no such part, what it does not take or lacks, or a folder that holds it.
    """
    part = MODELS[model].parts.get(name or "")
    if part is None and name is None:
        raise UsageError("--library goes with --part nets of mofdiff")
    if part is None:
        known = [f"--part {each} of {kind}" for kind, row in MODELS.items() for each in row.parts]
        raise UsageError(f"--part {name} of {model}: there is only {' and '.join(known)}")
    if part.library and run.library is None:
        raise UsageError(f"--part {name} needs --library LIBRARY.h5, from `crystaltool embed --library`")
    for option, value in {**run.other, "--library": None if part.library else run.library}.items():
        if value is not None:
            raise UsageError(f"--part {name} does not take {option}")
    folder, (file, what) = run.folder / str(name), part.holds
    if (folder / file).exists() and not run.overwrite:
        raise UsageError(f"{folder} holds {what}; start afresh with --overwrite")
    settings = named(part.config)(run.config)
    settings = settings if run.epochs is None else replace(settings, epochs=run.epochs)
    more = {"library": run.library} if part.library else {}
    named(part.fit)(run.data, folder, settings, on_progress, **more)


def _check_folder(folder: Path, resume: bool, overwrite: bool) -> None:
    """Refuse to go on where nothing was begun, or to begin where something was."""
    state = folder / "state.h5"
    begun = state.is_file() or any(folder.glob("*/state.h5"))  # of a part that is trained first
    if resume and overwrite:
        raise UsageError("--resume and --overwrite exclude each other")
    if resume and not begun:
        raise UsageError(f"--resume: {state} does not exist")
    if begun and not resume and not overwrite:
        raise UsageError(f"{folder} holds a run; go on with --resume or start afresh with --overwrite")
