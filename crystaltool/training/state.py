"""What a run is resumed from: weights, their average, the optimiser's moments, and a record of how far it got."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from crystaltool.errors import CheckpointError
from crystaltool.training.checkpoint import STATE, load_state, save_state
from crystaltool.training.ema import Ema
from crystaltool.training.resuming import check_settings

MOMENTS = ("exp_avg", "exp_avg_sq", "step")
"""What AdamW keeps of each parameter."""


@dataclass(frozen=True)
class RunFolder:
    """Where a run keeps its state, and what that state belongs to.

    Args:
        path: gets `state.h5` and `metrics.jsonl`.
        resume: go on from `state.h5`; the run then equals an unbroken one, step by step.
        belongs_to: what else must be the same to resume (model, data); plain JSON values. `run`, the settings as the
            user gave them, is kept for `configuration.load_run` and not compared.
    """

    path: Path
    resume: bool = False
    belongs_to: dict[str, Any] | None = None

    @property
    def state(self) -> Path:
        """The state file."""
        return self.path / STATE

    @property
    def metrics(self) -> Path:
        """The log."""
        return self.path / "metrics.jsonl"


class RunState:
    """Everything that changes while a module is trained.

    Args:
        module: whose parameters are trained.
        optimizer: of those that require gradients.
        ema: their average.
        config: how it is trained, as plain JSON values; a resumed run must have the same but for more steps.
        folder: where the state is kept; read here if the run is resumed.

    Raises:
        CheckpointError: the stored state belongs to other settings, another model or other data; it names the setting.
    """

    def __init__(
        self, module: nn.Module, optimizer: torch.optim.Optimizer, ema: Ema, config: dict[str, Any], folder: RunFolder
    ) -> None:
        self.trained = {name: p for name, p in module.named_parameters() if p.requires_grad}
        self.optimizer, self.ema, self.folder = optimizer, ema, folder
        self.record: dict[str, Any] = {"step": 0, "seconds": 0.0, "best": -math.inf, "since_best": 0, "config": config}
        self.record |= {"belongs_to": json.loads(json.dumps(folder.belongs_to)), "owed": False, "meter": {}}
        if folder.resume:
            self.record |= self._restored(config)

    def save(self) -> None:
        """Write the state file, whole or not at all."""
        moments = {name: self.optimizer.state.get(p, {}) for name, p in self.trained.items()}
        groups = {"weights": self.trained, "average": self.ema.values}
        for moment in MOMENTS:
            groups[moment] = {name: values[moment] for name, values in moments.items() if values}
        save_state(self.folder.state, self.record, groups)

    def _restored(self, config: dict[str, Any]) -> dict[str, Any]:
        """Take weights, averages and moments from the file; its record."""
        path, asked = self.folder.state, self.folder.belongs_to or {}
        record, groups = load_state(path)
        check_settings(path, record, config, asked)
        record |= {"config": config}
        if record.get("belongs_to") is not None:
            record["belongs_to"] |= {"run": json.loads(json.dumps(asked.get("run")))}
        self._check_shapes(groups)
        with torch.no_grad():
            for name, p in self.trained.items():
                p.copy_(groups["weights"][name])
            for name, value in self.ema.values.items():
                value.copy_(groups["average"][name])
        for name, p in self.trained.items():
            if name in groups.get("exp_avg", {}):
                self.optimizer.state[p] = {
                    moment: groups[moment][name].to(p.device if moment != "step" else "cpu") for moment in MOMENTS
                }
        return record

    def _check_shapes(self, groups: dict[str, dict[str, torch.Tensor]]) -> None:
        shapes = {
            part: {name: tuple(value.shape) for name, value in groups.get(part, {}).items()}
            for part in ("weights", "average", "exp_avg", "exp_avg_sq")
        }
        for part, named in {"weights": self.trained, "average": self.ema.values}.items():
            if shapes[part] != {name: tuple(value.shape) for name, value in named.items()}:
                raise CheckpointError(f"{self.folder.state}: its tensors are not those of this model")
        values = [(moment, name, value) for moment, named in groups.items() for name, value in named.items()]
        moments = [set(groups.get(moment, {})) for moment in MOMENTS]
        if not all(value.is_floating_point() for _, _, value in values):
            raise CheckpointError(f"{self.folder.state}: its tensors hold whole numbers or text")
        if moments[1:] != moments[:-1] or any(value.ndim for moment, _, value in values if moment == "step"):
            raise CheckpointError(f"{self.folder.state}: the optimiser's moments are not complete")
        if not shapes["exp_avg"].items() <= shapes["weights"].items() or shapes["exp_avg"] != shapes["exp_avg_sq"]:
            raise CheckpointError(f"{self.folder.state}: the optimiser's moments are not those of this model")
