"""What the symmetry rooms promise, measured: `python benchmarks/symmetry.py [-o benchmarks/results/symmetry.md]`.

Reads MP-20's validation split in ../shared/data (or `--data`), and the AFLOW prototypes that pymatgen ships. Three
minutes of one core: spglib judges every one of 9,047 crystals twice.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import numpy as np
import spglib

from crystaltool.asymunit import AsymUnit, expand, reduce, reduce_many
from crystaltool.crystal import Crystal
from crystaltool.errors import CrystaltoolError
from crystaltool.io.cif import parse_block
from crystaltool.lattice import (
    CRYSTAL_SYSTEMS,
    constrain_k,
    k_to_matrix,
    matrix_to_k,
    matrix_to_parameters,
    reduced_basis,
)
from crystaltool.symmetry import space_group
from crystaltool.symmetry.detection import detect
from crystaltool.symmetry.projection import positions_sharing_code, project
from crystaltool.symmetry.space_group import tables
from crystaltool.units import atomic_number

MP20 = Path(__file__).resolve().parents[2] / "shared" / "data" / "inorganic" / "mp20" / "val.csv.gz"
SYMPREC = 0.1
"""Angstrom; MP-20's own labels were made with it."""

TIGHT = 1e-3
"""Angstrom; at which spglib judges the refined crystal."""

CLOSE = 1e-3
"""Angstrom within which every atom of the standardised crystal must come back."""

CHUNK = 256
NOISE = 2e-3
N_SEEDS = 10
N_CELLS = 10_000


def deviation(crystal: Crystal, other: Crystal) -> float:
    """Largest distance in Angstrom between atoms of one species paired one to one; infinite if they cannot be."""
    if not np.array_equal(np.sort(crystal.numbers), np.sort(other.numbers)):
        return np.inf
    difference = crystal.frac_coords[:, None] - other.frac_coords[None]
    basis = reduced_basis(crystal.lattice).astype(float)
    difference = difference @ np.linalg.inv(basis)
    distance = np.linalg.norm((difference - np.round(difference)) @ basis @ crystal.lattice, axis=2)
    distance[crystal.numbers[:, None] != other.numbers[None]] = np.inf
    partner = np.argmin(distance, axis=1)
    if len(np.unique(partner)) < len(partner):
        return np.inf
    return float(distance.min(axis=1).max())


def standardised(crystal: Crystal) -> Crystal:
    """The detector's own refined conventional cell with all its atoms."""
    found = detect(crystal, SYMPREC).std_cell
    lattice = np.array(found.basis)
    if np.linalg.det(lattice) < 0:
        raise ValueError("the detector's cell is left-handed")
    return Crystal(lattice, np.array(found.positions), np.array(found.numbers))


def spglib_group(crystal: Crystal, symprec: float) -> int | None:
    """Space-group number by spglib, None if it finds none."""
    try:
        found = spglib.get_symmetry_dataset((crystal.lattice, crystal.frac_coords, crystal.numbers), symprec=symprec)
    except spglib.SpglibError:
        return None
    return None if found is None else int(found.number)


@dataclass
class Mp20Result:
    """Counts and named exceptions over one split."""

    n: int = 0
    unreadable: list[str] = field(default_factory=list)
    not_rebuilt: list[str] = field(default_factory=list)
    other_group: list[str] = field(default_factory=list)
    disagree: list[tuple[str, int, int | None]] = field(default_factory=list)
    worst: float = 0.0
    worst_cell: float = 0.0
    reduce_seconds: float = 0.0


def read_crystals(path: Path, limit: int | None) -> Iterator[tuple[str, Crystal]]:
    """(material id, structure) of every row of an MP-20 file."""
    csv.field_size_limit(10**9)
    with gzip.open(path, "rt", newline="") as stream:
        for index, row in enumerate(csv.DictReader(stream)):
            if limit is not None and index >= limit:
                return
            yield row["material_id"], parse_block(row["cif"], path.name, 1).crystal


def measure_mp20(path: Path, limit: int | None) -> Mp20Result:
    """Sections a, b and e: rebuild, judge, compare the detectors, time `reduce_many` (CPU seconds of this process)."""
    result = Mp20Result()
    pending: list[tuple[str, Crystal]] = []

    def finish() -> None:
        start = time.process_time()
        units = reduce_many([crystal for _, crystal in pending], SYMPREC)
        result.reduce_seconds += time.process_time() - start
        for (name, crystal), unit in zip(pending, units, strict=True):
            judge(result, name, crystal, unit)
        pending.clear()
        print(f"{result.n} structures", file=sys.stderr)

    for item in read_crystals(path, limit):
        pending.append(item)
        if len(pending) == CHUNK:
            finish()
    if pending:
        finish()
    return result


