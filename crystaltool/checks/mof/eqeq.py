"""Charges by extended charge equilibration (EQeq): Wilmer, Kim and Snurr, J. Phys. Chem. Lett. 2012, 3, 2506.

The energy of every atom is expanded about its charge centre c from measured ionisation energies I: hardness
J = I(c+1) - I(c), electronegativity chi = (I(c+1) + I(c)) / 2 - c J. Atoms interact by a Coulomb term screened by an
effective dielectric constant of 1.67, damped where orbitals overlap. Equal electronegativity of all atoms and a neutral
cell make one system of linear equations. The lattice sums are Ewald's, here converged. Where atoms lie far too close,
the energy is no longer bounded from below: the equations have a solution then, but it is no minimum and means nothing.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_factor, cho_solve, eigh
from scipy.special import erfc

from crystaltool.arrays import Float, Int
from crystaltool.checks.mof.elements import CHARGE_CENTRE, LOWER_ENERGY, UPPER_ENERGY
from crystaltool.checks.mof.eqeq_large import IndefiniteError, conjugate_gradients, primitive, product_with
from crystaltool.crystal import Crystal
from crystaltool.errors import InputError
from crystaltool.mof.perception import neighbours
from crystaltool.units import SYMBOLS

COULOMB = 14.399645
"""e^2 / (4 pi epsilon_0) in eV Angstrom."""

SCREENING = 1.2 / 2
"""lambda / 2 of the paper: 1 / 1.67, the inverse of its effective dielectric constant."""

HYDROGEN_IONISATION, HYDROGEN_AFFINITY = 13.598, -2.0
"""eV; the affinity of hydrogen is the paper's one fitted number."""

EWALD_ERROR = 1e-5
"""Ewald sums are cut where their terms are this small, in 1/Angstrom: charges move by less than 1e-4 e."""

REAL_TO_WAVE_COST = 2048.0
"""Sets the balance of pairs in real space and waves: measured, for time and for memory at 2,000 atoms."""

OVERLAP_CUTOFF = 7.0
"""Angstrom: beyond it exp(-(a R)^2) is under 1e-6 for the softest atoms (J = 8 eV, a = 0.56 per Angstrom)."""


DENSE_ATOMS = 3000
"""More atoms are not put into one dense system of equations: half a gigabyte and five seconds here."""

MAX_ATOMS = 12_000
"""Atoms of a primitive cell; more take over a gigabyte and minutes."""

LARGE_EWALD_ERROR = 1e-4
"""`EWALD_ERROR` of cells that are not dense: charges move by less than 1e-3 e."""

NAMED_SHARE = 0.5
"""Atoms on which charges run away: those with at least this share of the largest charge of the mode that falls."""


class NoChargesError(InputError):
    """The energy as a function of the charges has no minimum. `atoms`: those whose charges run away, worst first."""

    def __init__(self, message: str, atoms: tuple[int, ...] = ()) -> None:
        super().__init__(message)
        self.atoms = atoms


def atom_parameters(numbers: Int[np.ndarray, " n"]) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Electronegativity and hardness of atoms in eV and eV / e.

    Raises:
        InputError: an element without ionisation energies.
    """
    unknown = np.isnan(LOWER_ENERGY[numbers]) | np.isnan(UPPER_ENERGY[numbers])
    if unknown.any():
        raise InputError(f"no ionisation energies of {SYMBOLS[int(numbers[np.argmax(unknown)])]}")
    lower, upper = LOWER_ENERGY[numbers].copy(), UPPER_ENERGY[numbers].copy()
    lower[numbers == 1], upper[numbers == 1] = HYDROGEN_AFFINITY, HYDROGEN_IONISATION
    hardness = upper - lower
    return (upper + lower) / 2 - CHARGE_CENTRE[numbers] * hardness, hardness


def eqeq_charges(crystal: Crystal, total_charge: float = 0.0) -> Float[np.ndarray, " n"]:
    """Partial charges of the atoms in e.

    Args:
        crystal: every atom of the cell; of more than 3,000 the primitive cell is solved by iteration.
        total_charge: of the cell, in e.

    Raises:
        InputError: an element without ionisation energies, or more than 12,000 atoms in the primitive cell.
        NoChargesError: the energy has no minimum.
    """
    n = crystal.n_atoms
    if n > DENSE_ATOMS:
        small, place = primitive(crystal)
        share = total_charge * small.n_atoms / n
        try:
            charges = eqeq_charges(small, share) if small.n_atoms <= DENSE_ATOMS else _iterated(small, share)
        except NoChargesError as error:
            first = tuple(int(np.argmax(place == atom)) for atom in error.atoms)
            raise NoChargesError(str(error), first) from None
        return charges[place]
    electronegativity, hardness = atom_parameters(crystal.numbers)
    try:
        factors = cho_factor(_matrix(crystal, hardness), lower=True, overwrite_a=True, check_finite=False)
    except (np.linalg.LinAlgError, ValueError):
        _, modes = eigh(_matrix(crystal, hardness), subset_by_index=[0, 0], check_finite=False)
        raise NoChargesError(TOO_CLOSE, _worst(modes[:, 0])) from None
    free, common = cho_solve(factors, np.column_stack([-electronegativity, np.ones(n)]), check_finite=False).T
    return free + (total_charge - free.sum()) / common.sum() * common


def _matrix(crystal: Crystal, hardness: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n n"]:
    """The equations' matrix in eV / e^2, a constant added to every entry that makes it positive definite in general."""
    with np.errstate(divide="ignore", invalid="ignore"):  # 1 / R of atoms in one place
        matrix = ewald_matrix(crystal) + overlap_matrix(crystal, hardness)
    bad = ~np.isfinite(matrix).all(axis=1)
    if bad.any():
        raise NoChargesError("charges run away: atoms lie in one place", tuple(np.flatnonzero(bad).tolist()))
    matrix *= SCREENING * COULOMB
    n = crystal.n_atoms
    matrix[np.arange(n), np.arange(n)] += hardness
    matrix += float(np.abs(matrix).max())  # a charge of the whole cell is fixed: what it costs does not matter
    return matrix


