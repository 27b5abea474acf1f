"""How a block's connection points fit the places where a net wants them: rotation and assignment together.

From many rotations, assignment (Hungarian method: Kuhn, Nav. Res. Logist. Q. 2 (1955) 83) and rotation (Kabsch, Acta
Cryst. A 32 (1976) 922) in turn. Row vectors: `x = p @ rotation`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.optimize import linear_sum_assignment

from crystaltool.arrays import Float, Int

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
    return np.stack([linear_sum_assignment(table)[1] for table in tables])


def fit_points(
    points: Float[np.ndarray, "k 3"],
    targets: Float[np.ndarray, "k 3"],
    rotations: Float[np.ndarray, "n 3 3"],
    rounds: int = 2,
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
            _, kept = np.unique(chosen, axis=0, return_index=True)
            chosen = chosen[np.sort(kept)]
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
