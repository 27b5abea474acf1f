"""What the rules of MOFs flag among experimental structures: `python benchmarks/mof_flags.py --qmof FOLDER -n 2000`.

QMOF's relaxed experimental structures (rows CSD and CoRE of `--index`) in an order drawn with `--seed`, the first `-n`
of them (0: all). Writes a line a structure and rule that is broken or was not judged, tab separated: id, rule, verdict,
message. Counts go to standard error. So two versions of the rules can be compared structure by structure.
"""

from __future__ import annotations

import argparse
import csv
import random
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.mof_checks import load
from crystaltool.checks.mof.judging import judge_crystal
from crystaltool.errors import InputError

EXPERIMENTAL = ("CSD", "CoRE")


def main() -> None:
    """Judge and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--index", type=Path, required=True)
    parser.add_argument("--qmof", type=Path, required=True)
    parser.add_argument("-n", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with args.index.open(newline="") as handle:
        ids = [row["qmof_id"] for row in csv.DictReader(handle) if row["source"] in EXPERIMENTAL]
    random.Random(args.seed).shuffle(ids)
    counts: Counter[tuple[str, str]] = Counter()
    chosen = ids[: args.n] if args.n else ids
    for name in chosen:
        try:
            verdicts = judge_crystal(load(args.qmof / f"{name}.cif"))
        except InputError as error:
            print(name, "read", "error", error, sep="\t", flush=True)
            continue
        for verdict in verdicts:
            if verdict.passed and verdict.judged:
                continue
            word = "not judged" if verdict.passed else "fail"
            counts[verdict.check, word] += 1
            print(name, verdict.check, word, verdict.message, sep="\t", flush=True)
    print(f"{len(chosen)} structures", *(f"{k[0]}\t{k[1]}\t{n}" for k, n in counts.items()), sep="\n", file=sys.stderr)


if __name__ == "__main__":
    main()
