"""The checks of MOFs against MOFChecker's verdicts, against made defects, and on databases.

    python benchmarks/mof_checks.py --data ../shared/data/mof --qmof QMOF_CIF_FOLDER --core CORE_2019_ASR_CIF_FOLDER

Writes benchmarks/results/mof_checks.md. The verdicts are those of mofchecker-next 0.1.2 on 193 MOFs (`--data`). QMOF's
CIFs are named by id; CoRE MOF 2019-ASR comes from the package core-mof 2019.1.
"""

from __future__ import annotations

import argparse
import csv
import random
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from crystaltool.checks.mof.coordination import Coordination
from crystaltool.checks.mof.judging import RULES_VERSION, judge, judge_crystal
from crystaltool.checks.registry import MOF_RULES
from crystaltool.crystal import Crystal
from crystaltool.errors import InputError
from crystaltool.io.cif import parse_crystal
from tests.checks.mof.defects import MAKERS

RESULTS = Path(__file__).resolve().parent / "results" / "mof_checks.md"
SEED = 20261123

COLUMNS = {  # our rule: column of the verdicts, and what it says of a structure that fails
    "has-metal": ("has_metal", "False"),
    "has-carbon": ("has_carbon", "False"),
    "has-hydrogen": ("has_hydrogen", "False"),
    "overlap": ("has_atomic_overlaps", "True"),
    "overcoordinated-c": ("has_overcoordinated_c", "True"),
    "overcoordinated-n": ("has_overcoordinated_n", "True"),
    "overcoordinated-h": ("has_overcoordinated_h", "True"),
    "undercoordinated-c": ("has_undercoordinated_c", "True"),
    "undercoordinated-n": ("has_undercoordinated_n", "True"),
    "undercoordinated-rare-earth": ("has_undercoordinated_rare_earth", "True"),
    "undercoordinated-alkali": ("has_undercoordinated_alkali_alkaline", "True"),
    "lone-molecule": ("has_lone_molecule", "True"),
    "connected-3d": ("has_3d_connected_graph", "False"),
    "terminal-oxo": ("has_suspicious_terminal_oxo", "True"),
    "exposed-metal": ("has_geometrically_exposed_metal", "True"),
    "high-charge": ("has_high_charges", "True"),
}

SETTLED = {  # (rule, id): what the geometry says where the verdicts differ
    ("connected-3d", "FARYAA_clean"): "Re-C 2.10-2.12 A are bonds (Re6Te8(CN)6); the reference's table has no Re-C",
    ("connected-3d", "KECRAL_clean"): "Cd-C 2.16 A are bonds (cadmium cyanide); the reference's table has no Cd-C",
    ("connected-3d", "qmof-37a5c0c"): "Ag-C 2.04-2.11 A are bonds (cyanide); the reference's table has no Ag-C",
    ("connected-3d", "qmof-ae0f40c"): "Li-B 2.36 A: borohydride holds lithium; the reference's table has no Li-B",
    ("connected-3d", "qmof-b5ec64a"): "a matter of the cut-off: the sheets meet at K-O 3.24 A, under 0.1 valence units",
    ("lone-molecule", "FARYAA_clean"): "as above: the cyanides are bound to Re",
    ("lone-molecule", "KECRAL_clean"): "as above: the cyanides are bound to Cd",
    ("lone-molecule", "qmof-ae0f40c"): "as above: borohydride is bound to Li",
    ("lone-molecule", "qmof-3993bd4"): "the reference's free Br is bound to N at 1.89 A; its table has no N-Br",
    ("lone-molecule", "qmof-83816cc"): "the reference's free I is bound to C at 2.19 A; its table ends at 2.17",
    ("lone-molecule", "qmof-0166056"): "Sn-C 2.15 A are bonds (organotin); the reference's table has no Sn-C",
    (
        "lone-molecule",
        "qmof-804ba67",
    ): "Cu-N 2.52 A closes an octahedron (Jahn-Teller, 6 % of the valence), so all hangs together",
    ("lone-molecule", "qmof-c02bcdf"): "dimethylformamide is bound to Ag, O at 2.57 A (0.09 valence units of 1)",
    ("undercoordinated-n", "qmof-3993bd4"): "N has C and Br (1.89 A) as neighbours: two nonmetals, as it should",
    ("undercoordinated-alkali", "qmof-ae0f40c"): "Li has two O at 2.0 A and two B at 2.4 A (borohydride): four",
    ("undercoordinated-c", "UMOYOM18_clean"): "C18: two neighbours at 80 degrees; C-C 1.84 and 1.30 A: a true defect",
    ("undercoordinated-c", "BADXAI_clean"): "three neighbours whose angles sum to 325 degrees: a hydrogen is missing",
    ("undercoordinated-c", "NIBHUC_clean"): "three neighbours whose angles sum to 313 degrees: a hydrogen is missing",
    (
        "exposed-metal",
        "GAWBEM_clean",
    ): "flat Cu(N2O2): the reference calls a metal exposed if the plane is exact to 1e-15",
    ("exposed-metal", "IGAHED01_clean"): "flat CoO4, exact to 1e-15; qmof-804ba67, CuN4 flat to 1e-5 A, passes there",
    (
        "exposed-metal",
        "KECRAL_clean",
    ): "Cd has four C, four N or two of each; without Cd-C some have none or two, open angle 182",
    ("exposed-metal", "PEVBUP_clean"): "linear CuN2, exact to 1e-15; KUVMUL_clean, linear CuN2 off by a hair, passes",
    ("exposed-metal", "PEWFII01_clean"): "linear CuO2, exact to 1e-15, open angle 79 degrees",
    ("exposed-metal", "ic060030osi20060309_091447_clean"): "flat CuN3O, exact to 1e-15, open angle 76 degrees",
    ("exposed-metal", "qmof-37a5c0c"): "Ag has two C and an Ag; without Ag-C the Ag is left alone",
    ("exposed-metal", "qmof-ae0f40c"): "Li has two O and two B; without Li-B two O are left, open angle 165",
    (
        "exposed-metal",
        "qmof-c02bcdf",
    ): "Ag has two P (2.39-2.40 A) and O; the reference's Ag-P ends at 2.376 A, two O are left",
    ("high-charge", "AWAREV_clean"): "no minimum of the energy: hydrogens overlap (the reference flags them, too)",
    ("high-charge", "FUVBOP_clean"): "no minimum of the energy: hydrogens overlap (the reference flags them, too)",
}

