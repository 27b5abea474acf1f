"""SIGKILL at random moments, then `--resume`: the output must be that of the unbroken run, to the byte.

`train` has nothing to resume before its first state and says so; it is then begun again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np

from benchmarks.faults.server import STDERR, STDOUT, Server

LINES = {
    "train symmcd": "train symmcd SEEDS/train.h5 -o run --config SEEDS/tiny-symmcd.toml --epochs 6",
    "train blocks": "train blocks SEEDS/blocks.h5 -o run --config SEEDS/tiny-blocks.toml --epochs 2",
    "sample": "sample SEEDS/models/run-symmcd -n 24 --batch-size 3 --seed 4 --no-provenance -o out.cif",
    "relax": "relax --forcefield ase:ase.calculators.lj:LennardJones --max-steps 3 --no-provenance SEEDS/structures.cif"
    " -o out.cif",
    "measure": "measure --pores --no-provenance SEEDS/qmof -o out.cif",
    "check": "check SEEDS/structures.cif SEEDS/cifs/expanded.cif -o out.tsv",
    "check --annotate": "check --annotate SEEDS/structures.cif -o out.cif",
    "assemble": "assemble --starts 4 --batch-size 1 --no-provenance SEEDS/samples.h5 -o out.cif",
}
OPENED = ("state.h5",)
"""HDF5 has dates within: its values are what the next step of the run is made of, and they are compared by that."""


def run_kills(work: Path, n: int = 100, seed: int = 0) -> str:
    """Every line in turn, `n` kills in all; a table."""
    server, files, folder = Server(), work / "files", work / "kill"
    rng = np.random.default_rng(seed)
    rows, wrong = ["| command | killed | before the first output | in between | identical after --resume |"], []
    rows.append("|---|---|---|---|---|")
    total = {name: [0, 0, 0] for name in LINES}
    whole: dict[str, tuple[float, dict[str, str]]] = {}

    def run(text: str, kill_at: float | None, clean: bool) -> float:
        if clean:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        arguments = [word.replace("SEEDS", str(files)) for word in text.split()]
        ended = server.run(folder, arguments, kill_at=kill_at, learn=kill_at is None and clean)
        codes = (-9, 0, 1) if kill_at is not None else (0, 1) if text.startswith("check") else (0,)
        if ended.code not in codes:
            wrong.append(f"- `{text}`: exit {ended.code}, {(folder / STDERR).read_text()[-300:]}")
        return ended.seconds if kill_at is None else ended.code

    for name, text in LINES.items():
        run(text, None, True)
        whole[name] = (run(text, None, True), digests(folder))
    done = 0
    while done < n:
        name = list(LINES)[done % len(LINES)]
        text, (seconds, wanted) = LINES[name], whole[name]
        moment = float(rng.uniform(0, seconds))
        killed = run(text, moment, True) == -9
        if not killed:
            continue
        begun = any(
            path.name not in (STDOUT, STDERR) and path.is_file() and path.stat().st_size for path in folder.rglob("*")
        )
        no_state = text.startswith("train") and not (folder / "run" / "state.h5").exists()
        run(text if no_state else text + " --resume", None, False)
        found = digests(folder)
        total[name][0] += 1
        total[name][1] += not begun
        total[name][2] += found == wanted
        done += 1
        print(f"{done} {name} after {moment:.3f} s: {'identical' if found == wanted else 'DIFFERS'}", file=sys.stderr)
        if found != wanted:
            shutil.copytree(folder, work / "faulty" / f"kill-{done}", dirs_exist_ok=True)
            wrong.append(
                f"- `{text}` killed after {moment:.3f} s: {sorted(set(found.items()) ^ set(wanted.items()))[:4]}"
            )
    server.close()
    for name, (killed, early, same) in total.items():
        rows.append(f"| {name} | {killed} | {early} | {killed - early} | {same} |")
    sums = np.sum(list(total.values()), axis=0)
    rows.append(f"| all | {sums[0]} | {sums[1]} | {sums[0] - sums[1]} | {sums[2]} |")
    return "\n".join([*rows, "", *wrong])


def digests(folder: Path) -> dict[str, str]:
    """The sha256 of every output; of metrics what does not depend on the clock."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.name in (STDOUT, STDERR, *OPENED) or path.name.startswith("."):
            continue
        content = path.read_bytes()
        if path.suffix == ".jsonl":
            rows = [json.loads(line) for line in content.decode().splitlines()]
            content = json.dumps(
                [{k: v for k, v in row.items() if "second" not in k and "time" not in k} for row in rows]
            ).encode()
        found[str(path.relative_to(folder))] = hashlib.sha256(content).hexdigest()[:12]
    return found
