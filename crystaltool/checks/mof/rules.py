"""Rules that look at the atoms of one element and their neighbours: MOFChecker's, in release 2.0 unless said otherwise.

Source of the rules: Jablonka, MOFChecker (github.com/kjappelbaum/mofchecker, releases 0.9.6 and 2.0). Each rule gives
the atoms that break it, each with a few words.
"""

from __future__ import annotations

import numpy as np

from crystaltool.checks.mof.coordination import Coordination, Neighbours
from crystaltool.checks.mof.elements import ALKALI, RARE_EARTH
from crystaltool.checks.mof.exposure import has_full_valence
from crystaltool.checks.mof.oxidation import HIGHEST_STATE
from crystaltool.mof.elements import COVALENT_RADIUS
from crystaltool.mof.valence import bond_valence
from crystaltool.units import SYMBOLS

Findings = dict[int, str]
"""For each atom that breaks a rule, what is wrong with it."""

HYDROGEN, BORON, CARBON, NITROGEN, OXYGEN = 1, 5, 6, 7, 8

HYDROGEN_REACH = 1.15
"""A: a hydrogen has one neighbour within this. MOFChecker takes 1.1, the radius of hydrogen, just short of a relaxed
C-H bond (1.10)."""

LINEAR_ANGLE, LINEAR_ANGLE_AT_METAL = 165.0, 150.0
"""Degrees: a carbon with two neighbours is an sp carbon if they enclose at least this angle."""

CYANIDE_LENGTH = 1.2
"""A: a carbon bound to one nitrogen alone is a cyanide's if no longer than this."""

PYRAMID_ANGLES = 340.0
"""Degrees: a carbon with three neighbours, none a metal, is flat (its angles sum to 360) or misses one (sp3: 328). Not
MOFChecker's: of 3,000 structures of QMOF none breaks it."""

CARBONYL_LENGTH = 1.18
"""A: the same for a carbon bound to one oxygen alone, carbon monoxide (1.13)."""

BENT_NITRILE_ANGLE, TRIPLE_LENGTH = 155.0, 1.22
"""Degrees, A: an sp carbon that a crystal bends has a triple bond still."""

END_NITROGEN_LENGTHS = {6: 1.25, 7: 1.25, 8: 1.27, 16: 1.55}
"""A: a nitrogen bound to one nonmetal is a nitrile's, an azide's, a nitrosyl's (1.15 to 1.22) or a thionitrosyl's if
shorter than this."""

IMIDO_VALENCE = 1.2
"""Valence units: an imido nitrogen, bound to one nonmetal, has this much from metals (V=N 1.64 A: 2), no amine has."""

OXO_VALENCE, OXO_EXCESS = 1.1, 1.3
"""Valence units, share: a terminal oxygen is an oxo group if its bond has this valence (V=O 1.60, Ti=O 1.67, U=O 1.77
A: 1.5 and more; a hydroxide or water whose hydrogens are missing: under 1.05), and if it lets the metal's valences sum
to no more than this share of its highest oxidation state."""

TERMINAL, SULFIDO_VALENCE = (OXYGEN, 15, 16, 33, 34, 52), 1.0
"""Atoms that lack hydrogen or carbon if their only bond, to a metal, is no multiple one; the valence that the bond of
the heavier ones has at least (Mo=S 2.10 A: 2.0, Sn-S of a thiostannate 2.35 A: 1.1, Zn-S 2.30 A: 0.6)."""

IMINE_LENGTHS, SINGLE_BOND_LENGTH = {16: 1.60, 15: 1.64}, 1.43
IMINE_LENGTH = 1.30
"""A: a nitrogen with two neighbours and no metal misses one if it has a hydrogen and a bond longer than this (to sulfur
or phosphorus: than the first), or two bonds to carbon or nitrogen longer than the second. Not MOFChecker's, which found
such nitrogens in 0.9.6 by their dihedral angles and does not in 2.0; of 3,000 structures of QMOF none breaks it."""

MIN_COORDINATION = 4
"""Neighbours that alkali, alkaline earth and rare earth metals have at least."""

MAX_VALENCE = 4
"""Neighbours that carbon and nitrogen have at most, unless they are bound to a metal."""


