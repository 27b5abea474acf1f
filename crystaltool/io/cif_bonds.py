"""Bonds in a CIF block: the core dictionary's `_geom_bond_*` loop with the CCDC's bond type.

Only blocks without symmetry carry a bond graph (P 1, every label once); a loop without `_ccdc_geom_bond_type` is a list
of distances from a refinement, which need not hold every bond, and is not read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from crystaltool.arrays import Float, Int
from crystaltool.bonds import UNKNOWN_ORDER, BondGraph
from crystaltool.errors import InputError

TYPE_OF_ORDER = {1.0: "S", 2.0: "D", 3.0: "T", 1.5: "A"}
"""Single, double, triple, aromatic; any other order is written `U`, unknown."""

ORDER_OF_TYPE = {text: order for order, text in TYPE_OF_ORDER.items()}
HEADER = (
    "loop_\n_geom_bond_atom_site_label_1\n_geom_bond_atom_site_label_2\n_geom_bond_distance\n"
    "_geom_bond_site_symmetry_2\n_ccdc_geom_bond_type\n"
)
LARGEST_IMAGE = 4
"""A symmetry code counts cells from 5 with one digit: `1_195` is four cells back along a, four on along b."""

_CODE = re.compile(r"([0-9]+)(?:_([1-9]{3}))?$")
_ABSENT = ("?", ".")


def format_bonds(
    labels: Sequence[str],
    lattice: Float[np.ndarray, "3 3"],
    frac_coords: Float[np.ndarray, "n_atoms 3"],
    bonds: BondGraph,
) -> str:
    """The loop of the bonds; nothing for no bonds.

    Args:
        labels: label of every site.
        lattice: row matrix, Angstrom.
        frac_coords: coordinates as they are written.
        bonds: with images that fit those coordinates.

    Raises:
        InputError: a bond reaches over more than four cells.
    """
    if len(bonds) == 0:
        return ""
    if np.abs(bonds.images).max() > LARGEST_IMAGE:
        raise InputError(f"a bond over {np.abs(bonds.images).max()} cells, a CIF can say {LARGEST_IMAGE}")
    first, second = bonds.pairs.T
    lengths = np.linalg.norm((frac_coords[second] + bonds.images - frac_coords[first]) @ lattice, axis=1)
    rows = [
        f"{labels[i]} {labels[j]} {length:.4f} {_format_code(image)} {TYPE_OF_ORDER.get(order, 'U')}\n"
        for i, j, length, image, order in zip(
            first.tolist(), second.tolist(), lengths.tolist(), bonds.images.tolist(), bonds.orders.tolist(), strict=True
        )
    ]
    return HEADER + "".join(rows)


def parse_bonds(columns: Mapping[str, list[str]], labels: Sequence[str]) -> BondGraph | None:
    """The bonds of a block in P 1, or None where it states none or its labels are not unique.

    Args:
        columns: values of every loop column by tag in lower case.
        labels: label of every site, which is an atom.

    Raises:
        InputError: a bond to a label that no site has, or a symmetry code that is no translation.
    """
    first, second = (columns.get(f"_geom_bond_atom_site_label_{k}") for k in (1, 2))
    types = columns.get("_ccdc_geom_bond_type")
    if first is None or second is None or types is None:
        return None
    index = {label: atom for atom, label in enumerate(labels)}
    if len(index) != len(labels):
        return None
    pairs = np.array([[_atom(index, label) for label in end] for end in (first, second)], dtype=np.int64).T
    n = len(pairs)
    cells = [
        _images(columns.get(f"_geom_bond_site_symmetry_{k}") or ["."] * n, labels, pairs[:, k - 1]) for k in (1, 2)
    ]
    images = cells[1] - cells[0]
    orders = np.array([ORDER_OF_TYPE.get(text.strip("'\"").upper(), UNKNOWN_ORDER) for text in types])
    return _each_once(pairs, images, orders, labels)


def _atom(index: Mapping[str, int], label: str) -> int:
    if label not in index:
        raise InputError(f"a bond to {label}, but no site has that label")
    return index[label]


def _format_code(image: Sequence[int]) -> str:
    return "1_" + "".join(str(5 + cell) for cell in image) if any(image) else "."


def _images(codes: Sequence[str], labels: Sequence[str], atoms: Int[np.ndarray, "n"]) -> Int[np.ndarray, "n 3"]:
    images = np.zeros((len(codes), 3), dtype=np.int64)
    for row, code in enumerate(codes):
        if code in _ABSENT:
            continue
        match = _CODE.match(code.strip("'\""))
        if match is None or match[1] != "1":
            raise InputError(f"bond {row + 1}, {labels[atoms[row]]}: symmetry {code!r}, expected a translation in P 1")
        images[row] = [int(digit) - 5 for digit in match[2] or "555"]
    return images


def _each_once(pairs, images, orders, labels: Sequence[str]) -> BondGraph:
    """Refinement programs list a bond from both its ends; kept is the first."""
    seen: set[tuple[int, int, tuple[int, ...]]] = set()
    kept = []
    for row, ((i, j), image) in enumerate(zip(pairs.tolist(), map(tuple, images.tolist()), strict=True)):
        if i == j and not any(image):
            raise InputError(f"bond {row + 1}: {labels[i]} is bound to itself")
        if (i, j, image) not in seen:
            seen |= {(i, j, image), (j, i, tuple(-cell for cell in image))}
            kept.append(row)
    return BondGraph(pairs[kept], images[kept], orders[kept])
