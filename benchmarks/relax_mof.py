"""MOFs relaxed with UFF: `python benchmarks/relax_mof.py BLOCKS.h5 [-n MOFS] [--seed S] [-o FILE.md]`.

BLOCKS.h5 is what `crystaltool fragment` wrote. Of its MOFs of at most 300 atoms, n are drawn at random and relaxed to
0.05 eV/A and 0.1 GPa, one thread: as they are, with all atoms rattled and the cell strained, and assembled anew from
their blocks, cell and noisy centres (orientations and connections forgotten). Types come from the geometry that is
relaxed. Times are CPU seconds for typing and relaxing together.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from crystaltool.bonds import BondGraph
from crystaltool.crystal import Crystal
from crystaltool.errors import CrystaltoolError
from crystaltool.forcefield.uff.relaxation import relax_mof
from crystaltool.forcefield.uff.topology import build_topology
from crystaltool.mof.assemble import AssemblyConfig, assemble
from crystaltool.mof.blocks import CoarseMOF
from crystaltool.mof.elements import METAL
from crystaltool.mof.perception import perceive_bonds
from crystaltool.mof.rebuild import to_crystal
from crystaltool.mof.table import read_mofs

MAX_ATOMS = 300
RATTLE, STRAIN, CENTRE_NOISE = 0.2, 0.02, 0.3


@dataclass(frozen=True)
class Outcome:
    """One relaxation: against the MOF's own cell, and whether the ligands' bonds are those of the graph."""

    converged: bool
    seconds: float
    steps: int
    edge_change: float
    volume_ratio: float
    ligands_kept: bool


def given(mof: CoarseMOF, rng: np.random.Generator) -> tuple[Crystal, BondGraph]:
    """The MOF as it is."""
    return to_crystal(mof)


def rattled(mof: CoarseMOF, rng: np.random.Generator) -> tuple[Crystal, BondGraph]:
    """Atoms moved by 0.2 A a coordinate, the cell strained by 2 % a component."""
    crystal, bonds = to_crystal(mof)
    moves = rng.normal(size=(crystal.n_atoms, 3)) * RATTLE
    frac = crystal.frac_coords + moves @ np.linalg.inv(crystal.lattice)
    return Crystal(crystal.lattice @ (np.eye(3) + STRAIN * rng.normal(size=(3, 3))), frac, crystal.numbers), bonds


def assembled(mof: CoarseMOF, rng: np.random.Generator) -> tuple[Crystal, BondGraph] | None:
    """Assembled from blocks, cell and centres 0.3 A off; None where that is refused."""
    moves = rng.normal(size=mof.centres.shape) * CENTRE_NOISE @ np.linalg.inv(mof.lattice)
    bare = replace(mof, centres=mof.centres + moves, rotations=None, connections=None)
    found = assemble(bare, AssemblyConfig(max_closure=0.5), seed=int(rng.integers(2**31)))
    return to_crystal(found.mof) if found.good else None


def ligand_bonds(crystal: Crystal, bonds: BondGraph) -> set[tuple[int, int]]:
    """Bonds between nonmetals."""
    inner = ~METAL[crystal.numbers[bonds.pairs]].any(axis=1)
    return {(min(i, j), max(i, j)) for i, j in bonds.pairs[inner].tolist()}


def relaxed(mof: CoarseMOF, start: Crystal, bonds: BondGraph) -> Outcome:
    """Relax and compare."""
    begun = time.process_time()
    end = relax_mof(start, build_topology(start, bonds))
    seconds = time.process_time() - begun
    edges = np.linalg.norm(end.crystal.lattice, axis=1) / np.linalg.norm(mof.lattice, axis=1)
    try:
        kept = ligand_bonds(start, bonds) == ligand_bonds(start, perceive_bonds(end.crystal))
    except CrystaltoolError:
        kept = False
    volume = float(abs(np.linalg.det(mof.lattice)))
    change = float(np.abs(edges - 1).max())
    return Outcome(end.converged, seconds, end.steps, change, end.crystal.volume / volume, kept)


def row(what: str, asked: int, outcomes: list[Outcome]) -> str:
    """A line of the table."""
    done = [one for one in outcomes if one.converged]
    seconds = [one.seconds for one in outcomes]
    cells = [
        what,
        f"{len(outcomes)} of {asked}",
        f"{len(done) / len(outcomes):.1%}",
        f"{np.median(seconds):.2f}",
        f"{np.quantile(seconds, 0.9):.2f}",
        f"{max(seconds):.2f}",
        f"{np.median([one.steps for one in outcomes]):.0f}",
        f"{np.median([one.edge_change for one in done]):.1%}",
        f"{np.median([one.volume_ratio for one in done]):.3f}",
        f"{np.mean([one.ligands_kept for one in outcomes]):.1%}",
    ]
    return "| " + " | ".join(cells) + " |"


HEADER = (
    "| start | relaxed | converged | median s | 90 % s | most s | median steps | median change of an edge | "
    "median volume ratio | ligands keep their bonds |\n" + "|---" * 10 + "|"
)


def main() -> None:
    """Run and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("blocks", type=Path)
    parser.add_argument("-n", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    table = read_mofs(arguments.blocks)
    order = np.random.default_rng(arguments.seed).permutation(len(table))
    mofs: list[CoarseMOF] = []
    for index in order.tolist():
        mof = table[index]
        if mof.n_atoms <= MAX_ATOMS and len(mofs) < arguments.n:
            mofs.append(mof)
    starts: dict[str, Callable[[CoarseMOF, np.random.Generator], tuple[Crystal, BondGraph] | None]] = {
        "as given": given,
        "rattled 0.2 A, strained 2 %": rattled,
        "assembled, centres 0.3 A off": assembled,
    }
    lines = [
        f"# UFF on MOFs of {arguments.blocks.name}",
        "",
        f"{len(mofs)} MOFs of at most {MAX_ATOMS} atoms, seed {arguments.seed}; to 0.05 eV/A and 0.1 GPa; one "
        f"thread of {platform.machine()}, torch {torch.__version__}; {datetime.now(UTC).date()}. The change "
        "of an edge and the volume are against the crystal from which the MOF was cut.",
        "",
        HEADER,
    ]
    for what, start in starts.items():
        outcomes = []
        for place, mof in enumerate(mofs):
            ready = start(mof, np.random.default_rng([arguments.seed, place]))
            if ready is not None:
                outcomes.append(relaxed(mof, *ready))
        lines.append(row(what, len(mofs), outcomes))
        print(lines[-1], flush=True)
    if arguments.output is not None:
        arguments.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
