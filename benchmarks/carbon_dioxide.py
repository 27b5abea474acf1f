"""CO2 in a rigid framework without charges of its own: grand-canonical Monte Carlo on a pool of insertions.

The protocol is that of the labels (QMOF isotherms of IsothermNet, Lin et al., npj Comput. Mater. 11, 225 (2025), whose
input says 298 K, 12 A, cells repeated to 24 A, fugacity coefficient 1, charges from the CIF under a tag that these CIFs
lack, so none on the framework). Its table of Lennard-Jones parameters is not published; `adsorption.md` says how
this one was chosen: Dreiding for C, H, N and O, UFF for the rest, TraPPE for CO2, truncated, no tail correction.

A pool of random positions and directions with their energies in the empty framework stands for the molecule's space.
Insertions are drawn from it by Boltzmann weight, so that without other molecules every one of them is accepted and the
number of molecules is the Poisson distribution whose mean Widom's method gives. Many chains advance together.
Pockets that no molecule could reach are filled too, as in the labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.spatial import KDTree
from scipy.stats import qmc

from crystaltool.crystal import Crystal
from crystaltool.errors import InputError

BOLTZMANN = 1.380649e-23
"""J/K."""

KCAL = 503.2195
"""K in one kcal/mol."""

COULOMB = 167101.0
"""e^2 / (4 pi epsilon_0 k_B), in K A."""

TEMPERATURE, CUTOFF = 298.0, 12.0
"""K and A."""

BOND = 1.16
"""C-O of CO2, A; with the three sites below Potoff and Siepmann, AIChE J. 47, 1676 (2001)."""

GUEST = (("O", 79.0, 3.05, -0.35, BOND), ("C", 27.0, 2.80, 0.70, 0.0), ("O", 79.0, 3.05, -0.35, -BOND))
"""Sites of CO2: element, epsilon in K, sigma in A, charge in e (between the molecules only), place on the axis in A."""

DREIDING = {1: (3.195, 0.0152), 6: (3.8983, 0.0951), 7: (3.6621, 0.0774), 8: (3.4046, 0.0957)}
"""Van der Waals distance in A and well depth in kcal/mol: Mayo, Olafson, Goddard, J. Phys. Chem. 94, 8897 (1990)."""

CLASH = 2.0
"""A site of CO2 this near to an atom of the framework, in A, weighs nothing."""

VOXEL = 0.6
"""Side of the small cells in which the weight of placements is gathered, A."""

BIN = 5.0
CHUNK = 2000

SETTLING, PRODUCTION = 6, 10
"""Accepted moves for each molecule before and while averages are taken (half of them insertions)."""

MIN_STEPS, MAX_STEPS = 800, 30000
"""Attempted moves of a chain before it may end (besides half as many to settle), and after which it must."""


@lru_cache(maxsize=1)
def uff_lennard_jones() -> dict[int, tuple[float, float]]:
    """Epsilon in K and sigma in A by atomic number: Rappe et al., JACS 114, 10024 (1992), as Open Babel holds it."""
    import openbabel
    from pymatgen.core import Element

    table = next((Path(openbabel.__file__).parent / "share" / "openbabel").glob("*/UFF.prm"))
    found: dict[int, tuple[float, float]] = {}
    for line in table.read_text().splitlines():
        words = line.split()
        if not words or words[0] != "param":
            continue
        symbol = "".join(letter for letter in words[1][:2] if letter.isalpha())
        if Element.is_valid_symbol(symbol):
            found.setdefault(Element(symbol).Z, (float(words[5]) * KCAL, float(words[4]) / 2 ** (1 / 6)))
    return found


def lennard_jones(number: int) -> tuple[float, float]:
    """Epsilon in K and sigma in A of an atom of the framework.

    Raises:
        InputError: an element without parameters.
    """
    if number in DREIDING:
        distance, depth = DREIDING[number]
        return depth * KCAL, distance / 2 ** (1 / 6)
    if number not in uff_lennard_jones():
        raise InputError(f"no Lennard-Jones parameters for atomic number {number}")
    return uff_lennard_jones()[number]


def replicas(lattice: np.ndarray, cutoff: float = CUTOFF) -> np.ndarray:
    """Repeats along a, b, c that make every width of the box twice the cutoff at least; shape (3,)."""
    widths = 1 / np.linalg.norm(np.linalg.inv(lattice), axis=0)
    return np.ceil(2 * cutoff / widths - 1e-9).astype(int)


@dataclass(frozen=True)
class Pool:
    """Placements of one molecule in the unit cell.

    Args:
        lattice: rows a, b, c in A. frac_coords: of the carbon; shape (n, 3). axes: unit vectors; shape (n, 3).
        weights: Boltzmann factors in the empty framework over the density the placements were drawn with (1 where they
            fill the cell evenly); shape (n,).
    """

    lattice: np.ndarray
    frac_coords: np.ndarray
    axes: np.ndarray
    weights: np.ndarray

    @property
    def mean_weight(self) -> float:
        """Widom's mean: 1 in an empty cell."""
        return float(self.weights.mean())

    @property
    def relative_error(self) -> float:
        """Standard error of the mean weight over it, as if placements were independent."""
        mean = self.mean_weight
        return float(self.weights.std() / np.sqrt(len(self.weights)) / mean) if mean > 0 else 1.0


