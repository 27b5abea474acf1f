"""How far an assembled MOF is from a known one, over every symmetry of the cell and every shift.

Pseudosymmetric frameworks can be put together in several ways that are the same crystal moved or turned: the two kinds
of node of MOF-5 may change places.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from scipy.optimize import linear_sum_assignment

from crystaltool.arrays import Float, Int
from crystaltool.crystal import Crystal
from crystaltool.lattice import reduced_basis
from crystaltool.mof.blocks import CoarseMOF
from crystaltool.mof.rebuild import to_crystal

_SAME_METRIC = 0.05
"""Relative difference of metrics up to which a turned cell counts as the same."""

_CENTRES = 3.0
"""A: a movement that leaves a block's centre farther from every centre of its kind is not looked at."""


def rmsd(true: CoarseMOF, made: CoarseMOF) -> float:
    """Root mean square distance in A of the atoms of two posed MOFs of the same blocks, mirror images allowed.

    Every atom goes with one of its element. Distances are measured in the cell of `made`, to which `true` is strained.
    """
    basis = reduced_basis(made.lattice)
    lattice = basis @ made.lattice
    to_basis = np.linalg.inv(basis)
    first, second = to_crystal(true)[0], to_crystal(made)[0]
    ours, theirs = first.frac_coords @ to_basis, second.frac_coords @ to_basis
    sizes = np.array([block.n_atoms for block in true.blocks])
    centres, places = true.centres @ to_basis, made.centres @ to_basis
    best = np.inf
    for turn in automorphisms(lattice):
        turned = centres @ turn
        for place in places[sizes == sizes[0]]:
            shift = place - turned[0]
            apart = _distances(turned + shift, places, lattice)
            if np.where(sizes[:, None] == sizes, apart, np.inf).min(axis=1).max() > _CENTRES:
                continue
            best = min(best, _rmsd(ours @ turn + shift, theirs, first, second, lattice, best))
    return best


def automorphisms(lattice: Float[np.ndarray, "3 3"]) -> Int[np.ndarray, "n 3 3"]:
    """Integer matrices of -1, 0, 1 that turn or mirror a reduced cell onto itself, the identity first."""
    matrices = np.array(list(product((1, 0, -1), repeat=9))).reshape(-1, 3, 3)
    matrices = matrices[np.abs(np.round(np.linalg.det(matrices))) == 1]
    metric = lattice @ lattice.T
    scale = np.sqrt(np.outer(np.diag(metric), np.diag(metric)))
    same = (np.abs(matrices @ metric @ matrices.transpose(0, 2, 1) - metric) / scale).max(axis=(1, 2)) < _SAME_METRIC
    found = matrices[same]
    return found[np.argsort((found != np.eye(3)).any(axis=(1, 2)), kind="stable")]


def _distances(first: np.ndarray, second: np.ndarray, lattice: np.ndarray) -> np.ndarray:
    apart = second[None] - first[:, None]
    return np.linalg.norm((apart - np.round(apart)) @ lattice, axis=-1)


def _rmsd(ours, theirs, first: Crystal, second: Crystal, lattice: np.ndarray, least: float) -> float:
    """Infinite where it cannot be below `least`."""
    numbers, tables = np.unique(first.numbers), []
    for number in numbers:
        tables.append(_distances(ours[first.numbers == number], theirs[second.numbers == number], lattice))
    bound = np.concatenate([table.min(axis=1) for table in tables])
    if np.sqrt(np.square(bound).mean()) >= least:
        return np.inf
    squares = [np.square(table)[linear_sum_assignment(np.square(table))] for table in tables]
    return float(np.sqrt(np.concatenate(squares).mean()))
