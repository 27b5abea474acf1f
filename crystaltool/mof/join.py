"""Several tables of MOFs as one: what one run of `crystaltool fragment` over all their structures writes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crystaltool.errors import InputError
from crystaltool.mof.table import MOFTable, TableBuilder


def join_mofs(tables: Sequence[MOFTable]) -> MOFTable:
    """The MOFs of posed tables, one after the other, identities in the order in which they appear.

    Raises:
        InputError: a table of MOFs as they are sampled, whose blocks are those of a library.
    """
    full = [table for table in tables if len(table)]
    if not all(table.posed for table in full):
        raise InputError("files of sampled MOFs are not joined; assemble takes several")
    if not full:
        return TableBuilder().table()
    numbers: dict[str, int] = {}
    fingerprints, arrays = [], {name: [] for name in full[0].arrays}
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
    return MOFTable(joined, tuple(numbers), names, properties, identities if any(identities) else ())
