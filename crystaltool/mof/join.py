"""Several tables of MOFs as one: what one run of `crystaltool fragment` or `sample mofdiff` over all writes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crystaltool.errors import InputError
from crystaltool.mof.table import MOFTable, TableBuilder
from crystaltool.mof.table_layout import LAYOUT, RAGGED


def join_mofs(tables: Sequence[MOFTable]) -> MOFTable:
    """The MOFs of tables, one after the other, identities in the order in which they appear.

    Of sampled MOFs, which share the blocks of a library, each block stands once.

    Raises:
        InputError: sampled MOFs and cut ones, or sampled ones of known and of unknown nets.
    """
    full = [table for table in tables if len(table)]
    if len({(table.posed, table.has_nets) for table in full}) > 1:
        raise InputError("files of fragment and of sample, or of sample with and without nets, are not joined")
    if not full:
        return TableBuilder().table()
    numbers: dict[str, int] = {}
    fingerprints, arrays = [], {name: [] for name in full[0].arrays if all(name in table.arrays for table in full)}
    n_blocks = 0
    for table in full:
        for name, bits in zip(table.identity_names, table.arrays["identities/ecfp4"], strict=True):
            if name not in numbers:
                numbers[name] = len(numbers)
                fingerprints.append(bits)
        moved = {
            "blocks/identity": np.array([numbers[name] for name in table.identity_names], dtype=np.int64)[
                table.arrays["blocks/identity"]
            ],
            "places/block": table.arrays["places/block"].astype(np.int64) + n_blocks,
        }
        for name, parts in arrays.items():
            parts.append(moved.get(name, table.arrays[name]).astype(table.arrays[name].dtype))
        n_blocks += table.n_blocks
    joined = {name: np.concatenate(parts) for name, parts in arrays.items()}
    joined["identities/ecfp4"] = np.array(fingerprints, dtype=np.uint8)
    keys = dict.fromkeys(key for table in full for key in table.properties)
    properties = {
        key: np.concatenate([table.properties.get(key, np.full(len(table), np.nan)) for table in full]) for key in keys
    }
    identities = tuple(text for table in full for text in (table.identities or ("",) * len(table)))
    names = tuple(name for table in full for name in table.names)
    if not full[0].posed:
        joined = _each_block_once(joined)
    return MOFTable(joined, tuple(numbers), names, properties, identities if any(identities) else ())


def _each_block_once(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays with the first of equal blocks alone, in whose place it then stands."""
    names = [name for name, (axis, _, _) in LAYOUT.items() if axis.split()[0] == "block"]
    n_blocks = len(arrays["blocks/kind"])
    parts: dict[str, list[np.ndarray]] = {}
    for name in names:
        counts = RAGGED.get(LAYOUT[name][0])
        ends = np.arange(1, n_blocks + 1) if counts is None else np.cumsum(arrays[counts], dtype=np.int64)
        parts[name] = np.split(arrays[name], ends[:-1])
    seen: dict[bytes, int] = {}
    number = np.empty(n_blocks, dtype=np.int64)
    kept = []
    for block in range(n_blocks):
        key = b"|".join(parts[name][block].tobytes() for name in names)
        if key not in seen:
            seen[key] = len(kept)
            kept.append(block)
        number[block] = seen[key]
    chosen = {name: np.concatenate([parts[name][block] for block in kept]) for name in names}
    place = arrays["places/block"]
    return arrays | chosen | {"places/block": number[place].astype(place.dtype)}
