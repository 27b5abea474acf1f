"""Asymmetric units as the atoms of primitive cells, padded: what the atom denoiser works on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from crystaltool.asymunit import AsymUnitTable
from crystaltool.batch import Batch
from crystaltool.symmetry.operations import CENTRINGS, TRANSLATION_DENOMINATOR
from crystaltool.symmetry.space_group import tables

PRIMITIVE_BASES = {
    "P": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "A": [[1, 0, 0], [0, 1 / 2, -1 / 2], [0, 1 / 2, 1 / 2]],
    "C": [[1 / 2, 1 / 2, 0], [-1 / 2, 1 / 2, 0], [0, 0, 1]],
    "I": [[-1 / 2, 1 / 2, 1 / 2], [1 / 2, -1 / 2, 1 / 2], [1 / 2, 1 / 2, -1 / 2]],
    "F": [[0, 1 / 2, 1 / 2], [1 / 2, 0, 1 / 2], [1 / 2, 1 / 2, 0]],
    "R": [[2 / 3, 1 / 3, 1 / 3], [-1 / 3, 1 / 3, 1 / 3], [-1 / 3, -2 / 3, 1 / 3]],
}
"""Rows: primitive vectors on the axes of the conventional cell (obverse setting for R; International Tables A, 2.1.1)."""


@dataclass(frozen=True)
class PrimitiveCells:
    """Atoms of primitive cells, padded to N.

    Args:
        slot: orbit of each atom, 0 where there is none; (B, N).
        mask: True where an atom is; (B, N).
        rotation, translation: operation that gives the atom from its orbit's free coordinates; (B, N, 3, 3), (B, N, 3).
        basis: rows are primitive vectors on the conventional axes; (B, 3, 3).
    """

    slot: Tensor
    mask: Tensor
    rotation: Tensor
    translation: Tensor
    basis: Tensor

    def atoms(self, free_coords: Tensor) -> Tensor:
        """Fractional coordinates on the primitive basis; shapes (B, M, 3) -> (B, N, 3)."""
        u = free_coords.gather(1, self.slot[..., None].expand(-1, -1, 3))
        conventional = (self.rotation @ u[..., None])[..., 0] + self.translation
        return conventional @ torch.linalg.inv(self.basis)


@cache
def _primitive_members(device: str) -> tuple[Tensor, Tensor, Tensor]:
    """Operations of every position that differ by more than a centring translation: first, count, rows of the table."""
    table = tables()
    first, multiplicity = table["first_orbit"], table["multiplicity"]
    rotation, translation = table["orbit_rotation"], table["orbit_translation"]
    groups = np.repeat(np.arange(len(table["n_positions"])), table["n_positions"])
    bases = np.stack([np.array(PRIMITIVE_BASES.get(c, PRIMITIVE_BASES["P"])) for c in CENTRINGS])
    inverse = np.linalg.inv(bases)[table["centring"][groups]]
    starts, counts, members = [], [], []
    for p in range(len(first)):
        rows = first[p] + np.arange(multiplicity[p])
        reduced = (translation[rows] / TRANSLATION_DENOMINATOR) @ inverse[p]
        reduced = np.round(reduced * TRANSLATION_DENOMINATOR).astype(int) % TRANSLATION_DENOMINATOR
        _, chosen = np.unique(np.column_stack([rotation[rows].reshape(len(rows), 9), reduced]), axis=0, return_index=True)
        starts.append(len(members))
        counts.append(len(chosen))
        members += rows[np.sort(chosen)].tolist()
    return tuple(torch.tensor(values, device=device) for values in (starts, counts, members))  # type: ignore


@cache
def _bases(device: str) -> Tensor:
    """Primitive basis of every group; (230, 3, 3), float64."""
    chosen = [PRIMITIVE_BASES[CENTRINGS[c]] for c in tables()["centring"]]
    return torch.tensor(chosen, dtype=torch.float64, device=device)


def primitive_cells(batch: Batch, symmetry, n_atoms: int | None = None) -> PrimitiveCells:
    """The atoms of a batch, padded to the largest crystal or to `n_atoms`; `symmetry` holds the tables as tensors."""
    device = batch.group.device
    starts, counts, members = _primitive_members(str(device))
    count = counts[batch.position] * batch.mask
    ends = count.cumsum(1)
    longest = int(ends[:, -1].max()) if n_atoms is None else n_atoms
    place = torch.arange(longest, device=device).expand(len(count), -1)
    mask = place < ends[:, -1:]
    slot = torch.searchsorted(ends, place.contiguous(), right=True).clamp(max=count.shape[1] - 1) * mask
    within = (place - (ends - count).gather(1, slot)) * mask
    member = members[starts[batch.position.gather(1, slot)] + within]
    return PrimitiveCells(
        slot,
        mask,
        symmetry.orbit_rotation[member],
        symmetry.orbit_translation[member],
        _bases(str(device))[batch.group].to(symmetry.orbit_rotation.dtype),
    )


def primitive_sizes(table: AsymUnitTable) -> np.ndarray:
    """Atoms in the primitive cell of every crystal of a data set; shape (n,)."""
    wyckoff = tables()
    position = wyckoff["first_position"][np.repeat(table.group, table.n_orbits) - 1] + table.positions
    order = np.array([{"P": 1, "F": 4, "R": 3}.get(c, 2) for c in CENTRINGS])[wyckoff["centring"]]
    atoms = wyckoff["multiplicity"][position] // order[np.repeat(table.group, table.n_orbits) - 1]
    return np.add.reduceat(atoms, np.cumsum(table.n_orbits) - table.n_orbits)
