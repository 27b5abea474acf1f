"""The store: HDF5 data sets of asymmetric units.

Layout of `kind` "asym-unit", flat and ragged: `group` (n,), `lattice` (n, 3, 3), `n_orbits` (n,), `names` (n,) and,
orbit by orbit, `numbers`, `positions`, `free_coords` (total, 3); optional numbers `properties/<name>` (n,), NaN where
not known, and `texts/<name>` (n,), empty where not known. Root attributes: `crystaltool_format`, `kind`, `history` (a
line per command).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path

import h5py
import numpy as np

from crystaltool.arrays import Float
from crystaltool.asymunit import AsymUnit, AsymUnitTable
from crystaltool.crystal import MAX_ATOMIC_NUMBER
from crystaltool.errors import CrystaltoolError, InputError
from crystaltool.io.byte_streams import SeekableReader
from crystaltool.io.hdf5_input import FORMAT, open_checked
from crystaltool.io.hdf5_output import through_memory
from crystaltool.io.records import BadRecord, Raw, StoredUnit
from crystaltool.numerals import LARGEST
from crystaltool.symmetry.space_group import N_GROUPS, tables

ASYM_UNIT_KIND = "asym-unit"
UNFINISHED = {
    "mof-blocks": "it holds building blocks of MOFs, no structures: assemble it first (crystaltool assemble)",
    "block-embeddings": "it holds embeddings of building blocks, no structures",
    "training-state": "it holds the state of a training run, no structures",
}
"""Kinds of our files that hold no structures yet, and what to say of them where structures are wanted."""

_SHAPES = {  # name: (shape after the first axis, along orbits?, kinds of dtype)
    "group": ((), False, "iu"),
    "lattice": ((3, 3), False, "f"),
    "n_orbits": ((), False, "iu"),
    "names": ((), False, "S"),
    "numbers": ((), True, "iu"),
    "positions": ((), True, "iu"),
    "free_coords": ((3,), True, "f"),
}


def write_asym_units(
    target: str | Path | BytesIO,
    table: AsymUnitTable,
    history: Sequence[str] = (),
    properties: Mapping[str, Float[np.ndarray, " n"]] | None = None,
    texts: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Write a data set; give a temporary of `io.atomic` as target, so that it appears whole.

    Raises:
        InputError: a property is not one number, or a text not one per crystal, or its name has a slash.
    """
    columns = {
        "group": table.group.astype(np.int16),
        "lattice": table.lattice.astype(np.float64),
        "n_orbits": table.n_orbits.astype(np.int16),
        "names": _fixed_length(table.names),
        "numbers": table.numbers.astype(np.int16),
        "positions": table.positions.astype(np.int16),
        "free_coords": table.free_coords.astype(np.float64),
    }
    with through_memory(target) as memory, h5py.File(memory, "w") as file:
        file.attrs["crystaltool_format"] = FORMAT
        file.attrs["kind"] = ASYM_UNIT_KIND
        file.attrs["history"] = "\n".join(history)
        for name, values in columns.items():
            _store(file, name, values)
        for name, values in (properties or {}).items():
            if np.shape(values) != (len(table),) or "/" in name:
                raise InputError(f"property {name!r} has the shape {np.shape(values)}, expected ({len(table)},)")
            _store(file, f"properties/{name}", np.asarray(values, dtype=np.float64))
        for name, lines in (texts or {}).items():
            if len(lines) != len(table) or "/" in name:
                raise InputError(f"text {name!r} has {len(lines)} values, expected {len(table)}")
            _store(file, f"texts/{name}", _fixed_length(lines))


def _fixed_length(lines: Sequence[str]) -> np.ndarray:
    """UTF-8 text in fields of one length."""
    return np.array([line.encode("utf-8") for line in lines] or [b""], dtype=bytes)[: len(lines)]


def _store(file: h5py.File, name: str, values: np.ndarray) -> None:
    packing = {"compression": "gzip", "compression_opts": 4, "shuffle": True} if values.size else {}
    file.create_dataset(name, data=values, **packing)


def read_asym_units(path: str | Path | SeekableReader, label: str = "") -> AsymUnitTable:
    """Read a data set and check every value that anything downstream relies on.

    Raises:
        InputError: as `open_checked`, or arrays that do not fit together, or values out of range.
    """
    name = label or (str(path) if isinstance(path, (str, Path)) else "HDF5 input")
    with open_checked(path, ASYM_UNIT_KIND, name) as file:
        arrays = _arrays(file, name)
        names = tuple(str(text, "utf-8") for text in arrays["names"].tolist())
    table = AsymUnitTable(
        group=arrays["group"].astype(np.int64),
        lattice=arrays["lattice"].astype(np.float64),
        n_orbits=arrays["n_orbits"].astype(np.int64),
        numbers=arrays["numbers"].astype(np.int64),
        positions=arrays["positions"].astype(np.int64),
        free_coords=arrays["free_coords"].astype(np.float64),
        names=names,
    )
    _check_table(table, name)
    return table


def _arrays(file: h5py.File, name: str) -> dict[str, np.ndarray]:
    """The seven arrays, their shapes checked before anything is read."""
    for key, (_, _, kinds) in _SHAPES.items():
        if not isinstance(file.get(key), h5py.Dataset):
            raise InputError(f"{name}: no data set {key!r}")
        if file[key].dtype.kind not in kinds:
            raise InputError(f"{name}: data set {key!r} has the type {file[key].dtype}")
    lengths = {along: file["numbers" if along else "group"].shape[:1] for along in (False, True)}
    for key, (rest, along, _) in _SHAPES.items():
        if file[key].shape != lengths[along] + rest:
            raise InputError(
                f"{name}: data set {key!r} has the shape {file[key].shape}, expected {lengths[along] + rest}"
            )
    return {key: file[key][...] for key in _SHAPES}


