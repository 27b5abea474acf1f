"""Figures of a block encoder: `python benchmarks/embed.py BLOCKS.h5 [--checkpoint blocks] [--seed S]`.

Held-out blocks (the file must be the one that the encoder was trained on: the split hashes its names of identities),
what embeddings keep under rotation, translation, reflection and renumbering, how fast 10,000 of them are decoded, and
how much noise decoding bears. One line of a Markdown table each.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from crystaltool.models.block_encoder.checkpoint import load_block_encoder
from crystaltool.models.block_encoder.data import block_points, conformers, split_blocks
from crystaltool.models.block_encoder.embedding import embed_points
from crystaltool.models.block_encoder.embedding_file import BlockEmbeddings, blocks_digest
from crystaltool.models.block_encoder.fit_order import labelled
from crystaltool.models.block_encoder.library import Library, build_library
from crystaltool.models.block_encoder.neighbours import identity_kept, most_similar, order_kept
from crystaltool.models.block_encoder.order import OrderMap, order_vectors
from crystaltool.models.block_encoder.validation import validate_blocks
from crystaltool.models.weights import find_checkpoint
from crystaltool.mof.blocks import LINKER, NODE, BuildingBlock
from crystaltool.mof.table import TableBuilder, read_mofs

PARTS = {
    "identity": "identities never seen",
    "geometry": "other conformers of seen identities",
    "held_out": "both",
}
NOISE = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7)
N_DECODED = 10_000


def moved(block: BuildingBlock, rng: np.random.Generator, mirror: bool) -> BuildingBlock:
    """The block turned, shifted and renumbered."""
    matrix = Rotation.random(random_state=rng).as_matrix() * (-1 if mirror else 1)
    shift, order, points = (
        10 * rng.standard_normal(3),
        rng.permutation(block.n_atoms),
        rng.permutation(block.n_connections),
    )
    place = np.argsort(order)
    return replace(
        block,
        numbers=block.numbers[order],
        cart_coords=block.cart_coords[order] @ matrix + shift,
        bonds=place[block.bonds][rng.permutation(len(block.bonds))],
        connection_coords=(block.connection_coords @ matrix + shift)[points],
        connection_atoms=place[block.connection_atoms][points],
    )


def row(what: str, figure: str) -> None:
    print(f"| {what} | {figure} |", flush=True)


def report_order(library: Library, model: OrderMap, seed: int) -> None:
    """The same by order vectors, of all and of the identities held out from the order map; identities told apart."""
    vectors = order_vectors(model, block_points(library.blocks))
    rows, held_out, prints = labelled(library.blocks)
    for kind, name in ((LINKER, "linkers"), (NODE, "nodes")):
        some = np.flatnonzero(library.kinds[rows] == kind)
        for which, asked in (("", np.arange(len(some))), (" held out", np.flatnonzero(held_out[some]))):
            found = most_similar(vectors[rows[some]], prints[some], asked, seed)
            if "nearest" in found:
                row(
                    f"the same by order vectors, {name}{which} (n = {int(found['n'])})",
                    f"{found['nearest']:.3f}; {found['random']:.3f}, {found['best']:.3f}",
                )
    share, n = identity_kept(library.blocks, vectors)
    row(
        f"nearest block by order vectors has the same identity (n = {n} with another conformer)", f"{100 * share:.2f} %"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("blocks", type=Path)
    parser.add_argument("--checkpoint", default="blocks")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    loaded = load_block_encoder(find_checkpoint(options.checkpoint))
    model = loaded.model
    table = read_mofs(options.blocks)
    points, identity = block_points(table), table.arrays["blocks/identity"].astype(np.int64)
    stands = conformers(points, identity)
    split = split_blocks(table.identity_names, identity, stands)
    print("| what | figure |\n|---|---|")
    row(
        "blocks, identities, distinct conformers",
        f"{len(points)}, {len(table.identity_names)}, {len(np.unique(stands))}",
    )
    found = validate_blocks(model, points, identity, split)
    for key, what in PARTS.items():
        n, siblings = int(found[f"{key}_blocks"]), int(found[f"{key}_siblings"])
        row(
            f"{what}: nearest neighbour has the same identity, the same connection count (n = {siblings})",
            f"{100 * found[f'{key}_same_identity']:.2f} %, {100 * found[f'{key}_same_connections']:.2f} %",
        )
        row(
            f"{what}: heads read connections, atoms right; diameter, mean error (n = {n})",
            f"{100 * found[f'{key}_connections_right']:.2f} %, {100 * found[f'{key}_atoms_right']:.2f} %;"
            f" {found[f'{key}_diameter_error']:.2f} A",
        )
    held_out = np.concatenate([split.geometry, split.identity])
    before = embed_points(model, points, held_out)
    for mirror, what in ((False, "rotation, translation, order"), (True, "the same and reflection")):
        builder = TableBuilder()
        for index in held_out.tolist():
            builder.add_block(moved(table.block(index), rng, mirror))
        change = np.abs(embed_points(model, block_points(builder.table())) - before).max()
        row(f"largest change under {what} (n = {len(held_out)})", f"{change:.1e}")
    chosen = np.unique(stands)
    vectors = np.zeros((len(points), before.shape[1]), dtype=np.float32)
    vectors[chosen] = embed_points(model, points, chosen)
    vectors = vectors[stands]
    library = build_library(table, BlockEmbeddings(vectors, identity, blocks_digest(table), loaded.sha256))
    for kind, name in ((LINKER, "linkers"), (NODE, "nodes")):
        kept = order_kept(library, kind, options.seed)
        if "nearest" in kept:
            row(
                f"nearest of another identity, {name}: mean Tanimoto; of a random one, of the most similar one"
                f" (n = {int(kept['n'])})",
                f"{kept['nearest']:.3f}; {kept['random']:.3f}, {kept['best']:.3f}",
            )
    if loaded.order is not None:
        report_order(library, loaded.order, options.seed)
    rows = rng.choice(len(points), N_DECODED, replace=len(points) < N_DECODED)
    started = time.process_time()
    library.nearest(vectors[rows], 16)
    row(f"{N_DECODED:,} embeddings, 16 nearest of {len(library)}", f"{time.process_time() - started:.1f} cpu s")
    names = np.array(library.blocks.identity_names)[library.blocks.arrays["blocks/identity"]]
    truth = np.array(table.identity_names)[identity[rows]]
    for noise in NOISE:
        nearest, _ = library.nearest(
            vectors[rows] + noise * rng.standard_normal(vectors[rows].shape).astype(np.float32)
        )
        row(
            f"noise of deviation {noise}: decoded to the same identity, connection count, kind (n = {N_DECODED:,})",
            f"{100 * (names[nearest[:, 0]] == truth).mean():.2f} %,"
            f" {100 * (library.n_connections[nearest[:, 0]] == points.n_connections[rows]).mean():.2f} %,"
            f" {100 * (library.kinds[nearest[:, 0]] == table.arrays['blocks/kind'][rows]).mean():.2f} %",
        )


if __name__ == "__main__":
    main()
