"""`MOFTable`: many coarse-grained MOFs as flat arrays, and their HDF5 file of kind "mof-blocks".

The same layout holds what `fragment` cuts (posed), what `sample mofdiff` draws (unposed: no `rotations`, no
`connections`) and the decoding library (blocks without MOFs). numpy and h5py only: a host that trains reads it.

Groups: `blocks/` (kind, identity, n_atoms, n_bonds, n_connections; flat: numbers, cart_coords, bonds, bond_orders,
connection_coords, connection_atoms), `identities/` (names, ecfp4 as packed bits), `mofs/` (names, lattice, n_blocks,
n_connections), `places/` (block, centres, nets, rotations), `connections/` (blocks, points, images) or, of unposed MOFs
of known nets, `edges/` (blocks, images), `mofs/n_edges` and `places/turns` where all have rotations to begin with, and
`properties/<name>`, NaN where not known; what `fragment` writes has the MOFs' identities in `mofs/identities_v2`.
Lengths in Angstrom, centres fractional.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import h5py
import numpy as np

from crystaltool.errors import InputError
from crystaltool.io.byte_streams import SeekableReader
from crystaltool.io.hdf5_input import FORMAT, open_checked
from crystaltool.io.hdf5_output import through_memory
from crystaltool.mof.blocks import BuildingBlock, CoarseMOF, Connections, Edges, assert_block, assert_coarse
from crystaltool.mof.table_layout import FINGERPRINT_BYTES, IDENTITIES, LAYOUT, NETS, POSED, RAGGED, TURNS, check_arrays

MOF_KIND = "mof-blocks"


@dataclass(frozen=True)
class MOFTable:
    """Arrays by the names of the layout, names as text.

    `table[i]` is a `CoarseMOF`, `table.block(j)` a `BuildingBlock`; `len(table)` counts MOFs.
    """

    arrays: dict[str, np.ndarray]
    identity_names: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    properties: dict[str, np.ndarray] = field(default_factory=dict)
    identities: tuple[str, ...] = ()
    _starts: dict[str, np.ndarray] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        starts = {
            axis: np.concatenate([[0], np.cumsum(self.arrays[counts], dtype=np.int64)])
            for axis, counts in RAGGED.items()
            if counts in self.arrays
        }
        object.__setattr__(self, "_starts", starts)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def n_blocks(self) -> int:
        """Number of blocks in the table."""
        return len(self.arrays["blocks/kind"])

    @property
    def posed(self) -> bool:
        """Whether rotations and connections are known."""
        return "places/rotations" in self.arrays

    @property
    def has_nets(self) -> bool:
        """Whether the nets of unposed MOFs are known."""
        return NETS[0] in self.arrays

    def span(self, axis: str, index: int) -> slice:
        """Rows of a ragged axis ("block atom", "block bond", "block point", "place", "connection") of an owner."""
        starts = self._starts[axis]
        return slice(int(starts[index]), int(starts[index + 1]))

    def block(self, index: int) -> BuildingBlock:
        """A block of the table."""
        a = self.arrays
        atoms, bonds, points = (self.span(f"block {axis}", index) for axis in ("atom", "bond", "point"))
        identity = int(a["blocks/identity"][index])
        coords = a["blocks/connection_coords"][points].astype(np.float64)
        middle = coords.mean(axis=0)  # single precision leaves the centre 1e-6 A off
        return BuildingBlock(
            kind=int(a["blocks/kind"][index]),
            numbers=a["blocks/numbers"][atoms].astype(np.int64),
            cart_coords=a["blocks/cart_coords"][atoms].astype(np.float64) - middle,
            bonds=a["blocks/bonds"][bonds].astype(np.int64),
            bond_orders=a["blocks/bond_orders"][bonds].astype(np.float64),
            connection_coords=coords - middle,
            connection_atoms=a["blocks/connection_atoms"][points].astype(np.int64),
            identity=self.identity_names[identity] if identity >= 0 else "",
        )

    def __getitem__(self, index: int) -> CoarseMOF:
        if not 0 <= index < len(self):
            raise IndexError(index)
        a = self.arrays
        places, ends = self.span("place", index), self.span("connection", index)
        connections = None
        if self.posed:
            connections = Connections(
                *(a[f"connections/{key}"][ends].astype(np.int64) for key in ("blocks", "points", "images"))
            )
        edges = None
        if self.has_nets:
            span = self.span("edge", index)
            edges = Edges(*(a[f"edges/{key}"][span].astype(np.int64) for key in ("blocks", "images")))
        return CoarseMOF(
            lattice=a["mofs/lattice"][index],
            blocks=tuple(self.block(int(block)) for block in a["places/block"][places]),
            centres=a["places/centres"][places],
            rotations=a["places/rotations"][places] if self.posed else None,
            connections=connections,
            edges=edges,
            turns=a[TURNS[0]][places] if TURNS[0] in a else None,
            nets=a["places/nets"][places].astype(np.int64),
            name=self.names[index],
            identity=self.identities[index] if self.identities else "",
            properties={
                key: float(values[index]) for key, values in self.properties.items() if np.isfinite(values[index])
            },
        )


class TableBuilder:
    """Collects MOFs and blocks into a `MOFTable`; all MOFs posed, or none; the nets of all known, or of none."""

    def __init__(self) -> None:
        self._chunks: dict[str, list[np.ndarray]] = {name: [] for name in LAYOUT}
        self._identities: dict[str, int] = {}
        self._names: list[str] = []
        self._mof_identities: list[str] = []
        self._properties: list[Mapping[str, float]] = []
        self._n_blocks = 0
        self._posed: bool | None = None
        self._has_nets: bool | None = None
        self._has_turns = True

    def add_block(self, block: BuildingBlock, ecfp4: np.ndarray | None = None) -> int:
        """Add a block and return its number.

        Args:
            block: the block.
            ecfp4: packed bits of its fingerprint, shape (256,); kept for the first block of an identity.
        """
        if block.identity not in self._identities:
            self._identities[block.identity] = len(self._identities)
            bits = np.zeros(FINGERPRINT_BYTES, dtype=np.uint8) if ecfp4 is None else ecfp4
            self._chunks["identities/ecfp4"].append(bits[None])
        values = {
            "kind": [block.kind],
            "identity": [self._identities[block.identity]],
            "n_atoms": [block.n_atoms],
            "n_bonds": [len(block.bonds)],
            "n_connections": [block.n_connections],
            "numbers": block.numbers,
            "cart_coords": block.cart_coords,
            "bonds": block.bonds,
            "bond_orders": block.bond_orders,
            "connection_coords": block.connection_coords,
            "connection_atoms": block.connection_atoms,
        }
        for key, value in values.items():
            self._chunks[f"blocks/{key}"].append(np.asarray(value))
        self._n_blocks += 1
        return self._n_blocks - 1

    def add(self, mof: CoarseMOF, ecfp4: Sequence[np.ndarray] | None = None, numbers: Sequence[int] = ()) -> None:
        """Add a MOF with its blocks.

        Args:
            mof: the MOF.
            ecfp4: the fingerprint of each block.
            numbers: those of its blocks if `add_block` took them already.

        Raises:
            InputError: posed and unposed MOFs in one table, or unposed ones of known and of unknown nets.
        """
        posed = mof.rotations is not None and mof.connections is not None
        if self._posed is not None and self._posed != posed:
            raise InputError("posed and unposed MOFs do not go into one file")
        has_nets = mof.edges is not None and not posed
        if self._has_nets is not None and self._has_nets != has_nets:
            raise InputError("MOFs of known and of unknown nets do not go into one file")
        self._posed, self._has_nets = posed, has_nets
        self._has_turns = self._has_turns and has_nets and mof.turns is not None
        places = list(numbers) or [
            self.add_block(block, None if ecfp4 is None else ecfp4[k]) for k, block in enumerate(mof.blocks)
        ]
        ends = mof.connections
        values = {
            "mofs/lattice": mof.lattice[None],
            "mofs/n_blocks": [mof.n_blocks],
            "mofs/n_connections": [0 if ends is None else len(ends)],
            "places/block": places,
            "places/centres": mof.centres,
            "places/nets": np.zeros(mof.n_blocks) if mof.nets is None else mof.nets,
        }
        if posed and ends is not None and mof.rotations is not None:
            values |= {
                "places/rotations": mof.rotations,
                "connections/blocks": ends.blocks,
                "connections/points": ends.points,
                "connections/images": ends.images,
            }
        if has_nets and mof.edges is not None:
            values |= {
                "mofs/n_edges": [len(mof.edges)],
                "edges/blocks": mof.edges.blocks,
                "edges/images": mof.edges.images,
            }
        if mof.turns is not None:
            values["places/turns"] = mof.turns
        for key, value in values.items():
            self._chunks[key].append(np.asarray(value))
        self._names.append(mof.name)
        self._mof_identities.append(mof.identity)
        self._properties.append(dict(mof.properties))

    def _optional(self) -> tuple[tuple[tuple[str, ...], bool | None], ...]:
        """Data sets that not every table has, and whether this one has them."""
        return (POSED, self._posed), (NETS, self._has_nets), (TURNS, self._has_turns)

    def table(self) -> MOFTable:
        """Everything collected; rotations to begin with only if all MOFs have them."""
        arrays = {}
        for name, (_, rest, dtype) in LAYOUT.items():
            if any(name in keys and not there for keys, there in self._optional()):
                continue
            chunks = [np.zeros((0, *rest), dtype=dtype), *(chunk.reshape(-1, *rest) for chunk in self._chunks[name])]
            arrays[name] = np.concatenate(chunks).astype(dtype)
        keys = dict.fromkeys(key for row in self._properties for key in row)
        properties = {key: np.array([row.get(key, np.nan) for row in self._properties], dtype=float) for key in keys}
        known = tuple(self._mof_identities) if any(self._mof_identities) else ()
        return MOFTable(arrays, tuple(self._identities), tuple(self._names), properties, known)


def tabulate(mofs: Iterable[CoarseMOF]) -> MOFTable:
    """A table of MOFs whose blocks carry identities but no fingerprints."""
    builder = TableBuilder()
    for mof in mofs:
        builder.add(mof)
    return builder.table()


def write_mofs(target: str | Path | BytesIO, table: MOFTable, history: Sequence[str] = ()) -> None:
    """Write a table; give a temporary of `io.atomic` as target, so that it appears whole.

    Raises:
        InputError: a property whose name has a slash.
    """
    with through_memory(target) as memory, h5py.File(memory, "w") as file:
        file.attrs["crystaltool_format"] = FORMAT
        file.attrs["kind"] = MOF_KIND
        file.attrs["history"] = "\n".join(history)
        texts = {"identities/names": table.identity_names, "mofs/names": table.names}
        if table.identities:
            texts[IDENTITIES] = table.identities
        values = {**table.arrays, **{key: _encode(names) for key, names in texts.items()}}
        for key, column in sorted(table.properties.items()):  # as they are read again: a joined file has the same bytes
            if "/" in key:
                raise InputError(f"property {key!r} has a slash in its name")
            values[f"properties/{key}"] = np.asarray(column, dtype=np.float64)
        for key, column in values.items():
            packing = {"compression": "gzip", "compression_opts": 4, "shuffle": True} if column.size else {}
            file.create_dataset(key, data=column, **packing)


def _encode(names: Sequence[str]) -> np.ndarray:
    return np.array([name.encode("utf-8") for name in names] or [b""], dtype=bytes)[: len(names)]


def read_mofs(path: str | Path | SeekableReader, label: str = "") -> MOFTable:
    """Read a table and check every value that anything downstream relies on.

    Raises:
        InputError: as `open_checked`, or arrays that do not fit together, or values out of range.
    """
    name = label or (str(path) if isinstance(path, (str, Path)) else "HDF5 input")
    with open_checked(path, MOF_KIND, name) as file:
        left_out = {key for keys in (POSED, NETS, TURNS) if not all(key in file for key in keys) for key in keys}
        wanted = {key: item for key, item in LAYOUT.items() if key not in left_out}
        arrays = {key: _read(file, key, rest, dtype, name) for key, (_, rest, dtype) in wanted.items()}
        listed = ("identities/names", "mofs/names", *((IDENTITIES,) if IDENTITIES in file else ()))
        texts = {key: _texts(file, key, name) for key in listed}
        properties = {key: _read(file, f"properties/{key}", (), "f8", name) for key in file.get("properties", {})}
    check_arrays(arrays, texts, properties, name)
    table = MOFTable(arrays, texts["identities/names"], texts["mofs/names"], properties, texts.get(IDENTITIES, ()))
    for index in range(table.n_blocks):
        try:
            assert_block(table.block(index))
        except InputError as error:
            raise InputError(f"{name}: block {index}: {error}") from None
    for index in range(len(table)):
        try:
            assert_coarse(table[index])
        except InputError as error:
            raise InputError(f"{name}: MOF {table.names[index] or index}: {error}") from None
    return table


def _read(file: h5py.File, key: str, rest: tuple[int, ...], dtype: str, name: str) -> np.ndarray:
    item = file.get(key)
    if not isinstance(item, h5py.Dataset):
        raise InputError(f"{name}: no data set {key!r}")
    if item.dtype.kind != np.dtype(dtype).kind or item.shape[1:] != rest or item.ndim != 1 + len(rest):
        raise InputError(
            f"{name}: data set {key!r} is {item.dtype} {item.shape}, expected {dtype} of shape (n, *{rest})"
        )
    return item[...].astype(dtype)


def _texts(file: h5py.File, key: str, name: str) -> tuple[str, ...]:
    item = file.get(key)
    if not isinstance(item, h5py.Dataset) or item.dtype.kind != "S" or item.ndim != 1:
        raise InputError(f"{name}: no list of names {key!r}")
    try:
        return tuple(str(text, "utf-8") for text in item[...].tolist())
    except UnicodeDecodeError:
        raise InputError(f"{name}: names are not UTF-8") from None
