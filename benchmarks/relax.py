"""Force calls that three optimisers need: `python benchmarks/relax.py [-n STRUCTURES] [--seed S] [--move A]`.

MP-20 validation structures, drawn at random, are moved along their own free coordinates (group kept) until an atom or
the cell has moved by `--move`, and relaxed with CHGNet to 0.05 eV/A and 0.1 GPa: by the L-BFGS of
`crystaltool.forcefield.minimise`, by a dense BFGS with the same step limit and no line search, and by FIRE
(Bitzek et al., Phys. Rev. Lett. 97, 170201 (2006)). All three work on the same symmetric coordinates.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from crystaltool.asymunit import AsymUnit, reduce
from crystaltool.crystal import Crystal
from crystaltool.defaults import MAX_FORCE
from crystaltool.forcefield.interface import Evaluation, ForceField
from crystaltool.forcefield.minimise import (
    FIRST_CURVATURE,
    MAX_MOVE,
    MAX_STRESS,
    collapsed,
    minimise,
)
from crystaltool.forcefield.registry import load_force_field
from crystaltool.forcefield.symmetric_coordinates import SymmetricCoordinates
from crystaltool.io.cif import parse_crystal

MP20 = Path(__file__).resolve().parents[2] / "shared" / "data" / "inorganic" / "mp20" / "val.csv.gz"
SYMPREC = 0.1
MAX_CALLS = 500


class Counter:
    """A force field that counts its calls."""

    def __init__(self, force_field: ForceField) -> None:
        self.force_field, self.name, self.version = force_field, force_field.name, force_field.version
        self.n_calls = 0

    def evaluate(self, crystal: Crystal) -> Evaluation:
        """As the force field's own."""
        self.n_calls += 1
        return self.force_field.evaluate(crystal)


def starts(path: Path, n: int, seed: int, move: float) -> Iterator[tuple[str, AsymUnit]]:
    """Names and displaced structures, without those in which the displacement brings atoms together."""
    rng = np.random.default_rng(seed)
    with gzip.open(path, "rt", newline="") as handle:
        rows = list(csv.DictReader(handle))
    for index in rng.choice(len(rows), n, replace=False):
        coordinates = SymmetricCoordinates(reduce(parse_crystal(rows[index]["cif"]), SYMPREC))
        q = rng.normal(size=coordinates.n_free)
        q *= move / coordinates.largest_move(q)
        if not collapsed(coordinates.crystal(q)):
            yield rows[index]["material_id"], coordinates.unit(q)


def at_rest(found: Evaluation) -> bool:
    """The same end for all three."""
    return found.max_force < MAX_FORCE and found.max_stress < MAX_STRESS


def shortened(coordinates: SymmetricCoordinates, step: np.ndarray) -> np.ndarray:
    """The same longest move for all three."""
    return step * min(1.0, MAX_MOVE / max(coordinates.largest_move(step), 1e-12))


def by_lbfgs(unit: AsymUnit, field: Counter) -> tuple[float, bool]:
    """Energy per atom and whether it converged, by the tool's own minimiser."""
    found = minimise(unit, field, max_steps=MAX_CALLS)
    if found.reason:
        print(found.reason)
    return found.energy_per_atom, found.converged


def by_bfgs(unit: AsymUnit, field: Counter) -> tuple[float, bool]:
    """Dense BFGS, steps along |eigenvalues| of the Hessian's estimate."""
    coordinates = SymmetricCoordinates(unit)
    q, hessian = np.zeros(coordinates.n_free), np.eye(coordinates.n_free) * FIRST_CURVATURE
    found = field.evaluate(coordinates.crystal(q))
    gradient = coordinates.gradient(q, found)
    while not at_rest(found) and field.n_calls < MAX_CALLS:
        curvatures, vectors = np.linalg.eigh(hessian)
        step = shortened(coordinates, -vectors @ ((vectors.T @ gradient) / np.abs(curvatures)))
        q = q + step
        found = field.evaluate(coordinates.crystal(q))
        change = coordinates.gradient(q, found) - gradient
        image = hessian @ step
        hessian = hessian + np.outer(change, change) / (change @ step) - np.outer(image, image) / (step @ image)
        gradient = gradient + change
    return found.energy / coordinates.n_atoms, at_rest(found)


def by_fire(unit: AsymUnit, field: Counter) -> tuple[float, bool]:
    """FIRE with unit masses, the published parameters and steps of at most 0.3."""
    coordinates = SymmetricCoordinates(unit)
    q, velocity = np.zeros(coordinates.n_free), np.zeros(coordinates.n_free)
    time_step, mixing, n_downhill = 0.1, 0.1, 0
    found = field.evaluate(coordinates.crystal(q))
    while not at_rest(found) and field.n_calls < MAX_CALLS:
        force = -coordinates.gradient(q, found)
        if force @ velocity > 0:
            n_downhill += 1
            direction = force / np.linalg.norm(force)
            velocity = (1 - mixing) * velocity + mixing * direction * np.linalg.norm(velocity)
            if n_downhill > 5:
                time_step, mixing = min(1.1 * time_step, 0.3), 0.99 * mixing
        else:
            q = q - 0.5 * time_step * velocity
            velocity, time_step, mixing, n_downhill = 0 * velocity, 0.5 * time_step, 0.1, 0
        velocity = velocity + time_step * force
        q = q + shortened(coordinates, time_step * velocity)
        found = field.evaluate(coordinates.crystal(q))
    return found.energy / coordinates.n_atoms, at_rest(found)


OPTIMISERS: dict[str, Callable[[AsymUnit, Counter], tuple[float, bool]]] = {
    "L-BFGS": by_lbfgs,
    "BFGS": by_bfgs,
    "FIRE": by_fire,
}


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=24, help="structures (default 24)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--move", type=float, default=0.4, help="largest displacement in A (default 0.4)")
    parser.add_argument("--only", choices=list(OPTIMISERS), help="one optimiser instead of three")
    parser.add_argument("--data", type=Path, default=MP20, help="MP-20 csv.gz")
    arguments = parser.parse_args()
    chosen = {name: OPTIMISERS[name] for name in OPTIMISERS if arguments.only in (None, name)}
    field = load_force_field("chgnet")
    calls: dict[str, list[int]] = {name: [] for name in chosen}
    converged = dict.fromkeys(chosen, 0)
    lowest = dict.fromkeys(chosen, 0)
    seconds = dict.fromkeys(chosen, 0.0)
    for identifier, unit in starts(arguments.data, arguments.n, arguments.seed, arguments.move):
        energies = {}
        for name, optimiser in chosen.items():
            counter, begin = Counter(field), time.process_time()
            energies[name], ended = optimiser(unit, counter)
            seconds[name] += time.process_time() - begin
            calls[name].append(counter.n_calls)
            converged[name] += ended
            if not ended:
                print(f"not converged: {name} {identifier} group {unit.group}", flush=True)
        for name in chosen:
            lowest[name] += energies[name] < min(energies.values()) + 1e-3
    n_started = len(next(iter(calls.values())))
    print(f"n {n_started}, seed {arguments.seed}, moved by {arguments.move} A, {field.version}")
    print("| optimiser | converged | calls: mean | median | most | within 1 meV/atom of the lowest | ms a call |")
    print("|---|---|---|---|---|---|---|")
    for name, counts in calls.items():
        print(
            f"| {name} | {converged[name]} | {np.mean(counts):.1f} | {np.median(counts):.1f} | {max(counts)} "
            f"| {lowest[name]} | {1e3 * seconds[name] / sum(counts):.0f} |"
        )


if __name__ == "__main__":
    main()
