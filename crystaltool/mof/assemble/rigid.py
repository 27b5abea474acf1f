"""Many rigid blocks at once: the columns of a batch come last in every tensor, which is how a CPU is quickest.

Vectors have their three components first. Rotations act on row vectors: `x_j = sum_i p_i R_ij`.
"""

from __future__ import annotations

import torch

from crystaltool.arrays import Float

_FLOPPY = 0.02
"""A^2: added to the inertia, so that directions about which its connection points say nothing stay."""


def turned(vectors: Float[torch.Tensor, "3 ..."], rotations: Float[torch.Tensor, "3 3 ..."]) -> torch.Tensor:
    """Vectors of the blocks' frames in that of the cell."""
    return (vectors.unsqueeze(1) * rotations).sum(0)


def cross(a: Float[torch.Tensor, "3 ..."], b: Float[torch.Tensor, "3 ..."]) -> Float[torch.Tensor, "3 ..."]:
    """The vector product."""
    return torch.stack([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])


def inverse_inertia(tensor: Float[torch.Tensor, "3 3 ..."]) -> Float[torch.Tensor, "3 3 ..."]:
    """Of the sum over a block's vectors v of v v^T: what turns a torque into a Gauss-Newton step of its rotation."""
    eye = torch.eye(3, dtype=tensor.dtype, device=tensor.device).view(3, 3, *[1] * (tensor.ndim - 2))
    inertia = (tensor.diagonal().sum(-1) + _FLOPPY) * eye - tensor
    return torch.linalg.inv(inertia.movedim((0, 1), (-2, -1))).movedim((-2, -1), (0, 1))


def turn(
    rotations: Float[torch.Tensor, "3 3 ..."],
    torques: Float[torch.Tensor, "3 ..."],
    inverse: Float[torch.Tensor, "3 3 ..."],
    most: float,
) -> Float[torch.Tensor, "3 3 ..."]:
    """The rotations after one step that follows the torques, by `most` radians at most.

    Args:
        rotations: of the blocks. torques: on them, in the frame of the cell.
        inverse: of the inertia, in the frame of the block. most: radians.
    """
    local = (rotations * torques).sum(1)
    vector = turned((inverse * local).sum(1), rotations)
    angle = vector.square().sum(0).sqrt().clamp_min(1e-6)
    step = angle.clamp_max(most)
    x, y, z = vector / angle
    sine, rest = torch.sin(step), 1 - torch.cos(step)
    rows = [
        1 - rest * (y * y + z * z), rest * x * y + sine * z, rest * x * z - sine * y,
        rest * x * y - sine * z, 1 - rest * (x * x + z * z), rest * y * z + sine * x,
        rest * x * z + sine * y, rest * y * z - sine * x, 1 - rest * (x * x + y * y),
    ]  # fmt: skip
    by = torch.stack(rows).unflatten(0, (3, 3))
    return (rotations.unsqueeze(2) * by).sum(1)


def rotations_of(quaternions: Float[torch.Tensor, "4 ..."]) -> Float[torch.Tensor, "3 3 ..."]:
    """Rotations of quaternions of any length; uniform for normal quadruples."""
    w, x, y, z = quaternions / quaternions.square().sum(0).sqrt()
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows).unflatten(0, (3, 3))
