"""Sites that known crystals have: space group, Wyckoff positions and elements, as a sorted array of hashes.

A checkpoint has those of its training data beside its weights, in `known_sites.npz`: sites drawn anew from them give a
crystal that is not new. The 27,038 crystals of MP-20 train take 0.2 MB.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crystaltool.arrays import Int
from crystaltool.asymunit import AsymUnitTable
from crystaltool.errors import CheckpointError
from crystaltool.symmetry.normaliser import position_permutations

KNOWN_SITES = "known_sites.npz"
"""File of a checkpoint folder."""


def sites_hash(group: int, positions: Int[np.ndarray, " M"], numbers: Int[np.ndarray, " M"]) -> int:
    """64 bits of the sites; labellings that the group's normaliser exchanges have one hash.

    Args:
        group: space-group number.
        positions: index of each orbit's Wyckoff position, 0 = a.
        numbers: its atomic number.
    """
    images = np.sort(position_permutations(group)[:, positions].astype(np.int64) * 256 + numbers, axis=1)
    least = min(map(tuple, images.tolist()))
    text = np.array([group, *least], dtype="<i4").tobytes()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


@dataclass(frozen=True)
class KnownSites:
    """Hashes of the sites of known crystals, ascending; shape (n,)."""

    hashes: np.ndarray

    @classmethod
    def of_table(cls, table: AsymUnitTable) -> KnownSites:
        """Those of a data set."""
        ends = np.cumsum(table.n_orbits)[:-1]
        positions, numbers = np.split(table.positions, ends), np.split(table.numbers, ends)
        return cls.of_sites(zip(table.group.tolist(), positions, numbers, strict=True))

    @classmethod
    def of_sites(cls, sites: Iterable[tuple[int, np.ndarray, np.ndarray]]) -> KnownSites:
        """Those given, each by group, positions and atomic numbers as `sites_hash` takes them."""
        return cls(np.array(sorted({sites_hash(*each) for each in sites}), dtype=np.uint64))

    def __len__(self) -> int:
        return len(self.hashes)

    def has(self, group: int, positions: Int[np.ndarray, " M"], numbers: Int[np.ndarray, " M"]) -> bool:
        """Whether a known crystal has these sites; arguments as `sites_hash`."""
        wanted = np.uint64(sites_hash(group, positions, numbers))
        place = int(np.searchsorted(self.hashes, wanted))
        return place < len(self.hashes) and bool(self.hashes[place] == wanted)

    def write(self, path: Path) -> None:
        """Write `known_sites.npz`."""
        with open(path, "wb") as handle:
            np.savez(handle, hashes=self.hashes)


def read_known_sites(directory: Path) -> KnownSites:
    """The sites of a checkpoint's training data; none if it was made before they were kept.

    Raises:
        CheckpointError: the file is damaged.
    """
    path = directory / KNOWN_SITES
    if not path.is_file():
        return KnownSites(np.zeros(0, dtype=np.uint64))
    try:
        with np.load(path, allow_pickle=False) as data:
            hashes = data["hashes"]
    except Exception as error:  # zip and numpy have errors of their own, and a damaged file may raise any
        raise CheckpointError(f"{path}: not a file of known sites ({' '.join(str(error).split())})") from error
    if hashes.dtype != np.uint64 or hashes.ndim != 1 or (hashes[1:] <= hashes[:-1]).any():
        raise CheckpointError(f"{path}: its hashes are not ascending")
    return KnownSites(hashes)
