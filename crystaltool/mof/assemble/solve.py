"""From coarse-grained MOFs to posed ones: gate, anneal many starts, match, polish, free of contacts, judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from crystaltool.mof.assemble.contacts import Atoms, Pairs, atoms_of, stack_contacts, watched_pairs
from crystaltool.mof.assemble.gate import gate
from crystaltool.mof.assemble.judge import judge
from crystaltool.mof.assemble.matching import Matching, match
from crystaltool.mof.assemble.nouns import Assembly, AssemblyConfig, best
from crystaltool.mof.assemble.polish import gaps_and_directions, polish
from crystaltool.mof.assemble.problem import Pose, Problem, build_problem, padded_size
from crystaltool.mof.assemble.search import search
from crystaltool.mof.blocks import CoarseMOF

_POLISH_STEPS, _REMATCH_ROUNDS, _CONTACT_STEPS, _CONTACT_ROUNDS = 8, 3, 8, 2
_MOST_CONTACTS = 96
_BRIEF_GENERATIONS = 2
_SAME = 1e-3
"""A^2: polished matchings whose sums of squares agree this well are taken for the same structure."""

_MOST_AT_ONCE = 4_000_000
"""Pairs of connection points in one batch of the annealing, over all starts and MOFs."""


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
    groups: dict[tuple[int, int, int], list[int]] = {}
    for index, mof in enumerate(mofs):
        refusal = gate(mof)
        if refusal is not None:
            results[index] = refusal
        else:
            groups.setdefault(padded_size(mof), []).append(index)
    for size, members in groups.items():
        todo = members
        for round_ in range(config.rounds):
            at_once = max(1, _MOST_AT_ONCE // (size[2] ** 2 * config.starts)) if on_gpu else 1
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
) -> Assembly:
    """The best assembly of several decodings of one sample: all are looked at briefly, the most promising at length.

    Args:
        decodings: MOFs with the same places and other blocks. config, seed, device: as for `assemble_many`.
        item: number of the sample; decoding k draws from (seed, item, k).
    """
    config = config or AssemblyConfig()
    items = [(item, number) for number in range(len(decodings))]
    if len(decodings) == 1:
        return assemble_many(decodings, config, seed, items, device)[0]
    brief = replace(config, rounds=1, generations=min(_BRIEF_GENERATIONS, config.generations))
    found = assemble_many(decodings, brief, seed, items, device)
    first = best(found)
    if first.reason == "parity":
        return first
    chosen = next(number for number, one in enumerate(found) if one is first)
    return best([first, *assemble_many([decodings[chosen]], config, seed, [(item, chosen)], device)])


def _rank(one: Assembly) -> tuple[bool, float]:
    return not one.good, one.cost


def _solve(
    mofs: list[CoarseMOF], draws: list[np.random.Generator], config: AssemblyConfig, device: str | torch.device
) -> list[Assembly]:
    """One round of starts for MOFs of one padded size."""
    problem = build_problem(mofs, device)
    pool = search(problem, draws, config)
    owner = torch.as_tensor(pool.owner, device=problem.lattice.device)
    wide = problem.select(owner)
    poses, matching, costs = _polish_and_match(wide, pool.state.pose(wide), config)
    return _finish(mofs, problem, owner, poses, matching, costs, config)


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


def _finish(mofs, problem: Problem, owner, poses: Pose, matching: Matching, costs, config) -> list[Assembly]:
    """Free the finalists of each MOF of contacts and judge them; the best of each."""
    n_metal = problem.metal.centres.shape[1]
    atoms = [atoms_of(mof, n_metal) for mof in mofs]
    rows = _finalists(owner, costs, config)
    owner = owner[rows]
    problem, poses, matching = problem.select(owner), poses.select(rows), matching.select(rows)
    owners = owner.tolist()
    for _ in range(_CONTACT_ROUNDS):
        pairs = _pairs(atoms, owners, poses, matching, problem)
        touching = [row for row, found in enumerate(pairs) if (found.distances < found.limits).any()]
        if not touching:
            break
        index = torch.as_tensor(touching, device=owner.device)
        contacts = stack_contacts([(atoms[owners[row]], pairs[row]) for row in touching], _MOST_CONTACTS, owner.device)
        moved, _ = polish(
            problem.select(index), poses.select(index), matching.select(index), config, _CONTACT_STEPS, contacts
        )
        poses = _put(poses, index, moved)
    pairs = _pairs(atoms, owners, poses, matching, problem)
    gaps, turns = gaps_and_directions(problem, poses, matching)
    closures, misses = gaps.norm(dim=-1).cpu().numpy(), turns.norm(dim=-1).cpu().numpy()
    found: dict[int, Assembly] = {}
    for row, mof in enumerate(owners):
        n = int(problem.present[row].sum())
        result = judge(
            mofs[mof],
            poses.select(torch.as_tensor([row], device=owner.device)),
            matching.partner[row, :n].cpu().numpy(),
            matching.images[row, :n].cpu().numpy().astype(np.int64),
            closures[row, :n],
            misses[row, :n],
            pairs[row],
            config,
        )
        if mof not in found or _rank(result) < _rank(found[mof]):
            found[mof] = result
    return [found[mof] for mof in range(len(mofs))]


def _finalists(owner: torch.Tensor, costs: torch.Tensor, config: AssemblyConfig) -> torch.Tensor:
    owners, values = owner.cpu().numpy(), costs.cpu().numpy()
    chosen: list[int] = []
    for mof in range(int(owners.max()) + 1):
        rows = np.flatnonzero(owners == mof)
        kept: list[int] = []
        for row in rows[np.argsort(values[rows], kind="stable")]:
            if len(kept) < config.finalists and all(
                abs(values[row] - values[other]) > _SAME * (1e-2 + values[other]) for other in kept
            ):
                kept.append(int(row))
        chosen += kept
    return torch.as_tensor(chosen, device=owner.device)


def _pairs(atoms: list[Atoms], owners: list[int], poses: Pose, matching: Matching, problem: Problem) -> list[Pairs]:
    rotations, centres, lattices = (x.cpu().numpy() for x in (poses.rotations, poses.centres, poses.lattice))
    partner = matching.partner.cpu().numpy()
    images = matching.images.cpu().numpy().astype(np.int64)
    counts = problem.present.sum(1).tolist()
    return [
        watched_pairs(atoms[mof], rotations[row], centres[row], lattices[row], partner[row, :n], images[row, :n])
        for row, (mof, n) in enumerate(zip(owners, counts, strict=True))
    ]
