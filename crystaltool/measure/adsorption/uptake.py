"""Uptakes, working capacity and heats of adsorption of a framework, with standard errors and units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crystaltool.arrays import Float
from crystaltool.crystal import Crystal
from crystaltool.errors import InputError, UsageError
from crystaltool.measure.adsorption.chains import PRODUCTION, Loading, simulate
from crystaltool.measure.adsorption.gases import BAR, BOLTZMANN, GAS_CONSTANT, GASES, Gas
from crystaltool.measure.adsorption.parameters import FORCE_FIELD
from crystaltool.measure.adsorption.pool import POOL_ERROR, Pool, PoolEffort, make_pool
from crystaltool.measure.adsorption.surroundings import replicas
from crystaltool.units import ATOMIC_MASS, G_PER_MOL_PER_CUBIC_ANGSTROM

CM3_STP_PER_MMOL = 22.41397
"""Volume of an ideal gas at 273.15 K and 1 atm, cm3/mmol."""

ENOUGH, FEWEST = 5.0, 1.0
"""Accepted moves for each molecule below which the error is doubled and said, and below which nothing is believed: on
the densest case tried two lengths of run differed by twice the error (`benchmarks/results/adsorption.md`)."""


@dataclass(frozen=True)
class Uptake:
    """What a framework holds at one pressure: absolute, in equilibrium, pockets included.

    Args:
        pressure: bar.
        amount: mmol/g. error: its standard error.
        heat: isosteric heat of adsorption in kJ/mol, positive where adsorption gives heat off, nan without molecules.
        heat_error: its standard error.
        exchanges: accepted moves for each molecule in the average.
    """

    pressure: float
    amount: float
    error: float
    heat: float
    heat_error: float
    exchanges: float


@dataclass(frozen=True)
class Adsorption:
    """What was measured of one gas in one framework.

    Args:
        gas: the molecule. temperature: K. charges: where the framework's are from: none, eqeq, file or given.
        density: of the framework, g/cm3.
        uptakes: by pressure, ascending.
        capacity, capacity_error: uptake at the highest pressure less that at the lowest, mmol/g; nan for one pressure.
        henry: Henry's constant in mmol/(g bar). henry_error: its standard error.
        heat, heat_error: of adsorption without other molecules, kJ/mol; nan without room.
        remark: what a reader must know, empty if nothing.
    """

    gas: Gas
    temperature: float
    charges: str
    density: float
    uptakes: tuple[Uptake, ...]
    capacity: float
    capacity_error: float
    henry: float
    henry_error: float
    heat: float
    heat_error: float
    remark: str = ""

    @property
    def properties(self) -> dict[str, str]:
        """The `_crystaltool_*` values."""
        key, volume = self.gas.name.lower(), self.density * CM3_STP_PER_MMOL
        found: dict[str, str] = {}
        for uptake in self.uptakes:
            at = pressure_key(uptake.pressure)
            found[f"{key}_uptake_{at}"] = _number(uptake.amount)
            found[f"{key}_uptake_{at}_error"] = _number(uptake.error, 2)
            found[f"{key}_uptake_{at}_volumetric"] = _number(uptake.amount * volume)
            if np.isfinite(uptake.heat) and np.isfinite(uptake.heat_error):
                found[f"{key}_heat_{at}"] = f"{uptake.heat:.2f}"
                found[f"{key}_heat_{at}_error"] = f"{uptake.heat_error:.2f}"
        if np.isfinite(self.capacity):
            found[f"{key}_working_capacity"] = _number(self.capacity)
            found[f"{key}_working_capacity_error"] = _number(self.capacity_error, 2)
            found[f"{key}_working_capacity_volumetric"] = _number(self.capacity * volume)
            low, high = self.uptakes[0].pressure, self.uptakes[-1].pressure
            found[f"{key}_working_capacity_between"] = f"{low:g} and {high:g} bar"
        found[f"{key}_henry"] = _number(self.henry)
        found[f"{key}_henry_error"] = _number(self.henry_error, 2)
        if np.isfinite(self.heat):
            found[f"{key}_heat_zero"] = f"{self.heat:.2f}"
            found[f"{key}_heat_zero_error"] = f"{self.heat_error:.2f}"
        found[f"{key}_temperature"] = f"{self.temperature:g}"
        found[f"{key}_charges"] = self.charges
        found[f"{key}_force_field"] = FORCE_FIELD
        if self.remark:
            found[f"{key}_remark"] = self.remark
        return found


def _number(value: float, digits: int = 4) -> str:
    return f"{value:.{digits}g}" if value else "0"


def pressure_key(pressure: float) -> str:
    """A pressure in bar as a part of a name: 0.15 is `0p15bar`."""
    return f"{pressure:g}bar".replace(".", "p").replace("-", "m").replace("+", "")


def check_conditions(gases: Sequence[Gas], pressures: Sequence[float], temperature: float) -> None:
    """Refuse what is no gas, and no condition.

    Args:
        pressures: bar. temperature: K.

    Raises:
        UsageError: no pressure, one not above 0 or above 1000 bar, two alike, a temperature not from 20 to 2000 K, a
            liquid.
    """
    if not pressures:
        raise UsageError("no pressure")
    for pressure in pressures:
        if not (np.isfinite(pressure) and 0 < pressure <= MAX_PRESSURE):
            raise UsageError(f"a pressure of {pressure:g} bar, expected more than 0 and at most {MAX_PRESSURE:g}")
    if len({pressure_key(pressure) for pressure in pressures}) < len(pressures):
        raise UsageError("a pressure stands twice")
    if not LEAST_TEMPERATURE <= temperature <= MOST_TEMPERATURE:
        raise UsageError(
            f"a temperature of {temperature:g} K, expected {LEAST_TEMPERATURE:g} to {MOST_TEMPERATURE:g} K"
        )
    for gas in gases:
        for pressure in pressures:
            gas.fugacity(pressure * BAR, temperature)


MAX_PRESSURE = 1000.0
LEAST_TEMPERATURE, MOST_TEMPERATURE = 20.0, 2000.0


def framework_mass(crystal: Crystal) -> float:
    """Mass of the cell in g/mol."""
    return float(ATOMIC_MASS[crystal.numbers].sum())


@dataclass(frozen=True)
class Run:
    """How a measurement is made.

    Args:
        seed: results are those of (seed, gas, pressure), whatever else is measured.
        cycles: accepted moves for each molecule in the averages.
        ideal: take the pressure for the fugacity.
    """

    seed: int = 0
    cycles: float = PRODUCTION
    ideal: bool = False


USUAL_RUN = Run()


def measure_adsorption(
    crystal: Crystal,
    gas: Gas,
    pressures: Sequence[float] = (0.1, 1.0),
    temperature: float = 298.0,
    charges: Float[np.ndarray, " n_atoms"] | None = None,
    run: Run = USUAL_RUN,
) -> Adsorption:
    """Uptakes of a rigid framework at pressures in bar and a temperature in K.

    The error of an uptake joins the spread of the chains and the error of Widom's mean, which moves the number of
    molecules by its variance; the latter is common to both ends of the working capacity.

    Args:
        crystal: every atom of the cell, without guests.
        charges: of its atoms in e, None for none; shape (n_atoms,).
        run: how it is made.

    Raises:
        InputError: an element without parameters, or a box so full that moves are not accepted.
        UsageError: as `check_conditions`.
    """
    check_conditions((gas,), pressures, temperature)
    pressures = sorted(pressures)
    number = list(GASES).index(gas.name)
    goal = POOL_ERROR / float(np.sqrt(max(1.0, run.cycles / PRODUCTION)))
    pool = make_pool(crystal, gas, temperature, charges, seed=(run.seed, number), effort=PoolEffort(goal))
    to_amount = 1000 / (framework_mass(crystal) * float(np.prod(replicas(crystal.lattice))))
    loadings = []
    for pressure in pressures:
        fugacity = pressure * BAR if run.ideal else gas.fugacity(pressure * BAR, temperature)
        stream = (run.seed, number, int(np.float64(pressure).view(np.uint64)))
        loadings.append(simulate(pool, fugacity, seed=stream, cycles=run.cycles))
    remark = _judge(loadings, pressures, pool)
    uptakes = tuple(_uptake(*pair, pool, to_amount) for pair in zip(pressures, loadings, strict=True))
    capacity, capacity_error = _capacity(loadings, pool, to_amount)
    henry = pool.mean_weight * crystal.volume * 1e-30 * BAR / (BOLTZMANN * temperature)
    henry *= 1000 / framework_mass(crystal)
    energy, energy_error = pool.mean_energy
    return Adsorption(
        gas=gas,
        temperature=temperature,
        charges="none" if charges is None else "given",
        density=framework_mass(crystal) / crystal.volume * G_PER_MOL_PER_CUBIC_ANGSTROM,
        uptakes=uptakes,
        capacity=capacity,
        capacity_error=capacity_error,
        henry=henry,
        henry_error=henry * pool.relative_error,
        heat=GAS_CONSTANT * (temperature - energy),
        heat_error=GAS_CONSTANT * energy_error,
        remark=remark,
    )


def _doubt(loading: Loading) -> float:
    """What a standard error is multiplied with."""
    return 2.0 if loading.exchanges < ENOUGH else 1.0


def _uptake(pressure: float, loading: Loading, pool: Pool, to_amount: float) -> Uptake:
    error = np.hypot(_doubt(loading) * loading.error, loading.variance * pool.relative_error)
    heat_error = _doubt(loading) * loading.heat_error
    amount = loading.mean * to_amount
    return Uptake(pressure, amount, float(error) * to_amount, loading.heat, heat_error, loading.exchanges)


def _capacity(loadings: Sequence[Loading], pool: Pool, to_amount: float) -> tuple[float, float]:
    """Difference of the last and the first loading in mmol/g, and its standard error; nan for a single one."""
    low, high = loadings[0], loadings[-1]
    if low is high:
        return float("nan"), float("nan")
    common = (high.variance - low.variance) * pool.relative_error
    error = np.sqrt((_doubt(high) * high.error) ** 2 + (_doubt(low) * low.error) ** 2 + common**2)
    return (high.mean - low.mean) * to_amount, float(error) * to_amount


def _judge(loadings: Sequence[Loading], pressures: Sequence[float], pool: Pool) -> str:
    """A remark on what was found.

    Raises:
        InputError: too few moves were accepted.
    """
    name = pool.gas.name
    if pool.mean_weight < HARDLY_ANY_ROOM:
        return f"no room: the mean Boltzmann factor of a molecule is {pool.mean_weight:.0e}, in empty space 1"
    for pressure, loading in zip(pressures, loadings, strict=True):
        if loading.exchanges < FEWEST:
            raise InputError(
                f"too dense for insertions: {loading.exchanges:.2f} accepted moves for each of {loading.mean:.0f} "
                f"molecules of {name} at {pressure:g} bar"
            )
    few = [(loading.exchanges, p) for p, loading in zip(pressures, loadings, strict=True) if loading.exchanges < ENOUGH]
    if few:
        exchanges, pressure = min(few)
        return f"only {exchanges:.1f} accepted moves a molecule at {pressure:g} bar: errors are doubled"
    if pool.relative_error > MOST_POOL_ERROR:
        return f"strong sites: Widom's mean has a standard error of {pool.relative_error:.0%}"
    return ""


HARDLY_ANY_ROOM = 1e-6
"""Mean Boltzmann factor below which a structure is not porous to a gas."""

MOST_POOL_ERROR = 0.05
"""Relative error of Widom's mean that goes without a remark."""
