"""Bond orders from the graph alone: which bonds of a ligand are double or triple.

Every hydrogen of a MOF is there, so valences tell the bond orders and no geometry is needed: noise in the coordinates
changes nothing. Where metals were (connection points, bonds to metals) an atom may be an anion; the ligand is
described as the free ion that binds by dative bonds. One small integer program per ligand: the double bonds that leave
the least cost of atoms below or above their neutral valence.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from crystaltool.arrays import Bool, Float, Int

if TYPE_CHECKING:  # scipy.optimize takes a second to load, and stated orders need none of it
    from scipy.optimize import LinearConstraint

NEUTRAL_VALENCE = {1: 1, 5: 3, 6: 4, 7: 3, 8: 2, 9: 1, 14: 4, 15: 3, 16: 2, 17: 1, 33: 3, 34: 2, 35: 1, 52: 2, 53: 1}
"""Bonds of a neutral atom of an element; others take as many as they have."""

BELOW_COST = {6: (10.0, 3.0), 7: (3.0, 1.4), 8: (3.0, 2.0), 16: (3.0, 1.2), 34: (3.0, 1.2)}
"""Cost of each missing bond (a radical or an anion): of an atom bound to no metal, and of one bound to a metal."""

OTHER_BELOW_COST = (3.0, 2.0)
FURTHER = 3.0
"""Every missing bond beyond an atom's first costs this much more (azide is N=N=N, not N-N#N)."""

ABOVE = {
    5: (1, 1.0),
    7: (1, 1.7),
    8: (1, 2.5),
    14: (2, 0.5),
    15: (2, 0.5),
    16: (4, 0.5),
    17: (6, 0.5),
    33: (2, 0.5),
    34: (4, 0.5),
    35: (6, 0.5),
    52: (4, 0.5),
    53: (6, 0.5),
}
"""Bonds beyond the neutral valence that an element may have (a cation, or hypervalent), and the cost of each."""

UNLIKELY_CATION_COST = 4.0
"""Of a fourth bond at a nitrogen with two neighbours, and of a bond too many at a nitrogen or oxygen that binds a
metal: pyrazolate is no pyrazolium."""

AZIDE_COST = 1.0
"""Of a fourth bond at the middle nitrogen of an azide or a diazo group."""

TOO_MANY_COST = 50.0

AZOLATE_GAIN = 1.7
"""Of an anion in a five-membered ring of carbon and two or more nitrogens, none of which has a lone pair to give
(pyrazolate, triazolate, tetrazolate): without it two azolates joined by a conjugated path would make a quinone."""

PHENOLATE_GAIN = 4.5
"""Of a benzene ring with up to three oxygens that bind metals (catecholate, the linker of MOF-74) over the quinone.
Rings with four are left as the quinones they usually are (anilate)."""

DIANION_GAIN = 2.5
"""Of each of two charges on the four nitrogens of a porphyrin or the oxygens of a squarate, over the ligand without."""

CYCLOPENTADIENYL_GAIN = 2.0
"""Of an anion in a ring of five carbons that all bind a metal, as in ferrocene."""

_MAX_NODES = 2000


@dataclass(frozen=True)
class _Ligand:
    """A ligand as the program sees it.

    Args:
        numbers: atomic numbers; shape (n_atoms,).
        bonds: bonds between these atoms; shape (n_bonds, 2).
        at_metal: atoms that are bound to metals besides; shape (n_atoms,).
        sigma: neighbours of each atom; shape (n_atoms,).
        valence: bonds of each atom when neutral; shape (n_atoms,).
        spare: bonds that it may have beyond these; shape (n_atoms,).
    """

    numbers: Int[np.ndarray, " n_atoms"]
    bonds: Int[np.ndarray, "n_bonds 2"]
    at_metal: Bool[np.ndarray, " n_atoms"]
    sigma: Int[np.ndarray, " n_atoms"]
    valence: Int[np.ndarray, " n_atoms"]
    spare: Int[np.ndarray, " n_atoms"]

    @property
    def lacking(self) -> Bool[np.ndarray, " n_atoms"]:
        """Atoms that single bonds alone leave below their neutral valence."""
        return self.valence > self.sigma

    def multiple_bonds(self) -> Int[np.ndarray, " n_pi"]:
        """Bonds that may be double or triple."""
        if len(self.bonds) == 0:
            return np.zeros(0, dtype=np.int64)
        open_ = (self.valence + self.spare > self.sigma) & (self.numbers != 1)
        pi = np.flatnonzero(open_[self.bonds].all(axis=1))
        # only atoms that lack bonds drive the search; a saturated nitrogen or sulfur takes part beside one
        return pi[self.lacking[self.bonds[pi]].any(axis=1)]


