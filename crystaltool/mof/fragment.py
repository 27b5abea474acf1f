"""Cut a metal-organic framework into building blocks: metal nodes, linkers and the bridges of rods.

`division` says which atoms make up a block; every bond between two of them is cut here, and the connection point stands
at its middle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crystaltool.arrays import Float, Int
from crystaltool.bonds import BondGraph
from crystaltool.crystal import Crystal
from crystaltool.mof import blocks as noun
from crystaltool.mof.blocks import BuildingBlock, CoarseMOF, Connections
from crystaltool.mof.division import Division, FragmentError, divide
from crystaltool.mof.elements import METAL
from crystaltool.mof.quotient import find_pieces

CARBON_BONDS = 4
_BORON, _CARBON = 5, 6


@dataclass(frozen=True)
class Limits:
    """What a usable MOF may have: blocks in the cell, atoms and connection points of a block."""

    blocks: int = noun.MAX_BLOCKS
    atoms: int = noun.MAX_BLOCK_ATOMS
    connections: int = noun.MAX_CONNECTIONS


def fragment(
    crystal: Crystal, bonds: BondGraph, limits: Limits | None = None, remove_guests: bool = False
) -> CoarseMOF:
    """The building blocks of a MOF, posed: centres, rotations and connections give the crystal back.

    Args:
        crystal: every atom of the cell.
        bonds: its bonds (`crystaltool.mof.perception.perceive_bonds`).
        limits: of a usable MOF.
        remove_guests: leave free molecules out; otherwise they are a reason to refuse.

    Raises:
        FragmentError: no metal or carbon, superposed atoms, a free molecule, fewer than three dimensions, an infinite
            node or linker, no linker, or more blocks, atoms or connection points than `limits`.
    """
    crystal, bonds = framework_of(crystal, bonds, remove_guests)
    return _blocks(crystal, divide(crystal, bonds), limits or Limits())


def _refuse_superposed(crystal: Crystal, bonds: BondGraph) -> None:
    """Raise FragmentError for a carbon with more than four neighbours: superposed positions of a disordered part.

    Metals do not count, nor does boron (carboranes).
    """
    counted = ~METAL & (np.arange(len(METAL)) != _BORON)
    numbers, (first, second) = crystal.numbers, bonds.pairs.T
    n_bonds = np.bincount(first[counted[numbers[second]]], minlength=len(numbers))
    n_bonds += np.bincount(second[counted[numbers[first]]], minlength=len(numbers))
    n_bonds[numbers != _CARBON] = 0
    if n_bonds.max() > CARBON_BONDS:
        atom = int(n_bonds.argmax())
        raise FragmentError("disorder", f"carbon {atom + 1} has {n_bonds[atom]} neighbours that are no metals")


def framework_of(crystal: Crystal, bonds: BondGraph, remove_guests: bool) -> tuple[Crystal, BondGraph]:
    """The crystal without free molecules, if it is a metal-organic framework connected in three dimensions.

    Raises:
        FragmentError: no metal or carbon, superposed atoms, a free molecule (unless removed), fewer dimensions.
    """
    if not METAL[crystal.numbers].any():
        raise FragmentError("no-metal", "no metal atom")
    if not (crystal.numbers == _CARBON).any():
        raise FragmentError("no-carbon", "no carbon atom")
    _refuse_superposed(crystal, bonds)
    pieces = find_pieces(crystal.n_atoms, bonds.pairs, bonds.images)
    dimension = max(pieces.ranks)
    if dimension < 3:
        raise FragmentError("dimension", f"connected in {dimension} dimensions, expected 3")
    free = np.array(pieces.ranks)[pieces.labels] == 0
    if free.any():
        n_free = sum(rank == 0 for rank in pieces.ranks)
        if not remove_guests:
            raise FragmentError(
                "guest", f"{n_free} free molecule(s), {free.sum()} atoms; --guests remove leaves them out"
            )
        new = np.cumsum(~free) - 1
        kept = ~free[bonds.pairs[:, 0]]
        crystal = Crystal(crystal.lattice, crystal.frac_coords[~free], crystal.numbers[~free], crystal.name)
        bonds = BondGraph(new[bonds.pairs[kept]], bonds.images[kept], bonds.orders[kept])
        pieces = find_pieces(crystal.n_atoms, bonds.pairs, bonds.images)
    if min(pieces.ranks) < 3:
        raise FragmentError("dimension", f"a net connected in {min(pieces.ranks)} dimensions, expected 3")
    return crystal, bonds


def _blocks(crystal: Crystal, division: Division, limits: Limits) -> CoarseMOF:
    """The blocks of a division in frames of their own, and the connections between them."""
    bonds, label, kinds, offsets = division.bonds, division.labels, division.kinds, division.offsets
    first, second = bonds.pairs.T
    cut = label[first] != label[second]
    crossing = (~cut) & ((offsets[second] != bonds.images + offsets[first]).any(axis=1))
    if crossing.any():
        raise FragmentError("self-connected", "a ligand bound to two copies of the block that holds it")
    _refuse_unusable(kinds, label, np.concatenate([label[first[cut]], label[second[cut]]]), limits)
    whole = (crystal.frac_coords + offsets) @ crystal.lattice
    vectors = bonds.vectors(crystal)
    made, centres, rotations = [], [], []
    point_of = np.zeros((len(bonds), 2), dtype=np.int64)
    for block, kind in enumerate(kinds):
        atoms = np.flatnonzero(label == block)
        local = {atom: k for k, atom in enumerate(atoms.tolist())}
        ends, at = [], []
        for bond in np.flatnonzero(cut).tolist():
            for side, atom, sign in ((0, int(first[bond]), 0.5), (1, int(second[bond]), -0.5)):
                if label[atom] == block:
                    point_of[bond, side] = len(at)
                    at.append(local[atom])
                    ends.append(whole[atom] + sign * vectors[bond])
        inner = np.flatnonzero(~cut & (label[first] == block))
        inner_bonds = [(local[i], local[j]) for i, j in bonds.pairs[inner].tolist()]
        centre = np.mean(ends, axis=0)
        frame = principal_frame(np.concatenate([whole[atoms], ends]) - centre)
        made.append(
            BuildingBlock(
                kind=kind,
                numbers=crystal.numbers[atoms],
                cart_coords=(whole[atoms] - centre) @ frame.T,
                bonds=np.array(inner_bonds, dtype=np.int64).reshape(-1, 2),
                bond_orders=bonds.orders[inner],
                connection_coords=(np.array(ends) - centre) @ frame.T,
                connection_atoms=np.array(at, dtype=np.int64),
            )
        )
        centres.append(centre)
        rotations.append(frame)
    frac_centres = np.array(centres) @ np.linalg.inv(crystal.lattice)
    home = np.floor(frac_centres).astype(np.int64)
    blocks_of, images = label[bonds.pairs[cut]], (bonds.images + offsets[first] - offsets[second])[cut]
    connections = _connections(blocks_of, point_of[cut], images + home[blocks_of[:, 1]] - home[blocks_of[:, 0]], kinds)
    return CoarseMOF(
        lattice=crystal.lattice,
        blocks=tuple(made),
        centres=frac_centres - home,
        rotations=np.array(rotations),
        connections=connections,
        nets=find_pieces(len(kinds), connections.blocks, connections.images).labels,
        name=crystal.name,
    )


def _refuse_unusable(
    kinds: list[int], label: Int[np.ndarray, " n_atoms"], of_points: Int[np.ndarray, " n_points"], limits: Limits
) -> None:
    """Refuse a division without linkers, with a block that nothing holds, or beyond the limits.

    Args:
        kinds: of the blocks. label: block of each atom. of_points: block of each connection point.
        limits: of a usable MOF.
    """
    if not (noun.NODE in kinds and (noun.LINKER in kinds or noun.BRIDGE in kinds)):
        raise FragmentError("no-linker", "no linker between the nodes")
    if noun.LINKER not in kinds:
        raise FragmentError("no-linker", "no organic linker between the nodes")
    if len(kinds) > limits.blocks:
        raise FragmentError("too-many-blocks", f"{len(kinds)} building blocks, the limit is {limits.blocks}")
    sizes = np.bincount(label, minlength=len(kinds))
    if sizes.max() > limits.atoms:
        raise FragmentError("block-too-large", f"a block of {sizes.max()} atoms, the limit is {limits.atoms}")
    points = np.bincount(of_points, minlength=len(kinds))
    if points.max() > limits.connections:
        text = f"a block with {points.max()} connection points, the limit is {limits.connections} (--max-connections)"
        raise FragmentError("too-many-connections", text)
    if points.min() == 0:
        raise FragmentError("guest", "a block without connection points")


def _connections(
    blocks: Int[np.ndarray, "n 2"], points: Int[np.ndarray, "n 2"], images: Int[np.ndarray, "n 3"], kinds: list[int]
) -> Connections:
    """Connections of cut bonds, each from the metal's block to the other."""
    turned = np.array(kinds)[blocks[:, 0]] != noun.NODE
    blocks[turned], points[turned], images[turned] = blocks[turned][:, ::-1], points[turned][:, ::-1], -images[turned]
    return Connections(blocks, points, images)


def principal_frame(points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "3 3"]:
    """Rows: the principal axes of a cloud of points, longest first, right-handed."""
    _, _, axes = np.linalg.svd(points - points.mean(axis=0), full_matrices=True)
    axes[2] *= np.sign(np.linalg.det(axes))
    return axes
