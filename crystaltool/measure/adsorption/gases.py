"""The gases: rigid linear molecules of Lennard-Jones sites and point charges, and their equation of state.

CO2 and N2: TraPPE, Potoff and Siepmann, AIChE J. 47, 1676 (2001). CH4: TraPPE united atom, Martin and Siepmann, J.
Phys. Chem. B 102, 2569 (1998). H2: Darkrim and Levesque, J. Chem. Phys. 109, 4981 (1998), with the quadratic correction
of Feynman and Hibbs, without which uptakes at 77 K are too high. Critical constants: NIST Chemistry WebBook.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from crystaltool.arrays import Float
from crystaltool.errors import UsageError

BOLTZMANN = 1.380649e-23
"""J/K."""

GAS_CONSTANT = 8.31446261815324e-3
"""kJ/(mol K)."""

COULOMB = 167101.0
"""e^2 / (4 pi epsilon_0 k_B), in K A."""

HBAR_SQUARED = 48.50876
"""hbar^2 / k_B in A^2 K g/mol."""

BAR = 1e5
"""Pa."""


@dataclass(frozen=True)
class Gas:
    """A rigid linear molecule.

    Args:
        name: chemical formula.
        sites: element, epsilon in K, sigma in A, charge in e, place on the axis in A; epsilon 0 where only a charge is.
        mass: g/mol.
        critical_temperature: K. critical_pressure: Pa. acentric_factor: no unit; for the equation of state.
        kinetic_diameter: A; Breck, Zeolite Molecular Sieves (1974).
        quantum: whether Lennard-Jones terms are corrected to second order in Planck's constant (Feynman and Hibbs).
    """

    name: str
    sites: tuple[tuple[str, float, float, float, float], ...]
    mass: float
    critical_temperature: float
    critical_pressure: float
    acentric_factor: float
    kinetic_diameter: float
    quantum: bool = False

    @property
    def columns(self) -> tuple[Float[np.ndarray, " n"], ...]:
        """Epsilon, sigma, charge, place of the sites; shape (n_sites,) each."""
        _, epsilon, sigma, charge, place = (np.array(each) for each in zip(*self.sites, strict=True))
        return epsilon, sigma, charge, place

    @property
    def reach(self) -> float:
        """Distance of the outermost site from the centre in A."""
        return float(np.abs(self.columns[3]).max())

    def spread(self, temperature: float, partners: int = 1) -> float:
        """hbar^2 / (24 mu k_B T) in A^2, 0 for a classical gas; mu is the mass, of two molecules (`partners`) half."""
        return HBAR_SQUARED * partners / (24 * self.mass * temperature) if self.quantum else 0.0

    def classical(self) -> Gas:
        """The same without the quantum correction."""
        return replace(self, quantum=False)

    def fugacity(self, pressure: float, temperature: float) -> float:
        """Fugacity in Pa at a pressure in Pa: equation of Peng and Robinson, Ind. Eng. Chem. Fundam. 15, 59 (1976).

        Raises:
            UsageError: the stable fluid is a liquid.
        """
        if pressure == 0:
            return 0.0
        reduced = temperature / self.critical_temperature
        kappa = 0.37464 + self.acentric_factor * (1.54226 - 0.26992 * self.acentric_factor)
        alpha = (1 + kappa * (1 - np.sqrt(reduced))) ** 2
        a = 0.45724 * alpha * pressure / self.critical_pressure / reduced**2
        b = 0.07780 * pressure / self.critical_pressure / reduced
        roots = np.roots([1.0, b - 1, a - 3 * b**2 - 2 * b, b**3 + b**2 - a * b])
        factors = sorted(root.real for root in roots if abs(root.imag) < 1e-9 and root.real > b)

        def coefficient(z: float) -> float:
            root = np.sqrt(8.0)
            branch = np.log((2 * z + b * (2 + root)) / (2 * z + b * (2 - root)))
            return float(np.exp(z - 1 - np.log(z - b) - a / (root * b) * branch))

        vapour = coefficient(factors[-1])
        dense = factors[-1] * reduced * self.critical_pressure / pressure < CRITICAL_FACTOR  # as by its molar volume
        if reduced < 1 and (dense or (len(factors) > 1 and coefficient(factors[0]) < vapour)):
            raise UsageError(f"{self.name} is a liquid at {pressure / BAR:g} bar and {temperature:g} K")
        return pressure * vapour


CRITICAL_FACTOR = 0.3074
"""Compressibility factor of the equation of state at the critical point."""

CO2 = Gas(
    "CO2",
    (("O", 79.0, 3.05, -0.35, 1.16), ("C", 27.0, 2.80, 0.70, 0.0), ("O", 79.0, 3.05, -0.35, -1.16)),
    mass=44.009,
    critical_temperature=304.1282,
    critical_pressure=7.3773e6,
    acentric_factor=0.22394,
    kinetic_diameter=3.3,
)
N2 = Gas(
    "N2",
    (("N", 36.0, 3.31, -0.482, 0.55), ("X", 0.0, 1.0, 0.964, 0.0), ("N", 36.0, 3.31, -0.482, -0.55)),
    mass=28.014,
    critical_temperature=126.192,
    critical_pressure=3.3958e6,
    acentric_factor=0.0372,
    kinetic_diameter=3.64,
)
CH4 = Gas(
    "CH4",
    (("C", 148.0, 3.73, 0.0, 0.0),),
    mass=16.043,
    critical_temperature=190.564,
    critical_pressure=4.5992e6,
    acentric_factor=0.01142,
    kinetic_diameter=3.8,
)
H2 = Gas(
    "H2",
    (("H", 0.0, 1.0, 0.468, 0.3705), ("X", 36.7, 2.958, -0.936, 0.0), ("H", 0.0, 1.0, 0.468, -0.3705)),
    mass=2.016,
    critical_temperature=33.145,
    critical_pressure=1.2964e6,
    acentric_factor=-0.219,
    kinetic_diameter=2.89,
    quantum=True,
)

HELIUM = Gas(
    "He",
    (("He", 10.9, 2.64, 0.0, 0.0),),
    mass=4.0026,
    critical_temperature=5.1953,
    critical_pressure=2.2746e5,
    acentric_factor=-0.382,
    kinetic_diameter=2.6,
)
"""The probe of the void fraction: Hirschfelder, Curtiss and Bird, Molecular Theory of Gases and Liquids (1954)."""

GASES: dict[str, Gas] = {gas.name: gas for gas in (CO2, CH4, N2, H2)}


def find_gas(name: str) -> Gas:
    """A gas by its formula, in any case.

    Raises:
        UsageError: there is no such gas.
    """
    for gas in GASES.values():
        if gas.name.lower() == name.strip().lower():
            return gas
    raise UsageError(f"no gas {name!r}, expected {', '.join(GASES)}")
