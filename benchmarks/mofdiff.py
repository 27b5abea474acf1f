"""Yield of the MOF pipe, stage by stage, and valid, novel and unique MOFs over samples asked for.

    python benchmarks/mofdiff.py --reference BLOCKS.h5 -n 1000 --work DIR              the shipped weights
    python benchmarks/mofdiff.py --reference BLOCKS.h5 -n 200 --work DIR2 --baseline   no model: random blocks
    python benchmarks/mofdiff.py --known CIF_FOLDER -n 300 --work DIR3 --baseline --catalogue --fillings 12

Samples come in chunks of 25 (`--chunk`), each with a seed of its own; a run that was stopped goes on with the same
command. `--reference` is what `crystaltool fragment` made of the training data: novelty is counted against it, and
the baseline takes its nets from it. The baseline draws a training MOF, keeps cell, centres and kinds, and puts a random
library block with as many connection points in the place of each of its distinct blocks; assembly, relaxation and
checks are the same. `--fillings N` lets it fill each net N times for `assemble` to choose from, as it may with MOFDiff.
With `--catalogue` it draws nets of the checkpoint's catalogue, their bonds known, and one block for each class of
vertices.
`--known` counts novelty against all CIFs of a folder, of which those are identified that a sample could be.
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
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.mofdiff_shares import alike, fragments, known_nets, likeness

if TYPE_CHECKING:
    from crystaltool.mof.blocks import BuildingBlock, CoarseMOF

    Place = tuple[Hashable, int, int, BuildingBlock | None]
    """What holds one block, its kind and number of connection points, and the block where the library has none."""

TOOL = [sys.executable, "-m", "crystaltool"]
STAGES = ("parity", "closure", "overlap", "dimension")


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="mofdiff")
    known = parser.add_mutually_exclusive_group(required=True)
    known.add_argument("--reference", type=Path, help="mof-blocks file of the training data")
    known.add_argument("--known", type=Path, metavar="FOLDER", help="CIFs of known MOFs")
    parser.add_argument("-n", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0, help="chunk c draws from seed * 1000 + c")
    parser.add_argument("--chunk", type=int, default=25, help="samples of one chunk")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--baseline", action="store_true")
    parser.add_argument("--catalogue", action="store_true", help="the baseline's nets are those of the checkpoint")
    parser.add_argument("--fillings", type=int, default=1, metavar="N", help="of each net of the baseline")
    parser.add_argument("--sample", default="", help="further options of `sample`, one text")
    parser.add_argument("--report-only", action="store_true", help="no new chunks, report those that are there")
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    if options.baseline and not (options.reference or options.catalogue):
        parser.error("--baseline takes its nets from --reference or from --catalogue")
    return options


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
        call("sample", options.checkpoint, "-n", str(options.chunk), "--seed", str(seed), *more, "-o", str(sampled))
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
    done.write_text(json.dumps({"asked": options.chunk, "after": numbers, "seconds": seconds}))


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
    from crystaltool.mof.table import tabulate, write_mofs

    directory = find_checkpoint(options.checkpoint)
    encoder = json.loads((directory / "config.json").read_text())["encoder_sha256"]
    library = load_library(directory, encoder)
    rng = np.random.default_rng([seed, 1])
    draw = catalogue_nets(directory, rng) if options.catalogue else training_nets(options.reference, rng)
    made = []
    for index in range(options.chunk):
        mof, places = draw()
        for number in range(options.fillings):
            drawn: dict[Hashable, int] = {}
            blocks = []
            for name, kind, connections, own in places:
                fits = np.flatnonzero((library.kinds == kind) & (library.n_connections == connections))
                row = drawn.setdefault(name, int(rng.choice(fits)) if len(fits) else -1)
                if row < 0 and own is None:
                    break
                blocks.append(own if row < 0 else library.block(row))
            if len(blocks) == len(places):
                name, filling = f"baseline-s{seed}-{index:06d}", {"candidate": float(number)}
                made.append(replace(mof, blocks=tuple(blocks), name=name, properties=filling))
    write_mofs(target, tabulate(made))


def training_nets(reference: Path, rng: np.random.Generator) -> Callable[[], tuple[CoarseMOF, list[Place]]]:
    """Draws cell, centres and kinds of a MOF; one block for all copies of one."""
    from crystaltool.mof.table import read_mofs

    table = read_mofs(reference)

    def draw() -> tuple[CoarseMOF, list[Place]]:
        mof = replace(table[int(rng.integers(len(table)))], rotations=None, connections=None, properties={})
        return mof, [(block.identity, block.kind, block.n_connections, block) for block in mof.blocks]

    return draw


def catalogue_nets(directory: Path, rng: np.random.Generator) -> Callable[[], tuple[CoarseMOF, list[Place]]]:
    """Draws nets of the catalogue as often as MOFs have them, with cell, centres and bonds; one block for a class."""
    from crystaltool.mof.blocks import CoarseMOF
    from crystaltool.mof.catalogue import read_catalogue

    catalogue = read_catalogue(directory / "nets" / "nets.h5")
    shares = catalogue.counts / catalogue.counts.sum()

    def draw() -> tuple[CoarseMOF, list[Place]]:
        net = catalogue.nets[int(rng.choice(len(catalogue), p=shares))]
        sorts = zip(net.classes.tolist(), net.kinds.tolist(), net.n_connections.tolist(), strict=True)
        return CoarseMOF(net.lattice, (), net.centres, edges=net.edges), [(*sort, None) for sort in sorts]

    return draw


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
    references, compared = [options.reference], ""
    if options.known:
        every, could_be = sorted(options.known.rglob("*.cif")), alike(options.known, together.read_text())
        references = could_be or every[:1]  # one, so that `check` judges at all whether samples are unique
        compared = (
            f"Novel: none of {len(every)} known MOFs, of which {len(could_be)} could be one of these by composition."
        )
    listed = [word for path in references for word in ("--reference", str(path))]
    checked = subprocess.run([*TOOL, "check", "--json", *listed, str(together)], capture_output=True, text=True)
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
    table = fragments([together])
    lines += ["", compared] if compared else []
    lines += ["", f"Of the {0 if table is None else len(table)} relaxed ones that `fragment` can cut:", ""]
    for name, hits in likeness(table, known_nets(options.checkpoint)).items() if table is not None else ():
        low, high = wilson(hits, len(table))
        lines.append(f"- {name}: {hits} ({100 * hits / len(table):.1f} %, {100 * low:.1f}-{100 * high:.1f})")
    spent = {name: sum(s["seconds"][name] for s in stages) / n for name in ("sample", "assemble", "relax")}
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy"))
    lines += [
        "",
        f"Rules that relaxed structures fail: {', '.join(f'{k} {v}' for k, v in failed.most_common()) or 'none'}.",
        f"Wall seconds a sample: {', '.join(f'{k} {v:.2f}' for k, v in spent.items())}"
        f" ({options.jobs} processes; {usage.ru_utime:.0f} cpu s in this run).",
        f"Seeds {options.seed * 1000} to {options.seed * 1000 + len(folders) - 1}, {options.chunk} samples each;"
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
            list(pool.map(lambda chunk: run_chunk(options, chunk), range(-(-options.n // options.chunk))))
    text = report(options)
    if options.output:
        options.output.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
