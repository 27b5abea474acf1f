"""Known crystals rebuilt by the geometry half of SymmCD: group, Wyckoff positions and elements given, the rest drawn.

    python benchmarks/genes.py                                     400 crystals of MP-20 test, the shipped weights
    python benchmarks/genes.py --checkpoint DIR --split train      any weights, on crystals they were trained on

Cell and free coordinates are drawn `--trials` times (3) for each crystal. A draw counts if pymatgen's StructureMatcher
(ltol 0.3, stol 0.5, angle 10 degrees) finds it equal to the true crystal, as in crystal structure prediction, so the
table says what the geometry half loses, by the number of orbits. Crystals are the first `-n` of the split in an order
shuffled with `--seed`; the noise of a draw follows from (seed, row of the split, trial), so it depends on nothing else.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import gzip
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from crystaltool.asymunit import AsymUnit, expand, reduce, tabulate
from crystaltool.crystal import Crystal
from crystaltool.errors import CrystaltoolError
from crystaltool.evaluation.metrics import Rate
from crystaltool.executor import map_ordered
from crystaltool.io.cif import parse_crystal
from crystaltool.threads import limit_threads

if TYPE_CHECKING:
    from crystaltool.models.symmcd.checkpoint import LoadedSymmCD

MP20 = Path(__file__).resolve().parents[2] / "shared" / "data" / "inorganic" / "mp20"
SYMPREC = 0.1
"""Angstrom; the training set's asymmetric units are detected at this tolerance."""

MATCHER = {"ltol": 0.3, "stol": 0.5, "angle_tol": 10.0}
"""The field's settings for crystal structure prediction (CDVAE, DiffCSP)."""

ORBITS = ((1, 2), (3, 3), (4, 4), (5, 6), (7, 9), (10, 64))
"""Rows of the table: least and greatest number of orbits."""

CHUNK = 8
"""Crystals of a worker's task."""


@dataclass(frozen=True)
class Gene:
    """A known crystal: its row in the split, its asymmetric unit and its atoms as the file has them."""

    row: int
    unit: AsymUnit
    crystal: Crystal


@dataclass(frozen=True)
class Outcome:
    """What became of one gene.

    Args:
        row, n_orbits: of the gene.
        distances: root-mean-square distance of each trial, in units of (V / atom)^(1/3); NaN if it does not match.
        seconds: processor time of drawing all its trials.
    """

    row: int
    n_orbits: int
    distances: tuple[float, ...]
    seconds: float


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="symmcd", help="checkpoint folder or model name")
    parser.add_argument("--split", choices=("train", "val", "test"), default="test")
    parser.add_argument("-n", type=int, default=400, help="crystals (default 400)")
    parser.add_argument("--trials", type=int, default=3, help="draws of each (default 3)")
    parser.add_argument("--min-orbits", type=int, default=1, help="only crystals of at least so many orbits")
    parser.add_argument("--max-orbits", type=int, default=64, help="only crystals of at most so many orbits")
    parser.add_argument("--calls", type=int, help="network calls as `sample --steps` counts them; default the weights'")
    parser.add_argument("--churn", type=float, help="default the weights'")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="worker processes, one thread each")
    parser.add_argument("--nice", type=int, default=10, help="added to this process's niceness")
    parser.add_argument("--data", type=Path, default=MP20, help="folder with MP-20's CSV files")
    parser.add_argument("-o", "--output", type=Path, help="write the Markdown here too")
    return parser.parse_args()


def read_genes(path: Path, n: int, seed: int, least: int, most: int) -> list[Gene]:
    """The first n crystals of a shuffled split whose number of orbits is in range."""
    csv.field_size_limit(2**24)
    with gzip.open(path, "rt", newline="") as handle:
        texts = [row["cif"] for row in csv.DictReader(handle)]
    genes: list[Gene] = []
    for row in np.random.default_rng(seed).permutation(len(texts)).tolist():
        if len(genes) == n:
            break
        crystal = parse_crystal(texts[row])
        try:
            unit = reduce(crystal, SYMPREC)
        except CrystaltoolError:
            continue
        if least <= len(unit.numbers) <= most:
            genes.append(Gene(row, unit, crystal))
    return genes


def draw_geometries(
    loaded: LoadedSymmCD,
    units: Sequence[AsymUnit],
    keys: Sequence[tuple[int, int, int]],
    calls: int | None = None,
    churn: float | None = None,
) -> list[AsymUnit]:
    """New free coordinates and cells for the sites of these units: the one place that knows the model's sampler.

    Args:
        loaded: the weights.
        units: their groups, positions and elements are kept.
        keys: (seed, row, trial) of each, from which all of its noise is drawn.
        calls, churn: in place of the sampler settings stored with the weights.
    """
    import torch

    from crystaltool.models.symmcd.representation import to_batch, to_units
    from crystaltool.models.symmcd.sampling import GeometryNoise, _denoise

    changes = {name: value for name, value in (("calls", calls), ("churn", churn)) if value is not None}
    config = replace(loaded.sampler, **changes)
    model, n_calls = loaded.model, config.split()[2]
    table = tabulate(units)
    starts = np.concatenate([[0], np.cumsum(table.n_orbits)[:-1]])
    batch = to_batch(table, np.arange(len(units)), starts).to(model.device, model.dtype)
    width = int(table.n_orbits.max())
    u, k = np.zeros((len(units), width, 3)), np.zeros((len(units), 6))
    churn_u, churn_k = np.zeros((n_calls, len(units), width, 3)), np.zeros((n_calls, len(units), 6))
    for i, (seed, row, trial) in enumerate(keys):
        m = int(table.n_orbits[i])
        rng = np.random.Generator(np.random.Philox(key=np.array([seed, row], np.uint64), counter=[0, 0, 0, trial]))
        u[i, :m], k[i] = rng.random((m, 3)), rng.standard_normal(6)
        churn_u[:, i, :m], churn_k[:, i] = rng.standard_normal((n_calls, m, 3)), rng.standard_normal((n_calls, 6))
    there = [torch.as_tensor(array).to(model.device, model.dtype) for array in (u, k, churn_u, churn_k)]
    with torch.no_grad():
        drawn = _denoise(model, batch, GeometryNoise(there[0], there[1], list(there[2]), there[3]), config)
    return to_units(drawn.to("cpu"), [unit.name for unit in units])