def perceive_orders(
    numbers: Int[np.ndarray, " n_atoms"],
    bonds: Int[np.ndarray, "n_bonds 2"],
    at_metal: Bool[np.ndarray, " n_atoms"],
) -> Float[np.ndarray, " n_bonds"]:
    """Orders 1, 2 or 3 of the bonds between nonmetals (one Kekule structure); all 1 where no solution is found.

    Args:
        numbers: atomic numbers.
        bonds: bonds between these atoms, none to a metal.
        at_metal: atoms that are bound to metals outside of `bonds`.
    """
    sigma = np.bincount(bonds.ravel(), minlength=len(numbers))
    valence = np.array([NEUTRAL_VALENCE.get(z, int(s)) for z, s in zip(numbers.tolist(), sigma, strict=True)])
    spare = np.array([ABOVE.get(z, (0, 0.0))[0] for z in numbers.tolist()])
    ligand = _Ligand(numbers, bonds, at_metal, sigma, valence, spare)
    orders, pi = np.ones(len(bonds)), ligand.multiple_bonds()
    if len(pi):
        orders[pi] += _further_bonds(ligand, pi)
    return orders


def _further_bonds(ligand: _Ligand, pi: Int[np.ndarray, " n_pi"]) -> Float[np.ndarray, " n_pi"]:
    """Bonds beyond the first of each of the bonds `pi`: the integer program, 0 where it finds no solution.

    Its unknowns, in order: the bonds; of every atom one bond that is missing, further ones, those above the neutral
    valence, and those that no valence allows; the gains of rings.
    """
    atoms = np.unique(ligand.bonds[pi])
    gains = _ring_gains(ligand)
    n, m, g = len(atoms), len(pi), len(gains)
    below = np.array(
        [
            BELOW_COST.get(z, OTHER_BELOW_COST)[int(bound)]
            for z, bound in zip(ligand.numbers[atoms].tolist(), ligand.at_metal[atoms], strict=True)
        ]
    )
    above, too_many = _above_costs(ligand)[atoms], np.full(n, TOO_MANY_COST)
    costs = np.concatenate([np.zeros(m), below, FURTHER * below, above, too_many, [-gain.gain for gain in gains]])
    endless = np.full(n, np.inf)
    most = [np.full(m, 2.0), np.ones(n), endless, ligand.spare[atoms], endless, [gain.most for gain in gains]]
    from scipy.optimize import Bounds, milp

    with warnings.catch_warnings():  # scipy hands "threads" on to HiGHS, which else starts one for every two cores
        warnings.filterwarnings("ignore", "Unrecognized options", RuntimeWarning)
        solved = milp(
            costs,
            integrality=np.concatenate([np.ones(m), np.zeros(4 * n), np.ones(g)]),
            bounds=Bounds(0, np.concatenate(most)),
            constraints=_constraints(ligand, pi, atoms, gains),
            options={"node_limit": _MAX_NODES, "threads": 1},
        )
    return np.zeros(m) if solved.x is None else np.rint(solved.x[:m])


def _constraints(
    ligand: _Ligand, pi: Int[np.ndarray, " n_pi"], atoms: Int[np.ndarray, " n"], gains: list[_Gain]
) -> list[LinearConstraint]:
    """The bonds of every atom add up to its valence; a gain counts as far as its atoms and bonds allow."""
    from scipy.optimize import LinearConstraint

    n, m = len(atoms), len(pi)
    place = {atom: k for k, atom in enumerate(atoms.tolist())}
    column_of = {int(bond): column for column, bond in enumerate(pi)}
    equal = np.zeros((n, m + 4 * n + len(gains)))
    for bond, column in column_of.items():
        equal[[place[atom] for atom in ligand.bonds[bond].tolist()], column] = 1
    equal[:, m : m + 4 * n] = np.hstack([np.eye(n), np.eye(n), -np.eye(n), -np.eye(n)])
    wanted = (ligand.valence - ligand.sigma)[atoms].astype(float)
    constraints = [LinearConstraint(equal, wanted, wanted)]
    if gains:
        conditions, limits = np.zeros((len(gains), equal.shape[1])), np.zeros(len(gains))
        for row, gain in enumerate(gains):
            conditions[row, [column_of[bond] for bond in gain.double_bonds]] = -1
            conditions[row, [m + place[atom] for atom in gain.anions]] = -1
            conditions[row, m + 4 * n + row] = 1
            limits[row] = -gain.already
        constraints.append(LinearConstraint(conditions, -np.inf, limits))
    return constraints


@dataclass(frozen=True)
class _Gain:
    """A gain in cost, had once for each of these atoms that is an anion or of these bonds that is double beyond
    `already`, `most` times."""

    gain: float
    anions: tuple[int, ...] = ()
    double_bonds: tuple[int, ...] = ()
    already: int = 0
    most: int = 1


