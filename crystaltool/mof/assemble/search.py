"""Search for the right orientations: starts from what suits each block alone, then generations for what is left.

The blocks of a MOF are nearly independent puzzles, each posed by its neighbours (`orientations`): most starts end with
a few blocks that are wrong. So the best poses are kept, blocks of theirs are turned anew, the worse they are bound the
more likely, and the annealing is taken up again from a small width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from crystaltool.mof.assemble.anneal import anneal, pairs
from crystaltool.mof.assemble.assembly import AssemblyConfig
from crystaltool.mof.assemble.batched import BatchedPoses, BatchedProblem, batched_problem
from crystaltool.mof.assemble.orientations import Orientations, orient
from crystaltool.mof.assemble.problem import Problem
from crystaltool.mof.assemble.rigid import rotations_of

_DISTINCT = 1e-3
"""Relative difference of two sums of squares below which their poses count as one."""

_FAR_BEHIND = (2.0, 0.1)
"""A pose is left out if it costs more than the best this many times over, and this much a connection, A^2."""

_SHARPEST = 0.05
"""A^2: least temperature at which orientations are drawn by their misfits."""


@dataclass(frozen=True)
class Pool:
    """Annealed poses of several MOFs.

    Args:
        state: B columns. owner: MOF of each. totals: sum of squares of each one's best matching and of
            the pulls on its centres, A^2. gaps: that of the matching alone.
        losses: that of each block's connections, per connection; shape (B, blocks).
        bound: which blocks are bound to which; shape (B, blocks, blocks).
    """

    state: BatchedPoses
    owner: np.ndarray
    totals: np.ndarray
    gaps: np.ndarray
    losses: np.ndarray
    bound: np.ndarray

    def select(self, rows: np.ndarray) -> Pool:
        """The given rows."""
        index = torch.as_tensor(rows, device=self.state.centres.device)
        return Pool(self.state.select(index), *(array[rows] for array in self._arrays))

    def joined(self, other: Pool) -> Pool:
        """The rows of both."""
        arrays = zip(self._arrays, other._arrays, strict=True)
        return Pool(self.state.joined(other.state), *(np.concatenate(pair) for pair in arrays))

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

    def promising(self, counts: np.ndarray) -> Pool:
        """Without the rows that are far behind the best of their MOF; counts: connections of each MOF."""
        least = np.array([self.totals[self.owner == mof].min() for mof in range(len(counts))])
        limit = _FAR_BEHIND[0] * least + _FAR_BEHIND[1] * counts
        return self.select(np.flatnonzero(self.totals <= limit[self.owner]))

    @property
    def _arrays(self) -> tuple[np.ndarray, ...]:
        return self.owner, self.totals, self.gaps, self.losses, self.bound


def search(problem: Problem, draws: Sequence[np.random.Generator], config: AssemblyConfig) -> Pool:
    """The best poses found of each MOF, at most `config.candidates`.

    Args:
        problem: one row per MOF. draws: a generator of random numbers for each. config: how long.
    """
    n_mofs, device, columns = len(problem.lattice), problem.lattice.device, batched_problem(problem, config.direction)
    choices = [_choices(problem, mof, draw, config) for mof, draw in enumerate(draws)]
    owner = np.repeat(np.arange(n_mofs), config.starts)
    drawn = [_draw_orientations(one, draw, config.starts) for one, draw in zip(choices, draws, strict=True)]
    rotations = torch.cat([_pick(one, index) for one, index in zip(choices, drawn, strict=True)], -1)
    start = BatchedPoses(rotations, columns.centres.expand(-1, -1, n_mofs)[..., _index(owner, device)])
    widths = np.concatenate([_widths(draw, config.first_widths, config.starts) for draw in draws])
    pool = _annealed(columns, start, owner, config, widths, config.steps).best(config.pool)
    counts = problem.present.sum(1).cpu().numpy()
    lowest, waited = np.full(n_mofs, np.inf), np.zeros(n_mofs, dtype=np.int64)
    for generation in range(config.generations):
        now = np.array([pool.totals[pool.owner == mof].min() for mof in range(n_mofs)])
        waited = np.where(now < lowest * (1 - config.progress), 0, waited + 1)
        lowest = np.where(waited == 0, now, lowest)
        first = np.array([np.flatnonzero(pool.owner == mof)[0] for mof in range(n_mofs)])  # the best comes first
        active = np.flatnonzero((pool.gaps[first] > config.solved * counts) & (waited < config.patience)).tolist()
        if not active:
            break
        if generation % config.refresh == config.refresh - 1:
            for mof in active:
                choices[mof] = _choices(problem, mof, draws[mof], config, pool.state.centres[..., first[mof]])
        owner = np.repeat(active, config.children)
        start = BatchedPoses.concatenated([_offspring(pool, mof, choices[mof], draws[mof], config) for mof in active])
        widths = np.concatenate([_widths(draws[mof], config.restart_widths, config.children) for mof in active])
        children = _annealed(columns, start, owner, config, widths, config.restart_steps)
        pool = pool.joined(children).best(config.pool)
    return pool.best(config.candidates).promising(counts)


def _choices(problem: Problem, mof: int, draw, config, centres: torch.Tensor | None = None) -> Orientations:
    """Orientations of the blocks of one MOF, about the given centres, (3, K), or those of the problem."""
    metal, other, device = problem.metal, problem.other, problem.lattice.device
    n = metal.centres.shape[1]
    normals = draw.standard_normal((4, n + other.centres.shape[1], config.orientations))
    row = problem.select(torch.tensor([mof], device=device))
    if centres is not None:
        placed = centres.T[None].to(problem.lattice.dtype)
        row = replace(
            row, metal=replace(row.metal, centres=placed[:, :n]), other=replace(row.other, centres=placed[:, n:])
        )
    return orient(row, torch.as_tensor(normals, device=device), config.orientation_steps)


def _widths(draw: np.random.Generator, limits: tuple[float, float], n: int) -> np.ndarray:
    """A start with a wide kernel forgets its rotations, one with a narrow one keeps what a start is like."""
    return np.exp(draw.uniform(np.log(limits[0]), np.log(limits[1]), n))


def _draw_orientations(choices: Orientations, draw: np.random.Generator, n: int) -> np.ndarray:
    """Numbers of orientations, (blocks, n), by their misfits at temperatures about the mean of the least ones.

    The first column has the least misfits.
    """
    least = choices.misfits.min(1, keepdims=True)
    real = choices.misfits.max(1) > 0
    scale = _SHARPEST + (least[real].mean() if real.any() else 0.0)
    temperatures = scale * np.exp(draw.uniform(np.log(0.3), np.log(2.0), n))
    weights = np.exp((least - choices.misfits)[:, None] / temperatures[:, None]).cumsum(-1)
    drawn = (draw.random((len(weights), n, 1)) * weights[..., -1:] < weights).argmax(-1)
    drawn[:, 0] = choices.misfits.argmin(1)
    return drawn


def _pick(choices: Orientations, numbers: np.ndarray) -> torch.Tensor:
    """Rotations (3, 3, K, n) of the given numbers (K, n)."""
    index = _index(numbers, choices.rotations.device)
    return torch.gather(choices.rotations, 3, index.expand(3, 3, *index.shape))


def _annealed(
    columns: BatchedProblem, start: BatchedPoses, owner: np.ndarray, config, widths: np.ndarray, steps: int
) -> Pool:
    device = start.centres.device
    wide = columns.select(_index(owner, device))
    state = anneal(wide, start, config, _index(widths, device).to(start.centres.dtype), steps)
    both, points = wide.place(state)
    table = pairs(wide, both[:, 1], points, config.direction**2)[1].permute(2, 1, 0).contiguous().cpu().numpy()
    n_rows, n, _ = table.shape
    counts = np.broadcast_to(wide.present[:n].sum(0).cpu().numpy(), n_rows)
    block = np.broadcast_to(wide.block.T.cpu().numpy(), (n_rows, 2 * n))
    partner = np.tile(np.arange(n), (n_rows, 1))
    for row, m in enumerate(counts):
        partner[row, :m] = linear_sum_assignment(table[row, :m, :m])[1]
    rows = np.arange(n_rows)[:, None]
    costs = table[rows, np.arange(n), partner].astype(np.float64) * (np.arange(n) < counts[:, None])
    metal, other = block[:, :n], block[rows, n + partner]
    points_of = wide.count.T.cpu().numpy()
    losses = np.zeros((n_rows, points_of.shape[1]))
    np.add.at(losses, (rows, metal), costs)
    np.add.at(losses, (rows, other), costs)
    pulls = config.centre_pull**2 * (state.centres - wide.centres).square().sum(0).T.cpu().numpy()
    gaps = costs.sum(1)
    bound = np.zeros((*losses.shape, losses.shape[1]), dtype=bool)
    bound[rows, metal, other] = bound[rows, other, metal] = True
    return Pool(state, owner, gaps + pulls.sum(1), gaps, (losses + pulls) / points_of.clip(1), bound)


def _offspring(pool: Pool, mof: int, choices: Orientations, draw: np.random.Generator, config) -> BatchedPoses:
    """Trials for a MOF before they are annealed.

    Some take the better bound of two parents' blocks, place by place: different starts solve different parts. In the
    others blocks turn: to an orientation that suits the centres of their neighbours, by 180 degrees about a principal
    axis, since blocks that look alike from two sides end the wrong way round, or at random; with some of them the
    blocks that are bound to them turn too.
    """
    n, n_blocks = config.children, pool.losses.shape[1]
    rows = np.flatnonzero(pool.owner == mof)
    first = rows[: config.parents][np.arange(n) % min(len(rows), config.parents)]
    second = rows[draw.integers(0, len(rows), n)]
    crossed = draw.random((n, 1)) < config.crossings
    inherited = crossed & (pool.losses[second] < pool.losses[first]) & (draw.random((n, n_blocks)) < 0.8)
    share = pool.losses[first]
    share = share + 0.3 * share.mean(1, keepdims=True) * (share > 0)
    share = share / share.sum(1, keepdims=True).clip(1e-12)
    turned = draw.random((n, n_blocks)) < (share * draw.integers(0, 4, (n, 1))).clip(0, 0.9)
    # at least the block that a draw by loss names
    turned[np.arange(n), (draw.random((n, 1)) < share.cumsum(1)).argmax(1)] = True
    with_bound = draw.random((n, 1)) < config.neighbours
    turned |= (turned[:, :, None] & pool.bound[first]).any(1) & with_bound
    turned &= ~crossed | ~inherited.any(1, keepdims=True)
    state, device = pool.state, pool.state.centres.device
    own, others = state.select(_index(first, device)), state.select(_index(second, device))
    taken = _index(inherited.T, device)
    rotations = torch.where(taken, others.rotations, own.rotations)
    centres = torch.where(taken, others.centres, own.centres)
    free, flips = draw.standard_normal((4, n_blocks, n)), np.eye(4)[:, draw.integers(1, 4, (n_blocks, n))]
    quaternions = np.where(draw.random((n_blocks, n)) < config.flips, flips, free)
    turns = rotations_of(_index(quaternions, device).to(rotations.dtype))
    turns = (turns.unsqueeze(2) * rotations.unsqueeze(0)).sum(1)  # about the block's own axes
    suited = _pick(choices, _draw_orientations(choices, draw, n))
    new = torch.where(_index(draw.random((n_blocks, n)) < config.suited, device), suited, turns)
    return BatchedPoses(torch.where(_index(turned.T, device), new, rotations), centres)


def _index(values: np.ndarray, device: torch.device) -> torch.Tensor:
    return torch.as_tensor(values, device=device)
