"""The terms of one structure: bonds, angles, torsions, inversions and who is left out of the van der Waals sum.

Every bonded term is written with the vectors of the bonds it stands on, so periodic images appear nowhere but in the
bond graph. A bond vector points from atom i to atom j of the bond; a sign turns it where a term needs it otherwise.
Energies in eV, lengths in A, angles in radians. Equations: Rappe et al. 1992, as in `parameters`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from crystaltool.arrays import Float, Int
from crystaltool.bonds import BondGraph
from crystaltool.crystal import Crystal
from crystaltool.forcefield.uff import typing as kinds
from crystaltool.forcefield.uff.parameters import (
    KCAL_PER_MOL,
    angle_stiffness,
    atom_types,
    bond_stiffness,
    natural_bond_length,
)
from crystaltool.forcefield.uff.resonance import links_of
from crystaltool.forcefield.uff.typing import Typing, assign_types
from crystaltool.mof.elements import METAL

_CHALCOGENS = (8, 16, 34, 52, 84)
_SP3_CHALCOGEN_BARRIER = {8: 2.0}
_OTHER_CHALCOGEN_BARRIER = 6.8
_PYRAMID_ANGLE = {15: 84.4339, 33: 86.9735, 51: 87.7047, 83: 90.0}
"""Degree: omega_0 of the inversion at P, As, Sb, Bi (section II.E)."""

GUARD = 1.5
"""Stiffness of the guard at an angle in units of K_IJK: above 1 the minimum at 0 degrees is gone."""

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
    bond_lengths: Float[np.ndarray, "n_bonds"]
    bond_constants: Float[np.ndarray, "n_bonds"]
    angle_bonds: Int[np.ndarray, "n_angles 2"]
    angle_signs: Float[np.ndarray, "n_angles 2"]
    angle_series: Float[np.ndarray, "n_angles 5"]
    angle_guards: Float[np.ndarray, "n_angles"]
    torsion_bonds: Int[np.ndarray, "n_torsions 3"]
    torsion_signs: Float[np.ndarray, "n_torsions 3"]
    torsion_terms: Float[np.ndarray, "n_torsions 3"]
    inversion_bonds: Int[np.ndarray, "n_inversions 3"]
    inversion_signs: Float[np.ndarray, "n_inversions 3"]
    inversion_terms: Float[np.ndarray, "n_inversions 3"]
    distances: Float[np.ndarray, "n_atoms"]
    depths: Float[np.ndarray, "n_atoms"]
    excluded_pairs: Int[np.ndarray, "n_excluded 2"]
    excluded_images: Int[np.ndarray, "n_excluded 3"]

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self.distances)

    def with_bonds(self, bonds: BondGraph) -> Topology:
        """The same terms for a graph whose images alone are other ones, as after wrapping atoms."""
        return replace(self, bonds=bonds)


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
    ends = _signed_ends(crystal.n_atoms, bonds)
    angles, angle_signs, centres = _angles(ends)
    directed = typing.geometry[centres] != kinds.UNDIRECTED
    excluded_pairs, excluded_images = _exclusions(bonds, angles[directed], angle_signs[directed])
    series, guards = _angle_series(crystal, bonds, typing, lengths, angles, angle_signs, centres)
    torsions, torsion_signs, torsion_terms = _torsions(crystal, bonds, typing, ends)
    inversions, inversion_signs, inversion_terms = _inversions(crystal, typing, ends)
    return Topology(
        bonds,
        lengths,
        constants,
        angles[directed],
        angle_signs[directed],
        series[directed] * KCAL_PER_MOL,
        guards[directed] * KCAL_PER_MOL,
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


PADDLES = 3
"""Bridges M-X-Y-X-M between two metals that make them a paddlewheel."""

_PADDLE_ENDS = (7, 8, 16)
_PADDLED = (3, 5)
"""Fewest and most ligands of a paddlewheel's metal: its paddles, and an axial one. In rods of octahedra three
carboxylates join two metals just so, without a bond between these."""


def with_paddlewheels(crystal: Crystal, bonds: BondGraph) -> BondGraph:
    """The graph with a bond between the two metals of every paddlewheel.

    UFF4MOF describes a paddlewheel with a bond of order 1/4 between its metals (Addicoat et al. 2014); without one the
    van der Waals terms pull zinc to zinc.
    """
    numbers = crystal.numbers
    links = links_of(crystal.n_atoms, bonds)
    added: list[tuple[tuple[int, int], tuple[int, int, int]]] = []
    for metal in np.flatnonzero(METAL[numbers]).tolist():
        if not _PADDLED[0] <= len(links[metal]) <= _PADDLED[1] or any(
            METAL[numbers[other]] for _, other, _ in links[metal]
        ):
            continue
        bridges: dict[tuple[int, tuple[int, int, int]], int] = {}
        for _, x, at_x in links[metal]:
            if numbers[x] not in _PADDLE_ENDS or len(links[x]) != 2:
                continue
            for _, y, to_y in links[x]:
                for _, z, to_z in links[y] if not METAL[numbers[y]] else ():
                    if numbers[z] != numbers[x] or len(links[z]) != 2:
                        continue
                    for _, other, to_other in links[z]:
                        image = tuple(a + b + c + d for a, b, c, d in zip(at_x, to_y, to_z, to_other, strict=True))
                        if METAL[numbers[other]] and (other, image) != (metal, (0, 0, 0)):
                            bridges[other, image] = bridges.get((other, image), 0) + 1
        for (other, image), count in bridges.items():
            if count >= PADDLES and (metal, image) < (other, (0, 0, 0)) and len(links[other]) <= _PADDLED[1]:
                added.append(((metal, other), image))
    if not added:
        return bonds
    return BondGraph(
        np.concatenate([bonds.pairs, np.array([pair for pair, _ in added])]),
        np.concatenate([bonds.images, np.array([image for _, image in added])]),
        np.concatenate([bonds.orders, np.zeros(len(added))]),
    )


End = tuple[int, float, int]
"""A bond as seen from one of its atoms: the bond, the sign that makes it point away, the atom at its other end."""


def _signed_ends(n_atoms: int, bonds: BondGraph) -> list[list[End]]:
    ends: list[list[End]] = [[] for _ in range(n_atoms)]
    for bond, (i, j) in enumerate(bonds.pairs.tolist()):
        ends[i].append((bond, 1.0, j))
        ends[j].append((bond, -1.0, i))
    return ends


def _angles(ends: list[list[End]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    found, signs, centres = [], [], []
    for atom, some in enumerate(ends):
        for place, (bond, sign, _) in enumerate(some):
            for other_bond, other_sign, _ in some[:place]:
                found.append((other_bond, bond))
                signs.append((other_sign, sign))
                centres.append(atom)
    return (
        np.array(found, dtype=np.int64).reshape(-1, 2),
        np.array(signs, dtype=np.float64).reshape(-1, 2),
        np.array(centres, dtype=np.int64),
    )


def _far_ends(bonds: BondGraph, which: np.ndarray, signs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Atom at the far end of a signed bond, and its image counted from the near end."""
    outward = signs > 0
    atoms = np.where(outward, bonds.pairs[which, 1], bonds.pairs[which, 0])
    return atoms, bonds.images[which] * np.where(outward, 1, -1)[:, None]


