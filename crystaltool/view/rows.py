"""What HDF5 files of ours hold besides structures, as rows with fields: building blocks and their embeddings.

Building blocks are listed by what they are chemically: a row is an identity, however many conformations of it the file
has. The files are read whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from crystaltool.errors import InputError
from crystaltool.io.byte_streams import SeekableReader
from crystaltool.io.hdf5_input import open_checked
from crystaltool.io.names import file_stem
from crystaltool.io.records import BadRecord, Raw, RawBlock
from crystaltool.io.stream import asym_unit_blocks
from crystaltool.mof.blocks import KINDS
from crystaltool.units import SYMBOLS
from crystaltool.view.fields import FIELDS, FORMULA, NUMBER, SET, TEXT, Field, Record
from crystaltool.view.values import Formula, Value

EMBEDDING_KIND = "block-embeddings"
"""Stands also in models/block_encoder/embedding_file.py, which loads torch; a test compares them."""

STRUCTURES, BLOCKS, EMBEDDINGS = "structures", "building blocks", "embeddings"
"""What a stream is of."""


@dataclass(frozen=True)
class Row(RawBlock):
    """A row that is no structure: what it is one of, and the values of its fields."""

    of: str = BLOCKS
    values: Mapping[str, Value | None] = field(default_factory=dict)


class RowRecord:
    """The fields of a row, as `fields.Record` has those of a structure."""

    def __init__(self, raw: Row) -> None:
        self.raw = raw

    def get(self, name: str) -> Value | None:
        """The value of a field, None where it is not known."""
        return {"name": self.raw.name, "source": self.raw.source}.get(name) or self.raw.values.get(name)


def _of(name: str, kind: str, meaning: str, choices: tuple[str, ...] = ()) -> tuple[str, Field]:
    return name, Field(kind, meaning, lambda record: record.get(name), choices)


_COMMON = (_of("name", TEXT, "name of the row"), _of("source", TEXT, "file that it came from"))

BLOCK_FIELDS: dict[str, Field] = dict(
    [
        *_COMMON,
        _of("kind", TEXT, "node, linker or bridge", KINDS),
        _of("identity", TEXT, "SMILES of a linker, * where it binds a metal; else formula, connections and hash"),
        _of("formula", FORMULA, "formula of the block"),
        _of("elements", SET, "symbols of its elements"),
        _of("n_elements", NUMBER, "number of elements"),
        _of("n_atoms", NUMBER, "number of atoms"),
        _of("n_connections", NUMBER, "number of connection points"),
        _of("n_blocks", NUMBER, "blocks of this identity in the file, one a conformation"),
        _of("count", NUMBER, "places of MOFs that it takes"),
        _of("n_mofs", NUMBER, "MOFs that have it"),
    ]
)

EMBEDDING_FIELDS: dict[str, Field] = dict(
    [
        *_COMMON,
        _of("block", NUMBER, "number of the block in the file of blocks, from 0"),
        _of("identity_row", NUMBER, "number of its identity in the file of blocks, from 0"),
        _of("norm", NUMBER, "length of the vector"),
        _of("embedding", TEXT, "its numbers, joined by blanks"),
    ]
)

TABLES: dict[str, dict[str, Field]] = {STRUCTURES: FIELDS, BLOCKS: BLOCK_FIELDS, EMBEDDINGS: EMBEDDING_FIELDS}

COLUMNS: dict[str, tuple[str, ...]] = {
    STRUCTURES: ("name", "reduced_formula", "space_group", "n_atoms", "volume", "density"),
    BLOCKS: ("name", "kind", "identity", "formula", "n_atoms", "n_connections", "n_blocks", "count"),
    EMBEDDINGS: ("name", "block", "identity_row", "norm"),
}
"""Columns of a table for which none are named."""

_PERCEIVED = ("kind", "nodes", "linkers", "net", "identity")

ALL_COLUMNS: dict[str, tuple[str, ...]] = {
    STRUCTURES: tuple(name for name in FIELDS if name not in _PERCEIVED),
    BLOCKS: tuple(BLOCK_FIELDS),
    EMBEDDINGS: tuple(EMBEDDING_FIELDS),
}
"""Those of JSON; what needs bonds to be perceived is asked for by name."""


def kind_of_row(raw: RawBlock) -> str:
    """What a record is of: STRUCTURES, BLOCKS or EMBEDDINGS."""
    return raw.of if isinstance(raw, Row) else STRUCTURES


def record_of(raw: RawBlock) -> Record | RowRecord:
    """The record with the fields of a raw one."""
    return RowRecord(raw) if isinstance(raw, Row) else Record(raw)


def hdf5_rows(stream: SeekableReader, source: str) -> Iterator[Raw]:
    """Everything in an HDF5 file of ours: structures of a data set, building blocks, embeddings."""
    from crystaltool.mof.table import MOF_KIND

    try:
        with open_checked(stream, None, source) as file:
            kind = file.attrs.get("kind")
        if kind == MOF_KIND:
            yield from _block_rows(stream, source)
        elif kind == EMBEDDING_KIND:
            yield from _embedding_rows(stream, source)
        else:
            yield from asym_unit_blocks(stream, source)
    except InputError as error:
        yield BadRecord(source, 0, "", str(error))


def _block_rows(stream: SeekableReader, source: str) -> Iterator[Row]:
    from crystaltool.mof.table import read_mofs

    table = read_mofs(stream, source)
    of_block = table.arrays["blocks/identity"].astype(np.int64)
    kinds = table.arrays["blocks/kind"].astype(np.int64)
    unnamed = of_block < 0  # each is one of its own
    of_block[unnamed] = len(table.identity_names) + np.arange(unnamed.sum())
    key = of_block * len(KINDS) + kinds
    groups, first, group_of = np.unique(key, return_index=True, return_inverse=True)
    places = group_of[table.arrays["places/block"]]
    mofs = np.repeat(np.arange(len(table)), table.arrays["mofs/n_blocks"])
    counts = np.bincount(places, minlength=len(groups))
    in_mofs = np.bincount(np.unique(np.stack([places, mofs]), axis=1)[0], minlength=len(groups))
    conformations = np.bincount(group_of, minlength=len(groups))
    numbered = dict.fromkeys(KINDS, 0)
    for group in np.lexsort((first, kinds[first])).tolist():
        block = table.block(int(first[group]))
        kind = KINDS[block.kind]
        numbered[kind] += 1
        values: dict[str, Value | None] = {
            "kind": kind,
            "identity": block.identity or None,
            **_composition(block.numbers),
            "n_connections": block.n_connections,
            "n_blocks": int(conformations[group]),
            "count": int(counts[group]),
            "n_mofs": int(in_mofs[group]),
        }
        name = f"{_stem(source, BLOCKS)}-{kind}-{numbered[kind]}"
        yield Row(source, 0, name, "", form="HDF5", of=BLOCKS, values=values)


def _composition(numbers: np.ndarray) -> dict[str, Value | None]:
    kinds, counts = np.unique(numbers, return_counts=True)
    return {
        "formula": Formula(dict(zip(kinds.tolist(), counts.tolist(), strict=True))),
        "elements": frozenset(SYMBOLS[kind] for kind in kinds.tolist()),
        "n_elements": len(kinds),
        "n_atoms": len(numbers),
    }


def _embedding_rows(stream: SeekableReader, source: str) -> Iterator[Row]:
    with open_checked(stream, EMBEDDING_KIND, source) as file:
        if "embedding" not in file or "identity" not in file:
            raise InputError(f"{source}: no data sets 'embedding' and 'identity'")
        vectors, identities = file["embedding"][...], file["identity"][...]
    if (vectors.dtype.kind, identities.dtype.kind) not in (("f", "i"), ("f", "u")):
        raise InputError(f"{source}: embeddings of type {vectors.dtype}, identities of type {identities.dtype}")
    if vectors.ndim != 2 or identities.shape != vectors.shape[:1]:
        raise InputError(f"{source}: {vectors.shape} embeddings but {identities.shape} identities")
    for index, (vector, identity) in enumerate(zip(vectors, identities.tolist(), strict=True)):
        values: dict[str, Value | None] = {
            "block": index,
            "identity_row": int(identity),
            "norm": float(np.linalg.norm(vector.astype(float))),
            "embedding": " ".join(f"{value:.6g}" for value in vector.tolist()),
        }
        yield Row(source, 0, f"{_stem(source, EMBEDDINGS)}-{index}", "", form="HDF5", of=EMBEDDINGS, values=values)


def _stem(source: str, what: str) -> str:
    return what.rsplit(maxsplit=1)[-1] if source == "-" else file_stem(source)
