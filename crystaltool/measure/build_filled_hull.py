"""Writes `chgnet_hull.csv.gz`: known phases that the published energies lack, with energies by CHGNet.

    python -m crystaltool.measure.build_filled_hull MP20.csv.gz ... -- ENERGIES.csv ...

The shipped hull's published energies are of some of the Materials Project's phases. Where others are missing the hull
lies too high, and what is measured on it looks too stable. Their structures are published (Materials Project, CC BY
4.0); `tools/hull_energies.py` computes their energies with the potential whose energies stand beside the hull's
(`ENERGIES.csv`: `formula`, `energy_per_atom`, `id`). Those that lower the hull are kept.

A computed energy errs. What is published bounds it: MP-20 states the distance to the whole hull at its compositions,
and no computed phase may pull the hull below that by more than `SLACK`. Phases that do are raised until they do not.
"""

from __future__ import annotations

import csv
import gzip
import io
import sys
from dataclasses import replace
from pathlib import Path

from crystaltool.measure.build_hull import ON_HULL, on_hull, reduced_formula
from crystaltool.measure.hull import (
    COMPUTED_PHASES,
    SHIPPED_HULL,
    Hull,
    Phase,
    Shares,
    formula_amounts,
    read_phases,
    shares_of,
)

SLACK = 0.001
"""eV/atom that the filled hull may lie below a published one."""

MOST_ROUNDS = 50

HEAD = """\
# Phases of the Materials Project (materialsproject.org, structures of 2024, CC BY 4.0) that mp2020_hull.csv.gz lacks.
# Jain et al., APL Materials 1, 011002 (2013), doi 10.1063/1.4812323.
# Energies in eV/atom by CHGNet 0.3.0 (Deng et al., doi 10.1038/s42256-023-00716-3), single points.
# Made by crystaltool.measure.build_filled_hull.
"""

Point = tuple[Shares, float]
"""A composition, and the energy of the whole published hull there in eV/atom."""


def lowest(phases: list[Phase]) -> list[Phase]:
    """The lowest phase of each composition."""
    found: dict[tuple, Phase] = {}
    for phase in phases:
        key = tuple((number, round(share, 9)) for number, share in phase.shares)
        if key not in found or phase.energy < found[key].energy:
            found[key] = phase
    return list(found.values())


def published_points(path: Path, hull: Hull) -> list[Point]:
    """Energies of the whole hull at the compositions of a file of MP-20."""
    csv.field_size_limit(2**24)
    found = {}
    with gzip.open(path, "rt", newline="") as handle:
        for row in csv.DictReader(handle):
            if row["e_above_hull"]:
                shares = shares_of(formula_amounts(row["pretty_formula"]))
                formation = float(row["formation_energy_per_atom"]) - float(row["e_above_hull"])
                found[shares] = formation + hull.reference(shares)
    return list(found.items())


def bounded(published: list[Phase], computed: list[Phase], points: list[Point]) -> list[Phase]:
    """The computed phases, raised until the hull of all is nowhere more than `SLACK` below the published points.

    Args:
        published: phases whose energies are certain, the elements among them.
        computed: phases to add, by energy.
        points: what bounds them.
    """
    own = {phase.identifier: phase for phase in computed}
    for _ in range(MOST_ROUNDS):
        hull = Hull([*published, *own.values()], "filled")
        raised: dict[str, float] = {}
        for shares, energy in points:
            deficit = energy - SLACK - hull.energy(shares)
            if deficit > ON_HULL:
                parts = [(share, phase) for share, phase in hull.decompose(shares)[1] if phase.identifier in own]
                total = sum(share for share, _ in parts)
                for _, phase in parts:
                    raised[phase.identifier] = max(raised.get(phase.identifier, 0.0), deficit / total)
        if not raised:
            return list(own.values())
        for name, by in raised.items():
            own[name] = replace(own[name], energy=own[name].energy + by)
    raise SystemExit(f"not bounded after {MOST_ROUNDS} rounds")


def main() -> None:
    """Write the file beside this module."""
    if "--" not in sys.argv[2:-1]:
        sys.exit(__doc__)
    middle = sys.argv.index("--")
    published = read_phases(SHIPPED_HULL)
    hull = Hull(published, "published")
    computed = lowest([phase for path in sys.argv[middle + 1 :] for phase in read_phases(Path(path))])
    known = {number for phase in published if len(phase.shares) == 1 for number, _ in phase.shares}
    computed = [phase for phase in computed if {number for number, _ in phase.shares} <= known]
    lower = [phase for phase in computed if phase.energy < hull.energy(phase.shares) - ON_HULL]
    points = [point for path in sys.argv[1:middle] for point in published_points(Path(path), hull)]
    bound = bounded(published, on_hull(lower, published), points)
    kept = sorted(on_hull(bound, published), key=lambda phase: (len(phase.shares), phase.formula))
    text = io.StringIO()
    text.write(HEAD)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["formula", "energy_per_atom", "id"])
    for phase in kept:
        writer.writerow([reduced_formula(phase.formula), f"{phase.energy:.6f}", phase.identifier])
    COMPUTED_PHASES.write_bytes(gzip.compress(text.getvalue().encode("ascii"), mtime=0))
    print(
        f"{len(computed)} computed compositions, {len(lower)} below the published hull, {len(kept)} on the filled one, "
        f"{COMPUTED_PHASES.stat().st_size} bytes"
    )


if __name__ == "__main__":
    main()
