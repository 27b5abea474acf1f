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

from crystaltool.mof.assemble.anneal import anneal, rotations_of
from crystaltool.mof.assemble.matching import match
from crystaltool.mof.assemble.nouns import AssemblyConfig
from crystaltool.mof.assemble.problem import Pose, Problem, stack

_DISTINCT = 1e-3
"""Relative difference of two sums of squares below which their poses count as one."""


@dataclass(frozen=True)
class Pool:
    """Annealed poses of several MOFs.

    Args:
        poses: B rows. owner: MOF of each row. totals: sum of squares of each row's best matching and of
            the pulls on its centres, A^2. gaps: that of the matching alone.
        losses: that of each block's connections, per connection; shape (B, blocks).
        bound: which blocks are bound to which; shape (B, blocks, blocks).
    """

    poses: Pose
    owner: np.ndarray
    totals: np.ndarray
    gaps: np.ndarray
    losses: np.ndarray
    bound: np.ndarray

    def select(self, rows: np.ndarray) -> Pool:
        """The given rows."""
        index = torch.as_tensor(rows, device=self.poses.lattice.device)
        arrays = (self.owner, self.totals, self.gaps, self.losses, self.bound)
        return Pool(self.poses.select(index), *(array[rows] for array in arrays))

    def joined(self, other: Pool) -> Pool:
        """The rows of both."""
        return Pool(
            stack([self.poses, other.poses]),
            *(
                np.concatenate(pair)
                for pair in (
                    (self.owner, other.owner),
                    (self.totals, other.totals),
                    (self.gaps, other.gaps),
                    (self.losses, other.losses),
                    (self.bound, other.bound),
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
    turns = rotations_of(_index(normals, problem).flatten(0, 1)).to(problem.lattice.dtype)
    start = Pose(turns[:, :n_metal], wide.metal.centres, turns[:, n_metal:], wide.other.centres, wide.lattice)
    widths = np.concatenate([_widths(draw, config.first_widths, config.starts) for draw in draws])
    pool = _annealed(problem, start, owner, config, widths, config.steps).best(config.pool)
    counts = problem.present.sum(1).cpu().numpy()
    lowest, waited = np.full(n_mofs, np.inf), np.zeros(n_mofs, dtype=np.int64)
    for _ in range(config.generations):
        now = np.array([pool.totals[pool.owner == mof].min() for mof in range(n_mofs)])
        waited = np.where(now < lowest * (1 - _DISTINCT), 0, waited + 1)
        lowest = now
        gaps = np.array([pool.gaps[pool.owner == mof][0] for mof in range(n_mofs)])  # of the best, which comes first
        active = np.flatnonzero((gaps > config.solved * counts) & (waited < config.patience)).tolist()
        if not active:
            break
        brood = _offspring(pool, active, draws, config)
        start = _start(pool, brood, problem)
        widths = np.concatenate([_widths(draws[mof], config.restart_widths, config.starts) for mof in active])
        children = _annealed(problem, start, pool.owner[brood.first], config, widths, config.restart_steps)
        pool = pool.joined(children).best(config.pool)
    return pool.best(config.candidates)


def _widths(draw: np.random.Generator, limits: tuple[float, float], n: int) -> np.ndarray:
    """Log-uniform between two limits: a wide Gaussian sees far, a narrow one keeps what a start is like."""
    return np.exp(draw.uniform(np.log(limits[0]), np.log(limits[1]), n))


def _annealed(problem: Problem, start: Pose, owner: np.ndarray, config, widths: np.ndarray, steps: int) -> Pool:
    wide = problem.select(_index(owner, problem))
    poses = anneal(wide, start, config, _index(widths, problem).to(problem.lattice.dtype), steps)
    matching, costs = match(wide, poses, config.direction)
    partner = torch.take_along_dim(wide.other.block, matching.partner, 1)
    other = torch.zeros(wide.other.member.shape[:2], dtype=costs.dtype, device=costs.device)
    other = other.scatter_add(1, partner, costs)
    metal = (wide.metal.member @ costs[..., None]).squeeze(-1)
    given = torch.cat([wide.metal.centres, wide.other.centres], 1)
    pulls = config.centre_pull**2 * (poses.centres - given).square().sum(-1)
    counts = torch.cat([wide.metal.member.sum(-1), wide.other.member.sum(-1)], 1)
    losses = (torch.cat([metal, other], 1) + pulls) / counts.clamp_min(1)
    gaps = costs.double().sum(1).cpu().numpy()
    totals = gaps + pulls.double().sum(1).cpu().numpy()
    n_metal = metal.shape[1]
    rows = torch.arange(len(owner), device=costs.device)[:, None]
    bound = torch.zeros(*losses.shape, losses.shape[1], dtype=torch.bool, device=costs.device)
    bound[rows, wide.metal.block, n_metal + partner] = True
    bound = (bound | bound.mT).cpu().numpy()
    return Pool(poses, owner, totals, gaps, losses.double().cpu().numpy(), bound)


@dataclass(frozen=True)
class _Brood:
    """The next generation, n trials.

    Args:
        first, second: rows of the pool, the parents; shape (n,).
        inherited: blocks that stand as in the second parent; shape (n, blocks).
        turned: blocks that turn. turns: by what, quaternions in the block's own frame; shapes (n, blocks), (..., 4).
    """

    first: np.ndarray
    second: np.ndarray
    inherited: np.ndarray
    turned: np.ndarray
    turns: np.ndarray


def _offspring(pool: Pool, active: list[int], draws, config: AssemblyConfig) -> _Brood:
    """Trials for each MOF that is not done.

    Some take the better bound of two parents' blocks, place by place: different starts solve different parts. In the
    others blocks turn, half of them by 180 degrees about a principal axis, since blocks that look alike from two sides
    end the wrong way round, the rest at random; with some of them the blocks that are bound to them turn too.
    """
    n, n_blocks = config.starts, pool.losses.shape[1]
    broods = []
    for mof in active:
        rows = np.flatnonzero(pool.owner == mof)
        draw = draws[mof]
        first = rows[: config.parents][np.arange(n) % min(len(rows), config.parents)]
        second = rows[draw.integers(0, len(rows), n)]
        crossed = draw.random((n, 1)) < config.crossings
        inherited = crossed & (pool.losses[second] < pool.losses[first]) & (draw.random((n, n_blocks)) < 0.8)
        share = pool.losses[first]
        share = share + 0.3 * share.mean(1, keepdims=True) * (share > 0)
        share = share / share.sum(1, keepdims=True).clip(1e-12)
        turned = draw.random((n, n_blocks)) < (share * draw.integers(0, 4, (n, 1))).clip(0, 0.9)
        # at least the block that a draw by loss names
        named = (draw.random((n, 1)) < share.cumsum(1)).argmax(1)
        turned[np.arange(n), named] = True
        with_bound = draw.random((n, 1)) < config.neighbours
        turned |= (turned[:, :, None] & pool.bound[first]).any(1) & with_bound
        turned &= ~crossed | ~inherited.any(1, keepdims=True)
        free, flips = draw.standard_normal((n, n_blocks, 4)), np.eye(4)[draw.integers(1, 4, (n, n_blocks))]
        turns = np.where(draw.random((n, n_blocks, 1)) < config.flips, flips, free)
        broods.append((first, second, inherited, turned, turns))
    return _Brood(*(np.concatenate(parts) for parts in zip(*broods, strict=True)))


def _start(pool: Pool, brood: _Brood, problem: Problem) -> Pose:
    """Poses of the trials before they are annealed."""
    poses, others = (pool.poses.select(_index(rows, problem)) for rows in (brood.first, brood.second))
    n_metal = poses.metal_centres.shape[1]
    inherited, turned = _index(brood.inherited, problem)[..., None], _index(brood.turned, problem)[..., None, None]
    rotations = torch.where(inherited[..., None], others.rotations, poses.rotations)
    centres = torch.where(inherited, others.centres, poses.centres)
    turns = rotations_of(_index(brood.turns, problem)).to(rotations.dtype)
    rotations = torch.where(turned, turns @ rotations, rotations)
    return Pose(
        rotations[:, :n_metal], centres[:, :n_metal], rotations[:, n_metal:], centres[:, n_metal:], poses.lattice
    )


def _index(values: np.ndarray, problem: Problem) -> torch.Tensor:
    return torch.as_tensor(values, device=problem.lattice.device)