def make_pool(crystal: Crystal, error: float = 0.01, seed: int = 0, size: int = 2**16, rounds: int = 5) -> Pool:
    """A pool of `size` placements spread evenly, then up to `rounds` more times as many where they weigh most.

    Each round draws small cells by the root mean square weight found in them so far (a tenth of the draws stay even),
    and all placements are weighed by the density of the whole mixture (adaptive importance sampling, balance
    heuristic). Ends when the relative error of the mean weight is `error`.
    """
    rng = np.random.default_rng(seed)
    surroundings = _Surroundings(crystal)
    grid = np.ceil(np.linalg.norm(crystal.lattice, axis=1) / VOXEL).astype(int)
    density = np.ones(grid.prod())  # of the whole mixture, in units of the even one
    frac_coords, axes = qmc.Sobol(3, rng=rng).random(size), _directions(rng, size)
    factors = np.exp(-np.clip(surroundings.energies(frac_coords, axes) / TEMPERATURE, -80, 80))
    for done in range(1, rounds + 2):
        voxels = np.ravel_multi_index((frac_coords % 1 * grid).astype(int).clip(max=grid - 1).T, grid)
        pool = Pool(crystal.lattice, frac_coords, axes, factors / density[voxels])
        if pool.relative_error < error or done > rounds or not factors.any():
            break
        squares = np.bincount(voxels, factors * pool.weights, len(density))
        share = np.sqrt(_smoothed(squares.reshape(grid)).ravel())
        share = 0.1 / len(density) + 0.9 * share / share.sum()
        drawn = np.array(np.unravel_index(rng.choice(len(density), size, p=share), grid)).T
        more, more_axes = (drawn + rng.random((size, 3))) / grid, _directions(rng, size)
        more_factors = np.exp(-np.clip(surroundings.energies(more, more_axes) / TEMPERATURE, -80, 80))
        frac_coords, axes = np.concatenate([frac_coords, more]), np.concatenate([axes, more_axes])
        factors = np.concatenate([factors, more_factors])
        density = (density * done + share * len(density)) / (done + 1)
    return pool


def _smoothed(grid: np.ndarray) -> np.ndarray:
    """Mean over the cells around each, across the faces of the unit cell."""
    for axis in range(3):
        grid = (np.roll(grid, 1, axis) + 2 * grid + np.roll(grid, -1, axis)) / 4
    return grid


