"""The training loop: resumable to the step, on one process or several, with metrics as JSON Lines."""

from __future__ import annotations

import json
import math
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from crystaltool.errors import CheckpointError, UsageError
from crystaltool.training.checkpoint import STATE, load_state, replace_file, save_state
from crystaltool.training.distributed import World
from crystaltool.training.ema import Ema
from crystaltool.training.resuming import check_settings
from crystaltool.training.signals import BrokenOff, SignalFlag


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
        for name, least in (
            ("steps", 1),
            ("warmup", 0),
            ("seed", 0),
            ("log_every", 1),
            ("save_every", 1),
            ("validate_every", 0),
            ("patience", 0),
        ):
            if getattr(self, name) < least:
                raise UsageError(f"{name} is {getattr(self, name)}, expected at least {least}")
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


def train(
    module: nn.Module,
    loss: Callable[[int, torch.Generator], tuple[Tensor, dict[str, Tensor]]],
    config: LoopConfig,
    directory: Path,
    world: World,
    *,
    resume: bool = False,
    belongs_to: dict[str, Any] | None = None,
    validate: Callable[[dict[str, Tensor]], dict[str, float]] | None = None,
    on_best: Callable[[dict[str, Tensor], dict[str, Any]], None] | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    on_stop: Callable[[Stop], None] = lambda stop: None,
) -> dict[str, Tensor]:
    """Train `module` and return its averaged weights.

    Args:
        module: whose parameters are trained.
        loss: from (step, generator of that step) to the loss and values to log; the data order is its business.
        config: how.
        directory: gets `state.h5` and `metrics.jsonl`.
        world: this process among all.
        resume: go on from `state.h5`; the run then equals an unbroken one, step by step.
        belongs_to: what else must be the same to resume (model, data); plain JSON values. `run`, the settings as the
            user gave them, is kept for `configuration.load_run` and not compared.
        validate: from averaged weights to metrics, `score` among them (higher is better); called after the last step.
        on_best: called with averaged weights and a record where validation found a better score.
        on_progress: called at each log interval on the first process.
        on_stop: called on every process after SIGTERM or SIGINT to one of them, also at the last step.

    Raises:
        CheckpointError: if the state to resume from belongs to another configuration, model or data set; it names
            the setting. More steps than before are taken.
        KeyboardInterrupt: on a second SIGINT, which does not wait for the end of a step.
    """
    device = next(module.parameters()).device
    trained = {name: p for name, p in module.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(
        trained.values(),
        lr=config.learning_rate,
        betas=(0.9, 0.99),
        weight_decay=config.weight_decay,
        fused=device.type == "cuda",
    )
    ema = Ema(module, config.ema_decay)
    state_path, log_path = directory / STATE, directory / "metrics.jsonl"
    record: dict[str, Any] = {"step": 0, "seconds": 0.0, "best": -math.inf, "since_best": 0, "config": asdict(config)}
    record |= {"belongs_to": json.loads(json.dumps(belongs_to)), "owed": False, "meter": {}}
    if resume:
        record |= _restore(state_path, config, belongs_to, trained, optimizer, ema)
        if world.first:
            _truncate_log(log_path, record["step"])
    elif world.first:
        log_path.unlink(missing_ok=True)
    meter = _Meter(record["step"], record["meter"])
    stopping = SignalFlag()
    started, since, since_step = time.monotonic() - record["seconds"], time.monotonic(), record["step"]
    step = record["step"]
    finished = False
    with stopping:
        if record["owed"] and validate:
            finished = _validate(ema, record, config, step, log_path, world, validate, on_best, stopping)
            if world.first and not record["owed"]:
                _save(state_path, record, trained, optimizer, ema)
        stop = world.any(stopping.raised > 0)
        while step < config.steps and not finished and not stop:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(config, step)
            torch.manual_seed(step_seed(config.seed, step, world.rank, 0))
            generator = torch.Generator(device).manual_seed(step_seed(config.seed, step, world.rank, 1))
            module.train()
            value, extra = loss(step, generator)
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            world.average_gradients(trained.values())
            norm = nn.utils.clip_grad_norm_(trained.values(), config.gradient_norm)
            # A step whose gradient overflowed is left out on every process alike: the averaged norm is the same.
            if torch.isfinite(norm):
                optimizer.step()
            step += 1
            ema.update(module, step)
            meter.add({"loss": value.detach(), "gradient_norm": norm, **extra})
            stop = world.any(stopping.raised > 0)
            if step % config.log_every == 0 or step == config.steps:
                metrics = meter.means(step)
                _log(log_path, world, {"step": step, "lr": learning_rate(config, step - 1), **metrics})
                if world.first:
                    on_progress(Progress(step, config.steps, metrics, (step - since_step) / (time.monotonic() - since)))
                since, since_step = time.monotonic(), step
            due = bool(config.validate_every and validate) and (
                step % config.validate_every == 0 or step == config.steps
            )
            record["owed"] = due and stop  # a signal wants an end soon: what is due is left to the resumed run
            if due and not stop:
                finished = _validate(ema, record, config, step, log_path, world, validate, on_best, stopping)
                since = time.monotonic()
                stop = world.any(stopping.raised > 0)
            if world.first and (step % config.save_every == 0 or step == config.steps or stop or finished):
                record |= {"step": step, "seconds": time.monotonic() - started}
                record["meter"] = meter.state()
                _save(state_path, record, trained, optimizer, ema)
        if world.any(stopping.raised > 0):
            on_stop(Stop(stopping.raised or signal.SIGTERM, step, config.steps))
    return ema.values


class _Meter:
    """Means of what is logged since the last line; part of the state, so that a resumed run writes the same lines."""

    def __init__(self, step: int, state: dict[str, Any]) -> None:
        self.since = int(state.get("since", step))
        self.sums: dict[str, Any] = dict(state.get("sums", {}))

    def add(self, values: dict[str, Tensor]) -> None:
        for name, value in values.items():  # in float64, which JSON keeps to the last bit
            self.sums[name] = self.sums.get(name, 0.0) + value.detach().double()

    def means(self, step: int) -> dict[str, float]:
        """Means up to this step, which begin anew after it."""
        means = {name: float(total) / (step - self.since) for name, total in self.sums.items()}
        self.since, self.sums = step, {}
        return means

    def state(self) -> dict[str, Any]:
        return {"since": self.since, "sums": {name: float(total) for name, total in self.sums.items()}}


def step_seed(seed: int, step: int, rank: int, stream: int) -> int:
    """63-bit seed of a step on one process: stream 0 is torch's own (dropout), 1 the generator that losses get."""
    return int(np.random.SeedSequence((seed, step, rank, stream)).generate_state(1, np.uint64)[0] >> np.uint64(1))


def learning_rate(config: LoopConfig, step: int) -> float:
    """Linear warm-up, then a cosine to 1 % of the peak."""
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    part = (step - config.warmup) / max(config.steps - config.warmup, 1)
    return config.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(part, 1.0))))


