"""The data sets of a `MOFTable` and of its file: names, shapes, types, and how their lengths belong together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from crystaltool.crystal import MAX_ATOMIC_NUMBER
from crystaltool.errors import InputError
from crystaltool.numerals import LARGEST

FINGERPRINT_BYTES = 256
"""2,048 bits."""

LAYOUT: dict[str, tuple[str, tuple[int, ...], str]] = {
    "blocks/kind": ("block", (), "i1"),
    "blocks/identity": ("block", (), "i4"),
    "blocks/n_atoms": ("block", (), "i4"),
    "blocks/n_bonds": ("block", (), "i4"),
    "blocks/n_connections": ("block", (), "i4"),
    "blocks/numbers": ("block atom", (), "i2"),
    "blocks/cart_coords": ("block atom", (3,), "f4"),
    "blocks/bonds": ("block bond", (2,), "i2"),
    "blocks/bond_orders": ("block bond", (), "f4"),
    "blocks/connection_coords": ("block point", (3,), "f4"),
    "blocks/connection_atoms": ("block point", (), "i2"),
    "identities/ecfp4": ("identity", (FINGERPRINT_BYTES,), "u1"),
    "mofs/lattice": ("mof", (3, 3), "f8"),
    "mofs/n_blocks": ("mof", (), "i4"),
    "mofs/n_connections": ("mof", (), "i4"),
    "places/block": ("place", (), "i4"),
    "places/centres": ("place", (3,), "f8"),
    "places/nets": ("place", (), "i2"),
    "places/rotations": ("place", (3, 3), "f8"),
    "connections/blocks": ("connection", (2,), "i2"),
    "connections/points": ("connection", (2,), "i2"),
    "connections/images": ("connection", (3,), "i2"),
    "mofs/n_edges": ("mof", (), "i4"),
    "edges/blocks": ("edge", (2,), "i2"),
    "edges/images": ("edge", (3,), "i2"),
    "places/turns": ("place", (3, 3), "f8"),
}
"""Of each data set: the axis it runs along, the rest of its shape, its type."""

POSED = ("places/rotations", "connections/blocks", "connections/points", "connections/images")
NETS = ("mofs/n_edges", "edges/blocks", "edges/images")
"""What a table has if its MOFs' nets are known and their poses are not."""

TURNS = ("places/turns",)
"""What it has if assembly may begin from rotations that are known."""

IDENTITIES = "mofs/identities_v2"
"""Texts that a file may have; those of another version have another name and are found again."""

RAGGED = {
    "block atom": "blocks/n_atoms",
    "block bond": "blocks/n_bonds",
    "block point": "blocks/n_connections",
    "place": "mofs/n_blocks",
    "connection": "mofs/n_connections",
    "edge": "mofs/n_edges",
}
"""What counts the entries of an axis for each of its owners."""


def check_arrays(
    arrays: Mapping[str, np.ndarray],
    texts: Mapping[str, Sequence[str]],
    properties: Mapping[str, np.ndarray],
    name: str,
) -> None:
    """Lengths and references; what single blocks and MOFs must hold is asserted on them.

    Raises:
        InputError: with what does not fit.
    """

    def refuse(bad, text: str) -> None:
        if np.any(bad):
            raise InputError(f"{name}: {text}")

    lengths = {
        "block": len(arrays["blocks/kind"]),
        "identity": len(texts["identities/names"]),
        "mof": len(texts["mofs/names"]),
    }
    posed = "places/rotations" in arrays
    for axis, counts in RAGGED.items():
        if counts not in arrays:
            continue
        refuse(arrays[counts] < 0, f"{counts} has a negative count")
        lengths[axis] = int(arrays[counts].sum(dtype=np.int64))
    for key, values in arrays.items():
        axis = LAYOUT[key][0]
        if axis == "connection" and not posed:
            continue
        if values.dtype.kind == "f":
            refuse(np.abs(values) > LARGEST, f"data set {key!r} has a number that is not finite, or beyond {LARGEST:g}")
        refuse(len(values) != lengths[axis], f"data set {key!r} has {len(values)} rows, expected {lengths[axis]}")
    refuse(len(texts.get(IDENTITIES, texts["mofs/names"])) != lengths["mof"], "identities are not one per MOF")
    for key, values in properties.items():
        refuse(len(values) != lengths["mof"], f"property {key!r} is not one number per MOF")
    numbers, identity, places = arrays["blocks/numbers"], arrays["blocks/identity"], arrays["places/block"]
    refuse((numbers < 1) | (numbers > MAX_ATOMIC_NUMBER), f"atomic number outside 1-{MAX_ATOMIC_NUMBER}")
    refuse((identity < -1) | (identity >= lengths["identity"]), "a block of an identity that is not there")
    refuse((places < 0) | (places >= lengths["block"]), "a place for a block that is not there")
