"""`BlockEmbeddings`: the embedding of every block of a table, and its HDF5 file of kind "block-embeddings"."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import h5py
import numpy as np

from crystaltool.arrays import Float, Int
from crystaltool.errors import InputError
from crystaltool.io.byte_streams import SeekableReader
from crystaltool.io.hdf5_input import FORMAT, open_checked
from crystaltool.io.hdf5_output import through_memory
from crystaltool.models.block_encoder.model import EMBEDDING_SIZE
from crystaltool.mof.table import MOFTable

EMBEDDING_KIND = "block-embeddings"

_ENCODED = ("kind", "n_atoms", "n_bonds", "n_connections", "numbers", "bonds", "connection_atoms")
_ENCODED_COORDS = ("cart_coords", "connection_coords")


@dataclass(frozen=True)
class BlockEmbeddings:
    """Whitened embeddings, a row a block of the table they were made from.

    Args:
        embedding: shape (n_blocks, 32).
        identity: row of each block's identity in the table; shape (n_blocks,).
        blocks_sha256: `blocks_digest` of the table.
        weights_sha256: of the encoder's weights.
        order: vectors that lie near those of blocks with similar fingerprints, a row a block, where the encoder has an
            order map; shape (n_blocks, d).
    """

    embedding: Float[np.ndarray, "n_blocks 32"]
    identity: Int[np.ndarray, " n_blocks"]
    blocks_sha256: str
    weights_sha256: str
    order: Float[np.ndarray, "n_blocks d"] | None = None

    def __len__(self) -> int:
        return len(self.embedding)

    def of(self, table: MOFTable, label: str = "embeddings") -> Float[np.ndarray, "n_blocks 32"]:
        """The embeddings, a row a block of the table.

        Raises:
            InputError: they were made from other blocks.
        """
        found = blocks_digest(table)
        if found != self.blocks_sha256 or table.n_blocks != len(self):
            raise InputError(
                f"{label}: of the {len(self)} blocks with sha256 {self.blocks_sha256[:12]}, not of these"
                f" {table.n_blocks} with {found[:12]}"
            )
        return self.embedding


def blocks_digest(table: MOFTable) -> str:
    """sha256 of all that the encoder sees of a table's blocks: atoms, bonds, connection points, coordinates.

    Bond orders, fingerprints and names of identities are left out: they may be worked out anew.
    """
    digest = hashlib.sha256()
    for key in _ENCODED:
        digest.update(table.arrays[f"blocks/{key}"].astype("<i4").tobytes())
    for key in _ENCODED_COORDS:
        digest.update(table.arrays[f"blocks/{key}"].astype("<f4").tobytes())
    return digest.hexdigest()


def write_embeddings(target: str | Path | BytesIO, embeddings: BlockEmbeddings, history: Sequence[str] = ()) -> None:
    """Write embeddings; give a temporary of `io.atomic` as target, so that they appear whole."""
    with through_memory(target) as memory, h5py.File(memory, "w") as file:
        file.attrs["crystaltool_format"] = FORMAT
        file.attrs["kind"] = EMBEDDING_KIND
        file.attrs["history"] = "\n".join(history)
        file.attrs["blocks_sha256"] = embeddings.blocks_sha256
        file.attrs["weights_sha256"] = embeddings.weights_sha256
        packing = {"compression": "gzip", "compression_opts": 4, "shuffle": True} if len(embeddings) else {}
        file.create_dataset("embedding", data=embeddings.embedding.astype(np.float32), **packing)
        file.create_dataset("identity", data=embeddings.identity.astype(np.int32), **packing)
        if embeddings.order is not None:
            file.create_dataset("order", data=embeddings.order.astype(np.float32), **packing)


def read_embeddings(path: str | Path | SeekableReader, label: str = "") -> BlockEmbeddings:
    """Read embeddings and check them.

    Raises:
        InputError: as `open_checked`; arrays that are missing, do not fit together or are not finite.
    """
    name = label or (str(path) if isinstance(path, (str, Path)) else "HDF5 input")
    with open_checked(path, EMBEDDING_KIND, name) as file:
        embedding = read_array(file, "embedding", (EMBEDDING_SIZE,), "f", name)
        identity = read_array(file, "identity", (), "i", name)
        order = _read_order(file, name)
        sums = [read_sum(file, key, name) for key in ("blocks_sha256", "weights_sha256")]
    if len(embedding) != len(identity):
        raise InputError(f"{name}: {len(embedding)} embeddings but {len(identity)} identities")
    if order is not None and len(order) != len(embedding):
        raise InputError(f"{name}: {len(embedding)} embeddings but {len(order)} order vectors")
    if not np.isfinite(embedding).all() or (order is not None and not np.isfinite(order).all()):
        raise InputError(f"{name}: an embedding that is not finite")
    return BlockEmbeddings(embedding.astype(np.float32), identity.astype(np.int64), *sums, order)


def _read_order(file: h5py.File, name: str) -> np.ndarray | None:
    item = file.get("order")
    if item is None:
        return None
    width = item.shape[1:] if isinstance(item, h5py.Dataset) and item.ndim == 2 else (0,)
    return read_array(file, "order", width, "f", name).astype(np.float32)


def read_array(file: h5py.File, key: str, rest: tuple[int, ...], kind: str, name: str) -> np.ndarray:
    """A data set of a checked file.

    Raises:
        InputError: it is not there, or has another type or shape.
    """
    item = file.get(key)
    if not isinstance(item, h5py.Dataset) or item.dtype.kind != kind or item.shape[1:] != rest or item.ndim < 1:
        raise InputError(f"{name}: no data set {key!r} of shape (n, {', '.join(map(str, rest))})")
    return item[...]


def read_sum(file: h5py.File, key: str, name: str) -> str:
    """A sha256 among the root attributes.

    Raises:
        InputError: it is not there.
    """
    text = file.attrs.get(key)
    if not isinstance(text, str) or len(text) != 64:
        raise InputError(f"{name}: no attribute {key}")
    return text
