"""Space groups and their Wyckoff positions, read from `wyckoff.npz` (made by `build_wyckoff.py`).

One setting a group, that of moyopy's `Setting.standard()`: origin choice 2, hexagonal axes for rhombohedral groups,
unique axis b and cell choice 1 for monoclinic ones (International Tables A, chapter 2.3).
"""

from __future__ import annotations

import string
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np

from crystaltool.arrays import Float, Int
from crystaltool.errors import SymmetryError
from crystaltool.lattice import CRYSTAL_SYSTEMS, crystal_system_index
from crystaltool.symmetry.operations import CENTRINGS, TRANSLATION_DENOMINATOR

LETTERS = string.ascii_lowercase + "A"
N_GROUPS = 230
N_POSITIONS = 1731


@dataclass(frozen=True)
class WyckoffPosition:
    """One Wyckoff position: the points x = R_j u + t_j for free parameters u and operations j.

    Args:
        letter: Wyckoff letter, `a` the most special (`A` follows `z` in group 47).
        multiplicity: points in the conventional cell.
        site_symmetry: oriented site-symmetry symbol, such as `m-3m` or `.2/m.`.
        degrees_of_freedom: number of free coordinates, 0-3; the first that many columns of R act, the rest are 0.
        rotations: R_j; shape (multiplicity, 3, 3), integer.
        translations: t_j in [0, 1); shape (multiplicity, 3).
        code: element along each of the 15 axes, an index into `SITE_ELEMENTS`; shape (15,).
    """

    letter: str
    multiplicity: int
    site_symmetry: str
    degrees_of_freedom: int
    rotations: Int[np.ndarray, "multiplicity 3 3"]
    translations: Float[np.ndarray, "multiplicity 3"]
    code: Int[np.ndarray, "15"]


@dataclass(frozen=True)
class SpaceGroup:
    """A space group in its standard setting.

    Args:
        number: International Tables number, 1-230.
        hall_number: serial number of the setting in Hall's list, 1-530 (spglib's and moyopy's count).
        symbol: Hermann-Mauguin symbol with `:2` or `:H` where the setting needs one.
        hall: Hall symbol.
        crystal_system: one of `CRYSTAL_SYSTEMS`.
        centring: P, A, B, C, I, F or R.
        rotations, translations: all operations of the conventional cell, the identity first; shapes (n_ops, 3, 3) and
            (n_ops, 3).
        positions: Wyckoff positions in the order of their letters, the general position last.
    """

    number: int
    hall_number: int
    symbol: str
    hall: str
    crystal_system: str
    centring: str
    rotations: Int[np.ndarray, "n_ops 3 3"]
    translations: Float[np.ndarray, "n_ops 3"]
    positions: tuple[WyckoffPosition, ...]

    def position(self, letter: str) -> WyckoffPosition:
        """The Wyckoff position of a letter.

        Raises:
            SymmetryError: if the group has no such letter.
        """
        index = LETTERS.find(letter) if len(letter) == 1 else -1
        if not 0 <= index < len(self.positions):
            raise SymmetryError(
                f"space group {self.number} has no Wyckoff letter {letter!r}, only a-{self.positions[-1].letter}"
            )
        return self.positions[index]


@cache
def tables() -> dict[str, np.ndarray]:
    """The arrays of `wyckoff.npz` with the offsets into the flat lists.

    Over groups (230): hall_number, symbol, hall, centring, group_code (15, 26), n_operations, n_positions, and the
    starts first_operation, first_position. Over positions (1731): multiplicity, degrees_of_freedom, site_symmetry,
    site_code (15), first_orbit. Over operations (4425): op_rotation, op_translation. Over orbit members (14433):
    orbit_rotation, orbit_translation. Translations are in units of 1/24.
    """
    with np.load(Path(__file__).with_name("wyckoff.npz"), allow_pickle=False) as data:
        arrays = {name: data[name] for name in data.files}
    for start, count in (
        ("first_operation", "n_operations"),
        ("first_position", "n_positions"),
        ("first_orbit", "multiplicity"),
    ):
        arrays[start] = np.concatenate([[0], np.cumsum(arrays[count], dtype=np.int64)[:-1]])
    return arrays


@cache
def space_group(number: int) -> SpaceGroup:
    """The space group of an International Tables number.

    Raises:
        SymmetryError: if the number is not 1-230.
    """
    check_group_number(number)
    table, g = tables(), number - 1
    operations = slice(table["first_operation"][g], table["first_operation"][g] + table["n_operations"][g])
    start = table["first_position"][g]
    positions = []
    for index, p in enumerate(range(start, start + table["n_positions"][g])):
        orbit = slice(table["first_orbit"][p], table["first_orbit"][p] + table["multiplicity"][p])
        positions.append(
            WyckoffPosition(
                letter=LETTERS[index],
                multiplicity=int(table["multiplicity"][p]),
                site_symmetry=str(table["site_symmetry"][p]),
                degrees_of_freedom=int(table["degrees_of_freedom"][p]),
                rotations=table["orbit_rotation"][orbit].astype(np.int64),
                translations=table["orbit_translation"][orbit] / TRANSLATION_DENOMINATOR,
                code=table["site_code"][p].astype(np.int64),
            )
        )
    return SpaceGroup(
        number=number,
        hall_number=int(table["hall_number"][g]),
        symbol=str(table["symbol"][g]),
        hall=str(table["hall"][g]),
        crystal_system=CRYSTAL_SYSTEMS[crystal_system_index(number)],
        centring=CENTRINGS[table["centring"][g]],
        rotations=table["op_rotation"][operations].astype(np.int64),
        translations=table["op_translation"][operations] / TRANSLATION_DENOMINATOR,
        positions=tuple(positions),
    )


def check_group_number(number: int) -> None:
    """Raise SymmetryError unless 1 <= number <= 230."""
    if not 1 <= number <= N_GROUPS:
        raise SymmetryError(f"space group {number} does not exist, expected 1-{N_GROUPS}")


@cache
def free_coordinate_maps() -> tuple[Int[np.ndarray, "1731 3 3"], Float[np.ndarray, "1731 3"]]:
    """For every position the unimodular U and t_0 with U (R_0 u + t_0 - t_0) = (u, 0); shapes (1731, 3, 3), (1731, 3).

    With y = U (x - t_0): x lies on operation 0 of the position, up to a lattice vector, exactly if the components of y
    beyond the degrees of freedom are integers; the others, modulo 1, are its free coordinates.
    """
    table = tables()
    first = table["first_orbit"]
    rotations = table["orbit_rotation"][first].astype(np.int64)
    freedoms = table["degrees_of_freedom"].tolist()
    maps = np.stack([_complete(rotation, freedom) for rotation, freedom in zip(rotations, freedoms, strict=True)])
    return maps, table["orbit_translation"][first] / TRANSLATION_DENOMINATOR


def _complete(rotation: Int[np.ndarray, "3 3"], freedom: int) -> Int[np.ndarray, "3 3"]:
    """Inverse of a unimodular matrix whose first columns are those of R_0."""
    columns = [rotation[:, i] for i in range(freedom)]
    units = [np.array(v) for v in ((1, 0, 0), (0, 1, 0), (0, 0, 1))]
    for extra in combinations(units, 3 - freedom):
        full = np.stack([*columns, *extra], axis=1)
        if abs(round(np.linalg.det(full))) == 1:
            return np.round(np.linalg.inv(full)).astype(np.int64)
    raise SymmetryError(f"free coordinates of {rotation.tolist()} are not primitive")
