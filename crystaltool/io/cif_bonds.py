"""Bonds in a CIF block: the core dictionary's `_geom_bond_*` loop with the CCDC's bond type.

Only blocks without symmetry carry a bond graph (P 1, every label once); a loop without `_ccdc_geom_bond_type` is a list
of distances from a refinement, which need not hold every bond, and is not read.

Many programs write bonds without symmetry codes, whatever cell the other atom lies in. So a bond without codes is in
the cell as written only where that has the stated length (or any length of a bond); else it is the image that has it. A
bond that is far too long in every way of reading is an error: believed, it would tear a framework apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from crystaltool.arrays import Bool, Float, Int
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

LENGTH_TOLERANCE = 0.05
"""Angstrom: a bond has its stated length within this, and so much of it."""

LENGTH_SHARE = 0.02

LONGEST_BOND, LONGEST_CODED = 3.7, 10.0
"""Angstrom: the longest bonds (caesium) have 3.6. Where a code says in which cell the other atom lies, and no length is
stated, it may be one that a framework not yet relaxed still has to close."""

_CODE = re.compile(r"([0-9]+)(?:_([1-9]{3}))?$")
_LENGTH = re.compile(r"['\"]?([0-9]*\.?[0-9]+)(?:\([0-9]*\))?['\"]?$")
_ABSENT = ("?", ".")
_CELLS = np.stack(np.meshgrid(*[np.arange(-1, 2)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)

EQUAL = 0.02
"""Angstrom: images whose distances differ by less are equally near."""


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


def states_bonds(columns: Mapping[str, list[str]]) -> bool:
    """Whether the columns of a block hold a list of bonds; distances of a refinement are none."""
    return "_ccdc_geom_bond_type" in columns and "_geom_bond_atom_site_label_1" in columns


def parse_bonds(
    columns: Mapping[str, list[str]],
    labels: Sequence[str],
    lattice: Float[np.ndarray, "3 3"],
    frac_coords: Float[np.ndarray, "n_atoms 3"],
) -> tuple[BondGraph | None, str]:
    """The bonds of a block in P 1, or None where it states none or its labels are not unique; and what is odd of them.

    Args:
        columns: values of every loop column by tag in lower case.
        labels: label of every site, which is an atom.
        lattice: row matrix, Angstrom. frac_coords: as written.

    Raises:
        InputError: a bond to a label that no site has, a symmetry code that is no translation, or a bond that has not
            the length that is stated, nor any that a bond can have.
    """
    first, second = (columns.get(f"_geom_bond_atom_site_label_{k}") for k in (1, 2))
    types = columns.get("_ccdc_geom_bond_type")
    if first is None or second is None or types is None:
        return None, ""
    index = {label: atom for atom, label in enumerate(labels)}
    if len(index) != len(labels):
        return None, ""
    pairs = np.array([[_atom(index, label) for label in end] for end in (first, second)], dtype=np.int64).T
    n = len(pairs)
    cells = [
        _images(columns.get(f"_geom_bond_site_symmetry_{k}") or ["."] * n, labels, pairs[:, k - 1]) for k in (1, 2)
    ]
    images = _tested(columns, labels, pairs, cells[1] - cells[0], lattice, frac_coords)
    orders = np.array([ORDER_OF_TYPE.get(text.strip("'\"").upper(), UNKNOWN_ORDER) for text in types])
    graph, twice = _each_once(pairs, images, orders, labels)
    odd = (_misstated(columns, labels, pairs, images, lattice, frac_coords), twice)
    return graph, "; ".join(filter(None, odd))


def _atom(index: Mapping[str, int], label: str) -> int:
    if label not in index:
        raise InputError(f"a bond to {label}, but no site has that label")
    return index[label]


def _format_code(image: Sequence[int]) -> str:
    return "1_" + "".join(str(5 + cell) for cell in image) if any(image) else "."


def _images(codes: Sequence[str], labels: Sequence[str], atoms: Int[np.ndarray, " n"]) -> Int[np.ndarray, "n 3"]:
    images = np.zeros((len(codes), 3), dtype=np.int64)
    for row, code in enumerate(codes):
        if code in _ABSENT:
            continue
        match = _CODE.match(code.strip("'\""))
        if match is None or match[1] != "1":
            raise InputError(f"bond {row + 1}, {labels[atoms[row]]}: symmetry {code!r}, expected a translation in P 1")
        images[row] = [int(digit) - 5 for digit in match[2] or "555"]
    return images


def _each_once(pairs, images, orders, labels: Sequence[str]) -> tuple[BondGraph, str]:
    """Refinement programs list a bond from both its ends; kept is the first. Also a bond that is stated with two types.

    The order of such a bond is left open.
    """
    seen: dict[tuple[int, int, tuple[int, ...]], int] = {}
    orders, kept, twice = orders.copy(), [], ""
    for row, ((i, j), image) in enumerate(zip(pairs.tolist(), map(tuple, images.tolist()), strict=True)):
        if i == j and not any(image):
            raise InputError(f"bond {row + 1}: {labels[i]} is bound to itself")
        first = seen.setdefault((i, j, image), row)
        if first == row:
            seen[j, i, tuple(-cell for cell in image)] = row
            kept.append(row)
        elif orders[first] not in (orders[row], UNKNOWN_ORDER) and orders[row] != UNKNOWN_ORDER:
            twice = twice or f"bond {row + 1}, {labels[i]} to {labels[j]}, has another type than in bond {first + 1}"
            orders[first] = UNKNOWN_ORDER
    return BondGraph(pairs[kept], images[kept], orders[kept]), twice


def _tested(
    columns: Mapping[str, list[str]],
    labels: Sequence[str],
    pairs: Int[np.ndarray, "n 2"],
    images: Int[np.ndarray, "n 3"],
    lattice: Float[np.ndarray, "3 3"],
    frac_coords: Float[np.ndarray, "n_atoms 3"],
) -> Int[np.ndarray, "n 3"]:
    """The images with which every bond has its length."""
    n = len(pairs)
    stated = _lengths(columns.get("_geom_bond_distance"), n)
    codes = [columns.get(f"_geom_bond_site_symmetry_{k}") or ["."] * n for k in (1, 2)]
    coded = np.array([a not in _ABSENT or b not in _ABSENT for a, b in zip(*codes, strict=True)], dtype=bool)
    apart = frac_coords[pairs[:, 1]] - frac_coords[pairs[:, 0]]
    lengths = np.linalg.norm((apart + images) @ lattice, axis=1)
    as_stated = _fits(lengths, stated)
    possible = lengths <= np.where(np.isnan(stated), LONGEST_CODED, LONGEST_BOND)
    images = images.copy()
    rows_of: dict[tuple[int, int], list[int]] = {}
    for row in np.flatnonzero(~(as_stated | (coded & possible))).tolist():
        i, j = pairs[row].tolist()
        if i == j and np.isnan(stated[row]):
            continue  # refused where bonds are counted
        if coded[row]:
            raise InputError(_too_long(row, labels[i], labels[j], stated[row], lengths[row]))
        rows_of.setdefault((i, j), []).append(row)
    for (i, j), rows in rows_of.items():
        row = rows[0]
        choices = _choices(apart[row], lattice, float(stated[row]), i == j)
        if not choices:
            raise InputError(_too_long(row, labels[i], labels[j], stated[row], lengths[row]))
        if len(choices) > len(rows) and not (i == j and len(choices) == 2):
            said = f"bond {row + 1}, {labels[i]} to {labels[j]}: {len(choices)} images are equally far"
            raise InputError(f"{said}, no symmetry code says which is meant")
        images[rows] = [choices[min(k, len(choices) - 1)] for k in range(len(rows))]
    return images


def _misstated(columns, labels: Sequence[str], pairs, images, lattice, frac_coords) -> str:
    """Which bonds have other lengths than stated, and the one that is farthest off; empty if none has."""
    stated = _lengths(columns.get("_geom_bond_distance"), len(pairs))
    lengths = np.linalg.norm((frac_coords[pairs[:, 1]] + images - frac_coords[pairs[:, 0]]) @ lattice, axis=1)
    wrong = ~np.isnan(stated) & ~_fits(lengths, stated)
    if not wrong.any():
        return ""
    worst = int(np.where(wrong, np.abs(lengths - stated), 0.0).argmax())
    i, j = pairs[worst].tolist()
    said = f"{wrong.sum()} of {len(pairs)} bonds do not have the length that is stated"
    return f"{said}, most of all {labels[i]} to {labels[j]}: {lengths[worst]:.2f} A, stated {stated[worst]:.2f} A"


def _fits(lengths: Float[np.ndarray, " n"], stated: Float[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Whether lengths are those stated; not where none is."""
    return np.abs(lengths - stated) <= LENGTH_TOLERANCE + LENGTH_SHARE * stated


