"""Contacts: atoms of different blocks that come closer than atoms without a bond do.

Pairs up to three bonds apart over a connection (bond, angle, torsion) are left out: their distances follow from the
connection itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from crystaltool.arrays import Float, Int
from crystaltool.crystal import Crystal
from crystaltool.mof.assemble.problem import block_order
from crystaltool.mof.blocks import CoarseMOF
from crystaltool.mof.elements import COVALENT_RADIUS, METAL
from crystaltool.mof.perception import neighbours

CONTACT, CONTACT_HYDROGEN_BOND, CONTACT_METAL = 1.0, 0.5, 0.4
"""A: atoms without a bond stay this much farther apart than the sum of their covalent radii: most pairs, hydrogen with
anything but carbon and hydrogen, pairs with a metal. In 300 QMOF structures 6 of 40,000 pairs come closer."""

SKIN = 0.6
"""A: pairs that come this near to a contact are watched."""

OVERLAP = 0.4
"""Nonbonded atoms closer than this part of the sum of their covalent radii overlap beyond repair; above it the soft
push-off of `relax` may still part them, and `check` decides. Chosen by judgement: 0.75 refuses more."""


@dataclass(frozen=True)
class Atoms:
    """The atoms of a MOF in the order metal blocks, then the others.

    Args:
        numbers: shape (A,). coords: in the frame of the block, A; shape (A, 3).
        block: place of each atom's block among the padded ones; shape (A,).
        bonds: inside blocks; shape (n, 2).
        metal_atoms, other_atoms: the atom at which each connection point of either side begins.
    """

    numbers: Int[np.ndarray, " A"]
    coords: Float[np.ndarray, "A 3"]
    block: Int[np.ndarray, " A"]
    bonds: Int[np.ndarray, "n 2"]
    metal_atoms: Int[np.ndarray, " N"]
    other_atoms: Int[np.ndarray, " N"]


@dataclass(frozen=True)
class Contacts:
    """Watched pairs of atoms of B poses.

    Args:
        coords: of both atoms in their blocks' frames, A; shape (B, M, 2, 3).
        blocks: of both, among the padded places; shape (B, M, 2).
        images: cell of the second, reduced basis; shape (B, M, 3).
        limit: distance below which they repel, A; shape (B, M), zero where padded.
    """

    coords: Float[torch.Tensor, "B M 2 3"]
    blocks: Int[torch.Tensor, "B M 2"]
    images: Float[torch.Tensor, "B M 3"]
    limit: Float[torch.Tensor, "B M"]


@dataclass(frozen=True)
class Pairs:
    """Watched pairs of one pose: atoms, images (reduced basis), distances, limits, sums of covalent radii in A."""

    atoms: Int[np.ndarray, "M 2"]
    images: Int[np.ndarray, "M 3"]
    distances: Float[np.ndarray, " M"]
    limits: Float[np.ndarray, " M"]
    radii: Float[np.ndarray, " M"]


def atoms_of(mof: CoarseMOF, n_metal_places: int) -> Atoms:
    """The atoms of a MOF, its blocks in the places of `build_problem`."""
    metal, other = block_order(mof)
    places = {position: place for place, position in enumerate(metal)}
    places |= {position: n_metal_places + place for place, position in enumerate(other)}
    chosen = [mof.blocks[position] for position in (*metal, *other)]
    starts = np.cumsum([0, *(block.n_atoms for block in chosen)])
    ends = [block.connection_atoms + start for block, start in zip(chosen, starts, strict=False)]
    return Atoms(
        np.concatenate([block.numbers for block in chosen]),
        np.concatenate([block.cart_coords for block in chosen]),
        np.repeat([places[position] for position in (*metal, *other)], [block.n_atoms for block in chosen]),
        np.concatenate([block.bonds + start for block, start in zip(chosen, starts, strict=False)]),
        np.concatenate(ends[: len(metal)]),
        np.concatenate(ends[len(metal) :]),
    )


def watched_pairs(
    atoms: Atoms,
    rotations: Float[np.ndarray, "K 3 3"],
    centres: Float[np.ndarray, "K 3"],
    lattice: Float[np.ndarray, "3 3"],
    partner: Int[np.ndarray, " N"],
    images: Int[np.ndarray, "N 3"],
) -> Pairs:
    """Pairs of different blocks, or of copies of one, within `SKIN` of a contact.

    Args:
        atoms: of the MOF.
        rotations, centres, lattice: of the pose, in the padded places.
        partner, images: the matching, without padding.
    """
    cart = np.einsum("ai,aij->aj", atoms.coords, rotations[atoms.block]) + centres[atoms.block]
    crystal = Crystal(_right_handed(lattice), cart @ np.linalg.inv(_right_handed(lattice)), atoms.numbers)
    radii = COVALENT_RADIUS[atoms.numbers]
    first, second, cells, distances = neighbours(crystal, 2 * radii.max() + CONTACT + SKIN)
    sums = radii[first] + radii[second]
    limits = sums + _allowance(atoms.numbers[first], atoms.numbers[second])
    keep = (distances < limits + SKIN) & ((atoms.block[first] != atoms.block[second]) | cells.any(axis=1))
    first, second, cells, distances, limits, sums = (
        column[keep] for column in (first, second, cells, distances, limits, sums)
    )
    cells = cells * _handedness(lattice)
    ends = np.column_stack([atoms.metal_atoms, atoms.other_atoms[partner]])
    bonds = np.concatenate([atoms.bonds, ends])
    bond_images = np.concatenate([np.zeros((len(atoms.bonds), 3), dtype=np.int64), images])
    near = within_three_bonds(len(cart), bonds, bond_images)
    free = ~np.isin(pair_keys(first, second, cells, len(cart)), near)
    return Pairs(np.column_stack([first, second])[free], cells[free], distances[free], limits[free], sums[free])


def _allowance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """How much farther apart than bonded atoms, A."""
    hydrogens = (first == 1).astype(int) + (second == 1)
    bridged = (hydrogens == 1) & (np.maximum(first, second) != 6)
    return np.select([METAL[first] | METAL[second], bridged], [CONTACT_METAL, CONTACT_HYDROGEN_BOND], CONTACT)


def _handedness(lattice: np.ndarray) -> int:
    return 1 if np.linalg.det(lattice) > 0 else -1


def _right_handed(lattice: np.ndarray) -> np.ndarray:
    """A reduced basis may be left-handed; its opposite spans the same lattice."""
    return lattice * _handedness(lattice)


def pair_keys(first, second, images, n_atoms: int) -> np.ndarray:
    """One number for two atoms and an image."""
    code = ((images[:, 0] + 16) * 32 + images[:, 1] + 16) * 32 + images[:, 2] + 16
    return (first * n_atoms + second) * 32768 + code


def within_three_bonds(n_atoms: int, bonds: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Sorted keys of all pairs one, two or three bonds apart, both ways round."""
    start = np.concatenate([bonds[:, 0], bonds[:, 1]])
    end = np.concatenate([bonds[:, 1], bonds[:, 0]])
    cells = np.concatenate([images, -images])
    order = np.argsort(start, kind="stable")
    start, end, cells = start[order], end[order], cells[order]
    begin = np.searchsorted(start, np.arange(n_atoms + 1))
    keys = [pair_keys(start, end, cells, n_atoms)]
    origin, tip, offset = start, end, cells
    for _ in range(2):
        degree = begin[tip + 1] - begin[tip]
        path = np.repeat(np.arange(len(tip)), degree)
        step = np.arange(len(path)) - np.repeat(np.cumsum(degree) - degree, degree) + np.repeat(begin[tip], degree)
        origin, offset, tip = origin[path], offset[path] + cells[step], end[step]
        new = np.unique(pair_keys(origin, tip, offset, n_atoms), return_index=True)
        keys.append(new[0])
        origin, tip, offset = origin[new[1]], tip[new[1]], offset[new[1]]
    return np.unique(np.concatenate(keys))


def stack_contacts(found: Sequence[tuple[Atoms, Pairs]], most: int, device: str | torch.device) -> Contacts:
    """Tensors of the pairs of several poses, the `most` deepest of each."""
    kept = [(atoms, pairs, np.argsort(pairs.distances - pairs.limits)[:most]) for atoms, pairs in found]
    n = max((len(order) for *_, order in kept), default=0)
    coords, blocks = np.zeros((len(kept), n, 2, 3)), np.zeros((len(kept), n, 2), dtype=np.int64)
    images, limits = np.zeros((len(kept), n, 3)), np.zeros((len(kept), n))
    for row, (atoms, pairs, order) in enumerate(kept):
        ends = pairs.atoms[order]
        coords[row, : len(order)] = atoms.coords[ends]
        blocks[row, : len(order)] = atoms.block[ends]
        images[row, : len(order)] = pairs.images[order]
        limits[row, : len(order)] = pairs.limits[order]
    return Contacts(*(torch.as_tensor(x, device=device) for x in (coords, blocks, images, limits)))
