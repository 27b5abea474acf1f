"""Generator of `wyckoff.npz`: the 1,731 Wyckoff positions of the 230 groups in one setting each.

    python -m crystaltool.symmetry.build_wyckoff

Needs pyxtal (letters and first coordinates, as International Tables A lists them), spglib (operations, oriented
site-symmetry symbols), gemmi (extended Hermann-Mauguin symbols) and moyopy (the standard setting); none of the four is needed to read the result. Everything
else is derived here: the operations of an orbit are the group's operations applied to its first coordinate triplet, and
the site-symmetry code comes from the matrices of the stabiliser.
"""

from __future__ import annotations

import string
from pathlib import Path

import numpy as np

from crystaltool.symmetry.operations import CENTRINGS, site_symmetry_code, space_group_code

LETTERS = string.ascii_lowercase + "A"
OUTPUT = Path(__file__).with_name("wyckoff.npz")
_GRID = 24


def standard_hall_number(number: int) -> int:
    """Hall number of moyopy's standard setting: origin choice 2, hexagonal axes, unique axis b."""
    import moyopy

    for hall in range(1, 531):
        entry = moyopy.HallSymbolEntry(hall)
        if entry.number == number and _is_standard(entry.setting, number):
            return hall
    raise AssertionError(number)


def _is_standard(setting: str, number: int) -> bool:
    """Choice texts as in Hall's list: b, b1 for monoclinic, 2 for two origins, H for rhombohedral, else empty."""
    if 3 <= number <= 15:
        return setting in ("b", "b1")
    return setting in ("", "2", "H")


