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
from benchmarks.faults.sets import run_sets

PARTS = ("mutants", "places", "hostile", "kills", "sets", "report")


def main() -> None:
    """One part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--work", type=Path, required=True, help="folder for seeds, logs and what was faulty")
    parser.add_argument("--n", type=int, help="mutants (10,000), kills (100) or structures (3,000)")
    parser.add_argument("--qmof", type=Path)
    parser.add_argument("--n-qmof", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    work = given.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    if given.part != "report":
        make_seeds(work)
    parts = {
        "mutants": lambda: run_mutants(work, given.seed, given.first, given.first + (given.n or 10_000)),
        "places": lambda: run_places(work),
        "hostile": lambda: run_hostile(work),
        "kills": lambda: run_kills(work, given.n or 100, given.seed),
        "sets": lambda: run_sets(work, 3000 if given.n is None else given.n, given.qmof, given.n_qmof, given.seed),
        "report": lambda: report(work),
    }
    table = parts[given.part]()
    print(f"{datetime.now(UTC):%Y-%m-%d}, {machine()}\n\n{table}")


def machine() -> str:
    """Processor, cores, versions."""
    cpu = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
    cores = Path("/proc/cpuinfo").read_text().count("processor\t")
    libraries = ", ".join(f"{name} {version(name)}" for name in ("gemmi", "h5py", "numpy", "torch"))
    return f"{cpu.partition(': ')[2]}, {cores} cores, Python {platform.python_version()}, {libraries}"


if __name__ == "__main__":
    main()
