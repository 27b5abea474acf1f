"""Frameworks for tests of the assembly: primitive cubic nets in any cell, made by hand, and real ones cut to blocks."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from crystaltool.mof.blocks import LINKER, NODE, BuildingBlock, CoarseMOF
from crystaltool.mof.fragment import fragment
from crystaltool.mof.perception import perceive_bonds
from tests.mof.structures import curated

ARM, HALF_BOND = 2.0, 0.75
"""A: metal to oxygen, and half of the cut bond from oxygen to carbon."""


def node(directions: np.ndarray) -> BuildingBlock:
    """A metal with an oxygen along each direction, cut beyond them."""
    n = len(directions)
    return BuildingBlock(
        kind=NODE,
        numbers=np.array([40] + [8] * n),
        cart_coords=np.concatenate([np.zeros((1, 3)), ARM * directions]),
        bonds=np.array([(0, k) for k in range(1, n + 1)]),
        bond_orders=np.zeros(n),
        connection_coords=(ARM + HALF_BOND) * directions,
        connection_atoms=np.arange(1, n + 1),
        identity="node",
    )


def rod(length: float) -> BuildingBlock:
    """A chain of carbons along x between two connection points `length` A apart."""
    reach = length / 2 - HALF_BOND
    n = max(2, round(2 * reach / 1.4) + 1)
    x = np.linspace(-reach, reach, n)
    return BuildingBlock(
        kind=LINKER,
        numbers=np.full(n, 6),
        cart_coords=np.column_stack([x, np.zeros((n, 2))]),
        bonds=np.column_stack([np.arange(n - 1), np.arange(1, n)]),
        bond_orders=np.ones(n - 1),
        connection_coords=np.array([[-length / 2, 0.0, 0.0], [length / 2, 0.0, 0.0]]),
        connection_atoms=np.array([0, n - 1]),
        identity="rod",
    )


def cubic_net(lattice: np.ndarray) -> CoarseMOF:
    """One node and a rod along each cell vector, not posed."""
    lengths = np.linalg.norm(lattice, axis=1)
    axes = lattice / lengths[:, None]
    blocks = (node(np.concatenate([axes, -axes])), *(rod(length - 2 * (ARM + HALF_BOND)) for length in lengths))
    centres = np.concatenate([np.zeros((1, 3)), np.eye(3) / 2])
    return CoarseMOF(lattice, blocks, centres, name="net")


@lru_cache
def cut(name: str) -> CoarseMOF:
    """A well known framework as blocks, posed."""
    crystal = curated()[name]
    return fragment(crystal, perceive_bonds(crystal))


def unposed(mof: CoarseMOF, noise: float = 0.0, strain: float = 0.0, seed: int = 0) -> CoarseMOF:
    """What a model would give: no rotations, Gaussian errors on centres (A, each direction) and cell."""
    rng = np.random.default_rng(seed)
    tilt = rng.normal(0, strain, (3, 3)) if strain else np.zeros((3, 3))
    lattice = mof.lattice @ (np.eye(3) + (tilt + tilt.T) / 2)
    centres = mof.centres @ lattice + rng.normal(0, 1, mof.centres.shape) * noise
    return replace(
        mof, lattice=lattice, centres=centres @ np.linalg.inv(lattice), rotations=None, connections=None, nets=None
    )
