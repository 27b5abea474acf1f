"""Building blocks as tensors: points, bonds, noisy copies, conformers that differ, and what is held out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from crystaltool.arrays import Float, Int
from crystaltool.mof.table import MOFTable

SAME_GEOMETRY = 0.1
"""A: blocks of one identity whose sorted distances differ by less (root mean square) are one geometry."""

HELD_OUT_PERCENT = 10
CUT_BOND = 1
"""Type of a bond that was cut; all others are 0. Bond orders are left out: which double bond of an aromatic ring is
double, or whether orders were worked out at all, must not move an embedding."""


@dataclass(frozen=True)
class BlockBatch:
    """Blocks one after another; the points of a block are its atoms, then its connection points.

    Args:
        numbers: atomic numbers, 0 for connection points; shape (A,).
        cart_coords: Angstrom; shape (A, 3).
        n_points, n_atoms: of each block; shape (B,).
        bonds: points i, j of each bond, those that were cut among them; shape (M, 2).
        bond_types: 1 for a bond that was cut, else 0; shape (M,).
    """

    numbers: Int[Tensor, " A"]
    cart_coords: Float[Tensor, "A 3"]
    n_points: Int[Tensor, " B"]
    n_atoms: Int[Tensor, " B"]
    bonds: Int[Tensor, "M 2"]
    bond_types: Int[Tensor, " M"]

    @property
    def n_connections(self) -> Int[Tensor, " B"]:
        """Connection points of each block."""
        return self.n_points - self.n_atoms

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> BlockBatch:
        """The batch on a device, coordinates in `dtype` where given."""
        moved = {}
        for field in fields(self):
            value = getattr(self, field.name)
            moved[field.name] = value.to(device, dtype if value.is_floating_point() else None)
        return BlockBatch(**moved)


@dataclass(frozen=True)
class BlockPoints:
    """All blocks of a table as points and bonds, flat, in numpy.

    Args:
        numbers, cart_coords, bonds, bond_types: as in `BlockBatch`, bonds counted within their block.
        n_points, n_atoms, n_bonds: of each block; shape (n_blocks,).
    """

    numbers: np.ndarray
    cart_coords: np.ndarray
    bonds: np.ndarray
    bond_types: np.ndarray
    n_points: np.ndarray
    n_atoms: np.ndarray
    n_bonds: np.ndarray
    first_point: np.ndarray
    first_bond: np.ndarray

    def __len__(self) -> int:
        return len(self.n_points)

    @property
    def n_connections(self) -> np.ndarray:
        """Connection points of each block."""
        return self.n_points - self.n_atoms

    def batch(self, rows: np.ndarray, noise: np.ndarray | None = None, rng: np.random.Generator | None = None):
        """A `BlockBatch` of some blocks in float64.

        Args:
            rows: which; shape (B,).
            noise: deviation of the displacement of every point, Angstrom, by block; shape (B,); none if None.
            rng: what the displacements draw from.
        """
        points = spans(self.first_point[rows], self.n_points[rows])
        bonds = spans(self.first_bond[rows], self.n_bonds[rows])
        coords = self.cart_coords[points].astype(np.float64)
        if noise is not None and rng is not None:
            coords += rng.standard_normal(coords.shape) * np.repeat(noise, self.n_points[rows])[:, None]
        offset = np.cumsum(self.n_points[rows]) - self.n_points[rows]
        return BlockBatch(
            numbers=torch.from_numpy(self.numbers[points]),
            cart_coords=torch.from_numpy(coords),
            n_points=torch.from_numpy(self.n_points[rows]),
            n_atoms=torch.from_numpy(self.n_atoms[rows]),
            bonds=torch.from_numpy(self.bonds[bonds] + np.repeat(offset, self.n_bonds[rows])[:, None]),
            bond_types=torch.from_numpy(self.bond_types[bonds]),
        )


def spans(first: Int[np.ndarray, " n"], count: Int[np.ndarray, " n"]) -> Int[np.ndarray, " total"]:
    """The numbers first, first + 1, ..., of `count` each, one span after another."""
    end = np.cumsum(count)
    return np.arange(end[-1] if len(end) else 0) + np.repeat(first - end + count, count)


def block_points(table: MOFTable) -> BlockPoints:
    """Points and bonds of all blocks of a table."""
    a = table.arrays
    n_atoms, n_bonds, n_cut = (a[f"blocks/{key}"].astype(np.int64) for key in ("n_atoms", "n_bonds", "n_connections"))

    def interleave(atoms: np.ndarray, cut: np.ndarray, n_first: np.ndarray) -> np.ndarray:
        """Rows of a block's first kind, then of its second."""
        n_all = n_first + n_cut
        start = np.cumsum(n_all) - n_all
        merged = np.empty((int(n_all.sum()), *atoms.shape[1:]), dtype=atoms.dtype)
        merged[spans(start, n_first)] = atoms
        merged[spans(start + n_first, n_cut)] = cut
        return merged

    points = np.repeat(n_atoms, n_cut) + spans(np.zeros_like(n_cut), n_cut)
    cut_bonds = np.column_stack([a["blocks/connection_atoms"].astype(np.int64), points]).reshape(-1, 2)
    return BlockPoints(
        numbers=interleave(a["blocks/numbers"].astype(np.int64), np.zeros(len(points), dtype=np.int64), n_atoms),
        cart_coords=interleave(a["blocks/cart_coords"], a["blocks/connection_coords"], n_atoms),
        bonds=interleave(a["blocks/bonds"].astype(np.int64), cut_bonds, n_bonds),
        bond_types=interleave(np.zeros(len(a["blocks/bonds"]), np.int64), np.full(len(points), CUT_BOND), n_bonds),
        n_points=n_atoms + n_cut,
        n_atoms=n_atoms,
        n_bonds=n_bonds + n_cut,
        first_point=np.cumsum(n_atoms + n_cut) - n_atoms - n_cut,
        first_bond=np.cumsum(n_bonds + n_cut) - n_bonds - n_cut,
    )


