"""Throughput of `asym-unit` against pyxtal: `python benchmarks/asym_unit.py [-n ROWS] [--data val.csv.gz]`.

The same rows, one process, one run. Ours is everything from the compressed CSV file to the HDF5 data set on disk.
pyxtal's is `pyxtal().from_seed` alone, on structures that were parsed before its clock starts. Times are processor
times, which a busy machine disturbs less; the ratio that was asked for is 20.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from itertools import islice
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

MP20 = Path(__file__).resolve().parents[2] / "shared" / "data" / "inorganic" / "mp20" / "val.csv.gz"
SYMPREC = 0.1
"""Angstrom; MP-20's own labels were made with it."""


def processor_seconds(action: Callable[[], object]) -> float:
    """Processor time of one call in this process."""
    start = time.process_time()
    action()
    return time.process_time() - start


def first_rows(source: Path, n_rows: int, target: Path) -> list[dict[str, str]]:
    """Copy the first rows into a compressed CSV file of their own."""
    with gzip.open(source, "rt", newline="") as handle:
        rows = list(islice(csv.DictReader(handle), n_rows))
    with gzip.open(target, "wt", newline="") as handle:
        writer = csv.DictWriter(handle, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return rows


def time_ours(source: Path, target: Path) -> float:
    """Seconds from csv.gz to HDF5, after one warm-up run that loads the libraries and the tables."""
    from crystaltool.cli import main

    command = ["asym-unit", "-q", "--symprec", str(SYMPREC), "--overwrite", "-o", str(target), str(source)]
    main.run(command)
    return processor_seconds(lambda: main.run(command))


def time_pyxtal(rows: list[dict[str, str]]) -> tuple[float, int]:
    """Seconds that `from_seed` takes for all rows, and the number of rows it failed on."""
    from pymatgen.core import Structure
    from pyxtal import pyxtal

    structures = [Structure.from_str(row["cif"], fmt="cif") for row in rows]
    pyxtal().from_seed(structures[0], tol=SYMPREC)
    failed = []

    def run() -> None:
        for structure in structures:
            try:
                pyxtal().from_seed(structure, tol=SYMPREC)
            except Exception as error:  # pyxtal raises whatever its libraries do
                failed.append(error)

    return processor_seconds(run), len(failed)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=500, help="rows (default 500)")
    parser.add_argument("--data", type=Path, default=MP20, help="MP-20 csv.gz")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "rows.csv.gz"
        rows = first_rows(arguments.data, arguments.n, source)
        ours = time_ours(source, Path(folder) / "rows.h5")
    theirs, n_failed = time_pyxtal(rows)
    n_rows = len(rows)
    print(f"rows: first {n_rows} of {arguments.data.name}, symprec {SYMPREC} A, one process, processor time")
    print(f"crystaltool asym-unit, csv.gz to HDF5: {1e3 * ours / n_rows:.3f} ms a structure")
    name = f"pyxtal {version('pyxtal')} from_seed alone"
    print(f"{name}: {1e3 * theirs / n_rows:.3f} ms a structure ({n_failed} failed)")
    print(f"ratio: {theirs / ours:.1f}")


if __name__ == "__main__":
    main()
