"""Simulated CO2 uptake of frameworks: `python benchmarks/adsorption.py FILE.cif... -o TABLE.csv [--jobs N]`.

Takes any stream of CIF blocks (`-` is standard input), and writes for each the uptake at 0.1, 0.15 and 1 bar and 298 K
and the working capacity between 1 and 0.1 bar, in mmol/g, with standard errors. `--compare A.csv B.csv` prints the
difference of the means of two such tables with a bootstrap interval; `--labels N` simulates N labelled QMOF entries
and prints the agreement; `--raspa` simulates with RASPA3 (package raspalib) instead. The method is in
`carbon_dioxide.py`, the figures in `results/adsorption.md`.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from carbon_dioxide import CUTOFF, GUEST, TEMPERATURE, lennard_jones, make_pool, replicas, simulate
from pymatgen.core import Element
from scipy.stats import spearmanr

from crystaltool.crystal import Crystal
from crystaltool.errors import CrystaltoolError
from crystaltool.io.stream import BadRecord, RawBlock, iter_raw, parse_raw

PRESSURES = {"0.1bar": 1e4, "0.15bar": 1.5e4, "1bar": 1e5}
"""Pa."""

QUANTITIES = (*(f"co2_{name}" for name in PRESSURES), "co2_wc")
COLUMNS = (
    "name",
    *(column for name in QUANTITIES for column in (name, f"{name}_error")),
    *("n_atoms", "density", "widom_error", "exchanges", "seconds", "properties", "reason"),
)
LABELS = {
    "co2_0.1bar": "CO2_mmol_g_0.1bar",
    "co2_0.15bar": "CO2_mmol_g_0.15bar_interp",
    "co2_1bar": "CO2_mmol_g_1bar",
    "co2_wc": "wc_1bar_minus_0.1bar",
}
DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "mof"
N_BOOTSTRAP = 10000
RASPA_CYCLES = 10000


def mass(crystal: Crystal) -> float:
    """Mass of the cell in g/mol."""
    return float(sum(Element.from_Z(int(number)).atomic_mass for number in crystal.numbers))


def isotherm(crystal: Crystal, seed: int = 0) -> dict[str, float]:
    """Uptakes, working capacity and their standard errors, in mmol/g, by the columns of the table.

    The error of an uptake joins the spread of the chains and the error of Widom's mean, which moves the number of
    molecules by its variance; the latter is common to both ends of the working capacity.
    """
    pool = make_pool(crystal, seed=seed)
    to_uptake = 1000 / (mass(crystal) * float(np.prod(replicas(crystal.lattice))))
    loadings = {name: simulate(pool, pressure, seed=seed) for name, pressure in PRESSURES.items()}
    row: dict[str, float] = {}
    for name, loading in loadings.items():
        row[f"co2_{name}"] = loading.mean * to_uptake
        row[f"co2_{name}_error"] = float(np.hypot(loading.error, loading.variance * pool.relative_error)) * to_uptake
    low, high = loadings["0.1bar"], loadings["1bar"]
    row["co2_wc"] = (high.mean - low.mean) * to_uptake
    common = (high.variance - low.variance) * pool.relative_error
    row["co2_wc_error"] = float(np.sqrt(high.error**2 + low.error**2 + common**2)) * to_uptake
    row["widom_error"] = pool.relative_error
    row["exchanges"] = min(loading.exchanges for loading in loadings.values())
    return row


def raspa_task(crystal: Crystal, cycles: int, seed: int) -> dict:
    """What `adsorption_worker.py` reads."""
    kinds = sorted({int(number) for number in crystal.numbers})
    guests = {site[0]: index for index, site in enumerate(GUEST[:2])}
    lengths = np.linalg.norm(crystal.lattice, axis=1)
    unit = crystal.lattice / lengths[:, None]
    angles = [float(np.arccos(unit[i] @ unit[j])) for i, j in ((1, 2), (0, 2), (0, 1))]
    species = [
        (f"{symbol}_co2", float(Element(symbol).atomic_mass), epsilon, sigma)
        for symbol, epsilon, sigma, _, _ in GUEST[:2]
    ]
    species += [
        (Element.from_Z(kind).symbol, float(Element.from_Z(kind).atomic_mass), *lennard_jones(kind)) for kind in kinds
    ]
    return {
        "species": species,
        "molecule": [(guests[symbol], charge, place) for symbol, _, _, charge, place in GUEST],
        "cell": [*map(float, lengths), *angles],
        "sites": [
            (len(guests) + kinds.index(int(number)), *map(float, coords))
            for number, coords in zip(crystal.numbers, crystal.frac_coords % 1, strict=True)
        ],
        "replicas": replicas(crystal.lattice).tolist(),
        "cutoff": CUTOFF,
        "temperature": TEMPERATURE,
        "pressures": list(PRESSURES.values()),
        "cycles": cycles,
        "seed": seed + 1,
    }


def raspa_isotherm(crystal: Crystal, cycles: int = RASPA_CYCLES, seed: int = 0) -> dict[str, float]:
    """As `isotherm`, by RASPA3; no error of Widom's mean, no count of exchanges.

    Raises:
        RuntimeError: RASPA3 failed.
    """
    worker = [sys.executable, str(Path(__file__).with_name("adsorption_worker.py"))]
    done = subprocess.run(worker, input=json.dumps(raspa_task(crystal, cycles, seed)), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"RASPA3 failed: {done.stderr.strip().splitlines()[-1:]}")
    found = json.loads(done.stdout.strip().splitlines()[-1])["molecules"]
    to_uptake = 1000 / (mass(crystal) * float(np.prod(replicas(crystal.lattice))))
    row = {}
    for name, (mean, error) in zip(PRESSURES, found, strict=True):
        row |= {f"co2_{name}": mean * to_uptake, f"co2_{name}_error": error * to_uptake}
    row["co2_wc"] = row["co2_1bar"] - row["co2_0.1bar"]
    row["co2_wc_error"] = float(np.hypot(row["co2_1bar_error"], row["co2_0.1bar_error"]))
    return row


def table_row(raw: RawBlock | BadRecord, raspa: bool, seed: int) -> dict[str, object]:
    """One row of the table; `reason` says why there are no numbers in it."""
    block = raw if isinstance(raw, BadRecord) else parse_raw(raw)
    if isinstance(block, BadRecord):
        return {"name": block.name, "reason": block.message}
    start = time.process_time()
    crystal = block.crystal
    row: dict[str, object] = {"name": block.name, "n_atoms": crystal.n_atoms}
    try:
        row["density"] = mass(crystal) / crystal.volume / 0.602214076
        row |= raspa_isotherm(crystal, seed=seed) if raspa else isotherm(crystal, seed)
    except (CrystaltoolError, RuntimeError) as error:
        row["reason"] = str(error)
    row["seconds"] = time.process_time() - start
    row["properties"] = json.dumps(block.properties)
    return row


def rows(records: Iterable[RawBlock | BadRecord], raspa: bool, seed: int, jobs: int) -> Iterator[dict[str, object]]:
    """Rows in the order of the records."""
    if jobs == 1:
        yield from (table_row(record, raspa, seed) for record in records)
        return
    with ProcessPoolExecutor(jobs) as executor:
        waiting = [executor.submit(table_row, record, raspa, seed) for record in records]
        yield from (future.result() for future in waiting)


def read_table(path: Path) -> list[dict[str, str]]:
    """Rows with numbers in them."""
    with path.open(newline="") as handle:
        return [row for row in csv.DictReader(handle) if row["co2_wc"]]


def bootstrap_difference(
    first: np.ndarray, second: np.ndarray, n: int = N_BOOTSTRAP, seed: int = 0
) -> tuple[float, float, float]:
    """Mean of the first sample less that of the second, and the 95 % percentile interval of resampling both."""
    rng = np.random.default_rng(seed)
    draws = [sample[rng.integers(0, len(sample), (n, len(sample)))].mean(axis=1) for sample in (first, second)]
    low, high = np.percentile(draws[0] - draws[1], [2.5, 97.5])
    return float(first.mean() - second.mean()), float(low), float(high)


def agreement(simulated: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Median and quartiles of simulated over label, Spearman's correlation, correlation of the logarithms."""
    ratio = simulated / labels
    low, middle, high = np.percentile(ratio, [25, 50, 75])
    both = np.log(np.maximum(simulated, 1e-9)), np.log(labels)
    return {
        "median ratio": float(middle),
        "lower quartile": float(low),
        "upper quartile": float(high),
        "Spearman": float(spearmanr(simulated, labels).statistic),
        "log correlation": float(np.corrcoef(*both)[0, 1]),
    }


