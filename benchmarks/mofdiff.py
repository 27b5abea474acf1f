"""Yield of the MOF pipe, stage by stage, and valid, novel and unique MOFs over samples asked for.

    python benchmarks/mofdiff.py --reference BLOCKS.h5 -n 1000 --work DIR              the shipped weights
    python benchmarks/mofdiff.py --reference BLOCKS.h5 -n 200 --work DIR2 --baseline   no model: random blocks

Samples come in chunks of 25, each with a seed of its own; a run that was stopped goes on where it was, with the same
command. `--reference` is what `crystaltool fragment` made of the training data: novelty is counted against it, and
the baseline takes its nets from it. The baseline draws a training MOF, keeps cell, centres and kinds, and puts a random
library block with as many connection points in the place of each of its distinct blocks; assembly, relaxation and
checks are the same. `--fillings N` lets it fill each net N times for `assemble` to choose from, as it may with MOFDiff.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import re
import resource
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np

TOOL = [sys.executable, "-m", "crystaltool"]
CHUNK = 25
STAGES = ("parity", "closure", "overlap", "dimension")


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="mofdiff")
    parser.add_argument("--reference", type=Path, required=True, help="mof-blocks file of the training data")
    parser.add_argument("-n", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0, help="chunk c draws from seed * 1000 + c")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--baseline", action="store_true")
    parser.add_argument("--fillings", type=int, default=1, metavar="N", help="of each net of the baseline")
    parser.add_argument("--sample", default="", help="further options of `sample`, one text")
    parser.add_argument("--report-only", action="store_true", help="no new chunks, report those that are there")
    parser.add_argument("-o", "--output", type=Path)
    return parser.parse_args()


def run_chunk(options: argparse.Namespace, chunk: int) -> None:
    """Sample, assemble and relax one chunk; `stages.json` appears last."""
    folder = options.work / f"chunk-{chunk:04d}"
    done = folder / "stages.json"
    if done.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    seed = options.seed * 1000 + chunk
    sampled, assembled, relaxed = (folder / name for name in ("sampled.h5", "assembled.cif", "relaxed.cif"))
    seconds = {}
    before = time.monotonic()
    if options.baseline:
        sample_baseline(options, seed, sampled)
    else:
        more = options.sample.split()
        call("sample", options.checkpoint, "-n", str(CHUNK), "--seed", str(seed), *more, "-o", str(sampled))
    seconds["sample"] = time.monotonic() - before
    before = time.monotonic()
    said = call("assemble", str(sampled), "--seed", str(seed), "-o", str(assembled))
    seconds["assemble"] = time.monotonic() - before
    before = time.monotonic()
    if assembled.exists() and "data_" in assembled.read_text():
        call("relax", str(assembled), "-o", str(relaxed))
    else:
        relaxed.write_text("")
    seconds["relax"] = time.monotonic() - before
    numbers = {stage: int(re.search(rf"(\d+) after {stage}", said)[1]) for stage in STAGES}
    text = relaxed.read_text()
    numbers["relax"] = len(re.findall(r"^_crystaltool_relax_converged +yes", text, re.MULTILINE))
    done.write_text(json.dumps({"asked": CHUNK, "after": numbers, "seconds": seconds}))


def call(*arguments: str) -> str:
    """Standard error of a command of the tool; exit codes 0 and 1 (nothing came through) are fine."""
    done = subprocess.run([*TOOL, *arguments, "--overwrite"], capture_output=True, text=True)
    if done.returncode not in (0, 1):
        raise SystemExit(f"crystaltool {' '.join(arguments)}: exit {done.returncode}\n{done.stderr}")
    return done.stderr


def sample_baseline(options: argparse.Namespace, seed: int, target: Path) -> None:
    """No model: nets of the training data, random library blocks with as many connection points."""
    from crystaltool.models.mofdiff.library import load_library
    from crystaltool.models.weights import find_checkpoint
    from crystaltool.mof.table import read_mofs, tabulate, write_mofs

    directory = find_checkpoint(options.checkpoint)
    encoder = json.loads((directory / "config.json").read_text())["encoder_sha256"]
    library, table = load_library(directory, encoder), read_mofs(options.reference)
    rng = np.random.default_rng([seed, 1])
    made = []
    for index in range(CHUNK):
        mof = replace(table[int(rng.integers(len(table)))], rotations=None, connections=None, properties={})
        for number in range(options.fillings):
            drawn: dict[str, int] = {}
            blocks = []
            for block in mof.blocks:
                fits = np.flatnonzero((library.kinds == block.kind) & (library.n_connections == block.n_connections))
                row = drawn.setdefault(block.identity, int(rng.choice(fits)) if len(fits) else -1)
                blocks.append(block if row < 0 else library.block(row))
            name, filling = f"baseline-s{seed}-{index:06d}", {"candidate": float(number)}
            made.append(replace(mof, blocks=tuple(blocks), name=name, properties=filling))
    write_mofs(target, tabulate(made))


def wilson(hits: int, n: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927)."""
    z, p = 1.96, hits / n
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)


