"""The terms of one structure: bonds, angles, torsions, inversions, and the pairs that the van der Waals sum leaves out.

Every bonded term is written with the vectors of the bonds it stands on, so periodic images appear nowhere but in the
bond graph. A bond vector points from atom i to atom j of the bond; a sign turns it where a term needs it otherwise.
Energies in eV, lengths in A, angles in radians. Equations: Rappe et al. 1992, as in `parameters`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crystaltool.arrays import Float, Int
from crystaltool.bonds import BondGraph
from crystaltool.crystal import Crystal
from crystaltool.forcefield.uff import typing as kinds
from crystaltool.forcefield.uff.angles import End, angle_series, exclusions, find_angles, signed_ends
from crystaltool.forcefield.uff.paddlewheels import with_paddlewheels
from crystaltool.forcefield.uff.parameters import KCAL_PER_MOL, atom_types, bond_stiffness, natural_bond_length
from crystaltool.forcefield.uff.typing import Typing, assign_types
from crystaltool.mof.elements import METAL

_CHALCOGENS = (8, 16, 34, 52, 84)
_SP3_CHALCOGEN_BARRIER = {8: 2.0}
_OTHER_CHALCOGEN_BARRIER = 6.8
_PYRAMID_ANGLE = {15: 84.4339, 33: 86.9735, 51: 87.7047, 83: 90.0}
"""Degree: omega_0 of the inversion at P, As, Sb, Bi (section II.E)."""

_FLAT_BARRIER, _CARBONYL_BARRIER, _PYRAMID_BARRIER = 6.0, 50.0, 22.0
"""kcal/mol: inversion at sp2 carbon and nitrogen, at a carbonyl carbon, at group 15 below nitrogen."""


@dataclass(frozen=True)
class Topology:
    """All terms of one structure.

    Args:
        bonds: the bond graph.
        bond_lengths: natural lengths; shape (n_bonds,).
        bond_constants: k of k/2 (r - r_0)^2; shape (n_bonds,).
        angle_bonds: the two bonds of each angle; shape (n_angles, 2).
        angle_signs: +-1 that makes both point away from the central atom; shape (n_angles, 2).
        angle_series: coefficients of the powers 0 to 4 of the cosine; shape (n_angles, 5).
        angle_guards: stiffness of the guard against angles of 0 degrees; shape (n_angles,).
        torsion_bonds: bonds i-j, j-k, k-l; shape (n_torsions, 3).
        torsion_signs: +-1 that makes them point along i, j, k, l; shape (n_torsions, 3).
        torsion_terms: V/2, n, cos(n phi_0) of V/2 [1 - cos(n phi_0) cos(n phi)]; shape (n_torsions, 3).
        inversion_bonds: the bonds of a central atom, the axis first; shape (n_inversions, 3).
        inversion_signs: +-1 that makes them point away from it; shape (n_inversions, 3).
        inversion_terms: K C_0, K C_1, K C_2 of K [C_0 + C_1 cos w + C_2 cos 2w]; shape (n_inversions, 3).
        distances: x_I of each atom; shape (n_atoms,).
        depths: D_I of each atom; shape (n_atoms,).
        excluded_pairs: atoms that are bound or share a bonded atom; shape (n_excluded, 2).
        excluded_images: image of the second of them; shape (n_excluded, 3).
    """

    bonds: BondGraph
    bond_lengths: Float[np.ndarray, " n_bonds"]
    bond_constants: Float[np.ndarray, " n_bonds"]
    angle_bonds: Int[np.ndarray, "n_angles 2"]
    angle_signs: Float[np.ndarray, "n_angles 2"]
    angle_series: Float[np.ndarray, "n_angles 5"]
    angle_guards: Float[np.ndarray, " n_angles"]
    torsion_bonds: Int[np.ndarray, "n_torsions 3"]
    torsion_signs: Float[np.ndarray, "n_torsions 3"]
    torsion_terms: Float[np.ndarray, "n_torsions 3"]
    inversion_bonds: Int[np.ndarray, "n_inversions 3"]
    inversion_signs: Float[np.ndarray, "n_inversions 3"]
    inversion_terms: Float[np.ndarray, "n_inversions 3"]
    distances: Float[np.ndarray, " n_atoms"]
    depths: Float[np.ndarray, " n_atoms"]
    excluded_pairs: Int[np.ndarray, "n_excluded 2"]
    excluded_images: Int[np.ndarray, "n_excluded 3"]

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self.distances)


def build_topology(crystal: Crystal, bonds: BondGraph, typing: Typing | None = None) -> Topology:
    """Type the atoms and list the terms.

    Args:
        crystal: for its elements, and for the geometry at metals.
        bonds: the graph; two metals of a paddlewheel that it does not join are joined here, as UFF4MOF has them.
        typing: types and orders to use instead of our own, for exactly these bonds.

    Raises:
        InputError: an element without type.
    """
    if typing is None:
        bonds = with_paddlewheels(crystal, bonds)
        typing = assign_types(crystal, bonds)
    table, rows = atom_types(), typing.rows
    first, second = bonds.pairs.T
    lengths = natural_bond_length(rows[first], rows[second], typing.orders)
    constants = bond_stiffness(rows[first], rows[second], lengths) * KCAL_PER_MOL
    ends = signed_ends(crystal.n_atoms, bonds)
    every = find_angles(ends)
    angles = every.chosen(typing.geometry[every.centres] != kinds.UNDIRECTED)
    excluded_pairs, excluded_images = exclusions(bonds, angles)
    series, guards = angle_series(crystal, bonds, typing, lengths, angles)
    torsions, torsion_signs, torsion_terms = _torsions(crystal, bonds, typing, ends)
    inversions, inversion_signs, inversion_terms = _inversions(crystal, typing, ends)
    return Topology(
        bonds,
        lengths,
        constants,
        angles.bonds,
        angles.signs,
        series * KCAL_PER_MOL,
        guards * KCAL_PER_MOL,
        torsions,
        torsion_signs,
        torsion_terms,
        inversions,
        inversion_signs,
        inversion_terms,
        table.distance[rows],
        table.depth[rows] * KCAL_PER_MOL,
        excluded_pairs,
        excluded_images,
    )


_SP3, _SP2, _NO_TORSION = 3, 2, 0


def _hybridisation(crystal: Crystal, typing: Typing) -> list[int]:
    """3 or 2 where an atom takes part in torsions, 0 for metals, linear atoms and atoms with one bond at most."""
    result = []
    for number, label in zip(crystal.numbers.tolist(), typing.labels, strict=True):
        digit = label[2:3]
        if METAL[number] or digit not in ("2", "3", "R"):
            result.append(_NO_TORSION)
        else:
            result.append(_SP3 if digit == "3" else _SP2)
    return result


def _torsions(crystal: Crystal, bonds: BondGraph, typing: Typing, ends: list[list[End]]):
    hybrids = _hybridisation(crystal, typing)
    numbers = crystal.numbers.tolist()
    has_sp2_beside = [[hybrids[other] == _SP2 for _, _, other in some] for some in ends]
    found, signs, terms = [], [], []
    for bond, (j, k) in enumerate(bonds.pairs.tolist()):
        count = (len(ends[j]) - 1) * (len(ends[k]) - 1)
        if not hybrids[j] or not hybrids[k] or count == 0:
            continue
        beside = sum(has_sp2_beside[k]) if hybrids[j] == _SP3 else sum(has_sp2_beside[j])
        term = _torsion_term(
            (numbers[j], numbers[k]),
            (hybrids[j], hybrids[k]),
            (int(typing.rows[j]), int(typing.rows[k])),
            float(typing.orders[bond]),
            sp2_beyond=beside > 0,
        )
        if term is None:
            continue
        barrier, fold, phase = term
        half = 0.5 * barrier / count * KCAL_PER_MOL
        for first, first_sign, _ in ends[j]:
            if first == bond and first_sign > 0:
                continue
            for last, last_sign, _ in ends[k]:
                if last == bond and last_sign < 0:
                    continue
                found.append((first, bond, last))
                signs.append((-first_sign, 1.0, last_sign))
                terms.append((half, float(fold), phase))
    return (
        np.array(found, dtype=np.int64).reshape(-1, 3),
        np.array(signs, dtype=np.float64).reshape(-1, 3),
        np.array(terms, dtype=np.float64).reshape(-1, 3),
    )


def _torsion_term(
    numbers: tuple[int, int], hybrids: tuple[int, int], rows: tuple[int, int], order: float, sp2_beyond: bool
) -> tuple[float, int, float] | None:
    """Barrier V in kcal/mol, multiplicity n, cos(n phi_0) of the torsions about one bond (equations 16 and 17)."""
    table = atom_types()
    chalcogens = [number in _CHALCOGENS for number in numbers]
    conjugated = 5.0 * float(np.sqrt(table.barrier_sp2[rows[0]] * table.barrier_sp2[rows[1]]))
    conjugated *= 1.0 + 4.18 * float(np.log(order))
    if hybrids == (_SP2, _SP2):
        term = conjugated, 2, 1.0
    elif hybrids == (_SP3, _SP3):
        if all(chalcogens):
            barriers = [_SP3_CHALCOGEN_BARRIER.get(number, _OTHER_CHALCOGEN_BARRIER) for number in numbers]
            term = float(np.sqrt(barriers[0] * barriers[1])), 2, -1.0
        else:
            term = float(np.sqrt(table.barrier_sp3[rows[0]] * table.barrier_sp3[rows[1]])), 3, -1.0
    else:
        sp3 = hybrids.index(_SP3)
        if chalcogens[sp3] and not chalcogens[1 - sp3]:
            term = conjugated, 2, -1.0
        elif sp2_beyond:
            term = 2.0, 3, -1.0
        else:
            term = 1.0, 6, 1.0
    return term if abs(term[0]) > 1e-12 else None


def _inversions(crystal: Crystal, typing: Typing, ends: list[list[End]]):
    found, signs, terms = [], [], []
    labels, numbers = typing.labels, crystal.numbers.tolist()
    for atom, some in enumerate(ends):
        if len(some) != 3:
            continue
        label, z = labels[atom], numbers[atom]
        if label in ("C_2", "C_R", "N_2", "N_R"):
            carbonyl = z == 6 and any(labels[other] == "O_2" and len(ends[other]) == 1 for _, _, other in some)
            term = np.array([1.0, -1.0, 0.0]) * (_CARBONYL_BARRIER if carbonyl else _FLAT_BARRIER)
        elif z in _PYRAMID_ANGLE:
            cosine = float(np.cos(np.radians(_PYRAMID_ANGLE[z])))
            # K [C_0 + C_1 cos w + C_2 cos 2w] = 2 K (cos w - cos w_0)^2 for C_2 = 1
            term = np.array([2 * cosine**2 + 1, -4 * cosine, 1.0]) * _PYRAMID_BARRIER
        else:
            continue
        for axis in range(3):
            order = [some[axis], some[(axis + 1) % 3], some[(axis + 2) % 3]]
            found.append([end[0] for end in order])
            signs.append([end[1] for end in order])
            terms.append(term / 3 * KCAL_PER_MOL)
    return (
        np.array(found, dtype=np.int64).reshape(-1, 3),
        np.array(signs, dtype=np.float64).reshape(-1, 3),
        np.array(terms, dtype=np.float64).reshape(-1, 3),
    )
