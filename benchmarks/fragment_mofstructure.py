"""Building blocks against mofstructure's: `python benchmarks/fragment_mofstructure.py --qmof FOLDER --python PYTHON`.

PYTHON is that of an environment with mofstructure, in which `mofstructure_worker.py` runs; FOLDER has QMOF's CIFs. Of
these, in random order, the first `-n` usable ones are cut by both codes, from the same atoms, each with bonds of its
own. Both divide the atoms of the cell into blocks; compared are the multisets of formulas, and the divisions atom by
atom. Where they differ both are brought to a common form, by the fewest of these steps:

    rods       bridging atoms of a rod, blocks here, return to their metals: mofstructure leaves a rod whole
    metals     a node falls apart where nothing but metal-metal bonds or shared carboxylates hold it: mofstructure joins
               metals nearer than their radii + 0.6 A (also Mg-Mg and Tb-Tb), and carboxylates join none
    hydrogens  a hydrogen keeps its nearest neighbour alone: mofstructure takes hydrogen bonds up to 1.57 A for bonds
    ligands    ligands of two heavy atoms or with carbon, within a node, become blocks: here one that is bound to a
               single node (phenanthroline, dimethylformamide) stays, there nitrate, and what is around CoN4

What is different after all four is a difference of bonds, or an error.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from crystaltool.crystal import Crystal
from crystaltool.errors import InputError
from crystaltool.io.cif import parse_crystal
from crystaltool.mof.blocks import BRIDGE, NODE, CoarseMOF
from crystaltool.mof.elements import METAL
from crystaltool.mof.fragment import fragment
from crystaltool.mof.identity import hill_formula
from crystaltool.mof.perception import perceive_bonds
from crystaltool.mof.quotient import find_pieces
from crystaltool.mof.rebuild import to_crystal

SEED = "mofs"
STEPS = ("rods", "metals", "hydrogens", "ligands")


@dataclass(frozen=True)
class Division:
    """Atoms divided into blocks, with the bonds that led to it.

    Args:
        numbers: atomic numbers; shape (n_atoms,).
        labels: block of each atom; shape (n_atoms,).
        pairs: bonds; shape (n_bonds, 2).
        images: cell of the second atom of each; shape (n_bonds, 3).
        lengths: of the bonds in A; shape (n_bonds,).
        cut: whether the bond was cut; shape (n_bonds,).
        bridges: blocks that are bridges of a rod.
    """

    numbers: np.ndarray
    labels: np.ndarray
    pairs: np.ndarray
    images: np.ndarray
    lengths: np.ndarray
    cut: np.ndarray
    bridges: frozenset[int] = frozenset()

    @property
    def blocks(self) -> set[frozenset[int]]:
        """The atoms of each block."""
        return {frozenset(np.flatnonzero(self.labels == label).tolist()) for label in np.unique(self.labels)}

    @property
    def formulas(self) -> Counter[str]:
        """How many blocks of each formula."""
        return Counter(hill_formula(tuple(self.numbers[sorted(block)].tolist())) for block in self.blocks)

    def simplified(self, steps: tuple[str, ...]) -> Division:
        """The division after the steps named."""
        metal = METAL[self.numbers]
        first, second = self.pairs.T
        joined = ~self.cut
        if "rods" in steps:
            bridge = np.isin(self.labels, list(self.bridges))
            joined = joined | ((bridge[first] | bridge[second]) & (metal[first] | metal[second]))
        if "metals" in steps:
            joined = joined & ~(metal[first] & metal[second])
        if "hydrogens" in steps:
            joined = joined & ~self._beyond_the_nearest()
        if "ligands" in steps:
            nonmetal = ~metal[first] & ~metal[second]
            ligands = find_pieces(len(metal), self.pairs[nonmetal], self.images[nonmetal]).labels
            heavy = np.bincount(ligands, weights=(self.numbers != 1) & ~metal)[ligands]
            carbon = np.bincount(ligands, weights=self.numbers == 6)[ligands]
            alone = ~metal & ((heavy > 1) | (carbon > 0))
            joined = joined & (alone[first] == alone[second])
        new = find_pieces(len(metal), self.pairs[joined], self.images[joined]).labels
        if "metals" not in steps:  # what is held together by shared carboxylates has no bond inside
            for block in self.blocks:
                metals = [atom for atom in block if metal[atom]]
                new[np.isin(new, new[metals])] = new[metals[0]] if metals else -1
        return replace(self, labels=new)

    def _beyond_the_nearest(self) -> np.ndarray:
        """Bonds of a hydrogen that are not its shortest."""
        shortest = np.full(len(self.numbers), np.inf)
        for end in self.pairs.T:
            np.minimum.at(shortest, end, self.lengths)
        longer = self.lengths[:, None] > shortest[self.pairs] + 1e-6
        return (longer & (self.numbers[self.pairs] == 1)).any(axis=1)


def ours(mof: CoarseMOF) -> tuple[Division, Crystal]:
    """Our division of a MOF, and the crystal in the order of its blocks."""
    crystal, bonds = to_crystal(mof)
    labels = np.repeat(np.arange(mof.n_blocks), [block.n_atoms for block in mof.blocks])
    cut = labels[bonds.pairs[:, 0]] != labels[bonds.pairs[:, 1]]
    bridges = frozenset(k for k, block in enumerate(mof.blocks) if block.kind == BRIDGE)
    return Division(crystal.numbers, labels, bonds.pairs, bonds.images, bonds.lengths(crystal), cut, bridges), crystal


def theirs(crystal: Crystal, answer: dict) -> Division:
    """The division that mofstructure gives."""
    labels = np.zeros(crystal.n_atoms, dtype=np.int64)
    for label, atoms in enumerate(answer["blocks"]):
        labels[atoms] = label
    rows = np.array(answer["bonds"], dtype=np.int64).reshape(-1, 5)
    steps = crystal.frac_coords[rows[:, 1]] + rows[:, 2:] - crystal.frac_coords[rows[:, 0]]
    cuts = {frozenset(pair) for pair in answer["cuts"]}
    cut = np.array([frozenset(pair) in cuts for pair in rows[:, :2].tolist()])
    lengths = np.linalg.norm(steps @ crystal.lattice, axis=1)
    return Division(crystal.numbers, labels, rows[:, :2], rows[:, 2:], lengths, cut)


def sample(folder: Path, n: int) -> dict[str, CoarseMOF]:
    """The first usable MOFs in random order."""
    names = sorted(path.stem for path in folder.glob("*.cif"))
    random.Random(SEED).shuffle(names)
    found: dict[str, CoarseMOF] = {}
    for name in names:
        if len(found) == n:
            break
        try:
            crystal = parse_crystal((folder / f"{name}.cif").read_text(encoding="utf-8"))
            found[name] = fragment(crystal, perceive_bonds(crystal))
        except InputError:
            continue
    return found


def task(name: str, crystal: Crystal) -> str:
    """A line for the worker."""
    values = {"numbers": crystal.numbers, "cart_coords": crystal.frac_coords @ crystal.lattice}
    values["lattice"] = crystal.lattice
    return json.dumps({"name": name, **{key: value.tolist() for key, value in values.items()}})


def steps_to_agree(one: Division, other: Division) -> tuple[str, ...] | None:
    """The fewest steps after which both divide the atoms alike; None if all do not help."""
    for count in range(len(STEPS) + 1):
        for steps in itertools.combinations(STEPS, count):
            if one.simplified(steps).blocks == other.simplified(steps).blocks:
                return steps
    return None


def one_sided_bonds(one: Division, other: Division) -> str:
    """Bonds that only the first has, by elements and length; those between metals are left out."""
    known = {(i, j, *cell) for (i, j), cell in zip(other.pairs.tolist(), other.images.tolist(), strict=True)}
    known |= {(j, i, -a, -b, -c) for i, j, a, b, c in known}
    lengths: dict[str, list[float]] = {}
    for (i, j), cell, length in zip(one.pairs.tolist(), one.images.tolist(), one.lengths.tolist(), strict=True):
        ends = one.numbers[[i, j]]
        if (i, j, *cell) not in known and not METAL[ends].all():
            lengths.setdefault("-".join(sorted(hill_formula((int(z),)) for z in ends)), []).append(length)
    kinds = [f"{len(some)} {kind} {min(some):.2f} to {max(some):.2f} A" for kind, some in sorted(lengths.items())]
    return ", ".join(kinds) or "none"


def counted(formulas: Counter[str]) -> str:
    """`2 OZn4, 6 C8H4O4`."""
    return ", ".join(f"{count} {formula}" for formula, count in sorted(formulas.items())) or "none"


def main() -> None:
    """Compare and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--qmof", type=Path, required=True)
    parser.add_argument("--python", required=True)
    parser.add_argument("-n", type=int, default=50)
    arguments = parser.parse_args()
    mofs = sample(arguments.qmof, arguments.n)
    mine = {name: ours(mof) for name, mof in mofs.items()}
    worker = [arguments.python, str(Path(__file__).with_name("mofstructure_worker.py"))]
    lines = "\n".join(task(name, crystal) for name, (_, crystal) in mine.items()) + "\n"
    done = subprocess.run(worker, input=lines, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    answers = {row["name"]: row for row in map(json.loads, done.stdout.splitlines())}
    rows, verdicts, formulas_alike = [], Counter(), 0
    for name, (own, crystal) in mine.items():
        if "error" in answers[name]:
            verdicts["mofstructure fails"] += 1
            rows.append(f"| {name} | | | mofstructure fails: {answers[name]['error']} | | |")
            continue
        other = theirs(crystal, answers[name])
        formulas_alike += own.formulas == other.formulas
        steps = steps_to_agree(own, other)
        if steps == ():
            verdicts["nothing"] += 1
            continue
        verdicts["none of it" if steps is None else ", ".join(steps)] += 1
        what = "different" if steps is None else ", ".join(steps)
        rows.append(
            f"| {name} | {counted(own.formulas - other.formulas)} | {counted(other.formulas - own.formulas)} | {what} "
            f"| {one_sided_bonds(own, other)} | {one_sided_bonds(other, own)} |"
        )
    nodes = sum(block.kind == NODE for mof in mofs.values() for block in mof.blocks)
    print(
        f"{len(mofs)} usable MOFs of QMOF in random order, seed `{SEED}`, {nodes} nodes. Multisets of formulas alike:"
    )
    print(f"{formulas_alike} of {len(mofs)}. Atom by atom:\n")
    print("| divisions are alike after | MOFs |\n|---|---|")
    print("\n".join(f"| {verdict} | {count} |" for verdict, count in verdicts.most_common()))
    print(
        "\n| MOF | blocks of ours alone | of mofstructure alone | what it takes | bonds of ours alone | of "
        "mofstructure alone |\n" + "|---" * 6 + "|"
    )
    print("\n".join(rows))


if __name__ == "__main__":
    main()