def judge(result: Mp20Result, name: str, crystal: Crystal, unit: AsymUnit | CrystaltoolError) -> None:
    """Enter one structure into the result."""
    result.n += 1
    if isinstance(unit, CrystaltoolError):
        result.unreadable.append(f"{name} ({unit})")
        return
    rebuilt, standard = expand(unit), standardised(crystal)
    off = deviation(rebuilt, standard)
    cell_off = np.abs(matrix_to_parameters(rebuilt.lattice) - matrix_to_parameters(standard.lattice)).max()
    result.worst_cell = max(result.worst_cell, float(cell_off))
    if off > CLOSE:
        result.not_rebuilt.append(f"{name} ({off:.3g} A)")
    else:
        result.worst = max(result.worst, off)
    found = spglib_group(rebuilt, TIGHT)
    if found != unit.group:
        result.other_group.append(f"{name} ({unit.group}, spglib {found})")
    raw = spglib_group(crystal, SYMPREC)
    if raw != unit.group:
        result.disagree.append((name, unit.group, raw))


def measure_lattices(seed: int) -> list[tuple[str, float, float]]:
    """Section c, for each crystal system: largest error of k -> L -> k, and of L -> k -> L (relative, metric)."""
    rng = np.random.default_rng(seed)
    rows = []
    for system, group in zip(CRYSTAL_SYSTEMS, (1, 3, 16, 75, 143, 168, 195), strict=True):
        k = rng.normal(0.0, 0.3, (N_CELLS, 6))
        k[:, 5] += np.log(6.0)
        k = constrain_k(k, group)
        lattice = k_to_matrix(k)
        again = matrix_to_k(lattice)
        metric, metric_again = (
            cells @ np.swapaxes(cells, 1, 2) for cells in (lattice, k_to_matrix(constrain_k(again, group)))
        )
        scale = np.abs(metric).max(axis=(1, 2), keepdims=True)
        rows.append((system, float(np.abs(again - k).max()), float((np.abs(metric_again - metric) / scale).max())))
    return rows


def aflow_prototypes() -> Iterator[tuple[str, Crystal]]:
    """(AFLOW label, structure) of pymatgen's prototype library."""
    path = files("pymatgen.analysis") / "prototypes" / "aflow_prototypes.json.gz"
    for entry in json.loads(gzip.decompress(path.read_bytes())):
        structure = entry["snl"]
        lattice = np.array(structure["lattice"]["matrix"], dtype=float)
        points = np.array([site["abc"] for site in structure["sites"]], dtype=float)
        symbols = [site["species"][0]["element"] for site in structure["sites"]]
        if np.linalg.det(lattice) < 0:  # the same Cartesian points on right-handed axes
            lattice, points = -lattice, -points
        yield (
            entry["tags"]["aflow"],
            Crystal(lattice, points, np.array([atomic_number(symbol.rstrip("0+-")) for symbol in symbols])),
        )


@dataclass
class PrototypeResult:
    """Section d: orbit reconstructions that failed, by what was known of the site."""

    n: int = 0
    n_sites: int = 0
    other_group: list[str] = field(default_factory=list)
    by_letter: list[str] = field(default_factory=list)
    by_code: list[str] = field(default_factory=list)
    code_shared: int = 0


def measure_prototypes(n_seeds: int = N_SEEDS) -> PrototypeResult:
    """Rebuild every prototype from site symmetries and noisy representatives, with seeds 0 to n_seeds - 1."""
    result = PrototypeResult()
    for label, crystal in aflow_prototypes():
        unit = reduce(crystal, 1e-2)
        result.n += 1
        result.n_sites += len(unit.numbers)
        if str(unit.group) != label.split("_")[2]:
            result.other_group.append(f"{label} ({unit.group})")
        groups, n = np.full(len(unit.numbers), unit.group), len(unit.numbers)
        lattices = np.tile(unit.lattice, (n, 1, 1))
        by_letter = (unit.positions, np.ones(n, dtype=np.int64))
        by_code = positions_sharing_code(groups, unit.positions)
        result.code_shared += int((by_code[1] > 1).sum())
        exact = expand(unit)
        for seed in range(n_seeds):
            rng = np.random.default_rng(seed)
            noise = rng.normal(0.0, NOISE, (n, 3))
            # Any image of the representative will do, so a random operation and lattice vector come on top.
            group = space_group(unit.group)
            operation = rng.integers(len(group.rotations), size=n)
            points = unit.frac_coords + noise
            points = np.einsum("nij,nj->ni", group.rotations[operation], points) + group.translations[operation]
            points += rng.integers(-2, 3, (n, 3))
            bound = 2 * np.linalg.norm(noise @ unit.lattice, axis=1).max() + 1e-9
            for known, failed in ((by_letter, result.by_letter), (by_code, result.by_code)):
                found = project(groups, lattices, points, *known, crystals=np.zeros(n, dtype=np.int64))
                again = AsymUnit(unit.group, unit.lattice, unit.numbers, found.positions, found.free_coords)
                if not np.array_equal(found.positions, unit.positions) or deviation(expand(again), exact) > bound:
                    failed.append(f"{label} seed {seed}")
    return result


