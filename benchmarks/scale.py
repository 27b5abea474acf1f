"""Time and memory of each stage on streams of 10^3, 10^4 and 10^5 structures; novelty and uniqueness at full size.

    python benchmarks/scale.py --work FOLDER --units test.h5 [--limit 300] [-o benchmarks/results/scale.md]

Crystals are the first 1,000 of MP-20 test (`--units`, as `asym-unit -o FILE.h5` wrote them), MOFs the first 100 of
QMOF, repeated under new names; each crystal states its energy above the hull and, made up, an energy (of kind mp2020)
at which `measure --hull` can work without a potential. Novelty is asked of crystals of MP-20 test against all 155,345
structures of the Materials Project's archive of 2024-07-24, uniqueness of 100,000 of these themselves.

Every command runs in a process of its own on one thread; seconds are its processor time, start included, memory is its
peak resident size. A size is left out where ten times the processor time of the size before passes `--limit` seconds.
What was measured stands in FOLDER/rows.jsonl, a killed run goes on there.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from datetime import date
from importlib.metadata import version
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"
ARCHIVE = SHARED / "inorganic" / "mp" / "mp_20240724.npz"
QMOF = SHARED / "mof" / "qmof_cif.tar.xz"

SIZES = (1_000, 10_000, 100_000)
N_CRYSTALS, N_MOFS = 1_000, 100
N_UNIQUE = 100_000
BLOCK_SUFFIX = "data_"


class Stage(NamedTuple):
    """A command line, and the kind of its input."""

    source: str
    words: tuple[str, ...]


STAGES = {
    "asym-unit": Stage("atoms", ("asym-unit", "--symprec", "0.1")),
    "asym-unit -o FILE.h5": Stage("atoms", ("asym-unit", "--symprec", "0.1", "-o", "out.h5", "--overwrite")),
    "asym-unit --expand": Stage("units", ("asym-unit", "--expand")),
    "check": Stage("units", ("check", "--exit-zero")),
    "measure --hull, stated energies": Stage("units", ("measure", "--hull", "--potential", "mp2020")),
    "view -e 'e_above_hull < 0.05'": Stage("units", ("view", "-e", "e_above_hull < 0.05")),
    "view --format csv": Stage("units", ("view", "--format", "csv")),
    "stats": Stage("units", ("stats",)),
    "stats --declared": Stage("units", ("stats", "--declared")),
    "fragment": Stage("mofs", ("fragment", "-o", "out.h5", "--overwrite")),
}
WITHOUT_HISTORY = ("asym-unit", "measure", "fragment")


def renamed(texts: list[str], n: int) -> Iterator[str]:
    """So many blocks, under names of their own."""
    for index, text in zip(range(n), cycle(texts), strict=False):
        head, rest = text.split("\n", 1)
        yield f"{head}-{index:06d}\n{rest}"


def crystals(units: Path) -> tuple[list[str], list[str]]:
    """Blocks of asymmetric units, and of all atoms in P 1."""
    from crystaltool.io.hdf5 import read_asym_units
    from crystaltool.structure import Structure
    from crystaltool.verbs.units import expanded

    table = read_asym_units(units)
    with h5py.File(units) as file:
        above = file["properties/e_above_hull"][:N_CRYSTALS]
    short, full = [], []
    for index in range(min(N_CRYSTALS, len(table))):
        properties = {
            "e_above_hull": f"{above[index]:.5f}",
            "energy_per_atom": "-5.0",
            "relax_forcefield": "mp2020",
        }
        structure = Structure(table[index], name=table[index].name, properties=properties)
        short.append(structure.to_cif(None))
        full.append(expanded(None, structure).to_cif(None))
    return short, full


def mofs() -> list[str]:
    """Blocks of the first MOFs of the archive."""
    with tarfile.open(QMOF) as archive:
        members = islice((member for member in archive if member.name.endswith(".cif")), N_MOFS)
        texts = [archive.extractfile(member).read().decode() for member in members]  # ty: ignore
    return [text[text.index(BLOCK_SUFFIX) :].rstrip("\n") + "\n" for text in texts]


def archive_crystals() -> Iterator[Any]:
    """All structures of the Materials Project's archive."""
    from crystaltool.crystal import Crystal
    from crystaltool.lattice import parameters_to_matrix

    with np.load(ARCHIVE, allow_pickle=False) as data:
        ids, cells, counts, numbers, positions = (data[key] for key in ("ids", "cell", "nat", "Z", "frac"))
    starts = np.cumsum(counts) - counts
    for i in range(len(ids)):
        atoms = slice(starts[i], starts[i] + counts[i])
        lattice = parameters_to_matrix(*cells[i])
        yield Crystal(lattice, positions[atoms].astype(float), numbers[atoms].astype(int), str(ids[i]))


