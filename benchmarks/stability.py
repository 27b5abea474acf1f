"""How many crystals of a set are stable, unique and novel, and what else is asked of them: a table for any sets.

    python benchmarks/stability.py --work DIR --train train.h5 --data MP20 -n 400 ours=samples.cif diffcsp=raw.cif.gz
    python benchmarks/stability.py ... 'symmcd=@sample symmcd --attempts 1' substitution=@substitution test=@test

A set is LABEL=FILE (anything that `crystaltool` reads), or LABEL=@NAME: a baseline of `baselines.py`, `test` (MP-20
test) or a `crystaltool sample` command, whose processor time is counted. Of a file the first `-n` of an order shuffled
with `--seed` are judged. All shares are of the structures asked for; one that cannot be read or relaxed fails.

- Unique, novel (against `--train`, MP-20 train of `crystaltool asym-unit --symprec 0.1`): pymatgen's StructureMatcher,
  default settings, on the structures as they came and again relaxed.
- E_hull: `crystaltool relax --forcefield chgnet` (symmetry kept), then `crystaltool measure --hull`. S.U.N.: at most so
  far above the hull, unique, novel, and of two elements or more.
- Template: group and Wyckoff positions detected at 0.1 A in the relaxed crystal, equivalent labellings merged; new: not
  in training. Substitution: the relaxed crystal matches a training crystal of the same anonymous formula, whatever the
  elements (StructureMatcher.fit_anonymous; at most 200 candidates of its own template and 3 of each other one).
- `--coverage PYTHON` has matminer, in an environment of its own (`coverage_worker.py`): COV-R and COV-P (CDVAE) against
  `--n-coverage` crystals of MP-20 test, compositions scaled by the mean and deviation of these.
- `--second PYTHON` goes on relaxing the first `--n-second` with SevenNet in an environment of its own
  (`ase_worker.py`).

Every stage keeps what it has done in `--work`; the same command goes on where it was killed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shlex
import signal
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path
from typing import NoReturn

import numpy as np
from stability_report import table
from stability_rows import make_rows, test_figures

from crystaltool.io.stream import RawBlock, iter_raw
from crystaltool.threads import limit_threads

ROOT = Path(__file__).resolve().parents[1]
TOOL = [sys.executable, "-m", "crystaltool"]
MP20 = ROOT.parent / "shared" / "data" / "inorganic" / "mp20"
BASELINES = ("substitution", "ion-exchange", "enumeration")
RAW_CHECKS = "cell,cell-symmcd,distance-cdvae,distance-lemat,density,charge,novel,unique"


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", metavar="LABEL=SET")
    parser.add_argument("-n", type=int, default=400, help="structures of each set (default 400)")
    parser.add_argument("--seed", type=int, default=0, help="of the order of files, of samples and of baselines")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--nice", type=int, default=10, help="added to this process's niceness")
    parser.add_argument("--work", type=Path, required=True, help="folder that keeps what is done, one folder a set")
    parser.add_argument("--train", type=Path, required=True, help="MP-20 train of `asym-unit --symprec 0.1`")
    parser.add_argument("--data", type=Path, default=MP20, help="folder with test.csv.gz")
    parser.add_argument("--second", metavar="PYTHON", help="python of an environment with ase, pymatgen and sevenn")
    parser.add_argument("--n-second", type=int, default=100, help="structures for the second judge (default 100)")
    parser.add_argument("--coverage", metavar="PYTHON", help="python of an environment with pymatgen and matminer")
    parser.add_argument("--n-coverage", type=int, default=1000, help="crystals of MP-20 test to cover (default 1000)")
    parser.add_argument("--report-only", action="store_true", help="no new work, report what is there")
    parser.add_argument("-o", "--output", type=Path, help="write the Markdown here too")
    return parser.parse_args()


def note(text: str) -> None:
    """Progress on stderr."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


class Folder:
    """The work folder of one set: files of its stages, and the processor time each has taken so far."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self._ledger = path / "seconds.jsonl"

    def file(self, name: str) -> Path:
        """A file of the folder."""
        return self.path / name

    def run(self, stage: str, command: list[str], accepted: tuple[int, ...] = (0,), target: Path | None = None) -> None:
        """Run a command and add its processor time to the stage, also when it is interrupted."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        try:
            with open(target if target is not None else os.devnull, "w") as output:
                code = subprocess.run(command, check=False, stdout=output).returncode
        finally:
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            with self._ledger.open("a") as handle:
                handle.write(json.dumps({"stage": stage, "seconds": spent}) + "\n")
        if code not in accepted:
            raise SystemExit(f"{shlex.join(command)}: exit {code}")

    def seconds(self) -> dict[str, float]:
        """Processor time of each stage."""
        total: dict[str, float] = {}
        if self._ledger.exists():
            for line in self._ledger.read_text().splitlines():
                row = json.loads(line)
                total[row["stage"]] = total.get(row["stage"], 0.0) + row["seconds"]
        return total


