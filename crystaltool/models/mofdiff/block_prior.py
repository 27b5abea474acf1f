"""Which block goes to which class of a net's vertices: a categorical model over library blocks, in any order.

A class sees its kind and size, the net, and messages along the net's edges from the classes that have a block already
(their embeddings, one and two steps away). The block is scored by its own embedding, so blocks that the training data
did not have are scored too. Trained with random parts of the classes hidden (Hoogeboom et al., ICLR 2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from crystaltool.arrays import Float, Int
from crystaltool.errors import UsageError
from crystaltool.models.block_encoder.library import Library
from crystaltool.models.block_encoder.model import EMBEDDING_SIZE
from crystaltool.models.configuration import from_json, stored_sizes
from crystaltool.models.mofdiff.figures import groups_of
from crystaltool.mof.blocks import KINDS, MAX_BLOCKS, MAX_CONNECTIONS
from crystaltool.mof.labelled_net import LabelledNet
from crystaltool.training.checkpoint import fill_model, load_model

KIND = "mofdiff-nets"
N_KINDS = len(KINDS)
N_CONTEXT = 2 * N_KINDS + 6 + 3 * (EMBEDDING_SIZE + 1)
N_BLOCK = EMBEDDING_SIZE + 1


@dataclass(frozen=True)
class PriorConfig:
    """Sizes.

    Args:
        width: of the hidden layers. key: dimensions in which class and block are compared. dropout: share.

    Raises:
        UsageError: on a number outside its range.
    """

    width: int = 128
    key: int = 48
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if self.width < 1 or self.key < 1 or not 0 <= self.dropout < 1:
            raise UsageError("width and key must be at least 1, dropout at least 0 and below 1")


class BlockPrior(nn.Module):
    """Scores of blocks for classes of vertices."""

    def __init__(self, config: PriorConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.query = nn.Sequential(
            nn.Linear(N_CONTEXT, width),
            nn.SiLU(),
            nn.Dropout(config.dropout),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Dropout(config.dropout),
            nn.Linear(width, config.key + 2),
        )
        self.keys = nn.Sequential(nn.Linear(N_BLOCK, width), nn.SiLU(), nn.Linear(width, config.key + 1))

    def forward(self, context: Float[Tensor, "b c"], blocks: Float[Tensor, "n f"]) -> Float[Tensor, "b n"]:
        """Scores of `n` blocks for `b` classes.

        Args:
            context: of `context_of`. blocks: of `block_features`.
        """
        return self.compare(self.query(context), self.keys(blocks), blocks)

    def compare(
        self, query: Float[Tensor, "b q"], keys: Float[Tensor, "n k"], blocks: Float[Tensor, "n f"]
    ) -> Float[Tensor, "b n"]:
        """Scores from what `self.query` says of the classes and `self.keys` of the blocks."""
        size = self.config.key
        dot = query[:, :size] @ keys[:, :size].T / size**0.5
        return dot + keys[None, :, size] + query[:, size, None] * blocks[None, :, -1]


def block_features(library: Library) -> Float[np.ndarray, "n f"]:
    """Embedding and logarithm of the occurrences of each block of a library."""
    counted = np.log(library.occurrences.clip(1))[:, None]
    return np.concatenate([library.embeddings, counted], axis=1).astype(np.float32)


@dataclass(frozen=True)
class ClassGraph:
    """The classes of a net's vertices and the bonds between them.

    Args:
        vertices: of each class. kinds, connections: of each.
        bonds: share of the bonds of a class (row) that go to another (column); shape (c, c).
        known: numbers of the class and of the net that do not depend on blocks; shape (c, 2 N_KINDS + 6).
    """

    vertices: tuple[np.ndarray, ...]
    kinds: Int[np.ndarray, " c"]
    connections: Int[np.ndarray, " c"]
    bonds: Float[np.ndarray, "c c"]
    known: Float[np.ndarray, "c k"]


def class_graph(net: LabelledNet) -> ClassGraph:
    """The classes of a net as the prior sees them."""
    names, index = np.unique(net.classes, return_inverse=True)
    n = len(names)
    vertices = tuple(np.flatnonzero(index == c) for c in range(n))
    kinds = np.array([net.kinds[some[0]] for some in vertices])
    connections = np.array([net.n_connections[some[0]] for some in vertices])
    bonds = np.zeros((n, n))
    first, second = index[net.edges.blocks].T
    np.add.at(bonds, (first, second), 1.0)
    np.add.at(bonds, (second, first), 1.0)
    bonds /= bonds.sum(axis=1, keepdims=True).clip(1)
    neighbours = np.array([len(np.unique(groups_of(net, int(some[0])))) for some in vertices])
    shares = np.stack([(net.kinds == kind).mean() for kind in range(N_KINDS)])
    known = np.concatenate(
        [
            np.eye(N_KINDS)[kinds],
            np.tile(shares, (n, 1)),
            np.column_stack(
                [
                    connections / MAX_CONNECTIONS,
                    neighbours / connections,
                    neighbours / MAX_CONNECTIONS,
                    [len(some) / MAX_BLOCKS for some in vertices],
                    np.full(n, net.n_vertices / MAX_BLOCKS),
                    np.full(n, n / 6),
                ]
            ),
        ],
        axis=1,
    )
    return ClassGraph(vertices, kinds, connections, bonds, known)


def context_of(
    graph: ClassGraph, number: int, embeddings: Float[np.ndarray, "c e"], seen: np.ndarray
) -> Float[np.ndarray, " k"]:
    """What a class sees.

    Args:
        graph: of the net. number: of the class.
        embeddings: of the classes' blocks. seen: which of them have one; shape (c,).
    """
    shown = seen & (np.arange(len(seen)) != number)
    parts = [graph.known[number]]
    for weights in (graph.bonds[number], graph.bonds[number] @ graph.bonds, np.full(len(seen), 1 / len(seen))):
        weights = weights * shown
        parts += [weights @ embeddings / max(float(weights.sum()), 1e-6), weights.sum()[None]]
    return np.concatenate(parts).astype(np.float32)


class LearnedPrior:
    """`nets_first.Prior` by a trained model.

    Args:
        model: in evaluation mode. library: whose blocks are chosen. flatness: scores are divided by it.
    """

    def __init__(self, model: BlockPrior, library: Library, flatness: float = 1.0) -> None:
        self.model, self.library, self.flatness = model, library, flatness
        with torch.no_grad():
            self._blocks = torch.from_numpy(block_features(library))
            self._keys = model.keys(self._blocks)
        self._net: LabelledNet | None = None

    @torch.no_grad()
    def scores(
        self, net: LabelledNet, vertices: Sequence[int], rows: Int[np.ndarray, " n"], chosen: dict[int, int]
    ) -> Float[np.ndarray, " n"]:
        """As `Prior.scores`, rounded far above what a batch or a library of another size could change."""
        if self._net is not net:
            self._net, self._graph = net, class_graph(net)
        graph = self._graph
        number = next(k for k, some in enumerate(graph.vertices) if vertices[0] in some)
        held = [chosen.get(int(some[0]), -1) for some in graph.vertices]
        seen = np.array(held) >= 0
        embeddings = np.stack([self.library.embeddings[row] if row >= 0 else np.zeros(EMBEDDING_SIZE) for row in held])
        context = torch.from_numpy(context_of(graph, number, embeddings, seen))[None]
        index = torch.from_numpy(rows)
        query = self.model.query(context)
        found = self.model.compare(query, self._keys[index], self._blocks[index])[0].double().numpy()
        return np.round(found / self.flatness, 4)


def load_prior(directory: Path) -> BlockPrior:
    """The model of a folder, in evaluation mode.

    Raises:
        CheckpointError: missing, damaged, of another kind, or with tensors that do not fit its config.
    """
    config, tensors = load_model(directory, KIND)
    with stored_sizes(directory, "MOFDiff's prior of blocks"):
        sizes = from_json(PriorConfig(), config["config"]["model"])
    model = fill_model(directory, lambda: BlockPrior(sizes), tensors, "cpu")
    return model.float().eval()
