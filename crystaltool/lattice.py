"""Cells: parameters <-> row matrix <-> the symmetric logarithm k, and which components of k a crystal system frees.

One convention everywhere: the rows of `lattice` are a, b, c in Angstrom; angles are in degrees.
"""

from __future__ import annotations

import math
from typing import overload

import numpy as np

from crystaltool.arrays import Bool, Float, Int
from crystaltool.errors import InputError
from crystaltool.numerals import LARGEST

CRYSTAL_SYSTEMS = ("triclinic", "monoclinic", "orthorhombic", "tetragonal", "trigonal", "hexagonal", "cubic")

_FIRST_GROUP = np.array([1, 3, 16, 75, 143, 168, 195])

# Symmetric basis of the logarithm, S = sum_i k_i B_i (SymmCD, arXiv 2502.03638, section 3.2, after DiffCSP++).
LOG_BASIS = np.array(
    [
        [[0, 1, 0], [1, 0, 0], [0, 0, 0]],
        [[0, 0, 1], [0, 0, 0], [1, 0, 0]],
        [[0, 0, 0], [0, 0, 1], [0, 1, 0]],
        [[1, 0, 0], [0, -1, 0], [0, 0, 0]],
        [[1, 0, 0], [0, 1, 0], [0, 0, -2]],
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    ],
    dtype=float,
)

HEXAGONAL_K1 = -np.log(3.0) / 4.0
"""The first component of k in every cell on hexagonal axes, from cos(gamma) = -1/2."""

FREE_K: Bool[np.ndarray, "7 6"] = np.array(
    [
        [1, 1, 1, 1, 1, 1],
        [0, 1, 0, 1, 1, 1],
        [0, 0, 0, 1, 1, 1],
        [0, 0, 0, 0, 1, 1],
        [0, 0, 0, 0, 1, 1],
        [0, 0, 0, 0, 1, 1],
        [0, 0, 0, 0, 0, 1],
    ],
    dtype=bool,
)
"""Which components of k each crystal system frees (rows as in CRYSTAL_SYSTEMS; unique axis b, hexagonal axes)."""


LATTICE_VECTORS: Int[np.ndarray, "27 3"] = np.indices((3, 3, 3)).reshape(3, 27).T - 1
"""The integer vectors of {-1, 0, 1}^3."""


@overload
def crystal_system_index(group: int) -> int: ...
@overload
def crystal_system_index(group: np.ndarray) -> np.ndarray: ...
def crystal_system_index(group: int | np.ndarray) -> int | np.ndarray:
    """Index into `CRYSTAL_SYSTEMS` of space-group number(s) 1-230 (International Tables A, section 1.2)."""
    index = np.searchsorted(_FIRST_GROUP, group, side="right") - 1
    return int(index) if np.isscalar(group) else index


def parameters_to_matrix(
    a: float, b: float, c: float, alpha: float, beta: float, gamma: float
) -> Float[np.ndarray, "3 3"]:
    """Row matrix with a along x and b in the xy plane; lengths in Angstrom, angles in degrees.

    Raises:
        InputError: if the six numbers do not span a cell of positive volume.
    """
    cos_alpha, cos_beta, cos_gamma = (_cosine(angle) for angle in (alpha, beta, gamma))
    if not all(0.0 < length < LARGEST for length in (a, b, c)):
        raise InputError(f"cell lengths {a:g} {b:g} {c:g} A are not positive numbers")
    sin_gamma = math.sqrt(max(1.0 - cos_gamma * cos_gamma, 0.0))
    cos_plane = (cos_alpha - cos_beta * cos_gamma) / sin_gamma if sin_gamma else math.inf
    height = 1.0 - cos_beta * cos_beta - cos_plane * cos_plane
    if not height > 0.0:
        raise InputError("cell parameters do not span a volume")
    rows = [[a, 0.0, 0.0], [b * cos_gamma, b * sin_gamma, 0.0], [c * cos_beta, c * cos_plane, c * math.sqrt(height)]]
    return np.array(rows)


def _cosine(angle: float) -> float:
    """Cosine of an angle in degrees, exact at 60, 90 and 120."""
    exact = {60.0: 0.5, 90.0: 0.0, 120.0: -0.5}.get(angle)
    return math.cos(math.radians(angle)) if exact is None else exact


def metric_to_matrix(metric: Float[np.ndarray, "*batch 3 3"]) -> Float[np.ndarray, "*batch 3 3"]:
    """The row matrix L, a along x and b in the xy plane, with L L^T = metric (its Cholesky factor).

    Raises:
        InputError: if the metric is not positive definite.
    """
    try:
        return np.linalg.cholesky(metric)
    except np.linalg.LinAlgError:
        raise InputError("cell parameters do not span a volume") from None


