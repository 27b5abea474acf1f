"""Equivalent labellings: what a change of origin that keeps a space group makes of its Wyckoff positions."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from crystaltool.arrays import Int
from crystaltool.symmetry.space_group import space_group

TABLES = Path(__file__).with_name("normaliser.npz")
"""What `crystaltool.evaluation.build_normaliser` writes."""

NORMALISERS = ("euclidean", "affine")
"""Maps that are symmetries of every cell of the crystal system, or of special cells too (permuted axes)."""


@cache
def _tables() -> dict[str, list[np.ndarray]]:
    """For each normaliser and group the permutations of its positions, from `normaliser.npz`."""
    with np.load(TABLES, allow_pickle=False) as data:
        arrays = {name: data[name] for name in data.files}
    found = {}
    n_positions = [len(space_group(number).positions) for number in range(1, 231)]
    for name in NORMALISERS:
        counts = arrays[f"{name}_count"].astype(np.int64)
        flat = arrays[f"{name}_positions"].astype(np.int64)
        ends = np.cumsum(counts * n_positions)
        parts = np.split(flat, ends[:-1])
        found[name] = [part.reshape(count, -1) for part, count in zip(parts, counts, strict=True)]
    return found


def position_permutations(group: int, normaliser: str = "euclidean") -> Int[np.ndarray, "n positions"]:
    """How the normaliser of a group permutes its positions: a row a permutation, the identity first."""
    return _tables()[normaliser][group - 1]
