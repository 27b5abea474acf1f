"""`AssemblyConfig` and `Assembly`: how blocks are put together, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from crystaltool.arrays import Float
from crystaltool.defaults import MAX_CLOSURE, STARTS
from crystaltool.mof.blocks import CoarseMOF

REASONS = ("parity", "closure", "overlap", "dimension")
"""Why an assembly is refused, in the order in which they are found."""


@dataclass(frozen=True)
class AssemblyConfig:
    """How MOFs are assembled; lengths in Angstrom.

    Args:
        starts: orientations of all blocks tried in one round.
        rounds: rounds of new starts for a MOF that was refused in the one before.
        max_closure: largest gap between the two connection points of a bond.
        orientations: of each block by itself, refined in `orientation_steps` steps, from which the starts are drawn.
        first_widths: between these each start draws the first width of its annealing. last_width: the last.
        steps: number of widths. settling: steps at the last one in which the centres are all but free.
        sinkhorn_steps: row and column normalisations at each width.
        direction: length of the lever by which the direction of a cut bond counts beside its middle.
        centre_spread: expected error of the given centres; they are held while the width is above it.
        generations: most rounds of `children` trials in which badly bound blocks of the `parents` best poses turn anew;
            the annealing is then taken up at a width between `restart_widths` for `restart_steps`.
        pool: poses kept. crossings: part of the trials that join two of them, block by block.
        suited: part of these turns that goes to an orientation which suits the centres of the neighbours; these are
            worked out again every `refresh` generations, from the centres of the best pose.
        flips: part of the other turns that is by 180 degrees about a principal axis of the block.
        neighbours: part of the trials in which the blocks bound to a turned one turn too.
        patience: generations without progress after which the search ends. progress: the least part by which the
            sum of squares must fall.
        solved: mean square residual of a connection, A^2, at which the search for orientations ends; errors of the
            given centres do not count.
        candidates: matchings that are polished. finalists: of these, the ones that are freed of contacts.
        centre_pull, lattice_pull: weights of the given centres (per A of displacement) and of the given cell (A of
            residual per unit of strain), far below that of closure.
        contact_weight: weight of a contact against a gap of the same length.
    """

    starts: int = STARTS
    rounds: int = 2
    max_closure: float = MAX_CLOSURE
    orientations: int = 64
    orientation_steps: int = 8
    first_widths: tuple[float, float] = (0.8, 2.5)
    last_width: float = 0.25
    steps: int = 12
    settling: int = 4
    sinkhorn_steps: int = 4
    direction: float = 1.0
    centre_spread: float = 0.5
    generations: int = 24
    children: int = 24
    patience: int = 8
    progress: float = 0.02
    pool: int = 16
    parents: int = 6
    crossings: float = 0.3
    suited: float = 0.7
    refresh: int = 3
    flips: float = 0.5
    neighbours: float = 0.1
    restart_widths: tuple[float, float] = (0.35, 1.2)
    restart_steps: int = 10
    solved: float = 0.01
    candidates: int = 8
    finalists: int = 3
    centre_pull: float = 0.15
    lattice_pull: float = 1.0
    contact_weight: float = 0.5


@dataclass(frozen=True)
class Assembly:
    """The best pose found for a MOF, good or refused.

    Args:
        mof: posed, its cell and centres refined; as given where `reason` is parity.
        reason: empty if good, else one of `REASONS`. message: one sentence with the numbers.
        closures: gap between the two connection points of each connection, A; shape (n_connections,).
        angles: degrees by which each pair of half bonds misses a straight line; shape (n_connections,).
        n_contacts: pairs of atoms of different blocks that are closer than nonbonded atoms come.
        closest: smallest distance of such a pair over the sum of the covalent radii; infinite if there is none.
        cost: mean square residual of a connection, contacts included, A^2; the lower the better.
        strain: largest principal strain of the cell. displacement: largest move of a centre, A.
    """

    mof: CoarseMOF
    reason: str = ""
    message: str = ""
    closures: Float[np.ndarray, " n"] = field(default_factory=lambda: np.zeros(0))
    angles: Float[np.ndarray, " n"] = field(default_factory=lambda: np.zeros(0))
    n_contacts: int = 0
    closest: float = np.inf
    cost: float = np.inf
    strain: float = 0.0
    displacement: float = 0.0

    @property
    def good(self) -> bool:
        """Whether every bond closes and no atoms overlap."""
        return not self.reason

    @property
    def closure_max(self) -> float:
        """The largest gap, A; infinite where nothing was assembled."""
        return float(self.closures.max()) if len(self.closures) else np.inf


def best(assemblies: list[Assembly]) -> Assembly:
    """Of several decodings of one sample the good one of lowest cost; if all are refused, the one that got furthest."""
    return min(assemblies, key=merit)


def merit(one: Assembly) -> tuple[int, float]:
    """How far from good an assembly is, and its cost: the smaller the better."""
    return (len(REASONS) - REASONS.index(one.reason) if one.reason else 0), one.cost
