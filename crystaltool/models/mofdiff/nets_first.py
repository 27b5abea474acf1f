"""MOFs by net, blocks and places in this order: a net of the catalogue, a library block for each class of its vertices,
centres and cell by least squares.

Item i draws from (seed, i) alone. Of several fillings of a net those are kept whose blocks can be turned and placed so
that every bond closes best.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np

from crystaltool.arrays import Bool, Float, Int
from crystaltool.errors import UsageError
from crystaltool.models.block_encoder.library import Library
from crystaltool.models.mofdiff.figures import Shapes
from crystaltool.models.mofdiff.filling import Filling, Turns, fill
from crystaltool.mof.blocks import BuildingBlock, CoarseMOF
from crystaltool.mof.catalogue import Catalogue
from crystaltool.mof.labelled_net import LabelledNet
from crystaltool.ranges import require_least, require_positive

_STREAM = 77
_MOST_VERTICES = 3
"""Vertices of a class whose figures are compared with blocks; the others are mostly their images."""

_NEEDED = (1, 6)
_TRIES = 12
NOTHING: Mapping[int, int] = {}
_CONTACT_WEIGHT = 0.25
_OVERLAPPING = 1.0
"""A^2: what atoms add that are too close to be parted."""


@dataclass(frozen=True)
class NetsConfig:
    """How nets are filled.

    Args:
        fillings: of each drawn net. nets: drawn at most, until a filling closes within `strain`.
        candidates: fillings kept of an item.
        cost: A^2; what may stay open, a bond: the square of its gap and of its bend, and a quarter of what atoms of
            different blocks lack in distance. Where a filling comes below it no further net is drawn.
        closest: of such atoms, least distance over the sum of their covalent radii.
        looked_at: fillings of a net, of those that close best, whose atoms are looked at.
        fit: A; a block is taken the less likely the more its points differ from the vertex figure, as a normal
            distribution of this deviation has it.
        sharing: added to the score of a block that another class holds already: real MOFs have few kinds of linkers.
        neutral: whether blocks must be neutral together.
        learned: weight of the trained model beside that of the blocks' frequencies (to the power 1/2), 0 to 1.

    Raises:
        UsageError: on a number outside its range.
    """

    fillings: int = 12
    nets: int = 3
    candidates: int = 3
    cost: float = 0.12
    closest: float = 0.55
    looked_at: int = 4
    fit: float = 0.35
    sharing: float = 7.0
    neutral: bool = True
    learned: float = 0.0

    def __post_init__(self) -> None:
        require_least(self, 1, "fillings", "nets", "candidates", "looked_at")
        require_positive(self, "cost", "closest", "fit")
        if not 0 <= self.learned <= 1:
            raise UsageError(f"learned is {self.learned}, expected a number between 0 and 1")


@runtime_checkable
class Prior(Protocol):
    """What says which block goes where."""

    def scores(
        self, net: LabelledNet, vertices: Sequence[int], rows: Int[np.ndarray, " n"], chosen: dict[int, int]
    ) -> Float[np.ndarray, " n"]:
        """Log probabilities up to a constant of library rows for a class of vertices.

        Args:
            net: to be filled. vertices: of the class. rows: of the library.
            chosen: library rows of the vertices that have a block already.
        """
        ...


@dataclass(frozen=True)
class Frequencies:
    """Blocks as they occur in known MOFs, the frequent ones damped by a power."""

    occurrences: Int[np.ndarray, " n"]
    power: float = 0.5

    def scores(
        self, net: LabelledNet, vertices: Sequence[int], rows: Int[np.ndarray, " n"], chosen: dict[int, int]
    ) -> Float[np.ndarray, " n"]:
        """As `Prior.scores`."""
        return self.power * np.log(self.occurrences[rows].clip(1))


@dataclass(frozen=True)
class Mixed:
    """Two priors, the scores of the second by a weight and those of the first by the rest."""

    first: Prior
    second: Prior
    weight: float

    def scores(
        self, net: LabelledNet, vertices: Sequence[int], rows: Int[np.ndarray, " n"], chosen: dict[int, int]
    ) -> Float[np.ndarray, " n"]:
        """As `Prior.scores`."""
        one, other = (prior.scores(net, vertices, rows, chosen) for prior in (self.first, self.second))
        return (1 - self.weight) * one + self.weight * other


@dataclass(frozen=True)
class Choices:
    """What may be chosen.

    Args:
        nets: rows of the catalogue. allowed: blocks of the library that may be used at all.
        needed: sets of blocks of each of which every MOF has one.
    """

    nets: Int[np.ndarray, " nets"]
    allowed: Bool[np.ndarray, " blocks"]
    needed: tuple[Bool[np.ndarray, " blocks"], ...] = ()


@dataclass(frozen=True)
class Ranked:
    """A filling, the library rows of its vertices, the row of its net in the catalogue, and its cost in A^2."""

    filling: Filling
    rows: tuple[int, ...]
    net: int
    cost: float


class NetFiller:
    """Fills nets of a catalogue with blocks of a library.

    Args:
        catalogue, library: of nets and blocks. charges: lowest and highest of each block, e, NaN where not known.
        prior: which block goes where. config: how.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        library: Library,
        charges: Float[np.ndarray, "n 2"],
        prior: Prior,
        config: NetsConfig,
    ) -> None:
        self.catalogue, self.library, self.charges = catalogue, library, charges
        self.prior, self.config, self.shapes = prior, config, Shapes(library)
        self._holds = [library.containing(number) for number in _NEEDED]
        self._blocks: dict[int, BuildingBlock] = {}

    def block(self, row: int) -> BuildingBlock:
        """A block of the library, kept once made."""
        if row not in self._blocks:
            self._blocks[row] = self.library.block(row)
        return self._blocks[row]

    def draw(self, seed: int, index: int, choices: Choices) -> list[Ranked]:
        """The best fillings of an item, those that close best first.

        Args:
            seed, index: of the item. choices: what may be chosen.
        """
        rng, found = stream(seed, index), []
        for _ in range(self.config.nets):
            found += self.fillings(self.any_net(choices, rng), choices, rng, self.config.fillings)
            found.sort(key=lambda one: one.cost)
            if found and found[0].cost <= self.config.cost:
                break
        return found[: self.config.candidates]

    def any_net(self, choices: Choices, rng: np.random.Generator) -> int:
        """Row of a net, drawn as often as MOFs have it."""
        shares = self.catalogue.counts[choices.nets] / self.catalogue.counts[choices.nets].sum()
        return int(choices.nets[rng.choice(len(choices.nets), p=shares)])

    def fillings(
        self, row: int, choices: Choices, rng: np.random.Generator, n: int, kept: Mapping[int, int] = NOTHING
    ) -> list[Ranked]:
        """Up to `n` fillings of a net, those whose atoms were looked at.

        Args:
            row: of the net. choices: what may be chosen. kept: library rows of vertices that are not drawn, whole
                classes of them.
        """
        net = self.catalogue.nets[row]
        classes = [np.flatnonzero(net.classes == c) for c in np.unique(net.classes)]
        options = [self._options(net, vertices, choices) for vertices in classes]
        found: dict[tuple[int, ...], Filling] = {}
        turns = Turns(net)
        for _ in range(n if all(len(rows) for rows, _ in options) else 0):
            rows = self._blocks_of(net, classes, options, choices, rng, kept)
            if rows is None or rows in found:
                continue
            filling = fill(net, [self.block(one) for one in rows], turns)
            if filling is not None:
                found[rows] = filling
        best = sorted(found.items(), key=lambda item: item[1].strain)[: self.config.looked_at]
        ranked = []
        for rows, filling in best:
            depth, closest = filling.contacts()
            cost = filling.strain**2 + _CONTACT_WEIGHT * depth
            ranked.append(Ranked(filling, rows, row, cost if closest >= self.config.closest else cost + _OVERLAPPING))
        return ranked

    def _options(self, net: LabelledNet, vertices: np.ndarray, choices: Choices) -> tuple[np.ndarray, np.ndarray]:
        """Library rows for a class, and the log probability that their shape gives them."""
        kind, k = int(net.kinds[vertices[0]]), int(net.n_connections[vertices[0]])
        rows = self.shapes.rows(kind, k)
        if not len(rows):
            return rows, np.zeros(0)
        misfits = self.shapes.misfits(net, vertices[:_MOST_VERTICES].tolist())
        allowed = choices.allowed[rows]
        return rows[allowed], -0.5 * np.square(misfits[allowed] / self.config.fit)

    def _blocks_of(
        self, net, classes, options, choices: Choices, rng: np.random.Generator, kept: Mapping[int, int]
    ) -> tuple[int, ...] | None:
        """Library rows of all vertices, or None if nothing neutral with all that is needed was found."""
        order = np.argsort([len(rows) for rows, _ in options], kind="stable")
        order = [number for number in order.tolist() if int(classes[number][0]) not in kept]
        for _ in range(_TRIES):
            chosen = dict(kept)
            charge = self.charges[list(kept.values())].sum(0) if kept else np.zeros(2)
            for place, number in enumerate(order):
                vertices, (rows, fits) = classes[number], options[number]
                scores = fits + self.prior.scores(net, vertices.tolist(), rows, chosen)
                scores = scores + self.config.sharing * np.isin(rows, list(chosen.values()))
                if self.config.neutral and place == len(order) - 1:
                    total = charge + len(vertices) * self.charges[rows]
                    scores = np.where((total[:, 0] <= 0) & (total[:, 1] >= 0), scores, -np.inf)
                elif self.config.neutral:
                    scores = np.where(np.isfinite(self.charges[rows, 0]), scores, -np.inf)
                if not np.isfinite(scores).any():
                    break
                row = int(rows[(scores + rng.gumbel(size=len(scores))).argmax()])
                chosen |= dict.fromkeys(vertices.tolist(), row)
                charge = charge + len(vertices) * self.charges[row]
            used = np.array([chosen.get(vertex, -1) for vertex in range(net.n_vertices)])
            needed = (*choices.needed, *(some for some in self._holds if some.any()))
            if (used >= 0).all() and all(some[used].any() for some in needed):
                return tuple(used.tolist())
        return None