def ambiguous_codes() -> tuple[int, int, int]:
    """(groups in which positions share a site-symmetry code, pairs of group and code, most positions with one code)."""
    table = tables()
    first = table["first_position"]
    counts = [
        np.unique(table["site_code"][start : start + n], axis=0, return_counts=True)[1]
        for start, n in zip(first, table["n_positions"], strict=True)
    ]
    return sum(int((c > 1).any()) for c in counts), sum(len(c) for c in counts), max(int(c.max()) for c in counts)


def named(items: list[str]) -> str:
    """A count with the names behind it."""
    return "none" if not items else f"{len(items)}: " + "; ".join(items)


def report(mp20: Mp20Result, lattices: list, prototypes: PrototypeResult, machine: str) -> str:
    """The committed page."""
    n = mp20.n
    versions = ", ".join(f"{name} {version(name)}" for name in ("numpy", "moyopy", "spglib", "pymatgen", "gemmi"))
    groups, pairs, most = ambiguous_codes()
    runs = prototypes.n * N_SEEDS
    rebuilt = n - len(mp20.unreadable) - len(mp20.not_rebuilt)
    same = n - len(mp20.unreadable) - len(mp20.other_group)
    lines = [
        "# Symmetry: what was measured",
        "",
        f"Made by `python benchmarks/symmetry.py` on {date.today().isoformat()}, {machine}, one process; {versions}.",
        f"MP-20 val, n = {n}, moyopy at symprec {SYMPREC} A.",
        "",
        "| what | result |",
        "|---|---|",
        f"| reduce -> expand gives the standardised crystal, every atom within {CLOSE} A | {rebuilt} of {n}"
        f" (worst {mp20.worst:.1e} A; worst cell parameter {mp20.worst_cell:.1e} A or degree) |",
        f"| spglib finds the same group in the rebuilt crystal at {TIGHT} A | {same} of {n} |",
        f"| no group found | {named(mp20.unreadable)} |",
        f"| not rebuilt | {named(mp20.not_rebuilt)} |",
        f"| another group by spglib | {named(mp20.other_group)} |",
        f"| moyopy and spglib disagree on the raw structure at {SYMPREC} A |"
        f" {len(mp20.disagree)} of {n}, listed below |",
        f"| `reduce_many` in chunks of {CHUNK}, CPU time a structure |"
        f" {1e3 * mp20.reduce_seconds / max(n, 1):.2f} ms |",
        f"| AFLOW prototypes rebuilt, letter known (noise {NOISE} fractional, seeds 0-{N_SEEDS - 1}) |"
        f" {runs - len(set(prototypes.by_letter))} of {runs} |",
        f"| AFLOW prototypes rebuilt, site-symmetry code alone | {runs - len(set(prototypes.by_code))} of {runs} |",
        f"| ... prototypes, orbits, orbits whose code another position of the group shares |"
        f" {prototypes.n}, {prototypes.n_sites}, {prototypes.code_shared} |",
        f"| ... whose group is not the one in their label | {named(prototypes.other_group)} |",
        f"| ... failures | letter: {named(prototypes.by_letter)}; code: {named(prototypes.by_code)} |",
        f"| groups in which Wyckoff positions share a code | {groups} of 230 ({pairs} pairs of group and code over 1731"
        f" positions, at most {most} positions with one code) |",
        "",
        f"## Lattice and k, {N_CELLS} random cells a crystal system (seed 0)",
        "",
        "| crystal system | largest error of k -> L -> k | largest relative error of L -> k -> L (metric) |",
        "|---|---|---|",
        *(f"| {system} | {k_error:.1e} | {metric_error:.1e} |" for system, k_error, metric_error in lattices),
        "",
        f"## moyopy and spglib on the raw structures at {SYMPREC} A: {len(mp20.disagree)} of {n} disagree",
        "",
        "| material | moyopy | spglib |",
        "|---|---|---|",
        *(f"| {name} | {ours} | {theirs} |" for name, ours, theirs in mp20.disagree),
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure and print; `-o` also writes the page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("-o", "--output", type=Path, help="write the page here too")
    parser.add_argument("--data", type=Path, default=MP20, help="MP-20 file (csv.gz)")
    parser.add_argument("-n", type=int, help="read only the first N rows")
    parser.add_argument("--machine", default="2-core CPU", help="words for the machine in the page")
    arguments = parser.parse_args()
    page = report(
        measure_mp20(arguments.data, arguments.n), measure_lattices(0), measure_prototypes(), arguments.machine
    )
    print(page)
    if arguments.output:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(page)


if __name__ == "__main__":
    main()