def matrix_to_parameters(lattice: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "6"]:
    """(a, b, c, alpha, beta, gamma) in Angstrom and degrees."""
    lengths = np.linalg.norm(lattice, axis=1)
    unit = lattice / lengths[:, None]
    cosines = np.array([unit[1] @ unit[2], unit[0] @ unit[2], unit[0] @ unit[1]])
    return np.concatenate([lengths, np.degrees(np.arccos(np.clip(cosines, -1.0, 1.0)))])


def matrix_to_k(lattice: Float[np.ndarray, "*batch 3 3"]) -> Float[np.ndarray, "*batch 6"]:
    """k of S = 1/2 log(L L^T) = sum_i k_i B_i: the polar part of the rows, so independent of the cell's rotation."""
    metric = lattice @ np.swapaxes(lattice, -1, -2)
    eigenvalues, vectors = np.linalg.eigh(metric)
    log = (vectors * (0.5 * np.log(eigenvalues))[..., None, :]) @ np.swapaxes(vectors, -1, -2)
    return np.stack(
        [
            log[..., 0, 1],
            log[..., 0, 2],
            log[..., 1, 2],
            (log[..., 0, 0] - log[..., 1, 1]) / 2,
            (log[..., 0, 0] + log[..., 1, 1] - 2 * log[..., 2, 2]) / 6,
            (log[..., 0, 0] + log[..., 1, 1] + log[..., 2, 2]) / 3,
        ],
        axis=-1,
    )


def k_to_matrix(k: Float[np.ndarray, "*batch 6"]) -> Float[np.ndarray, "*batch 3 3"]:
    """The row matrix (a along x, b in the xy plane) whose symmetric logarithm is k; inverse of `matrix_to_k`."""
    log = np.einsum("...i,ijk->...jk", k, LOG_BASIS)
    eigenvalues, vectors = np.linalg.eigh(log)
    metric = (vectors * np.exp(2 * eigenvalues)[..., None, :]) @ np.swapaxes(vectors, -1, -2)
    return metric_to_matrix(metric)


def constrain_k(k: Float[np.ndarray, "*batch 6"], group: int | np.ndarray) -> Float[np.ndarray, "*batch 6"]:
    """k with the components that the group's crystal system fixes set to their exact values."""
    system = crystal_system_index(group)
    fixed = np.zeros_like(k)
    hexagonal = (np.asarray(system) == 4) | (np.asarray(system) == 5)
    fixed[..., 0] = np.where(hexagonal, HEXAGONAL_K1, 0.0)
    return np.where(FREE_K[system], k, fixed)


def reduced_basis(lattice: Float[np.ndarray, "*batch 3 3"]) -> Int[np.ndarray, "*batch 3 3"]:
    """Unimodular T such that the rows of T L are Minkowski-reduced: three shortest vectors that span the lattice.

    In such a basis the lattice vector nearest to a point with coordinates in [-1/2, 1/2] is one of `LATTICE_VECTORS`
    (algorithm: Semaev, Cryptography and Lattices, LNCS 2146 (2001) 181, doi 10.1007/3-540-44670-2_13).
    """
    cells = lattice.reshape(-1, 3, 3)
    basis = np.tile(np.eye(3, dtype=np.int64), (len(cells), 1, 1))
    todo = np.arange(len(cells))
    while len(todo):
        shortened = _shorten(basis[todo], cells[todo])
        before, after = (np.square(rows @ cells[todo]).sum(axis=(1, 2)) for rows in (basis[todo], shortened))
        progress = after < before * (1 - 1e-9)
        basis[todo[progress]] = shortened[progress]
        todo = todo[progress]
    return basis.reshape(lattice.shape)


def _shorten(basis: Int[np.ndarray, "n 3 3"], cells: Float[np.ndarray, "n 3 3"]) -> Int[np.ndarray, "n 3 3"]:
    """One round: sort by length, shorten the second vector by the first, and the third by the lattice of both."""
    order = np.argsort(np.linalg.norm(basis @ cells, axis=2), axis=1, kind="stable")
    basis = np.take_along_axis(basis, order[:, :, None], axis=1)
    first, second = (basis[:, i][:, None] @ cells for i in (0, 1))
    multiple = np.round((first * second).sum(axis=(1, 2)) / np.square(first).sum(axis=(1, 2)))
    basis[:, 1] -= multiple.astype(np.int64)[:, None] * basis[:, 0]
    vectors = basis @ cells
    plane, third = vectors[:, :2], vectors[:, 2:]
    in_plane = np.linalg.solve(plane @ np.swapaxes(plane, 1, 2), plane @ np.swapaxes(third, 1, 2))[:, :, 0]
    multiples = np.round(in_plane).astype(np.int64)[:, None] + np.indices((3, 3)).reshape(2, 9).T - 1
    best = np.argmin(np.square(third - multiples @ plane).sum(axis=2), axis=1)
    basis[:, 2] -= (multiples[np.arange(len(best)), best][:, None] @ basis[:, :2])[:, 0]
    return basis
