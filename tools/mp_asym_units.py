"""Asymmetric units of the Materials Project's structures of at most 20 atoms, without those of MP-20 val and test.

    python tools/mp_asym_units.py mp_20240724.npz MP20_FOLDER mp.h5

The archive holds `ids`, `cell` (a b c alpha beta gamma), `nat`, flat `Z` and flat `frac`. Left out is what has an
identifier of val or test, or the composition of one at a volume an atom within 3 % of its own.
"""

from __future__ import annotations

import csv
import gzip
import sys
from collections import defaultdict
from functools import partial
from pathlib import Path

import numpy as np

from crystaltool.asymunit import AsymUnit, reduce_many, tabulate
from crystaltool.crystal import Crystal
from crystaltool.errors import CrystaltoolError
from crystaltool.executor import map_ordered
from crystaltool.io.cif import parse_crystal
from crystaltool.io.hdf5 import write_asym_units
from crystaltool.lattice import parameters_to_matrix
from crystaltool.threads import limit_threads

MAX_ATOMS = 20
SYMPREC = 0.1
"""Angstrom, as MP-20's asymmetric units are detected."""
VOLUME_TOLERANCE = 0.03
CHUNK = 500
JOBS = 2


def fingerprint(crystal: Crystal) -> tuple[tuple[int, ...], float]:
    """Reduced formula as (number, count, ...) and volume an atom in cubic Angstrom."""
    numbers, counts = np.unique(crystal.numbers, return_counts=True)
    formula = np.column_stack([numbers, counts // np.gcd.reduce(counts)]).ravel()
    return tuple(formula.tolist()), abs(np.linalg.det(crystal.lattice)) / len(crystal.numbers)


def held_out(folder: Path) -> tuple[set[str], dict[tuple[int, ...], list[float]]]:
    """Identifiers, and volumes an atom by formula, of val and test."""
    csv.field_size_limit(2**24)
    names: set[str] = set()
    volumes: dict[tuple[int, ...], list[float]] = defaultdict(list)
    for split in ("val", "test"):
        with gzip.open(folder / f"{split}.csv.gz", "rt", newline="") as handle:
            for row in csv.DictReader(handle):
                names.add(row["material_id"])
                formula, volume = fingerprint(parse_crystal(row["cif"]))
                volumes[formula].append(volume)
    return names, volumes


def main() -> None:
    """Read, leave out, reduce, write."""
    archive, folder, output = (Path(argument) for argument in sys.argv[1:4])
    limit_threads()
    names, volumes = held_out(folder)
    with np.load(archive, allow_pickle=False) as data:
        ids, cells, counts, numbers, positions = (data[key] for key in ("ids", "cell", "nat", "Z", "frac"))
    starts = np.cumsum(counts) - counts
    crystals: list[Crystal] = []
    for i in np.flatnonzero(counts <= MAX_ATOMS):
        atoms = slice(starts[i], starts[i] + counts[i])
        cell = parameters_to_matrix(*cells[i])
        crystal = Crystal(cell, positions[atoms].astype(float), numbers[atoms].astype(int), str(ids[i]))
        formula, volume = fingerprint(crystal)
        known = np.array(volumes.get(formula, [np.inf]))
        if crystal.name not in names and (np.abs(volume / known - 1) > VOLUME_TOLERANCE).all():
            crystals.append(crystal)
    chunks = [crystals[start : start + CHUNK] for start in range(0, len(crystals), CHUNK)]
    units: list[AsymUnit] = []
    for found in map_ordered(partial(reduce_many, symprec=SYMPREC), chunks, JOBS):
        if isinstance(found, CrystaltoolError):
            raise found
        units += [unit for unit in found if isinstance(unit, AsymUnit)]
    write_asym_units(output, tabulate(units), history=(f"{archive.name}, at most {MAX_ATOMS} atoms",))
    print(f"{len(units)} of {len(crystals)} structures written, {int((counts <= MAX_ATOMS).sum())} before val and test")


if __name__ == "__main__":
    main()
