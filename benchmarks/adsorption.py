"""Simulated CO2 uptake of frameworks: `python benchmarks/adsorption.py FILE.cif... -o TABLE.csv [--jobs N]`.

Takes any stream of CIF blocks (`-` is standard input), and writes for each the uptake at 0.1, 0.15 and 1 bar and 298 K
and the working capacity between 1 and 0.1 bar, in mmol/g, with standard errors. `--compare A.csv B.csv` prints the
difference of the means of two such tables with a bootstrap interval; `--labels N` simulates N labelled QMOF entries
and prints the agreement, of pores too with `--pores`;
`--method raspa` simulates with RASPA3 (package raspalib) instead, `--method estimate` takes the formula of `sample
mofdiff --target`. The method is that of `crystaltool measure`, with the fugacity coefficient of the labels, 1; figures
are in `results/adsorption.md`.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import raspa as judge
from scipy.stats import spearmanr

from crystaltool.crystal import Crystal
from crystaltool.errors import CrystaltoolError
from crystaltool.io.stream import BadRecord, RawBlock, iter_raw, parse_raw
from crystaltool.measure.adsorption.estimate import estimated_uptakes
from crystaltool.measure.adsorption.gases import CO2
from crystaltool.measure.adsorption.uptake import Run, framework_mass, measure_adsorption
from crystaltool.measure.adsorption.void import helium_void_fraction
from crystaltool.measure.pores import measure_pores

PRESSURES = {"0.1bar": 0.1, "0.15bar": 0.15, "1bar": 1.0}
"""Bar."""

TEMPERATURE = 298.0
"""K."""

QUANTITIES = (*(f"co2_{name}" for name in PRESSURES), "co2_wc")
COLUMNS = (
    "name",
    *(column for name in QUANTITIES for column in (name, f"{name}_error")),
    *("co2_heat", "co2_heat_error", "lcd", "pld", "surface_area", "void_fraction"),
    *("n_atoms", "density", "exchanges", "seconds", "properties", "reason"),
)
LABELS = {
    "co2_0.1bar": "CO2_mmol_g_0.1bar",
    "co2_0.15bar": "CO2_mmol_g_0.15bar_interp",
    "co2_1bar": "CO2_mmol_g_1bar",
    "co2_wc": "wc_1bar_minus_0.1bar",
    "co2_heat": "Hads_kJmol_0.1bar",
}
PORE_LABELS = {
    "lcd": "LCD",
    "pld": "PLD",
    "surface_area": "Acc. Surface Area [m^2/g]",
    "void_fraction": "Void Fraction",
}
DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "mof"
N_BOOTSTRAP = 10000
RASPA_CYCLES = 10000


def isotherm(crystal: Crystal, seed: int = 0) -> dict[str, float]:
    """Uptakes, working capacity in mmol/g, heat at 0.1 bar in kJ/mol, standard errors, by the columns of the table."""
    found = measure_adsorption(crystal, CO2, list(PRESSURES.values()), TEMPERATURE, run=Run(seed, ideal=True))
    row: dict[str, float] = {}
    for name, uptake in zip(PRESSURES, found.uptakes, strict=True):
        row |= {f"co2_{name}": uptake.amount, f"co2_{name}_error": uptake.error}
    row |= {"co2_wc": found.capacity, "co2_wc_error": found.capacity_error}
    row |= {"co2_heat": found.uptakes[0].heat, "co2_heat_error": found.uptakes[0].heat_error}
    row["exchanges"] = min(uptake.exchanges for uptake in found.uptakes)
    return row


def raspa_isotherm(crystal: Crystal, cycles: int = RASPA_CYCLES, seed: int = 0) -> dict[str, float]:
    """As `isotherm`, by RASPA3; no heats, no count of exchanges.

    Raises:
        RuntimeError: RASPA3 failed.
    """
    pressures = list(PRESSURES.values())
    found = judge.uptakes(crystal, CO2, pressures, TEMPERATURE, cycles=cycles, seed=seed, ideal=True)
    row = {}
    for name, (amount, error) in zip(PRESSURES, found, strict=True):
        row |= {f"co2_{name}": amount, f"co2_{name}_error": error}
    row["co2_wc"] = row["co2_1bar"] - row["co2_0.1bar"]
    row["co2_wc_error"] = float(np.hypot(row["co2_1bar_error"], row["co2_0.1bar_error"]))
    return row


def estimated_isotherm(crystal: Crystal, seed: int = 0) -> dict[str, float]:
    """Uptakes and working capacity by the formula that `sample mofdiff --target` chooses with."""
    found = estimated_uptakes(crystal, CO2, list(PRESSURES.values()), TEMPERATURE, seed)
    row = dict(zip([f"co2_{name}" for name in PRESSURES], found, strict=True))
    return row | {"co2_wc": row["co2_1bar"] - row["co2_0.1bar"]}


METHODS = {"simulate": isotherm, "raspa": raspa_isotherm, "estimate": estimated_isotherm}


def pore_row(crystal: Crystal) -> dict[str, float]:
    """Pores by the table's columns."""
    found = measure_pores(crystal)
    void, _ = helium_void_fraction(crystal)
    return {"lcd": found.largest, "pld": found.limiting, "surface_area": found.surface, "void_fraction": void}