def orbit_of(
    rotations: np.ndarray, translations: np.ndarray, first_rotation: np.ndarray, first_translation: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct images (R_j, t_j mod 1) of x = R_0 u + t_0 under the group, and the indices of its stabiliser.

    Translations are kept on the grid of 1/24, exact.
    """
    images_r = rotations @ first_rotation
    images_t = (rotations @ first_translation + translations) % _GRID
    keys: dict[bytes, int] = {}
    for j in range(len(rotations)):
        keys.setdefault(images_r[j].tobytes() + images_t[j].tobytes(), j)
    kept = list(keys.values())
    same = (images_r == images_r[0]).all(axis=(1, 2)) & (images_t == images_t[0]).all(axis=1)
    return images_r[kept], images_t[kept], np.flatnonzero(same)


def build() -> dict[str, np.ndarray]:
    """All arrays of `wyckoff.npz` (described in `space_group.py`)."""
    import gemmi
    import spglib
    from pyxtal.symmetry import Group

    out: dict[str, list] = {name: [] for name in ("op_rotation", "op_translation", "orbit_rotation", "orbit_translation")}
    rows: dict[str, list] = {
        name: []
        for name in ("hall_number", "symbol", "hall", "centring", "group_code", "n_operations", "n_positions",
                     "multiplicity", "degrees_of_freedom", "site_symmetry", "site_code")
    }  # fmt: skip
    for number in range(1, 231):
        hall_number = standard_hall_number(number)
        kind = spglib.get_spacegroup_type(hall_number)
        database = spglib.get_symmetry_from_database(hall_number)
        rotations = database["rotations"].astype(np.int64)
        translations = np.round(database["translations"] * _GRID).astype(np.int64) % _GRID
        listed_group = gemmi.find_spacegroup_by_ops(gemmi.symops_from_hall(kind.hall_symbol))
        assert listed_group.number == number
        rows["hall_number"].append(hall_number)
        rows["symbol"].append(listed_group.xhm())
        rows["hall"].append(kind.hall_symbol)
        rows["centring"].append(CENTRINGS.index(listed_group.hm[0]))
        rows["group_code"].append(space_group_code(rotations, translations / _GRID))
        rows["n_operations"].append(len(rotations))
        out["op_rotation"].append(rotations)
        out["op_translation"].append(translations)
        listed = list(reversed(Group(number).Wyckoff_positions))
        rows["n_positions"].append(len(listed))
        for index, position in enumerate(listed):
            assert position.letter == LETTERS[index], (number, position.letter)
            affine = position.ops[0].affine_matrix
            columns = [column for column in affine[:3, :3].T if np.abs(column).any()]
            first_rotation = np.zeros((3, 3), dtype=np.int64)
            for i, column in enumerate(columns):
                first_rotation[:, i] = np.round(column)
            assert np.allclose(np.round(np.array(columns)), columns) if columns else True
            first_translation = np.round(affine[:3, 3] * _GRID).astype(np.int64) % _GRID
            assert np.allclose(first_translation / _GRID, affine[:3, 3] % 1.0, atol=1e-3), (number, position.letter)
            orbit_r, orbit_t, stabiliser = orbit_of(rotations, translations, first_rotation, first_translation)
            assert len(orbit_r) == position.multiplicity, (number, position.letter, len(orbit_r))
            assert len(orbit_r) * len(stabiliser) == len(rotations)
            rows["multiplicity"].append(len(orbit_r))
            rows["degrees_of_freedom"].append(len(columns))
            rows["site_code"].append(site_symmetry_code(rotations[stabiliser]))
            rows["site_symmetry"].append(_symbol(hall_number, rotations, translations, orbit_r, orbit_t, position.letter))
            out["orbit_rotation"].append(orbit_r)
            out["orbit_translation"].append(orbit_t)
    arrays = {name: np.concatenate(parts).astype(np.int8) for name, parts in out.items()}
    for name in ("group_code", "site_code", "centring"):
        arrays[name] = np.array(rows[name], dtype=np.int8)
    for name in ("hall_number", "n_operations", "n_positions", "multiplicity", "degrees_of_freedom"):
        arrays[name] = np.array(rows[name], dtype=np.int16)
    for name in ("symbol", "hall", "site_symmetry"):
        arrays[name] = np.array(rows[name], dtype=np.str_)
    return arrays


def _symbol(hall_number: int, rotations: np.ndarray, translations: np.ndarray, orbit_r, orbit_t, letter: str) -> str:
    """Oriented site-symmetry symbol: spglib's, on a crystal with this orbit and a general one that fixes the group."""
    import spglib

    lattice = generic_lattice(hall_number)
    rng = np.random.default_rng(7)
    for _ in range(20):
        general = (rotations @ rng.uniform(0.03, 0.47, 3) + translations / _GRID) % 1.0
        orbit = (orbit_r @ rng.uniform(0.05, 0.45, 3) + orbit_t / _GRID) % 1.0
        found = spglib.get_symmetry_dataset(
            (lattice, np.concatenate([orbit, general]), [1] * len(orbit) + [2] * len(general)),
            symprec=1e-4,
            hall_number=hall_number,
        )
        if found is not None and found.hall_number == hall_number and len(found.rotations) == len(rotations):
            if found.wyckoffs[0] == letter:
                return found.site_symmetry_symbols[0]
    raise AssertionError(f"Hall {hall_number} {letter}: spglib does not confirm the letter")


def generic_lattice(hall_number: int) -> np.ndarray:
    """A cell of the group's crystal system with no accidental metric symmetry, rows in Angstrom."""
    import spglib

    from crystaltool.lattice import crystal_system_index, parameters_to_matrix

    system = crystal_system_index(spglib.get_spacegroup_type(hall_number).number)
    parameters = [
        (7.1, 8.3, 9.7, 77.0, 83.0, 95.0),
        (7.1, 8.3, 9.7, 90.0, 103.0, 90.0),
        (7.1, 8.3, 9.7, 90.0, 90.0, 90.0),
        (7.1, 7.1, 9.7, 90.0, 90.0, 90.0),
        (7.1, 7.1, 9.7, 90.0, 90.0, 120.0),
        (7.1, 7.1, 9.7, 90.0, 90.0, 120.0),
        (8.3, 8.3, 8.3, 90.0, 90.0, 90.0),
    ][system]
    return parameters_to_matrix(*parameters)


if __name__ == "__main__":
    np.savez_compressed(OUTPUT, **build())
