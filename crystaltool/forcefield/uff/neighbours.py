"""Pairs of atoms for the van der Waals sum, over as many images as the cutoff reaches, kept while atoms move little."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from crystaltool.arrays import Float, Int

_SPAN = 128
"""Images a pair may reach over, twice, in the integer that stands for it."""


@dataclass(frozen=True)
class Pairs:
    """Pairs within cutoff + skin, each once, of all structures of a batch in order.

    Args:
        first: atom of the batch; shape (n_pairs,).
        second: its partner; shape (n_pairs,).
        images: image of the partner as numbers, component by component; shape (3, n_pairs).
        crystals: structure of the pair; shape (n_pairs,).
        repulsion: D x^12, eV A^12; shape (n_pairs,).
        attraction: 2 D x^6, eV A^6; shape (n_pairs,).
        distances: x, A; shape (n_pairs,).
        cart_coords: where the atoms were, A; shape (n_atoms, 3).
        lattices: the cells then; shape (n_crystals, 3, 3).
    """

    first: torch.Tensor
    second: torch.Tensor
    images: torch.Tensor
    crystals: torch.Tensor
    repulsion: torch.Tensor
    attraction: torch.Tensor
    distances: torch.Tensor
    cart_coords: torch.Tensor
    lattices: torch.Tensor


def pair_keys(
    first: Int[torch.Tensor, " n"], second: Int[torch.Tensor, " n"], images: Int[torch.Tensor, "n 3"], n_atoms: int
) -> Int[torch.Tensor, " n"]:
    """One integer for each pair of atoms with its image."""
    shifted = images + _SPAN // 2
    code = (shifted[:, 0] * _SPAN + shifted[:, 1]) * _SPAN + shifted[:, 2]
    return (first * n_atoms + second) * _SPAN**3 + code


def near_pairs(
    cart_coords: Float[torch.Tensor, "n 3"], lattice: Float[torch.Tensor, "3 3"], cutoff: float
) -> tuple[Int[torch.Tensor, " p"], Int[torch.Tensor, " p"], Int[torch.Tensor, "p 3"]]:
    """All pairs within the cutoff (A), each once, images for the coordinates as given.

    Every pair of atoms in every image that may be near enough: a MOF has few atoms and a wide cell, where this is
    faster than a tree.
    """
    device = cart_coords.device
    inverse = torch.linalg.inv(lattice)
    frac = cart_coords @ inverse
    cells = frac.floor()
    wrapped = (frac - cells) @ lattice
    cells = cells.long()
    reach = (cutoff * inverse.norm(dim=0)).ceil().long().tolist()
    squares = (wrapped**2).sum(dim=1)
    products = -2 * wrapped @ wrapped.T + squares[:, None] + squares
    firsts, seconds, images = [], [], []
    for a in range(reach[0] + 1):
        for b in range(-reach[1] if a else 0, reach[1] + 1):
            for c in range(-reach[2] if a or b else 0, reach[2] + 1):
                shift = a * lattice[0] + b * lattice[1] + c * lattice[2]
                along = wrapped @ shift
                # |x_j + t - x_i|^2 = |x_j - x_i|^2 + 2 t.(x_j - x_i) + t^2
                square = products + 2 * (along - along[:, None]) + shift @ shift
                near = square < cutoff**2
                if not (a or b or c):
                    near = near.triu(1)
                i, j = near.nonzero(as_tuple=True)
                if len(i):
                    firsts.append(i)
                    seconds.append(j)
                    images.append(torch.tensor([[a, b, c]], device=device).expand(len(i), 3))
    if not firsts:
        empty = torch.zeros(0, dtype=torch.long, device=device)
        return empty, empty, torch.zeros((0, 3), dtype=torch.long, device=device)
    first, second = torch.cat(firsts), torch.cat(seconds)
    return first, second, torch.cat(images) + cells[first] - cells[second]


def moved_too_far(pairs: Pairs, cart_coords, lattices, atom_to_crystal, cutoff: float, skin: float) -> bool:
    """Whether a pair outside of cutoff + skin may have come within the cutoff."""
    if pairs.cart_coords is cart_coords and pairs.lattices is lattices:
        return False
    deformation = torch.linalg.solve(pairs.lattices, lattices)
    carried = torch.einsum("nx,nxy->ny", pairs.cart_coords, deformation[atom_to_crystal])
    moved = (cart_coords - carried).norm(dim=1).max()
    strain = torch.linalg.matrix_norm(deformation - torch.eye(3).to(deformation), dim=(1, 2)).max()
    return bool(2 * moved + (cutoff + skin) * strain > skin)
