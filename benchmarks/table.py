"""The table of the project's goals for a checkpoint, or for any CIF files, with MP-20 test beside it.

    python benchmarks/table.py                                      the shipped weights
    python benchmarks/table.py --checkpoint DIR                     other weights
    python benchmarks/table.py peers.cif more/ samples.csv.gz       anybody's samples, judged by the same code

It samples (checkpoint only), judges, and writes Markdown to standard output or to `-o FILE`. At most `--jobs` (2)
processes work at a time, at `--nice` 10. `--data` is the folder with MP-20's train and test CSV files. The set that
novelty and templates are counted against is made from train.csv.gz with `crystaltool asym-unit --symprec 0.1`, and
kept in `--work`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path

from crystaltool.checks.matching import Reference
from crystaltool.evaluation import report
from crystaltool.evaluation.report import Row
from crystaltool.evaluation.templates import template
from crystaltool.io.hdf5 import read_asym_units
from crystaltool.io.stream import iter_blocks

TOOL = [sys.executable, "-m", "crystaltool"]
DEFAULT_DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "inorganic" / "mp20"
N_READERS, N_KEPT, N_KEPT_GROUPS, N_COLD, COLD_GROUP = 1000, 1000, 50, 100, 225
LIBRARIES = ("crystaltool", "torch", "numpy", "gemmi", "moyopy", "spglib", "pymatgen", "smact", "ase")


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", metavar="FILE", help="structures to judge in place of sampling")
    parser.add_argument("--checkpoint", default="symmcd", help="checkpoint folder or model name for `sample`")
    parser.add_argument("-n", "--n", type=int, default=10_000, help="samples to draw, or at most so many to read")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="processes that sample and judge")
    parser.add_argument("--nice", type=int, default=10, help="added to this process's niceness")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder with train.csv.gz and test.csv.gz")
    parser.add_argument("--train", type=Path, help="asymmetric units of the training set (HDF5), made if not given")
    parser.add_argument("--n-test", type=int, help="read only so many test structures")
    parser.add_argument("--test-novelty", action="store_true", help="also count novel and unique in the test set")
    parser.add_argument("--no-speed", action="store_true", help="leave out the timings")
    parser.add_argument("--target", default="none", help="--target of the raw samples (default none)")
    parser.add_argument("--label", help="heading of the column")
    parser.add_argument("--work", type=Path, help="keep samples and training set here")
    parser.add_argument("-o", "--output", type=Path, help="write the Markdown here")
    return parser.parse_args()


def note(text: str) -> None:
    """Progress on stderr."""
    print(f"{datetime.now().strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def run(arguments: list[str], folder: Path) -> float:
    """Run the tool in a folder; wall seconds. Ends the benchmark if it fails."""
    start = time.perf_counter()
    code = subprocess.run([*TOOL, *arguments], check=False, cwd=folder).returncode
    if code != 0:
        sys.exit(f"crystaltool {' '.join(arguments)} exited {code}")
    return time.perf_counter() - start


def training_set(arguments: argparse.Namespace, work: Path) -> Path:
    """The asymmetric units of MP-20 train, made once."""
    if arguments.train is not None:
        return arguments.train
    path = work / "mp20-train.h5"
    if not path.exists():
        note("asymmetric units of the training set")
        run(
            ["asym-unit", "--symprec", "0.1", "-q", "-o", path.name, str(arguments.data.resolve() / "train.csv.gz")],
            work,
        )
    return path


def cold_start(checkpoint: str, seed: int) -> Row:
    """`sample --sg 225 -n 100 | check`, both started afresh."""
    start = time.perf_counter()
    sample = subprocess.Popen(
        [*TOOL, "sample", checkpoint, "--sg", str(COLD_GROUP), "-n", str(N_COLD), "--seed", str(seed), "-q"],
        stdout=subprocess.PIPE,
    )
    check = subprocess.run([*TOOL, "check", "--json", "-q"], stdin=sample.stdout, capture_output=True, check=False)
    seconds = time.perf_counter() - start
    if sample.wait() != 0 or check.returncode not in (0, 1):
        sys.exit(f"sample exited {sample.returncode}, check {check.returncode}: {check.stderr.decode()}")
    lines = [json.loads(line) for line in check.stdout.splitlines()]
    passed = sum(line["passed"] for line in lines)
    what = f"`sample symmcd --sg {COLD_GROUP} -n {N_COLD} \\| check`, cold start to verdicts"
    return Row(what, "under 60 s", f"{seconds:.1f} s ({len(lines)} verdicts, {passed} pass every check)")


def draw(checkpoint: str, n: int, seed: int, jobs: int, work: Path, target: str) -> tuple[Path, Row]:
    """The sample to judge, groups drawn from the data."""
    path = work / f"sample-n{n}-s{seed}.cif"
    note(f"sampling {n}")
    fixed = ["-n", str(n), "--seed", str(seed), "--jobs", str(jobs), "-q", "--overwrite", "-o", path.name]
    seconds = run(["sample", checkpoint, "--attempts", "1", "--target", target, *fixed], work)
    how = f"`--attempts 1 --target {target}`"
    what = f"{n} raw samples ({how}) with groups drawn from the data, to CIF on disk, {jobs} processes"
    return path, Row(what, "10,000 in under 600 s", f"{seconds:.0f} s ({n / seconds:.1f} a second)")


def kept_groups(arguments: argparse.Namespace, work: Path) -> tuple[Path, list[Row]]:
    """1,000 samples (or as many as were asked for) over 50 groups spread over all 230, seen in training or not.

    With the sampler as it is shipped; the figures of the data's own groups are those of raw samples.
    """
    asked = [1 + round(i * 229 / (N_KEPT_GROUPS - 1)) for i in range(N_KEPT_GROUPS)]
    path = work / "kept-groups.cif"
    options = [text for group in asked for text in ("--sg", str(group))]
    n_kept = min(N_KEPT, arguments.n)
    note(f"sampling {n_kept} in {N_KEPT_GROUPS} groups")
    seed = str(arguments.seed)
    fixed = ["-n", str(n_kept), "--seed", seed, "-q", "--overwrite", "-o", path.name]
    run(["sample", arguments.checkpoint, *options, *fixed], work)
    sample = report.read_sample([str(path)], jobs=arguments.jobs)
    strangers = [p.name for p in sample.profiles if p.declared_group not in asked]
    if strangers:
        note(f"{len(strangers)} samples declare a group that was not asked for, first {strangers[0]}")
    prefix = "requested group kept: "
    return path, [Row(prefix + row.what, row.asked, row.figure) for row in report.symmetry_rows(sample)]


def help_time() -> Row:
    """User and system seconds of `crystaltool --help`, the least of five runs."""
    seconds = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([*TOOL, "--help"], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return Row("`crystaltool --help`", "under 0.3 s cpu", f"{min(seconds):.2f} s cpu")


def machine() -> str:
    """Processor and cores, in words."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{model}, {cores} cores, no GPU used"


