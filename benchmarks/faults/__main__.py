"""Faults survived: `python -m benchmarks.faults PART --work FOLDER`, tables on standard output.

mutants   mutated inputs over all commands           [--n 10000] [--seed 0], goes on where it was stopped
places    full disks, read-only folders, readers that go away
hostile   archives that attack, names that attack
kills     SIGKILL at random moments, then --resume
report    the table of the mutants that were run
"""

from __future__ import annotations

import argparse
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.faults.hostile import run_hostile
from benchmarks.faults.kills import run_kills
from benchmarks.faults.mutants import report, run_mutants
from benchmarks.faults.places import run_places
from benchmarks.faults.seeds import make_seeds

PARTS = {"places": run_places, "hostile": run_hostile, "kills": run_kills}


def main() -> None:
    """One part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("mutants", *PARTS, "report"))
    parser.add_argument("--work", type=Path, required=True, help="folder for seeds, logs and what was faulty")
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    work = given.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    if given.part == "mutants":
        make_seeds(work)
        run_mutants(work, given.seed, given.first, given.first + given.n)
    else:
        make_seeds(work)
    print(f"{datetime.now(UTC):%Y-%m-%d}, {machine()}\n")
    print(PARTS.get(given.part, report)(work))


def machine() -> str:
    """Processor, cores, versions."""
    cpu = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
    cores = Path("/proc/cpuinfo").read_text().count("processor\t")
    libraries = ", ".join(f"{name} {version(name)}" for name in ("gemmi", "h5py", "numpy", "torch"))
    return f"{cpu.partition(': ')[2]}, {cores} cores, Python {platform.python_version()}, {libraries}"


if __name__ == "__main__":
    main()
