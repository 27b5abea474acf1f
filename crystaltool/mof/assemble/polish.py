"""Joint least squares on rotations, centres and cell for a given matching: batched Levenberg-Marquardt.

Residuals: the gap of every connection, the sum of the unit vectors of its two half bonds (zero where they are
antiparallel), contacts between atoms, and weak pulls to the given centres and cell. Unknowns of a block: a rotation
vector and a translation; of the cell: a symmetric strain, centres moving with it. (Levenberg, Q. Appl. Math. 2 (1944)
164; Marquardt, J. SIAM 11 (1963) 431.)
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from crystaltool.arrays import Float
from crystaltool.mof.assemble.assembly import AssemblyConfig
from crystaltool.mof.assemble.contacts import Contacts
from crystaltool.mof.assemble.matching import Matching
from crystaltool.mof.assemble.problem import Pose, Problem, of_blocks, of_points

_DAMPING = 1e-2
_SETTLED = 1e-4
"""Relative change of a sum of squares below which a pose has come to rest."""

_MOST_TURN, _MOST_STEP, _MOST_STRAIN = 0.5, 1.5, 0.05
"""Largest step: radians, A, unit of strain."""


def polish(
    problem: Problem,
    pose: Pose,
    matching: Matching,
    config: AssemblyConfig,
    steps: int,
    contacts: Contacts | None = None,
) -> tuple[Pose, Float[torch.Tensor, " B"]]:
    """The pose after `steps` steps and the sum of its squared residuals, A^2; it ends when no cost falls any more."""
    damping = torch.full((len(problem.lattice),), _DAMPING, dtype=pose.lattice.dtype, device=pose.lattice.device)
    residuals, slopes = _linearise(problem, pose, matching, config, contacts)
    cost = residuals.square().sum(-1)
    if not steps:
        return pose, cost
    jacobian = slopes()
    for left in reversed(range(steps)):
        normal = jacobian.mT @ jacobian
        gradient = (jacobian.mT @ residuals[..., None]).squeeze(-1)
        diagonal = normal.diagonal(dim1=-2, dim2=-1)
        normal = normal + torch.diag_embed(damping[:, None] * diagonal + 1e-6)
        step = torch.linalg.solve(normal, -gradient)
        trial = _move(pose, step)
        new_residuals, slopes = _linearise(problem, trial, matching, config, contacts)
        new_cost = new_residuals.square().sum(-1)
        better = new_cost < cost
        settled = (cost - new_cost).abs() <= _SETTLED * (cost + 1e-3)
        pose = trial.where(better, pose)
        cost = torch.where(better, new_cost, cost)
        if not left or settled.all():
            break
        residuals = torch.where(better[:, None], new_residuals, residuals)
        if better.any():
            jacobian = torch.where(better[:, None, None], slopes(), jacobian)
        damping = torch.where(better, damping * 0.2, damping * 6.0).clamp(1e-7, 1e4)
    return pose, cost


def gaps_and_directions(
    problem: Problem, pose: Pose, matching: Matching
) -> tuple[Float[torch.Tensor, "B N 3"], Float[torch.Tensor, "B N 3"]]:
    """For every connection the gap between its two points, and the sum of the unit vectors of its half bonds."""
    parts = _ends(problem, pose, matching)
    return parts["gap"], parts["turn"]


def _ends(problem: Problem, pose: Pose, matching: Matching) -> dict[str, torch.Tensor]:
    metal, other = problem.metal, problem.other
    rows = torch.arange(len(pose.lattice), device=pose.lattice.device)[:, None]
    partner_block = other.block[rows, matching.partner]
    arm = of_points(metal.points, pose.metal_rotations, metal.block)
    partner_arm = of_points(other.points[rows, matching.partner], pose.other_rotations, partner_block)
    ray = of_points(metal.directions, pose.metal_rotations, metal.block)
    partner_ray = of_points(other.directions[rows, matching.partner], pose.other_rotations, partner_block)
    apart = (
        of_blocks(pose.metal_centres, metal.block)
        - of_blocks(pose.other_centres, partner_block)
        - matching.images @ pose.lattice
    )
    present = problem.present[..., None]
    return {
        "arm": arm,
        "partner_arm": partner_arm,
        "ray": ray,
        "partner_ray": partner_ray,
        "apart": apart,
        "gap": (apart + arm - partner_arm) * present,
        "turn": (ray + partner_ray) * present,
        "partner_block": partner_block,
    }


_Slopes = Callable[[], torch.Tensor]
"""Gives the derivatives of residuals by the unknowns; they cost more than the residuals, and are not always needed."""


def _linearise(
    problem: Problem, pose: Pose, matching: Matching, config: AssemblyConfig, contacts: Contacts | None
) -> tuple[Float[torch.Tensor, "B R"], _Slopes]:
    """Residuals, and what gives their derivatives (B, R, 6 blocks + 6)."""
    parts = _ends(problem, pose, matching)
    eye = torch.eye(3, dtype=pose.lattice.dtype, device=pose.lattice.device)
    given = torch.cat([problem.metal.centres, problem.other.centres], 1)
    frac = given @ torch.linalg.inv(problem.lattice)
    pulls = config.centre_pull * (pose.centres - frac @ pose.lattice)
    strain = torch.linalg.solve(problem.lattice, pose.lattice) - eye
    strain = config.lattice_pull * _voigt(strain + strain.mT) / 2
    residuals = [parts["gap"].flatten(1), config.direction * parts["turn"].flatten(1), pulls.flatten(1), strain]
    touching = None
    if contacts is not None:
        pushes, touching = _linearise_contacts(pose, contacts, config.contact_weight)
        residuals.append(pushes)

    def slopes() -> torch.Tensor:
        rows = _rows(problem, pose, parts, config)
        return torch.cat(rows if touching is None else [*rows, touching()], 1).flatten(-2)

    return torch.cat(residuals, 1), slopes


def _rows(problem: Problem, pose: Pose, parts: dict[str, torch.Tensor], config: AssemblyConfig) -> list[torch.Tensor]:
    """Derivatives of gaps, directions and pulls, each (B, R, blocks + 1, 6)."""
    n_batch, n_points = parts["gap"].shape[:2]
    n_metal, n_other = pose.metal_centres.shape[1], pose.other_centres.shape[1]
    n_blocks = n_metal + n_other
    eye = torch.eye(3, dtype=pose.lattice.dtype, device=pose.lattice.device)
    zeros, device = eye.new_zeros, eye.device
    batch = torch.arange(n_batch, device=device)[:, None]
    point = torch.arange(n_points, device=device)[None]
    block, partner = problem.metal.block, parts["partner_block"] + n_metal
    present = problem.present[..., None, None]
    gap_rows = zeros(n_batch, n_points, 3, n_blocks + 1, 6)
    turn_rows = torch.zeros_like(gap_rows)
    still = zeros(n_batch, n_points, 3, 3)
    unit = eye.expand_as(still)
    gap_rows[batch, point, :, block] = torch.cat([_turning(parts["arm"]), unit], -1) * present
    gap_rows[batch, point, :, partner] = -torch.cat([_turning(parts["partner_arm"]), unit], -1) * present
    gap_rows[:, :, :, n_blocks] = _straining(parts["apart"]) * present
    lever = config.direction
    turn_rows[batch, point, :, block] = lever * torch.cat([_turning(parts["ray"]), still], -1) * present
    turn_rows[batch, point, :, partner] = lever * torch.cat([_turning(parts["partner_ray"]), still], -1) * present
    pull_rows = zeros(n_batch, n_blocks, 3, n_blocks + 1, 6)
    index = torch.arange(n_blocks, device=device)
    pull_rows[:, index, :, index, 3:] = config.centre_pull * eye
    strain_rows = zeros(n_batch, 6, n_blocks + 1, 6)
    strain_rows[:, :, n_blocks] = config.lattice_pull * torch.eye(6, dtype=eye.dtype, device=device)
    return [gap_rows.flatten(1, 2), turn_rows.flatten(1, 2), pull_rows.flatten(1, 2), strain_rows]


def _linearise_contacts(pose: Pose, contacts: Contacts, weight: float) -> tuple[Float[torch.Tensor, "B M"], _Slopes]:
    """What pairs of atoms lack in distance, and what gives its derivatives (B, M, blocks + 1, 6)."""
    rotations, centres = pose.rotations, pose.centres
    n_batch, n_pairs = contacts.limit.shape
    n_blocks = centres.shape[1]
    arms = [of_points(contacts.coords[:, :, k], rotations, contacts.blocks[:, :, k]) for k in (0, 1)]
    ends = [of_blocks(centres, contacts.blocks[:, :, k]) for k in (0, 1)]
    apart = ends[0] - ends[1] - contacts.images @ pose.lattice
    vector = apart + arms[0] - arms[1]
    distance = vector.norm(dim=-1).clamp_min(1e-3)
    depth = (contacts.limit - distance).clamp_min(0.0)

    def slopes() -> torch.Tensor:
        toward = -weight * (vector / distance[..., None]) * (depth > 0)[..., None]
        rows = torch.zeros(n_batch, n_pairs, n_blocks + 1, 6, dtype=vector.dtype, device=vector.device)
        batch = torch.arange(n_batch, device=vector.device)[:, None]
        pair = torch.arange(n_pairs, device=vector.device)[None]
        for k, sign in ((0, 1.0), (1, -1.0)):
            turn = (toward[..., None, :] @ _turning(arms[k])).squeeze(-2)
            rows[batch, pair, contacts.blocks[:, :, k]] += sign * torch.cat([turn, toward], -1)
        rows[:, :, n_blocks] = (toward[..., None, :] @ _straining(apart)).squeeze(-2)
        return rows

    return weight * depth, slopes


def _turning(vectors: torch.Tensor) -> torch.Tensor:
    """Derivatives of vectors by the rotation vector that turns them: columns of w -> w x v."""
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, z, -y, -z, zero, x, y, -x, zero], -1).unflatten(-1, (3, 3))


def _straining(vectors: torch.Tensor) -> torch.Tensor:
    """Derivatives of v (1 + E) by the components xx, yy, zz, yz, xz, xy of a symmetric strain."""
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([x, zero, zero, zero, z, y, zero, y, zero, z, zero, x, zero, zero, z, y, x, zero], -1).unflatten(
        -1, (3, 6)
    )


def _voigt(matrix: torch.Tensor) -> torch.Tensor:
    return torch.stack([matrix[..., i, j] for i, j in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))], -1)


def _move(pose: Pose, step: torch.Tensor) -> Pose:
    parts = step.unflatten(-1, (-1, 6))
    turns, moves, voigt = parts[:, :-1, :3], parts[:, :-1, 3:], parts[:, -1]
    turns = turns * (_MOST_TURN / turns.norm(dim=-1, keepdim=True).clamp_min(_MOST_TURN))
    moves = moves * (_MOST_STEP / moves.norm(dim=-1, keepdim=True).clamp_min(_MOST_STEP))
    xx, yy, zz, yz, xz, xy = voigt.clamp(-_MOST_STRAIN, _MOST_STRAIN).unbind(-1)
    strain = torch.stack([xx, xy, xz, xy, yy, yz, xz, yz, zz], -1).unflatten(-1, (3, 3))
    n_metal = pose.metal_centres.shape[1]
    turned = pose.rotations @ _rotation_of(turns).mT
    moved = pose.centres + pose.centres @ strain + moves
    return Pose(
        turned[:, :n_metal],
        moved[:, :n_metal],
        turned[:, n_metal:],
        moved[:, n_metal:],
        pose.lattice + pose.lattice @ strain,
    )


def _rotation_of(vectors: torch.Tensor) -> torch.Tensor:
    """Rotation matrices (columns) of rotation vectors: Rodrigues' formula."""
    angle = vectors.norm(dim=-1)[..., None, None]
    cross = _turning(vectors).mT  # v x
    eye = torch.eye(3, dtype=vectors.dtype, device=vectors.device)
    sine = torch.sinc(angle / torch.pi)
    half = torch.sinc(angle / (2 * torch.pi))
    return eye + sine * cross + 0.5 * half**2 * (cross @ cross)
