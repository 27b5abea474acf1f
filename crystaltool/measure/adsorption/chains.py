"""Grand-canonical Monte Carlo: insertions and deletions of molecules in many chains at once.

Insertions are drawn from the pool by Boltzmann weight, so that without other molecules every one of them is accepted
and the number of molecules is the Poisson distribution whose mean Widom's method gives. Pockets that no molecule could
reach are filled too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crystaltool.arrays import Float
from crystaltool.errors import InputError
from crystaltool.measure.adsorption.gases import BOLTZMANN, GAS_CONSTANT
from crystaltool.measure.adsorption.molecules import Pairs
from crystaltool.measure.adsorption.pool import Pool
from crystaltool.measure.adsorption.surroundings import replicas

SETTLING, PRODUCTION = 6.0, 10.0
"""Accepted moves for each molecule before and while averages are taken (half of them insertions)."""

MIN_STEPS, MAX_STEPS = 800, 30000
"""Attempted moves of a chain before it may end (besides half as many to settle), and after which it must."""

FEWEST_CHAINS, MOST_CHAINS = 24, 96

NOTHING = 1e-12
"""A mean number of molecules in the box that is none."""

DILUTE = 0.01
"""A mean number of molecules in the box below which they do not meet: it is Widom's, off by this share of itself."""

FEWEST_MOVES = 1500
"""Moves accepted in all chains together while averages are taken."""

MAX_MOLECULES = 4000
"""Molecules in the box at most: more would take hours."""


@dataclass(frozen=True)
class Loading:
    """Molecules in the box at one pressure.

    Args:
        mean: mean number. error: its standard error over the chains. variance: of the number.
        heat: isosteric heat of adsorption in kJ/mol, heat_error: its standard error; nan without molecules.
        accepted: share of moves accepted. exchanges: accepted moves of a chain for each molecule, in the average.
    """

    mean: float
    error: float
    variance: float
    heat: float
    heat_error: float
    accepted: float
    exchanges: float


class _Chains:
    """Molecules of many independent boxes; the first `numbers` slots of each are filled."""

    def __init__(self, n_chains: int) -> None:
        self.numbers = np.zeros(n_chains, dtype=int)
        self.energies = np.zeros(n_chains)
        self.centres, self.axes = np.zeros((n_chains, 8, 3)), np.zeros((n_chains, 8, 3))
        self.hosts = np.zeros((n_chains, 8))

    def make_room(self) -> None:
        """At least one empty slot in each."""
        if self.numbers.max() + 1 >= self.hosts.shape[1]:
            self.centres, self.axes, self.hosts = (
                np.concatenate([each, np.zeros_like(each)], axis=1) for each in (self.centres, self.axes, self.hosts)
            )

    def insert(self, chains: np.ndarray, centre: np.ndarray, axis: np.ndarray, host: np.ndarray) -> None:
        slots = self.numbers[chains]
        self.centres[chains, slots], self.axes[chains, slots], self.hosts[chains, slots] = centre, axis, host
        self.numbers[chains] += 1

    def delete(self, chains: np.ndarray, slots: np.ndarray) -> None:
        last = self.numbers[chains] - 1
        for each in (self.centres, self.axes, self.hosts):
            each[chains, slots] = each[chains, last]
        self.numbers[chains] = last


class _Averages:
    """Sums over steps of number, energy and their products; shape (4, n_chains)."""

    def __init__(self, n_chains: int) -> None:
        self.sums, self.n = np.zeros((4, n_chains)), 0

    def add(self, numbers: np.ndarray, energies: np.ndarray) -> None:
        self.sums += (numbers, numbers * numbers, energies, numbers * energies)
        self.n += 1

    def number(self) -> tuple[float, float, float]:
        """Mean, standard error over the chains, variance of the number."""
        means = self.sums[0] / self.n
        variance = float(self.sums[1].mean() / self.n - means.mean() ** 2)
        return float(means.mean()), float(means.std(ddof=1) / np.sqrt(len(means))), variance

    def slope(self) -> tuple[float, float]:
        """d<energy>/d<number> from fluctuations in K, and its standard error by the jackknife over chains."""
        total = self.sums.sum(axis=1, keepdims=True)

        def ratio(sums: np.ndarray, n: int) -> np.ndarray:
            number, squares, energy, product = sums / n
            with np.errstate(invalid="ignore", divide="ignore"):
                return (product - number * energy) / (squares - number**2)

        n_chains = self.sums.shape[1]
        whole = float(ratio(total, self.n * n_chains)[0])
        left_out = ratio(total - self.sums, self.n * (n_chains - 1))
        return whole, float(np.sqrt((n_chains - 1) * np.mean((left_out - left_out.mean()) ** 2)))


