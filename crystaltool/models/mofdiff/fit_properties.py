"""The first part of training MOFDiff: the encoder of properties, which then stays as it is.

A short run: the labels are few, and in a long one any network learns them by heart.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from crystaltool.models.mofdiff.losses import property_loss
from crystaltool.models.mofdiff.model import MOFDiff
from crystaltool.models.mofdiff.representation import CoarseData, to_batch
from crystaltool.training.loop import LoopConfig
from crystaltool.training.order import epoch_batches, n_batches
from crystaltool.training.run import FirstPart

EMA_DECAY = 0.98
"""Of the averaged weights: the run is short."""


def labelled_rows(data: CoarseData, rows: np.ndarray) -> np.ndarray:
    """MOFs with a label that not every MOF has; where there is no such label, those with any."""
    known = np.isfinite(data.properties[rows])
    scarce = known & ~known.all(axis=0)
    return rows[(scarce if scarce.any() else known).any(axis=1)]


class PropertyPart(FirstPart):
    """The encoder of properties on labelled MOFs; of several members one does not learn from each MOF.

    Args:
        data: MOFs. rows: of those to learn from, ascending.
        loop: of the whole training; steps, rate, averaging and validation are this part's own.
        epochs: passes through the rows. learning_rate: its peak. batch_size: rows a step, over all processes.
    """

    folder = "properties"

    def __init__(
        self, data: CoarseData, rows: np.ndarray, loop: LoopConfig, epochs: int, learning_rate: float, batch_size: int
    ) -> None:
        self.data, self.rows, self.batch_size = data, rows, batch_size
        self.starts = np.cumsum(data.n_places) - data.n_places
        self.n_batches = n_batches(len(rows), batch_size)
        self.loop = replace(
            loop, steps=epochs * self.n_batches, learning_rate=learning_rate, ema_decay=EMA_DECAY, validate_every=0
        )

    def module(self, model: MOFDiff) -> nn.Module:
        return model.property_encoder

    def batches(self, epoch: int) -> list[np.ndarray]:
        order = epoch_batches(self.data.n_places[self.rows], self.batch_size, self.loop.seed, epoch)
        return [self.rows[rows] for rows in order]

    def loss(
        self, model: MOFDiff, rows: np.ndarray, generator: torch.Generator, rng: np.random.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        n_members = model.config.property_members
        left_out = np.searchsorted(self.rows, rows) % n_members
        if not 1 < n_members < len(self.rows):
            left_out[:] = -1
        batch = to_batch(self.data, rows, self.starts).to(model.device)
        return property_loss(model, batch, torch.from_numpy(left_out).to(model.device), generator)
