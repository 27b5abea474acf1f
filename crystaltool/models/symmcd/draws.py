"""Every random number of an item, drawn beforehand from (seed, item): the batch it is in changes nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from crystaltool.models.symmcd.plan import Choice, Plan
from crystaltool.models.symmcd.supergroup import least_orbits

LARGEST_SEED = 2**63 - 1
"""Seeds are half of a counter-based generator's key."""

CHOOSES = 2**32
"""Stream of the number that chooses among candidates, far behind those of the candidates themselves."""


@dataclass(frozen=True)
class Turn:
    """Which of the draws of an item.

    Args:
        attempt: number of earlier draws of it; group and number of orbits are those of the first.
        candidate: which of several draws of sites to choose from.
        exact: at least as many orbits as a crystal of the group and no supergroup needs.
    """

    attempt: int = 0
    candidate: int = 0
    exact: bool = False


FIRST = Turn()


@dataclass(frozen=True)
class SiteDraws:
    """All random numbers of the sites of one item.

    Args:
        group: space-group number minus one.
        n_orbits: M.
        position, element: uniform numbers, one a slot; (M,).
        element_order: the order in which slots get their elements; (M,).
        positions: index of each slot's Wyckoff position in its group, where a template gives them; (M,).
        numbers: atomic numbers, where they are known with the positions; (M,).
        begun: what the draw began with: group, number of orbits, template.
        last_position: uniform, for the last slot's second draw where the first would leave a supergroup.
    """

    group: int
    n_orbits: int
    position: np.ndarray
    element: np.ndarray
    element_order: np.ndarray
    positions: np.ndarray | None
    numbers: np.ndarray | None
    begun: Choice
    last_position: float


@dataclass(frozen=True)
class ItemDraws(SiteDraws):
    """All random numbers of one item: those of its sites, and those of its geometry.

    Args:
        attempt: number of earlier draws of the item.
        free_coords: uniform start of the coordinates; (M, 3).
        k: normal start of the cell; (6,).
        churn_coords, churn_k: normal noise of each geometry call; (calls, M, 3), (calls, 6).
    """

    attempt: int
    free_coords: np.ndarray
    k: np.ndarray
    churn_coords: np.ndarray
    churn_k: np.ndarray


def item_generator(seed: int, index: int, attempt: int, stream: int) -> np.random.Generator:
    """One of the streams of random numbers of an attempt at an item."""
    key = np.array([seed, index], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, stream, attempt]))


def draw_item(
    plan: Plan, seed: int, index: int, calls: int = 0, turn: Turn = FIRST, begun: Choice | None = None
) -> ItemDraws:
    """The random numbers of item `index`.

    Args:
        plan: groups to take in turn or to draw, and numbers of orbits.
        seed, index: the item.
        calls: geometry calls.
        turn: which of its draws.
        begun: group, number of orbits and template, where they are settled.
    """
    rng = item_generator(seed, index, 0, turn.candidate)
    chosen = plan.choose(index, *rng.random(2)) if begun is None else begun
    if turn.exact:
        chosen = replace(chosen, n_orbits=max(chosen.n_orbits, least_orbits(chosen.group + 1)))
    n_orbits = chosen.n_orbits
    if turn.attempt:
        rng = item_generator(seed, index, turn.attempt, turn.candidate)
    return ItemDraws(
        group=chosen.group,
        n_orbits=n_orbits,
        positions=chosen.positions,
        numbers=None,
        begun=chosen,
        attempt=turn.attempt,
        position=rng.random(n_orbits),
        element=rng.random(n_orbits),
        element_order=rng.permutation(n_orbits),
        free_coords=rng.random((n_orbits, 3)),
        k=rng.standard_normal(6),
        churn_coords=rng.standard_normal((calls, n_orbits, 3)),
        churn_k=rng.standard_normal((calls, 6)),
        last_position=rng.random(),
    )


def item_name(group: int, seed: int, index: int) -> str:
    """Block name of an item, such as `symmcd-sg225-s0-000017`; `group` is the space-group number minus one."""
    return f"symmcd-sg{group + 1}-s{seed}-{index:06d}"
