"""Paddlewheels: two metals that share three or more bridges get a bond between them, as UFF4MOF has it."""

from __future__ import annotations

import numpy as np

from crystaltool.bonds import BondGraph
from crystaltool.crystal import Crystal
from crystaltool.forcefield.uff.resonance import links_of
from crystaltool.mof.elements import METAL

PADDLES = 3
"""Bridges M-X-Y-X-M between two metals that make them a paddlewheel."""

_PADDLE_ENDS = (7, 8, 16)
_PADDLED = (3, 5)
"""Fewest and most ligands of a paddlewheel's metal: its paddles, and an axial one. In rods of octahedra three
carboxylates join two metals just so, without a bond between these."""


def with_paddlewheels(crystal: Crystal, bonds: BondGraph) -> BondGraph:
    """The graph with a bond between the two metals of every paddlewheel.

    UFF4MOF describes a paddlewheel with a bond of order 1/4 between its metals (Addicoat et al. 2014); without one the
    van der Waals terms pull zinc to zinc.
    """
    numbers = crystal.numbers
    links = links_of(crystal.n_atoms, bonds)
    added: list[tuple[tuple[int, int], tuple[int, int, int]]] = []
    for metal in np.flatnonzero(METAL[numbers]).tolist():
        if not _PADDLED[0] <= len(links[metal]) <= _PADDLED[1] or any(
            METAL[numbers[other]] for _, other, _ in links[metal]
        ):
            continue
        bridges: dict[tuple[int, tuple[int, int, int]], int] = {}
        for _, x, at_x in links[metal]:
            if numbers[x] not in _PADDLE_ENDS or len(links[x]) != 2:
                continue
            for _, y, to_y in links[x]:
                for _, z, to_z in links[y] if not METAL[numbers[y]] else ():
                    if numbers[z] != numbers[x] or len(links[z]) != 2:
                        continue
                    for _, other, to_other in links[z]:
                        image = tuple(a + b + c + d for a, b, c, d in zip(at_x, to_y, to_z, to_other, strict=True))
                        if METAL[numbers[other]] and (other, image) != (metal, (0, 0, 0)):
                            bridges[other, image] = bridges.get((other, image), 0) + 1
        for (other, image), count in bridges.items():
            if count >= PADDLES and (metal, image) < (other, (0, 0, 0)) and len(links[other]) <= _PADDLED[1]:
                added.append(((metal, other), image))
    if not added:
        return bonds
    return BondGraph(
        np.concatenate([bonds.pairs, np.array([pair for pair, _ in added])]),
        np.concatenate([bonds.images, np.array([image for _, image in added])]),
        np.concatenate([bonds.orders, np.zeros(len(added))]),
    )