def _choices(
    apart: Float[np.ndarray, "3"], lattice: Float[np.ndarray, "3 3"], stated: float, itself: bool
) -> list[list[int]]:
    """Images with which a bond has the stated length; the nearest ones if none has and they are near enough."""
    images = _CELLS - np.rint(apart).astype(int)
    lengths = np.linalg.norm((apart + images) @ lattice, axis=1)
    if itself:
        lengths[(images == 0).all(axis=1)] = np.inf
    fits = _fits(lengths, np.full(len(lengths), stated))
    if not fits.any():
        fits = lengths <= min(float(lengths.min()) + EQUAL, LONGEST_BOND)
    return images[fits].tolist()


def _lengths(column: Sequence[str] | None, n: int) -> Float[np.ndarray, " n"]:
    """Stated lengths in Angstrom, NaN where there is none."""
    lengths = np.full(n, np.nan)
    for row, text in enumerate(column or ()):
        if match := _LENGTH.match(text):
            lengths[row] = float(match[1])
    return lengths


def _too_long(row: int, first: str, second: str, stated: float, found: float) -> str:
    said = "no length is stated" if np.isnan(stated) else f"{stated:.3f} A is stated"
    return f"bond {row + 1}, {first} to {second}, is {found:.2f} A long where its images lie; {said}"
