"""How a block's connection points fit the places where a net wants them: rotation and assignment together.

From many rotations, assignment (Hungarian method: Kuhn, Nav. Res. Logist. Q. 2 (1955) 83) and rotation (Kabsch, Acta
Cryst. A 32 (1976) 922) in turn. Row vectors: `x = p @ rotation`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations

import numpy as np
from scipy.optimize import linear_sum_assignment

from crystaltool.arrays import Float, Int

_ROUNDS = 2
"""Of assignment and rotation."""

_MOST_LISTED = 4
"""Points of which all orders are listed; more go to the Hungarian method."""

_TIE = 1e-9
"""Sums that agree so well, relative, are left to the Hungarian method."""

_SAME = 1e-3
"""A^2: fits whose mean squares differ by less and whose rotations agree are one."""


@dataclass(frozen=True)
class Fits:
    """Ways to turn a block so that its points meet their targets, best first.

    Args:
        rotations: shape (r, 3, 3). points: the block's point for each target; shape (r, k).
        misfits: mean square over the targets, A^2; shape (r,).
    """

    rotations: Float[np.ndarray, "r 3 3"]
    points: Int[np.ndarray, "r k"]
    misfits: Float[np.ndarray, " r"]


@lru_cache(maxsize=8)
def spread_rotations(n: int) -> np.ndarray:
    """The identity and `n` - 1 rotations spread over all (a fixed sequence of uniform quaternions); shape (n, 3, 3)."""
    quaternions = np.random.default_rng(20261127).standard_normal((n, 4))
    quaternions[0] = 1.0, 0.0, 0.0, 0.0
    w, x, y, z = (quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True)).T
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    found = np.stack(rows, axis=1).reshape(n, 3, 3)
    found.flags.writeable = False
    return found


def kabsch(points: Float[np.ndarray, "... k 3"], targets: Float[np.ndarray, "... k 3"]) -> np.ndarray:
    """Proper rotations about the origin that bring points nearest to their targets; shape (..., 3, 3)."""
    left, _, right = np.linalg.svd(np.swapaxes(points, -1, -2) @ targets)
    sign = np.sign(np.linalg.det(left @ right))
    left[..., :, 2] *= sign[..., None]
    return left @ right


def assign(tables: Float[np.ndarray, "r k k"]) -> Int[np.ndarray, "r k"]:
    """For each row (target) of each table the column (point) of the assignment of least sum."""
    k = tables.shape[-1]
    if k > _MOST_LISTED or k < 2 or not len(tables):
        return _hungarian(tables)
    orders = _orders(k)
    sums = tables[:, np.arange(k), orders].sum(-1)
    chosen = orders[sums.argmin(1)]
    least = np.partition(sums, 1, axis=1)[:, :2]
    tied = np.flatnonzero(least[:, 1] - least[:, 0] <= _TIE * (1 + np.abs(tables).max(axis=(1, 2))))
    if len(tied):
        chosen[tied] = _hungarian(tables[tied])
    return chosen


def _hungarian(tables: Float[np.ndarray, "r k k"]) -> Int[np.ndarray, "r k"]:
    return np.stack([linear_sum_assignment(table)[1] for table in tables])


@lru_cache(maxsize=_MOST_LISTED)
def _orders(k: int) -> np.ndarray:
    return np.array(list(permutations(range(k))), dtype=np.int64)


def turn_points(
    points: Float[np.ndarray, "v k 3"], targets: Float[np.ndarray, "v k 3"], starts: Float[np.ndarray, "n 3 3"]
) -> tuple[Float[np.ndarray, "v 3 3"], Int[np.ndarray, "v k"]]:
    """The best fit of several blocks with as many points, each to its own targets, as `fit_points` finds it.

    Args:
        points, targets: from each block's centre, A. starts: rotations that every block starts from.

    Returns:
        Rotations, and the block's point for each target.
    """
    n, k = points.shape[:2]
    owner = np.repeat(np.arange(n), len(starts))
    square = (np.square(points).sum(2)[:, None, :] + np.square(targets).sum(2)[:, :, None])[owner]
    rotations = np.tile(starts, (n, 1, 1))
    chosen = np.zeros((0, k), dtype=np.int64)
    for _ in range(_ROUNDS):
        turned = points[owner] @ rotations
        chosen = assign(square[: len(owner)] - 2 * targets[owner] @ np.swapaxes(turned, -1, -2))
        kept = _first_of_each(np.column_stack([owner, chosen]))
        owner, chosen = owner[kept], chosen[kept]
        square = square[kept]
        rotations = kabsch(points[owner[:, None], chosen], targets[owner])
    misfits = np.square(points[owner[:, None], chosen] @ rotations - targets[owner]).sum(-1).mean(-1)
    order = np.lexsort([np.arange(len(owner)), misfits, owner])
    best = order[np.searchsorted(owner[order], np.arange(n))]
    return rotations[best], chosen[best]


def _first_of_each(rows: Int[np.ndarray, "r k"]) -> Int[np.ndarray, " n"]:
    """Numbers of the rows that no earlier one equals, ascending."""
    texts = np.ascontiguousarray(rows).view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).ravel().tolist()
    seen: dict[bytes, int] = {}
    for number, text in enumerate(texts):
        seen.setdefault(text, number)
    return np.fromiter(seen.values(), dtype=np.int64, count=len(seen))


def fit_points(
    points: Float[np.ndarray, "k 3"],
    targets: Float[np.ndarray, "k 3"],
    rotations: Float[np.ndarray, "n 3 3"],
    rounds: int = _ROUNDS,
    most: int = 8,
) -> Fits:
    """The best distinct fits from the given rotations.

    Args:
        points, targets: from the block's centre, A. rotations: starts.
        rounds: of assignment and rotation. most: fits kept.
    """
    square = np.square(points).sum(1)[None, None, :] + np.square(targets).sum(1)[None, :, None]
    chosen = np.zeros((len(rotations), len(points)), dtype=np.int64)
    for _ in range(rounds):
        chosen = assign(square - 2 * targets @ np.swapaxes(points @ rotations, -1, -2))
        if len(chosen) > 1:  # the next rotation follows from the assignment alone
            chosen = chosen[_first_of_each(chosen)]
        rotations = kabsch(points[chosen], np.broadcast_to(targets, (len(chosen), *targets.shape)))
    misfits = np.square(points[chosen] @ rotations - targets).sum(-1).mean(-1)
    order = np.argsort(misfits, kind="stable")
    kept: list[int] = []
    for row in order.tolist():
        if len(kept) == most:
            break
        same = (abs(misfits[row] - misfits[one]) < _SAME for one in kept)
        turned = (np.abs(rotations[row] - rotations[one]).max() < 0.2 for one in kept)
        if not any(a and b for a, b in zip(same, turned, strict=True)):
            kept.append(row)
    return Fits(rotations[kept], chosen[kept], misfits[kept])
