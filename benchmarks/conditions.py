"""Whether samples meet their requests: `python benchmarks/conditions.py [-n SAMPLES] [--requests R] [--seed S]`.

Requests are drawn at random: each mixes some of space groups, elements allowed, required and excluded, a formula,
numbers of atoms and of elements, and templates. Their values come from structures of MP-20's test split, so that they
are of the kind that users have. A request that cannot be met is counted and drawn again. Every sample is judged on its
expanded cell, by code that the sampler does not use. Printed beside: cpu time a sample and the shares that pass the
LeMat distance rule and SMACT, with the requests and without.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from crystaltool.asymunit import AsymUnit, expand, reduce
from crystaltool.checks.registry import run_checks
from crystaltool.errors import UsageError
from crystaltool.io.cif import format_asym_unit, parse_block, parse_crystal
from crystaltool.models.symmcd.checkpoint import LoadedSymmCD, load_symmcd
from crystaltool.models.symmcd.request import Request
from crystaltool.models.symmcd.sampling import sample_symmcd
from crystaltool.models.symmcd.templates import Templates, read_templates
from crystaltool.models.weights import find_checkpoint
from crystaltool.symmetry import space_group
from crystaltool.units import SYMBOLS

MP20 = Path(__file__).resolve().parents[2] / "shared" / "data" / "inorganic" / "mp20" / "test.csv.gz"
RULES = ("distance-lemat", "charge")
POISONS = ("Pb", "Tl", "Cd", "Hg", "As", "U", "Pu", "Th")
SYMPREC = 0.1


@dataclass
class Score:
    """Counts over samples."""

    n: int = 0
    kept: int = 0
    seconds: float = 0.0
    passed: dict[str, int] = field(default_factory=lambda: dict.fromkeys(RULES, 0))

    def add(self, units: list[AsymUnit], request: Request, seconds: float) -> None:
        """Judge some samples."""
        self.seconds += seconds
        for unit in units:
            self.n += 1
            if broken := broken_conditions(unit, request):
                print(f"BROKEN {broken}: {request} {unit}")
            self.kept += not broken
            block = parse_block(format_asym_unit(unit, "x", ()), "sample", 1)
            for verdict in run_checks(block, RULES):
                self.passed[verdict.check] += verdict.passed

    def __str__(self) -> str:
        rules = ", ".join(f"{name} {100 * count / self.n:.1f} %" for name, count in self.passed.items())
        return (
            f"n = {self.n}, kept {100 * self.kept / self.n:.2f} %, {self.seconds / self.n:.3f} cpu s a sample, {rules}"
        )


def broken_conditions(unit: AsymUnit, request: Request) -> list[str]:
    """Names of what a sample does not meet, from its atoms."""
    crystal = expand(unit)
    numbers, counts = np.unique(crystal.numbers, return_counts=True)
    kinds, formula = set(numbers.tolist()), dict(request.formula)
    primitive = crystal.n_atoms // {"P": 1, "F": 4, "R": 3}.get(space_group(unit.group).centring, 2)
    n_atoms = primitive if request.primitive else crystal.n_atoms
    ratios = {count / formula.get(z, np.nan) for z, count in zip(numbers.tolist(), counts.tolist(), strict=True)}
    template = unit.group, tuple(sorted(unit.positions.tolist()))
    met = {
        "sg": not request.space_group or unit.group in request.space_group,
        "elements": not request.elements or kinds <= set(request.elements),
        "require": kinds >= set(request.require),
        "exclude": not kinds & set(request.exclude),
        "formula": not formula or (kinds == set(formula) and len(ratios) == 1),
        "n_atoms": request.n_atoms is None or request.n_atoms[0] <= n_atoms <= request.n_atoms[1],
        "n_elements": request.n_elements is None or request.n_elements[0] <= len(kinds) <= request.n_elements[1],
        "template": not request.template or template in {entry[:2] for entry in request.template},
    }
    return [name for name, passed in met.items() if not passed]


def random_words(unit: AsymUnit, rng: np.random.Generator) -> dict:
    """Options that mix some conditions, with the numbers of a known crystal or near them."""
    crystal = expand(unit)
    numbers, counts = np.unique(crystal.numbers, return_counts=True)
    symbols = [SYMBOLS[number] for number in numbers]
    words: dict = {}
    if rng.random() < 0.4:
        words["space_group"] = (str(unit.group), str(rng.integers(1, 231)))[: rng.integers(1, 3)]
    if rng.random() < 0.4:
        words["formula"] = "".join(f"{s}{n}" for s, n in zip(symbols, counts, strict=True))
    else:
        if rng.random() < 0.5:
            words["elements"] = ",".join([*symbols, *rng.choice(SYMBOLS[1:84], rng.integers(0, 4))])
        if rng.random() < 0.4:
            words["require"] = str(rng.choice(symbols))
        if rng.random() < 0.5:
            words["n_elements"] = f"{len(symbols)}" if rng.random() < 0.6 else f"{len(symbols)}:{len(symbols) + 2}"
    if rng.random() < 0.3:
        words["exclude"] = ",".join(symbol for symbol in POISONS if symbol not in symbols)
    if rng.random() < 0.5:
        atoms = crystal.n_atoms
        centring = {"P": 1, "F": 4, "R": 3}.get(space_group(unit.group).centring, 2)
        words["primitive"] = bool(rng.random() < 0.5)
        atoms = atoms // centring if words["primitive"] else atoms
        words["n_atoms"] = f"{atoms}" if rng.random() < 0.3 else f"{max(1, atoms // 2)}:{2 * atoms}"
    return words


def known_units(path: Path, n: int, rng: np.random.Generator) -> list[AsymUnit]:
    """Some structures of a split."""
    csv.field_size_limit(10**9)
    with gzip.open(path, "rt", newline="") as handle:
        rows = list(csv.DictReader(handle))
    return [reduce(parse_crystal(rows[i]["cif"]), SYMPREC) for i in rng.permutation(len(rows))[:n]]


def sample(loaded: LoadedSymmCD, request: Request, n: int, seed: int, score: Score) -> None:
    """Draw and judge."""
    started = time.process_time()
    plan = loaded.plan(request)
    units = list(sample_symmcd(loaded.model, range(n), plan, seed, loaded.sampler, n))
    score.add(units, request, time.process_time() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=MP20)
    parser.add_argument("--model", default="symmcd")
    parser.add_argument("-n", type=int, default=20, help="samples a request")
    parser.add_argument("--requests", type=int, default=50)
    parser.add_argument("--candidates", type=int, help="choices of sites that each is weighed from")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder = find_checkpoint(options.model)
    loaded = load_symmcd(folder)
    if options.candidates:
        loaded = replace(
            loaded,
            sampler=replace(loaded.sampler, site_candidates=options.candidates, formula_candidates=options.candidates),
        )
    rng = np.random.default_rng(options.seed)
    training: Templates = read_templates(folder)
    with_requests, without, impossible, n_done = Score(), Score(), 0, 0
    for unit in known_units(options.data, 4 * options.requests, rng):
        words = random_words(unit, rng)
        template = training if not words or rng.random() < 0.2 else ()
        try:
            request = replace(Request.parse(**words), template=template)
            sample(loaded, request, options.n, options.seed, with_requests)
        except UsageError as error:
            impossible += 1
            print(f"refused {words}: {error}", flush=True)
            continue
        n_done += 1
        print(f"{n_done}: {words}{' template train' if template else ''}; so far {with_requests}", flush=True)
        if n_done == options.requests:
            break
    sample(loaded, Request(), options.n * options.requests, options.seed, without)
    print(f"{n_done} requests of {options.n} samples, {impossible} more refused: {with_requests}")
    print(f"without requests: {without}")


if __name__ == "__main__":
    main()
