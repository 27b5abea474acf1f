"""Our verdicts beside mofchecker-next's on CoRE MOF 2019: `python benchmarks/mof_checks_reference.py`.

`--python` is that of an environment with mofchecker-next, in which `mofchecker_worker.py` runs. The structures are the
first `-n` of the sample of CoRE that `mof_checks.py` draws. Prints Markdown: pass rates of both (all rules but
three-dimensional connection), a line a rule, and every structure on which they differ.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.mof_checks import COLUMNS, SEED, load, wilson
from crystaltool.checks.mof.judging import judge_crystal

SAMPLE = 300
LEFT_OUT = {"connected-3d"}


def reference(paths: list[Path], python: str) -> dict[str, set[str]]:
    """The rules that each structure breaks, by mofchecker-next; what it cannot read is left out."""
    worker = [python, str(Path(__file__).with_name("mofchecker_worker.py"))]
    asked = [column for column, _ in COLUMNS.values()]
    lines = "".join(f"{path}\n" for path in paths)
    done = subprocess.run([*worker, *asked], input=lines, stdout=subprocess.PIPE, text=True, check=True)
    rows = [row for row in map(json.loads, done.stdout.splitlines()) if "error" not in row]
    return {
        row["name"]: {rule for rule, (column, failing) in COLUMNS.items() if str(row[column]) == failing}
        for row in rows
    }


def main() -> None:
    """Judge by both and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--core", type=Path, required=True)
    parser.add_argument("--python", required=True)
    parser.add_argument("-n", type=int, default=60)
    args = parser.parse_args()
    paths = random.Random(SEED).sample(sorted(args.core.glob("*.cif")), SAMPLE)[: args.n]
    theirs = reference(paths, args.python)
    counts = {rule: Counter() for rule in COLUMNS}
    passes, differences = Counter(), []
    for path in paths:
        if path.stem not in theirs:
            continue
        verdicts = {verdict.check: verdict for verdict in judge_crystal(load(path))}
        broken = {rule for rule in COLUMNS if not verdicts[rule].passed}
        expected = theirs[path.stem]
        passes["ours"] += not broken - LEFT_OUT
        passes["theirs"] += not expected - LEFT_OUT
        for rule, count in counts.items():
            count[rule in broken, rule in expected] += 1
        for rule in sorted(broken ^ expected):
            mine = verdicts[rule].message if rule in broken else "-"
            differences.append(f"| {rule} | {path.stem} | {'flagged' if rule in expected else '-'} | {mine} |")
    n = len(theirs)
    print(f"{n} structures; all rules but connected-3d passed: reference {wilson(passes['theirs'], n)}, ours")
    print(f"{wilson(passes['ours'], n)}.\n")
    print("| rule | TP | FP | TN | FN |\n" + "|---" * 5 + "|")
    for rule, count in counts.items():
        cells = [count[key] for key in ((True, True), (True, False), (False, False), (False, True))]
        print(f"| {rule} | {' | '.join(map(str, cells))} |")
    print("\n| rule | MOF | reference | ours |\n|---|---|---|---|")
    print("\n".join(differences))


if __name__ == "__main__":
    main()