def atomic_overlap(coordination: Coordination) -> Findings:
    """Two atoms nearer than the smaller of their covalent radii."""
    first, second, distances = coordination.contacts
    radii = COVALENT_RADIUS[coordination.numbers]
    found: Findings = {}
    for i in np.flatnonzero(distances < np.minimum(radii[first], radii[second])).tolist():
        found[int(first[i])] = f"{distances[i]:.2f} A from {_name(coordination, int(second[i]))}"
    return found


def overcoordinated_carbon(coordination: Coordination) -> Findings:
    """More than four neighbours and no metal or boron among them."""
    return _overcoordinated(coordination, CARBON, {BORON})


def overcoordinated_nitrogen(coordination: Coordination) -> Findings:
    """More than four neighbours and no metal among them."""
    return _overcoordinated(coordination, NITROGEN, set())


def _overcoordinated(coordination: Coordination, number: int, excused: set[int]) -> Findings:
    found: Findings = {}
    many = (coordination.numbers == number) & (coordination.n_bonds > MAX_VALENCE) & (coordination.n_metal_bonds == 0)
    for atom in np.flatnonzero(many).tolist():
        near = coordination.neighbours(atom)
        if not excused.intersection(coordination.numbers[near.atoms].tolist()):
            found[atom] = f"{len(near)} neighbours"
    return found


def overcoordinated_hydrogen(coordination: Coordination) -> Findings:
    """More than one atom within 1.15 A."""
    first, second, distances = coordination.contacts
    close = distances <= HYDROGEN_REACH
    n_atoms = coordination.crystal.n_atoms
    counts = np.bincount(first[close], minlength=n_atoms) + np.bincount(second[close], minlength=n_atoms)
    crowded = np.flatnonzero((coordination.numbers == HYDROGEN) & (counts > 1))
    return {atom: f"{counts[atom]} atoms within {HYDROGEN_REACH} A" for atom in crowded.tolist()}


def undercoordinated_carbon(coordination: Coordination) -> Findings:
    """One neighbour that is not a cyanide's nitrogen, or two that are not in line, or three on one side."""
    found: Findings = {}
    for atom in np.flatnonzero((coordination.numbers == CARBON) & (coordination.n_bonds <= 3)).tolist():
        near = coordination.neighbours(atom)
        if len(near) == 0:
            found[atom] = "no neighbour"
        elif len(near) == 1:
            longest = {NITROGEN: CYANIDE_LENGTH, OXYGEN: CARBONYL_LENGTH}.get(
                int(coordination.numbers[near.atoms[0]]), 0.0
            )
            if near.distances[0] > longest:
                found[atom] = f"one neighbour, at {near.distances[0]:.2f} A"
        elif len(near) == 3:
            angles = sum(_angle(near.vectors[i], near.vectors[i - 1]) for i in range(3))
            if angles < PYRAMID_ANGLES and not coordination.n_metal_bonds[atom]:
                found[atom] = f"three neighbours, angles sum to {angles:.0f} degrees"
        else:
            angle = _angle(near.vectors[0], near.vectors[1])
            asked = LINEAR_ANGLE_AT_METAL if coordination.n_metal_bonds[atom] else LINEAR_ANGLE
            if near.distances.min() < TRIPLE_LENGTH and not (coordination.numbers[near.atoms] == HYDROGEN).any():
                asked = min(asked, BENT_NITRILE_ANGLE)
            if angle < asked:
                found[atom] = f"two neighbours at {angle:.0f} degrees"
    return found


