"""The group asked for and no supergroup: `python benchmarks/exact_groups.py --work FOLDER [--seed S] [--model NAME]`.

Samples of groups drawn at random from 2 to 230, as many of each, and of the 65 Sohncke groups, by the default sampler
as it is shipped. spglib looks at the written crystals at 1e-2 A (the check `exact-group`).
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import time
from collections import Counter
from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np

from crystaltool.checks.registry import run_checks
from crystaltool.io.stream import BadRecord, iter_blocks
from crystaltool.symmetry import space_group

CHECKS = ("exact-group", "distance-lemat")
N_GROUPS, N_EACH, N_SOHNCKE_EACH = 50, 20, 8


def sohncke() -> list[int]:
    """Groups without a rotoinversion: every rotation has determinant 1."""
    return [g for g in range(1, 231) if (np.linalg.det(space_group(g).rotations.astype(float)) > 0).all()]


def measure(
    model: str, groups: list[int], n: int, seed: int, path: Path
) -> tuple[Counter[str], dict[int, list[bool]], float]:
    """Counts of checks passed, whether each sample of a group is exact, and seconds of sampling."""
    options = [text for group in groups for text in ("--sg", str(group))]
    tool = [sys.executable, "-m", "crystaltool", "sample", model]
    start = time.perf_counter()
    fixed = ["-n", str(n), "--seed", str(seed), "-q", "--resume", "-o", str(path)]
    subprocess.run([*tool, *options, *fixed], check=True)
    seconds = time.perf_counter() - start
    passed: Counter[str] = Counter()
    exact: dict[int, list[bool]] = {group: [] for group in groups}
    for block in iter_blocks([str(path)]):
        if isinstance(block, BadRecord):
            sys.exit(f"{path}: {block.message}")
        verdicts = {verdict.check: verdict for verdict in run_checks(block, CHECKS)}
        passed.update(name for name, verdict in verdicts.items() if verdict.passed and verdict.judged)
        good = verdicts["exact-group"].passed and (verdicts["exact-group"].judged or block.declared_group == 1)
        exact[block.declared_group or 0].append(good)
    return passed, exact, seconds


def line(what: str, passed: Counter[str], exact: dict[int, list[bool]], seconds: float) -> str:
    """A row of the table."""
    n, found = sum(map(len, exact.values())), sum(map(sum, exact.values()))
    worst = min(exact, key=lambda group: np.mean(exact[group]))
    share = f"{sum(exact[worst])} of {len(exact[worst])} (group {worst})"
    rule = f"{100 * passed['distance-lemat'] / n:.1f} %"
    return f"| {what} | {found} of {n} | {share} | {rule} | {seconds / n:.2f} |"


def main() -> None:
    """Sample, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=4712)
    parser.add_argument("--model", default="symmcd")
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument(
        "--work", type=Path, required=True, help="folder of the samples; a run that was stopped goes on"
    )
    arguments = parser.parse_args()
    groups = sorted(random.Random(arguments.seed).sample(range(2, 231), N_GROUPS))
    wanted = {
        f"{N_GROUPS} groups drawn from 2 to 230": (groups, N_GROUPS * N_EACH),
        "65 Sohncke groups": (sohncke(), 65 * N_SOHNCKE_EACH),
    }
    lines = [
        "# The group asked for",
        "",
        f"`python benchmarks/exact_groups.py --seed {arguments.seed} --model {arguments.model}`, {date.today()}, "
        f"spglib {version('spglib')} at 1e-2 A, default sampler, one process.",
        "",
        "| samples | group found, no supergroup | worst group | pass LeMat distances | wall s a sample |",
        "|---|---|---|---|---|",
        *(
            line(what, *measure(arguments.model, *which, arguments.seed, arguments.work / f"{len(which[0])}.cif"))
            for what, which in wanted.items()
        ),
        "",
        f"Groups drawn: {', '.join(map(str, groups))}.",
    ]
    text = "\n".join(lines) + "\n"
    if arguments.output is not None:
        arguments.output.write_text(text, encoding="utf-8")
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
