"""Generator of `wyckoff.npz`: the 1,731 Wyckoff positions of the 230 groups in one setting each.

    python -m crystaltool.symmetry.build_wyckoff

Needs pyxtal (letters and first coordinates, as International Tables A lists them), spglib (operations, oriented
site-symmetry symbols), gemmi (extended Hermann-Mauguin symbols) and moyopy (the standard setting); none of the four is
needed to read the result. Everything else is derived here: the operations of an orbit are the group's operations
applied to its first coordinate triplet, and the site-symmetry code comes from the matrices of the stabiliser.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from crystaltool.arrays import Float, Int
from crystaltool.lattice import crystal_system_index, parameters_to_matrix
from crystaltool.symmetry.operations import (
    CENTRINGS,
    TRANSLATION_DENOMINATOR,
    site_symmetry_code,
    space_group_code,
)
from crystaltool.symmetry.space_group import LETTERS, N_GROUPS

OUTPUT = Path(__file__).with_name("wyckoff.npz")

GENERIC_CELLS = (
    (7.1, 8.3, 9.7, 77.0, 83.0, 95.0),
    (7.1, 8.3, 9.7, 90.0, 103.0, 90.0),
    (7.1, 8.3, 9.7, 90.0, 90.0, 90.0),
    (7.1, 7.1, 9.7, 90.0, 90.0, 90.0),
    (7.1, 7.1, 9.7, 90.0, 90.0, 120.0),
    (7.1, 7.1, 9.7, 90.0, 90.0, 120.0),
    (8.3, 8.3, 8.3, 90.0, 90.0, 90.0),
)
"""A cell of each crystal system without accidental metric symmetry, Angstrom and degrees."""

_ARRAYS = {
    "op_rotation": np.int8,
    "op_translation": np.int8,
    "orbit_rotation": np.int8,
    "orbit_translation": np.int8,
    "group_code": np.int8,
    "site_code": np.int8,
    "centring": np.int8,
    "hall_number": np.int16,
    "n_operations": np.int16,
    "n_positions": np.int16,
    "multiplicity": np.int16,
    "degrees_of_freedom": np.int16,
    "symbol": np.str_,
    "hall": np.str_,
    "site_symmetry": np.str_,
}
"""The arrays of the file in order, and their types; space_group.tables describes them."""


def build() -> dict[str, np.ndarray]:
    """All arrays of `wyckoff.npz`."""
    rows: dict[str, list[Any]] = defaultdict(list)
    for number in range(1, N_GROUPS + 1):
        _add_group(rows, number)
    return {name: np.array(rows[name], dtype=dtype) for name, dtype in _ARRAYS.items()}


def _add_group(rows: dict[str, list[Any]], number: int) -> None:
    """Append a group, its operations and its positions."""
    import gemmi
    import spglib
    from pyxtal.symmetry import Group

    hall_number = standard_hall_number(number)
    kind = spglib.get_spacegroup_type(hall_number)
    database = spglib.get_symmetry_from_database(hall_number)
    assert kind is not None
    assert database is not None
    rotations = database["rotations"].astype(np.int64)
    translations = to_grid(database["translations"])
    named = gemmi.find_spacegroup_by_ops(gemmi.symops_from_hall(kind.hall_symbol))
    assert named.number == number
    listed = list(reversed(Group(number).Wyckoff_positions))
    rows["hall_number"].append(hall_number)
    rows["symbol"].append(named.xhm())
    rows["hall"].append(kind.hall_symbol)
    rows["centring"].append(CENTRINGS.index(named.hm[0]))
    rows["group_code"].append(space_group_code(rotations, translations / TRANSLATION_DENOMINATOR))
    rows["n_operations"].append(len(rotations))
    rows["n_positions"].append(len(listed))
    rows["op_rotation"].extend(rotations)
    rows["op_translation"].extend(translations)
    for letter, position in zip(LETTERS, listed, strict=False):
        where = f"group {number} position {letter}"
        assert position.letter == letter, where
        first_rotation, first_translation, freedom = first_triplet(position.ops[0].affine_matrix)
        orbit_r, orbit_t, stabiliser = orbit_of(rotations, translations, first_rotation, first_translation)
        assert len(orbit_r) == position.multiplicity, where
        assert len(orbit_r) * len(stabiliser) == len(rotations), where
        rows["multiplicity"].append(len(orbit_r))
        rows["degrees_of_freedom"].append(freedom)
        rows["site_code"].append(site_symmetry_code(rotations[stabiliser]))
        rows["site_symmetry"].append(
            oriented_symbol(number, hall_number, (rotations, translations), (orbit_r, orbit_t), letter)
        )
        rows["orbit_rotation"].extend(orbit_r)
        rows["orbit_translation"].extend(orbit_t)


def standard_hall_number(number: int) -> int:
    """Hall number of moyopy's standard setting: origin choice 2, hexagonal axes, unique axis b."""
    import moyopy

    for hall in range(1, 531):
        entry = moyopy.HallSymbolEntry(hall)
        # Choices of setting in Hall's list: b, b1 (monoclinic), 2 (two origins), H (rhombohedral), else empty.
        if entry.number == number and entry.setting in (("b", "b1") if 3 <= number <= 15 else ("", "2", "H")):
            return hall
    raise AssertionError(number)


