"""Small MOFs, their embeddings, networks and checkpoints, for tests of MOFDiff, its training and its commands."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch

from crystaltool.models.block_encoder.embedding_file import BlockEmbeddings, blocks_digest, write_embeddings
from crystaltool.models.block_encoder.library import Library, build_library, write_library
from crystaltool.models.block_encoder.model import EMBEDDING_SIZE
from crystaltool.models.mofdiff.config import MOFDiffConfig
from crystaltool.models.mofdiff.fit import MOFDiffFitConfig, fit_mofdiff
from crystaltool.models.mofdiff.model import MOFDiff
from crystaltool.models.mofdiff.representation import CoarseBatch, CoarseData, prepare, to_batch
from crystaltool.mof.blocks import LINKER, NODE, BuildingBlock, CoarseMOF, Connections
from crystaltool.mof.fragment import fragment
from crystaltool.mof.perception import perceive_bonds
from crystaltool.mof.table import MOFTable, tabulate, write_mofs
from crystaltool.training.loop import LoopConfig
from tests.mof.structures import curated

SIZES = MOFDiffConfig(
    n_latent=6,
    property_members=2,
    n_property_latent=2,
    property_width=8,
    width=16,
    pair_width=8,
    n_layers=2,
    encoder_layers=2,
    prior_width=16,
    prior_layers=2,
    cutoff=(9.0, 12.0),
    n_functions=8,
    properties=("co2_wc", "density"),
)
"""A network that computes everything the shipped one does, in a hundredth of the time."""

TOML = """
[model]
n_latent = 6
property_members = 2
n_property_latent = 2
property_width = 8
width = 16
pair_width = 8
n_layers = 2
encoder_layers = 2
prior_width = 16
prior_layers = 2
cutoff = [9.0, 12.0]
n_functions = 8
properties = ["co2_wc", "density"]
"""
"""`SIZES` as a configuration file has them."""

ENCODER_SHA256 = "e" * 64
SLOW = ("HKUST-1", "ZIF-8", "UiO-66")
"""Well known ones that are left out: 14 and 18 blocks cost time, 24 connection points are too many."""


def node(directions: np.ndarray, metal: int, radius: float = 2.0) -> BuildingBlock:
    """A metal atom and an oxygen beneath each of its connection points, which lie in the given unit directions."""
    n = len(directions)
    return BuildingBlock(
        kind=NODE,
        numbers=np.array([metal] + [8] * n),
        cart_coords=np.concatenate([np.zeros((1, 3)), directions * radius]),
        bonds=np.column_stack([np.zeros(n, dtype=np.int64), np.arange(1, n + 1)]),
        bond_orders=np.zeros(n),
        connection_coords=directions * (radius + 0.7),
        connection_atoms=np.arange(1, n + 1),
        identity=f"[{metal}]O{n}",
    )


def linker(n_atoms: int) -> BuildingBlock:
    """A chain of carbons along x with a connection point beyond each end."""
    along = 1.3 * (np.arange(n_atoms) - (n_atoms - 1) / 2)
    end = along[-1] + 0.7
    return BuildingBlock(
        kind=LINKER,
        numbers=np.full(n_atoms, 6),
        cart_coords=np.column_stack([along, np.zeros((n_atoms, 2))]),
        bonds=np.column_stack([np.arange(n_atoms - 1), np.arange(1, n_atoms)]),
        bond_orders=np.ones(n_atoms - 1),
        connection_coords=np.array([[-end, 0, 0], [end, 0, 0]]),
        connection_atoms=np.array([0, n_atoms - 1]),
        identity=f"C{n_atoms}",
    )


def net(axes: int, metal: int, n_atoms: int, strain: np.ndarray, copies: int = 1, name: str = "") -> CoarseMOF:
    """A chain, a square net or a primitive cubic net: `axes` linkers a node, `copies` cells along a.

    Args:
        axes: 1, 2 or 3.
        metal: atomic number of the node.
        n_atoms: carbons of a linker.
        strain: applied to the cell; the blocks stay rigid, so connection points of a strained net do not meet.
        copies: cells in the cell.
        name: of the MOF.
    """
    directions = np.concatenate([np.eye(3)[:axes], -np.eye(3)[:axes]])
    middle, chain = node(directions, metal), linker(n_atoms)
    edge = 2 * (np.abs(middle.connection_coords).max() + np.abs(chain.connection_coords).max())
    lattice = np.diag([edge if axis < axes else 7.0 + axis for axis in range(3)]) @ (np.eye(3) + strain)
    turns = [np.linalg.qr(np.roll(np.eye(3), axis, axis=1))[0] for axis in range(axes)]
    turns = [turn * np.sign(np.linalg.det(turn)) for turn in turns]
    blocks, centres, rotations = [], [], []
    ends, points, images = [], [], []
    for copy in range(copies):
        first = len(blocks)
        blocks += [middle] + [chain] * axes
        rotations += [np.eye(3), *turns]
        for centre in (np.zeros(3), *(0.5 * np.eye(3)[axis] for axis in range(axes))):
            centres.append((centre + copy * np.eye(3)[0]) / np.array([copies, 1, 1]))
        for axis in range(axes):
            up = int(turns[axis][0] @ np.eye(3)[axis] > 0)  # the linker's point that looks along the axis
            away = np.zeros(3, dtype=np.int64)
            away[axis] = -1
            before = first + 1 + axis
            if axis == 0:
                away[0] = -1 if copy == 0 else 0
                before = (copies - 1 if copy == 0 else copy - 1) * (axes + 1) + 1
            ends += [[first, first + 1 + axis], [first, before]]
            points += [[axis, 1 - up], [axes + axis, up]]
            images += [np.zeros(3, dtype=np.int64), away]
    lattice[0] *= copies
    return CoarseMOF(
        lattice=lattice,
        blocks=tuple(blocks),
        centres=np.array(centres),
        rotations=np.array(rotations),
        connections=Connections(np.array(ends), np.array(points), np.array(images)),
        name=name,
    )


@cache
def real_mofs() -> tuple[CoarseMOF, ...]:
    """MOF-5, MOF-74, MIL-53 and MIL-47 in blocks, identities by formula."""
    found = []
    for name, crystal in curated().items():
        if name not in SLOW:
            mof = fragment(crystal, perceive_bonds(crystal))
            named = (replace(b, identity=f"{sorted(b.numbers.tolist())} {b.n_connections}") for b in mof.blocks)
            found.append(replace(mof, blocks=tuple(named), name=name))
    return tuple(found)


@cache
def small_table() -> MOFTable:
    """Sixteen MOFs of two to nine blocks: four real ones, twelve strained nets; half of them labelled, two held out."""
    rng = np.random.default_rng(0)
    mofs = list(real_mofs())
    for index in range(12):
        strain = rng.normal(0, 0.12, (3, 3))
        copies = 2 if index % 6 > 3 else 1
        mofs.append(net(1 + index % 3, (30, 29, 12)[index % 3], 2 + index % 4, strain, copies, f"net-{index}"))
    return tabulate(
        replace(
            mof,
            properties={
                "split": float(index in (5, 9)),
                "density": 0.5 + 0.1 * index,
                "favoured": float(index % 4 == 0),
                **({"co2_wc": 0.3 * index} if index % 2 else {}),
            },
        )
        for index, mof in enumerate(mofs)
    )


def embeddings_of(table: MOFTable, seed: int = 0, weights: str = ENCODER_SHA256) -> BlockEmbeddings:
    """Embeddings as an encoder would give them: one vector an identity, unit variance a dimension."""
    identity = table.arrays["blocks/identity"].astype(np.int64)
    vectors = np.random.default_rng(seed).standard_normal((identity.max() + 1, EMBEDDING_SIZE)).astype(np.float32)
    return BlockEmbeddings(vectors[identity], identity, blocks_digest(table), weights)


@cache
def small_library() -> Library:
    """The distinct blocks of `small_table`."""
    return build_library(small_table(), embeddings_of(small_table()))


@cache
def small_data(names: tuple[str, ...] = SIZES.properties) -> CoarseData:
    """What MOFDiff sees of `small_table`."""
    return prepare(small_table(), embeddings_of(small_table()).embedding, names)


def batch_of(data: CoarseData, rows: list[int] | None = None, dtype: torch.dtype = torch.float64) -> CoarseBatch:
    """Some MOFs, or all, in one batch."""
    chosen = np.arange(len(data)) if rows is None else np.array(rows)
    batch = to_batch(data, chosen, np.cumsum(data.n_places) - data.n_places)
    values = {name: getattr(batch, name) for name in CoarseBatch.__dataclass_fields__}
    return CoarseBatch(**{name: v.to(dtype) if v.is_floating_point() else v for name, v in values.items()})


def random_model(seed: int = 0, sizes: MOFDiffConfig = SIZES) -> MOFDiff:
    """An untrained model in float64 in which no weight is zero, also not those that training starts from."""
    torch.manual_seed(seed)
    model = MOFDiff(sizes, small_data(sizes.properties))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model.double().eval()


def write_data(folder: Path, table: MOFTable | None = None) -> tuple[Path, Path]:
    """A data set and the embeddings of its blocks: `data.h5`, `embeddings.h5`."""
    chosen = table or small_table()
    write_mofs(folder / "data.h5", chosen)
    write_embeddings(folder / "embeddings.h5", embeddings_of(chosen))
    return folder / "data.h5", folder / "embeddings.h5"


def short_run(epochs: int, **changes) -> MOFDiffFitConfig:
    """`epochs` passes of one step each over `small_table`, one over its labels before."""
    loop = replace(LoopConfig(steps=1, learning_rate=3e-3, warmup=10, log_every=1, save_every=4), **changes)
    return MOFDiffFitConfig(SIZES, loop, epochs=epochs, batch_size=64, property_epochs=1)


def trained_folder(directory: Path, epochs: int = 2) -> Path:
    """A checkpoint folder after a few steps, its library beside the weights."""
    data, embeddings = write_data(directory)
    fit_mofdiff(data, directory / "run", short_run(epochs), embeddings=embeddings, device="cpu", threads=1)
    write_library(directory / "run" / "library.h5", small_library())
    return directory / "run"
