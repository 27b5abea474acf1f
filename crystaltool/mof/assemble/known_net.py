"""Assembly where the net is known: which block is bound to which copy of which is given, at which points is searched.

Each block alone first: the rotations and assignments of its connection points to its edges that point to the centres
of its neighbours (`crystaltool.mof.fitting`). Starts draw from these; then blocks turn, one after the other, to what
suits the points of their neighbours, and the least squares of `polish` moves centres and cell with them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from crystaltool.arrays import Float, Int
from crystaltool.lattice import reduced_basis
from crystaltool.mof.assemble.assembly import AssemblyConfig
from crystaltool.mof.assemble.matching import Matching
from crystaltool.mof.assemble.polish import polish
from crystaltool.mof.assemble.problem import Pose, Problem, block_order
from crystaltool.mof.blocks import CoarseMOF
from crystaltool.mof.fitting import Fits, assign, fit_points, kabsch, spread_rotations

_ORIENTATIONS, _KEPT = 48, 12
_SWEEPS = 2
_CHILDREN, _PARENTS = 24, 6
_POLISH_STEPS = 6
_SHARPEST = 0.1
"""A^2: least temperature at which a start draws a block's fit by its misfit."""

_FLIPS = np.array([np.diag(signs) for signs in ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1))], dtype=float)
_SAME = 1e-3


@dataclass
class _Slots:
    """The edges of one block, k of them: at each end a connection point of the block is wanted.

    Args:
        edges: numbers of the edges. partners: block at the other end. cells: its copy, from this block.
        first: whether this block is the edge's first (metal) end.
        points, rays: of the block in its own frame: connection points, A, and unit vectors of its cut bonds.
    """

    edges: Int[np.ndarray, " k"]
    partners: Int[np.ndarray, " k"]
    cells: Int[np.ndarray, "k 3"]
    first: bool
    points: Float[np.ndarray, "k 3"]
    rays: Float[np.ndarray, "k 3"]


@dataclass
class _Poses:
    """S poses of one MOF: rotations (S, K, 3, 3), centres in A (S, K, 3), cells (S, 3, 3), and for both ends of each
    edge the connection point of its block (S, E, 2)."""

    rotations: np.ndarray
    centres: np.ndarray
    lattices: np.ndarray
    points: np.ndarray

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        return self.rotations, self.centres, self.lattices, self.points

    def select(self, rows: np.ndarray) -> _Poses:
        return _Poses(*(array[rows] for array in self.arrays))


@dataclass
class _Found:
    """Polished poses, as arrays and as tensors, their matchings and sums of squares."""

    poses: _Poses
    pose: Pose
    matching: Matching
    costs: torch.Tensor

    def joined(self, other: _Found) -> _Found:
        pose = Pose(*(torch.cat(pair) for pair in zip(self.pose._tensors, other.pose._tensors, strict=True)))
        pairs = ((self.matching.partner, other.matching.partner), (self.matching.images, other.matching.images))
        poses = _Poses(*(np.concatenate(pair) for pair in zip(self.poses.arrays, other.poses.arrays, strict=True)))
        return _Found(poses, pose, Matching(*map(torch.cat, pairs)), torch.cat([self.costs, other.costs]))

    def best(self, n: int) -> _Found:
        rows = self.costs.argsort(stable=True)[:n]
        return _Found(
            self.poses.select(rows.cpu().numpy()), self.pose.select(rows), self.matching.select(rows), self.costs[rows]
        )