def labelled(n: int, seed: int, leave_out: Sequence[str] = ()) -> list[dict[str, str]]:
    """Labelled MOFs, one drawn from each of n equal parts of the order by working capacity."""
    with (DATA / "qmof_co2_isotherms.csv").open(newline="") as handle:
        table = [row for row in csv.DictReader(handle) if row["qmof_id"] not in leave_out]
    table.sort(key=lambda row: float(row[LABELS["co2_wc"]]))
    rng = np.random.default_rng(seed)
    return [table[rng.choice(part)] for part in np.array_split(np.arange(len(table)), n)]


def compare(first: Path, second: Path) -> None:
    """Print the difference of two tables, and how well the numbers in the blocks foretell the simulated ones."""
    tables = [read_table(path) for path in (first, second)]
    print("| mmol/g | n | mean | n | mean | difference | 95 % interval |\n|---|---|---|---|---|---|---|")
    for name in QUANTITIES:
        samples = [np.array([float(row[name]) for row in table]) for table in tables]
        difference, low, high = bootstrap_difference(samples[0], samples[1])
        cells = " | ".join(f"{len(sample)} | {sample.mean():.3f}" for sample in samples)
        print(f"| {name} | {cells} | {difference:+.3f} | {low:+.3f} to {high:+.3f} |")
    declared = [(row, json.loads(row["properties"])) for table in tables for row in table]
    for key in sorted({key for _, properties in declared for key in properties if "co2" in key}):
        pairs = [(float(properties[key]), float(row["co2_wc"])) for row, properties in declared if key in properties]
        if len(pairs) >= 10:
            print(f"\nSpearman of {key} in the blocks and co2_wc: {spearmanr(*zip(*pairs, strict=True)).statistic:.2f}")