def _directions(rng: np.random.Generator, n: int) -> np.ndarray:
    vectors = rng.normal(size=(n, 3))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class _Surroundings:
    """The atoms of a crystal and of its images within reach of a molecule in the cell."""

    def __init__(self, crystal: Crystal) -> None:
        self.lattice = crystal.lattice
        reach = (CUTOFF + BOND) / (1 / np.linalg.norm(np.linalg.inv(crystal.lattice), axis=0))
        steps = [np.arange(-int(np.ceil(r)), int(np.ceil(r)) + 1) for r in reach]
        shifts = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).reshape(-1, 1, 3)
        images = crystal.frac_coords % 1 + shifts
        near = ((images > -reach - 1e-9) & (images < 1 + reach + 1e-9)).all(axis=-1)
        self.coords = images[near] @ crystal.lattice
        table = {int(number): lennard_jones(int(number)) for number in np.unique(crystal.numbers)}
        parameters = np.array([table[int(number)] for number in crystal.numbers])
        self.epsilon, self.sigma = np.broadcast_to(parameters, (len(shifts), *parameters.shape))[near].T
        self.tree = KDTree(self.coords)

    def energies(self, frac_coords: np.ndarray, axes: np.ndarray) -> np.ndarray:
        """Lennard-Jones energy of each placement in K, infinite where a site clashes; shape (n,)."""
        centres = frac_coords @ self.lattice
        free = np.arange(len(centres))
        for place in (0.0, BOND, -BOND):
            distance = self.tree.query(centres[free] + place * axes[free], distance_upper_bound=CLASH)[0]
            free = free[distance > CLASH]
        found = np.full(len(centres), np.inf)
        bins = np.floor(centres[free] / BIN).astype(int)
        order = np.lexsort(bins.T)
        edges = np.flatnonzero(np.diff(bins[order], axis=0).any(axis=1)) + 1
        for group in np.split(free[order], edges) if len(free) else []:
            found[group] = self._group_energies(centres[group], axes[group])
        return found

    def _group_energies(self, centres: np.ndarray, axes: np.ndarray) -> np.ndarray:
        """Energies of placements near each other."""
        middle = (centres.min(axis=0) + centres.max(axis=0)) / 2
        radius = np.linalg.norm(centres - middle, axis=1).max() + BOND + CUTOFF
        near = self.tree.query_ball_point(middle, radius)
        atoms = (self.coords[near] - middle).astype(np.float32)
        energies = np.zeros(len(centres))
        for _, epsilon, sigma, _, place in GUEST:
            depth = (4 * np.sqrt(self.epsilon[near] * epsilon)).astype(np.float32)
            squares = (((self.sigma[near] + sigma) / 2) ** 2).astype(np.float32)
            sites = (centres - middle + place * axes).astype(np.float32)
            for start in range(0, len(sites), CHUNK):
                part = sites[start : start + CHUNK]
                distances = (part**2).sum(axis=1)[:, None] + (atoms**2).sum(axis=1) - 2 * part @ atoms.T
                ratios = squares / np.maximum(distances, 0.5)
                powers = ratios * ratios * ratios
                terms = (powers * powers - powers) * (distances < CUTOFF**2)
                energies[start : start + CHUNK] += terms @ depth
        return energies


def guest_energies(
    centre: np.ndarray, axis: np.ndarray, centres: np.ndarray, axes: np.ndarray, box: np.ndarray
) -> np.ndarray:
    """Energy between a molecule and each of others in K: three Lennard-Jones sites, three charges, cut at 12 A.

    Args:
        centre, centres: fractional in the box, shapes (..., 3) and (..., n, 3). axis, axes: unit vectors, alike.
        box: rows in A, twice the cutoff wide.

    Returns:
        shape (..., n). Charges are cut by whole molecules (between carbons), so that no molecule is half there.
    """
    difference = centres - centre[..., None, :]
    between = (difference - np.round(difference)) @ box
    axis = axis[..., None, :]
    apart = (between**2).sum(axis=-1)
    along, other_along, both = (between * axis).sum(-1), (between * axes).sum(-1), (axes * axis).sum(-1)
    places, other_places, depths, diameters, charges = (each.reshape(9, *(1,) * apart.ndim) for each in _PAIRS)
    squares = apart + (places**2 + other_places**2)
    squares = squares + 2 * (other_places * other_along - places * along - (places * other_places) * both)
    squares = np.maximum(squares, 0.5)
    ratios = diameters**2 / squares
    powers = ratios * ratios * ratios
    energies = depths * (powers * powers - powers) * (squares < CUTOFF**2)
    return energies.sum(axis=0) + (charges / np.sqrt(squares)).sum(axis=0) * (apart < CUTOFF**2)


def _pairs() -> tuple[np.ndarray, ...]:
    """Of the nine pairs of sites: both places, four times epsilon, sigma, charges in K A; shape (9,) each."""
    _, epsilon, sigma, charge, place = (np.array(each) for each in zip(*GUEST, strict=True))
    one, other = np.repeat(np.arange(3), 3), np.tile(np.arange(3), 3)
    return (
        place[one],
        place[other],
        4 * np.sqrt(epsilon[one] * epsilon[other]),
        (sigma[one] + sigma[other]) / 2,
        COULOMB * charge[one] * charge[other],
    )


