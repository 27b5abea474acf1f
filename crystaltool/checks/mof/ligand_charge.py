"""Charges that a ligand can have: every atom in one of the valence states of its element, at the least cost.

A valence state is a number of bonds and the formal charge that goes with it (a carboxylate's oxygen has one bond and
-1). An integer program chooses the states and the bond orders between nonmetals. What it costs least is the ligand as a
chemist writes it; other charges are found by asking for them, and count as possible where they cost little more:
catecholate or quinone, pyridine N-oxide or its quinoid form cannot be told apart by the graph alone.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from crystaltool.arrays import Bool, Int

State = tuple[int, int, float, float]
"""Number of bonds, charge, cost if the atom is bound to a metal, cost if it is not."""

_HALOGEN: tuple[State, ...] = ((1, 0, 0.0, 0.0), (0, -1, 0.0, 0.0), (2, 1, 4.0, 4.0))
_HEAVY_HALOGEN: tuple[State, ...] = (*_HALOGEN, (2, -1, 1.0, 1.0), *((n, 0, 0.5, 0.5) for n in (3, 5, 7)))
_CHALCOGEN: tuple[State, ...] = (
    (2, 0, 0.0, 0.0),
    (1, -1, 1.0, 1.5),
    (0, -2, 0.0, 0.0),
    (3, 1, 2.0, 2.0),
    (4, 0, 0.5, 0.5),
    (5, -1, 2.0, 2.0),
    (6, 0, 0.5, 0.5),
)
_PNICTOGEN: tuple[State, ...] = (
    (3, 0, 0.0, 0.0),
    (5, 0, 0.3, 0.3),
    (4, 1, 1.0, 1.0),
    (6, -1, 0.0, 0.0),
    (2, -1, 2.0, 2.0),
)
_TETREL: tuple[State, ...] = ((4, 0, 0.0, 0.0), (5, -1, 0.5, 0.5), (6, -2, 0.5, 0.5))

STATES: dict[int, tuple[State, ...]] = {
    1: ((1, 0, 0.0, 0.0), (0, -1, 0.0, 9.0)),
    5: ((3, 0, 0.0, 0.0), (4, -1, 0.0, 0.0)),
    6: ((4, 0, 0.0, 0.0), (3, -1, 3.0, 6.0), (3, 1, 8.0, 6.0), (2, 0, 6.0, 20.0)),
    7: ((3, 0, 0.0, 0.0), (4, 1, 6.0, 1.2), (2, -1, 1.0, 1.5), (1, -2, 3.0, 9.0), (0, -3, 4.0, 20.0)),
    8: ((2, 0, 0.0, 0.0), (1, -1, 1.0, 1.5), (0, -2, 0.0, 0.0), (3, 1, 8.0, 4.0)),
    9: _HALOGEN,
    14: _TETREL,
    15: _PNICTOGEN,
    16: _CHALCOGEN,
    17: _HEAVY_HALOGEN,
    32: _TETREL,
    33: _PNICTOGEN,
    34: _CHALCOGEN,
    35: _HEAVY_HALOGEN,
    52: _CHALCOGEN,
    53: _HEAVY_HALOGEN,
}
"""Valence states of the elements of ligands; costs chosen by hand so that textbook ligands come out as written."""

BOUND_CUMULENE_COST = 2.5
"""Of four bonds of a carbon with two neighbours that is bound to a metal (an alkyne's, by its pi bond)."""

EXOCYCLIC_COST = 2.2
"""Of a double bond between a ring and the next carbon: bitetrazolate and the like are dianions, no quinones."""

MARGIN = 2.6
"""A charge that costs so much more than the cheapest is possible, too."""

DEAREST = 9.0
"""A ligand whose cheapest states cost more than this, and more than `DEAREST_ATOM` an atom, is not understood."""

DEAREST_ATOM = 0.5
REACH = 2
"""Steps of two charges from the cheapest one that are tried."""

_TIME_LIMIT = 2.0
_REFINEMENTS = 8


Ligand = tuple[tuple[int, ...], tuple[bool, ...], tuple[tuple[int, int], ...]]
"""Atomic numbers, which atoms are bound to metals, bonds; in an order that equal ligands share."""


def as_ligand(
    numbers: Int[np.ndarray, " n"], bonds: Int[np.ndarray, "m 2"], at_metal: Bool[np.ndarray, " n"]
) -> Ligand:
    """A ligand whose charge can be asked for.

    Args:
        numbers: atomic numbers. bonds: between these atoms, a pair may stand twice. at_metal: atoms bound to metals.
    """
    colours = _refined_colours(numbers, bonds, at_metal)
    order = np.argsort(colours, kind="stable")
    place = np.argsort(order)
    pairs = sorted((min(pair), max(pair)) for pair in place[bonds].tolist())
    return tuple(numbers[order].tolist()), tuple(at_metal[order].tolist()), tuple(pairs)


@lru_cache(maxsize=4096)
def cheapest_charge(ligand: Ligand) -> int | None:
    """The charge in e that a ligand has as a chemist writes it; None where its valences are not understood."""
    program = _program_of(ligand)
    best = None if program is None else program.solve()
    if best is None or (best[0] > DEAREST and best[0] > DEAREST_ATOM * len(ligand[0])):
        return None
    return best[1]


@lru_cache(maxsize=4096)
def charge_costs(ligand: Ligand) -> dict[int, float]:
    """All charges in e that a ligand can have, and what each costs more than the cheapest one; none where its valences
    are not understood.

    States of equal parity alone exist: the bonds of all atoms sum to twice the orders.
    """
    start, program = cheapest_charge(ligand), _program_of(ligand)
    best = None if program is None else program.solve()
    if start is None or program is None or best is None:
        return {}
    found = {start: 0.0}
    for step in (-2, 2):
        for charge in range(start + step, start + (REACH + 1) * step, step):
            other = program.solve(charge)
            if other is None or other[0] > best[0] + MARGIN:
                break
            found[charge] = other[0] - best[0]
    return found


def possible_charges(ligand: Ligand) -> frozenset[int]:
    """The charges of `charge_costs`."""
    return frozenset(charge_costs(ligand))


def _refined_colours(numbers: np.ndarray, bonds: np.ndarray, at_metal: np.ndarray) -> np.ndarray:
    """Numbers of the atoms' surroundings: equal ligands get, mostly, an equal order of atoms from them."""
    colours = numbers * 2 + at_metal
    for _ in range(_REFINEMENTS):
        around = [[] for _ in numbers]
        for i, j in bonds.tolist():
            around[i].append(int(colours[j]))
            around[j].append(int(colours[i]))
        keys = [(int(colour), *sorted(some)) for colour, some in zip(colours, around, strict=True)]
        rank = {key: k for k, key in enumerate(sorted(set(keys)))}
        colours = np.array([rank[key] for key in keys])
    return colours


def _program_of(ligand: Ligand) -> _Program | None:
    """The program of a ligand, None where an atom has no state for its bonds."""
    numbers, at_metal, bonds = ligand
    sigma = np.bincount(np.array(bonds, dtype=np.int64).ravel(), minlength=len(numbers)).tolist()
    choices = []
    for number, near_metal, has in zip(numbers, at_metal, sigma, strict=True):
        # a nitrogen with three neighbours that is near a metal, as a nitrate's, is not bound to it by a lone pair
        bound = near_metal and not (number == 7 and has >= 3)
        # a carbene's carbon keeps its lone pair for the metal
        open_carbon = BOUND_CUMULENE_COST if number == 6 and near_metal and has == 2 else 0.0
        states = [
            (n - has, charge, (cost if bound else free_cost) + (open_carbon if n == 4 else 0.0))
            for n, charge, cost, free_cost in STATES.get(number, ())
            if n >= has
        ]
        if not states:
            return None
        choices.append(states)
    return _Program(choices, bonds, _carboxyl_bonds(numbers, sigma, bonds), _exocyclic_bonds(numbers, bonds))


def _exocyclic_bonds(numbers: tuple[int, ...], bonds: tuple[tuple[int, int], ...]) -> frozenset[tuple[int, int]]:
    """Bonds between carbons that no ring holds and that begin at a ring: single where the ring is aromatic."""
    graph = {atom: set() for atom in range(len(numbers))}
    for i, j in bonds:
        graph[i].add(j)
        graph[j].add(i)
    twice = {pair for pair in bonds if bonds.count(pair) > 1} if len(set(bonds)) < len(bonds) else set()
    bridges = _bridges(graph) - twice
    in_ring = {atom for pair in set(bonds) - bridges for atom in pair}
    carbons = [pair for pair in bridges if numbers[pair[0]] == numbers[pair[1]] == 6]
    return frozenset(pair for pair in carbons if pair[0] in in_ring or pair[1] in in_ring)


def _bridges(graph: dict[int, set[int]]) -> set[tuple[int, int]]:
    """Bonds without which a molecule falls apart (Tarjan, Inf. Process. Lett. 1974, 2, 160), without recursion."""
    depth: dict[int, int] = {}
    low: dict[int, int] = {}
    found = set()
    for root, neighbours in graph.items():
        if root in depth:
            continue
        depth[root] = low[root] = 0
        stack = [(root, -1, iter(neighbours))]
        while stack:
            atom, parent, rest = stack[-1]
            other = next(rest, None)
            if other is None:
                stack.pop()
                if parent >= 0:
                    low[parent] = min(low[parent], low[atom])
                    if low[atom] > depth[parent]:
                        found.add((min(atom, parent), max(atom, parent)))
            elif other not in depth:
                depth[other] = low[other] = depth[atom] + 1
                stack.append((other, atom, iter(graph[other])))
            elif other != parent:
                low[atom] = min(low[atom], depth[other])
    return found


def _carboxyl_bonds(
    numbers: tuple[int, ...], sigma: list[int], bonds: tuple[tuple[int, int], ...]
) -> list[list[tuple[int, int]]]:
    """Of every flat carbon with two or three oxygens that have no other nonmetal, its bonds to them: one is double.

    Without this a terephthalate would be one of charge -4, too, quinoid with four O-.
    """
    found: dict[int, list[tuple[int, int]]] = {}
    for pair in bonds:
        for carbon, oxygen in (pair, pair[::-1]):
            if (numbers[carbon], sigma[carbon], numbers[oxygen], sigma[oxygen]) == (6, 3, 8, 1):
                found.setdefault(carbon, []).append(pair)
    return [pairs for pairs in found.values() if len(pairs) > 1]


class _Program:
    """Variables: the pi bonds of every bond, then one choice for every state of every atom.

    In each of the groups of bonds in `one_double` there is a pi bond at least; those in `exocyclic` cost something.
    """

    def __init__(
        self,
        choices: list[list[tuple[int, int, float]]],
        bonds: tuple[tuple[int, int], ...],
        one_double: list[list[tuple[int, int]]],
        exocyclic: frozenset[tuple[int, int]],
    ) -> None:
        most = [max(pi for pi, _, _ in states) for states in choices]
        pi_bonds = [(i, j) for i, j in bonds if i != j and most[i] > 0 and most[j] > 0]
        n, m = len(choices), len(pi_bonds)
        flat = [(atom, *state) for atom, states in enumerate(choices) for state in states]
        rows, columns, values = [], [], []
        for column, pair in enumerate(pi_bonds):
            rows += pair
            columns += [column, column]
            values += [1.0, 1.0]
        for column, (atom, pi, _, _) in enumerate(flat, start=m):
            rows += [atom, n + atom]
            columns += [column, column]
            values += [-float(pi), 1.0]
        width = m + len(flat)
        matrix = csr_array((values, (rows, columns)), shape=(2 * n, width))
        wanted = np.concatenate([np.zeros(n), np.ones(n)])
        self._constraints = [LinearConstraint(matrix, wanted, wanted)]
        for group in one_double:
            row = np.zeros((1, width))
            row[0, [pi_bonds.index(pair) for pair in group if pair in pi_bonds]] = 1.0
            self._constraints.append(LinearConstraint(row, 1.0, np.inf))
        pi_costs = [EXOCYCLIC_COST if pair in exocyclic else 0.0 for pair in pi_bonds]
        self._costs = np.concatenate([pi_costs, [cost for _, _, _, cost in flat]])
        self._charges = np.concatenate([np.zeros(m), [float(charge) for _, _, charge, _ in flat]])
        self._bounds = Bounds(0, np.concatenate([np.full(m, 2.0), np.ones(len(flat))]))

    def solve(self, charge: int | None = None) -> tuple[float, int] | None:
        """Cost and charge of the cheapest states, of those with a certain charge where one is asked for."""
        constraints = list(self._constraints)
        if charge is not None:
            constraints.append(LinearConstraint(self._charges[None], charge, charge))
        solved = milp(
            self._costs,
            integrality=np.ones(len(self._costs)),
            bounds=self._bounds,
            constraints=constraints,
            options={"time_limit": _TIME_LIMIT},
        )
        if solved.x is None:
            return None
        return float(solved.fun), round(float(self._charges @ solved.x))
