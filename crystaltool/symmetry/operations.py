"""Symmetry operations as (rotation, translation) pairs: Jones-faithful text, type and axis (Int. Tables A, 1.2)."""

from __future__ import annotations

import re
from fractions import Fraction

import numpy as np

from crystaltool.arrays import Float, Int
from crystaltool.errors import SymmetryError

TRANSLATION_DENOMINATOR = 24
"""Every translation of a conventional space group is a multiple of 1/24 (of 1/12 and 1/8, in fact)."""

AXES: tuple[tuple[int, int, int], ...] = (
    (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1), (1, -1, 0),
    (1, 1, 0), (0, 1, -1), (0, 1, 1), (-1, 0, 1), (1, 0, 1), (1, 2, 0), (2, 1, 0),
)  # fmt: skip
"""The 15 axis directions of the site-symmetry code, in direct-lattice indices; the last two on hexagonal axes only."""

SITE_ELEMENTS = ("1", "-1", "2", "3", "4", "6", "m", "-3", "-4", "-6", "2/m", "4/m", "6/m")
"""The 13 symmetry elements that one axis of a site symmetry can carry."""

GROUP_ELEMENTS = (
    "1", "-1", "2", "3", "4", "6", "m", "-3", "-4", "-6",
    "2_1", "3_1", "3_2", "4_1", "4_2", "4_3", "6_1", "6_2", "6_3", "6_4", "6_5",
    "a", "b", "c", "n", "d",
)  # fmt: skip
"""The 26 elements, screws and glides included, that one axis of a space group can carry."""

CENTRINGS = ("P", "A", "B", "C", "I", "F", "R")

_TERM = re.compile(r"([+-]?)(?:(\d+\.?\d*|\.\d+)(?:/(\d+\.?\d*))?\*?)?([xyz]?)(?:/(\d+))?", re.IGNORECASE)


def operations_to_xyz(rotation: Int[np.ndarray, "3 3"], translation: Float[np.ndarray, "3"]) -> str:
    """Jones-faithful text such as `-x+y,y,z+1/2`; translations in fractions of 24."""
    rows = []
    for row, shift in zip(rotation, translation, strict=True):
        text = ""
        for factor, letter in zip(row, "xyz", strict=True):
            if factor:
                sign = "-" if factor < 0 else ("+" if text else "")
                text += sign + ("" if abs(factor) == 1 else str(abs(int(factor)))) + letter
        fraction = Fraction(round(float(shift) * TRANSLATION_DENOMINATOR), TRANSLATION_DENOMINATOR) % 1
        if fraction:
            text += f"+{fraction}" if text else str(fraction)
        rows.append(text or "0")
    return ",".join(rows)


def xyz_to_operation(text: str) -> tuple[Int[np.ndarray, "3 3"], Float[np.ndarray, "3"]]:
    """Rotation and translation of Jones-faithful text; decimals within 1e-3 of a 24th are rounded to it.

    Raises:
        SymmetryError: if the text is not three affine expressions in x, y, z of determinant +-1.
    """
    parts = text.strip().strip("'\"").replace(" ", "").split(",")
    if len(parts) != 3:
        raise SymmetryError(f"operation {text!r} has {len(parts)} parts, expected 3")
    factors, translation = np.zeros((3, 3)), np.zeros(3)
    for i, part in enumerate(parts):
        position = 0
        while position < len(part):
            match = _TERM.match(part, position)
            if match is None or match.end() == position or (not match[2] and not match[4]):
                raise SymmetryError(f"operation {text!r} cannot be read at {part[position:]!r}")
            divisor = (float(match[3]) if match[3] else 1.0) * (float(match[5]) if match[5] else 1.0)
            if divisor == 0.0:
                raise SymmetryError(f"operation {text!r} divides by zero")
            value = (-1.0 if match[1] == "-" else 1.0) * (float(match[2]) if match[2] else 1.0) / divisor
            if match[4]:
                factors[i, "xyz".index(match[4].lower())] += value
            else:
                translation[i] += value
            position = match.end()
    rotation = np.round(factors).astype(np.int64)
    if np.abs(rotation - factors).max() > 1e-6:
        raise SymmetryError(f"operation {text!r} is not a rotation or rotoinversion of a lattice")
    if abs(round(np.linalg.det(rotation))) != 1:
        raise SymmetryError(f"operation {text!r} is not a rotation or rotoinversion")
    grid = np.round(translation * TRANSLATION_DENOMINATOR) / TRANSLATION_DENOMINATOR
    near = np.abs(grid - translation) < 1e-3
    return rotation, np.where(near, grid, translation) % 1.0


def cell_strain(lattice: Float[np.ndarray, "3 3"], rotations: Int[np.ndarray, "n 3 3"]) -> float:
    """How far rotations are from isometries of a cell (rows, Angstrom): the largest relative strain they make of it."""
    cartesian = np.einsum("ji,njk,kl->nil", lattice, rotations, np.linalg.inv(lattice).T)
    return float(np.abs(np.swapaxes(cartesian, 1, 2) @ cartesian - np.eye(3)).max()) / 2


