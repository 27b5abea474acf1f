"""Which substructures a building block has: hashed neighbourhoods of its atoms in the graph of its bonds.

As circular fingerprints (Rogers and Hahn, J. Chem. Inf. Model. 2010, 50, 742) and the refinement of Weisfeiler and
Leman have it, of what a block encoder may see alone: neither bond orders nor charges. Hydrogens are counted at the atom
that they are bound to; connection points are atoms of their own. Integers only: the same on every machine.
"""

from __future__ import annotations

import numpy as np

from crystaltool.arrays import Bool, Int
from crystaltool.models.block_encoder.data import BlockPoints

N_BITS = 2048
RADIUS = 2
"""Bonds from an atom to the end of its neighbourhood."""

_HYDROGEN = 1


def substructures(points: BlockPoints, rows: Int[np.ndarray, " n"]) -> Bool[np.ndarray, "n 2048"]:
    """Bits of the neighbourhoods of radius 0 to 2 that each block has.

    Args:
        points: blocks. rows: which of them.
    """
    batch = points.batch(rows)
    numbers, bonds = batch.numbers.numpy(), batch.bonds.numpy()
    n, heavy = len(numbers), numbers != _HYDROGEN
    inner = bonds[heavy[bonds].all(axis=1)]
    outer = bonds[~heavy[bonds].all(axis=1)]
    hydrogens = np.bincount(outer[heavy[outer]], minlength=n)
    degree = np.bincount(bonds.ravel(), minlength=n)
    codes = ((numbers * 1000 + degree) * 1000 + hydrogens * 10 + _between_rings(inner, n)).astype(np.uint64)
    source, target = np.concatenate([inner, inner[:, ::-1]]).T
    owner = np.repeat(np.arange(len(rows)), points.n_points[rows])
    found = np.zeros((len(rows), N_BITS), dtype=bool)
    code = _mixed(codes)
    for radius in range(RADIUS + 1):
        if radius:
            around = np.zeros(n, dtype=np.uint64)
            np.add.at(around, target, _mixed(code[source] + np.uint64(radius)))
            code = _mixed(code * np.uint64(3) + around + np.uint64(17 * (radius - 1)))
        found[owner[heavy], (code[heavy] % np.uint64(N_BITS)).astype(np.int64)] = True
    return found


def _between_rings(bonds: Int[np.ndarray, "m 2"], n: int) -> Int[np.ndarray, " n"]:
    """1 for atoms in rings and on chains between them: what is left when loose ends are cut off again and again."""
    while True:
        degree = np.bincount(bonds.ravel(), minlength=n)
        kept = (degree[bonds] > 1).all(axis=1)
        if kept.all():
            return (degree > 0).astype(np.int64)
        bonds = bonds[kept]


def _mixed(values: np.ndarray) -> np.ndarray:
    """Unsigned integers scattered over 64 bits (SplitMix64: Steele, Lea and Flood, OOPSLA 2014); they wrap around."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
