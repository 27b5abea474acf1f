"""Single molecules in a cell too wide for their images to meet, and how to change them: for tests of derivatives."""

from __future__ import annotations

import numpy as np
import torch

from crystaltool.bonds import BondGraph
from crystaltool.crystal import Crystal
from crystaltool.forcefield.uff.neighbours import Pairs
from crystaltool.forcefield.uff.system import System
from crystaltool.forcefield.uff.topology import Topology, build_topology

EDGE = 30.0
"""A: three times the cutoff."""


def molecule(cart_coords: np.ndarray, numbers: list[int], bonds: list[tuple[int, int]]) -> tuple[Crystal, Topology]:
    """In the middle of a cubic cell; single bonds."""
    crystal = Crystal(np.eye(3) * EDGE, cart_coords / EDGE + 0.5, np.array(numbers))
    pairs = np.array(bonds)
    graph = BondGraph(pairs, np.zeros((len(pairs), 3), dtype=np.int64), np.ones(len(pairs)))
    return crystal, build_topology(crystal, graph)


def water(length: float | None = None, angle: float | None = None) -> tuple[Crystal, Topology]:
    """H2O at the natural length and angle of UFF, where no term has a slope, or at others (A, degree)."""
    _, topology = molecule(np.array([[0, 0, 0], [1.0, 0, 0], [0, 1.0, 0]]), [8, 1, 1], [(0, 1), (0, 2)])
    length = float(topology.bond_lengths[0]) if length is None else length
    half = np.radians(104.51 if angle is None else angle) / 2
    arms = length * np.array([[np.cos(half), np.sin(half), 0], [np.cos(half), -np.sin(half), 0]])
    return molecule(np.concatenate([np.zeros((1, 3)), arms]), [8, 1, 1], [(0, 1), (0, 2)])


def energy(
    system: System, start: tuple[torch.Tensor, torch.Tensor], pairs: Pairs, moves: torch.Tensor, strain: torch.Tensor
) -> float:
    """Of one structure after moves of its atoms and then a symmetric strain of all."""
    deformation = torch.eye(3, dtype=torch.float64) + strain
    cart_coords, lattices = (start[0] + moves) @ deformation, start[1] @ deformation
    return float(system.evaluate(cart_coords, lattices, pairs).energies[0])