def main() -> int:
    """Write a table, or print what tables say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", help="CIF files, folders, archives; - is standard input")
    parser.add_argument("-o", "--output", type=Path, help="table to write")
    parser.add_argument("--compare", nargs=2, type=Path, metavar=("A", "B"), help="two tables instead")
    parser.add_argument("--labels", type=int, metavar="N", help="N labelled QMOF entries instead of FILES")
    parser.add_argument("--cifs", type=Path, default=Path("qmof"), help="folder of QMOF's CIFs, for --labels")
    parser.add_argument("--leave-out", type=Path, help="file with ids not to draw for --labels, one a line")
    parser.add_argument("--raspa", action="store_true", help="simulate with RASPA3 (raspalib)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.compare:
        compare(*arguments.compare)
        return 0
    left_out = arguments.leave_out.read_text().split() if arguments.leave_out else ()
    labels = labelled(arguments.labels, arguments.seed, left_out) if arguments.labels else []
    files = [str(arguments.cifs / f"{row['qmof_id']}.cif") for row in labels] or arguments.files
    if not files or arguments.output is None:
        parser.error("expected FILES (or --labels) and -o TABLE")
    found = []
    with arguments.output.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, COLUMNS)
        writer.writeheader()
        for row in rows(iter_raw(files), arguments.raspa, arguments.seed, arguments.jobs):
            if labels:
                row["name"] = labels[len(found)]["qmof_id"]
            writer.writerow({key: f"{value:.6g}" if isinstance(value, float) else value for key, value in row.items()})
            handle.flush()
            found.append(row)
            if row.get("reason"):
                print(f"{row['name']}: {row['reason']}", file=sys.stderr)
    if labels:
        pairs = [(row, label) for row, label in zip(found, labels, strict=True) if "co2_wc" in row]
        for name, column in LABELS.items():
            values = np.array([(row[name], float(label[column])) for row, label in pairs], dtype=float)
            numbers = ", ".join(f"{key} {value:.3f}" for key, value in agreement(*values.T).items())
            print(f"{name}: n {len(pairs)}, {numbers}")
    return 2 if any(row.get("reason") for row in found) else 0


if __name__ == "__main__":
    sys.exit(main())