def _validate(ema, record, config, step, log_path, world, validate, on_best, stopping) -> bool:
    """Validate on the first process, tell all; True if patience ran out. A signal breaks it off: it is owed then."""
    finished, metrics = False, None
    if world.first:
        try:
            with stopping.breaks_off():
                metrics = validate(ema.values)
        except BrokenOff:
            record["owed"] = True
    if metrics is not None:
        record["owed"] = False
        _log(log_path, world, {"step": step, **{f"validation_{name}": value for name, value in metrics.items()}})
        if metrics["score"] > record["best"]:
            record |= {"best": metrics["score"], "since_best": 0}
            if on_best:
                on_best(ema.values, {"step": step, "validation": metrics})
        else:
            record["since_best"] += 1
        finished = bool(config.patience) and record["since_best"] >= config.patience
    return world.any(finished)


def _save(path: Path, record: dict[str, Any], trained: dict[str, nn.Parameter], optimizer, ema: Ema) -> None:
    state = {name: optimizer.state.get(p, {}) for name, p in trained.items()}
    groups = {"weights": trained, "average": ema.values}
    for moment in ("exp_avg", "exp_avg_sq", "step"):
        groups[moment] = {name: values[moment] for name, values in state.items() if values}
    save_state(path, record, groups)


def _restore(
    path: Path,
    config: LoopConfig,
    belongs_to: dict[str, Any] | None,
    trained: dict[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    ema: Ema,
) -> dict[str, Any]:
    record, groups = load_state(path)
    check_settings(path, record, asdict(config), belongs_to or {})
    record |= {"config": asdict(config)}
    if record.get("belongs_to") is not None:
        record["belongs_to"] |= {"run": json.loads(json.dumps((belongs_to or {}).get("run")))}
    shapes = {
        part: {name: tuple(value.shape) for name, value in groups.get(part, {}).items()}
        for part in ("weights", "average", "exp_avg", "exp_avg_sq")
    }
    for part, named in {"weights": trained, "average": ema.values}.items():
        if shapes[part] != {name: tuple(value.shape) for name, value in named.items()}:
            raise CheckpointError(f"{path}: its tensors are not those of this model")
    if not shapes["exp_avg"].items() <= shapes["weights"].items() or shapes["exp_avg"] != shapes["exp_avg_sq"]:
        raise CheckpointError(f"{path}: the optimiser's moments are not those of this model")
    with torch.no_grad():
        for name, p in trained.items():
            p.copy_(groups["weights"][name])
        for name, value in ema.values.items():
            value.copy_(groups["average"][name])
    for name, p in trained.items():
        if name in groups.get("exp_avg", {}):
            optimizer.state[p] = {
                moment: groups[moment][name].to(p.device if moment != "step" else "cpu")
                for moment in ("exp_avg", "exp_avg_sq", "step")
            }
    return record


def _log(path: Path, world: World, row: dict[str, Any]) -> None:
    if world.first:
        plain = {name: value if math.isfinite(value) else None for name, value in row.items()}  # JSON has no NaN
        with open(path, "a") as handle:
            handle.write(json.dumps(plain) + "\n")


def _truncate_log(path: Path, step: int) -> None:
    """Drop the lines of steps that the resumed run will take again, and a last line cut short."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text().splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except (ValueError, KeyError, TypeError):
            break
    replace_file(path, lambda part: part.write_text("".join(kept)))
