"""Random crystals of all 230 groups in three settings each, written in seven ways: read alike or refused?

    python benchmarks/settings.py [-n 1000] [--seed 0] [-o benchmarks/results/settings.md]

A crystal is drawn in the standard setting, two or three orbits with atoms at least 1 A apart, and taken into settings
of Hall's list by gemmi's changes of basis; where the list has fewer than three, into other axes and origins besides.
Its block lists one site an orbit, coordinates with five decimals, cell with four, and states the symmetry by the full
symbol and the number, by the short symbol and the number, by these and the coordinate-system code, by the number alone,
by the Hall symbol, by the operations, or by all of these. What is read is compared with the transformed atoms, which no
reader has seen. One minute of one core for n = 1,000.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.metadata import version
from pathlib import Path

import gemmi
import numpy as np

from crystaltool.arrays import Float, Int
from crystaltool.asymunit import AsymUnit, expand
from crystaltool.crystal import Crystal
from crystaltool.errors import InputError
from crystaltool.io.cif import parse_block
from crystaltool.io.cif_merge import near_pairs
from crystaltool.lattice import constrain_k, k_to_matrix, matrix_to_parameters
from crystaltool.symmetry import space_group
from crystaltool.symmetry.symbols import Setting, settings_of_number
from crystaltool.units import SYMBOLS

N_SETTINGS = 3
ALIKE = 0.01
"""Angstrom within which every atom must be where it was put; coordinates of five decimals are good to 0.0005 A."""

APART = 1.0
"""Angstrom between atoms."""

WAYS = ("full symbol", "short symbol", "short symbol and code", "number alone", "Hall symbol", "operations", "all")


@dataclass(frozen=True)
class Described:
    """A crystal in one setting.

    Args:
        number: space group. setting: as tabulated, None for another basis and origin. operations: as text.
        lattice: its cell, rows in Angstrom.
        sites: one point an orbit, numbers: their elements; shapes (n_orbits, 3), (n_orbits,).
        atoms: every atom of the cell.
    """

    number: int
    setting: Setting | None
    operations: tuple[str, ...]
    lattice: Float[np.ndarray, "3 3"]
    sites: Float[np.ndarray, "n_orbits 3"]
    numbers: Int[np.ndarray, " n_orbits"]
    atoms: Crystal


def random_unit(number: int, rng: np.random.Generator) -> AsymUnit:
    """Two or three orbits, one of them general, in a cell of about the right size, no atoms close to each other."""
    listed = space_group(number).positions
    for _ in range(1000):
        n_special = int(rng.integers(1, 3))
        positions = np.append(rng.integers(0, len(listed), n_special), len(listed) - 1)
        freedom = np.array([listed[p].degrees_of_freedom for p in positions])
        free = np.where(np.arange(3) < freedom[:, None], rng.random((len(positions), 3)), 0.0)
        n_atoms = sum(listed[p].multiplicity for p in positions)
        k = np.append(rng.normal(0.0, 0.15, 5), np.log((25.0 * n_atoms) ** (1 / 3)))
        lattice = k_to_matrix(constrain_k(k, number))
        unit = AsymUnit(number, lattice, rng.permutation(np.arange(1, 95))[: len(positions)], positions, free)
        if len(near_pairs(lattice, expand(unit).frac_coords, APART)[0]) == 0:
            return unit
    raise RuntimeError(f"no crystal of group {number}")


@cache
def _entries() -> dict[str, gemmi.SpaceGroup]:
    return {entry.hall: entry for entry in gemmi.spacegroup_table()}


def describe(unit: AsymUnit, setting: Setting | None, rng: np.random.Generator) -> Described:
    """The crystal in a setting, cell and atoms alike: x' = C x + v by gemmi's table, or at random without a setting."""
    standard = _entries()[space_group(unit.group).hall]
    if setting is None:
        change = gemmi.Op(str(rng.choice(["z,x,y", "x+y,y,z", "-x,-y+z,-z", "x-z,y,z"])))
        change = gemmi.Op("x+{}/24,y+{}/24,z+{}/24".format(*rng.integers(0, 24, 3))) * change
        if change.det_rot() < 0:
            change = gemmi.Op("-x,-y,-z") * change
        operations = tuple((change * op * change.inverse()).wrap().triplet() for op in standard.operations())
    else:
        change, operations = _entries()[setting.hall].basisop * standard.basisop.inverse(), setting.operations
    linear = np.array(change.rot) / change.DEN
    shift = np.array(change.tran) / change.DEN
    lattice = np.linalg.inv(linear).T @ unit.lattice
    if np.linalg.det(lattice) < 0:
        raise ValueError(f"{setting} is left-handed")
    full = expand(unit)
    atoms = (full.frac_coords @ linear.T + shift) % 1.0
    kept: list[int] = []
    for index, atom in enumerate(atoms):  # a smaller cell holds several atoms in one place
        difference = atoms[kept] - atom
        if not kept or np.linalg.norm(difference - np.round(difference), axis=1).min() > 1e-6:
            kept.append(index)
    crystal = Crystal(lattice, atoms[kept], full.numbers[kept])
    sites = (unit.frac_coords @ linear.T + shift) % 1.0
    return Described(unit.group, setting, operations, lattice, sites, unit.numbers, crystal)


def blocks(described: Described) -> Iterator[tuple[str, str]]:
    """(way, text) of every way to state the symmetry."""
    setting = described.setting
    operations = "loop_\n_space_group_symop_operation_xyz\n" + "".join(f"'{text}'\n" for text in described.operations)
    number = f"_space_group_IT_number {described.number}\n"
    if setting is None:
        yield "operations", text_of(described, operations)
        yield "all", text_of(described, number + operations)
        return
    words = setting.symbol.partition(":")[0].split()
    short = " ".join(word for word in words if word != "1" or not 3 <= setting.number <= 15)
    full = f"_space_group_name_H-M_alt '{setting.symbol}'\n{number}"
    names = f"_space_group_name_H-M_alt '{short}'\n{number}"
    code = f"_space_group_IT_coordinate_system_code {setting.code or '?'}\n"
    hall = f"_space_group_name_Hall\n;\n{setting.hall}\n;\n"
    stated = (full, names, names + code, number, hall, operations, full + hall + operations)
    for way, symmetry in zip(WAYS, stated, strict=True):
        yield way, text_of(described, symmetry)


def text_of(described: Described, symmetry: str) -> str:
    """A block as other programs write it."""
    tags = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    parameters = matrix_to_parameters(described.lattice)
    cell = "".join(f"_cell_{tag} {value:.4f}\n" for tag, value in zip(tags, parameters, strict=True))
    rows = "".join(
        f"{SYMBOLS[number]}{index} {SYMBOLS[number]} {x:.5f} {y:.5f} {z:.5f}\n"
        for index, (number, (x, y, z)) in enumerate(zip(described.numbers, described.sites, strict=True), start=1)
    )
    columns = ("label", "type_symbol", "fract_x", "fract_y", "fract_z")
    return f"data_x\n{cell}{symmetry}loop_\n" + "".join(f"_atom_site_{name}\n" for name in columns) + rows


def same(crystal: Crystal, expected: Crystal) -> bool:
    """Whether every atom is there, within `ALIKE`, and no other."""
    if crystal.n_atoms != expected.n_atoms:
        return False
    points = np.concatenate([crystal.frac_coords, expected.frac_coords])
    first, second, distance = near_pairs(expected.lattice, points, 10 * ALIKE)
    low, high = np.minimum(first, second), np.maximum(first, second) - crystal.n_atoms
    good = (low < crystal.n_atoms) & (high >= 0) & (distance < ALIKE)
    low, high = low[good], high[good]
    alike = crystal.numbers[low] == expected.numbers[high]
    return len(set(low[alike])) == len(set(high[alike])) == expected.n_atoms


def measure(items: Iterable[int], seed: int) -> tuple[dict[str, Counter[str]], list[str]]:
    """Counts of right, refused and wrong for each way over crystals, item i of group 1 + i mod 230; what was wrong."""
    counts: dict[str, Counter[str]] = {way: Counter() for way in WAYS}
    wrong: list[str] = []
    for item in items:
        number = 1 + item % 230
        rng = np.random.default_rng((seed, item))
        unit = random_unit(number, rng)
        tabulated = settings_of_number(number)
        chosen: list[Setting | None] = [tabulated[index] for index in rng.permutation(len(tabulated))[:N_SETTINGS]]
        for setting in chosen + [None] * (N_SETTINGS - len(chosen)):
            described = describe(unit, setting, rng)
            called = setting.symbol if setting else f"{number} in an untabulated setting"
            for way, text in blocks(described):
                try:
                    block = parse_block(text)
                except InputError as error:
                    counts[way]["refused"] += 1
                    if way in ("operations", "all"):
                        wrong.append(f"{item} {called} {way}: refused, {error}")
                    continue
                right = same(block.crystal, described.atoms) and block.declared_group in (number, None)
                counts[way]["right" if right else "wrong"] += 1
                if not right:
                    wrong.append(f"{item} {called} {way}: {block.crystal.n_atoms} atoms")
    return counts, wrong


def report(n: int, seed: int, counts: dict[str, Counter[str]], wrong: list[str]) -> str:
    """The page."""
    rows = [f"| {way} | {c.total()} | {c['right']} | {c['refused']} | {c['wrong']} |" for way, c in counts.items()]
    return "\n".join(
        [
            "# Settings of space groups",
            "",
            f"`python benchmarks/settings.py -n {n} --seed {seed}`, {date.today()}, gemmi {version('gemmi')}."
            f" {n} random crystals over the 230 groups, {N_SETTINGS} settings each.",
            "",
            "| stated by | blocks | read right | refused | read wrong |",
            "|---|---|---|---|---|",
            *rows,
            "",
            "Refused are names that several settings have which all fit the cell and make different crystals (origin"
            " choices, cell choices, axes of equal length or at equal angles).",
            "",
            *([f"- {line}" for line in wrong] or ["Nothing was read wrongly, no listed operations were refused."]),
            "",
        ]
    )  # fmt: skip


def main() -> None:
    """Measure and print; `-o` also writes the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("-n", type=int, default=1000, help="crystals")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, help="write the page here too")
    arguments = parser.parse_args()
    page = report(arguments.n, arguments.seed, *measure(range(arguments.n), arguments.seed))
    print(page)
    if arguments.output:
        arguments.output.write_text(page)


if __name__ == "__main__":
    main()
