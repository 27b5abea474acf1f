"""Search for the right orientations: annealed random starts, then generations in which badly bound blocks turn anew.

The blocks of a MOF are nearly independent puzzles, each posed by its neighbours: most starts end with a few blocks
that are wrong. So the best poses are kept, blocks of theirs are turned at random, the worse they are bound the more
likely, and the annealing is taken up again from a small width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from crystaltool.mof.assemble.anneal import anneal, random_rotations
from crystaltool.mof.assemble.matching import match
from crystaltool.mof.assemble.nouns import AssemblyConfig
from crystaltool.mof.assemble.problem import Pose, Problem, stack

_DISTINCT = 1e-3
"""Relative difference of two sums of squares below which their poses count as one."""


@dataclass(frozen=True)
class Pool:
    """Annealed poses of several MOFs.

    Args:
        poses: B rows. owner: MOF of each row. totals: sum of squares of each row's best matching, A^2.
        losses: that of each block's connections, per connection; shape (B, blocks).
    """

    poses: Pose
    owner: np.ndarray
    totals: np.ndarray
    losses: np.ndarray

    def select(self, rows: np.ndarray) -> Pool:
        """The given rows."""
        index = torch.as_tensor(rows, device=self.poses.lattice.device)
        return Pool(self.poses.select(index), self.owner[rows], self.totals[rows], self.losses[rows])

    def joined(self, other: Pool) -> Pool:
        """The rows of both."""
        return Pool(
            stack([self.poses, other.poses]),
            *(
                np.concatenate(pair)
                for pair in (
                    (self.owner, other.owner),
                    (self.totals, other.totals),
                    (self.losses, other.losses),
                )
            ),
        )

    def best(self, n: int) -> Pool:
        """The `n` best rows of every MOF, one of each sum of squares."""
        kept: list[int] = []
        for mof in np.unique(self.owner):
            rows = np.flatnonzero(self.owner == mof)
            rows = rows[np.argsort(self.totals[rows], kind="stable")]
            values = self.totals[rows]
            distinct = np.diff(values, prepend=-np.inf) > _DISTINCT * (1.0 + np.abs(values))
            kept += rows[distinct][:n].tolist()
        return self.select(np.array(kept, dtype=np.int64))


def search(problem: Problem, draws: Sequence[np.random.Generator], config: AssemblyConfig) -> Pool:
    """The best poses found of each MOF, at most `config.candidates`.

    Args:
        problem: one row per MOF. draws: a generator of random numbers for each. config: how long.
    """
    n_mofs, n_metal = problem.metal.centres.shape[:2]
    n_blocks = n_metal + problem.other.centres.shape[1]
    normals = np.stack([draw.standard_normal((config.starts, n_blocks, 4)) for draw in draws])
    owner = np.repeat(np.arange(n_mofs), config.starts)
    wide = problem.select(_index(owner, problem))
    turns = random_rotations(_index(normals, problem).flatten(0, 1)).to(problem.lattice.dtype)
    start = Pose(turns[:, :n_metal], wide.metal.centres, turns[:, n_metal:], wide.other.centres, wide.lattice)
    pool = _annealed(problem, start, owner, config, config.widths[0], config.steps).best(config.candidates)
    counts = problem.present.sum(1).cpu().numpy()
    for _ in range(config.generations):
        solved = {
            mof for mof, total in zip(pool.owner, pool.totals, strict=True) if total < config.solved * counts[mof]
        }
        active = [mof for mof in range(n_mofs) if mof not in solved]
        if not active:
            break
        parents, turned, fresh = _offspring(pool, active, draws, config)
        start = _turn(pool.poses.select(_index(parents, problem)), _index(turned, problem), _index(fresh, problem))
        children = _annealed(problem, start, pool.owner[parents], config, config.restart_width, config.restart_steps)
        pool = pool.joined(children).best(config.candidates)
    return pool


def _annealed(problem: Problem, start: Pose, owner: np.ndarray, config, width: float, steps: int) -> Pool:
    wide = problem.select(_index(owner, problem))
    poses = anneal(wide, start, config, width, steps)
    matching, costs = match(wide, poses, config.direction)
    partner = torch.take_along_dim(wide.other.block, matching.partner, 1)
    other = torch.zeros(wide.other.member.shape[:2], dtype=costs.dtype, device=costs.device)
    n_other = wide.other.member.sum(-1).clamp_min(1)
    other = other.scatter_add(1, partner, costs) / n_other
    metal = (wide.metal.member @ costs[..., None]).squeeze(-1) / wide.metal.member.sum(-1).clamp_min(1)
    losses = torch.cat([metal, other], 1).double().cpu().numpy()
    return Pool(poses, owner, costs.double().sum(1).cpu().numpy(), losses)


def _offspring(pool: Pool, active: list[int], draws, config: AssemblyConfig):
    """Parents of the next generation, which of their blocks turn (n, blocks), and quaternions (n, blocks, 4)."""
    parents, turned, fresh = [], [], []
    n_blocks = pool.losses.shape[1]
    for mof in active:
        rows = np.flatnonzero(pool.owner == mof)[: config.parents]
        draw = draws[mof]
        chosen = rows[np.arange(config.starts) % len(rows)]
        share = pool.losses[chosen] / pool.losses[chosen].sum(1, keepdims=True).clip(1e-12)
        amount = draw.integers(1, 5, (config.starts, 1))
        mask = draw.random((config.starts, n_blocks)) < (share * amount).clip(0, 0.9)
        # at least the block that a draw by loss names
        named = (draw.random((config.starts, 1)) < share.cumsum(1)).argmax(1)
        mask[np.arange(config.starts), named] = True
        parents.append(chosen)
        turned.append(mask)
        fresh.append(draw.standard_normal((config.starts, n_blocks, 4)))
    return np.concatenate(parents), np.concatenate(turned), np.concatenate(fresh)


def _turn(poses: Pose, turned: torch.Tensor, fresh: torch.Tensor) -> Pose:
    """Poses with the marked blocks turned at random."""
    n_metal = poses.metal_centres.shape[1]
    turns = random_rotations(fresh).to(poses.lattice.dtype)
    rotations = torch.where(turned[..., None, None], turns, poses.rotations)
    return Pose(rotations[:, :n_metal], poses.metal_centres, rotations[:, n_metal:], poses.other_centres, poses.lattice)


def _index(values: np.ndarray, problem: Problem) -> torch.Tensor:
    return torch.as_tensor(values, device=problem.lattice.device)
