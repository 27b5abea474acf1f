"""Crystals without any model, to be judged beside those of generators: `python benchmarks/baselines.py NAME -n 1000`.

    substitution   a random MP-20 train crystal, each element replaced with probability 0.6 by another of its column of
                   the periodic table (lanthanoids and actinides by one of their row), at least one
    ion-exchange   a random MP-20 train crystal with oxidation states, each ion replaced as pymatgen's data-mined
                   substitution probabilities have it (Hautier et al., Inorg. Chem. 50, 656 (2011)), charges balanced
    enumeration    a random MP-20 train crystal with random elements, charges balanced by the SMACT rule, not all metals

Cells keep their shape; their volume is that of the training crystal times the ratio of what data-mined radii predict
for the new elements and for the old ones (Chu et al., Comput. Mater. Sci. 146, 184 (2018); pymatgen).
Crystal i follows from (seed, i). CIF goes to standard output or to `-o FILE`.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from crystaltool.asymunit import AsymUnit, AsymUnitTable, expand
from crystaltool.checks.charge import smact_valid
from crystaltool.checks.elements import SMACT_METAL
from crystaltool.io.cif import format_asym_unit
from crystaltool.io.hdf5 import read_asym_units
from crystaltool.units import SYMBOLS, atomic_number

REPLACED = 0.6
"""Probability that an element is replaced."""

MOST_TRIES = 200
"""Draws of elements before another training crystal is taken."""

ROWS = (range(57, 72), range(89, 104))
"""Lanthanoids and actinides, which have their row in place of a column."""


@cache
def column(number: int) -> tuple[int, ...]:
    """Atomic numbers of the elements that may stand in for one, itself left out."""
    from pymatgen.core import Element

    for row in ROWS:
        if number in row:
            return tuple(other for other in row if other != number)
    group = Element.from_Z(number).group
    everything = (z for z in range(1, 95) if not any(z in row for row in ROWS))
    return tuple(z for z in everything if z != number and Element.from_Z(z).group == group)


def substitute(present: list[int], known: frozenset[int], rng: np.random.Generator) -> dict[int, int] | None:
    """New elements of a column for old ones; None if none changes or two become one."""
    chosen = {}
    for number in present:
        others = [other for other in column(number) if other in known]
        change = bool(rng.random() < REPLACED) and bool(others)
        chosen[number] = int(rng.choice(others)) if change else number
    return chosen if _is_change(chosen) else None


def exchange(unit: AsymUnit, known: frozenset[int], rng: np.random.Generator) -> dict[int, int] | None:
    """New ions by data-mined probabilities, neutral in all; None where states are unknown or the draw is no change."""
    numbers = np.repeat(unit.numbers, unit.multiplicities)
    present, counts = np.unique(numbers, return_counts=True)
    states = oxidation_states(tuple(present.tolist()), tuple(counts.tolist()))
    if states is None:
        return None
    chosen, charge = {}, 0
    for number, count, state in zip(present.tolist(), counts.tolist(), states, strict=True):
        ions, shares = exchanges(number, state)
        if not ions:
            return None
        other, other_state = ions[int(rng.choice(len(ions), p=shares))]
        chosen[number], charge = other, charge + count * other_state
    return chosen if charge == 0 and set(chosen.values()) <= known and _is_change(chosen) else None


@cache
def oxidation_states(numbers: tuple[int, ...], counts: tuple[int, ...]) -> tuple[int, ...] | None:
    """The likeliest whole oxidation states of a composition by pymatgen, None if there are none."""
    from pymatgen.core import Composition

    formula = Composition({SYMBOLS[z]: n for z, n in zip(numbers, counts, strict=True)})
    guesses = formula.reduced_composition.oxi_state_guesses(max_sites=-1)
    if not guesses:
        return None
    states = [guesses[0][SYMBOLS[z]] for z in numbers]
    return tuple(int(state) for state in states) if all(state == int(state) for state in states) else None


@cache
def exchanges(number: int, state: int) -> tuple[list[tuple[int, int]], np.ndarray]:
    """Ions (atomic number, charge) that may stand in for one, itself among them, and their probabilities."""
    from pymatgen.core import Species

    table: Any = _probabilities()
    ion = Species(SYMBOLS[number], state)
    if ion not in table.species:
        return [], np.zeros(0)
    others = sorted(table.species, key=str)
    shares = np.array([table.cond_prob(other, ion) for other in others])
    return [(atomic_number(other.symbol), int(other.oxi_state)) for other in others], shares / shares.sum()


@cache
def _probabilities() -> Any:
    from pymatgen.analysis.structure_prediction.substitution_probability import SubstitutionProbability

    return SubstitutionProbability()


def enumerate_elements(unit: AsymUnit, known: frozenset[int], rng: np.random.Generator) -> dict[int, int] | None:
    """Random different elements, charges balanced; None if the SMACT rule forbids them, or knows metals alone."""
    present = np.unique(unit.numbers)
    chosen = rng.choice(sorted(known), len(present), replace=False)
    mapping = dict(zip(present.tolist(), chosen.tolist(), strict=True))
    filled = np.repeat([mapping[number] for number in unit.numbers.tolist()], unit.multiplicities)
    balanced = smact_valid(filled) and not SMACT_METAL[list(mapping.values())].all() and len(mapping) > 1
    return mapping if balanced and _is_change(mapping) else None


def _is_change(chosen: dict[int, int]) -> bool:
    return len(set(chosen.values())) == len(chosen) and any(old != new for old, new in chosen.items())


DRAWS: dict[str, Callable[[AsymUnit, frozenset[int], np.random.Generator], dict[int, int] | None]] = {
    "substitution": lambda unit, known, rng: substitute(np.unique(unit.numbers).tolist(), known, rng),
    "ion-exchange": exchange,
    "enumeration": enumerate_elements,
}


def draw(name: str, table: AsymUnitTable, known: frozenset[int], seed: int, index: int) -> AsymUnit:
    """Crystal `index` of a baseline."""
    rng = np.random.default_rng([seed, index])
    while True:
        unit = table[int(rng.integers(len(table)))]
        for _ in range(MOST_TRIES):
            chosen = DRAWS[name](unit, known, rng)
            if chosen is not None:
                return rescaled(unit, chosen, f"{name}-s{seed}-{index:06d}")
            if name == "ion-exchange" and not has_states(unit):
                break


def has_states(unit: AsymUnit) -> bool:
    """Whether a crystal has oxidation states that the table of probabilities knows."""
    present, counts = np.unique(np.repeat(unit.numbers, unit.multiplicities), return_counts=True)
    states = oxidation_states(tuple(present.tolist()), tuple(counts.tolist()))
    return states is not None and all(exchanges(*ion)[0] for ion in zip(present.tolist(), states, strict=True))


def rescaled(unit: AsymUnit, chosen: dict[int, int], name: str) -> AsymUnit:
    """The unit with new elements and the volume that radii predict; the old volume where they are unknown."""
    from pymatgen.analysis.structure_prediction.volume_predictor import DLSVolumePredictor
    from pymatgen.core import Lattice, Structure

    crystal = expand(unit)
    old = Structure(Lattice(crystal.lattice), crystal.numbers.tolist(), crystal.frac_coords)
    new = Structure(Lattice(crystal.lattice), [chosen[n] for n in crystal.numbers.tolist()], crystal.frac_coords)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            factor = DLSVolumePredictor().predict(new) / DLSVolumePredictor().predict(old)
    except (KeyError, ValueError, AttributeError, ZeroDivisionError):  # no radius of an element, no bond found
        factor = 1.0
    numbers = np.array([chosen[number] for number in unit.numbers.tolist()])
    return replace(unit, numbers=numbers, lattice=unit.lattice * factor ** (1 / 3), name=name)


def texts(name: str, train: Path, n: int, seed: int) -> Iterator[str]:
    """CIF blocks of a baseline."""
    table = read_asym_units(train)
    known = frozenset(np.unique(table.numbers).tolist())
    for index in range(n):
        unit = draw(name, table, known, seed, index)
        yield format_asym_unit(unit, unit.name)


def main() -> None:
    """Write a baseline's crystals."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=list(DRAWS))
    parser.add_argument("-n", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train", type=Path, required=True, help="MP-20 train as `asym-unit --symprec 0.1` writes it")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    target = sys.stdout if arguments.output is None else arguments.output.open("w", encoding="ascii")
    with target:
        target.writelines(texts(arguments.name, arguments.train, arguments.n, arguments.seed))


if __name__ == "__main__":
    main()