def _ring_gains(ligand: _Ligand) -> list[_Gain]:
    """What aromatic anions in rings of atoms that all lack bonds are worth."""
    numbers, sigma, at_metal = ligand.numbers, ligand.sigma, ligand.at_metal
    links: list[list[int]] = [[] for _ in numbers]
    bond_of: dict[tuple[int, int], int] = {}
    for bond, (i, j) in enumerate(ligand.bonds.tolist()):
        links[i].append(j)
        links[j].append(i)
        bond_of[i, j] = bond_of[j, i] = bond
    inside = ligand.lacking & ((numbers == 6) | (numbers == 7))
    gains, pyrroles = [], []
    for ring in _rings(links, inside.tolist(), (4, 5, 6)):
        nitrogens = [atom for atom in ring if numbers[atom] == 7]
        outside = [j for i in ring for j in links[i] if j not in ring and sigma[j] == 1 and numbers[j] in (8, 16)]
        if len(ring) == 5 and len(nitrogens) > 1 and not outside and at_metal[nitrogens].any():
            gains.append(_Gain(AZOLATE_GAIN, anions=tuple(nitrogens)))
        if len(ring) == 5 and not nitrogens and at_metal[list(ring)].all():
            gains.append(_Gain(CYCLOPENTADIENYL_GAIN, anions=ring))
        if len(ring) == 5 and len(nitrogens) == 1 and at_metal[nitrogens[0]]:
            pyrroles.append(ring)
        if not nitrogens and len(outside) == len(ring):
            gains.append(_Gain(DIANION_GAIN, anions=tuple(outside), most=2))
        if len(ring) == 6 and not nitrogens and len(outside) in (1, 2, 3) and at_metal[outside].all():
            around = tuple(bond_of[ring[k - 1], ring[k]] for k in range(6))
            gains.append(_Gain(PHENOLATE_GAIN, double_bonds=around, already=2))
    for rings in _joined_by_one_atom(pyrroles, links):
        if len(rings) == 4:
            nitrogens = tuple(atom for ring in rings for atom in ring if numbers[atom] == 7)
            gains.append(_Gain(DIANION_GAIN, anions=nitrogens, most=2))
    return gains


def _joined_by_one_atom(rings: list[tuple[int, ...]], links: list[list[int]]) -> list[list[tuple[int, ...]]]:
    """Groups of rings that hang together over single atoms, as the pyrroles of a porphyrin do."""
    inside = {atom for ring in rings for atom in ring}
    beside = [{j for i in ring for j in links[i]} - inside for ring in rings]
    groups: list[list[int]] = []
    for k in range(len(rings)):
        touching = [group for group in groups if any(beside[k] & beside[other] for other in group)]
        groups = [group for group in groups if group not in touching] + [[k, *(j for group in touching for j in group)]]
    return [[rings[k] for k in group] for group in groups]


def _rings(links: list[list[int]], inside: list[bool], sizes: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Rings of these sizes among the atoms `inside`, each once, from its smallest atom on."""
    found = []
    for start in range(len(links)):
        if not inside[start]:
            continue
        paths = [(start,)]
        for length in range(2, max(sizes) + 1):
            paths = [(*path, j) for path in paths for j in links[path[-1]] if inside[j] and j > start and j not in path]
            if length in sizes:
                found.extend(path for path in paths if path[1] < path[-1] and start in links[path[-1]])
    return found


def _above_costs(ligand: _Ligand) -> Float[np.ndarray, " n_atoms"]:
    """Cost of each bond beyond the neutral valence, by element and place."""
    numbers, sigma = ligand.numbers, ligand.sigma
    costs = np.array([ABOVE.get(z, (0, 0.0))[1] for z in numbers.tolist()])
    nitrogen, oxygen = numbers == 7, numbers == 8
    costs[ligand.at_metal & (nitrogen | oxygen) | (nitrogen & (sigma == 2))] = UNLIKELY_CATION_COST
    first, second = ligand.bonds.T
    ending = nitrogen & (sigma == 1)
    beside = np.concatenate([first[ending[second]], second[ending[first]]])
    beside = beside[nitrogen[beside] & (sigma[beside] == 2)]
    costs[beside] = AZIDE_COST
    return costs


def formal_charges(
    numbers: Int[np.ndarray, " n_atoms"],
    bonds: Int[np.ndarray, "n_bonds 2"],
    orders: Float[np.ndarray, " n_bonds"],
    at_metal: Bool[np.ndarray, " n_atoms"],
) -> Int[np.ndarray, " n_atoms"]:
    """Charges of the free ligand's atoms that go with the orders; a carbon that lacks bonds is a radical, not an ion,
    unless it binds a metal."""
    total = np.zeros(len(numbers))
    np.add.at(total, bonds.ravel(), np.repeat(orders, 2))
    charges = np.zeros(len(numbers), dtype=np.int64)
    for atom, (element, has) in enumerate(zip(numbers.tolist(), np.rint(total).astype(int).tolist(), strict=True)):
        neutral = NEUTRAL_VALENCE.get(element, has)
        lacks = neutral - has
        if element in (6, 14) and lacks > 0:
            charges[atom] = -1 if lacks == 1 and at_metal[atom] else 0
        elif element in (5, 14):
            charges[atom] = min(lacks, 0)
        elif lacks > 0 or element in (7, 8):
            charges[atom] = -lacks
        elif lacks % 2:  # sulfonium, phosphonium, hexafluorophosphate
            charges[atom] = -1 if -lacks > ABOVE.get(element, (0, 0.0))[0] else 1
    return charges