_loaded: dict[str, LoadedSymmCD] = {}


def load(checkpoint: str) -> None:
    """Load the weights once in this process, one thread."""
    import torch

    from crystaltool.models.symmcd.checkpoint import load_symmcd
    from crystaltool.models.weights import find_checkpoint

    torch.set_num_threads(1)
    _loaded[checkpoint] = load_symmcd(find_checkpoint(checkpoint))


def rebuild(
    genes: Sequence[Gene], checkpoint: str, trials: int, seed: int, calls: int | None, churn: float | None
) -> list[Outcome]:
    """Draw and compare a few genes."""
    if checkpoint not in _loaded:
        load(checkpoint)
    begin = time.process_time()
    keys = [(seed, gene.row, trial) for gene in genes for trial in range(trials)]
    units = draw_geometries(_loaded[checkpoint], [g.unit for g in genes for _ in range(trials)], keys, calls, churn)
    seconds = (time.process_time() - begin) / len(genes)
    outcomes = []
    for i, gene in enumerate(genes):
        truth = to_structure(gene.crystal)
        distances = tuple(distance(to_structure(expand(unit)), truth) for unit in units[i * trials : (i + 1) * trials])
        outcomes.append(Outcome(gene.row, len(gene.unit.numbers), distances, seconds))
    return outcomes


def to_structure(crystal: Crystal):
    """The crystal as pymatgen has it."""
    from pymatgen.core import Lattice, Structure

    return Structure(Lattice(crystal.lattice), crystal.numbers.tolist(), crystal.frac_coords)


def distance(drawn, truth) -> float:
    """Root-mean-square distance of a match, NaN if there is none or the drawn cell cannot be reduced."""
    from pymatgen.core.structure_matcher import StructureMatcher

    try:
        found = StructureMatcher(**MATCHER).get_rms_dist(drawn, truth)
    except Exception:  # overlapping atoms and flat cells fail in many ways inside the reduction
        return float("nan")
    return float("nan") if found is None else float(found[0])


def table(outcomes: Sequence[Outcome]) -> list[str]:
    """The lines of the Markdown table: one row a range of orbits, the last all."""
    trials = len(outcomes[0].distances)
    lines = [
        f"| orbits | n | match a trial, % | best of {trials}, % | 95 % | RMSD, first trial |",
        "|---|---|---|---|---|---|",
    ]
    for least, most in (*ORBITS, (1, 64)):
        chosen = [outcome for outcome in outcomes if least <= outcome.n_orbits <= most]
        if not chosen:
            continue
        matched = np.isfinite([outcome.distances for outcome in chosen])
        best = Rate(int(matched.any(1).sum()), len(chosen))
        low, high = best.interval
        first = [outcome.distances[0] for outcome in chosen if np.isfinite(outcome.distances[0])]
        name = "all" if (least, most) == (1, 64) else f"{least}-{most}" if most > least else str(least)
        name = name.replace("-64", " and more")
        lines.append(
            f"| {name} | {len(chosen)} | {100 * matched.mean():.1f} | {100 * best.share:.1f} "
            f"| {100 * low:.0f}-{100 * high:.0f} | {np.mean(first) if first else float('nan'):.3f} |"
        )
    return lines


def main() -> None:
    """Draw, compare, print."""
    arguments = parse_arguments()
    os.nice(arguments.nice)
    limit_threads()
    path = arguments.data / f"{arguments.split}.csv.gz"
    genes = read_genes(path, arguments.n, arguments.seed, arguments.min_orbits, arguments.max_orbits)
    if not genes:
        sys.exit("no crystal of the split has so many orbits")
    # Crystals of like size share a batch.
    genes.sort(key=lambda gene: len(gene.unit.numbers))
    tasks = [genes[start : start + CHUNK] for start in range(0, len(genes), CHUNK)]
    work = partial(
        rebuild,
        checkpoint=arguments.checkpoint,
        trials=arguments.trials,
        seed=arguments.seed,
        calls=arguments.calls,
        churn=arguments.churn,
    )
    outcomes: list[Outcome] = []
    with contextlib.closing(map_ordered(work, tasks, arguments.jobs, partial(load, arguments.checkpoint))) as results:
        for found in results:
            if isinstance(found, CrystaltoolError):
                sys.exit(f"{found}\n{getattr(found, 'details', '')}")
            outcomes += found
            print(f"{len(outcomes)} of {len(genes)}", file=sys.stderr, flush=True)
    n_draws = len(outcomes) * arguments.trials
    text = [
        f"MP-20 {arguments.split}, n = {len(outcomes)}, seed {arguments.seed}, {arguments.trials} trials, "
        f"checkpoint {Path(arguments.checkpoint).name}, StructureMatcher {MATCHER}; "
        f"{sum(outcome.seconds for outcome in outcomes) / n_draws:.3f} cpu s a draw",
        "",
        *table(outcomes),
    ]
    print("\n".join(text))
    if arguments.output is not None:
        arguments.output.write_text("\n".join(text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
