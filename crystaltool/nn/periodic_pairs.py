"""Distances between orbits in a periodic crystal, as the geometry denoiser sees them.

For a representative i and every atom of orbit j (all images within the cutoff) the distances are binned on radial basis
functions and summed: counts (scalars), unit vectors (what forces are made of) and their outer products (what stresses
are made of). The network itself then works on M x M pairs, however many atoms and images there are.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

MAX_IMAGES = 4
"""Cells up each way that a neighbour may lie; a cell thinner than cutoff / 4.5 loses its farthest shells."""


@dataclass(frozen=True)
class OrbitPairs:
    """Sums over the neighbours of representative i that belong to orbit j, N radial functions.

    Args:
        counts: shape (B, M, M, N).
        vectors: sums of unit vectors from i to the neighbour, Cartesian; shape (B, M, M, N, 3).
        tensors: sums of their outer products (xx, yy, zz, xy, xz, yz); shape (B, M, M, N, 6).
    """

    counts: Tensor
    vectors: Tensor
    tensors: Tensor

    @classmethod
    def of(cls, sums: Tensor) -> OrbitPairs:
        """From sums of `_angular` (B, M, M, N, 10)."""
        return cls(sums[..., 0], sums[..., 1:4], sums[..., 4:])


def radial_basis(distance: Tensor, cutoff: float | Tensor, n_functions: int, end: float | None = None) -> Tensor:
    """Gaussians on an even grid from 0 to `end` (the cutoff) times a cosine cutoff; shape (..., n_functions).

    The cutoff may be that of each distance; `end` is then the largest that it can be.
    """
    end = float(cutoff) if end is None else end
    centres = torch.linspace(0.0, end, n_functions, device=distance.device, dtype=distance.dtype)
    width = end / (n_functions - 1)
    envelope = 0.5 * (torch.cos(torch.pi * distance / cutoff) + 1.0)
    return torch.exp(-0.5 * ((distance[..., None] - centres) / width) ** 2) * envelope[..., None]


@dataclass(frozen=True)
class Orbits:
    """Orbits of a batch of crystals, as their atoms.

    Args:
        representatives: fractional coordinates of the representatives; shape (B, M, 3).
        mask: shape (B, M).
        atoms: fractional coordinates of all atoms, orbit by orbit, each orbit's representative first; (A, 3).
        atom_slot: flat slot b M + m of each atom, ascending; shape (A,).
    """

    representatives: Tensor
    mask: Tensor
    atoms: Tensor
    atom_slot: Tensor


@torch.no_grad()
def orbit_pairs(lattice: Tensor, orbits: Orbits, cutoff: float, n_functions: int) -> OrbitPairs:
    """Pair sums of a batch.

    Args:
        lattice: rows in Angstrom; shape (B, 3, 3).
        orbits: of each crystal.
        cutoff: Angstrom. n_functions: number of radial functions.
    """
    mask, atom_slot = orbits.mask, orbits.atom_slot
    n, m = mask.shape
    left, right = _pairs_within_crystals(mask, atom_slot // m)
    crystal = left // m
    difference = orbits.atoms[right] - orbits.representatives.reshape(-1, 3)[left]
    difference = difference - difference.round()
    first = torch.ones_like(atom_slot, dtype=torch.bool)
    first[1:] = atom_slot[1:] != atom_slot[:-1]
    itself = first[right] & (atom_slot[right] == left)
    heights = 1.0 / torch.linalg.inv(lattice).norm(dim=1)
    reach = (cutoff / heights + 0.5).floor().clamp(max=MAX_IMAGES).long()
    kinds, kind = torch.unique(reach, dim=0, return_inverse=True)
    pair_kind = kind[crystal]
    rows, vectors = [], []
    for index, (na, nb, nc) in enumerate(kinds.tolist()):
        chosen = (pair_kind == index).nonzero()[:, 0]
        shifts = torch.cartesian_prod(*(torch.arange(-x, x + 1, device=lattice.device) for x in (na, nb, nc)))
        moved = (difference[chosen][:, None] + shifts.to(lattice.dtype)) @ lattice[crystal[chosen]]
        near = moved.square().sum(-1) < cutoff**2
        near[:, len(shifts) // 2] &= ~itself[chosen]
        pair, image = near.nonzero(as_tuple=True)
        rows.append(chosen[pair])
        vectors.append(moved[pair, image])
    row, vector = torch.cat(rows), torch.cat(vectors)
    distance, angular = _angular(vector)
    basis = radial_basis(distance, cutoff, n_functions)
    terms = (basis[:, :, None] * angular[:, None, :]).flatten(1)
    pair_id = left[row] * m + atom_slot[right[row]] % m
    sums = torch.zeros(n * m * m, terms.shape[1], device=terms.device, dtype=terms.dtype)
    sums = sums.index_add_(0, pair_id, terms).view(n, m, m, n_functions, 10)
    return OrbitPairs.of(sums)


@torch.no_grad()
def point_pairs(
    lattice: Tensor, centres: Tensor, mask: Tensor, cutoff: Tensor, n_functions: int, end: float
) -> OrbitPairs:
    """`orbit_pairs` where every slot holds one point: the same sums by one small matrix product a pair, in less memory.

    Args:
        lattice: rows in Angstrom; shape (B, 3, 3).
        centres: fractional coordinates; shape (B, M, 3).
        mask: shape (B, M).
        cutoff: of each crystal, Angstrom; shape (B,).
        n_functions: number of radial functions, on a grid from 0 to `end`, the largest that a cutoff can be.
    """
    n, m = mask.shape
    pairs = (mask[:, :, None] & mask[:, None, :]).reshape(-1).nonzero()[:, 0]
    crystal = pairs // (m * m)
    difference = (centres[:, None] - centres[:, :, None]).reshape(-1, 3)[pairs]
    difference = difference - difference.round()
    moved = (difference[:, None] @ lattice[crystal])[:, 0]
    itself = (pairs // m) % m == pairs % m
    heights = 1.0 / torch.linalg.inv(lattice).norm(dim=1)
    reach = (cutoff[:, None] / heights + 0.5).floor().clamp(max=MAX_IMAGES).long()
    kinds, kind = torch.unique(reach, dim=0, return_inverse=True)
    rows, vectors = [], []
    for index, (na, nb, nc) in enumerate(kinds.tolist()):
        chosen = (kind[crystal] == index).nonzero()[:, 0]
        shifts = torch.cartesian_prod(*(torch.arange(-x, x + 1, device=lattice.device) for x in (na, nb, nc)))
        images = moved[chosen][:, None] + (shifts.to(lattice.dtype) @ lattice)[crystal[chosen]]
        near = images.square().sum(-1) < cutoff[crystal[chosen], None] ** 2
        near[:, len(shifts) // 2] &= ~itself[chosen]
        pair, image = near.nonzero(as_tuple=True)
        rows.append(chosen[pair])
        vectors.append(images[pair, image])
    row, order = torch.sort(torch.cat(rows), stable=True)
    vector = torch.cat(vectors)[order]
    count = torch.bincount(row, minlength=len(pairs))
    most = max(int(count.max()), 1)  # no neighbour within the cutoff at all is a batch too
    place = row * most + torch.arange(len(row), device=mask.device) - (count.cumsum(0) - count)[row]
    distance, angular = _angular(vector)
    basis = radial_basis(distance, cutoff[crystal[row]], n_functions, end)
    padded = [
        values.new_zeros(len(pairs) * most, values.shape[1]).index_copy_(0, place, values).view(len(pairs), most, -1)
        for values in (basis, angular)
    ]
    sums = basis.new_zeros(n * m * m, n_functions, 10)
    sums[pairs] = padded[0].transpose(1, 2) @ padded[1]
    sums = sums.view(n, m, m, n_functions, 10)
    return OrbitPairs.of(sums)


def _angular(vector: Tensor) -> tuple[Tensor, Tensor]:
    """Lengths (n,) and what is summed over neighbours: 1, the unit vector and its outer product; (n, 10)."""
    distance = vector.norm(dim=1)
    unit = vector / (distance[:, None] + 1e-4)
    products = unit[:, [0, 0, 1]] * unit[:, [1, 2, 2]]
    return distance, torch.cat([torch.ones_like(unit[:, :1]), unit, unit.square(), products], dim=1)


def _pairs_within_crystals(mask: Tensor, atom_crystal: Tensor) -> tuple[Tensor, Tensor]:
    """All (flat slot, atom) pairs of one crystal; shapes (n_pairs,) each."""
    n, m = mask.shape
    slots = mask.reshape(-1).nonzero()[:, 0]
    n_atoms = torch.bincount(atom_crystal, minlength=n)
    first_atom = n_atoms.cumsum(0) - n_atoms
    count = n_atoms[slots // m]
    left = slots.repeat_interleave(count)
    start = count.cumsum(0) - count
    within = torch.arange(len(left), device=mask.device) - start.repeat_interleave(count)
    return left, first_atom[left // m] + within


@torch.no_grad()
def atom_pairs(lattice: Tensor, difference: Tensor, mask: Tensor, cutoff: float, n_functions: int) -> OrbitPairs:
    """Pair sums of single atoms over all images within a cutoff, without a loop over crystals or shapes of cells.

    Args:
        lattice: rows in Angstrom; shape (B, 3, 3).
        difference: fractional coordinates of b minus those of a; shape (B, N, N, 3).
        mask: where an atom is; shape (B, N).
        cutoff: Angstrom. n_functions: number of radial functions.
    """
    n, m = mask.shape
    device = mask.device
    heights = 1.0 / torch.linalg.inv(lattice).norm(dim=1)
    reach = (cutoff / heights + 0.5).floor().clamp(max=MAX_IMAGES).long()
    width = 2 * reach + 1
    n_images = width.prod(1)
    crystal = torch.arange(n, device=device).repeat_interleave(n_images)
    index = torch.arange(len(crystal), device=device) - (n_images.cumsum(0) - n_images)[crystal]
    _, second, third = width[crystal].unbind(1)
    place = torch.stack([index // (second * third), index // third % second, index % third], dim=1)
    cells = place - reach[crystal]
    shift = (cells.to(lattice.dtype)[:, None] @ lattice[crystal])[:, 0]
    wrapped = difference - difference.round()
    moved = (wrapped.flatten(1, 2) @ lattice).view(n, m, m, 3)
    # An image cell farther than the cutoff and the longest difference holds no neighbour.
    longest = moved.norm(dim=-1).flatten(1).amax(1)
    kept = (shift.norm(dim=1) < cutoff + longest[crystal]).nonzero()[:, 0]
    crystal, shift, home = crystal[kept], shift[kept], (cells[kept] == 0).all(1)
    present = mask[:, :, None] & mask[:, None, :]
    itself = torch.eye(m, dtype=torch.bool, device=device)
    near = (moved[crystal] + shift[:, None, None]).square().sum(-1) < cutoff**2
    near &= present[crystal] & ~(home[:, None, None] & itself)
    image, a, b = near.nonzero(as_tuple=True)
    pair = (crystal[image] * m + a) * m + b
    vector = moved[crystal[image], a, b] + shift[image]
    distance, angular = _angular(vector)
    basis = radial_basis(distance, cutoff, n_functions)
    terms = (basis[:, :, None] * angular[:, None, :]).flatten(1)
    sums = terms.new_zeros(n * m * m, terms.shape[1]).index_add_(0, pair, terms).view(n, m, m, n_functions, 10)
    return OrbitPairs.of(sums)
