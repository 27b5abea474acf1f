"""`BuildingBlock` and `CoarseMOF`: the nouns of metal-organic frameworks.

A block lives in Cartesian coordinates of its own, never in fractional ones of the cell it was cut from. It is placed
by `x = coords @ rotation + centre`: row vectors, the rotation on the right, as the rows of a lattice are.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from crystaltool.arrays import Float, Int
from crystaltool.defaults import MAX_BLOCK_ATOMS as MAX_BLOCK_ATOMS
from crystaltool.defaults import MAX_BLOCKS as MAX_BLOCKS
from crystaltool.defaults import MAX_CONNECTIONS as MAX_CONNECTIONS
from crystaltool.errors import InputError

NODE, LINKER, BRIDGE = 0, 1, 2
KINDS = ("node", "linker", "bridge")
"""Kinds of block: a node with its metals; a linker; an oxygen, hydroxide or halide between nodes of a rod.

A connection always joins a node to one of the other two kinds.
"""


@dataclass(frozen=True)
class BuildingBlock:
    """A rigid piece of a MOF in its own Cartesian frame.

    Args:
        kind: NODE, LINKER or BRIDGE.
        numbers: atomic numbers; shape (n_atoms,).
        cart_coords: Angstrom, the mean of the connection points at the origin; shape (n_atoms, 3).
        bonds: atoms i, j of each bond inside the block, each once; shape (n_bonds, 2).
        bond_orders: 1, 2, 3, 1.5 aromatic, 0 not known (bonds to metals); shape (n_bonds,).
        connection_coords: midpoints of the cut bonds, Angstrom; shape (n_connections, 3).
        connection_atoms: the atom of the block at which each cut bond begins; shape (n_connections,).
        identity: text that names the chemistry: canonical SMILES with connection points for organic blocks, formula
            and hash of the graph for the others.
    """

    kind: int
    numbers: Int[np.ndarray, " n_atoms"]
    cart_coords: Float[np.ndarray, "n_atoms 3"]
    bonds: Int[np.ndarray, "n_bonds 2"]
    bond_orders: Float[np.ndarray, " n_bonds"]
    connection_coords: Float[np.ndarray, "n_connections 3"]
    connection_atoms: Int[np.ndarray, " n_connections"]
    identity: str = ""

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self.numbers)

    @property
    def n_connections(self) -> int:
        """Number of connection points."""
        return len(self.connection_atoms)

    @property
    def diameter(self) -> float:
        """Largest distance between two atoms or connection points, Angstrom."""
        points = np.concatenate([self.cart_coords, self.connection_coords])
        return float(np.linalg.norm(points[:, None] - points[None], axis=-1).max())

    @property
    def cut_vectors(self) -> Float[np.ndarray, "n_connections 3"]:
        """The half of each cut bond that belongs to the block: from its atom to the connection point, Angstrom."""
        return self.connection_coords - self.cart_coords[self.connection_atoms]


@dataclass(frozen=True)
class Connections:
    """Bonds between blocks, each once, from a metal block to another kind.

    Args:
        blocks: positions of the two blocks in the MOF; shape (n, 2).
        points: connection point of each in its block; shape (n, 2).
        images: the cell, counted from that of the first block's copy at its centre as given, in which the second
            block's copy lies; shape (n, 3).
    """

    blocks: Int[np.ndarray, "n 2"]
    points: Int[np.ndarray, "n 2"]
    images: Int[np.ndarray, "n 3"]

    def __len__(self) -> int:
        return len(self.blocks)


@dataclass(frozen=True)
class Edges:
    """The net of a MOF whose blocks are not posed: which blocks are bound, once for every bond, not at which points.

    Args:
        blocks: positions of a metal block and of one of another kind in the MOF; shape (n, 2).
        images: the cell, counted from that of the first block's copy at its centre as given, in which the second
            block's copy lies; shape (n, 3).
    """

    blocks: Int[np.ndarray, "n 2"]
    images: Int[np.ndarray, "n 3"]

    def __len__(self) -> int:
        return len(self.blocks)


@dataclass(frozen=True)
class CoarseMOF:
    """A MOF as building blocks in a cell, posed (rotations and connections known) or not.

    Args:
        lattice: rows a, b, c in Angstrom; shape (3, 3), right-handed.
        blocks: the building blocks, one for each place.
        centres: fractional coordinates of the blocks' origins, any image; shape (n_blocks, 3).
        rotations: proper, `x = coords @ rotation + centre @ lattice`; shape (n_blocks, 3, 3), or None.
        connections: bonds between blocks, or None.
        edges: the net where it is known before the bonds are, or None.
        turns: with the net, rotations from which assembly may begin, as `rotations`; or None.
        nets: the net of each block, from 0 (catenated MOFs have several); shape (n_blocks,), or None.
        name: block name.
        identity: what the MOF is (`crystaltool.mof.framework`), empty where not known.
        properties: numbers that travel with the MOF.
    """

    lattice: Float[np.ndarray, "3 3"]
    blocks: tuple[BuildingBlock, ...]
    centres: Float[np.ndarray, "n_blocks 3"]
    rotations: Float[np.ndarray, "n_blocks 3 3"] | None = None
    connections: Connections | None = None
    edges: Edges | None = None
    turns: Float[np.ndarray, "n_blocks 3 3"] | None = None
    nets: Int[np.ndarray, " n_blocks"] | None = None
    name: str = ""
    identity: str = ""
    properties: dict[str, float] = field(default_factory=dict)

    @property
    def n_blocks(self) -> int:
        """Number of blocks in the cell."""
        return len(self.blocks)

    @property
    def n_atoms(self) -> int:
        """Number of atoms in the cell."""
        return sum(block.n_atoms for block in self.blocks)


def assert_block(block: BuildingBlock) -> None:
    """The invariants of a building block.

    Raises:
        InputError: with what is wrong.
    """
    n_atoms, n_connections = block.n_atoms, block.n_connections
    if n_atoms == 0 or n_connections == 0:
        raise InputError(f"a block with {n_atoms} atoms and {n_connections} connection points")
    if block.cart_coords.shape != (n_atoms, 3) or block.connection_coords.shape != (n_connections, 3):
        raise InputError("a block whose coordinates do not fit its atoms and connection points")
    if not (np.isfinite(block.cart_coords).all() and np.isfinite(block.connection_coords).all()):
        raise InputError("a block with coordinates that are not finite")
    if block.kind not in range(len(KINDS)):
        raise InputError(f"a block of kind {block.kind}, expected 0 to {len(KINDS) - 1}")
    for atoms, what in ((block.bonds, "bond"), (block.connection_atoms, "connection point")):
        if atoms.size and (atoms.min() < 0 or atoms.max() >= n_atoms):
            raise InputError(f"a {what} at atom {atoms.max() + 1} of {n_atoms}")
    if np.abs(block.connection_coords.mean(axis=0)).max() > 1e-3:
        raise InputError("a block whose connection points are not centred")


def assert_coarse(mof: CoarseMOF) -> None:
    """The invariants of a coarse-grained MOF; those of its blocks are `assert_block`'s.

    Raises:
        InputError: with what is wrong.
    """
    n = mof.n_blocks
    if n == 0 or mof.centres.shape != (n, 3):
        raise InputError(f"{n} blocks but {len(mof.centres)} centres")
    if not (np.isfinite(mof.centres).all() and np.isfinite(mof.lattice).all()):
        raise InputError("a cell or a centre that is not finite")
    if np.linalg.det(mof.lattice) <= 1e-6:
        raise InputError(f"cell volume is {np.linalg.det(mof.lattice):.3g} A^3, expected a positive one")
    for rotations in (mof.rotations, mof.turns):
        if rotations is not None:
            _assert_rotations(rotations, n)
    if mof.connections is not None:
        ends = mof.connections
        if len(ends) and (ends.blocks.min() < 0 or ends.blocks.max() >= n):
            raise InputError(f"a connection to block {ends.blocks.max() + 1} of {n}")
        if not (len(ends.points) == len(ends.images) == len(ends.blocks)):
            raise InputError("connections whose blocks, points and images do not fit together")
        sizes = np.array([block.n_connections for block in mof.blocks])
        if len(ends) and ((ends.points < 0) | (ends.points >= sizes[ends.blocks])).any():
            raise InputError("a connection to a connection point that its block does not have")
    if mof.edges is not None:
        _assert_edges(mof, mof.edges)


def _assert_rotations(rotations: Float[np.ndarray, "n 3 3"], n_blocks: int) -> None:
    if rotations.shape != (n_blocks, 3, 3):
        raise InputError(f"{n_blocks} blocks but {len(rotations)} rotations")
    unit = np.einsum("kij,klj->kil", rotations, rotations)
    if not np.allclose(unit, np.eye(3), atol=1e-4) or (np.linalg.det(rotations) < 0).any():
        raise InputError("a rotation that is no proper rotation")


def _assert_edges(mof: CoarseMOF, edges: Edges) -> None:
    if len(edges.images) != len(edges.blocks):
        raise InputError("edges whose blocks and images do not fit together")
    if len(edges) and (edges.blocks.min() < 0 or edges.blocks.max() >= mof.n_blocks):
        raise InputError(f"an edge to block {edges.blocks.max() + 1} of {mof.n_blocks}")
    metal = np.array([block.kind == NODE for block in mof.blocks])
    if not metal[edges.blocks[:, 0]].all() or metal[edges.blocks[:, 1]].any():
        raise InputError("an edge that does not join a metal block to one of another kind")
    ends = np.bincount(edges.blocks.ravel(), minlength=mof.n_blocks)
    sizes = np.array([block.n_connections for block in mof.blocks])
    if (ends != sizes).any():
        place = int(np.flatnonzero(ends != sizes)[0])
        raise InputError(f"block {place + 1} has {sizes[place]} connection points and {ends[place]} edges")
