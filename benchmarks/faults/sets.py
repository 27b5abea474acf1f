"""Published sets of structures through `asym-unit`, `fragment` and `check`: no crash, and every reason counted."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

from benchmarks.faults.server import ROOT
from crystaltool.crystal import Crystal
from crystaltool.io.cif import format_crystal
from crystaltool.lattice import parameters_to_matrix

MP = ROOT.parent / "shared" / "data" / "inorganic" / "mp" / "mp_20240724.npz"


def run_sets(work: Path, n_mp: int = 3000, qmof: Path | None = None, n_qmof: int = 1000, seed: int = 0) -> str:
    """Random samples of both sets; a table and the reasons."""
    text = ["| set | command | structures | exit | s | most memory, GB | reasons |", "|---|---|---|---|---|---|---|"]
    if n_mp:
        source = work / "mp.cif"
        write_mp(source, n_mp, seed)
        for line in ("asym-unit --symprec 0.01", "asym-unit --symprec 0.1", "check --exit-zero"):
            text.append(row(work, f"Materials Project, {n_mp:,} of 155,345", line, source, n_mp))
    if qmof is not None and n_qmof:
        names = sorted(path.name for path in qmof.glob("*.cif"))
        chosen = sorted(np.random.default_rng(seed).choice(names, min(n_qmof, len(names)), replace=False).tolist())
        source = work / "qmof.cif"
        if not source.exists():
            source.write_text(
                "".join(re.sub(r"(?m)^data_\S*", f"data_{n[:-4]}", (qmof / n).read_text(), count=1) for n in chosen)
            )
        for line in ("asym-unit", "fragment", "check --exit-zero"):
            text.append(row(work, f"QMOF, {len(chosen):,} of {len(names):,}", line, source, len(chosen)))
    return "\n".join(text)


def write_mp(path: Path, n: int, seed: int) -> None:
    """A random sample of the Materials Project as a CIF stream."""
    if path.exists():
        return
    with np.load(MP) as data:
        ids, cells, counts = data["ids"], data["cell"], data["nat"].astype(int)
        stops = np.cumsum(counts)
        numbers, coords = data["Z"], data["frac"]
        chosen = np.sort(np.random.default_rng(seed).choice(len(ids), n, replace=False))
        with open(path, "w") as out:
            for i in chosen:
                part = slice(stops[i] - counts[i], stops[i])
                lattice = parameters_to_matrix(*cells[i].astype(float).tolist())
                crystal = Crystal(lattice, coords[part].astype(float), numbers[part].astype(int))
                out.write(format_crystal(crystal, str(ids[i])))


def row(work: Path, label: str, line: str, source: Path, n: int) -> str:
    """Run one command as its users do; a row of the table."""
    target = work / f"{source.stem}-{re.sub(r'[^a-z0-9]+', '-', line)}{'.h5' if line == 'fragment' else '.out'}"
    command = [sys.executable, "-m", "crystaltool", *line.split(), str(source), "-o", str(target), "--overwrite"]
    start = time.monotonic()
    with open(work / "sets.err", "w") as said:
        code = subprocess.run(command, stderr=said, cwd=ROOT).returncode
    seconds = time.monotonic() - start
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 2**30
    reasons: Counter[str] = Counter()
    for message in (work / "sets.err").read_text(errors="replace").splitlines():
        if found := re.search(r"(ERROR|WARNING), (.*)", message):
            reasons[f"{found[1].lower()}: {re.sub(r'[^ ,();]*[0-9][^ ,();]*', '#', found[2])[:90]}"] += 1
        elif "Traceback" in message:
            reasons["TRACEBACK"] += 1
    listed = "; ".join(f"{count} {reason}" for reason, count in reasons.most_common(12)) or "none"
    return f"| {label} | `{line}` | {n:,} | {code} | {seconds:.0f} | {memory:.2f} | {listed} |"