def conformers(points: BlockPoints, identity: Int[np.ndarray, " n_blocks"], tolerance: float = SAME_GEOMETRY):
    """The block that stands for each block: the first of the same identity with the same geometry.

    Two geometries are the same where their distances, sorted within each pair of elements, differ by less than the
    tolerance (root mean square). Mirror images are the same.

    Args:
        points: blocks.
        identity: of each block; -1 (not known) is an identity of its own for each block.
        tolerance: Angstrom.

    Returns:
        Row numbers; shape (n_blocks,).
    """
    stands = np.arange(len(points))
    keys = np.column_stack([identity, points.n_atoms, points.n_points])
    order = np.lexsort([stands, *keys.T[::-1]])
    changes = np.flatnonzero((np.diff(keys[order], axis=0) != 0).any(axis=1)) + 1
    for group in np.split(order, changes):
        rows = group.tolist()
        if len(rows) < 2 or identity[rows[0]] < 0:
            continue
        leaders: list[int] = []
        shapes = np.empty((8, len(_distances(points, rows[0]))), dtype=np.float32)
        for row in rows:
            shape = _distances(points, row)
            n = len(leaders)
            if n:
                difference = np.sqrt(np.square(shapes[:n] - shape).mean(axis=1))
                nearest = int(np.argmin(difference))
                if difference[nearest] < tolerance:
                    stands[row] = leaders[nearest]
                    continue
            if n == len(shapes):
                shapes = np.concatenate([shapes, np.empty_like(shapes)])
            shapes[n] = shape
            leaders.append(row)
    return stands


def _distances(points: BlockPoints, row: int) -> np.ndarray:
    """Distances of all pairs of points of a block, sorted by the two elements, then by length."""
    where = slice(points.first_point[row], points.first_point[row] + points.n_points[row])
    coords, numbers = points.cart_coords[where], points.numbers[where]
    i, j = np.triu_indices(len(numbers), 1)
    distance = np.linalg.norm(coords[i] - coords[j], axis=1).astype(np.float32)
    kind = 128 * np.maximum(numbers[i], numbers[j]) + np.minimum(numbers[i], numbers[j])
    return distance[np.lexsort([distance, kind])]


