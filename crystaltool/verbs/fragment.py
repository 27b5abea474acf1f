"""`fragment`: a metal-organic framework to building blocks."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from crystaltool.defaults import MAX_BLOCK_ATOMS, MAX_BLOCKS, MAX_CONNECTIONS
from crystaltool.errors import InputError
from crystaltool.mof.blocks import CoarseMOF
from crystaltool.mof.fragment import FragmentError, Limits
from crystaltool.mof.fragment import fragment as fragment_bonded
from crystaltool.mof.framework import identify_framework
from crystaltool.mof.net import count_nets
from crystaltool.mof.perception import perceive_bonds
from crystaltool.mof.quotient import find_pieces
from crystaltool.structure import Structure
from crystaltool.verbs.stream import each

if TYPE_CHECKING:
    import numpy as np

    from crystaltool.crystal import Crystal


@dataclass(frozen=True)
class FragmentSettings:
    """What a usable MOF may have, and whether free molecules are left out instead of refused."""

    max_blocks: int = MAX_BLOCKS
    max_block_atoms: int = MAX_BLOCK_ATOMS
    max_connections: int = MAX_CONNECTIONS
    remove_guests: bool = False


@dataclass(frozen=True)
class Cut:
    """A fragmented MOF, the fingerprint of each block, and its number of interpenetrating nets."""

    mof: CoarseMOF
    ecfp4: tuple[np.ndarray, ...]
    n_nets: int


@dataclass(frozen=True)
class Refusal:
    """Why a structure is no usable MOF."""

    reason: str
    message: str
    n_atoms: int
    dimension: int | None


def fragment(
    structure: Structure | Iterable[Structure],
    *,
    max_blocks: int = MAX_BLOCKS,
    max_block_atoms: int = MAX_BLOCK_ATOMS,
    max_connections: int = MAX_CONNECTIONS,
    remove_guests: bool = False,
    jobs: int = 1,
    executor: Executor | None = None,
) -> Any:
    """Cut a metal-organic framework into its building blocks, on bonds perceived from the geometry.

    As `crystaltool fragment`: every bond between a metal node and a linker is cut, the connection point is its middle.

    Args:
        structure: one, or an iterable of them.
        max_blocks: most building blocks in the cell.
        max_block_atoms, max_connections: most atoms and connection points of a block.
        remove_guests: leave free molecules out; otherwise they are a reason to refuse.
        jobs: worker processes for an iterable.
        executor: any `concurrent.futures.Executor` (of dask, mpi4py, ...), whose workers do it in their place.

    Returns:
        A posed `CoarseMOF`, its blocks with identities; of an iterable an iterator over them.

    Raises:
        FragmentError: it is no usable MOF; `reason` is a short name.
    """
    settings = FragmentSettings(max_blocks, max_block_atoms, max_connections, remove_guests)
    return each(partial(_fragmented, settings), structure, Structure, jobs, executor)


def _fragmented(settings: FragmentSettings, structure: Structure) -> CoarseMOF:
    found = cut(settings, structure.block.crystal)
    if isinstance(found, Refusal):
        raise FragmentError(found.reason, f"refused ({found.reason}): {found.message}")
    return replace(found.mof, name=structure.name)


def cut(settings: FragmentSettings, crystal: Crystal) -> Cut | Refusal:
    """Fragment one crystal, or say why not; pure."""
    try:
        bonds = perceive_bonds(crystal)
    except InputError as error:
        return Refusal("overlap", str(error), crystal.n_atoms, None)
    limits = Limits(settings.max_blocks, settings.max_block_atoms, settings.max_connections)
    try:
        mof = fragment_bonded(crystal, bonds, limits, settings.remove_guests)
        whole = identify_framework(crystal, bonds)
    except FragmentError as error:
        dimension = max(find_pieces(crystal.n_atoms, bonds.pairs, bonds.images).ranks)
        return Refusal(error.reason, str(error), crystal.n_atoms, dimension)
    pieces, fingerprints = identified(mof)
    ends = mof.connections
    n_nets = 1 if ends is None else count_nets(mof.n_blocks, ends.blocks, ends.images)
    return Cut(replace(mof, blocks=pieces.blocks, identity=whole.text), fingerprints, n_nets)


def identified(mof: CoarseMOF) -> tuple[CoarseMOF, tuple[np.ndarray, ...]]:
    """The MOF with the identity and the bond orders of each block, and the fingerprints of the blocks."""
    from crystaltool.mof.identity import identify

    found = [identify(piece) for piece in mof.blocks]
    blocks = tuple(
        replace(piece, identity=identity.text, bond_orders=identity.bond_orders)
        for piece, identity in zip(mof.blocks, found, strict=True)
    )
    return replace(mof, blocks=blocks), tuple(identity.bits for identity in found)
