"""Symmetry operations of a CIF block: the group they make, and the expansion of its sites."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import gemmi
import numpy as np

from crystaltool.arrays import Bool, Float, Int
from crystaltool.errors import InputError, SymmetryError
from crystaltool.symmetry.operations import TRANSLATION_DENOMINATOR, operations_to_xyz, xyz_to_operation

SPECIAL_POSITION_DISTANCE = 0.4
"""Images of a site closer than this (Angstrom) are one atom: thirds of two decimals in a 20 A cell are 0.2 A apart, and
no real atoms are."""

EXACT = 1e-6
"""Fractional distance to which the operations of a special position must leave its point alone."""

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
        InputError: if one cannot be read, the identity is missing, or the list is no group. One that is given twice
            counts once.
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
    index = {key: i for i, key in reversed(list(enumerate(keys)))}  # of an operation given twice the first
    twice = len(keys) - len(index)
    identity = index.get(_keys(np.eye(3, dtype=np.int64)[None], np.zeros((1, 3)))[0])
    if identity is None:
        raise InputError("the symmetry operations do not include x,y,z")
    order = [identity, *(i for i in sorted(index.values()) if i != identity)]
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
                raise InputError(_not_closed(rotations, translations, (i, j), twice))
            products[i, j] = k
    return Operations(rotations, translations % 1.0, products)


def _not_closed(
    rotations: Int[np.ndarray, "n 3 3"], translations: Float[np.ndarray, "n 3"], pair: tuple[int, int], twice: int
) -> str:
    """What is missing in a list of operations, by two whose product is not in it."""
    (i, j), also = pair, "; 1 operation is given twice" if twice == 1 else f"; {twice} are given twice" if twice else ""
    product = rotations[i] @ rotations[j], rotations[i] @ translations[j] + translations[i]
    texts = [operations_to_xyz(*operation) for operation in ((rotations[i], translations[i]),
             (rotations[j], translations[j]), product)]  # fmt: skip
    head = f"the {len(rotations)} symmetry operations do not form a group"
    return f"{head}: {texts[0]} after {texts[1]} is {texts[2]}, which is missing{also}"


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


def expand_sites(
    lattice: Float[np.ndarray, "3 3"],
    sites: Float[np.ndarray, "n_sites 3"],
    labels: Sequence[str],
    operations: Operations,
    max_atoms: int,
    reach: float = SPECIAL_POSITION_DISTANCE,
) -> tuple[
    Float[np.ndarray, "n_atoms 3"],
    Int[np.ndarray, " n_atoms"],
    Float[np.ndarray, "n_sites 3"],
    Float[np.ndarray, " n_sites"],
]:
    """All atoms of the cell, the site of each, the sites on their special positions, and how far (A) each was moved.

    The operations that move a site by less than `reach` (Angstrom) are its stabiliser; the site is put on the point
    they share (the mean of its images) and the cosets of the stabiliser give its atoms.

    Raises:
        InputError: if there would be more than `max_atoms` atoms, or near images of a site share no position.
    """
    chosen: list[np.ndarray] = []
    counts: list[int] = []
    placed, moved = sites.copy(), np.zeros(len(sites))
    everyone = np.arange(len(operations))
    for index, site in enumerate(sites):
        images = operations.rotations @ site + operations.translations
        shifts = images - site
        shifts -= np.round(shifts)
        near = np.linalg.norm(shifts @ lattice, axis=1) < reach
        if near.sum() == 1:
            points = images
        else:
            found = _special_position(lattice, site, shifts, near, operations, reach)
            if found is None:
                raise InputError(f"site {labels[index]}: images within {reach:g} A share no special position")
            placed[index], stabiliser = found
            moved[index] = np.linalg.norm((placed[index] - site) @ lattice)
            firsts = np.flatnonzero(operations.products[:, stabiliser].min(axis=1) == everyone)
            points = operations.rotations[firsts] @ placed[index] + operations.translations[firsts]
        counts.append(len(points))
        chosen.append(points)
        if sum(counts) > max_atoms:
            raise InputError(f"more than {max_atoms} atoms in the cell, the limit")
    frac_coords = np.concatenate(chosen) % 1.0
    frac_coords[frac_coords >= 1.0] = 0.0
    return frac_coords, np.repeat(np.arange(len(sites)), counts), placed, moved


def _special_position(
    lattice: Float[np.ndarray, "3 3"],
    site: Float[np.ndarray, "3"],
    shifts: Float[np.ndarray, "n 3"],
    near: Bool[np.ndarray, " n"],
    operations: Operations,
    reach: float,
) -> tuple[Float[np.ndarray, "3"], Int[np.ndarray, " order"]] | None:
    """The point that the operations near a site share, and these operations; it may come near to further ones."""
    for _ in range(4):
        stabiliser = _generated(np.flatnonzero(near), operations.products)
        site = site + shifts[stabiliser].mean(axis=0)
        shifts = operations.rotations @ site + operations.translations - site
        shifts -= np.round(shifts)
        if np.abs(shifts[stabiliser]).max() > EXACT:
            break
        near = np.linalg.norm(shifts @ lattice, axis=1) < reach
        if near.sum() == len(stabiliser):
            return site, stabiliser
    return None


def _generated(members: Int[np.ndarray, " k"], products: Int[np.ndarray, "n n"]) -> Int[np.ndarray, " m"]:
    """The subgroup that the members generate."""
    while True:
        closed = np.unique(products[np.ix_(members, members)])
        if len(closed) == len(members):
            return closed
        members = closed