def table_row(raw: RawBlock | BadRecord, method: str, seed: int, pores: bool = False) -> dict[str, object]:
    """One row of the table; `reason` says why there are no numbers in it."""
    block = raw if isinstance(raw, BadRecord) else parse_raw(raw)
    if isinstance(block, BadRecord):
        return {"name": block.name, "reason": block.message}
    start = time.process_time()
    crystal = block.crystal
    row: dict[str, object] = {"name": block.name, "n_atoms": crystal.n_atoms}
    try:
        row["density"] = framework_mass(crystal) / crystal.volume / 0.602214076
        row |= pore_row(crystal) if pores else {}
        row |= METHODS[method](crystal, seed=seed)
    except (CrystaltoolError, RuntimeError) as error:
        row["reason"] = str(error)
    row["seconds"] = time.process_time() - start
    row["properties"] = json.dumps(block.properties)
    return row


def rows(
    records: Iterable[RawBlock | BadRecord], method: str, seed: int, jobs: int, pores: bool = False
) -> Iterator[dict[str, object]]:
    """Rows in the order of the records."""
    if jobs == 1:
        yield from (table_row(record, method, seed, pores) for record in records)
        return
    with ProcessPoolExecutor(jobs) as executor:
        waiting = [executor.submit(table_row, record, method, seed, pores) for record in records]
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
    ratio = simulated / np.maximum(labels, 1e-9)
    low, middle, high = np.percentile(ratio, [25, 50, 75])
    both = np.log(np.maximum(simulated, 1e-9)), np.log(np.maximum(labels, 1e-9))
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
    parser.add_argument("--method", choices=METHODS, default="simulate", help="raspa: by RASPA3 (raspalib)")
    parser.add_argument("--pores", action="store_true", help="pores too (pyzeo)")
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
        for row in rows(iter_raw(files), arguments.method, arguments.seed, arguments.jobs, arguments.pores):
            if labels:
                row["name"] = labels[len(found)]["qmof_id"]
            writer.writerow({key: f"{value:.6g}" if isinstance(value, float) else value for key, value in row.items()})
            handle.flush()
            found.append(row)
            if row.get("reason"):
                print(f"{row['name']}: {row['reason']}", file=sys.stderr)
    if labels:
        pairs = [(row, label) for row, label in zip(found, labels, strict=True) if "co2_wc" in row]
        for name, column in (LABELS | PORE_LABELS).items():
            values = np.array([(row[name], float(label[column])) for row, label in pairs if name in row], dtype=float)
            values = np.abs(values[np.isfinite(values).all(axis=1)]) if len(values) else values  # labels' heats are < 0
            if len(values) < 3:
                continue
            numbers = ", ".join(f"{key} {value:.3f}" for key, value in agreement(*values.T).items())
            print(f"{name}: n {len(values)}, {numbers}")
    return 2 if any(row.get("reason") for row in found) else 0


if __name__ == "__main__":
    sys.exit(main())