def search_known(
    mof: CoarseMOF, problem: Problem, draw: np.random.Generator, config: AssemblyConfig
) -> tuple[Pose, Matching, Float[torch.Tensor, " S"]]:
    """Polished poses of a MOF whose net is known, their matchings and sums of squares.

    Args:
        mof: with edges. problem: of this MOF alone, one row. draw: random numbers.
        config: `starts` poses are tried, `candidates` of them polished; then as many `generations` as `patience` lets.
    """
    slots, lattice = _slots(mof)
    centres = mof.centres @ mof.lattice
    given = None
    if mof.turns is not None:
        poses = _sweep(_as_given(mof.turns, slots, centres, lattice), slots, config.direction, _SWEEPS)
        given = _polished(mof, problem, poses, slots, config)
        if float(given.costs[0]) <= config.solved * len(poses.points[0]):
            return given.pose, given.matching, given.costs
    fits = [_orient(slot, centres, k, lattice, slots) for k, slot in enumerate(slots)]
    poses = _starts(fits, slots, centres, lattice, draw, config.starts)
    poses = _distinct(_sweep(poses, slots, config.direction, _SWEEPS), slots, config)
    found = _polished(mof, problem, poses, slots, config)
    found = found if given is None else given.joined(found)
    limit, lowest, waited = config.solved * len(poses.points[0]), np.inf, 0
    for _ in range(config.generations):
        now = float(found.costs.min())
        waited = 0 if now < lowest * (1 - config.progress) else waited + 1
        lowest = min(now, lowest)
        if now <= limit or waited == config.patience:
            break
        best = found.costs.argsort()[:_PARENTS].cpu().numpy()
        children = _offspring(found.poses.select(np.resize(best, _CHILDREN)), slots, fits, draw, config.direction)
        poses = _distinct(_sweep(children, slots, config.direction, _SWEEPS), slots, config)
        found = found.joined(_polished(mof, problem, poses, slots, config)).best(config.candidates)
    return found.pose, found.matching, found.costs


def _slots(mof: CoarseMOF) -> tuple[list[_Slots], np.ndarray]:
    """The ends of the edges by block, and the cell in the reduced basis, in which all cells of copies are."""
    assert mof.edges is not None
    basis = reduced_basis(mof.lattice)
    images = np.rint(mof.edges.images @ np.linalg.inv(basis)).astype(np.int64)
    found = []
    for k, block in enumerate(mof.blocks):
        side = int(not (mof.edges.blocks[:, 0] == k).any())
        edges = np.flatnonzero(mof.edges.blocks[:, side] == k)
        sign = 1 if side == 0 else -1
        vectors = block.cut_vectors
        rays = vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-6)
        partners = mof.edges.blocks[edges, 1 - side]
        found.append(_Slots(edges, partners, sign * images[edges], side == 0, block.connection_coords, rays))
    return found, basis @ mof.lattice


def _wanted(slot: _Slots, centres: np.ndarray, k: int, lattice: np.ndarray, slots: list[_Slots]) -> np.ndarray:
    """Where points should lie, from the block's centre: on the way to the partner, at the block's share of the arms."""
    apart = centres[slot.partners] + slot.cells @ lattice - centres[k]
    arms = np.array([np.linalg.norm(one.points, axis=1).mean() for one in slots])
    return apart * (arms[k] / (arms[k] + arms[slot.partners]))[:, None]


def _orient(slot: _Slots, centres: np.ndarray, k: int, lattice: np.ndarray, slots: list[_Slots]) -> Fits:
    """What suits the centres of the neighbours."""
    wanted = _wanted(slot, centres, k, lattice, slots)
    return fit_points(slot.points, wanted, spread_rotations(_ORIENTATIONS), most=_KEPT)