TOO_CLOSE = "charges run away: atoms lie too close to each other"


def _iterated(crystal: Crystal, total_charge: float) -> Float[np.ndarray, " n"]:
    """`eqeq_charges` without the matrix."""
    if crystal.n_atoms > MAX_ATOMS:
        raise InputError(f"{crystal.n_atoms} atoms in the primitive cell, at most {MAX_ATOMS}")
    electronegativity, hardness = atom_parameters(crystal.numbers)

    def overlap(first: np.ndarray, second: np.ndarray, distances: np.ndarray) -> np.ndarray:
        return overlap_terms(hardness[first], hardness[second], distances)

    decades = float(np.sqrt(-np.log(LARGE_EWALD_ERROR)))
    product = product_with(crystal, hardness, SCREENING * COULOMB, overlap, decades, _waves)
    right = np.column_stack([-electronegativity, np.ones(crystal.n_atoms)])
    try:
        free, common = conjugate_gradients(product, right, hardness, float(hardness.max())).T
    except IndefiniteError as error:
        raise NoChargesError(TOO_CLOSE, _worst(error.mode)) from None
    return free + (total_charge - free.sum()) / common.sum() * common


def _worst(mode: Float[np.ndarray, " n"]) -> tuple[int, ...]:
    sizes = np.abs(mode)
    order = np.argsort(-sizes, kind="stable")
    return tuple(order[sizes[order] >= NAMED_SHARE * sizes.max()].tolist())


def ewald_matrix(crystal: Crystal) -> Float[np.ndarray, "n n"]:
    """Sums of 1 / R over all images, for each pair of atoms, with a neutralising background; in 1 / Angstrom.

    Entry i, i is that of an atom with its own images. Source: Ewald, Ann. Phys. 1921, 369, 253.
    """
    n, volume = crystal.n_atoms, crystal.volume
    decades = np.sqrt(-np.log(EWALD_ERROR))
    # pairs in real space go as 1 / (alpha^3 volume), waves as alpha^3 volume
    alpha = np.sqrt(np.pi) * (REAL_TO_WAVE_COST / volume**2) ** (1 / 6)
    cutoff = decades / alpha
    matrix = np.zeros((n, n))
    first, second, _, distances = neighbours(crystal, cutoff)
    np.add.at(matrix, (first, second), erfc(alpha * distances) / distances)
    matrix += matrix.T.copy()  # an atom and its own image stand once for the pair +t, -t: this adds the other
    waves = _waves(crystal.lattice, 2 * alpha * decades)
    squares = (waves**2).sum(axis=1)
    weights = 8 * np.pi / volume * np.exp(-squares / (4 * alpha**2)) / squares  # half of the waves, twice the weight
    phases = crystal.cart_coords @ waves.T
    for wave in (np.cos(phases), np.sin(phases)):
        matrix += (wave * weights) @ wave.T
    matrix -= np.pi / (alpha**2 * volume)
    matrix[np.arange(n), np.arange(n)] -= 2 * alpha / np.sqrt(np.pi)
    return matrix


def _waves(lattice: Float[np.ndarray, "3 3"], longest: float) -> Float[np.ndarray, "m 3"]:
    """Reciprocal lattice vectors up to a length (1 / Angstrom, 2 pi included), one of each pair k, -k, without zero."""
    reciprocal = 2 * np.pi * np.linalg.inv(lattice).T
    reach = np.floor(longest * np.linalg.norm(lattice, axis=1) / (2 * np.pi)).astype(int)
    grid = np.stack(np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij"), axis=-1).reshape(-1, 3)
    grid = grid[len(grid) // 2 + 1 :]  # sorted by index: those before the middle, zero, are the opposites
    waves = grid @ reciprocal
    return waves[np.linalg.norm(waves, axis=1) <= longest]


def overlap_matrix(crystal: Crystal, hardness: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n n"]:
    """What orbital overlap takes from 1 / R, in 1 / Angstrom: exp(-(a R)^2) (2 a - a^2 R - 1 / R).

    Equation 14 of the paper, a = sqrt(J_i J_j) / k; at R = 0 the sum with 1 / R is 2 a.
    """
    first, second, _, distances = neighbours(crystal, OVERLAP_CUTOFF)
    terms = overlap_terms(hardness[first], hardness[second], distances)
    matrix = np.zeros((crystal.n_atoms, crystal.n_atoms))
    np.add.at(matrix, (first, second), terms)
    return matrix + matrix.T


def overlap_terms(
    first: Float[np.ndarray, " m"], second: Float[np.ndarray, " m"], distances: Float[np.ndarray, " m"]
) -> Float[np.ndarray, " m"]:
    """Equation 14 of pairs of atoms of these hardnesses (eV / e^2) at these distances (Angstrom)."""
    a = np.sqrt(np.maximum(first * second, 0.0)) / COULOMB
    return np.exp(-((a * distances) ** 2)) * (2 * a - a**2 * distances - 1 / distances)
