"""Mutated inputs over all commands: mutant i is a function of (seed, i), so a run goes on where it was stopped."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from numpy.random import Generator

from benchmarks.faults.commands import KINDS, LINES, Line
from benchmarks.faults.judge import judge
from benchmarks.faults.mutate import MUTATORS, mutate_bytes, mutate_checkpoint
from benchmarks.faults.server import STDERR, Server

THROUGH_STDIN = 0.2
"""Share of the structures that come through a pipe."""


def run_mutants(work: Path, seed: int, first: int, last: int) -> str:
    """Run mutants `first` to `last` - 1 that `work/mutants.jsonl` does not have, and add a line each."""
    log = work / "mutants.jsonl"
    done = {json.loads(line)["i"] for line in log.read_text().splitlines()} if log.exists() else set()
    server = Server()
    folder = work / f"run-{os.getpid()}"
    sound(server, work / "files", folder)
    weights = np.array([line.weight for line in LINES])
    with log.open("a", buffering=1) as out:
        for i in range(first, last):
            if i in done:
                continue
            rng = np.random.default_rng([seed, i])
            line = LINES[int(rng.choice(len(LINES), p=weights / weights.sum()))]
            out.write(json.dumps(run_one(server, work / "files", folder, line, i, rng)) + "\n")
    server.close()
    shutil.rmtree(folder, ignore_errors=True)
    return report(work)


def sound(server: Server, files: Path, folder: Path) -> None:
    """Every line on sound files first: it must do its work, and the server learns what it imports."""
    for line in LINES:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        choice = {path.name: path for path in KINDS[line.kind](files)}
        name = "assembled.cif" if line.command == "fragment" else "energies.cif"
        given = choice.get(name, next(iter(choice.values())))
        if line.kind == "state":
            given = Path(shutil.copytree(given, folder / "model"))
        arguments = [word.replace("SEEDS", str(files)).replace("{}", str(given)) for word in line.arguments.split(" ")]
        ended = server.run(folder, arguments, learn=True)
        if ended.code not in ((0, 1) if line.command == "check" else (0,)):
            said = (folder / STDERR).read_text()[:300]
            print(f"sound input, exit {ended.code}: {line.arguments}\n{said}", file=sys.stderr)


def run_one(server: Server, files: Path, folder: Path, line: Line, i: int, rng: Generator) -> dict:
    """Make the mutant in a fresh folder, run, judge; what is faulty is kept under `faulty/`."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    seeds = KINDS[line.kind](files)
    seed = seeds[int(rng.integers(len(seeds)))]
    mutant = make(seed, folder, line, rng)
    arguments = [word.replace("SEEDS", str(files)) for word in line.arguments.replace("{}", mutant).split(" ")]
    stdin = os.devnull
    if line.kind == "structure" and mutant in arguments and rng.random() < THROUGH_STDIN:
        arguments, stdin = ["-" if word == mutant else word for word in arguments], mutant
    before = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    ended = server.run(folder, arguments, stdin)
    resumed = "--resume" in arguments
    faults = judge(line.command, ended, folder, before - ({".out.cif.partial"} if not resumed else set()), resumed)
    said = (folder / STDERR).read_text(errors="replace").splitlines()
    if faults:
        kept = files.parent / "faulty" / str(i)
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(folder, kept, symlinks=True)
        (kept / "command").write_text(" ".join(arguments) + f" < {stdin}\n")
    return {
        "i": i, "command": line.command, "line": line.arguments, "kind": kind_of(line, seed), "seed": seed.name,
        "code": ended.code, "seconds": ended.seconds, "wall": ended.wall, "memory": ended.memory, "faults": faults,
        "said": next((text[:300] for text in said if "ERROR" in text), said[-1][:300] if said else ""),
    }  # fmt: skip


def make(seed: Path, folder: Path, line: Line, rng: Generator) -> str:
    """Write the mutant; its name."""
    if line.kind == "partial":
        target = folder / f".{line.arguments.split()[-1]}.partial"
        target.write_bytes(mutate_bytes(seed.read_bytes(), rng))
        return target.name
    if not seed.is_dir():
        target = folder / f"input{seed.suffix}"
        target.write_bytes(MUTATORS[seed.suffix](seed.read_bytes(), rng))
        return target.name
    shutil.copytree(seed, folder / "model")
    if line.kind == "state":
        path = folder / "model" / ("state.h5", "config.json", "metrics.jsonl")[int(rng.choice(3, p=(0.8, 0.1, 0.1)))]
        path.write_bytes(MUTATORS[path.suffix](path.read_bytes(), rng))
    else:
        mutate_checkpoint(folder / "model", rng)
    return "model"


def kind_of(line: Line, seed: Path) -> str:
    """What was mutated, as the table of results calls it."""
    if line.kind in ("symmcd", "blocks model", "mofdiff"):
        return "checkpoint"
    if line.kind != "structure":
        return {"molecule": "molecular file", "hull": "CSV", "labels": "CSV", "partial": "partial output",
                "settings": "settings (TOML)", "state": "training state (HDF5)"}.get(line.kind, "HDF5")  # fmt: skip
    names = {".cif": "CIF", ".csv": "CSV", ".h5": "HDF5", ".zip": "zip", ".tar": "tar"}
    return names.get(seed.suffix, "tar.gz, cif.gz" if seed.suffix == ".gz" else "POSCAR, extended XYZ")


def report(work: Path) -> str:
    """Tables by command and by kind of input."""
    rows = [json.loads(line) for line in (work / "mutants.jsonl").read_text().splitlines()]
    text = []
    for key, heading in (("command", "command"), ("kind", "input")):
        groups: dict[str, list[dict]] = defaultdict(list)
        for row in rows:
            groups[row[key]].append(row)
        text += [
            f"| {heading} | mutants | exit 0 | 1 | 2 | faults | longest, s | most memory, GB |",
            "|---|---|---|---|---|---|---|---|",
            *(_row(name, groups[name]) for name in sorted(groups)),
            *([_row("all", rows)] if key == "command" else []),
            "",
        ]
    kinds = Counter(fault for row in rows for fault in row["faults"])
    return "\n".join([*text, *(f"- {fault}: {n}" for fault, n in kinds.most_common())])


def _row(name: str, rows: list[dict]) -> str:
    codes = Counter(row["code"] for row in rows)
    counts = (len(rows), codes[0], codes[1], codes[2], sum(bool(row["faults"]) for row in rows))
    seconds, memory = max(row["seconds"] for row in rows), max(row["memory"] for row in rows) / 2**30
    return f"| {name} | {' | '.join(f'{n:,}' for n in counts)} | {seconds:.1f} | {memory:.2f} |"