def possible_nets(catalogue: Catalogue, library: Library, choices: Choices) -> Choices:
    """The choices with the nets alone that can be filled.

    Raises:
        UsageError: none is left.
    """
    kinds, connections = library.kinds, library.n_connections

    def sorts(rows: np.ndarray) -> set[tuple[int, int]]:
        return set(zip(kinds[rows].tolist(), connections[rows].tolist(), strict=True))

    allowed = sorts(choices.allowed)
    wanted = [sorts(some & choices.allowed) for some in choices.needed]
    kept = []
    for row in choices.nets.tolist():
        net = catalogue.nets[row]
        vertices = set(zip(net.kinds.tolist(), net.n_connections.tolist(), strict=True))
        if vertices <= allowed and all(vertices & some for some in wanted):
            kept.append(row)
    if not kept:
        raise UsageError(
            "no net of those asked for can be filled with the blocks asked for: no vertex of theirs has"
            " as many edges as the blocks have connection points, or other vertices stay empty"
        )
    return replace(choices, nets=np.array(kept, dtype=np.int64))


Drawing = Callable[[int, int, Choices], list[Ranked]]
"""What an item's fillings are, from seed, index and what may be chosen."""


def sample_nets(
    draw: Drawing, indices: Sequence[int], seed: int, choices: Choices
) -> Iterator[list[tuple[CoarseMOF, tuple[int, ...], int]]]:
    """The fillings of each item, best first: MOFs of known nets, library rows, row of the net.

    Args:
        draw: `NetFiller.draw`, or what aims at something. choices: what may be chosen.
    """
    for index in indices:
        found = draw(seed, index, choices)
        yield [
            (
                replace(
                    one.filling.mof,
                    name=item_name(seed, index),
                    properties={"candidate": float(number), "decoding_score": -one.cost},
                ),
                one.rows,
                one.net,
            )
            for number, one in enumerate(found)
        ]


def stream(seed: int, index: int) -> np.random.Generator:
    """Random numbers of an item."""
    key = np.array([seed, index], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, _STREAM]))


def item_name(seed: int, index: int) -> str:
    """Name of item `index`, as in the free mode."""
    return f"mofdiff-s{seed}-{index:06d}"
