"""A run around any model: device, processes, batches, files, bare command. It knows none: each brings a `Task`."""

from __future__ import annotations

import argparse
import copy
import functools
import hashlib
import signal
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, TypedDict, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from crystaltool.errors import CheckpointError, CrystaltoolError
from crystaltool.training.checkpoint import STATE, WEIGHTS, load_attributes, save_model, sha256
from crystaltool.training.distributed import World, choose_device, join_world
from crystaltool.training.loop import LoopConfig, Progress, Stop, train


@dataclass(frozen=True)
class RunConfig:
    """A training run; each model has its own, with defaults and further keys of the table [fit].

    Args:
        model: sizes of the networks.
        loop: how to train; its `steps` is worked out from `epochs`.
        epochs: passes through the data.
        batch_size: rows of the data set a step, over all processes.
    """

    model: Any
    loop: LoopConfig
    epochs: int
    batch_size: int


Config = TypeVar("Config", bound=RunConfig)


class Part(ABC):
    """Something to train on batches of rows. A subclass sets `n_batches`, the steps of an epoch."""

    n_batches: int

    @abstractmethod
    def batches(self, epoch: int) -> list[np.ndarray]:
        """Rows of every step of an epoch, a function of the seed and the epoch; first axes are shared by processes."""

    @abstractmethod
    def loss(
        self, model: Any, rows: np.ndarray, generator: torch.Generator, rng: np.random.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean loss over some rows and what to log; both generators are those of this step and process."""


class FirstPart(Part):
    """What is trained before the rest of a model and then left as it is.

    A subclass sets these:
        folder: of the run, for its state and metrics. loop: how to train.
    """

    folder: str
    loop: LoopConfig

    @abstractmethod
    def module(self, model: Any) -> nn.Module:
        """What of the model it trains."""


class Task(Part, Generic[Config]):
    """What a model brings to a run: its data, its loss on some of them, its judgement.

    A subclass sets these when it is made from its data:
        data: the file. config: the run. first: what is trained before, if anything.
        settings: what of [fit] a resumed run must share; plain JSON values. digest: of the data, see `digest`.
        record: what else `config.json` says.
        validates: whether there is anything to validate on.
    """

    kind: ClassVar[str]
    keeps_best: ClassVar[bool] = True
    """Whether a run that validates leaves the weights of the best score; else those of the last step."""

    data: Path
    config: Config
    first: FirstPart | None = None
    settings: dict[str, Any]
    digest: str
    record: dict[str, Any]
    validates: bool = True

    @abstractmethod
    def build(self) -> Any:
        """The model to train, with the statistics of the data; only what requires gradients is trained."""

    @abstractmethod
    def load(self, directory: Path) -> Any:
        """The model of a checkpoint."""

    @abstractmethod
    def validate(self, model: Any) -> dict[str, float]:
        """Metrics of averaged weights, `score` among them (higher is better)."""

    def complete(self, model: Any) -> Any:
        """Averaged weights with what follows from them but is not trained."""
        return model

    def measure(self, model: Any) -> dict[str, Any]:
        """What `config.json` says of weights that no validation chose."""
        return {}


class RunOptions(TypedDict, total=False):
    """Where and from what to train: the options of `run_task`."""

    device: str
    resume: bool
    init: Path | None
    threads: int
    on_progress: Callable[[Progress], None]


def run_task(
    bring: Callable[[], Task],
    directory: Path,
    *,
    device: str = "auto",
    resume: bool = False,
    init: Path | None = None,
    threads: int = 1,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Stop | None:
    """Train and leave `model.safetensors`, `config.json`, `state.h5` and `metrics.jsonl` in the directory.

    Args:
        bring: makes the task; reads the data.
        directory: made if it does not exist.
        device: `auto`, `cpu` or `cuda:N`.
        resume: go on from `state.h5` in the directory.
        init: checkpoint whose weights to start from; a resumed run need not name it again.
        threads: CPU threads of this process; more than one help on idle cores only.
        on_progress: called at each log interval.

    Returns:
        where the run stopped, if a signal asked it to; its state is saved then.

    Raises:
        InputError, CheckpointError: bad data; state or checkpoint of another configuration or kind.
    """
    torch.set_num_threads(threads)
    place = choose_device(device)
    world = join_world(place)
    stops: list[Stop] = []
    try:
        task = bring()
        config = replace(task.config, loop=replace(task.config.loop, steps=task.config.epochs * task.n_batches))
        loop = config.loop
        torch.manual_seed(loop.seed)
        model = task.build()
        started_from = {}
        if init is not None:
            brought = task.load(init)
            if brought.config != config.model:
                raise CheckpointError(f"{init}: its networks have other sizes or settings than the configuration")
            model.load_state_dict(brought.state_dict())
            started_from["init"] = sha256(init / WEIGHTS)
        elif resume and (directory / STATE).is_file():  # its weights are in the state
            known = load_attributes(directory / STATE).get("belongs_to")
            started_from = {key: value for key, value in (known or {}).items() if key == "init"}
        model.mixed_precision = loop.bfloat16
        model.to(place)
        directory.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        belongs_to = {"model": asdict(config.model), "fit": task.settings, "data": task.digest, **started_from}
        belongs_to["run"] = asdict(task.config)
        if world.first and not resume:
            (directory / STATE).unlink(missing_ok=True)
        if task.first is not None:
            if not _train_first(task.first, model, directory, world, resume, belongs_to, on_progress, stops):
                return stops[0]
            resume = resume and (directory / STATE).exists()

        def averaged(values: dict[str, Tensor]) -> nn.Module:
            average = copy.deepcopy(model).eval()
            average.mixed_precision = False
            average.load_state_dict({**model.state_dict(), **values})
            return task.complete(average)

        def save(values: dict[str, Tensor], extra: dict[str, Any]) -> None:
            best = averaged(values)
            measured = {} if "validation" in extra else task.measure(best)
            record = {"model": task.kind, "config": asdict(config), "data": task.data.name, **task.record}
            tensors = {name: value.float() for name, value in best.state_dict().items()}
            save_model(directory, {**record, **extra, **measured}, tensors)

        validates = bool(loop.validate_every and task.validates)
        values = train(
            model,
            _loss_of(task, model, loop, world),
            loop,
            directory,
            world,
            resume=resume,
            belongs_to=belongs_to,
            validate=(lambda values: task.validate(averaged(values))) if validates else None,
            on_best=save if task.keeps_best else None,
            on_progress=on_progress,
            on_stop=stops.append,
        )
        if world.first and not (validates and task.keeps_best):
            seconds = round(time.monotonic() - started, 1)
            save(values, {"seconds": seconds, "device": place.type, "processes": world.size})
        return stops[0] if stops else None
    finally:
        world.close()


def _loss_of(part: Part, model: Any, loop: LoopConfig, world: World) -> Callable[..., tuple[Tensor, dict[str, Tensor]]]:
    """Loss of each step over this process's share of its batch, weighted so that the mean over processes is right."""
    batches = functools.lru_cache(maxsize=1)(part.batches)

    def loss(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        epoch, place_in_epoch = divmod(step, part.n_batches)
        whole = batches(epoch)[place_in_epoch]
        rows = world.share(whole)
        rng = np.random.default_rng([loop.seed, step, world.rank])
        value, extra = part.loss(model, rows if len(rows) else whole[:1], generator, rng)
        return value * world.weight(len(rows), len(whole)), extra

    return loss


def _train_first(
    part: FirstPart,
    model: Any,
    directory: Path,
    world: World,
    resume: bool,
    belongs_to: dict[str, Any],
    on_progress: Callable[[Progress], None],
    stops: list[Stop],
) -> bool:
    """Train a first part and freeze it; False after a signal."""
    folder, module = directory / part.folder, part.module(model)
    folder.mkdir(parents=True, exist_ok=True)
    values = train(
        module,
        _loss_of(part, model, part.loop, world),
        part.loop,
        folder,
        world,
        resume=resume,
        belongs_to=belongs_to,
        on_progress=on_progress,
        on_stop=stops.append,
    )
    module.load_state_dict({**module.state_dict(), **values})
    module.requires_grad_(False)
    return not stops


def stored_settings(directory: Path) -> tuple[Path, dict[str, Any] | None]:
    """The state that a run in a directory is resumed from, and the settings that it began with, if it says so.

    Raises:
        CheckpointError: there is no state, or a damaged one.
    """
    states = [path for path in (directory / STATE, *sorted(directory.glob(f"*/{STATE}"))) if path.is_file()]
    if not states:
        raise CheckpointError(f"{directory / STATE} does not exist")
    known = load_attributes(states[0]).get("belongs_to")
    return states[0], known.get("run") if isinstance(known, dict) else None


def digest(arrays: Iterable[np.ndarray], names: Iterable[str] = ()) -> str:
    """Which data set this is, whatever its file is called."""
    found = hashlib.sha256("\n".join(names).encode())
    for array in arrays:
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:16]


def command(
    module: str,
    description: str,
    load_config: Callable[..., RunConfig],
    fit: Callable[..., Stop | None],
    arguments: list[str],
    inputs: tuple[str, ...] = (),
) -> int:
    """Command line of `python -m MODULE` for hosts without the libraries of `crystaltool train`; its exit code.

    Args:
        module: dotted name. description: for `--help`.
        load_config: from the file of `--config`, see `models.configuration.load_run`.
        fit: called with data, directory, configuration and the options of `run_task`.
        arguments: the command line.
        inputs: names of further files that `fit` needs, each an option.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    parser.add_argument("data", type=Path)
    for name in inputs:
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("-o", "--output-dir", type=Path, required=True)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--init", type=Path)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--resume", action="store_true")
    options = vars(parser.parse_args(arguments))

    def show(progress: Progress) -> None:
        numbers = " ".join(f"{name} {value:.4f}" for name, value in progress.metrics.items())
        sys.stderr.write(f"{progress.step}/{progress.steps} {progress.steps_per_second:.2f}/s {numbers}\n")

    try:
        directory = options.pop("output_dir")
        resumed = directory if options["resume"] else None
        config = load_config(options.pop("config"), epochs=options.pop("epochs"), resumed=resumed)
        stop = fit(options.pop("data"), directory, config, on_progress=show, **options)
        if stop is not None:
            sys.stderr.write(f"stopped after step {stop.step} of {stop.steps}, --resume goes on\n")
            return 128 + signal.SIGINT if stop.signal == signal.SIGINT else 0
    except (CrystaltoolError, OSError) as error:
        sys.stderr.write(f"crystaltool train: ERROR, {error}\n")
        return 2
    return 0
