"""Bond orders as UFF wants them: aromatic rings, carboxylates and amides between the Kekule orders of a ligand."""

from __future__ import annotations

import numpy as np

from crystaltool.arrays import Bool, Float, Int
from crystaltool.bonds import AROMATIC_ORDER, BondGraph
from crystaltool.forcefield.uff.parameters import AMIDE_ORDER
from crystaltool.mof.bond_orders import perceive_orders
from crystaltool.mof.elements import METAL

CARBON, NITROGEN, OXYGEN = 6, 7, 8
_RING_DONORS = {6, 7, 8, 15, 16, 34, 52}
"""What may give a lone pair to a five-membered ring."""

Link = tuple[int, int, tuple[int, int, int]]
"""A bond seen from one atom: the bond, the other atom, the image of the other atom."""


def links_of(n_atoms: int, bonds: BondGraph) -> list[list[Link]]:
    """The bonds of every atom."""
    links: list[list[Link]] = [[] for _ in range(n_atoms)]
    for bond, ((i, j), (a, b, c)) in enumerate(zip(bonds.pairs.tolist(), bonds.images.tolist(), strict=True)):
        links[i].append((bond, j, (a, b, c)))
        links[j].append((bond, i, (-a, -b, -c)))
    return links


def organic_orders(numbers: Int[np.ndarray, " n_atoms"], bonds: BondGraph) -> Float[np.ndarray, " n_bonds"]:
    """Order of every bond between nonmetals: 1, 2, 3, 1.5 in a resonant system, 1.41 in an amide; 0 at a metal.

    Orders that the graph states are kept where every bond between nonmetals states one; else they come from valences.
    """
    metal = METAL[numbers]
    organic = ~metal[bonds.pairs].any(axis=1)
    orders = np.where(organic, bonds.orders, 0.0)
    if not (orders[organic] > 0).all():
        at_metal = np.zeros(len(numbers), dtype=bool)
        at_metal[bonds.pairs[~organic].ravel()] = True
        orders[organic] = perceive_orders(numbers, bonds.pairs[organic], at_metal)
    links = [[link for link in some if organic[link[0]]] for some in links_of(len(numbers), bonds)]
    in_ring = _aromatic_bonds(numbers, links, orders)
    resonant = orders.copy()
    _share_among_oxygens(numbers, links, orders, resonant)
    resonant[in_ring] = AROMATIC_ORDER
    _mark_amides(numbers, links, orders, resonant, in_ring)
    return resonant


def _rings(links: list[list[Link]], atoms: Bool[np.ndarray, " n_atoms"]) -> list[tuple[list[int], list[int]]]:
    """Closed rings of 5 and 6 chosen atoms, each once: its atoms and its bonds."""
    rings: dict[tuple[int, ...], tuple[list[int], list[int]]] = {}

    def walk(start: int, atom: int, offset: tuple[int, int, int], path: list[int], bonds: list[int]) -> None:
        for bond, other, image in links[atom]:
            if not atoms[other] or (bonds and bond == bonds[-1]):
                continue
            reached = (offset[0] + image[0], offset[1] + image[1], offset[2] + image[2])
            if other == start and reached == (0, 0, 0) and len(path) >= 5:
                rings.setdefault(tuple(sorted([*bonds, bond])), (path, [*bonds, bond]))
            elif other > start and other not in path and len(path) < 6:
                walk(start, other, reached, [*path, other], [*bonds, bond])

    for start in np.flatnonzero(atoms).tolist():
        walk(start, start, (0, 0, 0), [start], [])
    return list(rings.values())


def _aromatic_bonds(
    numbers: Int[np.ndarray, " n_atoms"], links: list[list[Link]], orders: Float[np.ndarray, " n_bonds"]
) -> list[int]:
    """Bonds of six-membered rings of pi atoms and of five-membered ones with one donor.

    An atom whose only double bond leaves all rings (the carbon of a quinone) is no pi atom.
    """
    n = len(numbers)
    stated = {bond for some in links for bond, _, _ in some if orders[bond] == AROMATIC_ORDER}
    pi, donor = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
    for atom in range(n):
        most = max((orders[bond] for bond, _, _ in links[atom]), default=0.0)
        degree = len(links[atom])
        pi[atom] = numbers[atom] in (5, 6, 7, 15, 16) and (most in (2.0, AROMATIC_ORDER)) and 2 <= degree <= 3
        donor[atom] = most == 1.0 and numbers[atom] in _RING_DONORS and 2 <= degree <= 3
    rings = _rings(links, pi | donor)
    members = {atom for atoms, _ in rings for atom in atoms}
    pi_partner = np.zeros(n, dtype=bool)
    for atom in members:
        pi_partner[atom] = pi[atom] and any(orders[bond] > 1.0 and other in members for bond, other, _ in links[atom])
    found = set(stated)
    for atoms, ring in rings:
        n_pi = sum(bool(pi_partner[atom]) for atom in atoms)
        n_donor = sum(bool(donor[atom]) for atom in atoms)
        if (len(atoms) == 6 and n_pi == 6) or (len(atoms) == 5 and n_pi == 4 and n_donor == 1):
            found.update(ring)
    return sorted(found)


def _share_among_oxygens(numbers, links: list[list[Link]], orders, resonant) -> None:
    """Carboxylates, nitrates, sulfonates, phosphonates: ends of one atom that differ in a proton or metal alone share
    its double bonds."""
    for atom, some in enumerate(links):
        if numbers[atom] == OXYGEN:
            continue
        for element in (OXYGEN, 16):
            ends = [bond for bond, other, _ in some if numbers[other] == element and len(links[other]) == 1]
            total = sum(float(orders[bond]) for bond in ends)
            if len(ends) >= 2 and total > len(ends):
                resonant[ends] = AROMATIC_ORDER if numbers[atom] in (CARBON, NITROGEN) else total / len(ends)


def _mark_amides(numbers, links: list[list[Link]], orders, resonant, in_ring: list[int]) -> None:
    """C-N bonds of amides, outside aromatic rings."""
    rings = set(in_ring)
    for atom in np.flatnonzero(numbers == CARBON).tolist():
        ends = [bond for bond, other, _ in links[atom] if numbers[other] == OXYGEN and len(links[other]) == 1]
        if not any(orders[bond] == 2.0 for bond in ends):
            continue
        for bond, other, _ in links[atom]:
            if numbers[other] == NITROGEN and orders[bond] == 1.0 and bond not in rings and len(links[other]) >= 2:
                resonant[bond] = AMIDE_ORDER
