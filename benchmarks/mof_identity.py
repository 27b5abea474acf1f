"""One MOF, one identity: two sources of one MOF, cells scaled by 1 %, relaxed structures.

    python benchmarks/mof_identity.py --qmof QMOF_CIF_FOLDER --index qmof_index.csv --core FOLDER [FOLDER ...]

Pairs: a CIF of CoRE MOF 2019 (PyPI core-mof 2019.1, FSR and ASR unpacked) and one of QMOF with the same reference code
and reduced composition; the first of a code counts. Scaled: random QMOF structures that have an identity, every vector
of the cell times 0.99 and 1.01. Relaxed: random ones of at most 150 atoms, by UFF with the bonds perceived. Prints
Markdown.
"""

from __future__ import annotations

import argparse
import csv
import math
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from crystaltool.crystal import Crystal
from crystaltool.errors import CrystaltoolError, InputError
from crystaltool.forcefield.uff.bonds import perceived_bonds
from crystaltool.io.cif import CifBlock
from crystaltool.io.stream import iter_blocks
from crystaltool.mof.framework import identify_framework
from crystaltool.mof.perception import perceive_bonds

LARGEST_RELAXED = 150
"""Atoms."""


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--qmof", type=Path, required=True)
    parser.add_argument("--index", type=Path, required=True)
    parser.add_argument("--core", type=Path, nargs="*", default=[])
    parser.add_argument("--scaled", type=int, default=2500)
    parser.add_argument("--relaxed", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def read(path: Path) -> Crystal | None:
    """The crystal of a file, if it can be read."""
    for block in iter_blocks([str(path)]):
        return block.crystal if isinstance(block, CifBlock) else None
    return None


def identity(crystal: Crystal) -> str:
    """The identity of a crystal, or why it has none, in brackets."""
    try:
        return identify_framework(crystal, perceive_bonds(crystal)).text
    except InputError as error:
        return f"[{error}]"


def composition(crystal: Crystal) -> tuple[tuple[int, int], ...]:
    """Elements with their numbers in the reduced formula."""
    counts = Counter(crystal.numbers.tolist())
    share = math.gcd(*counts.values())
    return tuple(sorted((element, count // share) for element, count in counts.items()))


def pair_lines(options: argparse.Namespace) -> Iterator[str]:
    """CoRE against QMOF."""
    by_code: dict[str, list[str]] = defaultdict(list)
    with options.index.open(newline="") as handle:
        for row in csv.DictReader(handle):
            if row["source"] in ("CSD", "CoRE"):
                by_code[row["name"].split("_")[0]].append(row["qmof_id"])
    seen: set[str] = set()
    pairs, differing = Counter(), []
    for path in (path for folder in options.core for path in sorted(folder.rglob("*.cif"))):
        others = [other for other in by_code.get(path.name.split("_")[0].split(".")[0], []) if other not in seen]
        crystal = read(path) if others else None
        for other in others if crystal is not None else []:
            known = read(options.qmof / f"{other}.cif")
            if known is None or crystal is None or composition(known) != composition(crystal):
                continue
            seen.add(other)
            texts = identity(crystal), identity(known)
            n_refused = sum(text.startswith("[") for text in texts)
            alike = texts[0] == texts[1]
            pairs["both" if n_refused == 0 else "one" if n_refused == 1 else "none"] += 1
            if n_refused == 0:
                pairs["alike"] += alike
                differing += [] if alike else [f"| {path.stem} | {other} | {texts[0]} | {texts[1]} |"]
    yield f"Pairs: {len(seen)}; both identified {pairs['both']}, alike {pairs['alike']}; one identified {pairs['one']}."
    yield from ["", "| CoRE | QMOF | identity | identity |", "|---|---|---|---|", *differing]


def scaled_line(options: argparse.Namespace, names: list[str]) -> str:
    """Identities that change with the size of the cell."""
    n, changed = 0, Counter()
    for name in names:
        crystal = read(options.qmof / f"{name}.cif")
        text = "[" if crystal is None else identity(crystal)
        if crystal is None or text.startswith("["):
            continue
        n += 1
        for factor in (0.99, 1.01):
            changed[factor] += text != identity(Crystal(crystal.lattice * factor, crystal.frac_coords, crystal.numbers))
        if n == options.scaled:
            break
    return f"Scaled: {n} structures; changed by 0.99: {changed[0.99]}, by 1.01: {changed[1.01]}."


def relaxed_line(options: argparse.Namespace, names: list[str]) -> str:
    """Identities that change when UFF relaxes the structure."""
    from crystaltool.forcefield.uff.relaxation import relax_mof
    from crystaltool.forcefield.uff.topology import build_topology

    n = same = moved = 0
    for name in names:
        crystal = read(options.qmof / f"{name}.cif")
        if crystal is None or crystal.n_atoms > LARGEST_RELAXED or identity(crystal).startswith("["):
            continue
        try:
            relaxed = relax_mof(crystal, build_topology(crystal, perceived_bonds(crystal)))
        except CrystaltoolError as error:
            print(f"{name}: {error}", file=sys.stderr)
            continue
        n += 1
        same += identity(relaxed.crystal) == identity(crystal)
        moved += abs(np.log(relaxed.crystal.volume / crystal.volume)) > np.log(1.1)
        if n == options.relaxed:
            break
    return f"Relaxed: {n} structures, {same} with the identity of before; volume changed by more than 10 %: {moved}."


def main() -> None:
    """All three."""
    options = parse_arguments()
    names = sorted(path.stem for path in options.qmof.glob("*.cif"))
    random.Random(options.seed).shuffle(names)
    print(scaled_line(options, names), flush=True)
    if options.relaxed:
        print(relaxed_line(options, names), flush=True)
    if options.core:
        print("\n".join(pair_lines(options)))


if __name__ == "__main__":
    main()
