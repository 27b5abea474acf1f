"""Textbook crystals across all seven crystal systems: cells and coordinates as published (facts, with their source).

Standard settings: unique axis b, hexagonal axes, origin choice 2. Lengths in Angstrom, angles in degrees.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crystaltool.crystal import Crystal
from crystaltool.lattice import parameters_to_matrix
from crystaltool.symmetry import space_group
from crystaltool.units import atomic_number


@dataclass(frozen=True)
class Textbook:
    """A published structure: `sites` are (symbol, Wyckoff letter, x, y, z); `n_atoms` counts the conventional cell."""

    name: str
    group: int
    cell: tuple[float, float, float, float, float, float]
    sites: tuple[tuple[str, str, float, float, float], ...]
    formula: str
    units_z: int
    n_atoms: int
    source: str

    def crystal(self) -> Crystal:
        """All atoms of the conventional cell, by the operations of the group; images within 1e-3 are one."""
        group = space_group(self.group)
        numbers: list[int] = []
        points: list[np.ndarray] = []
        for symbol, _, *xyz in self.sites:
            kept: list[np.ndarray] = []
            for point in group.rotations @ np.array(xyz) + group.translations:
                shifts = np.array([point - other for other in kept]).reshape(-1, 3)
                if not kept or np.abs(shifts - np.round(shifts)).max(axis=1).min() > 1e-3:
                    kept.append(point)
            points += kept
            numbers += [atomic_number(symbol)] * len(kept)
        return Crystal(
            parameters_to_matrix(*map(float, self.cell)), np.array(points) % 1.0, np.array(numbers), self.name
        )


THIRD = 1.0 / 3.0

TEXTBOOK = (
    Textbook(
        "kyanite",
        2,
        (7.1262, 7.8520, 5.5724, 89.99, 101.11, 106.03),
        (
            ("Al", "i", 0.3254, 0.7040, 0.4582),
            ("Al", "i", 0.2974, 0.6989, 0.9505),
            ("Al", "i", 0.0998, 0.3862, 0.6403),
            ("Al", "i", 0.1120, 0.9175, 0.1649),
            ("Si", "i", 0.2962, 0.0649, 0.7066),
            ("Si", "i", 0.2910, 0.3317, 0.1892),
            ("O", "i", 0.1095, 0.1468, 0.1288),
            ("O", "i", 0.1230, 0.6856, 0.1812),
            ("O", "i", 0.2747, 0.4545, 0.9547),
            ("O", "i", 0.2831, 0.9354, 0.9353),
            ("O", "i", 0.1084, 0.1520, 0.6669),
            ("O", "i", 0.1219, 0.6307, 0.6389),
            ("O", "i", 0.2822, 0.4453, 0.4288),
            ("O", "i", 0.2915, 0.9467, 0.4659),
            ("O", "i", 0.5008, 0.2749, 0.2440),
            ("O", "i", 0.5015, 0.2312, 0.7553),
        ),
        "Al2 O5 Si",
        4,
        32,
        "Winter and Ghose, American Mineralogist 64 (1979) 573",
    ),
    Textbook(
        "baddeleyite",
        14,
        (5.1505, 5.2116, 5.3173, 90, 99.230, 90),
        (
            ("Zr", "e", 0.2754, 0.0395, 0.2083),
            ("O", "e", 0.0700, 0.3317, 0.3447),
            ("O", "e", 0.4496, 0.7569, 0.4792),
        ),
        "O2 Zr",
        4,
        12,
        "Howard, Hill and Reichert, Acta Cryst. B44 (1988) 116, doi 10.1107/S0108768187010279",
    ),
    Textbook(
        "cementite",
        62,
        (5.0890, 6.7433, 4.5235, 90, 90, 90),
        (("Fe", "d", 0.1860, 0.0630, 0.3280), ("Fe", "c", 0.0360, 0.25, 0.8520), ("C", "c", 0.8900, 0.25, 0.4500)),
        "C Fe3",
        4,
        16,
        "Herbstein and Smuts, Acta Cryst. 17 (1964) 1331",
    ),
    Textbook(
        "rutile",
        136,
        (4.5937, 4.5937, 2.9587, 90, 90, 90),
        (("Ti", "a", 0, 0, 0), ("O", "f", 0.3053, 0.3053, 0)),
        "O2 Ti",
        2,
        6,
        "Abrahams and Bernstein, J. Chem. Phys. 55 (1971) 3206, doi 10.1063/1.1676569",
    ),
    Textbook(
        "corundum",
        167,
        (4.7592, 4.7592, 12.9918, 90, 90, 120),
        (("Al", "c", 0, 0, 0.35228), ("O", "e", 0.3064, 0, 0.25)),
        "Al2 O3",
        6,
        30,
        "Ishizawa et al., Acta Cryst. B36 (1980) 228, doi 10.1107/S0567740880002981",
    ),
    Textbook(
        "wurtzite",
        186,
        (3.2495, 3.2495, 5.2069, 90, 90, 120),
        (("Zn", "b", THIRD, 2 * THIRD, 0), ("O", "b", THIRD, 2 * THIRD, 0.3821)),
        "O Zn",
        2,
        4,
        "Abrahams and Bernstein, Acta Cryst. B25 (1969) 1233, doi 10.1107/S0567740869003876",
    ),
    Textbook(
        "halite",
        225,
        (5.6402, 5.6402, 5.6402, 90, 90, 90),
        (("Na", "a", 0, 0, 0), ("Cl", "b", 0.5, 0.5, 0.5)),
        "Cl Na",
        4,
        8,
        "Wyckoff, Crystal Structures 1 (1963) 85",
    ),
    Textbook(
        "diamond",
        227,
        (3.5668, 3.5668, 3.5668, 90, 90, 90),
        (("C", "a", 0.125, 0.125, 0.125),),
        "C",
        8,
        8,
        "Straumanis and Aka, J. Am. Chem. Soc. 73 (1951) 5643, doi 10.1021/ja01156a043",
    ),
    Textbook(
        "pyrite",
        205,
        (5.4166, 5.4166, 5.4166, 90, 90, 90),
        (("Fe", "a", 0, 0, 0), ("S", "c", 0.38484, 0.38484, 0.38484)),
        "Fe S2",
        4,
        12,
        "Brostigen and Kjekshus, Acta Chem. Scand. 23 (1969) 2186, doi 10.3891/acta.chem.scand.23-2186",
    ),
)

BY_NAME = {entry.name: entry for entry in TEXTBOOK}
