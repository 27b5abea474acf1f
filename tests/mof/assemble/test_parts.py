"""The parts of the assembly, each against an independent reckoning: autograd, brute force, all permutations."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, permutations

import numpy as np
import pytest
import torch

from crystaltool.crystal import Crystal
from crystaltool.lattice import parameters_to_matrix
from crystaltool.mof.assemble import AssemblyConfig
from crystaltool.mof.assemble.anneal import anneal, pairs, sinkhorn
from crystaltool.mof.assemble.batched import BatchedPoses, batched_problem
from crystaltool.mof.assemble.compare import automorphisms, rmsd
from crystaltool.mof.assemble.contacts import atoms_of, pair_keys, stack_contacts, watched_pairs, within_three_bonds
from crystaltool.mof.assemble.matching import match
from crystaltool.mof.assemble.orientations import orient
from crystaltool.mof.assemble.polish import _linearise, _move, gaps_and_directions, polish
from crystaltool.mof.assemble.problem import Pose, block_order, build_problem, padded_size
from crystaltool.mof.assemble.rigid import inverse_inertia, rotations_of, turn
from crystaltool.mof.assemble.verdict import _bonds_twice
from crystaltool.mof.blocks import CoarseMOF, Connections
from crystaltool.mof.elements import COVALENT_RADIUS
from tests.mof.assemble.nets import cubic_net, cut, unposed

CONFIG = AssemblyConfig(max_closure=0.5)
TRICLINIC = parameters_to_matrix(13.0, 15.0, 17.0, 71.0, 83.0, 104.0)


def posed(mof: CoarseMOF, rotations: np.ndarray, beside: tuple[CoarseMOF, ...] = ()) -> tuple:
    """The problem of one MOF, with the places of the largest of those beside it, and the pose with these rotations."""
    problem = build_problem([mof, *beside]).select(torch.tensor([0]))
    places = []
    for side, order in zip((problem.metal, problem.other), block_order(mof), strict=True):
        turns = np.tile(np.eye(3), (side.centres.shape[1], 1, 1))
        turns[: len(order)] = rotations[order]
        places += [torch.as_tensor(turns)[None], side.centres]
    return problem, Pose(*places, problem.lattice)


def random_rotations(n: int, seed: int) -> torch.Tensor:
    """Shape (n, 3, 3)."""
    quaternions = torch.as_tensor(np.random.default_rng(seed).standard_normal((n, 4)))
    return rotations_of(quaternions.T).permute(2, 0, 1)


def random_pose(mof: CoarseMOF, seed: int, beside: tuple[CoarseMOF, ...] = ()) -> tuple:
    return posed(mof, random_rotations(mof.n_blocks, seed).numpy(), beside)


def state_of(pose: Pose) -> BatchedPoses:
    """The same with its rows as columns, in single precision."""
    return BatchedPoses(pose.rotations.permute(2, 3, 1, 0).float(), pose.centres.permute(2, 1, 0).float())


def crowded() -> CoarseMOF:
    """A net in a cell six tenths too small, so that its blocks run into each other and into their own copies."""
    net = cubic_net(parameters_to_matrix(12.5, 13.0, 14.0, 75.0, 85.0, 100.0))
    return replace(net, lattice=0.6 * net.lattice)


def test_rotations_of_quaternions_are_proper() -> None:
    rotations = random_rotations(50, 0)
    assert torch.allclose(rotations @ rotations.mT, torch.eye(3, dtype=torch.float64).expand(50, 3, 3), atol=1e-12)
    assert torch.allclose(torch.linalg.det(rotations), torch.ones(50, dtype=torch.float64))
    half_turn = rotations_of(torch.tensor([0.0, 0.0, 3.0, 0.0]))
    assert torch.allclose(half_turn, torch.diag(torch.tensor([-1.0, 1.0, -1.0])))


def test_torques_turn_blocks_onto_their_targets() -> None:
    """Each step is a rotation, no farther than allowed; a few of them end where the Kabsch algorithm does."""
    vectors, true = torch.as_tensor(np.random.default_rng(1).standard_normal((3, 7, 1))), random_rotations(20, 1)
    targets = torch.einsum("inb,bij->jnb", vectors.expand(3, 7, 20), true)
    inverse = inverse_inertia((vectors[:, None] * vectors[None]).sum(2))
    start = true @ random_rotations(20, 2)
    angle = torch.arccos((torch.einsum("bij,bij->b", start, true) - 1) / 2)
    rotations = start[angle < 2.5].permute(1, 2, 0)
    targets = targets[..., angle < 2.5]
    for _ in range(30):
        placed = torch.einsum("inb,ijb->jnb", vectors.expand(targets.shape), rotations)
        before, torques = rotations, torch.linalg.cross(placed, targets, dim=0).sum(1)
        rotations = turn(rotations, torques, inverse, 0.7)
        moved = torch.einsum("ijb,ijb->b", before, rotations)
        assert (moved > 1 + 2 * np.cos(0.7) - 1e-6).all()
    assert torch.allclose(rotations.permute(2, 0, 1), true[angle < 2.5], atol=1e-3)


def test_sinkhorn_ends_near_rows_and_columns_of_one() -> None:
    present = torch.tensor([[True] * 5 + [False] * 3, [True] * 8]).T
    weights = sinkhorn(torch.as_tensor(np.random.default_rng(2).uniform(0, 4, (8, 8, 2))), present, 50)
    assert torch.allclose(weights.sum(0), present.double(), atol=1e-6)
    assert torch.allclose(weights.sum(1), present.double(), atol=1e-6)
    assert (weights[5:, :, 0] == 0).all()
    assert (weights[:, 5:, 0] == 0).all()


def test_annealing_keeps_a_true_pose() -> None:
    mof = cut("MOF-5")
    assert mof.rotations is not None
    problem, pose = posed(mof, mof.rotations)
    columns = batched_problem(problem, CONFIG.direction)
    end = anneal(columns, state_of(pose), CONFIG, torch.tensor([0.5]), 6).pose(problem)
    gaps, _ = gaps_and_directions(problem, end, match(problem, end, 1.0)[0])
    assert gaps.norm(dim=-1).max() < 0.1


def test_costs_of_the_annealing_are_those_of_the_matching() -> None:
    """In single precision and in its own layout."""
    problem, pose = random_pose(cubic_net(TRICLINIC), 3)
    columns = batched_problem(problem, 1.0)
    both, points = columns.place(state_of(pose))
    _, costs = pairs(columns, both[:, 1], points, 1.0)
    matching, exact = match(problem, pose, 1.0)
    picked = torch.take_along_dim(costs[..., 0].T, matching.partner[0][:, None], 1)
    assert torch.allclose(picked[:, 0].double(), exact[0], atol=1e-3)


@pytest.mark.parametrize("name", ["HKUST-1", "MOF-5", "ZIF-8"])
def test_centres_of_the_neighbours_alone_tell_how_a_block_may_face(name: str) -> None:
    """Among the orientations without misfit is one that puts every connection point near where one truly is.

    Not the only one: the plane of a terephthalate in MOF-5 does not follow from the centres of its nodes.
    """
    mof = cut(name)
    assert mof.rotations is not None
    problem, pose = posed(mof, mof.rotations)
    normals = torch.as_tensor(np.random.default_rng(0).standard_normal((4, pose.rotations.shape[1], 64)))
    found = orient(problem, normals, 8)
    assert (found.misfits.min(1) < 0.02).all()
    assert orient(problem, normals, 0).misfits.mean() > 0.2
    n_metal = problem.metal.centres.shape[1]
    for side, start in ((problem.metal, 0), (problem.other, n_metal)):
        for k in range(side.centres.shape[1]):
            points = side.points[0][side.block[0] == k]
            suited = found.rotations[:, :, start + k, found.misfits[start + k] < 0.05].permute(2, 0, 1).double()
            apart = torch.cdist(points @ suited, (points @ pose.rotations[0, start + k]).expand(len(suited), -1, -1))
            assert apart.min(2)[0].max(1)[0].min() < 0.7


def test_matching_is_the_best_of_all_permutations_and_images() -> None:
    mof = cubic_net(TRICLINIC)
    problem, pose = random_pose(mof, 3)
    matching, costs = match(problem, pose, 1.0)
    n = int(problem.present.sum())
    metal, other = mof.blocks[0], mof.blocks[1:]
    ours = metal.connection_coords @ pose.metal_rotations[0, 0].numpy()
    rays = metal.cut_vectors @ pose.metal_rotations[0, 0].numpy()
    theirs, their_rays = [], []
    for k, block in enumerate(other):
        turn = pose.other_rotations[0, k].numpy()
        theirs += list(block.connection_coords @ turn + (mof.centres @ mof.lattice)[k + 1])
        their_rays += list(block.cut_vectors @ turn)
    cells = np.stack(np.meshgrid(*[range(-2, 3)] * 3, indexing="ij"), -1).reshape(-1, 3) @ mof.lattice
    table = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            gap = np.square(theirs[j] + cells - ours[i]).sum(1).min()
            cosine = rays[i] @ their_rays[j] / np.linalg.norm(rays[i]) / np.linalg.norm(their_rays[j])
            table[i, j] = gap + 2 * (1 + cosine)
    least = min(sum(table[i, p] for i, p in enumerate(order)) for order in permutations(range(n)))
    assert float(costs.sum()) == pytest.approx(least, rel=1e-9)
    assert sorted(matching.partner[0, :n].tolist()) == list(range(n))


@pytest.mark.parametrize("seed", [0, 1])
def test_derivatives_of_the_residuals(seed: int) -> None:
    """Against finite differences, with contacts, a strained cell and padded places."""
    mof = crowded()
    problem, pose = random_pose(mof, seed, (cut("MOF-5"),))
    assert problem.present.shape[1] > problem.present.sum()
    generator = torch.Generator().manual_seed(seed)
    n_unknowns = 6 * (pose.rotations.shape[1] + 1)
    pose = _move(pose, 0.05 * torch.randn(1, n_unknowns, dtype=torch.float64, generator=generator))
    matching, _ = match(problem, pose, 1.0)
    atoms, pairs = pairs_of(mof, problem, pose, matching)
    assert (pairs.distances < pairs.limits).any()
    contacts = stack_contacts([(atoms, pairs)], 64, "cpu")
    residuals, slopes = _linearise(problem, pose, matching, CONFIG, contacts)
    jacobian = slopes()
    step = 1e-6
    columns = []
    for k in range(n_unknowns):
        shift = torch.zeros(1, n_unknowns, dtype=torch.float64)
        shift[0, k] = step
        ends = [_linearise(problem, _move(pose, s * shift), matching, CONFIG, contacts)[0] for s in (1, -1)]
        columns.append((ends[0] - ends[1]) / (2 * step))
    numeric = torch.stack(columns, -1)
    # pulls follow the strain in second order; where the pose is off its given place, that much is left out
    n_pull = 3 * pose.rotations.shape[1] + 6
    start = residuals.shape[1] - contacts.limit.shape[1] - n_pull
    exact = torch.ones(residuals.shape[1], dtype=torch.bool)
    exact[start : start + n_pull] = False
    assert torch.allclose(jacobian[:, exact], numeric[:, exact], atol=2e-5)
    assert torch.allclose(jacobian[:, ~exact], numeric[:, ~exact], atol=0.15)


def test_polish_never_raises_the_cost_and_closes_a_near_pose() -> None:
    mof = unposed(cut("MOF-5"), noise=0.2)
    rotations = cut("MOF-5").rotations
    assert rotations is not None
    problem, pose = posed(mof, rotations)
    matching, _ = match(problem, pose, 1.0)
    costs = [float(polish(problem, pose, matching, CONFIG, steps)[1]) for steps in range(8)]
    assert all(after <= before for before, after in pairwise(costs))
    end, _ = polish(problem, pose, matching, CONFIG, 8)
    before, after = (gaps_and_directions(problem, p, matching)[0].norm(dim=-1).max() for p in (pose, end))
    assert after < 0.25 * before


def pairs_of(mof: CoarseMOF, problem, pose, matching) -> tuple:
    n = int(problem.present.sum())
    atoms = atoms_of(mof, problem.metal.centres.shape[1])
    parts = (x[0].numpy() for x in (pose.rotations, pose.centres, pose.lattice))
    images = matching.images[0, :n].numpy().astype(np.int64)
    return atoms, watched_pairs(atoms, *parts, matching.partner[0, :n].numpy(), images)


def test_watched_pairs_are_all_the_close_ones_but_neighbours_along_bonds() -> None:
    """By brute force over images and by walking the bonds."""
    mof = crowded()
    problem, pose = random_pose(mof, 4)
    matching, _ = match(problem, pose, 1.0)
    atoms, pairs = pairs_of(mof, problem, pose, matching)
    lattice = pose.lattice[0].numpy()
    cart = np.einsum("ai,aij->aj", atoms.coords, pose.rotations[0].numpy()[atoms.block])
    cart = cart + pose.centres[0].numpy()[atoms.block]
    n = int(problem.present.sum())
    ends = np.column_stack([atoms.metal_atoms, atoms.other_atoms[matching.partner[0, :n].numpy()]])
    links: dict[int, list] = {}
    inner = [(*pair, (0, 0, 0)) for pair in atoms.bonds.tolist()]
    cross = [
        (*pair, tuple(image)) for pair, image in zip(ends.tolist(), matching.images[0, :n].int().tolist(), strict=True)
    ]
    for i, j, image in inner + cross:
        links.setdefault(i, []).append((j, np.array(image)))
        links.setdefault(j, []).append((i, -np.array(image)))

    def reached(atom: int) -> set:
        front, seen = [(atom, np.zeros(3, dtype=int))], {(atom, (0, 0, 0))}
        for _ in range(3):
            front = [(other, cell + image) for at, cell in front for other, image in links.get(at, [])]
            seen |= {(other, tuple(cell.tolist())) for other, cell in front}
        return seen

    found = {(i, j, tuple(c)) for (i, j), c in zip(pairs.atoms.tolist(), pairs.images.tolist(), strict=True)}
    cells = np.stack(np.meshgrid(*[range(-3, 4)] * 3, indexing="ij"), -1).reshape(-1, 3)
    for i in range(len(cart)):
        near = reached(i)
        for j in range(len(cart)):
            distances = np.linalg.norm(cart[j] + cells @ lattice - cart[i], axis=1)
            close = COVALENT_RADIUS[atoms.numbers[[i, j]]].sum() + 0.4  # the limit of every pair is above
            for cell, touching in zip(map(tuple, cells.tolist()), distances < close, strict=True):
                one_block = atoms.block[i] == atoms.block[j] and not any(cell)
                listed = (i, j, cell) in found or (j, i, tuple(-c for c in cell)) in found
                if one_block or (j, cell) in near:
                    assert not listed
                elif touching:
                    assert listed
    assert len(found) > 20


def test_three_bonds_and_no_more() -> None:
    """A chain through the cell: atom 0 meets its own image after four bonds."""
    bonds, images = np.array([[0, 1], [1, 2], [2, 3], [3, 0]]), np.array([[0, 0, 0]] * 3 + [[1, 0, 0]])
    near = within_three_bonds(4, bonds, images)

    def listed(i: int, j: int, cell: int) -> bool:
        return bool(np.isin(pair_keys(np.array([i]), np.array([j]), np.array([[cell, 0, 0]]), 4), near)[0])

    assert listed(0, 3, 0) and listed(0, 3, -1) and listed(0, 2, 0) and listed(3, 1, 1)
    assert not listed(0, 0, 1)
    assert not listed(1, 0, 2)


def test_places_depend_on_the_mof_alone() -> None:
    net = cubic_net(TRICLINIC)
    assert padded_size(net) == (4, 4, 8)
    assert build_problem([net]).present.shape == (1, 6)
    assert padded_size(replace(net, centres=net.centres + 0.3)) == (4, 4, 8)


def test_reduced_cells_reach_the_nearest_image() -> None:
    """A skewed basis gives the same gaps as a compact one."""
    net = cubic_net(TRICLINIC)
    skew = np.array([[1, 0, 0], [3, 1, 0], [-2, 1, 1]])
    skewed = replace(net, lattice=skew @ net.lattice, centres=net.centres @ np.linalg.inv(skew))
    assert Crystal(skewed.lattice, skewed.centres, np.array([1] * 4)).volume == pytest.approx(
        np.linalg.det(net.lattice)
    )
    totals = [float(match(*random_pose(mof, 5), 1.0)[1].sum()) for mof in (net, skewed)]
    assert totals[0] == pytest.approx(totals[1])


def test_the_same_crystal_moved_and_turned_is_no_distance_away() -> None:
    """A net whose cell vectors are renamed and mirrored and whose origin is shifted; then one atom is moved."""
    true = cut("MOF-5")
    assert true.rotations is not None
    for symmetry in automorphisms(true.lattice):
        frac = true.centres @ symmetry
        move = np.linalg.inv(true.lattice) @ symmetry @ true.lattice  # proper or not, of Cartesian row vectors
        if np.linalg.det(move) > 0:
            moved = replace(true, centres=frac + np.array([0.1, 0.7, 0.4]), rotations=true.rotations @ move)
            assert rmsd(true, moved) < 1e-6
    assert len(automorphisms(true.lattice)) == 48
    blocks = list(true.blocks)
    coords = blocks[0].cart_coords.copy()
    coords[0] += [0.3, 0.0, 0.0]
    blocks[0] = replace(blocks[0], cart_coords=coords)
    assert rmsd(true, replace(true, blocks=tuple(blocks))) == pytest.approx(0.3 / np.sqrt(true.n_atoms), rel=1e-3)


def test_two_points_between_one_pair_of_atoms_are_one_bond_too_many() -> None:
    """Both points of an oxygen meet both of a zinc: in one cell that is a bond twice, across its face two bonds."""
    atoms = [np.array([2, 2]), np.array([0, 0])]
    blocks, points = np.array([[0, 1], [0, 1]]), np.array([[0, 0], [1, 1]])
    here, there = np.zeros((2, 3), dtype=np.int64), np.array([[0, 0, 0], [1, 0, 0]])
    assert _bonds_twice(atoms, Connections(blocks, points, here)) == 1
    assert _bonds_twice(atoms, Connections(blocks, points, there)) == 0