def _check_table(table: AsymUnitTable, name: str) -> None:
    def refuse(bad, text: str) -> None:
        if bad.any():
            index = int(np.argmax(bad))
            raise InputError(f"{name}: {text} (entry {index})")

    if int(table.n_orbits.sum()) != len(table.numbers):
        raise InputError(
            f"{name}: n_orbits add up to {int(table.n_orbits.sum())}, there are {len(table.numbers)} orbits"
        )
    refuse(table.n_orbits < 1, "a crystal without orbits")
    refuse((table.group < 1) | (table.group > N_GROUPS), f"space group outside 1-{N_GROUPS}")
    refuse((table.numbers < 1) | (table.numbers > MAX_ATOMIC_NUMBER), f"atomic number outside 1-{MAX_ATOMIC_NUMBER}")
    refuse(~(np.abs(table.free_coords) <= LARGEST).all(axis=1), "a coordinate that is not finite")
    refuse(~(np.abs(table.lattice) <= LARGEST).all(axis=(1, 2)), "a cell that is not finite")
    refuse(np.linalg.det(table.lattice) <= 1e-6, "a cell without volume")
    last = tables()["n_positions"].astype(np.int64)[np.repeat(table.group, table.n_orbits) - 1]
    refuse((table.positions < 0) | (table.positions >= last), "a Wyckoff position that the group does not have")


def read_properties(path: str | Path | SeekableReader, label: str = "") -> dict[str, Float[np.ndarray, " n"]]:
    """The per-crystal properties of a data set, empty if it has none.

    Raises:
        InputError: as `open_checked`, or a property is not one number per crystal.
    """
    found = _columns(path, label, "properties", "fiu", "one number")
    return {key: values.astype(np.float64) for key, values in found.items()}


def read_texts(path: str | Path | SeekableReader, label: str = "") -> dict[str, list[str]]:
    """The texts of a data set, one of each name per crystal, empty if it has none.

    Raises:
        InputError: as `open_checked`, or a column is not one text per crystal.
    """
    found = _columns(path, label, "texts", "S", "one text")
    return {key: [str(text, "utf-8", "replace") for text in values.tolist()] for key, values in found.items()}


def _columns(
    path: str | Path | SeekableReader, label: str, group_name: str, kinds: str, what: str
) -> dict[str, np.ndarray]:
    with open_checked(path, ASYM_UNIT_KIND, label) as file:
        group, found = file.get(group_name), {}
        for key in group if isinstance(group, h5py.Group) else ():
            values = group[key]
            if (
                not isinstance(values, h5py.Dataset)
                or values.dtype.kind not in kinds
                or values.shape != file["group"].shape
            ):
                raise InputError(f"{label or path}: property {key!r} is not {what} per crystal")
            found[key] = values[...]
        return found


def read_history(path: str | Path | SeekableReader, label: str = "") -> tuple[str, ...]:
    """The history lines of a file of ours."""
    with open_checked(path, None, label) as file:
        text = file.attrs.get("history", "")
        return tuple(line for line in str(text).splitlines() if line.strip())


def stored_units(stream: SeekableReader, label: str) -> Iterator[tuple[str, AsymUnit, dict[str, str]]]:
    """Names, asymmetric units and properties of the crystals in a data set, in order.

    Raises:
        InputError: as `read_asym_units`; of a file of ours without structures it says what to do with it.
    """
    from crystaltool.io.cif_format import property_name  # gemmi: not needed by a host that only trains

    with open_checked(stream, None, label) as file:
        kind = file.attrs.get("kind")
        if kind in UNFINISHED:
            raise InputError(f"{label}: HDF5 of kind {kind!r}, {UNFINISHED[kind]}")
    table = read_asym_units(stream, label)
    columns = {property_name(key): values for key, values in read_texts(stream, label).items()}
    numbers = read_properties(stream, label)
    columns |= {property_name(key): [_shortest(value) for value in values.tolist()] for key, values in numbers.items()}
    for index, unit in enumerate(table):
        known = {key: values[index] for key, values in columns.items() if key and values[index]}
        yield unit.name or f"entry-{index:06d}", unit, known


def _shortest(value: float) -> str:
    """The shortest text that reads back as the number; empty for NaN."""
    return "" if value != value else repr(value).removesuffix(".0")


def asym_unit_texts(stream: SeekableReader, label: str) -> Iterator[tuple[str, str]]:
    """Names and CIF texts of the crystals in a data set, for commands that read streams of blocks.

    Raises:
        InputError: as `stored_units`.
    """
    from crystaltool.io.cif_format import format_asym_unit

    history = read_history(stream, label)
    for index, (name, unit, properties) in enumerate(stored_units(stream, label)):
        try:
            yield name, format_asym_unit(unit, name, history, properties)
        except CrystaltoolError as error:
            raise InputError(f"{label}: entry {index}: {error}") from None


def stored_blocks(stream: SeekableReader, source: str) -> Iterator[Raw]:
    """The asymmetric units of a data set as they are, for `io.stream.iter_raw`."""
    from crystaltool.io.cif_format import clean_name

    try:
        history = read_history(stream, source)
        for name, unit, properties in stored_units(stream, source):
            yield StoredUnit(
                source, 0, clean_name(name), "", has_id=True, unit=unit, properties=properties, history=history
            )
    except InputError as error:
        yield BadRecord(source, 0, "", str(error))
