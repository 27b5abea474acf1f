"""Filled nets that aim at a target: of many fillings those that are worth most, among the relatives of known designs.

A design is a filled net of known worth (`designs.h5` of a checkpoint). An item takes one, keeps its net and the blocks
of all classes of vertices but one or two, and draws these anew: an evolution of one generation whose parents come with
the weights. Without designs it draws nets as usual and returns to the best of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from crystaltool.models.mofdiff.nets_first import NOTHING, Choices, NetFiller, Ranked, stream

Merit = Callable[[Sequence[Ranked]], list[float]]
"""What fillings are worth."""

A_DRAW = 2
"""Fillings of each net that is drawn."""
RETURNS = 4
"""Of the best fillings so far, to whose nets draws return."""
FAMILIES = 4
"""Parents of an item: with all of them every item would find the same best child."""
ANY_NET = 0.25
"""Share of the draws that take any net although there are parents."""

Key = tuple[int, tuple[int, ...]]


@dataclass(frozen=True)
class Design:
    """A filled net of known worth: rows of net and of its vertices' blocks, and the property's value."""

    net: int
    rows: tuple[int, ...]
    value: float


@dataclass(frozen=True)
class Aim:
    """What is aimed at.

    Args:
        draws: nets drawn for each item.
        merit: what fillings are worth.
        parents: designs to begin with, their `value` what they are worth, equally likely.
    """

    draws: int
    merit: Merit
    parents: tuple[Design, ...] = ()


def draw_towards(filler: NetFiller, aim: Aim, seed: int, index: int, choices: Choices) -> list[Ranked]:
    """The fillings of an item that are worth most, best first, of those that close well if any does.

    Args:
        filler: of nets. seed, index: of the item. choices: what may be chosen.
    """
    rng = stream(seed, index)
    parents = [aim.parents[one] for one in rng.permutation(len(aim.parents))[:FAMILIES]]
    best: dict[Key, tuple[float, Ranked]] = {}
    loose: list[Ranked] = []
    for number in range(aim.draws):
        order = sorted(best.values(), key=lambda pair: -pair[0])[:RETURNS]
        late = order and number >= aim.draws // 2
        if late:
            one = order[number % len(order)][1]
            drawn = relatives(filler, Design(one.net, one.rows, 0.0), choices, rng)
        elif parents and rng.random() > ANY_NET:
            drawn = relatives(filler, parents[rng.integers(len(parents))], choices, rng)
        else:
            drawn = filler.fillings(filler.any_net(choices, rng), choices, rng, A_DRAW)
        sound = [one for one in drawn if one.cost <= filler.config.cost and (one.net, one.rows) not in best]
        loose += [one for one in drawn if one.cost > filler.config.cost]
        best |= {(one.net, one.rows): (worth, one) for one, worth in zip(sound, aim.merit(sound), strict=True)}
    found = [one for _, one in sorted(best.values(), key=lambda pair: -pair[0])]
    return (found or sorted(loose, key=lambda one: one.cost))[: filler.config.candidates]


def relatives(filler: NetFiller, parent: Design, choices: Choices, rng: np.random.Generator) -> list[Ranked]:
    """Fillings of a design's net that differ from it in the blocks of one class of vertices, or of two."""
    net = filler.catalogue.nets[parent.net]
    classes = np.unique(net.classes)
    changed = rng.choice(classes, size=min(len(classes), int(rng.integers(1, 3))), replace=False)
    kept = {vertex: row for vertex, row in enumerate(parent.rows) if net.classes[vertex] not in changed}
    return filler.fillings(parent.net, choices, rng, A_DRAW, kept or NOTHING)