def report(options: argparse.Namespace) -> str:
    """The table in Markdown."""
    folders = sorted(folder for folder in options.work.glob("chunk-*") if (folder / "stages.json").exists())
    stages = [json.loads((folder / "stages.json").read_text()) for folder in folders]
    n = sum(stage["asked"] for stage in stages)
    together = options.work / "relaxed.cif"
    together.write_text("".join((folder / "relaxed.cif").read_text() for folder in folders))
    checked = subprocess.run(
        [*TOOL, "check", "--json", "--reference", str(options.reference), str(together)], capture_output=True, text=True
    )
    if checked.returncode not in (0, 1):
        raise SystemExit(f"crystaltool check: exit {checked.returncode}\n{checked.stderr}")
    verdicts = [json.loads(line) for line in checked.stdout.splitlines()]
    compare = ("novel", "unique")
    failed: Counter[str] = Counter()
    valid = novel = both = 0
    for verdict in verdicts:
        wrong = {name for name, passed in passes(verdict).items() if not passed}
        failed.update(wrong - set(compare))
        sound = not wrong - set(compare)
        valid += sound
        novel += sound and "novel" not in wrong
        both += sound and not wrong
    lines = ["| | of samples | share | 95 % |", "|---|---|---|---|"]
    counts = {f"after {stage}": sum(s["after"][stage] for s in stages) for stage in (*STAGES, "relax")}
    counts |= {"valid (all rules)": valid, "valid and novel": novel, "valid, novel and unique": both}
    for name, hits in counts.items():
        low, high = wilson(hits, n)
        title = "relaxed and converged" if name == "after relax" else name
        lines.append(f"| {title} | {hits} of {n} | {100 * hits / n:.1f} % | {100 * low:.1f}-{100 * high:.1f} |")
    spent = {name: sum(s["seconds"][name] for s in stages) / n for name in ("sample", "assemble", "relax")}
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy"))
    lines += [
        "",
        f"Rules that relaxed structures fail: {', '.join(f'{k} {v}' for k, v in failed.most_common()) or 'none'}.",
        f"Wall seconds a sample: {', '.join(f'{k} {v:.2f}' for k, v in spent.items())}"
        f" ({options.jobs} processes; {usage.ru_utime:.0f} cpu s in this run).",
        f"Seeds {options.seed * 1000} to {options.seed * 1000 + len(folders) - 1}, {CHUNK} samples each;"
        f" {datetime.now(UTC):%Y-%m-%d}, {machine()}, Python {platform.python_version()}, {libraries}.",
    ]
    return "\n".join(lines) + "\n"


def passes(verdict: dict) -> dict[str, bool]:
    """Whether each check passed, from a JSON line of `check`."""
    return {name: value["passed"] for name, value in verdict["checks"].items()}


def machine() -> str:
    """Model name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown processor"


def main() -> None:
    """Run the chunks that are missing, then report."""
    options = parse_arguments()
    options.work.mkdir(parents=True, exist_ok=True)
    if not options.report_only:
        with ThreadPoolExecutor(options.jobs) as pool:
            list(pool.map(lambda chunk: run_chunk(options, chunk), range(-(-options.n // CHUNK))))
    text = report(options)
    if options.output:
        options.output.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