def write_reference(path: Path) -> None:
    """The archive as a data set in P 1, which `check --reference` reads."""
    from crystaltool.asymunit import AsymUnit, tabulate
    from crystaltool.io.hdf5 import write_asym_units

    units = [
        AsymUnit(1, c.lattice, c.numbers, np.zeros(c.n_atoms, dtype=np.int64), c.frac_coords, c.name)
        for c in archive_crystals()
    ]
    write_asym_units(path, tabulate(units), history=(ARCHIVE.name,))


def write_unique(path: Path) -> None:
    """The first of the archive as blocks."""
    from crystaltool.io.cif import format_crystal

    with path.open("w") as out:
        out.writelines(format_crystal(crystal, crystal.name) for crystal in islice(archive_crystals(), N_UNIQUE))


class Inputs:
    """Files that the stages read, made when first asked for."""

    def __init__(self, folder: Path, units: Path) -> None:
        self._folder, self._units = folder, units
        self._texts: dict[str, list[str]] = {}

    def file(self, kind: str, n: int) -> Path:
        """So many blocks of a kind."""
        return self._made(f"{kind}-{n}.cif", lambda path: self._write(path, kind, n))

    @property
    def reference(self) -> Path:
        """All of the Materials Project."""
        return self._made("reference.h5", write_reference)

    @property
    def unique(self) -> Path:
        """Different crystals."""
        return self._made("unique.cif", write_unique)

    def _made(self, name: str, make: Callable[[Path], None]) -> Path:
        path = self._folder / name
        if not path.exists():
            unfinished = path.with_name(f"unfinished-{name}")
            make(unfinished)
            unfinished.rename(path)
        return path

    def _write(self, path: Path, kind: str, n: int) -> None:
        if kind == "mofs" and kind not in self._texts:
            self._texts[kind] = mofs()
        elif kind not in self._texts:
            self._texts["units"], self._texts["atoms"] = crystals(self._units)
        with path.open("w") as out:
            out.writelines(renamed(self._texts[kind], n))


def run(words: tuple[str, ...], source: Path, folder: Path) -> dict[str, float]:
    """Processor and wall seconds and peak memory in MB of one command; one that fails ends the run."""
    began = time.monotonic()
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "crystaltool", *words, "-q", str(source)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
        _, status, used = os.wait4(process.pid, 0)
    code = process.returncode = os.waitstatus_to_exitcode(status)
    if code:
        sys.exit(f"{' '.join(words)} ended with {code}: {(folder / 'log.txt').read_text()}")
    return {
        "cpu": used.ru_utime + used.ru_stime,
        "wall": time.monotonic() - began,
        "mb": used.ru_maxrss / 1024,
    }


class Rows:
    """What was measured, a line each."""

    def __init__(self, path: Path) -> None:
        self._path = path
        lines = path.read_text().splitlines() if path.exists() else []
        self.found: dict[tuple[str, int], dict[str, Any]] = {}
        for row in map(json.loads, lines):
            self.found[row["stage"], row["n"]] = row

    def measure(self, stage: str, n: int, words: tuple[str, ...], source: Callable[[], Path], folder: Path) -> None:
        """Run a command that was not run yet."""
        if (stage, n) in self.found:
            return
        row = {"stage": stage, "n": n, **run(words, source(), folder), "date": str(date.today())}
        self.found[stage, n] = row
        with self._path.open("a") as handle:
            handle.write(json.dumps(row) + "\n")
        print(f"{stage}, {n}: {row['cpu']:.1f} s, {row['mb']:.0f} MB", flush=True)


def words_of(stage: Stage) -> tuple[str, ...]:
    """The command line; no dates in blocks."""
    return (*stage.words, "--no-provenance") if stage.words[0] in WITHOUT_HISTORY else stage.words


