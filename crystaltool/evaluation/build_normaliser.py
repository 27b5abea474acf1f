"""Writes `normaliser.npz`: how a change of origin or axes that keeps a space group permutes its Wyckoff positions.

An affine map (W, w) normalises a group G if (W, w) G (W, w)^-1 = G (International Tables A, chapter 3.5). Then it
carries each Wyckoff position onto one of the same kind, and labellings that differ by such a permutation describe the
same arrangement. Maps of G itself permute nothing, so W runs over the cosets of the point group, and w over multiples
of 1/24 (tables 3.5.2.3-5 list nothing finer; where any shift along a polar axis will do, it permutes nothing).

Two sets are written: `euclidean`, W a symmetry of every cell of the crystal system; and `affine`, which adds what is
a symmetry of special cells alone: permuted axes of orthorhombic cells, other cell choices of monoclinic ones.

Run `python -m crystaltool.evaluation.build_normaliser`; takes a minute or two.
"""

from __future__ import annotations

from itertools import permutations, product
from typing import Any

import numpy as np

from crystaltool.arrays import Float, Int
from crystaltool.asymunit import canonical_free_coords
from crystaltool.symmetry import SpaceGroup, space_group
from crystaltool.symmetry.normaliser import TABLES
from crystaltool.symmetry.space_group import N_GROUPS

GRID = 24
GENERIC = np.array([0.1234, 0.2718, 0.0577])
"""Free coordinates on no special point."""

SMALL = 1e-6


def signed_permutations() -> Int[np.ndarray, "48 3 3"]:
    """Point group m-3m."""
    found = []
    for order, signs in product(permutations(range(3)), product((1, -1), repeat=3)):
        matrix = np.zeros((3, 3), dtype=np.int64)
        matrix[range(3), order] = signs
        found.append(matrix)
    return np.array(found)


def hexagonal_holohedry() -> Int[np.ndarray, "24 3 3"]:
    """Point group 6/mmm on hexagonal axes."""
    six, two, inversion = [[1, -1, 0], [1, 0, 0], [0, 0, 1]], [[0, 1, 0], [1, 0, 0], [0, 0, -1]], -np.eye(3, dtype=int)
    found = {tuple(np.eye(3, dtype=int).ravel())}
    while True:
        more = {
            tuple((np.array(a) @ np.reshape(b, (3, 3))).ravel()) for a in (six, two, inversion) for b in found
        } | found
        if len(more) == len(found):
            return np.array(sorted(found)).reshape(-1, 3, 3)
        found = more


def linear_parts(group: SpaceGroup, affine: bool) -> Int[np.ndarray, "n 3 3"]:
    """Candidate W: the symmetries of every cell of the crystal system, or of special cells too."""
    cubic = signed_permutations()
    diagonal = cubic[[np.count_nonzero(np.diag(matrix)) == 3 for matrix in cubic]]
    system = group.crystal_system
    if system in ("trigonal", "hexagonal"):
        return hexagonal_holohedry()
    if system == "cubic" or (system == "orthorhombic" and affine):
        return cubic
    if system == "tetragonal":
        return cubic[cubic[:, 2, 2] != 0]
    if system == "orthorhombic":
        return diagonal
    if system == "monoclinic" and affine:
        plane = [m for m in product((-1, 0, 1), repeat=4) if abs(m[0] * m[3] - m[1] * m[2]) == 1]
        return np.array([[[p, 0, q], [0, y, 0], [r, 0, s]] for p, q, r, s in plane for y in (1, -1)])
    if system == "monoclinic":
        return diagonal[diagonal[:, 0, 0] == diagonal[:, 2, 2]]
    if affine:
        matrices = np.array(list(product((-1, 0, 1), repeat=9))).reshape(-1, 3, 3)
        return matrices[np.abs(np.round(np.linalg.det(matrices))) == 1]
    return np.array([np.eye(3, dtype=np.int64), -np.eye(3, dtype=np.int64)])


def cosets(parts: Int[np.ndarray, "n 3 3"], point_group: Int[np.ndarray, "p 3 3"]) -> list[Int[np.ndarray, "3 3"]]:
    """One W of each coset W P among those that normalise the point group P; the identity stands for P itself."""
    members = {matrix.tobytes() for matrix in point_group}
    taken: set[bytes] = set()
    chosen = []
    for matrix in [np.eye(3, dtype=np.int64), *parts.astype(np.int64)]:
        inverse = np.round(np.linalg.inv(matrix)).astype(np.int64)
        if matrix.tobytes() in taken or any((matrix @ r @ inverse).tobytes() not in members for r in point_group):
            continue
        taken |= {(matrix @ r).tobytes() for r in point_group}
        chosen.append(matrix)
    return chosen


