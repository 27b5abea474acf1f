"""`crystaltool embed --nearest N`: for each block its nearest in a library, as a table."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from crystaltool.models.block_encoder.checkpoint import LoadedBlockEncoder
    from crystaltool.models.block_encoder.embedding_file import BlockEmbeddings
    from crystaltool.models.block_encoder.library import Library
    from crystaltool.mof.table import MOFTable

ORDER, EMBEDDING = "order", "embedding"
"""What distances are between: order vectors, or the 32 numbers of the encoder."""

COLUMNS = (
    "kind",
    "identity",
    "n_connections",
    "rank",
    "distance",
    "tanimoto",
    "nearest",
    "nearest_connections",
    "count",
)


def library_among(path: Path | None, loaded: LoadedBlockEncoder) -> Library:
    """The library given, or that of the shipped MOFDiff.

    Raises:
        InputError: it is damaged, or of another encoder.
    """
    from crystaltool.defaults import MOF_MODEL
    from crystaltool.models.block_encoder.library import Library
    from crystaltool.models.mofdiff.library import LIBRARY_NAME
    from crystaltool.models.weights import find_checkpoint

    return Library.load(path or find_checkpoint(MOF_MODEL) / LIBRARY_NAME, loaded.sha256)


def order_among(library: Library, loaded: LoadedBlockEncoder, by: str | None) -> np.ndarray | None:
    """Order vectors of a library's blocks, None where distances are those of embeddings.

    Args:
        library: what is looked in. loaded: the encoder. by: ORDER or EMBEDDING; the first of them there is if None.

    Raises:
        UsageError: the encoder has no order map, but ORDER was asked for.
    """
    from crystaltool.errors import UsageError
    from crystaltool.models.block_encoder.data import block_points
    from crystaltool.models.block_encoder.order import order_vectors

    if by == EMBEDDING or (by is None and loaded.order is None):
        return None
    if loaded.order is None:
        raise UsageError("this encoder has no order map; make one with `train blocks --part order`")
    return order_vectors(loaded.order, block_points(library.blocks))


def table_lines(
    table: MOFTable, embeddings: BlockEmbeddings, library: Library, n: int, among: np.ndarray | None = None
) -> Iterator[str]:
    """A header, then `n` lines for each identity and number of connection points among the blocks, tab-separated.

    Args:
        table: the blocks. embeddings: of them. library: what is looked in. n: nearest of each.
        among: order vectors of the library's blocks, as `order_among` gives them; by embedding if None.
    """
    import numpy as np

    from crystaltool.models.block_encoder.neighbours import nearest_identities
    from crystaltool.mof.blocks import KINDS

    a = table.arrays
    identity = a["blocks/identity"].astype(np.int64)
    keys = np.stack(
        [np.where(identity < 0, -1 - np.arange(len(identity)), identity), a["blocks/n_connections"]], axis=1
    )
    rows = np.sort(np.unique(keys, axis=0, return_index=True)[1])
    prints = a["identities/ecfp4"]
    bits = np.stack([prints[identity[row]] if identity[row] >= 0 else np.zeros(256, np.uint8) for row in rows.tolist()])
    kinds = a["blocks/kind"][rows].astype(np.int64)
    vectors = embeddings.embedding if among is None or embeddings.order is None else embeddings.order
    found = nearest_identities(library, vectors[rows], bits, kinds, n, among)
    yield "\t".join(COLUMNS) + "\n"
    for row, neighbours in zip(rows.tolist(), found, strict=True):
        block = table.block(row)
        for rank, one in enumerate(neighbours, 1):
            other = library.block(one.row)
            cells = [KINDS[block.kind], block.identity, block.n_connections, rank]
            cells += [f"{one.distance:.3f}", "" if np.isnan(one.tanimoto) else f"{one.tanimoto:.3f}"]
            cells += [other.identity, other.n_connections, int(library.occurrences[one.row])]
            yield "\t".join(map(str, cells)) + "\n"


def write_table(lines: Iterator[str], output: str, overwrite: bool, inputs: list[str]) -> None:
    """The lines to a file, which appears whole, or to standard output."""
    from crystaltool.cli.writer import STDOUT, StreamWriter
    from crystaltool.io.atomic import atomic_output, refuse_input_as_output

    if output == STDOUT:
        writer = StreamWriter(sys.stdout.buffer, "standard output")
        for line in lines:
            writer.write_bytes(line.encode())
        return
    refuse_input_as_output(output, inputs)
    with atomic_output(output, overwrite) as target:
        for line in lines:
            target.handle.write(line.encode())