@dataclass(frozen=True)
class Split:
    """Blocks by what training sees of them; row numbers of distinct conformers.

    Args:
        train: seen.
        geometry: other conformers of identities in `train`.
        identity: blocks whose identity training never sees.
    """

    train: np.ndarray
    geometry: np.ndarray
    identity: np.ndarray


def split_blocks(names: Sequence[str], identity: np.ndarray, stands: np.ndarray) -> Split:
    """Split conformers by a hash of the identity's name and their place among its conformers.

    Args:
        names: of the identities.
        identity: of each block.
        stands: as `conformers` gives it.
    """
    rows = np.unique(stands)
    hidden = np.array([percent_of(name) < HELD_OUT_PERCENT for name in names] or [False])
    known = rows[~hidden[identity[rows]]]
    order = known[np.argsort(identity[known], kind="stable")]
    first = np.flatnonzero(np.diff(identity[order], prepend=-2))
    count = np.diff(np.append(first, len(order)))
    place = spans(np.zeros_like(count), count)
    away = np.array(
        [
            rank > 0 and percent_of(f"{names[identity[row]]} {rank}") < HELD_OUT_PERCENT
            for row, rank in zip(order, place, strict=True)
        ],
        dtype=bool,
    )
    return Split(np.sort(order[~away]), np.sort(order[away]), rows[hidden[identity[rows]]])


def percent_of(text: str) -> int:
    """0 to 99 by a hash of a text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") % 100


def identity_batches(
    rows: Int[np.ndarray, " n"],
    identity: Int[np.ndarray, " n_blocks"],
    points: BlockPoints,
    n_identities: int,
    seed: int,
    epoch: int,
) -> list[Int[np.ndarray, "identities 2"]]:
    """Batches of an epoch: two blocks of every identity, the same one twice where there is one only.

    Identities that are hard to tell apart share a batch, in groups of eight: of like size in even epochs, of one
    formula (isomers) in odd ones. A pure function of (seed, epoch), so that a resumed run sees the same batches.

    Args:
        rows: blocks to draw from. identity: of every block.
        points: all blocks.
        n_identities: identities a batch; the last batch of the epoch may be smaller.
        seed, epoch: what is drawn from.
    """
    rng = np.random.default_rng([seed, epoch])
    order = rows[np.argsort(identity[rows], kind="stable")]
    first = np.flatnonzero(np.diff(identity[order], prepend=-2))
    count = np.diff(np.append(first, len(order)))
    one = rng.integers(0, count)
    other = (one + rng.integers(1, np.maximum(count, 2))) % count
    pairs = np.column_stack([order[first + one], order[first + other]])
    if epoch % 2 == 0:
        key = points.n_atoms[pairs[:, 0]] + rng.normal(0.0, 1.0, len(pairs))
    else:
        formulas = _formulas(points, order[first])
        key = rng.permutation(formulas.max() + 1)[formulas] + rng.random(len(pairs))
    pairs = pairs[np.argsort(key, kind="stable")]
    groups = np.array_split(pairs, range(GROUP, len(pairs), GROUP))
    shuffled = np.concatenate([groups[i] for i in rng.permutation(len(groups))])
    return [shuffled[i : i + n_identities] for i in range(0, len(shuffled), n_identities)]


GROUP = 8
"""Identities of like size or one formula that stand together in a batch."""


def _formulas(points: BlockPoints, rows: np.ndarray) -> np.ndarray:
    """A number for each formula, connection points counted in; shape (len(rows),)."""
    counts = np.zeros((len(rows), 128), dtype=np.int16)
    n = points.n_points[rows]
    np.add.at(counts, (np.repeat(np.arange(len(rows)), n), points.numbers[spans(points.first_point[rows], n)]), 1)
    return np.unique(counts, axis=0, return_inverse=True)[1].reshape(-1)