def translations_for(group: SpaceGroup, matrix: Int[np.ndarray, "3 3"]) -> Float[np.ndarray, "n 3"]:
    """Every w on the grid for which (W, w) normalises the group."""
    identity = np.eye(3, dtype=np.int64)
    pure = np.round(group.translations[(group.rotations == identity).all(axis=(1, 2))] * GRID).astype(np.int64)
    lattice = {tuple(t % GRID) for t in pure}
    if any(tuple(matrix @ t % GRID) not in lattice for t in pure):
        return np.zeros((0, 3))
    in_lattice = np.zeros((GRID,) * 3, dtype=bool)
    in_lattice[tuple(np.array(sorted(lattice)).T)] = True
    inverse = np.round(np.linalg.inv(matrix)).astype(np.int64)
    first = {r.tobytes(): t for r, t in zip(group.rotations[::-1], group.translations[::-1], strict=True)}
    shifts = np.stack(np.meshgrid(*[np.arange(GRID)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    for rotation in np.unique(group.rotations, axis=0):
        image = matrix @ rotation @ inverse
        moved = matrix @ np.round(first[rotation.tobytes()] * GRID).astype(np.int64)
        target = np.round(first[image.tobytes()] * GRID).astype(np.int64)
        # (W, w) (R, t) (W, w)^-1 = (R', W t + w - R' w), which must be an operation of the group.
        difference = (moved + shifts - shifts @ image.T - target) % GRID
        shifts = shifts[in_lattice[tuple(difference.T)]]
    # Shifts that differ by a lattice translation are one.
    keys = np.stack([(shifts + t) % GRID for t in pure]) @ np.array([GRID * GRID, GRID, 1])
    _, distinct = np.unique(keys.min(axis=0), return_index=True)
    return shifts[np.sort(distinct)] / GRID


def permutation(
    group: SpaceGroup, matrix: np.ndarray, shifts: Float[np.ndarray, "n 3"]
) -> Int[np.ndarray, "n positions"]:
    """Where each map sends each position: `result[k, i]` is the index of the image of position i under map k."""
    positions = group.positions
    kinds = [(p.multiplicity, p.degrees_of_freedom) for p in positions]
    result = np.full((len(shifts), len(positions)), -1)
    for i, position in enumerate(positions):
        point = position.rotations[0] @ np.where(np.arange(3) < position.degrees_of_freedom, GENERIC, 0.0)
        images = (matrix @ (point + position.translations[0]) + shifts) % 1.0
        for j in (j for j, kind in enumerate(kinds) if kind == kinds[i]):
            numbers = np.full(len(shifts), group.number)
            _, off = canonical_free_coords(numbers, np.full(len(shifts), j), images)
            result[(off < SMALL) & (result[:, i] < 0), i] = j
    if (np.sort(result, axis=1) != np.arange(len(positions))).any():
        raise RuntimeError(f"group {group.number}: a map does not permute the positions")
    return result


def group_permutations(number: int, affine: bool) -> Int[np.ndarray, "n positions"]:
    """All different permutations, sorted, the identity first."""
    group = space_group(number)
    if len(group.positions) == 1:
        return np.zeros((1, 1), dtype=np.int64)
    point_group = np.unique(group.rotations, axis=0)
    found = [np.arange(len(group.positions))[None]]
    for matrix in cosets(linear_parts(group, affine), point_group):
        shifts = translations_for(group, matrix)
        if len(shifts):
            found.append(np.unique(permutation(group, matrix, shifts), axis=0))
    return closure(np.unique(np.concatenate(found), axis=0))


def closure(permutations_found: Int[np.ndarray, "n positions"]) -> Int[np.ndarray, "m positions"]:
    """The permutation group that these generate."""
    while True:
        products = permutations_found[:, permutations_found].reshape(-1, permutations_found.shape[1])
        closed = np.unique(products, axis=0)
        if len(closed) == len(permutations_found):
            return closed
        permutations_found = closed


def main() -> None:
    """Write the file beside this module."""
    arrays: dict[str, Any] = {}
    for name, affine in (("euclidean", False), ("affine", True)):
        tables = [group_permutations(number, affine) for number in range(1, N_GROUPS + 1)]
        arrays[f"{name}_count"] = np.array([len(table) for table in tables], dtype=np.int32)
        arrays[f"{name}_positions"] = np.concatenate([table.ravel() for table in tables]).astype(np.int8)
    np.savez_compressed(TABLES, **arrays)


if __name__ == "__main__":
    main()
