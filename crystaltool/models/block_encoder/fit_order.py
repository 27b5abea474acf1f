"""Fit the order map to the fingerprints of building blocks. Needs torch, numpy and h5py.

    python -m crystaltool.models.block_encoder.fit_order BLOCKS.h5 -o DIR [--config TOML]

is `crystaltool train blocks --part order` for hosts without the command line's libraries. DIR, put beside the weights
of a block encoder as `order/`, holds `config.json` and `model.safetensors`. It starts from the principal components of
the substructures and takes seconds. A tenth of the identities, by a hash of their names, are held out.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from crystaltool.arrays import Float, Int
from crystaltool.errors import CrystaltoolError, InputError, UsageError
from crystaltool.models.block_encoder.data import HELD_OUT_PERCENT, block_points, percent_of
from crystaltool.models.block_encoder.fit import check_data
from crystaltool.models.block_encoder.neighbours import most_similar, one_of_each, tanimoto
from crystaltool.models.block_encoder.order import KIND, OrderConfig, OrderMap, order_vectors, scaled
from crystaltool.models.block_encoder.substructures import substructures
from crystaltool.models.configuration import load_part
from crystaltool.mof.blocks import LINKER, NODE
from crystaltool.mof.table import MOFTable, read_mofs
from crystaltool.training.checkpoint import save_model
from crystaltool.training.loop import Progress

_SHARPNESS = 10.0
"""Length squared to which the principal components are stretched at the start."""


@dataclass(frozen=True)
class OrderFitConfig:
    """A run.

    Args:
        model: sizes. epochs: passes through the identities. batch_size: identities whose pairs make a step.
        learning_rate: of Adam, falling to 0. temperature: of the similarities. seed: of the batches.

    Raises:
        UsageError: on a number outside its range.
    """

    model: OrderConfig = field(default_factory=OrderConfig)
    epochs: int = 60
    batch_size: int = 512
    learning_rate: float = 3e-3
    temperature: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 3 or not self.learning_rate > 0 or not self.temperature > 0:
            raise UsageError("epochs must be at least 1, batch_size at least 3, learning_rate and temperature positive")


load_config = partial(load_part, OrderFitConfig(), what="the order map")


def order_divergence(
    vectors: Float[Tensor, "b d"], similarity: Float[Tensor, "b b"], temperature: float
) -> Float[Tensor, ""]:
    """Divergence of who lies near whom from who is similar to whom, mean over the blocks.

    The Kullback-Leibler divergence of the softmax of minus the squared distances from that of the similarities over
    the temperature, each over all other blocks (stochastic neighbour embedding: Hinton and Roweis, NIPS 2002).

    Args:
        vectors: of blocks of different identities. similarity: 0 to 1. temperature: of the similarities.
    """
    squares = vectors.square().sum(1)
    apart = squares[:, None] + squares[None] - 2 * vectors @ vectors.T
    itself = torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    nothing = torch.finfo(vectors.dtype).min
    near = (-apart).masked_fill(itself, nothing).log_softmax(1)
    wanted = (similarity / temperature).masked_fill(itself, nothing).log_softmax(1)
    return (wanted.exp() * (wanted - near)).masked_fill(itself, 0.0).sum(1).mean()


def principal(rows: Float[Tensor, "n bits"], model: OrderMap) -> None:
    """Set the map to the principal components of rows, the largest first; zero where there are no more."""
    mean = rows.double().mean(0)
    apart = rows.double() - mean
    if len(rows) > rows.shape[1]:
        axes = torch.linalg.eigh(apart.T @ apart)[1].flip(1).T
    else:
        axes = torch.linalg.svd(apart, full_matrices=False)[2]
    weight = torch.zeros(model.config.size, rows.shape[1], dtype=axes.dtype)
    weight[: len(axes)] = _SHARPNESS**0.5 * axes[: model.config.size]
    with torch.no_grad():
        model.linear.weight.copy_(weight)
        model.linear.bias.copy_(-weight @ mean)


def fit_map(
    rows: Float[np.ndarray, "n bits"],
    prints: np.ndarray,
    config: OrderFitConfig,
    on_progress: Callable[[Progress], object] = lambda progress: None,
) -> OrderMap:
    """A fitted map in evaluation mode.

    Args:
        rows: `scaled` substructures, one block of each identity. prints: their packed fingerprints; shape (n, 256).
        config: how. on_progress: told of every epoch.
    """
    begun = time.monotonic()
    torch.manual_seed(config.seed)
    features, model = torch.from_numpy(rows).float(), OrderMap(config.model)
    principal(features, model)
    optimiser = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    n_batches = max(1, len(rows) // config.batch_size)
    steps = config.epochs * n_batches
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, steps)
    for epoch in range(config.epochs):
        order = np.random.default_rng([config.seed, epoch]).permutation(len(rows))
        total = 0.0
        for part in np.array_split(order, n_batches):
            similar = torch.from_numpy(tanimoto(prints[part], prints[part])).float()
            loss = order_divergence(model(features[torch.from_numpy(part)]), similar, config.temperature)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += float(loss.detach()) / n_batches
        done = (epoch + 1) * n_batches
        on_progress(Progress(done, steps, {"loss": total}, done / max(time.monotonic() - begun, 1e-9)))
    return model.eval()


def fit_order(
    data: Path,
    directory: Path,
    config: OrderFitConfig,
    on_progress: Callable[[Progress], object] = lambda progress: None,
) -> dict[str, float]:
    """Make all that lies in `directory`; returns what was measured on the identities held out.

    Raises:
        InputError: a file that is damaged or of another kind, or with too few blocks with fingerprints.
    """
    begun = time.monotonic()
    table = read_mofs(data)
    check_data(table)
    rows, held_out, prints = labelled(table)
    points = block_points(table)
    train = ~held_out
    if train.sum() < 3:
        raise InputError(f"{data}: {int(train.sum())} identities with fingerprints to learn from, expected 3 or more")
    model = fit_map(scaled(substructures(points, rows[train])), prints[train], config, on_progress)
    vectors = order_vectors(model.to(torch.float64), points, rows)
    measured = {"identities": float(train.sum()), "held_out": float(held_out.sum())}
    kinds = table.arrays["blocks/kind"][rows]
    for kind, name in ((LINKER, "linkers"), (NODE, "nodes")):
        some = np.flatnonzero(kinds == kind)
        found = most_similar(vectors[some], prints[some], np.flatnonzero(held_out[some]), config.seed)
        measured |= {f"{name}_{key}": value for key, value in found.items()}
    record = {
        "model": KIND,
        "config": dataclasses.asdict(config),
        "measured": measured,
        "seconds": round(time.monotonic() - begun, 1),
    }
    save_model(directory, record, {name: value.float() for name, value in model.state_dict().items()})
    return measured


def labelled(table: MOFTable) -> tuple[Int[np.ndarray, " n"], np.ndarray, np.ndarray]:
    """The first block of each identity with a fingerprint, which of them are held out, and their fingerprints."""
    rows, prints = one_of_each(table)
    names, identity = table.identity_names, table.arrays["blocks/identity"][rows]
    held_out = np.array([percent_of(names[one]) < HELD_OUT_PERCENT for one in identity.tolist()], dtype=bool)
    return rows, held_out, prints


def main(arguments: list[str]) -> int:
    """Command line of `python -m crystaltool.models.block_encoder.fit_order`; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m crystaltool.models.block_encoder.fit_order", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("blocks", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--config", type=Path)
    options = parser.parse_args(arguments)
    try:
        measured = fit_order(options.blocks, options.output, load_config(options.config))
    except (CrystaltoolError, OSError) as error:
        sys.stderr.write(f"fit_order: ERROR, {error}\n")
        return 2
    sys.stderr.write(", ".join(f"{name} {value:.4g}" for name, value in measured.items()) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
