"""AsymUnit <-> the numbers that SymmCD diffuses, and the statistics of the training data that scale them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from crystaltool.asymunit import AsymUnit, AsymUnitTable
from crystaltool.batch import Batch, SymmetryTensors
from crystaltool.lattice import (
    FREE_K,
    HEXAGONAL_K1,
    constrain_k,
    crystal_system_index,
    k_to_matrix,
    matrix_to_k,
)
from crystaltool.nn.layers import N_ELEMENTS
from crystaltool.symmetry.space_group import N_GROUPS, tables

MAX_ORBITS = 64
"""Largest number of orbits that p(M | G) can hold."""


@dataclass(frozen=True)
class Statistics:
    """What is counted in the training data before any training.

    Args:
        orbit_counts: crystals with group g and M orbits; shape (230, MAX_ORBITS + 1).
        element_volume: volume of an atom of each element, cubic Angstrom, by regularised least squares; shape (95,).
        k_mean, k_scale: mean and deviation of k per crystal system, the last component of k taken relative to
            log(V_predicted) / 3; shape (7, 6).
    """

    orbit_counts: np.ndarray
    element_volume: np.ndarray
    k_mean: np.ndarray
    k_scale: np.ndarray


def gather_statistics(table: AsymUnitTable) -> Statistics:
    """Count and fit the statistics of a data set."""
    counts = np.zeros((N_GROUPS, MAX_ORBITS + 1))
    np.add.at(counts, (table.group - 1, np.minimum(table.n_orbits, MAX_ORBITS)), 1)
    position = tables()["first_position"][np.repeat(table.group, table.n_orbits) - 1] + table.positions
    multiplicity = tables()["multiplicity"][position].astype(float)
    crystal = np.repeat(np.arange(len(table)), table.n_orbits)
    composition = np.zeros((len(table), N_ELEMENTS + 1))
    np.add.at(composition, (crystal, table.numbers), multiplicity)
    n_atoms = composition.sum(1)
    volume = np.linalg.det(table.lattice) / n_atoms
    fraction = composition / n_atoms[:, None]
    # A ridge towards the mean volume serves elements that the data hardly hold.
    mean, ridge = volume.mean(), 1.0
    normal = fraction.T @ fraction + ridge * np.eye(N_ELEMENTS + 1)
    element_volume = np.clip(np.linalg.solve(normal, fraction.T @ volume + ridge * mean), 3.0, 120.0)
    k = matrix_to_k(table.lattice)
    k[:, 5] -= np.log(composition @ element_volume) / 3
    system = crystal_system_index(table.group)
    k_mean, k_scale = np.zeros((7, 6)), np.ones((7, 6))
    for s in range(7):
        if (system == s).sum() > 10:
            k_mean[s], k_scale[s] = k[system == s].mean(0), np.maximum(k[system == s].std(0), 1e-3)
    k_mean[4:6, 0] = HEXAGONAL_K1
    return Statistics(counts, element_volume, k_mean, k_scale)


def to_batch(table: AsymUnitTable, indices: np.ndarray, starts: np.ndarray) -> Batch:
    """The padded batch of some rows; `starts` holds the first orbit of every row of the table."""
    counts = table.n_orbits[indices]
    mask = np.arange(counts.max()) < counts[:, None]
    rows = (starts[indices][:, None] + np.arange(counts.max()))[mask]
    numbers, position = np.zeros(mask.shape, dtype=np.int64), np.zeros(mask.shape, dtype=np.int64)
    free = np.zeros((*mask.shape, 3), dtype=np.float32)
    first = tables()["first_position"][table.group[indices] - 1]
    numbers[mask] = table.numbers[rows]
    position[mask] = table.positions[rows] + np.repeat(first, counts)
    free[mask] = table.free_coords[rows]
    return Batch(
        group=torch.from_numpy(table.group[indices].astype(np.int64) - 1),
        k=torch.from_numpy(matrix_to_k(table.lattice[indices]).astype(np.float32)),
        numbers=torch.from_numpy(numbers),
        position=torch.from_numpy(position),
        free_coords=torch.from_numpy(free),
        mask=torch.from_numpy(mask),
    )


def to_units(batch: Batch, names: list[str]) -> list[AsymUnit]:
    """Asymmetric units of a (clean, float64) batch, cells exact for their crystal systems."""
    groups = batch.group.numpy() + 1
    lattices = k_to_matrix(constrain_k(batch.k.double().numpy(), groups))
    first = tables()["first_position"][groups - 1]
    units = []
    for i, name in enumerate(names):
        used = batch.mask[i].numpy()
        units.append(
            AsymUnit(
                group=int(groups[i]),
                lattice=lattices[i],
                numbers=batch.numbers[i].numpy()[used],
                positions=batch.position[i].numpy()[used] - first[i],
                free_coords=batch.free_coords[i].double().numpy()[used],
                name=name,
            )
        )
    return units


def free_components(system: Tensor) -> Tensor:
    """Which components of k are free, for crystal systems 0-6; shape (..., 6), bool."""
    return torch.as_tensor(FREE_K, device=system.device)[system]


def noise_factors(symmetry: SymmetryTensors) -> tuple[Tensor, Tensor]:
    """Shape W of the coordinate noise of every position and its inverse, zero outside the free block; (P, 3, 3).

    C = W W^T is the inverse of the metric R_0^T G R_0 at unit determinant, with G the metric of the crystal family
    (hexagonal axes or orthogonal ones): the noise then commutes with every operation of the group, whatever the
    axial ratio.
    """
    rotation = symmetry.rotation.double().cpu()
    groups = torch.repeat_interleave(torch.arange(N_GROUPS), symmetry.candidate_mask.sum(1).cpu())
    hexagonal = (symmetry.system.cpu()[groups] == 4) | (symmetry.system.cpu()[groups] == 5)
    metric = torch.eye(3, dtype=torch.float64).repeat(len(rotation), 1, 1)
    metric[hexagonal, 0, 1] = metric[hexagonal, 1, 0] = -0.5
    gram = rotation.transpose(1, 2) @ metric @ rotation
    factor, inverse = torch.zeros_like(gram), torch.zeros_like(gram)
    for d in (1, 2, 3):
        chosen = symmetry.freedom.cpu() == d
        block = gram[chosen][:, :d, :d]
        block = block / torch.linalg.det(block)[:, None, None] ** (1 / d)
        cholesky = torch.linalg.cholesky(torch.linalg.inv(block))
        padded, padded_inverse = torch.zeros(len(block), 3, 3).double(), torch.zeros(len(block), 3, 3).double()
        padded[:, :d, :d], padded_inverse[:, :d, :d] = cholesky, torch.linalg.inv(cholesky)
        factor[chosen], inverse[chosen] = padded, padded_inverse
    like = symmetry.rotation
    return factor.to(like), inverse.to(like)
