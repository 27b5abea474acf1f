"""Asymmetric units for the tests: textbook crystals and random ones."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np

from crystaltool.asymunit import AsymUnit, expand
from crystaltool.crystal import Crystal
from crystaltool.lattice import crystal_system_index, parameters_to_matrix
from crystaltool.symmetry import space_group
from crystaltool.units import atomic_number


def unit_of(group: int, cell: tuple[float, ...], orbits: list[tuple[str, str, tuple[float, ...]]], name="") -> AsymUnit:
    """An asymmetric unit from (element, Wyckoff letter, free coordinates) and cell parameters."""
    free = np.zeros((len(orbits), 3))
    for row, (_, _, values) in zip(free, orbits, strict=True):
        row[: len(values)] = values
    letters = [position.letter for position in space_group(group).positions]
    return AsymUnit(
        group,
        parameters_to_matrix(*map(float, cell)),
        np.array([atomic_number(element) for element, _, _ in orbits]),
        np.array([letters.index(letter) for _, letter, _ in orbits]),
        free,
        name,
    )


def cubic(a: float) -> tuple[float, ...]:
    """Cell parameters of a cubic cell."""
    return (a, a, a, 90, 90, 90)


# Cells and coordinates at room temperature: Wyckoff, Crystal Structures, volume 1 (1963).
SILICON = unit_of(227, cubic(5.43), [("Si", "a", ())], "silicon")
ROCK_SALT = unit_of(225, cubic(5.64), [("Na", "a", ()), ("Cl", "b", ())], "halite")
PERICLASE = unit_of(225, cubic(4.21), [("Mg", "a", ()), ("O", "b", ())], "periclase")
RUTILE = unit_of(136, (4.594, 4.594, 2.959, 90, 90, 90), [("Ti", "a", ()), ("O", "f", (0.306,))], "rutile")
CORUNDUM = unit_of(167, (4.763, 4.763, 13.003, 90, 90, 120), [("Al", "c", (0.352,)), ("O", "e", (0.306,))], "corundum")


#: Angstrom.
NEAREST = 1.5


def random_unit(group: int, rng: np.random.Generator, element: str = "Ar") -> AsymUnit:
    """Two orbits on positions with freedom, of at most 12 atoms where the group has them; 20 A^3 an atom."""
    free = [position for position in space_group(group).positions if position.degrees_of_freedom]
    chosen = [position for position in free if position.multiplicity <= 12][-2:] or free[:2]
    for _ in range(1000):
        orbits = [
            (element, position.letter, tuple(rng.uniform(0, 1, position.degrees_of_freedom))) for position in chosen
        ]
        unit = unit_of(group, random_cell(group, rng), orbits)
        crystal = expand(unit)
        scale = (20 * crystal.n_atoms / crystal.volume) ** (1 / 3)
        unit = replace(unit, lattice=unit.lattice * scale)
        if nearest(expand(unit)) > NEAREST:
            return unit
    raise AssertionError(f"no random structure of group {group}")


def random_cell(group: int, rng: np.random.Generator) -> tuple[float, ...]:
    """Cell parameters of the group's crystal system."""
    angles, (a, b, c) = rng.uniform(75, 105, 3), rng.uniform(4, 9, 3)
    return {
        0: (a, b, c, *angles),
        1: (a, b, c, 90, angles[1], 90),
        2: (a, b, c, 90, 90, 90),
        3: (a, a, c, 90, 90, 90),
        4: (a, a, c, 90, 90, 120),
        5: (a, a, c, 90, 90, 120),
        6: (a, a, a, 90, 90, 90),
    }[crystal_system_index(group)]


def nearest(crystal: Crystal) -> float:
    """Shortest distance between two different sites, in Angstrom."""
    images = np.array(list(itertools.product((-1, 0, 1), repeat=3)))
    apart = crystal.frac_coords[:, None] - crystal.frac_coords
    distances = np.linalg.norm(((apart % 1.0)[:, :, None] + images) @ crystal.lattice, axis=-1)
    distances[np.arange(crystal.n_atoms), np.arange(crystal.n_atoms)] = np.inf
    return float(distances.min())
