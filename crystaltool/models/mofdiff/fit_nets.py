"""Make the catalogue of nets and fit the model that says which block goes where. Needs torch, numpy, scipy and h5py.

    python -m crystaltool.models.mofdiff.fit_nets BLOCKS.h5 [...] --library LIBRARY.h5 -o DIR [--config TOML]

is `crystaltool train mofdiff --part nets` for hosts without the command line's libraries, and for several files.
BLOCKS.h5 are posed MOFs as `crystaltool fragment` writes them, LIBRARY.h5 is what `crystaltool embed --library` makes.
DIR, put beside the weights of MOFDiff as `nets/`, holds `nets.h5`, `config.json` and `model.safetensors`. MOFs whose
property `split` is not 0 are in the catalogue only if it is 1, and are never trained on; without it every twentieth is
for validation.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from crystaltool.arrays import Int
from crystaltool.errors import CrystaltoolError, InputError, UsageError
from crystaltool.models.block_encoder.library import Library
from crystaltool.models.configuration import load_part, read_part
from crystaltool.models.mofdiff.block_prior import (
    KIND,
    BlockPrior,
    ClassGraph,
    PriorConfig,
    block_features,
    class_graph,
    context_of,
)
from crystaltool.mof.catalogue import KEPT, build_catalogue, write_catalogue
from crystaltool.mof.labelled_net import net_of_mof
from crystaltool.mof.table import MOFTable, read_mofs
from crystaltool.training.checkpoint import replace_file, save_model
from crystaltool.training.loop import Progress

SPLIT, VALIDATION_EVERY = "split", 20


@dataclass(frozen=True)
class NetsFitConfig:
    """A run.

    Args:
        model: sizes. epochs: passes through the classes of all nets. batch_size: classes a step.
        learning_rate: of AdamW, falling to 0 on a cosine. weight_decay: its. seed: of all draws.
        kept: embeddings of a net that stay in the catalogue.

    Raises:
        UsageError: on a number outside its range.
    """

    model: PriorConfig = field(default_factory=PriorConfig)
    epochs: int = 12
    batch_size: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    seed: int = 0
    kept: int = KEPT

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch_size, self.kept) < 1 or self.learning_rate <= 0 or self.weight_decay < 0:
            raise UsageError(
                "epochs, batch_size and kept must be at least 1, learning_rate above 0, weight_decay not below"
            )


DEFAULT = NetsFitConfig()
read_config, load_config = partial(read_part, DEFAULT, what="nets"), partial(load_part, DEFAULT, what="nets")


@dataclass(frozen=True)
class Example:
    """A net with the blocks that it was found with: library rows of each class's identity, none where unknown."""

    graph: ClassGraph
    rows: tuple[Int[np.ndarray, " r"], ...]


def examples_of(table: MOFTable, library: Library, chosen: Sequence[int]) -> list[Example]:
    """The MOFs of some rows."""
    names = library.blocks.identity_names
    identities = library.blocks.arrays["blocks/identity"].tolist()
    by: dict[tuple[str, int], list[int]] = {}
    for row, (identity, k) in enumerate(zip(identities, library.n_connections.tolist(), strict=True)):
        by.setdefault((names[identity], k), []).append(row)
    found = []
    for row in chosen:
        mof = table[row]
        graph = class_graph(net_of_mof(mof))
        blocks = [mof.blocks[int(some[0])] for some in graph.vertices]
        rows = [np.array(by.get((b.identity, b.n_connections), []), dtype=np.int64) for b in blocks]
        if sum(len(some) > 0 for some in rows):
            found.append(Example(graph, tuple(rows)))
    return found


class Data:
    """Classes of examples, grouped by kind and number of connection points, with their contexts drawn anew."""

    def __init__(self, examples: Sequence[Example], library: Library) -> None:
        self.examples, self.library = examples, library
        self.features = torch.from_numpy(block_features(library))
        kinds, connections = library.kinds, library.n_connections
        self.groups: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for number, example in enumerate(examples):
            for c, rows in enumerate(example.rows):
                if len(rows):
                    key = int(example.graph.kinds[c]), int(example.graph.connections[c])
                    self.groups.setdefault(key, []).append((number, c))
        self.members = {key: np.flatnonzero((kinds == key[0]) & (connections == key[1])) for key in self.groups}
        self.place = np.zeros(len(library), dtype=np.int64)
        for rows in self.members.values():
            self.place[rows] = np.arange(len(rows))

    def loss(self, model: BlockPrior, key: tuple[int, int], part: Sequence[tuple[int, int]], rng) -> Tensor:
        """Mean negative log likelihood (nat) of the blocks of some classes of one group, others partly hidden."""
        contexts = np.stack([self._context(number, c, rng) for number, c in part])
        scores = model(torch.from_numpy(contexts), self.features[torch.from_numpy(self.members[key])])
        right = torch.zeros_like(scores, dtype=torch.bool)
        for line, (number, c) in enumerate(part):
            right[line, torch.from_numpy(self.place[self.examples[number].rows[c]])] = True
        return (scores.logsumexp(1) - scores.masked_fill(~right, -torch.inf).logsumexp(1)).mean()

    def _context(self, number: int, c: int, rng: np.random.Generator) -> np.ndarray:
        example = self.examples[number]
        n = len(example.rows)
        have = np.array([len(rows) > 0 for rows in example.rows])
        seen = have & (rng.random(n) < rng.random())
        width = self.library.embeddings.shape[1]
        held = [rng.choice(rows) if len(rows) else -1 for rows in example.rows]
        vectors = np.stack([self.library.embeddings[row] if row >= 0 else np.zeros(width) for row in held])
        return context_of(example.graph, c, vectors, seen)