def undercoordinated_nitrogen(coordination: Coordination) -> Findings:
    """One nonmetal neighbour and no multiple bond to it or to a metal, two that are singly bound and no metal, or none.

    A nitrogen on metals alone is a nitride if these bonds make up for it, else an ammonia without its hydrogens.
    """
    found: Findings = {}
    n_nonmetals = coordination.n_bonds - coordination.n_metal_bonds
    for atom in np.flatnonzero((coordination.numbers == NITROGEN) & (n_nonmetals == 1)).tolist():
        near = coordination.neighbours(atom)
        metals = near.keep(coordination.is_metal[near.atoms])
        near = near.keep(~coordination.is_metal[near.atoms])
        other = int(coordination.numbers[near.atoms[0]])
        from_metals = _valence_of(coordination, atom, metals)
        if near.distances[0] >= END_NITROGEN_LENGTHS.get(other, 0.0) and from_metals < IMIDO_VALENCE:
            found[atom] = f"one nonmetal neighbour, {SYMBOLS[other]} at {near.distances[0]:.2f} A"
    alone = (coordination.numbers == NITROGEN) & (n_nonmetals == 0) & (coordination.n_metal_bonds > 0)
    for atom in np.flatnonzero(alone).tolist():
        if _valence_of(coordination, atom, coordination.neighbours(atom)) < IMIDO_VALENCE:
            found[atom] = "no nonmetal neighbour, and no multiple bond to a metal"
    bare = (coordination.numbers == NITROGEN) & (n_nonmetals == 2) & (coordination.n_metal_bonds == 0)
    for atom in np.flatnonzero(bare).tolist():
        near = coordination.neighbours(atom)
        others = coordination.numbers[near.atoms]
        if HYDROGEN in others:
            heavy = int(np.argmax(near.distances))
            single = near.distances[heavy] > IMINE_LENGTHS.get(int(others[heavy]), IMINE_LENGTH)
        else:
            single = np.isin(others, (CARBON, NITROGEN)).all() and near.distances.min() > SINGLE_BOND_LENGTH
        if single:
            found[atom] = "two single bonds, at " + " and ".join(f"{d:.2f} A" for d in near.distances)
    return found


def undercoordinated_rare_earth(coordination: Coordination) -> Findings:
    """A lanthanide or actinide with fewer than four neighbours."""
    return _few_neighbours(coordination, RARE_EARTH)


def undercoordinated_alkali(coordination: Coordination) -> Findings:
    """An alkali or alkaline earth metal with fewer than four neighbours, whose bonds lack valence or lie on one side.

    Lithium and sodium have three neighbours where these are near (Li-N 2.0, Na-O 2.25 A), potassium has arenes.
    """
    found = _few_neighbours(coordination, ALKALI)
    return {atom: text for atom, text in found.items() if not has_full_valence(coordination, atom)}


def _few_neighbours(coordination: Coordination, elements: np.ndarray) -> Findings:
    atoms = np.flatnonzero(elements[coordination.numbers]).tolist()
    counts = {atom: len(coordination.strong_neighbours(atom)) for atom in atoms}
    return {atom: f"{count} neighbours" for atom, count in counts.items() if count < MIN_COORDINATION}


def terminal_oxo(coordination: Coordination) -> Findings:
    """An oxygen bound to nothing but one metal, too far away for a double bond: its hydrogens are missing.

    Sulfur, selenium and tellurium alike (Mo=S 2.1 A is a double bond, Zn-S 2.3 A a thiolate's that lost its carbon),
    and phosphorus and arsenic. Not MOFChecker's, which looks at oxygen alone.
    """
    found: Findings = {}
    single = np.isin(coordination.numbers, TERMINAL) & (coordination.n_bonds == 1)
    for atom in np.flatnonzero(single).tolist():
        near = coordination.neighbours(atom)
        metal = int(near.atoms[0])
        if not coordination.is_metal[metal]:
            continue
        valence, most = _valence_of(coordination, atom, near), OXO_EXCESS * HIGHEST_STATE[coordination.numbers[metal]]
        asked = OXO_VALENCE if coordination.numbers[atom] == OXYGEN else SULFIDO_VALENCE
        if valence < asked or coordination.valence_sums[metal] > most:
            found[atom] = f"bound to {_name(coordination, metal)} alone, at {near.distances[0]:.2f} A"
    return found


def _valence_of(coordination: Coordination, atom: int, near: Neighbours) -> float:
    """Sum of the valences of an atom's bonds to some of its neighbours."""
    numbers = coordination.numbers[near.atoms]
    return float(bond_valence(numbers, np.full(len(numbers), coordination.numbers[atom]), near.distances).sum())


def _angle(first: np.ndarray, second: np.ndarray) -> float:
    """Angle between two vectors in degrees."""
    cosine = first @ second / (np.linalg.norm(first) * np.linalg.norm(second))
    return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))


def _name(coordination: Coordination, atom: int) -> str:
    return f"{SYMBOLS[coordination.numbers[atom]]}{atom + 1}"