GROUPS = {  # name: (which rows of the index, or None for CoRE; pass rate of the reference in its own sample)
    "QMOF experimental": (("CSD", "CoRE"), "82 %"),
    "QMOF boydwoo": (("boydwoo",), "92 %"),
    "QMOF gmof": (("gmof",), "100 % (50 of 50)"),
    "CoRE-2019-ASR": (None, "56 %"),
}


def wilson(successes: int, n: int) -> str:
    """`82.5 % (76.6-87.1)`: rate with its 95 % Wilson interval."""
    p, z = successes / n, 1.96
    middle, half = p + z * z / (2 * n), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)
    return f"{100 * p:.1f} % ({100 * low:.1f}-{100 * high:.1f})"


def main() -> None:
    """Run the three parts and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--qmof", type=Path, required=True)
    parser.add_argument("--core", type=Path, required=True)
    parser.add_argument("-n", type=int, default=200, help="structures of each database")
    parser.add_argument("--made", type=int, default=10, help="made defects a rule")
    args = parser.parse_args()
    with (args.data / "qmof_index.csv").open(newline="") as handle:
        index = list(csv.DictReader(handle))
    text = [
        "# Checks of MOFs",
        "",
        f"`benchmarks/mof_checks.py`, seed {SEED}. {RULES_VERSION}.",
        "",
        *against_verdicts(args),
        *made_defects(args, index),
        *databases(args, index),
    ]
    RESULTS.write_text("\n".join(text) + "\n", encoding="utf-8")
    print(RESULTS)


def load(path: Path) -> Crystal:
    """The crystal of a CIF of one block."""
    return parse_crystal(path.read_text(encoding="utf-8", errors="replace"))


def against_verdicts(args: argparse.Namespace) -> list[str]:
    """True and false positives and negatives of each rule, and every disagreement with what settles it."""
    with (args.data / "mofchecker_verdicts.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    counts = {name: Counter() for name in COLUMNS}
    differences, seconds = [], []
    for row in rows:
        folder = args.core if row["set"].startswith("CoRE") else args.qmof
        crystal = load(folder / f"{row['id']}.cif")
        start = time.process_time()
        verdicts = {verdict.check: verdict for verdict in judge_crystal(crystal)}
        seconds.append(time.process_time() - start)
        for name, (column, failing) in COLUMNS.items():
            if row[column] not in ("True", "False"):
                continue
            flagged, expected = not verdicts[name].passed, row[column] == failing
            counts[name][flagged, expected] += 1
            if flagged != expected:
                ours = verdicts[name].message if flagged else "-"
                settled = SETTLED.get((name, row["id"]), "NOT SETTLED")
                differences.append((name, row["id"], "flagged" if expected else "-", ours, settled))
    lines = [
        "## Against MOFChecker's verdicts",
        "",
        f"{len(rows)} MOFs of `mofchecker_verdicts.csv` (mofchecker-next 0.1.2, rules of MOFChecker 2.0; positive: the "
        "rule is broken). Settled: disagreements in which the geometry decides for us, listed below.",
        "",
        "| rule | TP | FP | TN | FN | of these settled | specificity | sensitivity or settled |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, count in counts.items():
        tp, fp, tn, fn = (count[key] for key in ((True, True), (True, False), (False, False), (False, True)))
        own = [row for row in differences if row[0] == name]
        settled = sum(row[4] != "NOT SETTLED" for row in own)
        found = tp + sum(row[2] == "flagged" and row[4] != "NOT SETTLED" for row in own)
        rate = f"{100 * tn / (tn + fp):.1f} %" if tn + fp else "-"
        share = f"{found} of {tp + fn}" if tp + fn else "none there"
        lines.append(f"| {name} | {tp} | {fp} | {tn} | {fn} | {settled} of {fp + fn} | {rate} | {share} |")
    seconds.sort()
    lines += [
        "",
        f"All rules, EQeq included: median {1000 * seconds[len(seconds) // 2]:.0f} ms, 90th percentile "
        f"{1000 * seconds[len(seconds) * 9 // 10]:.0f} ms, longest {seconds[-1]:.1f} s of one core a MOF.",
        "",
        "| rule | MOF | reference | ours | geometry |",
        "|---|---|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in differences),
        "",
    ]
    return lines


def made_defects(args: argparse.Namespace, index: list[dict[str, str]]) -> list[str]:
    """Ten defects a rule, each in another MOF that passes all rules."""
    rng, chooser = np.random.default_rng(SEED), random.Random(SEED)
    rows = [row for row in index if row["dim"] == "3" and int(row["n_atoms"]) < 200]
    chooser.shuffle(rows)
    found: dict[str, list[bool]] = {name: [] for name in MAKERS}
    missed = []
    for row in rows:
        wanted = [name for name in MAKERS if len(found[name]) < args.made]
        if not wanted:
            break
        crystal = load(args.qmof / f"{row['qmof_id']}.cif")
        if all(MAKERS[name](crystal, rng) is None for name in wanted):
            continue
        if not all(verdict.passed for verdict in judge_crystal(crystal)):
            continue
        for name in wanted:
            damaged = MAKERS[name](crystal, rng)
            if damaged is None:
                continue
            (verdict,) = [judge(rule, Coordination(damaged), str) for rule in MOF_RULES if rule.name == name]
            found[name].append(not verdict.passed)
            if verdict.passed:
                missed.append(f"{name} in {row['qmof_id']}")
    lines = [
        "## Made defects",
        "",
        f"{args.made} MOFs of QMOF that pass all rules, each damaged once a rule (`tests/checks/mof/defects.py`).",
        "",
        "| rule | defect | found |",
        "|---|---|---|",
    ]
    for name, results in found.items():
        what = (MAKERS[name].__doc__ or MAKERS[name].__name__.replace("_", " ")).split("\n")[0]
        lines.append(f"| {name} | {what} | {sum(results)} of {len(results)} |")
    return [*lines, "", f"Missed: {', '.join(missed) or 'none'}.", ""]


def databases(args: argparse.Namespace, index: list[dict[str, str]]) -> list[str]:
    """Pass rates on random samples."""
    table = defaultdict(dict)
    totals = {}
    for group, (sources, _) in GROUPS.items():
        if sources is None:
            paths = sorted(args.core.glob("*.cif"))
        else:
            paths = [args.qmof / f"{row['qmof_id']}.cif" for row in index if row["source"] in sources]
        passes, unreadable = Counter(), 0
        sample = random.Random(SEED).sample(paths, min(args.n, len(paths)))
        for path in sample:
            try:
                verdicts = judge_crystal(load(path))
            except InputError:
                unreadable += 1
                continue
            passed = {verdict.check: verdict.passed for verdict in verdicts}
            passes.update(name for name, good in passed.items() if good)
            passes["every rule"] += all(passed.values())
            passes["all but connected-3d"] += all(good for name, good in passed.items() if name != "connected-3d")
        totals[group] = (len(sample), unreadable)
        for name in [*COLUMNS, "all but connected-3d", "every rule"]:
            table[name][group] = passes[name]
    lines = [
        "## Pass rates",
        "",
        "Random samples; share of the structures that pass, 95 % Wilson interval. The reference's rates, on other "
        "samples of about 100, leave out three-dimensional connection, as MOFDiff's validity does.",
        "",
        "| | " + " | ".join(f"{group}, n = {totals[group][0]}" for group in GROUPS) + " |",
        "|---|" + "---|" * len(GROUPS),
    ]
    for name, row in table.items():
        n = {group: totals[group][0] for group in GROUPS}
        if name in COLUMNS:
            cells = [f"{100 * row[group] / n[group]:.1f} %" for group in GROUPS]
        else:
            cells = [wilson(row[group], n[group]) for group in GROUPS]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines.append("| reference, all but connected-3d | " + " | ".join(rate for _, rate in GROUPS.values()) + " |")
    bad = ", ".join(f"{group} {count}" for group, (_, count) in totals.items() if count)
    return [*lines, "", f"Not readable as ordered structures, counted as failures: {bad or 'none'}."]


if __name__ == "__main__":
    main()
