"""Angles of a structure, the form of the energy of each, and the pairs that the van der Waals sum leaves out for them.

Equations: Rappe et al. 1992, as in `parameters`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crystaltool.arrays import Bool, Float, Int
from crystaltool.bonds import BondGraph
from crystaltool.crystal import Crystal
from crystaltool.forcefield.uff import typing as kinds
from crystaltool.forcefield.uff.parameters import angle_stiffness, atom_types
from crystaltool.forcefield.uff.typing import Typing

GUARD = 1.5
"""Stiffness of the guard at an angle in units of K_IJK: above 1 the minimum at 0 degrees is gone."""

End = tuple[int, float, int]
"""A bond as seen from one of its atoms: the bond, the sign that makes it point away, the atom at its other end."""


def signed_ends(n_atoms: int, bonds: BondGraph) -> list[list[End]]:
    """The bonds of every atom."""
    ends: list[list[End]] = [[] for _ in range(n_atoms)]
    for bond, (i, j) in enumerate(bonds.pairs.tolist()):
        ends[i].append((bond, 1.0, j))
        ends[j].append((bond, -1.0, i))
    return ends


@dataclass(frozen=True)
class Angles:
    """Pairs of bonds that share an atom.

    Args:
        bonds: the two bonds; shape (n_angles, 2).
        signs: +-1 that makes both point away from the shared atom; shape (n_angles, 2).
        centres: that atom; shape (n_angles,).
    """

    bonds: Int[np.ndarray, "n_angles 2"]
    signs: Float[np.ndarray, "n_angles 2"]
    centres: Int[np.ndarray, " n_angles"]

    def __len__(self) -> int:
        return len(self.centres)

    def chosen(self, which: Bool[np.ndarray, " n_angles"]) -> Angles:
        """Some of them."""
        return Angles(self.bonds[which], self.signs[which], self.centres[which])

    def far_ends(
        self, graph: BondGraph, side: int
    ) -> tuple[Int[np.ndarray, " n_angles"], Int[np.ndarray, "n_angles 3"]]:
        """Atom at the far end of the first (0) or second (1) bond, and its image counted from the shared atom."""
        which, outward = self.bonds[:, side], self.signs[:, side] > 0
        atoms = np.where(outward, graph.pairs[which, 1], graph.pairs[which, 0])
        return atoms, graph.images[which] * np.where(outward, 1, -1)[:, None]


def find_angles(ends: list[list[End]]) -> Angles:
    """All pairs of bonds at every atom."""
    found, signs, centres = [], [], []
    for atom, some in enumerate(ends):
        for place, (bond, sign, _) in enumerate(some):
            for other_bond, other_sign, _ in some[:place]:
                found.append((other_bond, bond))
                signs.append((other_sign, sign))
                centres.append(atom)
    return Angles(
        np.array(found, dtype=np.int64).reshape(-1, 2),
        np.array(signs, dtype=np.float64).reshape(-1, 2),
        np.array(centres, dtype=np.int64),
    )


def exclusions(
    bonds: BondGraph, angles: Angles
) -> tuple[Int[np.ndarray, "n_excluded 2"], Int[np.ndarray, "n_excluded 3"]]:
    """Atoms that are bound or share a bonded atom, and the image of the second of them."""
    first, first_image = angles.far_ends(bonds, 0)
    third, third_image = angles.far_ends(bonds, 1)
    pairs = np.concatenate([bonds.pairs, np.column_stack([first, third])])
    return pairs, np.concatenate([bonds.images, third_image - first_image])


def angle_series(
    crystal: Crystal, bonds: BondGraph, typing: Typing, lengths: Float[np.ndarray, " n_bonds"], angles: Angles
) -> tuple[Float[np.ndarray, "n_angles 5"], Float[np.ndarray, " n_angles"]]:
    """Coefficients of the powers of the cosine (equations 10 and 11, cos(n theta) by Chebyshev), guards; kcal/mol.

    Args:
        crystal: for the geometry at metals.
        bonds: the graph. typing: of its atoms.
        lengths: natural lengths of the bonds, A.
        angles: of the graph.
    """
    if len(angles) == 0:
        return np.zeros((0, 5)), np.zeros(0)
    fold, natural = _folds(crystal, bonds, typing, angles)
    theta = np.radians(natural)
    far_1, _ = angles.far_ends(bonds, 0)
    far_2, _ = angles.far_ends(bonds, 1)
    one, two = angles.bonds.T
    stiffness = angle_stiffness(typing.rows[far_1], typing.rows[far_2], lengths[one], lengths[two], theta)
    sine_squared = np.maximum(np.sin(theta) ** 2, 1e-12)
    c_2 = 1 / (4 * sine_squared)
    c_1 = -4 * c_2 * np.cos(theta)
    c_0 = c_2 * (2 * np.cos(theta) ** 2 + 1)
    zero = np.zeros(len(angles))
    series = np.column_stack([c_0 - c_2, c_1, 2 * c_2, zero, zero])  # C_0 + C_1 cos + C_2 cos 2
    series[fold == 1] = [1, 1, 0, 0, 0]  # 1 + cos
    series[fold == 3] = np.array([1, 3, 0, -4, 0]) / 9  # (1 - cos 3)/9
    series[fold == 4] = np.array([0, 0, 8, 0, -8]) / 16  # (1 - cos 4)/16
    return series * stiffness[:, None], np.where(fold >= 3, GUARD * stiffness, 0.0)


def _folds(
    crystal: Crystal, bonds: BondGraph, typing: Typing, angles: Angles
) -> tuple[Int[np.ndarray, " n_angles"], Float[np.ndarray, " n_angles"]]:
    """n of the n-fold form, 0 for the single well, and the natural angle in degree."""
    geometry = typing.geometry[angles.centres]
    natural = atom_types().angle[typing.rows[angles.centres]].copy()
    vectors = bonds.vectors(crystal)
    one, two = vectors[angles.bonds[:, 0]] * angles.signs[:, :1], vectors[angles.bonds[:, 1]] * angles.signs[:, 1:]
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1)
    cosines = (one * two).sum(axis=1) / np.maximum(norms, 1e-9)
    equatorial = (
        (geometry == kinds.BIPYRAMID) & (cosines < np.cos(np.radians(105))) & (cosines > np.cos(np.radians(150)))
    )
    fold = np.zeros(len(angles), dtype=np.int64)
    fold[(geometry == kinds.SQUARE) | (geometry == kinds.OCTAHEDRAL) | (geometry == kinds.BIPYRAMID)] = 4
    fold[(geometry == kinds.TRIGONAL) | equatorial] = 3
    fold[geometry == kinds.LINEAR] = 1
    natural[fold == 4], natural[fold == 3], natural[fold == 1] = 90.0, 120.0, 180.0
    single = (geometry == kinds.TETRAHEDRAL) | (geometry == kinds.EIGHTFOLD)
    natural[single & (np.abs(natural - 109.47) > 20)] = 109.47
    return fold, natural
