"""`train`: fit a model of the table to a prepared data set."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crystaltool.errors import UsageError
from crystaltool.verbs.models import MODELS, named
from crystaltool.verbs.nets import NETS_FOLDER, NETS_NAME

if TYPE_CHECKING:
    from crystaltool.training.loop import Stop

ORDER_FOLDER = "order"
"""The order map, beside an encoder's weights."""


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
        epochs: passes through the data. init: start from the weights of this checkpoint, name or folder.
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
    row, folder = MODELS[model], Path(output_dir)
    given = None if config is None else Path(config)
    if part is not None or library is not None:
        other = {"--embeddings": embeddings, "--init": init, "--resume": resume or None}
        _check_part(model, part, library, other)
        if part == ORDER_FOLDER:
            _train_order(Path(data), folder / ORDER_FOLDER, given, epochs, overwrite, on_progress)
            return None
        _train_nets(Path(data), Path(library or ""), folder / NETS_FOLDER, given, epochs, overwrite, on_progress)
        return None
    _check_folder(folder, resume, overwrite)
    if (embeddings is None) == row.embeddings:
        raise UsageError("train mofdiff needs --embeddings EMB.h5, other models do not take it")
    settings = named(row.config)(given, epochs=epochs, resumed=folder if resume else None)
    fit = named(row.fit)
    if embeddings is not None:
        fit = functools.partial(fit, embeddings=Path(embeddings))
    return fit(
        Path(data),
        folder,
        settings,
        device=device,
        resume=resume,
        init=find_checkpoint(init) if init else None,
        threads=threads,
        on_progress=on_progress,
    )


def _check_part(model: str, part: str | None, library: str | Path | None, other: Mapping[str, object]) -> None:
    """Refuse a part that there is not, or what does not go with it."""
    if model == "blocks" and part is not None:
        if part != ORDER_FOLDER:
            raise UsageError(f"--part {part} of blocks: there is only --part {ORDER_FOLDER}")
        for option, value in {**other, "--library": library}.items():
            if value is not None:
                raise UsageError(f"--part {ORDER_FOLDER} does not take {option}")
        return
    if part != NETS_FOLDER or model != "mofdiff":
        asked = "--library goes with" if part is None else f"--part {part} of {model}: there is only"
        raise UsageError(f"{asked} --part {NETS_FOLDER} of mofdiff")
    if library is None:
        raise UsageError(f"--part {NETS_FOLDER} needs --library LIBRARY.h5, from `crystaltool embed --library`")
    for option, value in other.items():
        if value is not None:
            raise UsageError(f"--part {NETS_FOLDER} does not take {option}")


def _train_nets(
    data: Path,
    library: Path,
    folder: Path,
    config: Path | None,
    epochs: int | None,
    overwrite: bool,
    on_progress: Callable[[Any], object],
) -> None:
    """The catalogue of nets and the model of blocks, into a folder beside the weights."""
    from dataclasses import replace

    from crystaltool.models.mofdiff.fit_nets import fit_nets, load_config

    if (folder / NETS_NAME).exists() and not overwrite:
        raise UsageError(f"{folder} holds nets; start afresh with --overwrite")
    settings = load_config(config)
    fit_nets([data], library, folder, settings if epochs is None else replace(settings, epochs=epochs), on_progress)


def _train_order(
    data: Path,
    folder: Path,
    config: Path | None,
    epochs: int | None,
    overwrite: bool,
    on_progress: Callable[[Any], object],
) -> None:
    """The order map, into a folder beside the encoder's weights."""
    from dataclasses import replace

    from crystaltool.models.block_encoder.fit_order import fit_order, load_config

    if (folder / "config.json").exists() and not overwrite:
        raise UsageError(f"{folder} holds an order map; start afresh with --overwrite")
    settings = load_config(config)
    fit_order(data, folder, settings if epochs is None else replace(settings, epochs=epochs), on_progress)


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
