"""From coarse-grained MOFs to posed ones: gate, anneal many starts, match, polish, free of contacts, judge."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from crystaltool.mof.assemble.assembly import Assembly, AssemblyConfig, best, merit
from crystaltool.mof.assemble.contacts import Atoms, Pairs, atoms_of, stack_contacts, watched_pairs
from crystaltool.mof.assemble.gate import gate
from crystaltool.mof.assemble.known_net import search_known
from crystaltool.mof.assemble.matching import Matching, match
from crystaltool.mof.assemble.polish import gaps_and_directions, polish
from crystaltool.mof.assemble.problem import Pose, Problem, build_problem, padded_size
from crystaltool.mof.assemble.search import search
from crystaltool.mof.assemble.verdict import Misfit, judge
from crystaltool.mof.blocks import CoarseMOF
from crystaltool.mof.quotient import find_pieces

_POLISH_STEPS, _REMATCH_ROUNDS, _CONTACT_STEPS, _CONTACT_ROUNDS = 8, 3, 8, 2
_MOST_CONTACTS = 96
_BRIEF_GENERATIONS, _SECOND_LOOKS = 2, 6
_DIMENSIONS = 3
_SAME = 1e-3
"""A^2: polished matchings whose sums of squares agree this well are taken for the same structure."""

_SOUND = 0.1
"""A^2: a decoding of a known net that costs no more is taken without looking at those behind it."""

_MOST_AT_ONCE = 4_000_000
"""Pairs of connection points in one batch of the annealing, over all starts and MOFs."""

Body = tuple[CoarseMOF, Atoms]
"""A MOF as given, and the atoms of its blocks."""


@dataclass(frozen=True)
class _Candidates:
    """Poses of some MOFs: the MOF that each is of, (r,); its matching; its cost, (r,)."""

    owner: torch.Tensor
    poses: Pose
    matching: Matching
    costs: torch.Tensor


@dataclass(frozen=True)
class Candidate:
    """A polished matching of one MOF, tensors of one row."""

    pose: Pose
    matching: Matching
    cost: float
    pairs: Pairs


def assemble_many(
    mofs: Sequence[CoarseMOF],
    config: AssemblyConfig | None = None,
    seed: int = 0,
    items: Sequence[tuple[int, ...]] | None = None,
    device: str | torch.device = "cpu",
) -> list[Assembly]:
    """Assemble MOFs; rotations and connections that they may have are not looked at.

    Args:
        mofs: cells, blocks and centres.
        config: how.
        seed, items: MOF k draws its random numbers from (seed, *items[k]), by default from (seed, k).
        device: where the annealing and the least squares run.

    Returns:
        One result per MOF, in order; on a CPU what else is in the list changes none of them by a bit.
    """
    config = config or AssemblyConfig()
    items = [(index,) for index in range(len(mofs))] if items is None else items
    on_gpu = torch.device(device).type != "cpu"  # on a CPU one MOF fills the batch, and stays the same to the last bit
    results: dict[int, Assembly] = {}
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, mof in enumerate(mofs):
        refusal = gate(mof)
        if refusal is not None:
            results[index] = refusal
        else:
            # a MOF whose net is known is a batch by itself
            groups.setdefault(padded_size(mof) if mof.edges is None else (index,), []).append(index)
    for size, members in groups.items():
        todo = members
        for round_ in range(config.rounds):
            at_once = max(1, _MOST_AT_ONCE // (size[-1] ** 2 * config.starts)) if on_gpu and len(size) > 1 else 1
            for begin in range(0, len(todo), at_once):
                chunk = todo[begin : begin + at_once]
                draws = [np.random.default_rng([seed, *items[index], round_]) for index in chunk]
                for index, found in zip(
                    chunk, _solve([mofs[index] for index in chunk], draws, config, device), strict=True
                ):
                    if index not in results or _rank(found) < _rank(results[index]):
                        results[index] = found
            todo = [index for index in todo if not results[index].good]
            if not todo:
                break
    return [results[index] for index in range(len(mofs))]


def assemble(mof: CoarseMOF, config: AssemblyConfig | None = None, seed: int = 0, item: int = 0) -> Assembly:
    """Assemble one MOF; see `assemble_many`."""
    return assemble_many([mof], config, seed, [(item,)])[0]


def assemble_best(
    decodings: Sequence[CoarseMOF],
    config: AssemblyConfig | None = None,
    seed: int = 0,
    item: int = 0,
    device: str | torch.device = "cpu",
    accept: Callable[[Assembly], bool] = lambda assembly: True,
) -> Assembly:
    """The best assembly of several decodings of one sample: all are looked at briefly, the most promising once more.

    The best one is assembled at length; where none is good, those that got furthest are, from random orientations:
    blocks that fit loosely need not suit the centres of their neighbours.

    Args:
        decodings: MOFs with the same places and other blocks. config, seed, device: as for `assemble_many`.
        item: number of the sample; decoding k draws from (seed, item, k).
        accept: of known nets, whether a good assembly will do where there are other decodings.
    """
    config = config or AssemblyConfig()
    items = [(item, number) for number in range(len(decodings))]
    if len(decodings) == 1:
        return assemble_many(decodings, config, seed, items, device)[0]
    if all(decoding.edges is not None for decoding in decodings):
        return _first_sound(
            (assemble_many([one], config, seed, [item], device)[0] for one, item in zip(decodings, items, strict=True)),
            accept,
        )
    brief = replace(config, rounds=1, generations=min(_BRIEF_GENERATIONS, config.generations))
    found = assemble_many(decodings, brief, seed, items, device)
    if all(one.reason == "parity" for one in found):
        return found[0]
    order = sorted(range(len(found)), key=lambda number: merit(found[number]))
    chosen = order[:1] if found[order[0]].good else order[:_SECOND_LOOKS]
    if found[order[0]].good and brief == config:
        return found[order[0]]
    if not found[order[0]].good:  # starts of another kind: orientations as they are drawn
        config = replace(config, orientation_steps=0)
    again = assemble_many(
        [decodings[number] for number in chosen], config, seed, [(item, number, 1) for number in chosen], device
    )
    return best([*found, *again])


def _first_sound(assemblies: Iterable[Assembly], accept: Callable[[Assembly], bool]) -> Assembly:
    """The first that is good, cheap and accepted; else the best of those accepted, else the best of all."""
    found: list[Assembly] = []
    accepted: list[Assembly] = []
    for one in assemblies:
        found.append(one)
        if one.good and accept(one):
            accepted.append(one)
            if one.cost <= _SOUND:
                return best(accepted)
    return best(accepted or found)


def _rank(one: Assembly) -> tuple[bool, float]:
    return not one.good, one.cost


def _solve(
    mofs: list[CoarseMOF], draws: list[np.random.Generator], config: AssemblyConfig, device: str | torch.device
) -> list[Assembly]:
    """One round of starts for MOFs of one padded size."""
    problem = build_problem(mofs, device)
    if mofs[0].edges is not None:
        poses, matching, costs = search_known(mofs[0], problem, draws[0], config)
        owner = torch.zeros(len(costs), dtype=torch.int64, device=problem.lattice.device)
        return _finish(mofs, problem, _Candidates(owner, poses, matching, costs), config)
    pool = search(problem, draws, config)
    owner = torch.as_tensor(pool.owner, device=problem.lattice.device)
    wide = problem.select(owner)
    poses, matching, costs = _polish_and_match(wide, pool.state.pose(wide), config)
    return _finish(mofs, problem, _Candidates(owner, poses, matching, costs), config)


def _polish_and_match(problem: Problem, poses: Pose, config: AssemblyConfig):
    """Least squares and matching in turn until the matching stays."""
    matching, _ = match(problem, poses, config.direction)
    poses, costs = polish(problem, poses, matching, config, _POLISH_STEPS)
    for _ in range(_REMATCH_ROUNDS):
        again, _ = match(problem, poses, config.direction)
        changed = (again.partner != matching.partner).any(1) | (again.images != matching.images).flatten(1).any(1)
        if not changed.any():
            break
        rows = torch.nonzero(changed).squeeze(1)
        moved, new_costs = polish(problem.select(rows), poses.select(rows), again.select(rows), config, _POLISH_STEPS)
        better = new_costs < costs[rows]
        rows, kept = rows[better], torch.nonzero(better).squeeze(1)
        if not len(rows):
            break
        poses = _put(poses, rows, moved.select(kept))
        matching = Matching(
            matching.partner.index_copy(0, rows, again.partner[rows]),
            matching.images.index_copy(0, rows, again.images[rows]),
        )
        costs = costs.index_copy(0, rows, new_costs[kept])
    return poses, matching, costs


def _put(poses: Pose, rows: torch.Tensor, new: Pose) -> Pose:
    return Pose(*(a.index_copy(0, rows, b) for a, b in zip(poses._tensors, new._tensors, strict=True)))


def _finish(mofs: list[CoarseMOF], problem: Problem, found: _Candidates, config: AssemblyConfig) -> list[Assembly]:
    """Free the finalists of each MOF of contacts and judge them, first the most promising, then the others at once.

    Contacts only add to the cost: a finalist that costs more before than a good one does after them is left out.
    """
    bodies = [(mof, atoms_of(mof, problem.metal.centres.shape[1])) for mof in mofs]
    counts = problem.present.sum(1).tolist()
    finalists = _finalists(problem, found, config)
    done: dict[int, Assembly] = {}
    for part in (slice(1), slice(1, None)):
        rows = [
            (mof, row)
            for mof, kept in enumerate(finalists)
            for row in kept[part]
            if mof not in done or not (done[mof].good and done[mof].cost <= float(found.costs[row]) / counts[mof])
        ]
        if not rows:
            break
        owners, index = [mof for mof, _ in rows], torch.as_tensor([row for _, row in rows], device=found.owner.device)
        results = _freed(bodies, owners, problem, found.poses.select(index), found.matching.select(index), config)
        for mof, result in zip(owners, results, strict=True):
            if mof not in done or _rank(result) < _rank(done[mof]):
                done[mof] = result
    return [done[mof] for mof in range(len(mofs))]


def _freed(bodies: list[Body], owners: list[int], problem: Problem, poses: Pose, matching: Matching, config):
    """The assemblies of poses, one of each owner, after contacts have been pushed apart."""
    atoms = [each for _, each in bodies]
    problem = problem.select(torch.as_tensor(owners, device=poses.lattice.device))
    pairs = _pairs(atoms, owners, poses, matching, problem)
    for _ in range(_CONTACT_ROUNDS):
        touching = [row for row, one in enumerate(pairs) if (one.distances < one.limits).any()]
        if not touching:
            break
        index = torch.as_tensor(touching, device=poses.lattice.device)
        contacts = stack_contacts([(atoms[owners[row]], pairs[row]) for row in touching], _MOST_CONTACTS, index.device)
        part = problem.select(index), poses.select(index), matching.select(index)
        moved, _ = polish(*part, config, _CONTACT_STEPS, contacts)
        poses = _put(poses, index, moved)
        again = _pairs(atoms, [owners[row] for row in touching], moved, part[2], part[0])
        for row, one in zip(touching, again, strict=True):
            pairs[row] = one
    gaps, turns = gaps_and_directions(problem, poses, matching)
    closures, misses = gaps.norm(dim=-1).cpu().numpy(), turns.norm(dim=-1).cpu().numpy()
    results = []
    for row, (mof, n) in enumerate(zip(owners, problem.present.sum(1).tolist(), strict=True)):
        pose = poses.select(torch.as_tensor([row], device=poses.lattice.device))
        partner, images = matching.partner[row, :n].cpu().numpy(), matching.images[row, :n].cpu().numpy()
        misfit = Misfit(closures[row, :n], misses[row, :n], pairs[row])
        results.append(judge(bodies[mof][0], pose, partner, images.astype(np.int64), misfit, config))
    return results


def _finalists(problem: Problem, found: _Candidates, config: AssemblyConfig) -> list[list[int]]:
    """Rows of the cheapest matchings of each MOF, one of each cost: those that close and hang together in three
    dimensions; where there are none, the cheapest of all."""
    owners, values, matching = found.owner.cpu().numpy(), found.costs.cpu().numpy(), found.matching
    gaps = gaps_and_directions(problem.select(found.owner), found.poses, matching)[0].norm(dim=-1).amax(1).cpu().numpy()
    partner, images = matching.partner.cpu().numpy(), matching.images.cpu().numpy().astype(np.int64)
    n_metal = problem.metal.centres.shape[1]
    finalists = []
    for mof, n in enumerate(problem.present.sum(1).tolist()):
        metal, other = problem.metal.block[mof].cpu().numpy()[:n], problem.other.block[mof].cpu().numpy()
        blocks = np.unique(np.concatenate([metal, n_metal + other[:n]]))
        rows = np.flatnonzero(owners == mof)
        rows = rows[np.argsort(values[rows], kind="stable")]
        kept: list[int] = []
        for row in rows:
            if len(kept) == config.finalists:
                break
            if gaps[row] > config.max_closure or any(
                abs(values[row] - values[one]) <= _SAME * (1e-2 + values[one]) for one in kept
            ):
                continue
            ends = np.searchsorted(blocks, np.stack([metal, n_metal + other[partner[row, :n]]], axis=1))
            if min(find_pieces(len(blocks), ends, images[row, :n]).ranks) == _DIMENSIONS:
                kept.append(int(row))
        finalists.append(kept or [int(rows[0])])
    return finalists


def _pairs(atoms: list[Atoms], owners: list[int], poses: Pose, matching: Matching, problem: Problem) -> list[Pairs]:
    rotations, centres, lattices = (x.cpu().numpy() for x in (poses.rotations, poses.centres, poses.lattice))
    partner = matching.partner.cpu().numpy()
    images = matching.images.cpu().numpy().astype(np.int64)
    counts = problem.present.sum(1).tolist()
    return [
        watched_pairs(atoms[mof], rotations[row], centres[row], lattices[row], partner[row, :n], images[row, :n])
        for row, (mof, n) in enumerate(zip(owners, counts, strict=True))
    ]
