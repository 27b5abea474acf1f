"""The symmetry a CIF block declares: its operations, the group they make, and the expansion of its sites.

Operations win over names. A name or number that contradicts them is an error, and so is a name that leaves the origin
open where no operations are listed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import gemmi
import numpy as np

from crystaltool.arrays import Float, Int
from crystaltool.errors import InputError, SymmetryError
from crystaltool.symmetry.operations import TRANSLATION_DENOMINATOR, xyz_to_operation

SPECIAL_POSITION_DISTANCE = 0.02
"""Images of a site closer than this (Angstrom) are one atom: three-decimal thirds in a 10 A cell are 0.01 A apart."""

MAX_OPERATIONS = 192
"""The most that a conventional cell has (face-centred cubic, International Tables A); longer lists are refused."""

IDENTITY = ("x,y,z",)


@dataclass(frozen=True)
class Operations:
    """A closed list of symmetry operations x -> R x + t modulo the lattice, the identity first.

    Args:
        rotations: shape (n, 3, 3). translations: shape (n, 3), in [0, 1).
        products: `products[i, j]` is the index of operation i after operation j; shape (n, n).
    """

    rotations: Int[np.ndarray, "n 3 3"]
    translations: Float[np.ndarray, "n 3"]
    products: Int[np.ndarray, "n n"]

    def __len__(self) -> int:
        return len(self.rotations)


IDENTITY_OPERATIONS = Operations(np.eye(3, dtype=np.int64)[None], np.zeros((1, 3)), np.zeros((1, 1), dtype=np.int64))


@lru_cache(maxsize=1024)
def parse_operations(texts: tuple[str, ...]) -> Operations:
    """Operations of a list of Jones-faithful texts.

    Raises:
        InputError: if one cannot be read, one is given twice, the identity is missing, or the list is no group.
    """
    if len(texts) > MAX_OPERATIONS:
        raise InputError(f"{len(texts)} symmetry operations, the limit is {MAX_OPERATIONS}")
    try:
        pairs = [xyz_to_operation(text) for text in texts]
    except SymmetryError as error:
        raise InputError(str(error)) from None
    rotations = np.stack([rotation for rotation, _ in pairs])
    translations = np.stack([translation for _, translation in pairs])
    return _closed(rotations, translations)


def _closed(rotations: Int[np.ndarray, "n 3 3"], translations: Float[np.ndarray, "n 3"]) -> Operations:
    """The operations with the identity first and their multiplication table."""
    keys = _keys(rotations, translations)
    index = {key: i for i, key in enumerate(keys)}
    if len(index) < len(keys):
        raise InputError(f"{len(keys) - len(index)} of {len(keys)} symmetry operations are given twice")
    identity = index.get(_keys(np.eye(3, dtype=np.int64)[None], np.zeros((1, 3)))[0])
    if identity is None:
        raise InputError("the symmetry operations do not include x,y,z")
    order = [identity, *(i for i in range(len(keys)) if i != identity)]
    rotations, translations = rotations[order], translations[order]
    index = {key: i for i, key in enumerate(_keys(rotations, translations))}
    count = len(order)
    products = np.empty((count, count), dtype=np.int64)
    for i in range(count):
        rotation = rotations[i] @ rotations
        translation = translations @ rotations[i].T + translations[i]
        for j, key in enumerate(_keys(rotation, translation)):
            k = index.get(key)
            if k is None:
                raise InputError(f"the {count} symmetry operations do not form a group")
            products[i, j] = k
    return Operations(rotations, translations % 1.0, products)


def _keys(rotations: Int[np.ndarray, "n 3 3"], translations: Float[np.ndarray, "n 3"]) -> list[bytes]:
    """A hashable key per operation; translations modulo 1 on a grid of 1/2400, so 0.3333 equals 1/3."""
    grid = np.round(translations * TRANSLATION_DENOMINATOR * 100).astype(np.int64) % (TRANSLATION_DENOMINATOR * 100)
    packed = np.concatenate([rotations.reshape(-1, 9), grid], axis=1).astype(np.int16)
    return [row.tobytes() for row in packed]


@lru_cache(maxsize=1024)
def group_of_operations(texts: tuple[str, ...]) -> int:
    """Space-group number that a closed list of operations makes, in whatever setting.

    Raises:
        InputError: if the operations are no space group that is known.
    """
    try:
        found = gemmi.find_spacegroup_by_ops(gemmi.GroupOps([gemmi.Op(text) for text in texts]))
    except (RuntimeError, ValueError, IndexError):
        found = None
    if found is not None:
        return found.number
    import spglib  # an untabulated setting: slower, but any basis and origin will do

    operations = parse_operations(texts)
    try:
        kind = spglib.get_spacegroup_type_from_symmetry(
            operations.rotations, operations.translations, lattice=_compatible_lattice(operations)
        )
    except Exception:  # spglib's errors have no common class below Exception
        kind = None
    if kind is None:
        raise InputError(f"the {len(texts)} symmetry operations are no known space group")
    return int(kind.number)


def _compatible_lattice(operations: Operations) -> Float[np.ndarray, "3 3"]:
    """Rows of a cell that all rotations leave alone: the group average of an arbitrary metric."""
    start = np.diag([1.0, 1.3, 1.7])
    metric = np.mean([rotation.T @ start @ rotation for rotation in operations.rotations], axis=0)
    return 5.0 * np.linalg.cholesky(metric)


def operations_of_names(
    hall: str | None, symbol: str | None, number: int | None, gamma: float
) -> tuple[tuple[str, ...], int] | None:
    """Operation texts and group number from the names alone, `None` if the block names no group.

    Args:
        hall: Hall symbol. symbol: Hermann-Mauguin symbol. number: International Tables number.
        gamma: cell angle in degrees, which tells hexagonal from rhombohedral axes.

    Raises:
        InputError: if the name is unknown or leaves the choice of origin open.
    """
    group = None
    if hall:
        try:
            group = gemmi.find_spacegroup_by_ops(gemmi.symops_from_hall(hall))
        except (RuntimeError, ValueError):
            raise InputError(f"Hall symbol {hall!r} cannot be read") from None
    if group is None and symbol:
        group = gemmi.find_spacegroup_by_name(symbol, 90.0, gamma)
        if group is None and number is None:
            raise InputError(f"space group {symbol!r} is unknown and no operations are listed")
        if group is not None and group.ext in ("1", "2") and ":" not in symbol:
            raise InputError(f"space group {symbol!r} leaves the origin open and no operations are listed")
    if group is None and number is not None:
        if not 1 <= number <= 230:
            raise InputError(f"space group {number} does not exist, expected 1-230")
        group = gemmi.find_spacegroup_by_number(number)
        if group.ext in ("1", "2"):
            raise InputError(f"space group {number} leaves the origin open and no operations are listed")
        if group.ext == "H" and abs(gamma - 120.0) > 1.0:
            raise InputError(f"space group {number} on rhombohedral axes needs its operations listed")
    if group is None:
        return None
    return tuple(operation.triplet() for operation in group.operations()), group.number


def expand_sites(
    lattice: Float[np.ndarray, "3 3"], sites: Float[np.ndarray, "n_sites 3"], operations: Operations, max_atoms: int
) -> tuple[Float[np.ndarray, "n_atoms 3"], Int[np.ndarray, "n_atoms"]]:
    """All atoms of the cell, and for each the index of its site; images on a special position are one atom.

    The operations that move a site by less than `SPECIAL_POSITION_DISTANCE` are its stabiliser; the site is put on
    the point they share (the mean of its images) and the cosets of the stabiliser give its atoms.

    Raises:
        InputError: if there would be more than `max_atoms` atoms.
    """
    chosen: list[np.ndarray] = []
    counts: list[int] = []
    everyone = np.arange(len(operations))
    for site in sites:
        images = operations.rotations @ site + operations.translations
        shifts = images - site
        shifts -= np.round(shifts)
        near = np.linalg.norm(shifts @ lattice, axis=1) < SPECIAL_POSITION_DISTANCE
        if near.sum() == 1:
            points = images
        else:
            stabiliser = _generated(np.flatnonzero(near), operations.products)
            centre = site + shifts[stabiliser].mean(axis=0)
            firsts = np.flatnonzero(operations.products[:, stabiliser].min(axis=1) == everyone)
            points = operations.rotations[firsts] @ centre + operations.translations[firsts]
        counts.append(len(points))
        chosen.append(points)
        if sum(counts) > max_atoms:
            raise InputError(f"more than {max_atoms} atoms in the cell, the limit")
    frac_coords = np.concatenate(chosen) % 1.0
    frac_coords[frac_coords >= 1.0] = 0.0
    return frac_coords, np.repeat(np.arange(len(sites)), counts)


def _generated(members: Int[np.ndarray, "k"], products: Int[np.ndarray, "n n"]) -> Int[np.ndarray, "m"]:
    """The subgroup that the members generate."""
    while True:
        closed = np.unique(products[np.ix_(members, members)])
        if len(closed) == len(members):
            return closed
        members = closed
