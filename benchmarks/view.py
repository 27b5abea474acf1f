"""Speed and memory of `view` on many blocks: `python benchmarks/view.py [-n 100000] [--data val.csv.gz] [-o FILE.md]`.

The blocks are the first of MP-20's validation set (`--distinct`) as `asym-unit` writes them, repeated under new names
until there are enough, each with a `_crystaltool_e_above_hull` drawn from (seed, index), every tenth without. Each
command line runs in a process of its own, one thread; seconds are the process's own processor time, start included,
memory is its peak resident size. Asked for: at least 2,000 blocks a second a core, under 300 MB.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import os
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import date
from itertools import cycle, islice
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
MP20 = ROOT.parent / "shared" / "data" / "inorganic" / "mp20" / "val.csv.gz"

ASKED_SPEED, ASKED_MB = 2000, 300
BEST = ("--sort", "e_above_hull", "--columns", "name,formula,space_group,e_above_hull", "--format", "csv")
CASES: dict[str, tuple[str, ...]] = {
    "the manual's example": ("-e", 'e_above_hull <= 0.05 and "Li" in elements', *BEST),
    "a value": ("-e", "e_above_hull <= 0.05"),
    "the best twenty": ("--sort", "e_above_hull", "--head", "20"),
    "elements of every block": ("-e", "elements <= {Li, Fe, P, O}"),
    "cell": ("-e", "volume > 100 and a < 10"),
    "formula of every block": ("-e", 'reduced_formula == "LiFePO4"'),
    "space group of every block": ("-e", 'crystal_system == "cubic"'),
    "all, sorted": ("--sort", "e_above_hull"),
    "no filter": (),
    "a table of all": ("--format", "csv"),
    "extended XYZ, 2,000 blocks": ("--head", "2000", "--format", "extxyz"),
}


def blocks(data: Path, count: int, distinct: int, seed: int) -> Iterator[str]:
    """Texts of blocks with names and values of their own."""
    with gzip.open(data, "rt", newline="") as handle:
        rows = list(islice(csv.reader(handle), distinct + 1))
    table = io.StringIO()
    csv.writer(table).writerows(rows)
    done = subprocess.run(
        [sys.executable, "-m", "crystaltool", "asym-unit", "-q", "--no-provenance"],
        input=table.getvalue(),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    texts = re.split(r"(?m)^(?=data_)", done.stdout)[1:]
    values = np.random.default_rng(seed).exponential(0.2, count)
    for index, text in zip(range(count), cycle(texts), strict=False):
        head, rest = text.split("\n", 1)
        value = "" if index % 10 == 9 else f"_crystaltool_e_above_hull {values[index]:.5f}\n"
        yield f"{head}-{index:06d}\n{value}{rest}"


def measure(arguments: Sequence[str], source: Path) -> tuple[float, float]:
    """Processor seconds and peak memory in MB of one command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(
        [sys.executable, "-m", "crystaltool", "view", "-q", *arguments, str(source)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"view {' '.join(arguments)} ended {process.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, used.ru_maxrss / 1024


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=100_000, help="blocks")
    parser.add_argument("--data", type=Path, default=MP20, help="MP-20 csv.gz")
    parser.add_argument("--distinct", type=int, default=1000, help="structures that are repeated")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", type=Path, help="also write the table here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "blocks.cif"
        with source.open("w") as handle:
            handle.writelines(blocks(options.data, options.n, options.distinct, options.seed))
        megabytes = source.stat().st_size / 1e6
        lines = [
            "# `view` on many blocks",
            "",
            f"`python benchmarks/view.py -n {options.n} --distinct {options.distinct} --seed {options.seed}`,",
            f"{date.today()}: {options.n:,} blocks of {options.distinct:,} structures, {megabytes:.0f} MB, one process",
            f"on a core that others used too. Asked for: {ASKED_SPEED:,} blocks a second, under {ASKED_MB} MB.",
            "",
            "| what | command line | blocks a second | processor seconds | peak MB |",
            "|---|---|---|---|---|",
        ]
        print("\n".join(lines), flush=True)
        for what, arguments in CASES.items():
            seconds, peak = measure(arguments, source)
            count = min(options.n, 2000) if "2000" in arguments else options.n
            shown = " ".join(f"'{word}'" if " " in word else word for word in arguments)
            lines.append(f"| {what} | `view {shown}` | {count / seconds:,.0f} | {seconds:.1f} | {peak:.0f} |")
            print(lines[-1], flush=True)
    if options.o:
        options.o.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