def _as_given(turns: np.ndarray, slots: list[_Slots], centres: np.ndarray, lattice: np.ndarray) -> _Poses:
    """One pose of known rotations, each edge with the connection point that is nearest to where it should lie."""
    points = np.zeros((1, sum(len(slot.edges) for slot in slots) // 2, 2), dtype=np.int64)
    for k, slot in enumerate(slots):
        wanted = _wanted(slot, centres, k, lattice, slots)
        apart = wanted[:, None] - (slot.points @ turns[k])[None]
        points[0, slot.edges, 0 if slot.first else 1] = assign(np.square(apart).sum(2)[None])[0]
    return _Poses(turns[None].copy(), centres[None].copy(), lattice[None].copy(), points)


def _starts(
    fits: list[Fits], slots: list[_Slots], centres: np.ndarray, lattice: np.ndarray, draw: np.random.Generator, n: int
) -> _Poses:
    """Poses of drawn fits; the first has the best of every block."""
    least = np.array([one.misfits[0] for one in fits])
    temperatures = (_SHARPEST + least.mean()) * np.exp(draw.uniform(np.log(0.3), np.log(2.0), n))
    rotations = np.zeros((n, len(slots), 3, 3))
    points = np.zeros((n, sum(len(slot.edges) for slot in slots) // 2, 2), dtype=np.int64)
    for k, (one, slot) in enumerate(zip(fits, slots, strict=True)):
        weights = np.exp((least[k] - one.misfits)[None] / temperatures[:, None]).cumsum(1)
        drawn = (draw.random((n, 1)) * weights[:, -1:] < weights).argmax(1)
        drawn[0] = 0
        rotations[:, k] = one.rotations[drawn]
        points[:, slot.edges, 0 if slot.first else 1] = one.points[drawn]
    return _Poses(rotations, np.tile(centres, (n, 1, 1)), np.tile(lattice, (n, 1, 1)), points)


def _offspring(poses: _Poses, slots: list[_Slots], fits: list[Fits], draw: np.random.Generator, lever: float) -> _Poses:
    """Poses in which badly bound blocks, and some others, have turned to another of their fits or at random."""
    n, n_blocks = len(poses.rotations), len(slots)
    losses = _losses(poses, slots, lever)
    share = losses / losses.sum(1, keepdims=True).clip(1e-12)
    turned = draw.random((n, n_blocks)) < (share * draw.integers(1, 5, (n, 1))).clip(0, 0.9)
    turned[np.arange(n), (draw.random((n, 1)) < share.cumsum(1)).argmax(1)] = True
    rotations = poses.rotations.copy()
    free = spread_rotations(_ORIENTATIONS)
    for k, one in enumerate(fits):
        options = np.concatenate([one.rotations, one.rotations, free[draw.integers(0, len(free), 4)]])
        rows = np.flatnonzero(turned[:, k])
        rotations[rows, k] = options[draw.integers(0, len(options), len(rows))]
    return _Poses(rotations, poses.centres, poses.lattices, poses.points)


def _sweep(poses: _Poses, slots: list[_Slots], lever: float, rounds: int) -> _Poses:
    """Each block in turn takes the rotation and assignment that suit the points and cut bonds of its neighbours best,
    among its own rotation, its half turns and what they become."""
    rotations, points = poses.rotations.copy(), poses.points.copy()
    n, table = len(rotations), _ends_of(slots)
    for _ in range(rounds):
        for k, slot in enumerate(slots):
            side = 0 if slot.first else 1
            targets, rays = _targets(poses, rotations, points, slots, k, table)
            trial = np.einsum("fij,sjk->sfik", _FLIPS, rotations[:, k])
            own = np.concatenate([slot.points, lever * slot.rays], axis=1).reshape(-1, 2, 3)
            wanted = np.stack([targets, -lever * rays], axis=2)  # (S, k, 2, 3)
            turned = np.einsum("pci,sfij->sfpcj", own, trial)
            costs = -2 * np.einsum("stcj,sfpcj->sftp", wanted, turned)
            costs += np.square(own).sum((1, 2)) + np.square(wanted).sum((2, 3))[:, None, :, None]
            chosen = assign(costs.reshape(-1, *costs.shape[2:])).reshape(n, len(_FLIPS), -1)
            mine = own[chosen].reshape(n, len(_FLIPS), -1, 3)
            goal = np.broadcast_to(wanted.reshape(n, 1, -1, 3), mine.shape)
            refined = kabsch(mine, goal)
            total = np.square(mine @ refined - goal).sum((2, 3))
            best = total.argmin(1)
            rows = np.arange(n)
            rotations[:, k] = refined[rows, best]
            points[:, slot.edges, side] = chosen[rows, best]
    return _Poses(rotations, poses.centres, poses.lattices, points)


def _ends_of(slots: list[_Slots]) -> Float[np.ndarray, "2 K p 3"]:
    """Points and rays of every block in its own frame, zero where padded."""
    table = np.zeros((2, len(slots), max(len(one.points) for one in slots), 3))
    for number, one in enumerate(slots):
        table[0, number, : len(one.points)], table[1, number, : len(one.rays)] = one.points, one.rays
    return table


def _targets(poses: _Poses, rotations: np.ndarray, points: np.ndarray, slots: list[_Slots], k: int, table: np.ndarray):
    """Where the partners' points of a block's edges are, from its centre, and their cut bonds; (S, k, 3) each.

    `table` is that of `_ends_of`."""
    slot = slots[k]
    other = 1 if slot.first else 0
    at = points[:, slot.edges, other]
    turns = rotations[:, slot.partners]
    arms = (table[0, slot.partners[None], at][..., None, :] @ turns)[..., 0, :]
    rays = (table[1, slot.partners[None], at][..., None, :] @ turns)[..., 0, :]
    apart = poses.centres[:, slot.partners] + slot.cells @ poses.lattices - poses.centres[:, [k]]
    return apart + arms, rays


def _losses(poses: _Poses, slots: list[_Slots], lever: float) -> np.ndarray:
    """Sum over a block's edges of squared gaps and of `lever` squared times that of the directions; (S, K)."""
    losses, table = np.zeros(poses.rotations.shape[:2]), _ends_of(slots)
    for k, slot in enumerate(slots):
        targets, rays = _targets(poses, poses.rotations, poses.points, slots, k, table)
        at = poses.points[:, slot.edges, 0 if slot.first else 1]
        mine, own = slot.points[at] @ poses.rotations[:, k], slot.rays[at] @ poses.rotations[:, k]
        losses[:, k] = np.square(targets - mine).sum((1, 2)) + lever**2 * np.square(rays + own).sum((1, 2))
    return losses


def _distinct(poses: _Poses, slots: list[_Slots], config: AssemblyConfig) -> _Poses:
    """The `config.candidates` poses of the smallest sums of squares, one of each value."""
    values = _losses(poses, slots, config.direction).sum(1) / 2
    kept: list[int] = []
    for row in np.argsort(values, kind="stable").tolist():
        if len(kept) == config.candidates:
            break
        if not any(abs(values[row] - values[one]) <= _SAME * (1 + values[one]) for one in kept):
            kept.append(row)
    return poses.select(np.array(kept))


def _polished(mof: CoarseMOF, problem: Problem, poses: _Poses, slots: list[_Slots], config: AssemblyConfig) -> _Found:
    """The poses after least squares."""
    metal, other = block_order(mof)
    device, dtype = problem.lattice.device, problem.lattice.dtype

    def tensor(values: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(np.ascontiguousarray(values), device=device)

    rotations, centres = tensor(poses.rotations).to(dtype), tensor(poses.centres).to(dtype)
    start = Pose(
        rotations[:, metal], centres[:, metal], rotations[:, other], centres[:, other], tensor(poses.lattices).to(dtype)
    )
    offsets = np.zeros(mof.n_blocks, dtype=np.int64)
    for order in (metal, other):
        sizes = [mof.blocks[k].n_connections for k in order]
        offsets[order] = np.cumsum([0, *sizes])[:-1]
    assert mof.edges is not None
    ends = poses.points + offsets[mof.edges.blocks]
    n = ends.shape[1]
    partner, images = np.zeros((len(ends), n), dtype=np.int64), np.zeros((len(ends), n, 3))
    cells = np.zeros((n, 3))
    for slot in slots:
        if slot.first:
            cells[slot.edges] = slot.cells
    rows = np.arange(len(ends))[:, None]
    partner[rows, ends[:, :, 0]] = ends[:, :, 1]
    images[rows, ends[:, :, 0]] = cells
    matching = Matching(tensor(partner), tensor(images).to(dtype))
    wide = problem.select(torch.zeros(len(ends), dtype=torch.int64, device=device))
    pose, costs = polish(wide, start, matching, config, _POLISH_STEPS)
    places = np.zeros(mof.n_blocks, dtype=np.int64)
    places[metal], places[other] = np.arange(len(metal)), len(metal) + np.arange(len(other))
    moved = _Poses(
        pose.rotations.cpu().numpy()[:, places],
        pose.centres.cpu().numpy()[:, places],
        pose.lattice.cpu().numpy(),
        poses.points,
    )
    return _Found(moved, pose, matching, costs)
