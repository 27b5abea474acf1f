"""Flags of connected-3d and lone-molecule judged by distances alone: `python benchmarks/mof_flags_geometry.py FLAGS`.

FLAGS is what `mof_flags.py` wrote. Of the first `-n` structures that a rule flags: the directions in which bonds reach
by a bond rule of its own (two atoms within the sum of Cordero's covalent radii and 0.45 A, hydrogen 0.3 A; Dalton
Trans. 2008, 2832), the same with 0.3 A more, and, for free molecules, the metal nearest to a heavy atom of them and how
far beyond the sum of radii it is.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols, covalent_radii
from ase.io import read
from ase.neighborlist import neighbor_list

SLACK, SLACK_HYDROGEN, MORE = 0.45, 0.3, 0.3
NON_METALS = {1, 2, 5, 6, 7, 8, 9, 10, 14, 15, 16, 17, 18, 32, 33, 34, 35, 36, 51, 52, 53, 54, 85, 86}


def components(atoms: Atoms, slack: float) -> tuple[np.ndarray, list[int]]:
    """Component of each atom, and the number of directions in which the bonds of each component reach."""
    first, second, distance, shift = neighbor_list("ijdS", atoms, 5.0)
    numbers = atoms.numbers
    hydrogen = (numbers[first] == 1) | (numbers[second] == 1)
    limit = covalent_radii[numbers[first]] + covalent_radii[numbers[second]]
    bonded = (distance < limit + np.where(hydrogen, SLACK_HYDROGEN, slack)) & (numbers[first] + numbers[second] > 2)
    neighbours: list[list[tuple[int, np.ndarray]]] = [[] for _ in numbers]
    for i, j, s in zip(first[bonded], second[bonded], shift[bonded], strict=True):
        neighbours[i].append((j, s))
    label, place, ranks = np.full(len(numbers), -1), np.zeros((len(numbers), 3), dtype=int), []
    for start in range(len(numbers)):
        if label[start] >= 0:
            continue
        label[start], waiting, loops = len(ranks), [start], []
        while waiting:
            atom = waiting.pop()
            for other, step in neighbours[atom]:
                there = place[atom] + step
                if label[other] < 0:
                    label[other], place[other] = len(ranks), there
                    waiting.append(other)
                elif (there != place[other]).any():
                    loops.append(there - place[other])
        ranks.append(int(np.linalg.matrix_rank(loops)) if loops else 0)
    return label, ranks


def nearest_metal(atoms: Atoms, members: np.ndarray) -> str:
    """The metal outside a component nearest to a heavy atom of it, by distance beyond the sum of radii."""
    first, second, distance = neighbor_list("ijd", atoms, 4.5)
    numbers = atoms.numbers
    metal = ~np.isin(numbers[second], list(NON_METALS))
    (pairs,) = np.nonzero(members[first] & ~members[second] & metal & (numbers[first] > 1))
    if not len(pairs):
        return "no metal within 4.5 A"
    beyond = distance[pairs] - covalent_radii[numbers[first[pairs]]] - covalent_radii[numbers[second[pairs]]]
    best = pairs[np.argmin(beyond)]
    names = "-".join(chemical_symbols[numbers[k]] for k in (first[best], second[best]))
    return f"{names} {distance[best]:.2f} A, {beyond.min():.2f} beyond"


def main() -> None:
    """Judge and print a line a structure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("flags", type=Path)
    parser.add_argument("--qmof", type=Path, required=True, help="folder of QMOF's CIF files")
    parser.add_argument("-n", type=int, default=30, help="structures of each rule")
    options = parser.parse_args()
    rows = [line.split("\t") for line in options.flags.read_text().splitlines()]
    for rule in ("connected-3d", "lone-molecule"):
        for name, _, _, message in [row for row in rows if row[1:3] == [rule, "fail"]][: options.n]:
            atoms = read(options.qmof / f"{name}.cif")
            label, ranks = components(atoms, SLACK)
            _, wider = components(atoms, SLACK + MORE)
            found = f"{max(ranks)} directions, {max(wider)} with wider bonds"
            if rule == "lone-molecule":
                free = {label[int(index) - 1] for index in re.findall(r"[A-Z][a-z]?(\d+): free", message)}
                found += "".join(f"; reach {ranks[k]}: {nearest_metal(atoms, label == k)}" for k in sorted(free)[:1])
            print(rule, name, message, found, sep="\t")


if __name__ == "__main__":
    main()
