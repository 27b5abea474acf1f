"""Made blocks and tiny encoders that the tests of the block encoder share."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch

from crystaltool.models.block_encoder.data import BlockBatch, block_points
from crystaltool.models.block_encoder.fit import BlockFitConfig, fit_block_encoder
from crystaltool.models.block_encoder.model import BlockEncoder, BlockEncoderConfig
from crystaltool.models.block_encoder.neighbours import one_of_each
from crystaltool.models.weights import find_checkpoint
from crystaltool.mof.blocks import LINKER, NODE, BuildingBlock, CoarseMOF
from crystaltool.mof.identity import identify
from crystaltool.mof.table import MOFTable, TableBuilder, read_mofs, write_mofs
from crystaltool.training.loop import LoopConfig

SIZES = BlockEncoderConfig(width=16, pair_width=8, n_layers=3, n_near_layers=2, n_functions=8, projection=16)
"""Everything that the shipped encoder computes, in a hundredth of the time."""

TOML = """
[model]
width = 16
pair_width = 8
n_layers = 3
n_near_layers = 2
n_functions = 8
projection = 16
"""
"""`SIZES` as a configuration file has them."""

REAL_BLOCKS = Path(__file__).resolve().parent / "real_blocks.h5"
"""Blocks of QMOF structures (CC BY 4.0) of forty identities that the shipped encoder never saw, two conformers each."""


def made_block(chemistry: int, geometry: int) -> BuildingBlock:
    """A tree of atoms: `chemistry` decides the graph, `geometry` where the atoms are."""
    rng, place = np.random.default_rng([1, chemistry]), np.random.default_rng([2, chemistry, geometry])
    n_atoms, n_connections = int(rng.integers(5, 12)), int(rng.integers(1, 5))
    parents = np.array([rng.integers(0, atom) for atom in range(1, n_atoms)])
    numbers = rng.choice([6, 6, 6, 7, 8, 9, 35], n_atoms)
    kind = NODE if chemistry % 3 == 0 else LINKER
    if kind == NODE:
        numbers[0] = 30
    ends = rng.integers(0, n_atoms, n_connections)

    def directions(n: int) -> np.ndarray:
        drawn = place.standard_normal((n, 3))
        return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)

    coords = np.zeros((n_atoms, 3))
    for atom, step in enumerate(directions(n_atoms - 1), start=1):
        coords[atom] = coords[parents[atom - 1]] + 1.4 * step
    points = coords[ends] + 1.1 * directions(n_connections)
    centre = points.mean(axis=0)
    return BuildingBlock(
        kind=kind,
        numbers=numbers,
        cart_coords=coords - centre,
        bonds=np.column_stack([parents, np.arange(1, n_atoms)]),
        bond_orders=rng.choice([1.0, 1.5, 2.0], n_atoms - 1),
        connection_coords=points - centre,
        connection_atoms=ends,
        identity=f"made-{chemistry}",
    )


@cache
def made_table(n_identities: int = 24, n_conformers: int = 3) -> MOFTable:
    """MOFs called mof-0, ..., each of all conformers of one identity; the first conformer stands in it twice."""
    builder = TableBuilder()
    for chemistry in range(n_identities):
        blocks = [made_block(chemistry, geometry) for geometry in range(n_conformers)]
        blocks = (blocks[0], *blocks)
        builder.add(CoarseMOF(20 * np.eye(3), blocks, np.zeros((len(blocks), 3)), name=f"mof-{chemistry}"))
    return builder.table()


def write_table(path: Path, table: MOFTable | None = None) -> Path:
    """That table, or `made_table`, as a file."""
    write_mofs(path, table or made_table())
    return path


def table_of(blocks: list[BuildingBlock]) -> MOFTable:
    """A table of blocks without MOFs."""
    builder = TableBuilder()
    for block in blocks:
        builder.add_block(block)
    return builder.table()


def batch_of(blocks: list[BuildingBlock]) -> BlockBatch:
    """A batch in double precision, coordinates not rounded as a file has them."""
    batch = block_points(table_of(blocks)).batch(np.arange(len(blocks)))
    coords = [np.concatenate([block.cart_coords, block.connection_coords]) for block in blocks]
    return replace(batch, cart_coords=torch.from_numpy(np.concatenate(coords)))


def random_encoder(seed: int = 0) -> BlockEncoder:
    """An untrained encoder in float64 in which no weight is zero."""
    torch.manual_seed(seed)
    model = BlockEncoder(SIZES)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
        model.embedding_mean += 0.3
        model.embedding_scale *= 0.5
    return model.double().eval()


def short_run(epochs: int, **changes) -> BlockFitConfig:
    """A step or two an epoch on `made_table`."""
    loop = replace(LoopConfig(steps=1, learning_rate=3e-3, warmup=5, log_every=1, save_every=4), **changes)
    return BlockFitConfig(SIZES, loop, epochs=epochs, batch_size=32)


def trained_folder(directory: Path, epochs: int = 3) -> Path:
    """A checkpoint folder after a few steps."""
    data = write_table(directory / "blocks.h5")
    fit_block_encoder(data, directory / "run", short_run(epochs), device="cpu", threads=1)
    return directory / "run"


def write_real_blocks(path: Path) -> Path:
    """REAL_BLOCKS with the fingerprints of its identities, which that file has not."""
    table = read_mofs(REAL_BLOCKS)
    prints = np.zeros_like(table.arrays["identities/ecfp4"])
    for row, identity in enumerate(table.arrays["blocks/identity"].tolist()):
        if not prints[identity].any():
            prints[identity] = identify(table.block(row)).bits
    write_mofs(path, replace(table, arrays=table.arrays | {"identities/ecfp4": prints}))
    return path


def write_library_blocks(path: Path, n: int = 60) -> Path:
    """The first blocks of so many identities of the shipped library, with their fingerprints, as a file of blocks."""
    blocks = read_mofs(find_checkpoint("mofdiff") / "library.h5")
    rows, prints = one_of_each(blocks)
    builder = TableBuilder()
    for row, bits in zip(rows[:n].tolist(), prints, strict=False):
        builder.add_block(blocks.block(row), bits)
    write_mofs(path, builder.table())
    return path
