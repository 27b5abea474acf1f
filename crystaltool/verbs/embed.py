"""`embed`: building blocks to vectors that do not depend on how a block is turned, shifted or numbered."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from crystaltool.errors import InputError, UsageError
from crystaltool.mof.blocks import CoarseMOF
from crystaltool.mof.sample import MOFSample
from crystaltool.mof.table import MOFTable, tabulate

if TYPE_CHECKING:
    from crystaltool.models.block_encoder.checkpoint import LoadedBlockEncoder
    from crystaltool.models.block_encoder.embedding_file import BlockEmbeddings

ENCODER = "blocks"
"""The shipped block encoder."""


def embed(
    mof: CoarseMOF | MOFSample | Iterable[CoarseMOF | MOFSample], encoder: str = ENCODER, *, device: str = "auto"
) -> Any:
    """Embeddings of the building blocks of a MOF; as `crystaltool embed`.

    Args:
        mof: one, as `fragment` gives it, or an iterable of them; of a sample its first decoding.
        encoder: a shipped block encoder or a folder that `train blocks` wrote.
        device: where the network runs, such as cpu or cuda:0.

    Returns:
        A row of 32 numbers for each block, in the order of `CoarseMOF.blocks`; float32, shape (n_blocks, 32). Of an
        iterable a list of such arrays.

    Raises:
        CheckpointError: no such encoder.
        InputError: blocks that it cannot embed.
    """
    from crystaltool.models.block_encoder.checkpoint import load_block_encoder
    from crystaltool.models.weights import find_checkpoint
    from crystaltool.training.distributed import choose_device

    given = [mof] if isinstance(mof, (CoarseMOF, MOFSample)) else list(mof)
    mofs = [one.decodings[0] if isinstance(one, MOFSample) else one for one in given]
    for one in mofs:
        if not isinstance(one, CoarseMOF):
            raise UsageError(f"a {type(one).__name__}, expected a CoarseMOF")
    if not mofs:
        return []
    loaded = load_block_encoder(find_checkpoint(encoder), str(choose_device(device)))
    vectors = embedded(tabulate(mofs), loaded).embedding
    parts = np.split(vectors, np.cumsum([one.n_blocks for one in mofs])[:-1])
    return parts[0] if given[0] is mof else parts


def embedded(
    table: MOFTable, loaded: LoadedBlockEncoder, label: str = "", on_progress: Callable[[int], object] = lambda n: None
) -> BlockEmbeddings:
    """Embeddings of all blocks of a table, and their order vectors if the encoder has an order map.

    Args:
        table: of `fragment`. loaded: the encoder.
        label: the table's file, for messages.
        on_progress: called with the number of blocks just done.

    Raises:
        InputError: blocks that the encoder does not know, or without a finite embedding.
    """
    from crystaltool.models.block_encoder.data import block_points
    from crystaltool.models.block_encoder.embedding import embed_points
    from crystaltool.models.block_encoder.embedding_file import BlockEmbeddings, blocks_digest
    from crystaltool.models.block_encoder.fit import check_data
    from crystaltool.models.block_encoder.order import order_vectors

    check_data(table, labelled=False)
    points = block_points(table)
    vectors = embed_points(loaded.model, points, on_progress=on_progress)
    if not np.isfinite(vectors).all():
        bad = int(np.argmin(np.isfinite(vectors).all(1)))
        raise InputError(f"{label or 'blocks'}: block {bad} has no finite embedding")
    identity = table.arrays["blocks/identity"].astype(np.int64)
    order = None if loaded.order is None else order_vectors(loaded.order, points)
    return BlockEmbeddings(vectors.astype(np.float32), identity, blocks_digest(table), loaded.sha256, order)
