"""Whether a crystal drawn in a space group has more symmetry than that group, and positions that leave it a chance.

Some sets of Wyckoff positions have a supergroup whatever elements, free coordinates and cell are: all special positions
of P432 are positions of Pm-3m. Geometry cannot mend that, so the last position drawn must break it. An orbit in general
position always does, beside at least one other orbit (found by trying, in all 230 groups).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache, lru_cache

import numpy as np
import torch
from torch import Tensor

from crystaltool.asymunit import AsymUnit, expand
from crystaltool.batch import Batch
from crystaltool.defaults import SYMPREC
from crystaltool.diffusion import absorbing
from crystaltool.lattice import constrain_k, k_to_matrix
from crystaltool.symmetry.space_group import space_group, tables

ATOM_VOLUME = 15.0
"""Cubic Angstrom an atom in cells with random coordinates."""

GENERIC_SYMPREC = 1e-3
"""Angstrom, where coordinates are random."""

GENERIC_TRIALS = 3
"""Random geometries of a set of positions: it has a supergroup if all of them have."""


_SILENT = logging.NullHandler()


def has_supergroup(unit: AsymUnit, symprec: float = SYMPREC) -> bool:
    """Whether the crystal's group is not exactly the one it is given in; true too where no group is found.

    The detector is moyopy, nine times as fast as spglib (0.5 ms a crystal); both agreed on all 2,000 samples of all 230
    groups compared at 0.01 A.

    Args:
        unit: the crystal.
        symprec: distance tolerance in Angstrom.
    """
    import moyopy

    logging.getLogger("moyo").addHandler(_SILENT)  # its remarks are on nothing that is used here
    crystal = expand(unit)
    cell = moyopy.Cell(crystal.lattice.tolist(), crystal.frac_coords.tolist(), crystal.numbers.tolist())
    try:
        found = moyopy.MoyoDataset(cell, symprec=symprec, setting=moyopy.Setting.standard())
    except Exception:  # its errors have no common class below Exception
        return True
    return found.number != unit.group or len(found.operations) != len(space_group(unit.group).rotations)


@lru_cache(maxsize=100_000)
def positions_have_supergroup(group: int, positions: tuple[int, ...]) -> bool:
    """Whether all crystals with these positions have a supergroup, even if all elements differ.

    Args:
        group: space-group number.
        positions: index of each orbit's Wyckoff position, 0 = a, in ascending order.
    """
    return all(has_supergroup(_random_unit(group, positions, i), GENERIC_SYMPREC) for i in range(GENERIC_TRIALS))


def _random_unit(group: int, positions: tuple[int, ...], trial: int) -> AsymUnit:
    """A crystal with random free coordinates and cell, every orbit of an element of its own."""
    rng = np.random.default_rng(trial)
    listed = [space_group(group).positions[position] for position in positions]
    free = rng.random((len(listed), 3)) * [np.arange(3) < each.degrees_of_freedom for each in listed]
    n_atoms = sum(each.multiplicity for each in listed)
    k = np.append(rng.uniform(0.05, 0.15, 5), np.log(ATOM_VOLUME * n_atoms) / 3)
    lattice = k_to_matrix(constrain_k(k, group))
    return AsymUnit(group, lattice, np.arange(len(listed)) + 1, np.array(positions), free)


@cache
def least_orbits(group: int) -> int:
    """The fewest orbits with which a crystal can have exactly this group: 1, or 2 where the origin floats too far."""
    general = len(space_group(group).positions) - 1
    return 2 if positions_have_supergroup(group, (general,)) else 1


def break_supergroups(
    batch: Batch, logits: Tensor, candidates: Tensor, drawn: Tensor, last: Tensor, uniform: Tensor
) -> Tensor:
    """The positions drawn, drawn again among those that break every supergroup where these do not.

    Whether the first draw or the second stands, the result is a draw from the network's distribution over the positions
    that break all supergroups.

    Args:
        batch: groups and the positions revealed so far.
        logits: scores of the candidates in the slot to fill; shape (B, K).
        candidates: indices of the group's positions among all; shape (B, K).
        drawn: the position drawn for it; shape (B,).
        last: the slot to fill where it is the last one, else -1; shape (B,).
        uniform: a uniform number each for the second draw; shape (B,).
    """
    drawn = drawn.clone()
    starts = tables()["first_position"]
    for row in (last >= 0).nonzero()[:, 0].tolist():
        group = int(batch.group[row]) + 1
        first = int(starts[group - 1])
        others = batch.mask[row].clone()
        others[last[row]] = False
        revealed = (batch.position[row][others] - first).tolist()
        if not _with(group, revealed, int(drawn[row]) - first):
            continue
        possible = logits[row].isfinite().tolist()
        local = (candidates[row] - first).tolist()
        barred = [not ok or _with(group, revealed, p) for ok, p in zip(possible, local, strict=True)]
        if not all(barred):
            left = logits[row].masked_fill(torch.tensor(barred, device=logits.device), float("-inf"))
            drawn[row] = candidates[row, absorbing.draw(left, uniform[row])]
    return drawn


def _with(group: int, revealed: Sequence[int], position: int) -> bool:
    """`positions_have_supergroup` of the positions revealed and one more."""
    return positions_have_supergroup(group, tuple(sorted((*revealed, position))))