def measure_all(rows: Rows, inputs: Inputs, folder: Path, limit: float) -> None:
    """Small sizes of all stages first."""
    for n, smaller in zip(SIZES, (0, *SIZES), strict=False):
        for name, stage in STAGES.items():
            before = rows.found.get((name, smaller))
            if smaller and (before is None or before["cpu"] * n / smaller > limit):
                continue
            rows.measure(name, n, words_of(stage), lambda: inputs.file(stage.source, n), folder)  # noqa: B023
    unique = ("check", "--only", "unique", "--exit-zero")
    rows.measure(UNIQUE, N_UNIQUE, unique, lambda: inputs.unique, folder)
    novel = ("check", "--only", "novel", "--exit-zero", "--reference", str(inputs.reference))
    for n in (1, SIZES[0], SIZES[1]):
        rows.measure(NOVEL, n, novel, lambda: inputs.file("units", n), folder)  # noqa: B023


UNIQUE, NOVEL = "check --only unique", "check --only novel, 155,345 known"


def table(rows: Rows) -> Iterator[str]:
    """Lines of Markdown."""
    yield "| stage | " + " | ".join(f"{n:,}: cpu s | MB" for n in SIZES) + " | ms a structure | grows as |"
    yield "|---|" + "---|" * (2 * len(SIZES) + 2)
    for name in STAGES:
        measured = [rows.found[name, n] for n in SIZES if (name, n) in rows.found]
        cells = [f"{row['cpu']:.1f} | {row['mb']:.0f}" for row in measured]
        cells += [" | "] * (len(SIZES) - len(cells))
        yield f"| `{name}` | " + " | ".join(cells) + f" | {slope(measured)} | {power(measured)} |"
    yield ""
    compared = [(key, row) for key, row in rows.found.items() if key[0] in (UNIQUE, NOVEL)]
    if not compared:
        yield "Novelty and uniqueness at full size are not measured yet."
        return
    yield "| stage | structures | cpu s | MB |"
    yield "|---|---|---|---|"
    for (stage, n), row in compared:
        yield f"| `{stage}` | {n:,} | {row['cpu']:.0f} | {row['mb']:.0f} |"


def slope(measured: list[dict[str, Any]]) -> str:
    """Milliseconds that one more structure takes, between the two largest sizes."""
    if len(measured) < 2:
        return ""
    first, second = measured[-2:]
    return f"{1000 * (second['cpu'] - first['cpu']) / (second['n'] - first['n']):.2f}"


def power(measured: list[dict[str, Any]]) -> str:
    """The power of n by which the time without the start grows from the second size to the third."""
    if len(measured) < 3:
        return ""
    small, middle, large = (row["cpu"] for row in measured)
    start = small - (middle - small) / (measured[1]["n"] / measured[0]["n"] - 1)
    exponent = np.log((large - start) / (middle - start)) / np.log(measured[2]["n"] / measured[1]["n"])
    return f"n^{exponent:.2f}"


def report(rows: Rows) -> str:
    """The results as a page."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("numpy", "gemmi", "moyopy", "pymatgen", "h5py"))
    days = sorted({row["date"] for row in rows.found.values()})
    python = ".".join(map(str, sys.version_info[:3]))
    return "\n".join(
        [
            "# Time and memory by number of structures",
            "",
            f"`python benchmarks/scale.py`, {' to '.join(dict.fromkeys((days[0], days[-1])))}; one process on one of"
            f" {os.cpu_count()} cores that others used",
            f"too, Python {python}, {versions}. Processor seconds with the start, peak resident memory.",
            "",
            *table(rows),
            "",
        ]
    )


def main() -> None:
    """Measure what is missing and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of inputs and of what was measured")
    parser.add_argument("--units", type=Path, required=True, help="MP-20 test as asym-unit -o FILE.h5 wrote it")
    parser.add_argument("--limit", type=float, default=300.0, help="most processor seconds of a run (default 300)")
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    rows = Rows(options.work / "rows.jsonl")
    measure_all(rows, Inputs(options.work.absolute(), options.units.absolute()), options.work, options.limit)
    text = report(rows)
    if options.output:
        options.output.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
