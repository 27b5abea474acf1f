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
from typing import Any, ClassVar, Generic, TypedDict, TypeVar, Unpack

import numpy as np
import torch
from torch import Tensor, nn

from crystaltool.errors import CheckpointError, CrystaltoolError
from crystaltool.training.checkpoint import STATE, WEIGHTS, load_attributes, save_model, sha256
from crystaltool.training.distributed import World, choose_device, join_world
from crystaltool.training.loop import Callbacks, LoopConfig, Loss, Progress, Stop, train
from crystaltool.training.state import RunFolder


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
    """Where and from what to train.

    device: `auto`, `cpu` or `cuda:N`; `auto` if not given.
    resume: go on from `state.h5` in the directory.
    init: checkpoint whose weights to start from; a resumed run need not name it again.
    threads: CPU threads of this process, 1 if not given; more than one help on idle cores only.
    on_progress: called at each log interval.
    """

    device: str
    resume: bool
    init: Path | None
    threads: int
    on_progress: Callable[[Progress], None]


def run_task(bring: Callable[[], Task], directory: Path, **options: Unpack[RunOptions]) -> Stop | None:
    """Train and leave `model.safetensors`, `config.json`, `state.h5` and `metrics.jsonl` in the directory.

    Args:
        bring: makes the task; reads the data.
        directory: made if it does not exist.
        options: see `RunOptions`.

    Returns:
        where the run stopped, if a signal asked it to; its state is saved then.

    Raises:
        InputError, CheckpointError: bad data; state or checkpoint of another configuration or kind.
    """
    torch.set_num_threads(options.get("threads", 1))
    place = choose_device(options.get("device", "auto"))
    if place.type == "cuda":  # TF32: as fast as narrower types where kernels are small, without their casts
        torch.set_float32_matmul_precision("high")
    world = join_world(place)
    try:
        return _Run(bring(), directory, world, place, options).train()
    finally:
        world.close()


class _Run:
    """A task, its model on its device, and the directory that both leave their files in."""

    def __init__(self, task: Task, directory: Path, world: World, place: torch.device, options: RunOptions) -> None:
        self.task, self.directory, self.world, self.place = task, directory, world, place
        self.resume, init = options.get("resume", False), options.get("init")
        self.on_progress = options.get("on_progress", lambda progress: None)
        self.stops: list[Stop] = []
        steps = task.config.epochs * task.n_batches
        self.config = replace(task.config, loop=replace(task.config.loop, steps=steps))
        torch.manual_seed(self.config.loop.seed)
        self.model = task.build()
        started_from = self._take_weights(init)
        self.model.mixed_precision = self.config.loop.bfloat16
        self.model.to(place)
        self.belongs_to = {"model": asdict(self.config.model), "fit": task.settings, "data": task.digest}
        self.belongs_to |= {**started_from, "run": asdict(task.config)}

    def _take_weights(self, init: Path | None) -> dict[str, str]:
        """Start from a checkpoint, if one is named; what the state says of where the weights came from."""
        if init is not None:
            brought = self.task.load(init)
            if brought.config != self.config.model:
                raise CheckpointError(f"{init}: its networks have other sizes or settings than the configuration")
            self.model.load_state_dict(brought.state_dict())
            return {"init": sha256(init / WEIGHTS)}
        if self.resume and (self.directory / STATE).is_file():  # its weights are in the state
            known = load_attributes(self.directory / STATE).get("belongs_to")
            return {key: value for key, value in (known or {}).items() if key == "init"}
        return {}

    def train(self) -> Stop | None:
        """The first part, the rest, and the checkpoint; where a signal stopped it, if one did."""
        self.directory.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        if self.world.first and not self.resume:
            (self.directory / STATE).unlink(missing_ok=True)
        if self.task.first is not None:
            self._train_first(self.task.first)
            if self.stops:
                return self.stops[0]
            self.resume = self.resume and (self.directory / STATE).exists()
        task, loop = self.task, self.config.loop
        validates = bool(loop.validate_every and task.validates)
        callbacks = Callbacks(
            validate=(lambda values: task.validate(self._averaged(values))) if validates else None,
            on_best=self._save if task.keeps_best else None,
            on_progress=self.on_progress,
            on_stop=self.stops.append,
        )
        values = self._train_part(task, self.model, loop, self.directory, callbacks)
        if self.world.first and not (validates and task.keeps_best):
            seconds = round(time.monotonic() - started, 1)
            self._save(values, {"seconds": seconds, "device": self.place.type, "processes": self.world.size})
        return self.stops[0] if self.stops else None

    def _train_first(self, part: FirstPart) -> None:
        """Train a first part, in a folder of its own, and freeze it."""
        folder, module = self.directory / part.folder, part.module(self.model)
        folder.mkdir(parents=True, exist_ok=True)
        callbacks = Callbacks(on_progress=self.on_progress, on_stop=self.stops.append)
        values = self._train_part(part, module, part.loop, folder, callbacks)
        module.load_state_dict({**module.state_dict(), **values})
        module.requires_grad_(False)

    def _train_part(
        self, part: Part, module: nn.Module, loop: LoopConfig, folder: Path, callbacks: Callbacks
    ) -> dict[str, Tensor]:
        kept = RunFolder(folder, self.resume, self.belongs_to)
        return train(module, _loss_of(part, self.model, loop, self.world), loop, kept, self.world, callbacks)

    def _averaged(self, values: dict[str, Tensor]) -> nn.Module:
        """The model with averaged weights."""
        average = copy.deepcopy(self.model).eval()
        average.mixed_precision = False
        average.load_state_dict({**self.model.state_dict(), **values})
        return self.task.complete(average)

    def _save(self, values: dict[str, Tensor], extra: dict[str, Any]) -> None:
        """Write the checkpoint."""
        best, task = self._averaged(values), self.task
        measured = {} if "validation" in extra else task.measure(best)
        record = {"model": task.kind, "config": asdict(self.config), "data": task.data.name, **task.record}
        tensors = {name: value.float() for name, value in best.state_dict().items()}
        save_model(self.directory, {**record, **extra, **measured}, tensors)


def _loss_of(part: Part, model: Any, loop: LoopConfig, world: World) -> Loss:
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
        config = load_config(options.pop("config"), epochs=options.pop("epochs"), resumed=resumed, init=options["init"])
        stop = fit(options.pop("data"), directory, config, on_progress=show, **options)
        if stop is not None:
            sys.stderr.write(f"stopped after step {stop.step} of {stop.steps}, --resume goes on\n")
            return 128 + signal.SIGINT if stop.signal == signal.SIGINT else 0
    except (CrystaltoolError, OSError) as error:
        sys.stderr.write(f"crystaltool train: ERROR, {error}\n")
        return 2
    return 0
