"""From a posed coarse-grained MOF back to all its atoms and bonds."""

from __future__ import annotations

import numpy as np

from crystaltool.bonds import BondGraph
from crystaltool.crystal import Crystal
from crystaltool.errors import InputError
from crystaltool.mof.blocks import CoarseMOF


def to_crystal(mof: CoarseMOF) -> tuple[Crystal, BondGraph]:
    """All atoms, block by block, and their bonds; coordinates are unwrapped, each block whole.

    The bonds between blocks run from atom to atom over a connection; their orders are 1.

    Raises:
        InputError: the MOF has no rotations or connections.
    """
    if mof.rotations is None or mof.connections is None:
        raise InputError(f"{mof.name or 'MOF'}: the blocks have no rotations yet, assemble it first")
    starts = np.cumsum([0, *(block.n_atoms for block in mof.blocks)])
    cart = np.concatenate(
        [
            block.cart_coords @ rotation + centre
            for block, rotation, centre in zip(mof.blocks, mof.rotations, mof.centres @ mof.lattice, strict=True)
        ]
    )
    numbers = np.concatenate([block.numbers for block in mof.blocks])
    crystal = Crystal(mof.lattice, cart @ np.linalg.inv(mof.lattice), numbers, mof.name)
    ends = mof.connections
    atoms = [
        [starts[b] + mof.blocks[b].connection_atoms[p] for b, p in zip(pair, points, strict=True)]
        for pair, points in zip(ends.blocks.tolist(), ends.points.tolist(), strict=True)
    ]
    inner = [block.bonds + start for block, start in zip(mof.blocks, starts, strict=False)]
    n_inner = sum(len(bonds) for bonds in inner)
    pairs = np.concatenate([*inner, np.array(atoms, dtype=np.int64).reshape(-1, 2)])
    images = np.concatenate([np.zeros((n_inner, 3), dtype=np.int64), ends.images])
    orders = np.concatenate([*(block.bond_orders for block in mof.blocks), np.ones(len(ends))])
    return crystal, BondGraph(pairs, images, orders)
