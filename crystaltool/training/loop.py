"""The training loop: resumable to the step, on one process or several, with metrics as JSON Lines."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from crystaltool.errors import UsageError
from crystaltool.ranges import require_least
from crystaltool.training.distributed import World
from crystaltool.training.ema import Ema
from crystaltool.training.metrics import Meter, append_row, drop_rows_after
from crystaltool.training.signals import BrokenOff, SignalFlag
from crystaltool.training.state import RunFolder, RunState

Loss = Callable[[int, torch.Generator], tuple[Tensor, dict[str, Tensor]]]
"""From (step, generator of that step) to the loss and values to log; the data order is its business."""


@dataclass(frozen=True)
class LoopConfig:
    """How to train.

    Args:
        steps: optimiser steps in all.
        learning_rate: its peak, after `warmup` steps; then a cosine to 1 % of it at `steps`.
        weight_decay, gradient_norm: AdamW's decay; largest norm of the gradient.
        ema_decay: of the averaged weights.
        seed: of data order, noise and initial weights.
        log_every, save_every, validate_every: steps; 0 turns validation off.
        patience: validations without a better score before training stops; 0 never stops.
        bfloat16: run the networks under autocast (GPU).

    Raises:
        UsageError: on a number outside its range.
    """

    steps: int
    learning_rate: float = 1e-3
    warmup: int = 500
    weight_decay: float = 0.01
    gradient_norm: float = 1.0
    ema_decay: float = 0.999
    seed: int = 0
    log_every: int = 50
    save_every: int = 500
    validate_every: int = 0
    patience: int = 0
    bfloat16: bool = False

    def __post_init__(self) -> None:
        require_least(self, 1, "steps", "log_every", "save_every")
        require_least(self, 0, "warmup", "seed", "validate_every", "patience")
        if not (0 < self.learning_rate < math.inf and self.gradient_norm > 0 and 0 <= self.weight_decay < math.inf):
            raise UsageError("learning_rate and gradient_norm must be positive numbers, weight_decay at least 0")
        if not 0 <= self.ema_decay < 1:
            raise UsageError(f"ema_decay is {self.ema_decay}, expected 0 to below 1")


@dataclass(frozen=True)
class Progress:
    """What a callback learns after each log interval."""

    step: int
    steps: int
    metrics: dict[str, float]
    steps_per_second: float


@dataclass(frozen=True)
class Stop:
    """A run that was asked to stop: by which signal, after which of how many steps."""

    signal: int
    step: int
    steps: int


@dataclass(frozen=True)
class Callbacks:
    """What is called while a run goes on.

    Args:
        validate: from averaged weights to metrics, `score` among them (higher is better); called after the last step.
        on_best: called with averaged weights and a record where validation found a better score.
        on_progress: called at each log interval on the first process.
        on_stop: called on every process after SIGTERM or SIGINT to one of them, also at the last step.
    """

    validate: Callable[[dict[str, Tensor]], dict[str, float]] | None = None
    on_best: Callable[[dict[str, Tensor], dict[str, Any]], None] | None = None
    on_progress: Callable[[Progress], None] = lambda progress: None
    on_stop: Callable[[Stop], None] = lambda stop: None


def train(
    module: nn.Module,
    loss: Loss,
    config: LoopConfig,
    folder: RunFolder,
    world: World,
    callbacks: Callbacks | None = None,
) -> dict[str, Tensor]:
    """Train `module` and return its averaged weights.

    Args:
        module: whose parameters are trained.
        loss: of each step.
        config: how.
        folder: where state and metrics are kept, and whether to go on from them.
        world: this process among all.
        callbacks: what is called while it runs.

    Raises:
        CheckpointError: if the state to resume from belongs to another configuration, model or data set; it names
            the setting. More steps than before are taken.
        KeyboardInterrupt: on a second SIGINT, which does not wait for the end of a step.
    """
    return _Loop(module, loss, config, folder, world, callbacks or Callbacks()).run()


class _Loop:
    """One run: the step reached, and whether validation or a signal ends it."""

    def __init__(
        self, module: nn.Module, loss: Loss, config: LoopConfig, folder: RunFolder, world: World, callbacks: Callbacks
    ) -> None:
        self.module, self.loss, self.config = module, loss, config
        self.world, self.callbacks = world, callbacks
        self.device = next(module.parameters()).device
        self.optimizer = torch.optim.AdamW(
            [p for p in module.parameters() if p.requires_grad],
            lr=config.learning_rate,
            betas=(0.9, 0.99),
            weight_decay=config.weight_decay,
            fused=self.device.type == "cuda",
        )
        self.ema = Ema(module, config.ema_decay)
        self.log = folder.metrics
        self.state = RunState(module, self.optimizer, self.ema, asdict(config), folder)
        self.record = record = self.state.record
        if folder.resume and world.first:
            drop_rows_after(self.log, record["step"])
        elif world.first:
            self.log.unlink(missing_ok=True)
        self.step, self.finished = record["step"], False
        self.meter = Meter(self.step, record["meter"])
        self.stopping = SignalFlag()
        self.started = time.monotonic() - record["seconds"]
        self.since, self.since_step = time.monotonic(), self.step

    def run(self) -> dict[str, Tensor]:
        """All steps that are left; the averaged weights."""
        with self.stopping:
            if self.record["owed"] and self.callbacks.validate:
                self._validate()
                if self.world.first and not self.record["owed"]:
                    self.state.save()
            stop = self._asked_to_stop()
            while self.step < self.config.steps and not self.finished and not stop:
                self._take_step()
                stop = self._asked_to_stop()
                if self.step % self.config.log_every == 0 or self.step == self.config.steps:
                    self._log_means()
                due = self._validation_is_due()
                self.record["owed"] = due and stop  # a signal wants an end soon: what is due is left to the resumed run
                if due and not stop:
                    self._validate()
                    self.since = time.monotonic()
                    stop = self._asked_to_stop()
                self._save_if_due(stop)
            if self._asked_to_stop():
                number = self.stopping.raised or signal.SIGTERM
                self.callbacks.on_stop(Stop(number, self.step, self.config.steps))
        return self.ema.values

    def _asked_to_stop(self) -> bool:
        return self.world.any(self.stopping.raised > 0)

    def _take_step(self) -> None:
        config, step, trained = self.config, self.step, self.state.trained.values()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(config, step)
        torch.manual_seed(step_seed(config.seed, step, self.world.rank, 0))
        generator = torch.Generator(self.device).manual_seed(step_seed(config.seed, step, self.world.rank, 1))
        self.module.train()
        value, extra = self.loss(step, generator)
        self.optimizer.zero_grad(set_to_none=True)
        value.backward()
        self.world.average_gradients(trained)
        norm = nn.utils.clip_grad_norm_(trained, config.gradient_norm)
        # A step whose gradient overflowed is left out on every process alike: the averaged norm is the same.
        if torch.isfinite(norm):
            self.optimizer.step()
        self.step += 1
        self.ema.update(self.module, self.step)
        self.meter.add({"loss": value.detach(), "gradient_norm": norm, **extra})

    def _log_means(self) -> None:
        step, metrics = self.step, self.meter.means(self.step)
        self._log({"step": step, "lr": learning_rate(self.config, step - 1), **metrics})
        if self.world.first:
            speed = (step - self.since_step) / (time.monotonic() - self.since)
            self.callbacks.on_progress(Progress(step, self.config.steps, metrics, speed))
        self.since, self.since_step = time.monotonic(), step

    def _log(self, row: dict[str, Any]) -> None:
        if self.world.first:
            append_row(self.log, row)

    def _validation_is_due(self) -> bool:
        every = self.config.validate_every
        if not every or self.callbacks.validate is None:
            return False
        return self.step % every == 0 or self.step == self.config.steps

    def _validate(self) -> None:
        """Validate on the first process, tell all if patience ran out. A signal breaks it off: it is owed then."""
        record, finished, metrics = self.record, False, None
        if self.world.first and self.callbacks.validate:
            try:
                with self.stopping.breaks_off():
                    metrics = self.callbacks.validate(self.ema.values)
            except BrokenOff:
                record["owed"] = True
        if metrics is not None:
            record["owed"] = False
            self._log({"step": self.step, **{f"validation_{name}": value for name, value in metrics.items()}})
            if metrics["score"] > record["best"]:
                record |= {"best": metrics["score"], "since_best": 0}
                if self.callbacks.on_best:
                    self.callbacks.on_best(self.ema.values, {"step": self.step, "validation": metrics})
            else:
                record["since_best"] += 1
            finished = bool(self.config.patience) and record["since_best"] >= self.config.patience
        self.finished = self.world.any(finished)

    def _save_if_due(self, stop: bool) -> None:
        config, step = self.config, self.step
        if self.world.first and (step % config.save_every == 0 or step == config.steps or stop or self.finished):
            self.record |= {"step": step, "seconds": time.monotonic() - self.started}
            self.record["meter"] = self.meter.state()
            self.state.save()


def step_seed(seed: int, step: int, rank: int, stream: int) -> int:
    """63-bit seed of a step on one process: stream 0 is torch's own (dropout), 1 the generator that losses get."""
    return int(np.random.SeedSequence((seed, step, rank, stream)).generate_state(1, np.uint64)[0] >> np.uint64(1))


def learning_rate(config: LoopConfig, step: int) -> float:
    """Linear warm-up, then a cosine to 1 % of the peak."""
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    part = (step - config.warmup) / max(config.steps - config.warmup, 1)
    return config.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(part, 1.0))))
