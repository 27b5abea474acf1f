"""Crystal structure prediction from the formula alone: `python benchmarks/structure_prediction.py -o FILE`.

For structures of MP-20's test split, drawn at random, the composition of the primitive cell is given (formula and
number of atoms, as DiffCSP, arXiv 2309.04475, has it) and nothing else; samples are drawn from SymmCD's weights.
Match rate: share of structures that a sample matches by pymatgen's StructureMatcher (ltol 0.3, stol 0.5, angle_tol
10); RMSE: mean over matched structures of the best sample's root mean square displacement over (V / N)^(1/3).

Each finished structure is a line of the JSON Lines file `-o`; a run that is started again goes on behind them. The
order of the structures depends on `--seed` alone, so a larger `-n` continues a smaller one.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from crystaltool.asymunit import expand
from crystaltool.checks.formula import composition
from crystaltool.crystal import Crystal
from crystaltool.io.cif import parse_crystal
from crystaltool.models.symmcd.checkpoint import LoadedSymmCD, load_symmcd
from crystaltool.models.symmcd.request import Request
from crystaltool.models.symmcd.sampling import sample_symmcd
from crystaltool.models.symmcd.templates import Templates, read_templates
from crystaltool.models.weights import find_checkpoint
from crystaltool.nn.layers import N_ELEMENTS

MP20 = Path(__file__).resolve().parents[2] / "shared" / "data" / "inorganic" / "mp20" / "test.csv.gz"
MATCHER = StructureMatcher(ltol=0.3, stol=0.5, angle_tol=10)


def structures(path: Path, n: int, seed: int) -> list[tuple[str, Crystal]]:
    """Names and structures of the first rows of a shuffled split."""
    csv.field_size_limit(10**9)
    with gzip.open(path, "rt", newline="") as handle:
        rows = list(csv.DictReader(handle))
    order = np.random.default_rng(seed).permutation(len(rows))[:n]
    return [(rows[i]["material_id"], parse_crystal(rows[i]["cif"])) for i in order]


def pymatgen_structure(crystal: Crystal) -> Structure:
    """The same crystal for the matcher."""
    return Structure(Lattice(crystal.lattice), crystal.numbers.tolist(), crystal.frac_coords)


def request_of(crystal: Crystal, templates: Templates) -> Request:
    """The composition of the primitive cell."""
    primitive = pymatgen_structure(crystal).get_primitive_structure()
    counts = composition(np.array(primitive.atomic_numbers))
    divisor = math.gcd(*counts.values())
    return Request(
        formula=tuple((number, count // divisor) for number, count in counts.items()),
        n_atoms=(len(primitive), len(primitive)),
        primitive=True,
        template=templates,
    )


def predict(loaded: LoadedSymmCD, name: str, crystal: Crystal, seed: int, options: Any, templates: Templates) -> dict:
    """One structure: distance of every sample, None where it does not match."""
    started = time.process_time()
    if crystal.numbers.max() > N_ELEMENTS:
        return {"name": name, "found": [None] * options.samples, "seconds": 0.0}
    sampler = replace(loaded.sampler, site_candidates=options.candidates, formula_candidates=options.candidates)
    if not options.guided:
        sampler = replace(sampler, above_hull=())
    plan = loaded.plan(request_of(crystal, templates), sampler)
    units = list(sample_symmcd(loaded.model, range(options.samples), plan, seed, sampler, options.samples))
    seconds = time.process_time() - started
    truth, found = pymatgen_structure(crystal), []
    for unit in units:
        distance = MATCHER.get_rms_dist(truth, pymatgen_structure(expand(unit)))
        found.append(None if distance is None else round(float(distance[0]), 5))
    groups = [unit.group for unit in units]
    return {"name": name, "n_atoms": len(truth), "found": found, "groups": groups, "seconds": round(seconds, 2)}


def wilson(passed: int, n: int) -> str:
    """A share in per cent with its 95 % interval."""
    if n == 0:
        return "none"
    share, z = passed / n, 1.96
    centre, half = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low, high = ((centre + sign * half) / (1 + z * z / n) for sign in (-1, 1))
    return f"{100 * share:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def report(lines: list[dict], n_samples: int) -> None:
    """Match rate and RMSE with the first candidate, and with more of them."""
    for k in sorted({1, 5, 20, n_samples}):
        if k > n_samples:
            continue
        best = [min((d for d in line["found"][:k] if d is not None), default=None) for line in lines]
        matched = [d for d in best if d is not None]
        rmse = f"{np.mean(matched):.4f}" if matched else "-"
        print(f"{k} samples: match {wilson(len(matched), len(best))}, RMSE {rmse}, n = {len(best)}")
    share = np.mean([d is not None for line in lines for d in line["found"][:n_samples]])
    print(f"share of all samples that match {100 * share:.1f} %; {sum(line['seconds'] for line in lines):.0f} cpu s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=MP20)
    parser.add_argument("--model", default="symmcd")
    parser.add_argument("-n", type=int, default=50, help="structures")
    parser.add_argument("--samples", type=int, default=5, help="samples a structure")
    parser.add_argument("--candidates", type=int, default=32, help="choices of sites that each is weighed from")
    parser.add_argument("--template", action="store_true", help="Wyckoff positions from the training data's templates")
    parser.add_argument("--guided", action="store_true", help="sites weighed by stability too, as `sample` does")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder = find_checkpoint(options.model)
    loaded = load_symmcd(folder)
    templates = read_templates(folder) if options.template else ()
    settings = {
        "weights": loaded.sha256[:16],
        **{key: str(value) for key, value in vars(options).items() if key not in ("n", "output")},
    }
    lines = [json.loads(line) for line in options.output.read_text().splitlines()] if options.output.exists() else []
    if not lines:
        lines = [settings]
        options.output.write_text(json.dumps(settings) + "\n")
    elif lines[0] != settings:
        parser.error(f"{options.output} is of another run: {lines[0]}")
    done = {line["name"] for line in lines[1:]}
    chosen = structures(options.data, options.n, options.seed)
    with open(options.output, "a") as handle:
        for name, crystal in chosen:
            if name not in done:
                line = predict(loaded, name, crystal, options.seed, options, templates)
                lines.append(line)
                handle.write(json.dumps(line) + "\n")
                handle.flush()
    wanted = {name for name, _ in chosen}
    report([line for line in lines[1:] if line["name"] in wanted], options.samples)


if __name__ == "__main__":
    main()
