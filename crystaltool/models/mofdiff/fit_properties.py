"""The first part of training MOFDiff: the encoder of properties, which then stays as it is.

A short run: the labels are few, and in a long one any network learns them by heart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from crystaltool.models.mofdiff.model import MOFDiff
from crystaltool.models.mofdiff.representation import CoarseData, to_batch
from crystaltool.training.distributed import World
from crystaltool.training.loop import LoopConfig, Progress, train
from crystaltool.training.order import epoch_batches, n_batches

EMA_DECAY = 0.98
"""Of the averaged weights: the run is short."""


def labelled_rows(data: CoarseData, rows: np.ndarray) -> np.ndarray:
    """MOFs with a label that not every MOF has; where there is no such label, those with any."""
    known = np.isfinite(data.properties[rows])
    scarce = known & ~known.all(axis=0)
    return rows[(scarce if scarce.any() else known).any(axis=1)]


def fit_properties(
    model: MOFDiff,
    data: CoarseData,
    rows: np.ndarray,
    directory: Path,
    loop: LoopConfig,
    world: World,
    *,
    epochs: int,
    learning_rate: float,
    batch_size: int,
    resume: bool,
    belongs_to: dict[str, Any],
    on_progress: Callable[[Progress], None],
) -> bool:
    """Train `model.property_encoder` and freeze it.

    Args:
        model: changed in place.
        data: MOFs. rows: of those to learn from, ascending.
        directory: gets `state.h5` and `metrics.jsonl`; made if it does not exist.
        loop: of the whole training; steps, rate, averaging and validation are this part's own.
        world: this process among all.
        epochs: passes through the rows. learning_rate: its peak. batch_size: rows a step, over all processes.
        resume, belongs_to, on_progress: as in `training.loop.train`.

    Returns:
        Whether it came to its end; False after SIGTERM.

    Raises:
        CheckpointError: if the state to resume from belongs to another run.
    """
    starts = np.cumsum(data.n_places) - data.n_places
    per_epoch = n_batches(len(rows), batch_size)
    n_members = model.config.property_members
    leave_out = 1 < n_members < len(rows)
    stopped = []

    def loss(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        epoch, batch_of_epoch = divmod(step, per_epoch)
        whole = rows[epoch_batches(data.n_places[rows], batch_size, loop.seed, epoch)[batch_of_epoch]]
        mine = world.share(whole)
        chosen = mine if len(mine) else whole[:1]
        left_out = torch.from_numpy(np.searchsorted(rows, chosen) % n_members if leave_out else 0 * chosen - 1)
        batch = to_batch(data, chosen, starts).to(model.device)
        value, extra = model.property_step(batch, left_out.to(model.device), generator)
        return value * world.weight(len(mine), len(whole)), extra

    directory.mkdir(parents=True, exist_ok=True)
    values = train(
        model.property_encoder,
        loss,
        replace(loop, steps=epochs * per_epoch, learning_rate=learning_rate, ema_decay=EMA_DECAY, validate_every=0),
        directory,
        world,
        resume=resume,
        belongs_to=belongs_to,
        on_progress=on_progress,
        on_stop=lambda: stopped.append(True),
    )
    model.property_encoder.load_state_dict(values)
    model.property_encoder.requires_grad_(False)
    return not stopped