def collect(folder: Folder, source: str, options: argparse.Namespace) -> None:
    """`structures.cif` and `set.json` of a set: its structures, and how many of its records could not be read."""
    done, path = folder.file("set.json"), folder.file("structures.cif")
    asked = {"source": source, "n": options.n, "seed": options.seed}
    if done.exists():
        known = json.loads(done.read_text())
        if {key: known[key] for key in asked} != asked:
            raise SystemExit(f"{folder.path} holds another set: {known}")
        return
    n, seed, made = str(options.n), str(options.seed), folder.file("made.cif")
    shuffle = False
    if source.startswith("@sample "):
        words = shlex.split(source[1:])
        folder.run("generate", [*TOOL, *words, "-n", n, "--seed", seed, "-q", "--overwrite", "-o", str(made)])
    elif source[1:] in BASELINES and source.startswith("@"):
        script = str(Path(__file__).with_name("baselines.py"))
        words = [source[1:], "-n", n, "--seed", seed, "--train", str(options.train), "-o", str(made)]
        folder.run("generate", [sys.executable, script, *words])
    else:
        made, shuffle = Path(str(options.data / "test.csv.gz") if source == "@test" else source), True
    records = list(iter_raw([str(made)]) if shuffle else islice(iter_raw([str(made)]), options.n))
    if shuffle:
        order = np.random.default_rng(options.seed).permutation(len(records))[: options.n]
        records = [records[i] for i in order]
    readable = [record for record in records if isinstance(record, RawBlock)]
    path.write_text("".join(record.text.rstrip("\n") + "\n\n" for record in readable), encoding="utf-8")
    done.write_text(json.dumps({**asked, "records": len(records), "unreadable": len(records) - len(readable)}))


def judge(folder: Folder, options: argparse.Namespace) -> None:
    """Every stage of a set that is not done."""
    raw, relaxed, measured = (folder.file(name) for name in ("structures.cif", "relaxed.cif", "measured.cif"))
    jobs, reference = ["-j", str(options.jobs), "-q"], ["--reference", str(options.train), "--kind", "inorganic"]
    verdicts = folder.file("raw.jsonl")
    if not verdicts.exists():
        partial = folder.file("raw.partial")
        command = [*TOOL, "check", "--json", "--exit-zero", "--only", RAW_CHECKS, *reference, *jobs, str(raw)]
        folder.run("check", command, (0, 2), partial)
        partial.rename(verdicts)
    if not relaxed.exists():
        keep = ["--resume", "--no-provenance", "-o", str(relaxed)]
        folder.run("relax", [*TOOL, "relax", "--forcefield", "chgnet", *jobs, *keep, str(raw)], (0, 2))
    if not measured.exists():
        keep = ["--no-provenance", "-o", str(measured)]
        folder.run("measure", [*TOOL, "measure", "--hull", *jobs, *keep, str(relaxed)], (0, 2))
    verdicts = folder.file("relaxed.jsonl")
    if not verdicts.exists():
        partial = folder.file("relaxed.partial")
        command = [*TOOL, "check", "--json", "--exit-zero", "--only", "novel,unique", *reference, *jobs, str(measured)]
        folder.run("check", command, (0, 2), partial)
        partial.rename(verdicts)
    make_rows(folder.path, options.train, options.jobs)
    if options.coverage:
        fingerprint(folder, options.coverage)
    if options.second:
        script, found = str(Path(__file__).with_name("ase_worker.py")), str(folder.file("second.jsonl"))
        folder.run("second", [options.second, script, str(measured), "-n", str(options.n_second), "-o", found])


def fingerprint(folder: Folder, python: str) -> None:
    """`fingerprints.jsonl` of the structures as they came."""
    script, found = str(Path(__file__).with_name("coverage_worker.py")), str(folder.file("fingerprints.jsonl"))
    folder.run("coverage", [python, script, str(folder.file("structures.cif")), "-o", found])


def _on_terminate(signum: int, frame: object) -> NoReturn:
    """Leave by an exception, which ends the subcommand that is running."""
    raise SystemExit(143)


def main() -> None:
    """Judge every set, print the table."""
    options = parse_arguments()
    signal.signal(signal.SIGTERM, _on_terminate)
    os.nice(options.nice)
    limit_threads()
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    columns = {}
    for text in options.sets:
        label, found, source = text.partition("=")
        if not found or not label or not source:
            raise SystemExit(f"{text!r}: expected LABEL=FILE or LABEL=@NAME")
        folder = Folder(options.work / label.replace("/", "_"))
        if not options.report_only:
            note(f"{label}: {source}")
            collect(folder, source, options)
            judge(folder, options)
        columns[label] = folder
    known = options.work / f"test-coverage-{options.n_coverage}"
    if options.coverage and not options.report_only:
        note(f"fingerprints of {options.n_coverage} crystals of MP-20 test")
        covered = Folder(known)
        collect(covered, "@test", argparse.Namespace(**{**vars(options), "n": options.n_coverage}))
        fingerprint(covered, options.coverage)
    test = test_figures(options.data / "test.csv.gz", options.work / "test.npz", options.jobs)
    text = table(
        {label: (folder.path, folder.seconds()) for label, folder in columns.items()}, test, options.seed, known
    )
    print(text, end="")
    if options.output is not None:
        options.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
