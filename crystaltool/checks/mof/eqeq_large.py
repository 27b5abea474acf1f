"""Charge equilibration of large cells: the primitive cell, and conjugate gradients on sums that are never a matrix.

The same equations as in `eqeq`. A dense matrix of 10,000 atoms takes 800 MB and a minute to factorise; here pairs in
real space are a sparse matrix and waves a table of phases, and each product with the charges costs milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.sparse import csr_array
from scipy.spatial import KDTree
from scipy.special import erfc

from crystaltool.arrays import Float, Int
from crystaltool.crystal import Crystal
from crystaltool.mof.perception import neighbours

SAME_PLACE = 0.01
"""Angstrom: atoms that a translation maps this near to another of their element are equal by it."""

PROBES = 20
"""Atoms that a translation must map before all are tried."""

PAIR_COST = 3.0
"""What an entry of the sparse matrix costs in time, in entries of the table of phases."""

MAX_PAIRS = 8e6
"""Entries of the sparse matrix at most, both ways: 200 MB."""

TOLERANCE = 1e-5
"""Residual of the linear equations, as a share of the right-hand side: charges move by less than 1e-4 e."""

MAX_STEPS = 400

Product = Callable[[Float[np.ndarray, "n k"]], Float[np.ndarray, "n k"]]


class IndefiniteError(ValueError):
    """The equations have no positive definite matrix. `mode`: charges along which the energy falls; shape (n,)."""

    def __init__(self, mode: Float[np.ndarray, " n"]) -> None:
        super().__init__("the matrix is not positive definite")
        self.mode = mode


def primitive(crystal: Crystal) -> tuple[Crystal, Int[np.ndarray, " n"]]:
    """A smallest cell that repeats, and for every atom of the given cell its atom there."""
    translations = _translations(crystal)
    if len(translations) == 0:
        return crystal, np.arange(crystal.n_atoms)
    images = np.concatenate([translations, np.eye(3)])
    images = (images[:, None] + _shifts()[None]).reshape(-1, 3)
    images = images[np.argsort(np.linalg.norm(images @ crystal.lattice, axis=1), kind="stable")]
    wanted = crystal.volume / (len(translations) + 1)
    lattice = _basis(images @ crystal.lattice, wanted)
    frac = crystal.cart_coords @ np.linalg.inv(lattice)
    frac -= np.floor(frac + 1e-6)
    small = Crystal(lattice, frac, crystal.numbers)
    first, second, _, _ = neighbours(small, 2 * SAME_PLACE)
    parent = np.arange(crystal.n_atoms)
    for i, j in zip(first.tolist(), second.tolist(), strict=True):
        a, b = sorted((int(parent[i]), int(parent[j])))
        parent[parent == b] = a
    kept, place = np.unique(parent, return_inverse=True)
    if len(kept) * (len(translations) + 1) != crystal.n_atoms:  # atoms on top of each other: leave the cell as it is
        return crystal, np.arange(crystal.n_atoms)
    return Crystal(lattice, frac[kept], crystal.numbers[kept], crystal.name), place


def _shifts() -> Float[np.ndarray, "27 3"]:
    return np.stack(np.meshgrid(*[[-1.0, 0.0, 1.0]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)


def _translations(crystal: Crystal) -> Float[np.ndarray, "m 3"]:
    """Fractional translations within the cell that map it onto itself, zero left out."""
    numbers = crystal.numbers
    counts = np.bincount(numbers)
    rare = np.flatnonzero(numbers == np.flatnonzero(counts == counts[counts > 0].min())[0])
    frac = crystal.frac_coords % 1.0
    # distances in a box of the cell's lengths: short vectors are what they are in space to within the cell's skewness
    lengths = np.linalg.norm(crystal.lattice, axis=1)
    tree = KDTree(frac * lengths % lengths, boxsize=lengths)
    found = []
    for atom in rare[1:].tolist():
        step = frac[atom] - frac[rare[0]]
        for atoms in (np.arange(min(PROBES, len(frac))), np.arange(len(frac))):
            moved = (frac[atoms] + step) * lengths % lengths
            distances, hit = tree.query(moved, distance_upper_bound=SAME_PLACE)
            if np.isinf(distances).any() or (numbers[hit] != numbers[atoms]).any():
                break
        else:
            found.append(step)
    return np.array(found).reshape(-1, 3)


def _basis(vectors: Float[np.ndarray, "m 3"], volume: float) -> Float[np.ndarray, "3 3"]:
    """Three of some lattice vectors, sorted by length, that span a cell of this volume; right-handed."""
    vectors = vectors[np.linalg.norm(vectors, axis=1) > 10 * SAME_PLACE][:200]
    first = vectors[0]
    crosses = np.cross(first, vectors)
    for j in range(1, len(vectors)):
        volumes = vectors @ crosses[j]
        good = np.flatnonzero(np.abs(np.abs(volumes) - volume) < 0.01 * volume)
        if len(good):
            third = vectors[good[0]]
            return np.array([first, vectors[j], third if volumes[good[0]] > 0 else -third])
    raise IndefiniteError(np.zeros(0))


def product_with(
    crystal: Crystal,
    self_terms: Float[np.ndarray, " n"],
    scale: float,
    overlap: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
    decades: float,
    waves_of: Callable[[np.ndarray, float], np.ndarray],
) -> Product:
    """What the matrix of the equations makes of charges.

    Args:
        crystal: every atom of the cell.
        self_terms: the hardness of every atom, in eV / e^2.
        scale: eV Angstrom / e^2.
        overlap: what is added to 1 / R between near atoms, of first atoms, second atoms and distances.
        decades: square root of minus the logarithm of the error of the sums.
        waves_of: reciprocal vectors of a lattice up to a length, one of each pair.
    """
    n, volume = crystal.n_atoms, crystal.volume
    density = n / volume
    cutoff = (8 * decades**6 * volume / (6 * np.pi**2) / (density * 4 / 3 * np.pi * PAIR_COST)) ** (1 / 6)
    cutoff = max(7.0, min(cutoff, (MAX_PAIRS / (n * density * 4 / 3 * np.pi)) ** (1 / 3)))
    alpha = decades / cutoff
    first, second, _, distances = neighbours(crystal, cutoff)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = erfc(alpha * distances) / distances + overlap(first, second, distances)
    pairs = csr_array((terms, (first, second)), shape=(n, n))
    pairs = (pairs + pairs.T).tocsr()
    waves = waves_of(crystal.lattice, 2 * alpha * decades)
    squares = (waves**2).sum(axis=1)
    weights = 8 * np.pi / volume * np.exp(-squares / (4 * alpha**2)) / squares
    phases = (crystal.cart_coords @ waves.T).astype(np.float32)
    table = np.concatenate([np.cos(phases), np.sin(phases)], axis=1)
    del phases
    both = np.concatenate([weights, weights])
    background, own = np.pi / (alpha**2 * volume), 2 * alpha / np.sqrt(np.pi)

    def product(charges: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
        sums = (table.T @ charges.astype(np.float32)).astype(float) * both[:, None]
        waved = (table @ sums.astype(np.float32)).astype(float)
        coulomb = pairs @ charges + waved - background * charges.sum(axis=0) - own * charges
        return scale * coulomb + self_terms[:, None] * charges

    return product


def conjugate_gradients(
    product: Product, right: Float[np.ndarray, "n k"], diagonal: Float[np.ndarray, " n"], shift: float
) -> Float[np.ndarray, "n k"]:
    """Solutions of (A + shift) x = b for several b, where the shift is added to every entry of A.

    The first right-hand sides are followed by a random one, whose Krylov space finds a direction of negative energy.

    Raises:
        IndefiniteError: such a direction was met.
    """
    noise = np.random.default_rng(0).normal(size=(len(right), 1))
    b = np.concatenate([right, noise * np.linalg.norm(right[:, :1]) / np.linalg.norm(noise)], axis=1)
    x, r = np.zeros_like(b), b.copy()
    z = r / diagonal[:, None]
    p, rz = z.copy(), (r * z).sum(axis=0)
    goal = TOLERANCE * np.linalg.norm(b, axis=0)
    for _ in range(MAX_STEPS):
        active = np.linalg.norm(r, axis=0) > goal
        if not active.any():
            break
        ap = product(p) + shift * p.sum(axis=0)
        energies = (p * ap).sum(axis=0)
        falling = active & ~(energies > 0)
        if falling.any():
            raise IndefiniteError(p[:, int(np.argmax(falling))])
        step = np.where(active, rz / np.where(active, energies, 1.0), 0.0)
        x += step * p
        r -= step * ap
        z = r / diagonal[:, None]
        rz, last = (r * z).sum(axis=0), rz
        p = z + rz / np.maximum(last, 1e-300) * p
    return x[:, : right.shape[1]]
