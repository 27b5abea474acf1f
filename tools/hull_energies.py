"""CHGNet energies of the Materials Project's structures whose compositions the shipped hull's data do not know.

    python tools/hull_energies.py mp_20240724.npz KNOWN.csv.gz energies.csv [PART PARTS]

The archive holds `ids`, `cell` (a b c alpha beta gamma), `nat`, flat `Z` and flat `frac`. KNOWN has a column `formula`
(the formation energies that the hull is built from). Written is a row a structure, few elements and small cells
first: `formula`, `energy_per_atom` (eV, a single point), `id`. Cells up to `MAX_ATOMS` count. Rows that are there are
not computed again; PART of PARTS takes every PARTS-th structure.
"""

from __future__ import annotations

import csv
import gzip
import sys
from pathlib import Path

import numpy as np

from crystaltool.crystal import Crystal
from crystaltool.errors import InputError
from crystaltool.forcefield.chgnet import MAX_ATOMIC_NUMBER, Chgnet
from crystaltool.forcefield.minimise import collapsed
from crystaltool.lattice import parameters_to_matrix
from crystaltool.measure.hull import formula_amounts
from crystaltool.units import SYMBOLS

MAX_ATOMS = {2: 200, 3: 60}
"""By number of elements; `MOST_OTHERS` of more."""
MOST_OTHERS = 30

Reduced = tuple[tuple[int, int], ...]
"""(atomic number, count), counts without common divisor."""


def reduced(numbers: np.ndarray) -> Reduced:
    """The composition of some atoms."""
    present, counts = np.unique(numbers, return_counts=True)
    return tuple(zip(present.tolist(), (counts // np.gcd.reduce(counts)).tolist(), strict=True))


def known_compositions(path: Path) -> set[Reduced]:
    """Those of the column `formula`."""
    found = set()
    with gzip.open(path, "rt", newline="") as handle:
        for row in csv.DictReader(handle):
            amounts = formula_amounts(row["formula"])
            if all(float(amount).is_integer() for amount in amounts.values()):
                found.add(reduced(np.repeat(list(amounts), [int(a) for a in amounts.values()])))
    return found


def main() -> None:
    """Read, choose, compute."""
    archive, known, output = (Path(argument) for argument in sys.argv[1:4])
    part, parts = (int(argument) for argument in (sys.argv[4:] or ("0", "1")))
    with np.load(archive, allow_pickle=False) as data:
        ids, cells, counts, numbers, positions = (data[key] for key in ("ids", "cell", "nat", "Z", "frac"))
    starts, there = np.cumsum(counts) - counts, known_compositions(known)
    done = {row["id"] for row in csv.DictReader(output.open())} if output.exists() else set()
    potential = Chgnet()
    with output.open("a", newline="") as handle:
        if not done:
            print("formula,energy_per_atom,id", file=handle)
        n_elements = np.array([len(np.unique(part)) for part in np.split(numbers, starts[1:])])
        for rank, i in enumerate(np.lexsort([counts, n_elements])):
            own = numbers[starts[i] : starts[i] + counts[i]].astype(int)
            if rank % parts != part or ids[i] in done or own.max() > MAX_ATOMIC_NUMBER:
                continue
            formula = reduced(own)
            if len(formula) == 1 or formula in there or counts[i] > MAX_ATOMS.get(len(formula), MOST_OTHERS):
                continue
            frac_coords = positions[starts[i] : starts[i] + counts[i]].astype(float)
            crystal = Crystal(parameters_to_matrix(*cells[i]), frac_coords, own, str(ids[i]))
            if collapsed(crystal):
                continue
            try:
                energy = potential.energy(crystal) / crystal.n_atoms
            except InputError:
                continue
            text = "".join(f"{SYMBOLS[number]}{count}" for number, count in formula)
            print(f"{text},{energy:.6f},{ids[i]}", file=handle, flush=True)


if __name__ == "__main__":
    main()