def simulate(
    pool: Pool,
    fugacity: float,
    *,
    n_chains: int | None = None,
    seed: int | tuple[int, ...] = 0,
    interacting: bool = True,
    cycles: float = PRODUCTION,
) -> Loading:
    """Grand-canonical insertions and deletions at a fugacity in Pa and the pool's temperature.

    Each step every chain tries to insert a placement of the pool, drawn by weight, into a random unit cell of the box,
    or to delete one of its molecules. `interacting=False` leaves out the energy between molecules. There are 24 to 96
    chains, more where molecules are few, unless `n_chains` says how many. `cycles`: accepted moves for each molecule.

    Raises:
        InputError: more than 4,000 molecules in the box.
    """
    rng = np.random.default_rng(seed)
    repeats = replicas(pool.lattice)
    box = pool.lattice * repeats[:, None]
    volume = float(np.linalg.det(box)) * 1e-30
    activity = fugacity / (BOLTZMANN * pool.temperature) * volume * pool.mean_weight  # mean number without interaction
    if activity < NOTHING:
        return Loading(0.0, 0.0, 0.0, np.nan, np.nan, 0.0, np.inf)
    if activity < DILUTE and interacting:
        energy, energy_error = (GAS_CONSTANT * value for value in pool.mean_energy)
        heat = GAS_CONSTANT * pool.temperature - energy
        return Loading(activity, activity**2, activity, heat, energy_error, 1.0, np.inf)
    if n_chains is None:
        n_chains = int(np.clip(1500 / activity, FEWEST_CHAINS, MOST_CHAINS))
    move = _Move(pool, repeats, box, activity, interacting, rng)
    chains, averages = _Chains(n_chains), _Averages(n_chains)
    exchanged, step, settled = 0.0, 0, 0
    effort = max(1.0, cycles / PRODUCTION)
    shortest, longest = MIN_STEPS * effort, MAX_STEPS * effort
    while True:
        exchanged += move.step(chains)
        step += 1
        numbers = chains.numbers
        if numbers.max() > MAX_MOLECULES:
            raise InputError(f"more than {MAX_MOLECULES} molecules of {pool.gas.name} in the box of the simulation")
        if settled:
            averages.add(numbers, chains.energies)
            enough = exchanged > cycles * numbers.mean() and exchanged * n_chains > FEWEST_MOVES
            if (step - settled >= shortest and enough) or step >= longest:
                break
        elif (step >= MIN_STEPS // 2 and exchanged > SETTLING * numbers.mean()) or step >= longest / 3:
            exchanged, settled = 0.0, step
    mean, error, variance = averages.number()
    slope, slope_error = averages.slope()
    heat = GAS_CONSTANT * (pool.temperature - slope)
    exchanges = exchanged / mean if mean > 0 else np.inf
    return Loading(mean, error, variance, heat, GAS_CONSTANT * slope_error, exchanged / (step - settled), exchanges)


class _Move:
    """One insertion or deletion tried in every chain."""

    def __init__(
        self,
        pool: Pool,
        repeats: np.ndarray,
        box: Float[np.ndarray, "3 3"],
        activity: float,
        interacting: bool,
        rng: np.random.Generator,
    ) -> None:
        self.pool, self.repeats, self.box, self.activity, self.rng = pool, repeats, box, activity, rng
        self.pairs = Pairs(pool.gas, pool.temperature) if interacting else None
        self.cumulative = np.cumsum(pool.weights) / pool.weights.sum()

    def step(self, state: _Chains) -> float:
        """Try one move in each chain; the share that was accepted."""
        rng, pool, numbers = self.rng, self.pool, state.numbers
        n = len(numbers)
        state.make_room()
        chains, width = np.arange(n), int(numbers.max()) + 1
        inserts = rng.random(n) < 0.5
        drawn = np.searchsorted(self.cumulative, rng.random(n) * self.cumulative[-1]).clip(max=len(pool.weights) - 1)
        slots = np.where(inserts, numbers, (rng.random(n) * numbers).astype(int))
        cells = rng.integers(0, self.repeats, size=(n, 3))
        placed = (pool.frac_coords[drawn] + cells) / self.repeats
        centre = np.where(inserts[:, None], placed, state.centres[chains, slots])
        axis = np.where(inserts[:, None], pool.axes[drawn], state.axes[chains, slots])
        host = np.where(inserts, pool.energies[drawn], state.hosts[chains, slots])
        energy = np.zeros(n)
        if self.pairs is not None:
            others = (np.arange(width) < numbers[:, None]) & (np.arange(width) != slots[:, None])
            energies = self.pairs.energies(centre, axis, state.centres[:, :width], state.axes[:, :width], self.box)
            energy = np.where(others, energies, 0).sum(axis=1)
        with np.errstate(over="ignore", divide="ignore"):
            growth = self.activity / (numbers + inserts) * np.exp(-energy / pool.temperature)
            chance = np.where(inserts, growth, np.where(numbers > 0, 1 / growth, 0))
        accepted = rng.random(n) < chance
        came, went = np.flatnonzero(accepted & inserts), np.flatnonzero(accepted & ~inserts)
        state.energies[came] += host[came] + energy[came]
        state.energies[went] -= host[went] + energy[went]
        state.insert(came, centre[came], axis[came], host[came])
        state.delete(went, slots[went])
        return float(accepted.mean())