def rotation_type(rotation: Int[np.ndarray, "3 3"]) -> tuple[str, int]:
    """Element symbol (1, -1, 2, m, 3, ...) and order of the proper part, from trace and determinant (ITA 1.2.2.1)."""
    determinant = round(np.linalg.det(rotation))
    order = {3: 1, -1: 2, 0: 3, 1: 4, 2: 6}[determinant * int(np.trace(rotation))]
    if determinant == 1:
        return str(order), order
    return {1: "-1", 2: "m", 3: "-3", 4: "-4", 6: "-6"}[order], order


def axis_index(rotation: Int[np.ndarray, "3 3"]) -> int | None:
    """Index into `AXES` of the axis of an operation (of a mirror: its normal); None for 1 and -1.

    Raises:
        SymmetryError: if the axis is none of the 15 (no operation of a standard setting does that).
    """
    proper = rotation * round(np.linalg.det(rotation))
    _, order = rotation_type(proper)
    if order == 1:
        return None
    # The sum over the powers of a rotation projects on its axis.
    total = np.sum([np.linalg.matrix_power(proper, power) for power in range(order)], axis=0)
    column = total[:, np.argmax(np.abs(total).sum(axis=0))]
    direction = column // np.gcd.reduce(column)
    for sign in (1, -1):
        candidate = tuple(int(x) for x in sign * direction)
        if candidate in AXES:
            return AXES.index(candidate)
    raise SymmetryError(f"axis {direction.tolist()} is not one of the 15 directions")


def site_symmetry_code(rotations: Int[np.ndarray, "order 3 3"]) -> Int[np.ndarray, "15"]:
    """For each of the 15 axes, which of `SITE_ELEMENTS` the stabiliser carries there; shape (15,).

    An axis without an element of its own carries -1 if the stabiliser holds the inversion, else 1.
    """
    found: list[set[str]] = [set() for _ in AXES]
    inversion = False
    for rotation in rotations:
        symbol, _ = rotation_type(rotation)
        axis = axis_index(rotation)
        if axis is None:
            inversion |= symbol == "-1"
        else:
            found[axis].add(symbol)
    return np.array([SITE_ELEMENTS.index(_combine(elements, inversion)) for elements in found], dtype=np.int64)


def _combine(elements: set[str], inversion: bool) -> str:
    """The one symbol for all elements along one axis."""
    for proper in ("6", "4"):
        if proper in elements:
            return f"{proper}/m" if "m" in elements else proper
    for symbol in ("-6", "-4", "-3", "3"):
        if symbol in elements:
            return symbol
    if "2" in elements:
        return "2/m" if "m" in elements else "2"
    if "m" in elements:
        return "m"
    return "-1" if inversion else "1"


def space_group_code(
    rotations: Int[np.ndarray, "n_ops 3 3"], translations: Float[np.ndarray, "n_ops 3"]
) -> Int[np.ndarray, "15 26"]:
    """Which of `GROUP_ELEMENTS` (screws and glides included) lie along each of the 15 axes; shape (15, 26), 0 or 1."""
    code = np.zeros((len(AXES), len(GROUP_ELEMENTS)), dtype=np.int64)
    for rotation, translation in zip(rotations, translations, strict=True):
        symbol, order = rotation_type(rotation)
        axis = axis_index(rotation)
        if axis is None:
            code[:, GROUP_ELEMENTS.index(symbol)] = 1
            continue
        if symbol == "m":
            symbol = _glide(rotation, translation)
        elif not symbol.startswith("-"):
            symbol = _screw(rotation, translation, order, axis)
        code[axis, GROUP_ELEMENTS.index(symbol)] = 1
    return code


def _screw(rotation: np.ndarray, translation: np.ndarray, order: int, axis: int) -> str:
    """Symbol of a (screw) rotation, its intrinsic translation in units of the axis vector."""
    intrinsic = (
        np.sum([np.linalg.matrix_power(rotation, power) @ translation for power in range(order)], axis=0) / order
    )
    direction = np.array(AXES[axis], dtype=float)
    step = round(order * float(intrinsic @ direction) / float(direction @ direction))
    aside = np.eye(3)[int(np.argmin(np.abs(direction)))]
    if order > 2 and np.linalg.det(np.stack([direction, aside, rotation @ aside])) < 0:
        step = -step  # a rotation by -360/n degrees; its inverse turns the positive way
    step %= order
    return f"{order}_{step}" if step else str(order)


def _glide(rotation: np.ndarray, translation: np.ndarray) -> str:
    """Symbol of a mirror or glide from its intrinsic translation modulo the cell."""
    intrinsic = (translation + rotation @ translation) / 2 % 1.0
    moved = (intrinsic > 1e-6) & (intrinsic < 1 - 1e-6)
    if not moved.any():
        return "m"
    if np.isclose(np.abs(np.round(4 * intrinsic) % 2), 1).any():
        return "d"
    return "abc"[int(np.argmax(moved))] if moved.sum() == 1 else "n"
