"""`Library`: the distinct building blocks that embeddings are decoded to.

An HDF5 file of kind "mof-blocks" without MOFs, so that every reader of blocks reads it, with a group `library/`:
`embedding` (n_blocks, 32), `occurrences` (n_blocks,), and the encoder's `weights_sha256` among the root attributes;
`charges` (n_blocks, 2) where they were worked out: the lowest and the highest of each block.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import h5py
import numpy as np
import torch

from crystaltool.arrays import Bool, Float, Int
from crystaltool.errors import InputError, UsageError
from crystaltool.io.byte_streams import SeekableReader
from crystaltool.io.hdf5_input import open_checked
from crystaltool.io.hdf5_output import through_memory
from crystaltool.models.block_encoder.data import block_points, conformers
from crystaltool.models.block_encoder.embedding import nearest
from crystaltool.models.block_encoder.embedding_file import BlockEmbeddings, read_array, read_sum
from crystaltool.models.block_encoder.model import EMBEDDING_SIZE
from crystaltool.mof.blocks import BuildingBlock
from crystaltool.mof.table import MOFTable, TableBuilder, read_mofs, write_mofs

DISTINCT_CONFORMER = 0.25
"""A: blocks of one identity whose sorted distances differ by less (root mean square) share a place in the library."""


@dataclass(frozen=True)
class Library:
    """Distinct blocks with their embeddings.

    Args:
        blocks: the blocks, no MOFs.
        embeddings: whitened; shape (n_blocks, 32).
        occurrences: places in the source's MOFs that each block stands for; shape (n_blocks,).
        weights_sha256: of the encoder whose embeddings these are.
        charges: the lowest and the highest that each block can have, e, NaN where not known; shape (n_blocks, 2), or
            None where nobody has worked them out.
    """

    blocks: MOFTable
    embeddings: Float[np.ndarray, "n_blocks 32"]
    occurrences: Int[np.ndarray, " n_blocks"]
    weights_sha256: str
    charges: Float[np.ndarray, "n_blocks 2"] | None = None

    def __len__(self) -> int:
        return len(self.embeddings)

    def block(self, index: int) -> BuildingBlock:
        """A block of the library."""
        return self.blocks.block(index)

    @property
    def kinds(self) -> Int[np.ndarray, " n_blocks"]:
        """Kind of each block."""
        return self.blocks.arrays["blocks/kind"].astype(np.int64)

    @property
    def n_connections(self) -> Int[np.ndarray, " n_blocks"]:
        """Connection points of each block."""
        return self.blocks.arrays["blocks/n_connections"].astype(np.int64)

    def containing(self, number: int) -> Bool[np.ndarray, " n_blocks"]:
        """Which blocks have atoms of an element, given by its atomic number."""
        counts, numbers = self.blocks.arrays["blocks/n_atoms"], self.blocks.arrays["blocks/numbers"]
        owner = np.repeat(np.arange(len(counts)), counts)
        return np.bincount(owner[numbers == number], minlength=len(counts)) > 0

    @classmethod
    def load(cls, path: str | Path | SeekableReader, weights_sha256: str | None = None) -> Library:
        """Read a library.

        Args:
            path: as `embed --library` wrote it.
            weights_sha256: of the encoder that the embeddings to decode come from; not compared if None.

        Raises:
            InputError: not a library, damaged, or made with another encoder.
        """
        return read_library(path, weights_sha256)

    def check_weights(self, weights_sha256: str, label: str = "library") -> None:
        """Raise InputError unless the library was made with those weights."""
        if weights_sha256 != self.weights_sha256:
            raise InputError(
                f"{label}: of the encoder {self.weights_sha256[:12]}, the embeddings are of {weights_sha256[:12]}"
            )

    def nearest(
        self,
        embeddings: Float[np.ndarray, "n 32"],
        k: int = 1,
        kind: int | Int[np.ndarray, " n"] | None = None,
        n_connections: int | Int[np.ndarray, " n"] | None = None,
    ) -> tuple[Int[np.ndarray, "n k"], Float[np.ndarray, "n k"]]:
        """The k nearest blocks of each embedding, nearest first, by brute force.

        Args:
            embeddings: whitened, of the same encoder.
            k: how many; at most the size of the library.
            kind: only blocks of this kind, one number or one a row; any if None.
            n_connections: only blocks with so many connection points, one number or one a row; any if None.

        Returns:
            Rows of the library and Euclidean distances; where fewer than k blocks qualify, -1 and infinity.

        Raises:
            UsageError: k is not between 1 and the size of the library.
        """
        if not 1 <= k <= len(self):
            raise UsageError(f"k is {k}, the library holds {len(self)} blocks")
        rows, distances = np.empty((len(embeddings), k), dtype=np.int64), np.empty((len(embeddings), k))
        library = torch.from_numpy(self.embeddings)
        for start in range(0, len(embeddings), 4096):
            part = slice(start, start + 4096)
            n = len(embeddings[part])
            allowed = self._allowed(n, *(_part(value, part) for value in (kind, n_connections)))
            row, distance = nearest(
                torch.from_numpy(np.ascontiguousarray(embeddings[part], dtype=np.float32)),
                library,
                k,
                None if allowed is None else torch.from_numpy(allowed),
            )
            rows[part], distances[part] = row.numpy(), distance.numpy()
        rows[~np.isfinite(distances)] = -1
        return rows, distances

    def _allowed(self, n: int, kind, n_connections) -> Bool[np.ndarray, "n n_blocks"] | None:
        """Which blocks each of n queries may find; None for all."""
        allowed = None
        for wanted, values in ((kind, self.kinds), (n_connections, self.n_connections)):
            if wanted is not None:
                match = values[None] == np.broadcast_to(wanted, (n,))[:, None]
                allowed = match if allowed is None else allowed & match
        return allowed


def _part(value: int | np.ndarray | None, part: slice) -> int | np.ndarray | None:
    return value[part] if isinstance(value, np.ndarray) and value.ndim else value


def build_library(table: MOFTable, embeddings: BlockEmbeddings, keep: Collection[str] | None = None) -> Library:
    """One geometry of every identity and distinct conformer, the first in the table.

    Args:
        table: blocks, and the MOFs that they come from.
        embeddings: of its blocks.
        keep: names of the MOFs whose blocks to take; all blocks of the table if None.

    Raises:
        InputError: the embeddings are of other blocks; a name that no MOF has; no block is left.
    """
    vectors = embeddings.of(table)
    owners = np.repeat(np.arange(len(table)), table.arrays["mofs/n_blocks"])
    places = table.arrays["places/block"].astype(np.int64)
    chosen = np.arange(table.n_blocks)
    if keep is not None:
        unknown = set(keep) - set(table.names)
        if unknown:
            raise InputError(f"no MOF {min(unknown)!r} among the {len(table)} of the file ({len(unknown)} such names)")
        places = places[np.isin(owners, [index for index, name in enumerate(table.names) if name in set(keep)])]
        chosen = np.unique(places)
    if not len(chosen):
        raise InputError("no block is left for the library")
    identity = np.full(table.n_blocks, -2)
    identity[chosen] = table.arrays["blocks/identity"][chosen]
    stands = conformers(block_points(table), identity, DISTINCT_CONFORMER)
    rows = np.unique(stands[chosen])
    counted = stands[places] if len(places) else stands[chosen]
    builder = TableBuilder()
    for row in rows.tolist():
        named = int(table.arrays["blocks/identity"][row])
        builder.add_block(table.block(row), table.arrays["identities/ecfp4"][named] if named >= 0 else None)
    return Library(
        blocks=builder.table(),
        embeddings=vectors[rows],
        occurrences=np.bincount(counted, minlength=table.n_blocks)[rows],
        weights_sha256=embeddings.weights_sha256,
    )


def write_library(target: str | Path | BytesIO, library: Library, history: Sequence[str] = ()) -> None:
    """Write a library; give a temporary of `io.atomic` as target, so that it appears whole."""
    packing = {"compression": "gzip", "compression_opts": 9, "shuffle": True}
    with through_memory(target) as memory:
        write_mofs(memory, library.blocks, history)
        with h5py.File(memory, "r+") as file:
            file.attrs["weights_sha256"] = library.weights_sha256
            file.create_dataset("library/embedding", data=library.embeddings.astype(np.float32), **packing)
            file.create_dataset("library/occurrences", data=library.occurrences.astype(np.int32), **packing)
            if library.charges is not None:
                file.create_dataset("library/charges", data=library.charges.astype(np.float32), **packing)


def read_library(path: str | Path | SeekableReader, weights_sha256: str | None = None, label: str = "") -> Library:
    """As `Library.load`."""
    name = label or (str(path) if isinstance(path, (str, Path)) else "HDF5 input")
    blocks = read_mofs(path, name)
    with open_checked(path, None, name) as file:
        if "library" not in file:
            raise InputError(f"{name}: building blocks, but no decoding library (no group 'library')")
        embedding = read_array(file, "library/embedding", (EMBEDDING_SIZE,), "f", name)
        occurrences = read_array(file, "library/occurrences", (), "i", name)
        charges = read_array(file, "library/charges", (2,), "f", name) if "library/charges" in file else None
        found = read_sum(file, "weights_sha256", name)
    if charges is not None and len(charges) != blocks.n_blocks:
        raise InputError(f"{name}: {len(charges)} charges, {blocks.n_blocks} blocks")
    if not len(embedding) == len(occurrences) == blocks.n_blocks or not len(embedding):
        raise InputError(f"{name}: {len(embedding)} embeddings, {blocks.n_blocks} blocks")
    if not np.isfinite(embedding).all():
        raise InputError(f"{name}: an embedding that is not finite")
    if charges is not None:
        charges = charges.astype(np.float64)
    library = Library(blocks, embedding.astype(np.float32), occurrences.astype(np.int64), found, charges)
    if weights_sha256 is not None:
        library.check_weights(weights_sha256, name)
    return library