def fit_prior(
    train: Data,
    validation: Data,
    config: NetsFitConfig,
    on_progress: Callable[[Progress], object] = lambda progress: None,
) -> tuple[BlockPrior, list[dict[str, float]]]:
    """A trained model in evaluation mode, and the losses of every epoch in nat a class; told of each epoch."""
    begun = time.monotonic()
    torch.manual_seed(config.seed)
    model = BlockPrior(config.model)
    optimiser = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    steps = config.epochs * sum(-(-len(some) // config.batch_size) for some in train.groups.values())
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    metrics = []
    for epoch in range(config.epochs):
        rng = np.random.default_rng([config.seed, epoch])
        model.train()
        batches = []
        for key, some in sorted(train.groups.items()):
            order = rng.permutation(len(some))
            for start in range(0, len(order), config.batch_size):
                batches.append((key, [some[k] for k in order[start : start + config.batch_size]]))
        total = 0.0
        for k in rng.permutation(len(batches)):
            key, part = batches[int(k)]
            loss = train.loss(model, key, part, rng)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += float(loss.detach()) * len(part)
        n = sum(map(len, train.groups.values()))
        metrics.append({"epoch": float(epoch + 1), "loss": total / n, "validation": evaluate(model, validation)})
        done = (epoch + 1) * steps // config.epochs
        rate = done / max(time.monotonic() - begun, 1e-9)
        on_progress(Progress(done, steps, {k: v for k, v in metrics[-1].items() if k != "epoch"}, rate))
    return model.eval(), metrics


@torch.no_grad()
def evaluate(model: BlockPrior, data: Data) -> float:
    """Mean negative log likelihood of all classes, nat, with fixed draws of what is hidden; NaN without any."""
    model.eval()
    total = n = 0.0
    for key, some in sorted(data.groups.items()):
        if len(data.members[key]):
            total += float(data.loss(model, key, some, np.random.default_rng([0, *key]))) * len(some)
            n += len(some)
    return total / n if n else float("nan")


def frequencies(data: Data, power: float) -> float:
    """As `evaluate`, of occurrences to a power: what the model must beat."""
    total = n = 0.0
    for key, some in data.groups.items():
        rows = data.members[key]
        weights = data.library.occurrences[rows].clip(1).astype(float) ** power
        shares = np.log(weights / weights.sum())
        for number, c in some:
            total -= np.logaddexp.reduce(shares[data.place[data.examples[number].rows[c]]])
            n += 1
    return total / n if n else float("nan")


def fit_nets(
    data: Path | Sequence[Path],
    directory: Path,
    config: NetsFitConfig,
    on_progress: Callable[[Progress], object] = lambda progress: None,
    *,
    library: Path,
) -> dict[str, float]:
    """Make all that lies in `directory`; returns what was measured.

    Raises:
        InputError: a file that is damaged or of another kind, no MOF to learn from.
    """
    begun = time.monotonic()
    blocks = Library.load(library)
    files = [data] if isinstance(data, Path) else list(data)
    tables = [read_mofs(path) for path in files]
    rows: dict[str, list[list[int]]] = {"train": [], "validation": [], "catalogue": []}
    for table in tables:
        split = table.properties.get(SPLIT, (np.arange(len(table)) % VALIDATION_EVERY == 0).astype(float))
        rows["train"].append(np.flatnonzero(split == 0).tolist())
        rows["validation"].append(np.flatnonzero(split == 1).tolist())
        rows["catalogue"].append(np.flatnonzero(split <= 1).tolist())
    catalogue = build_catalogue(
        (table[row] for table, some in zip(tables, rows["catalogue"], strict=True) for row in some), config.kept
    )
    examples = {
        part: [one for table, some in zip(tables, rows[part], strict=True) for one in examples_of(table, blocks, some)]
        for part in ("train", "validation")
    }
    train, validation = Data(examples["train"], blocks), Data(examples["validation"], blocks)
    if not train.groups:
        raise InputError(f"{files[0]}: no MOF to learn from that holds a block of {library}")
    model, metrics = fit_prior(train, validation, config, on_progress)
    measured = metrics[-1] | {f"frequencies_{power:g}": frequencies(validation, power) for power in (0.5, 1.0)}
    measured |= {"mofs": float(sum(map(len, rows["catalogue"]))), "nets": float(len(set(catalogue.keys)))}
    directory.mkdir(parents=True, exist_ok=True)
    replace_file(directory / "nets.h5", lambda path: write_catalogue(path, catalogue))
    record = {
        "model": KIND,
        "config": dataclasses.asdict(config),
        "encoder_sha256": blocks.weights_sha256,
        "measured": measured,
        "seconds": round(time.monotonic() - begun, 1),
    }
    save_model(directory, record, model.state_dict())
    return measured


def main(arguments: list[str]) -> int:
    """Command line of `python -m crystaltool.models.mofdiff.fit_nets`; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m crystaltool.models.mofdiff.fit_nets", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("blocks", nargs="+", type=Path)
    parser.add_argument("--library", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--config", type=Path)
    options = parser.parse_args(arguments)
    try:
        measured = fit_nets(options.blocks, options.output, load_config(options.config), library=options.library)
    except (CrystaltoolError, OSError) as error:
        sys.stderr.write(f"fit_nets: ERROR, {error}\n")
        return 2
    sys.stderr.write(", ".join(f"{name} {value:.4g}" for name, value in measured.items()) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