def _exclusions(bonds: BondGraph, angles, signs) -> tuple[np.ndarray, np.ndarray]:
    first, first_image = _far_ends(bonds, angles[:, 0], signs[:, 0])
    third, third_image = _far_ends(bonds, angles[:, 1], signs[:, 1])
    pairs = np.concatenate([bonds.pairs, np.column_stack([first, third])])
    return pairs, np.concatenate([bonds.images, third_image - first_image])


def _angle_series(
    crystal: Crystal, bonds: BondGraph, typing: Typing, lengths, angles, signs, centres
) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients of the powers of the cosine (equations 10 and 11, cos(n theta) by Chebyshev), guards; kcal/mol."""
    table = atom_types()
    geometry = typing.geometry[centres]
    natural = table.angle[typing.rows[centres]].copy()
    if len(angles) == 0:
        return np.zeros((0, 5)), np.zeros(0)
    vectors = bonds.vectors(crystal)
    one, two = vectors[angles[:, 0]] * signs[:, :1], vectors[angles[:, 1]] * signs[:, 1:]
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
    theta = np.radians(natural)
    far_1, _ = _far_ends(bonds, angles[:, 0], signs[:, 0])
    far_2, _ = _far_ends(bonds, angles[:, 1], signs[:, 1])
    stiffness = angle_stiffness(
        typing.rows[far_1], typing.rows[far_2], lengths[angles[:, 0]], lengths[angles[:, 1]], theta
    )
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
