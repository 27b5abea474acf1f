"""Writes `mp2020_hull.csv.gz`: the phases on the convex hull of the Materials Project's corrected energies.

    python -m crystaltool.measure.build_hull FORMATION_ENERGIES.csv.gz ELEMENT_ENTRIES.json.gz [MP20.csv.gz ...]

The first file has a row a material (`material_id`, `formula`, `formation_energy_per_atom`), formation energies of 2021
with the Materials Project's corrections of 2020 (MaterialsProject2020Compatibility); the second an entry an element,
whose uncorrected energies the formation energies are counted from (no correction of 2020 applies to an element). Both
are of the Materials Project, CC BY 4.0 (materialsproject.org/about/terms): Jain et al., APL Materials 1, 011002 (2013),
doi 10.1063/1.4812323; corrections by Wang et al., Sci. Rep. 11, 15496 (2021), doi 10.1038/s41598-021-94550-5.

Written are total energies, formation energy plus that of the elements, so that a user's file and this one are alike.
Phases above the hull move it nowhere and are left out.

The first file holds some of the Materials Project's phases, so its hull lies too high in places. Files of MP-20
(`formation_energy_per_atom`, `e_above_hull`, `pretty_formula`) say where: the difference is the whole hull's energy at
a composition. Where it is lower it becomes a phase of its own, whose identifier says that those behind it are unknown.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
from pathlib import Path

from crystaltool.measure.hull import SHIPPED_HULL, Hull, Phase, formula_amounts, shares_of
from crystaltool.units import SYMBOLS, atomic_number

ON_HULL = 1e-6
"""eV/atom: what is printed of an energy."""

HEAD = """\
# Phases on the convex hull of the Materials Project (materialsproject.org), CC BY 4.0.
# Jain et al., APL Materials 1, 011002 (2013), doi 10.1063/1.4812323.
# PBE and PBE+U total energies in eV/atom with the corrections of 2020 (doi 10.1038/s41598-021-94550-5), data of 2021.
# Made by crystaltool.measure.build_hull.
"""


def element_energies(path: Path) -> dict[int, tuple[float, str]]:
    """Energy an atom and identifier of the reference of each element."""
    with gzip.open(path, "rt") as handle:
        entries = json.load(handle)
    found = {}
    for symbol, entry in entries.items():
        if entry["correction"] or entry["energy_adjustments"]:
            raise SystemExit(f"the reference of {symbol} is a corrected energy")
        n_atoms = sum(entry["composition"].values())
        found[atomic_number(symbol)] = (entry["energy"] / n_atoms, entry["data"]["material_id"])
    return found


def lowest_phases(path: Path, elements: dict[int, tuple[float, str]]) -> list[Phase]:
    """The lowest phase of each composition, total energies."""
    lowest: dict[tuple, Phase] = {}
    with gzip.open(path, "rt", newline="") as handle:
        for row in csv.DictReader(handle):
            shares = shares_of(formula_amounts(row["formula"]))
            if len(shares) == 1 or any(number not in elements for number, _ in shares):
                continue
            energy = float(row["formation_energy_per_atom"]) + sum(s * elements[n][0] for n, s in shares)
            key = tuple((number, round(share, 9)) for number, share in shares)
            if key not in lowest or energy < lowest[key].energy:
                lowest[key] = Phase(reduced_formula(row["formula"]), row["material_id"], shares, energy)
    return list(lowest.values())


def reduced_formula(formula: str) -> str:
    """The formula as pymatgen reduces and orders it."""
    from pymatgen.core import Composition

    return Composition(formula).reduced_formula


def hull_points(path: Path, hull: Hull, elements: dict[int, tuple[float, str]]) -> list[Phase]:
    """Published energies of the hull that are lower than this one's, at the compositions of a file of MP-20."""
    csv.field_size_limit(2**24)
    found = []
    with gzip.open(path, "rt", newline="") as handle:
        for row in csv.DictReader(handle):
            shares = shares_of(formula_amounts(row["pretty_formula"]))
            if not row["e_above_hull"] or len(shares) == 1 or any(number not in elements for number, _ in shares):
                continue
            published = float(row["formation_energy_per_atom"]) - float(row["e_above_hull"])
            energy = published + sum(s * elements[n][0] for n, s in shares)
            if energy < hull.decompose(shares)[0] - ON_HULL:
                name = f"unknown phases, by {row['material_id']}"
                found.append(Phase(reduced_formula(row["pretty_formula"]), name, shares, energy))
    return found


def on_hull(phases: list[Phase], references: list[Phase]) -> list[Phase]:
    """Those that no mixture of the others lies below."""
    hull = Hull([*references, *phases], "all phases")
    return [phase for phase in phases if phase.energy <= hull.decompose(phase.shares)[0] + ON_HULL]


def main() -> None:
    """Write the file beside this module."""
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    elements = element_energies(Path(sys.argv[2]))
    references = [Phase(SYMBOLS[n], mp_id, ((n, 1.0),), energy) for n, (energy, mp_id) in sorted(elements.items())]
    phases = on_hull(lowest_phases(Path(sys.argv[1]), elements), references)
    hull = Hull([*references, *phases], "phases on the hull")
    points = [point for path in sys.argv[3:] for point in hull_points(Path(path), hull, elements)]
    kept = [*references, *(on_hull([*phases, *points], references) if points else phases)]
    text = io.StringIO()
    text.write(HEAD)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["formula", "energy_per_atom", "id"])
    for phase in sorted(kept, key=lambda phase: (len(phase.shares), phase.formula)):
        writer.writerow([phase.formula, f"{phase.energy:.6f}", phase.identifier])
    SHIPPED_HULL.write_bytes(gzip.compress(text.getvalue().encode("ascii"), mtime=0))
    print(f"{len(kept)} phases, {SHIPPED_HULL.stat().st_size} bytes")


if __name__ == "__main__":
    main()
