"""A positive model of the Hessian in positions and strain, and steps scaled by it.

The model is a sum over terms, each positive, so a Cholesky factor always exists; stiff bonds and soft hinges, and the
cell with the positions it carries along, are then all scaled alike. Dense and in float32: a MOF has some hundred atoms.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from crystaltool.arrays import Float
from crystaltool.forcefield.uff import terms
from crystaltool.forcefield.uff.neighbours import Pairs
from crystaltool.forcefield.uff.system import System

POSITION_FLOOR = 0.03
"""eV/A^2 added for every atom: translations have no stiffness, and rotors hardly any."""

STRAIN_FLOOR = 0.02
"""eV/A^3 (3 GPa) times the volume added for the strain: a framework's bulk modulus is of that order."""

N_STRAINS = 6
_ROOT_HALF = 0.5**0.5
_STRAINS = torch.tensor(
    [
        [[1, 0, 0], [0, 0, 0], [0, 0, 0]],
        [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
        [[0, 0, 0], [0, 0, 0], [0, 0, 1]],
        [[0, 0, 0], [0, 0, _ROOT_HALF], [0, _ROOT_HALF, 0]],
        [[0, 0, _ROOT_HALF], [0, 0, 0], [_ROOT_HALF, 0, 0]],
        [[0, _ROOT_HALF, 0], [_ROOT_HALF, 0, 0], [0, 0, 0]],
    ],
    dtype=torch.float64,
)
"""Orthonormal basis of the symmetric strains; shape (6, 3, 3)."""


def strain_components(matrices: Float[torch.Tensor, "b 3 3"]) -> Float[torch.Tensor, "b 6"]:
    """Components of symmetric matrices in the basis of strains."""
    return torch.einsum("kxy,bxy->bk", _STRAINS.to(matrices.device), matrices)


def strain_matrices(components: Float[torch.Tensor, "b 6"]) -> Float[torch.Tensor, "b 3 3"]:
    """Symmetric matrices of components in the basis of strains."""
    return torch.einsum("kxy,bk->bxy", _STRAINS.to(components.device), components)


class Layout:
    """Where atoms and strains of each structure stand in rows of equal length: 3 a atom, then 6 strains.

    A short structure's row has empty places before its strains.
    """

    def __init__(self, system: System) -> None:
        self.system = system
        self.n_slots = max(system.n_atoms_each)
        self.width = 3 * self.n_slots + N_STRAINS
        starts = torch.as_tensor(system.starts[:-1], device=system.device)
        atoms = torch.arange(system.n_atoms, device=system.device)
        self.places = atoms - starts[system.atom_to_crystal]
        self.slots = system.atom_to_crystal * self.n_slots + self.places

    def rows(
        self, by_atom: Float[torch.Tensor, "n 3"], by_strain: Float[torch.Tensor, "b 6"]
    ) -> Float[torch.Tensor, "b width"]:
        """Vectors on atoms and strains as rows."""
        padded = by_atom.new_zeros(self.system.n_crystals * self.n_slots, 3)
        padded[self.slots] = by_atom
        return torch.cat([padded.view(self.system.n_crystals, -1), by_strain], dim=1)

    def split(
        self, rows: Float[torch.Tensor, "b width"]
    ) -> tuple[Float[torch.Tensor, "n 3"], Float[torch.Tensor, "b 6"]]:
        """The inverse of `rows`."""
        by_atom = rows[:, :-N_STRAINS].reshape(-1, 3)[self.slots]
        return by_atom, rows[:, -N_STRAINS:]


@dataclass(frozen=True)
class _Squares:
    """Terms of the model, each weight (dq/du)(dq/du)^T with u the coordinates of its atoms and the strain.

    Args:
        atoms: from and to of each vector; shape (n, m, 2).
        vectors: A; shape (n, m, 3).
        gradient: of q by the vectors; shape (n, m, 3).
        weight: shape (n,).
        crystals: shape (n,).
    """

    atoms: torch.Tensor
    vectors: torch.Tensor
    gradient: torch.Tensor
    weight: torch.Tensor
    crystals: torch.Tensor


def model_factor(
    layout: Layout, cart_coords: torch.Tensor, lattices: torch.Tensor, pairs: Pairs, free_cell: bool
) -> Float[torch.Tensor, "b width width"]:
    """Cholesky factor of the model Hessian, float32; with a fixed cell strains and positions are not coupled."""
    system = layout.system
    hessian = torch.zeros(system.n_crystals * layout.width**2, dtype=torch.float32, device=system.device)
    for squares in _bonded(system, system.bond_vectors(cart_coords, lattices)):
        _add(hessian, layout, squares, free_cell)
    _add(hessian, layout, _contacts(system, cart_coords, lattices, pairs), free_cell)
    hessian = hessian.view(system.n_crystals, layout.width, layout.width)
    floor = torch.full((system.n_crystals, layout.width), POSITION_FLOOR, device=system.device)
    floor[:, -N_STRAINS:] = (STRAIN_FLOOR * torch.linalg.det(lattices).abs())[:, None].float()
    hessian.diagonal(dim1=1, dim2=2).add_(floor)
    return torch.linalg.cholesky(hessian)


def _bonded(system: System, vectors: torch.Tensor) -> Iterator[_Squares]:
    """Bonds, angles, torsions, inversions, and what straightens angles near 180 degrees."""
    bond, angle, torsion, inversion = system.bonded_values(vectors)
    turned = system.turned(vectors, system.angle_bonds, system.angle_signs)
    straight = terms.straightening(turned) * system.angle_signs[:, :, None, None]
    every = torch.arange(len(vectors), device=system.device)[:, None]
    rows = [
        (every, bond.gradient, bond.curvature),
        (system.angle_bonds, angle.gradient, angle.curvature),
        (system.torsion_bonds, torsion.gradient, torsion.curvature),
        (system.inversion_bonds, inversion.gradient, inversion.curvature),
        *((system.angle_bonds, straight[:, :, axis], angle.slope) for axis in range(3)),
    ]
    for bonds, gradient, weight in rows:
        keep = weight > 1e-4
        chosen = bonds[keep]
        crystals = system.bond_to_crystal[chosen[:, 0]]
        yield _Squares(system.bond_atoms[chosen], vectors[chosen], gradient[keep], weight[keep], crystals)


def _contacts(system: System, cart_coords: torch.Tensor, lattices: torch.Tensor, pairs: Pairs) -> _Squares:
    """Van der Waals pairs near enough to resist."""
    components, square = system.pair_components(cart_coords, lattices, pairs)
    near = (square < (1.1 * pairs.distances) ** 2).nonzero()[:, 0]
    vectors, square = components[:, near].T, square[near]
    edge = torch.maximum(square, (max(system.van_der_waals.core, 0.5) * pairs.distances[near]) ** 2)
    inverse = edge.reciprocal()
    sixth = inverse**3
    curvature = (156 * pairs.repulsion[near] * sixth * sixth - 42 * pairs.attraction[near] * sixth) * inverse
    keep = curvature > 1e-3
    near, vectors, curvature, square = near[keep], vectors[keep], curvature[keep], square[keep]
    gradient = vectors / square.sqrt().clamp_min(terms.TINY)[:, None]
    atoms = torch.stack([pairs.first[near], pairs.second[near]], dim=1)[:, None]
    return _Squares(atoms, vectors[:, None], gradient[:, None], curvature, pairs.crystals[near])


def _add(hessian: torch.Tensor, layout: Layout, squares: _Squares, free_cell: bool) -> None:
    """Add the squares to the Hessians of all structures, flat; the strain takes part if the cell is free."""
    n, device = len(squares.weight), hessian.device
    if n == 0:
        return
    gradient = squares.gradient
    places = layout.places[squares.atoms] * 3
    index = (places[..., None] + torch.arange(3, device=device)).reshape(n, -1)
    factor = (gradient[:, :, None, :] * torch.tensor([-1.0, 1.0], device=device).to(gradient)[:, None]).reshape(n, -1)
    if free_cell:
        by_strain = torch.einsum("kxy,nmx,nmy->nk", _STRAINS.to(device), squares.vectors, gradient)
        strains = torch.arange(layout.width - N_STRAINS, layout.width, device=device).expand(n, -1)
        index, factor = torch.cat([index, strains], dim=1), torch.cat([factor, by_strain], dim=1)
    factor = (factor * squares.weight.sqrt()[:, None]).float()
    flat = (squares.crystals * layout.width**2)[:, None, None] + index[:, :, None] * layout.width + index[:, None, :]
    hessian.index_add_(0, flat.reshape(-1), (factor[:, :, None] * factor[:, None, :]).reshape(-1))