_PAIRS = _pairs()


@dataclass(frozen=True)
class Loading:
    """Molecules in the box at one pressure.

    Args:
        mean: mean number. error: its standard error over the chains. variance: of the number.
        accepted: share of moves accepted. exchanges: accepted moves of a chain for each molecule, in the average.
    """

    mean: float
    error: float
    variance: float
    accepted: float
    exchanges: float


def simulate(
    pool: Pool, pressure: float, n_chains: int | None = None, seed: int = 0, interacting: bool = True
) -> Loading:
    """Grand-canonical insertions and deletions at a pressure in Pa.

    Each step every chain tries to insert a placement of the pool, drawn by weight, into a random unit cell of the box,
    or to delete one of its molecules. `interacting=False` leaves out the energy between molecules. There are 24 to 96
    chains, more where molecules are few, unless `n_chains` says how many.
    """
    rng = np.random.default_rng(seed)
    repeats = replicas(pool.lattice)
    box = pool.lattice * repeats[:, None]
    volume = float(np.linalg.det(box)) * 1e-30
    activity = pressure / (BOLTZMANN * TEMPERATURE) * volume * pool.mean_weight  # mean number without interaction
    if activity < 1e-12:
        return Loading(0.0, 0.0, 0.0, 0.0, np.inf)
    if n_chains is None:
        n_chains = int(np.clip(1500 / activity, 24, 96))
    cumulative = np.cumsum(pool.weights) / pool.weights.sum()
    chains = np.arange(n_chains)
    numbers = np.zeros(n_chains, dtype=int)
    centres, axes = np.zeros((n_chains, 8, 3)), np.zeros((n_chains, 8, 3))
    total, squares = np.zeros(n_chains), np.zeros(n_chains)
    exchanged, step, settled = 0.0, 0, 0
    while True:
        if numbers.max() + 1 >= centres.shape[1]:
            centres, axes = (np.concatenate([each, np.zeros_like(each)], axis=1) for each in (centres, axes))
        width = int(numbers.max()) + 1
        inserts = rng.random(n_chains) < 0.5
        drawn = np.searchsorted(cumulative, rng.random(n_chains) * cumulative[-1]).clip(max=len(cumulative) - 1)
        slots = np.where(inserts, numbers, (rng.random(n_chains) * numbers).astype(int))
        cells = rng.integers(0, repeats, size=(n_chains, 3))
        centre = np.where(inserts[:, None], (pool.frac_coords[drawn] + cells) / repeats, centres[chains, slots])
        axis = np.where(inserts[:, None], pool.axes[drawn], axes[chains, slots])
        energy = np.zeros(n_chains)
        if interacting:
            others = (np.arange(width) < numbers[:, None]) & (np.arange(width) != slots[:, None])
            energies = guest_energies(centre, axis, centres[:, :width], axes[:, :width], box)
            energy = np.where(others, energies, 0).sum(axis=1)
        with np.errstate(over="ignore", divide="ignore"):
            growth = activity / (numbers + inserts) * np.exp(-energy / TEMPERATURE)
            chance = np.where(inserts, growth, np.where(numbers > 0, 1 / growth, 0))
        accepted = rng.random(n_chains) < chance
        came, went = np.flatnonzero(accepted & inserts), np.flatnonzero(accepted & ~inserts)
        centres[came, slots[came]], axes[came, slots[came]] = centre[came], axis[came]
        for each in (centres, axes):
            each[went, slots[went]] = each[went, numbers[went] - 1]
        numbers[came] += 1
        numbers[went] -= 1
        step += 1
        exchanged += accepted.mean()
        if settled:
            total, squares = total + numbers, squares + numbers**2
            if (step - settled >= MIN_STEPS and exchanged > PRODUCTION * numbers.mean()) or step >= MAX_STEPS:
                break
        elif (step >= MIN_STEPS // 2 and exchanged > SETTLING * numbers.mean()) or step >= MAX_STEPS // 3:
            exchanged, settled = 0.0, step
    n = step - settled
    means = total / n
    spread = float(squares.sum() / n / n_chains - means.mean() ** 2)
    return Loading(
        float(means.mean()),
        float(means.std(ddof=1) / np.sqrt(n_chains)),
        spread,
        exchanged / n,
        exchanged / max(means.mean(), 1),
    )