def versions() -> str:
    """Versions of what decides the figures."""
    found = [f"python {platform.python_version()}"]
    for name in LIBRARIES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def origin(paths: list[str]) -> list[str]:
    """The history that the first block carries: command line, version and weights."""
    for block in islice(iter_blocks(paths), 1):
        return list(getattr(block, "history", ()))
    return []


def main() -> None:
    """Measure, judge, print."""
    arguments = parse_arguments()
    os.nice(arguments.nice)
    if Path(arguments.checkpoint).is_dir():  # the tool runs in the work folder, so that its history names no path
        arguments.checkpoint = str(Path(arguments.checkpoint).resolve())
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")]
    )
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        lines = list(measure(arguments, work))
    text = "\n".join(lines) + "\n"
    if arguments.output is not None:
        arguments.output.write_text(text, encoding="utf-8")
    else:
        print(text, end="")


def measure(arguments: argparse.Namespace, work: Path):
    """The lines of the report."""
    train = read_asym_units(training_set(arguments, work))
    training_templates = [template(unit.group, unit.positions) for unit in train]
    reference = Reference(train)
    rows: list[Row] = []
    if arguments.files:
        paths = readable = arguments.files
    else:
        if not arguments.no_speed:
            rows.append(cold_start(arguments.checkpoint, arguments.seed))
        path, row = draw(arguments.checkpoint, arguments.n, arguments.seed, arguments.jobs, work, arguments.target)
        rows += [] if arguments.no_speed else [row]
        kept, kept_rows = kept_groups(arguments, work)
        rows += kept_rows
        readable = [str(kept)]
        paths = [str(path)]
    note("judging the sample")
    sample = report.read_sample(paths, arguments.n, jobs=arguments.jobs)
    if not sample.profiles:
        sys.exit("no structure could be read")
    note("judging the test set")
    test = report.read_sample([str(arguments.data / "test.csv.gz")], arguments.n_test, False, arguments.jobs)
    rows += report.validity_rows(sample, test)
    rows += report.distance_rows(sample, test, arguments.seed)
    rows += report.template_rows(sample, test, training_templates)
    note("novelty and uniqueness")
    rows += report.novelty_rows(sample, test if arguments.test_novelty else None, reference)
    rows += report.symmetry_rows(sample)
    note("reading with gemmi, ase and pymatgen")
    reader_rows, reasons = report.reader_rows(readable, min(N_READERS, arguments.n))
    rows += reader_rows
    if not arguments.files and not arguments.no_speed:
        rows.append(help_time())
    label = arguments.label or (" ".join(arguments.files) if arguments.files else arguments.checkpoint)
    yield f"# {label}"
    yield ""
    yield f"- {datetime.now(UTC).strftime('%Y-%m-%d')}, {machine()}"
    yield f"- {versions()}"
    yield f"- n = {sample.n} ({sample.n_bad} unreadable, counted as failing), seed {arguments.seed}"
    yield f"- MP-20 test: n = {test.n}; its d_rho, d_elem and d_sg are between its two halves"
    yield from (f"- {line}" for line in origin(paths))
    yield ""
    yield from report.markdown(rows, label, "MP-20 test")
    if reasons:
        yield ""
        yield f"Blocks that the readers disagree about ({len(reasons)}), the first ten:"
        yield ""
        yield from (f"- {reason}" for reason in reasons[:10])


if __name__ == "__main__":
    main()
