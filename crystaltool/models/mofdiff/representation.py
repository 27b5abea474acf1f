"""MOFs as MOFDiff sees them: embeddings and centres of K blocks in a reduced cell. numpy and torch only."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from crystaltool.arrays import Bool, Float, Int
from crystaltool.errors import InputError
from crystaltool.lattice import matrix_to_k, reduced_basis
from crystaltool.mof.blocks import KINDS, LINKER, MAX_BLOCKS, MAX_CONNECTIONS, NODE
from crystaltool.mof.table import MOFTable
from crystaltool.units import ATOMIC_MASS, G_PER_MOL_PER_CUBIC_ANGSTROM

N_KINDS = len(KINDS)
N_CONNECTION_CLASSES = MAX_CONNECTIONS + 1
N_BLOCK_FEATURES = N_KINDS + 4
"""What is known of a block beside its embedding: kind, atoms, mass, connection points, diameter."""
N_ELEMENTS = len(ATOMIC_MASS) - 1
N_SIZES = 3
N_DESCRIPTORS = N_ELEMENTS + 12 + (4 * N_KINDS + 3) + 2 * 2 * N_SIZES
"""What is known of a whole MOF: element fractions, cell, volume an atom, density, numbers and sizes of its blocks."""


@dataclass(frozen=True)
class CoarseData:
    """Many MOFs, place by place, in canonical cells.

    Args:
        k: logarithm of the reduced cell, components as in `lattice.LOG_BASIS`; (n, 6).
        n_places: blocks of each MOF; (n,).
        descriptors: `N_DESCRIPTORS` numbers of the whole MOF, as `describe_mofs` gives them; (n, D).
        properties: one column a property, NaN where not known; (n, P).
        centres: fractional coordinates; (total, 3).
        embeddings: whitened; (total, E).
        kinds, connections: of each block; (total,).
        features: `N_BLOCK_FEATURES` numbers of each block; (total, F).
    """

    k: Float[np.ndarray, "n 6"]
    n_places: Int[np.ndarray, " n"]
    descriptors: Float[np.ndarray, "n d"]
    properties: Float[np.ndarray, "n p"]
    centres: Float[np.ndarray, "total 3"]
    embeddings: Float[np.ndarray, "total e"]
    kinds: Int[np.ndarray, " total"]
    connections: Int[np.ndarray, " total"]
    features: Float[np.ndarray, "total f"]

    def __len__(self) -> int:
        return len(self.n_places)


@dataclass(frozen=True)
class CoarseBatch:
    """MOFs as padded tensors, K places.

    Args:
        k: (B, 6). descriptors: (B, D). properties: (B, P), NaN where not known.
        centres: (B, K, 3). embeddings: (B, K, E). features: (B, K, F).
        kinds, connections: (B, K), 0 where empty. mask: True where a place holds a block; (B, K).
    """

    k: Float[Tensor, "B 6"]
    descriptors: Float[Tensor, "B D"]
    properties: Float[Tensor, "B P"]
    centres: Float[Tensor, "B K 3"]
    embeddings: Float[Tensor, "B K E"]
    features: Float[Tensor, "B K F"]
    kinds: Int[Tensor, "B K"]
    connections: Int[Tensor, "B K"]
    mask: Bool[Tensor, "B K"]

    def to(self, device: torch.device | str) -> CoarseBatch:
        """The batch on a device."""
        return CoarseBatch(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})


def canonical_cell(lattice: Float[np.ndarray, "3 3"]) -> Int[np.ndarray, "3 3"]:
    """Unimodular, right-handed T such that T L is reduced: lengths ascending, angles all acute or none acute."""
    basis = reduced_basis(lattice)
    basis = basis[np.argsort(np.linalg.norm(basis @ lattice, axis=1), kind="stable")]
    rows = basis @ lattice
    metric = rows @ rows.T
    ab, ac, bc = metric[0, 1], metric[0, 2], metric[1, 2]
    scale = 1e-6 * np.trace(metric)
    signs = {1: np.array([1, 1, 1])}
    if ab * ac * bc > scale**3:  # flip so that all three products are positive
        signs[1] = np.array([1, np.sign(ab), np.sign(ac)]).astype(np.int64)
    else:  # all three at most zero, as far as signs allow
        best = min(
            (np.array([1, p, q]) for p in (1, -1) for q in (1, -1)),
            key=lambda s: sum(max(v, 0.0) for v in (ab * s[1], ac * s[2], bc * s[1] * s[2])),
        )
        signs[1] = best
    basis = basis * signs[1][:, None]
    return basis * int(np.sign(np.linalg.det(basis @ lattice)))


def prepare(table: MOFTable, embeddings: Float[np.ndarray, "n_blocks e"], names: tuple[str, ...]) -> CoarseData:
    """The data that MOFDiff trains on.

    Args:
        table: posed MOFs.
        embeddings: of every block of the table.
        names: properties to learn, columns of the table or not.

    Raises:
        InputError: no MOFs, embeddings that do not fit the table, more blocks or connection points than the model has.
    """
    if len(table) == 0:
        raise InputError("data set holds no MOF")
    if len(embeddings) != table.n_blocks:
        raise InputError(f"{len(embeddings)} embeddings for {table.n_blocks} blocks")
    a = table.arrays
    if a["mofs/n_blocks"].max() > MAX_BLOCKS:
        raise InputError(f"data set holds a MOF of {a['mofs/n_blocks'].max()} blocks, the limit is {MAX_BLOCKS}")
    if a["blocks/n_connections"].max() > MAX_CONNECTIONS:
        raise InputError(
            f"data set holds a block with {a['blocks/n_connections'].max()} connection points,"
            f" the limit is {MAX_CONNECTIONS}"
        )
    places = a["places/block"]
    centres = np.array(a["places/centres"], dtype=np.float64)
    for index, lattice in enumerate(a["mofs/lattice"]):
        rows = table.span("place", index)
        centres[rows] = centres[rows] @ np.linalg.inv(canonical_cell(lattice))
    k, n_places, descriptors = describe_whole(table)
    missing = np.full(len(table), np.nan)
    return CoarseData(
        k=k,
        n_places=n_places,
        descriptors=descriptors,
        properties=np.array([table.properties.get(name, missing) for name in names]).reshape(len(names), len(table)).T,
        centres=centres % 1.0,
        embeddings=embeddings[places].astype(np.float64),
        kinds=a["blocks/kind"][places].astype(np.int64),
        connections=a["blocks/n_connections"][places].astype(np.int64),
        features=describe_blocks(table)[places],
    )


def describe_whole(
    table: MOFTable,
) -> tuple[Float[np.ndarray, "n 6"], Int[np.ndarray, " n"], Float[np.ndarray, "n d"]]:
    """What encoders are told of whole MOFs: k of their canonical cells, numbers of blocks, and `describe_mofs`."""
    cells = np.stack([canonical_cell(lattice) @ lattice for lattice in table.arrays["mofs/lattice"]])
    k = np.stack([matrix_to_k(cell) for cell in cells])
    return k, table.arrays["mofs/n_blocks"].astype(np.int64), describe_mofs(table, cells)


def describe_mofs(table: MOFTable, cells: Float[np.ndarray, "n 3 3"]) -> Float[np.ndarray, "n d"]:
    """Composition, density, cell and blocks of every MOF of a table: what its uptake of gas depends on.

    Element fractions x by atomic number as log(1 + 20 x), logarithms of the lengths, cosines of the angles, logarithms
    of the volume an atom (A^3), of the density (g/cm3), of the volume a block and of the spacings of (100), (010) and
    (001), ascending; then `count_blocks`; then log(1 + x) of the largest and the mean size of nodes and of linkers.
    """
    a = table.arrays
    by_block = np.zeros((table.n_blocks, N_ELEMENTS))
    np.add.at(by_block, (np.repeat(np.arange(table.n_blocks), a["blocks/n_atoms"]), a["blocks/numbers"] - 1), 1)
    counts = np.zeros((len(table), N_ELEMENTS))
    np.add.at(counts, np.repeat(np.arange(len(table)), a["mofs/n_blocks"]), by_block[a["places/block"]])
    n_atoms = counts.sum(1)
    volumes = np.abs(np.linalg.det(cells))
    lengths = np.linalg.norm(cells, axis=2)
    unit = cells / lengths[:, :, None]
    cosines = [(unit[:, i] * unit[:, j]).sum(1) for i, j in ((1, 2), (0, 2), (0, 1))]
    density = counts @ ATOMIC_MASS[1:] / volumes * G_PER_MOL_PER_CUBIC_ANGSTROM
    spacings = np.sort(1 / np.linalg.norm(np.linalg.inv(cells), axis=1), axis=1)
    owners, kinds = np.repeat(np.arange(len(table)), a["mofs/n_blocks"]), a["blocks/kind"][a["places/block"]]
    sizes, measured = measure_blocks(table)[a["places/block"]], []
    for kind in (NODE, LINKER):
        here, largest, mean = kinds == kind, np.zeros((len(table), N_SIZES)), np.zeros((len(table), N_SIZES))
        np.maximum.at(largest, owners[here], sizes[here])
        np.add.at(mean, owners[here], sizes[here])
        mean /= np.bincount(owners[here], minlength=len(table)).clip(min=1)[:, None]
        measured += [np.log1p(largest), np.log1p(mean)]
    return np.column_stack(
        [
            np.log1p(20 * counts / n_atoms[:, None]),
            np.log(lengths),
            *cosines,
            np.log(volumes / n_atoms),
            np.log(density),
            np.log(volumes / a["mofs/n_blocks"]),
            np.log(spacings),
            count_blocks(table),
            *measured,
        ]
    )


def measure_blocks(table: MOFTable) -> Float[np.ndarray, "n 3"]:
    """Sizes of every block of a table in Angstrom: root mean square distance of its atoms from the mean of its
    connection points, distance of the farthest atom, distance of the farthest connection point.
    """
    a = table.arrays
    n_atoms, blocks = a["blocks/n_atoms"].astype(np.float64), np.arange(table.n_blocks)
    square = np.square(a["blocks/cart_coords"].astype(np.float64)).sum(1)
    ends = np.square(a["blocks/connection_coords"].astype(np.float64)).sum(1)
    owners, sizes = np.repeat(blocks, a["blocks/n_atoms"]), np.zeros((table.n_blocks, N_SIZES))
    sizes[:, 0] = np.bincount(owners, weights=square, minlength=table.n_blocks) / n_atoms
    np.maximum.at(sizes[:, 1], owners, square)
    np.maximum.at(sizes[:, 2], np.repeat(blocks, a["blocks/n_connections"]), ends)
    return np.sqrt(sizes)


def count_blocks(table: MOFTable) -> Float[np.ndarray, "n c"]:
    """log(1 + x) of blocks, their atoms, bonds and connection points by kind, of atoms, the largest block and nets."""
    a = table.arrays
    blocks = a["places/block"]
    owners = np.repeat(np.arange(len(table)), a["mofs/n_blocks"])
    kinds = np.eye(N_KINDS)[a["blocks/kind"][blocks]]
    sizes = [np.ones(len(blocks)), *(a[f"blocks/n_{what}"][blocks] for what in ("atoms", "bonds", "connections"))]
    sums = np.zeros((len(table), 4 * N_KINDS))
    np.add.at(sums, owners, np.concatenate([kinds * size[:, None] for size in sizes], axis=1))
    largest, nets = np.zeros(len(table)), np.zeros(len(table))
    np.maximum.at(largest, owners, a["blocks/n_atoms"][blocks])
    np.maximum.at(nets, owners, a["places/nets"] + 1)
    return np.log1p(np.column_stack([sums, sums[:, N_KINDS : 2 * N_KINDS].sum(1), largest, nets]))


def describe_blocks(table: MOFTable) -> Float[np.ndarray, "n f"]:
    """Features of every block of a table, of order one."""
    a = table.arrays
    n_atoms = a["blocks/n_atoms"].astype(np.float64)
    owner = np.repeat(np.arange(table.n_blocks), a["blocks/n_atoms"])
    mass = np.bincount(owner, weights=ATOMIC_MASS[a["blocks/numbers"]], minlength=table.n_blocks)
    radius = measure_blocks(table)[:, 0]
    features = np.column_stack(
        [
            np.eye(N_KINDS)[a["blocks/kind"]],
            np.log(n_atoms) / 2 - 1,
            np.log(mass) / 2 - 2.5,
            a["blocks/n_connections"] / 5 - 1,
            radius / 3 - 1,
        ]
    )
    return features


def to_batch(data: CoarseData, rows: Int[np.ndarray, " b"], starts: Int[np.ndarray, " n"]) -> CoarseBatch:
    """Some MOFs as tensors; `starts` is the first place of every MOF."""
    counts = data.n_places[rows]
    width = int(counts.max())
    slot = np.arange(width)
    mask = slot < counts[:, None]
    index = np.where(mask, starts[rows][:, None] + slot, 0)

    def padded(values: np.ndarray) -> Tensor:
        shape = mask.shape + (1,) * (values.ndim - 1)
        return torch.from_numpy(np.where(mask.reshape(shape), values[index], 0))

    def single(values: np.ndarray) -> Tensor:
        return torch.from_numpy(values.astype(np.float32))

    return CoarseBatch(
        k=single(data.k[rows]),
        descriptors=single(data.descriptors[rows]),
        properties=single(data.properties[rows]),
        centres=padded(data.centres).float(),
        embeddings=padded(data.embeddings).float(),
        features=padded(data.features).float(),
        kinds=padded(data.kinds),
        connections=padded(data.connections),
        mask=torch.from_numpy(mask),
    )


def count_metals(batch: CoarseBatch) -> Tensor:
    """Metal blocks of each MOF; (B,)."""
    return ((batch.kinds == NODE) & batch.mask).sum(1)