def to_grid(translations: Float[np.ndarray, "*n 3"]) -> Int[np.ndarray, "*n 3"]:
    """Translations modulo 1 in units of 1/24; decimals such as 0.333 are thirds."""
    scaled = translations * TRANSLATION_DENOMINATOR
    assert np.allclose(np.round(scaled), scaled, atol=1e-3 * TRANSLATION_DENOMINATOR)
    return np.round(scaled).astype(np.int64) % TRANSLATION_DENOMINATOR


def first_triplet(affine: Float[np.ndarray, "4 4"]) -> tuple[Int[np.ndarray, "3 3"], Int[np.ndarray, "3"], int]:
    """R_0 with its non-zero columns first, t_0 on the grid, and how many columns are not zero."""
    columns = [column for column in affine[:3, :3].T if column.any()]
    rotation = np.zeros((3, 3), dtype=np.int64)
    for i, column in enumerate(columns):
        rotation[:, i] = np.round(column)
        assert np.allclose(rotation[:, i], column)
    return rotation, to_grid(affine[:3, 3]), len(columns)


def orbit_of(
    rotations: Int[np.ndarray, "n_ops 3 3"],
    translations: Int[np.ndarray, "n_ops 3"],
    first_rotation: Int[np.ndarray, "3 3"],
    first_translation: Int[np.ndarray, "3"],
) -> tuple[Int[np.ndarray, "multiplicity 3 3"], Int[np.ndarray, "multiplicity 3"], Int[np.ndarray, " order"]]:
    """Distinct images (R_j, t_j mod 1) of x = R_0 u + t_0 under the group, and the indices of its stabiliser.

    Translations are kept in units of 1/24, exact; the identity must be the first operation.
    """
    images_r = rotations @ first_rotation
    images_t = (rotations @ first_translation + translations) % TRANSLATION_DENOMINATOR
    images = np.concatenate([images_r.reshape(-1, 9), images_t], axis=1)
    kept = np.sort(np.unique(images, axis=0, return_index=True)[1])
    return images_r[kept], images_t[kept], np.flatnonzero((images == images[0]).all(axis=1))


def oriented_symbol(
    number: int,
    hall_number: int,
    operations: tuple[Int[np.ndarray, "n_ops 3 3"], Int[np.ndarray, "n_ops 3"]],
    orbit: tuple[Int[np.ndarray, "multiplicity 3 3"], Int[np.ndarray, "multiplicity 3"]],
    letter: str,
) -> str:
    """Oriented site-symmetry symbol: spglib's, on a crystal with this orbit and a general one that fixes the group.

    Args:
        number: of the group. hall_number: of its setting.
        operations: rotations and translations of the group.
        orbit: rotations and translations of the position.
        letter: of the position, which spglib must confirm.
    """
    import spglib

    lattice = parameters_to_matrix(*GENERIC_CELLS[crystal_system_index(number)])
    rng = np.random.default_rng(7)
    for _ in range(20):
        general = operations[0] @ rng.uniform(0.03, 0.47, 3) + operations[1] / TRANSLATION_DENOMINATOR
        special = orbit[0] @ rng.uniform(0.05, 0.45, 3) + orbit[1] / TRANSLATION_DENOMINATOR
        points = np.concatenate([special, general]) % 1.0
        cell = (lattice.tolist(), points.tolist(), [1] * len(special) + [2] * len(general))
        found = spglib.get_symmetry_dataset(cell, symprec=1e-4, hall_number=hall_number)
        same_group = found is not None and found.hall_number == hall_number and len(found.rotations) == len(general)
        if same_group and found.wyckoffs[0] == letter:
            return found.site_symmetry_symbols[0]
    raise AssertionError(f"group {number} position {letter}: spglib does not confirm the letter")


if __name__ == "__main__":
    arrays: dict[str, Any] = build()
    np.savez_compressed(OUTPUT, **arrays)
