"""Bonded terms as functions of bond vectors: energies, derivatives and a positive model of the second ones.

Each kind of term has one internal coordinate q (a length, the cosine of an angle, a dihedral angle, the sine of an
inversion angle) with an analytic gradient. The model Hessian keeps E'' (dq/dx)(dq/dx)^T where E'' is positive, plus,
for angles beyond their natural value, the part that is left where the gradient of the cosine vanishes: without it a
linear angle has no stiffness (Gauss-Newton; as the force-field preconditioners of Mones, Ortner, Csanyi, Sci. Rep. 8,
13991 (2018)).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from crystaltool.arrays import Float

TINY = 1e-9
GUARDED_COSINE = 0.5
_FLATTEST = 0.05
"""Smallest cosine of an inversion angle that is divided by: an axis may stand upright for a moment."""


@dataclass(frozen=True)
class TermValues:
    """What a kind of term gives at a geometry.

    Args:
        energy: of each term, eV; shape (n_terms,).
        slope: dE/dq; shape (n_terms,).
        curvature: d2E/dq2; shape (n_terms,).
        gradient: of q by each of the term's bond vectors as they stand in the graph; shape (n_terms, n_vectors, 3).
    """

    energy: torch.Tensor
    slope: torch.Tensor
    curvature: torch.Tensor
    gradient: torch.Tensor


def bond_values(
    vectors: Float[torch.Tensor, "n 3"], natural: Float[torch.Tensor, " n"], constants: Float[torch.Tensor, " n"]
) -> TermValues:
    """k/2 (r - r_0)^2; q = r."""
    length = vectors.norm(dim=1).clamp_min(TINY)
    stretch = length - natural
    return TermValues(
        0.5 * constants * stretch**2, constants * stretch, constants, (vectors / length[:, None])[:, None]
    )


def angle_values(
    vectors: Float[torch.Tensor, "n 2 3"],
    series: Float[torch.Tensor, "n 5"],
    guards: Float[torch.Tensor, " n"] | None = None,
) -> TermValues:
    """A polynomial in q = cos(theta); vectors point away from the central atom.

    The threefold and fourfold forms have a second minimum at 0 degrees, two atoms on top of each other. A guard g adds
    g (q - 1/2)^2 below 60 degrees, which leaves no minimum there.
    """
    lengths = vectors.norm(dim=2, keepdim=True).clamp_min(TINY)
    units = vectors / lengths
    cosine = (units[:, 0] * units[:, 1]).sum(dim=1)
    gradient = (units.flip(1) - cosine[:, None, None] * units) / lengths
    c_0, c_1, c_2, c_3, c_4 = series.unbind(1)
    energy = c_0 + cosine * (c_1 + cosine * (c_2 + cosine * (c_3 + cosine * c_4)))
    slope = c_1 + cosine * (2 * c_2 + cosine * (3 * c_3 + cosine * 4 * c_4))
    curvature = 2 * c_2 + cosine * (6 * c_3 + cosine * 12 * c_4)
    if guards is not None:
        excess = (cosine - GUARDED_COSINE).clamp_min(0)
        energy, slope = energy + guards * excess**2, slope + 2 * guards * excess
        curvature = curvature + 2 * guards * (excess > 0)
    return TermValues(energy, slope, curvature, gradient)


def torsion_values(vectors: Float[torch.Tensor, "n 3 3"], terms: Float[torch.Tensor, "n 3"]) -> TermValues:
    """V/2 [1 - cos(n phi_0) cos(n phi)]; q = phi; vectors along i, j, k, l (Blondel and Karplus, J. Comput. Chem. 17,
    1132 (1996))."""
    first, middle, last = vectors.unbind(1)
    normal_1, normal_2 = torch.linalg.cross(first, middle), torch.linalg.cross(middle, last)
    length = middle.norm(dim=1, keepdim=True).clamp_min(TINY)
    square_1 = (normal_1**2).sum(dim=1, keepdim=True).clamp_min(1e-4)
    square_2 = (normal_2**2).sum(dim=1, keepdim=True).clamp_min(1e-4)
    phi = torch.atan2(
        (length * first * normal_2).sum(dim=1),
        (normal_1 * normal_2).sum(dim=1),
    )
    by_first, by_last = length * normal_1 / square_1, length * normal_2 / square_2
    along_1 = (first * middle).sum(dim=1, keepdim=True) / length**2
    along_2 = (last * middle).sum(dim=1, keepdim=True) / length**2
    gradient = torch.stack([by_first, -along_1 * by_first - along_2 * by_last, by_last], dim=1)
    half, fold, phase = terms.unbind(1)
    cosine, sine = torch.cos(fold * phi), torch.sin(fold * phi)
    return TermValues(
        half * (1 - phase * cosine), half * phase * fold * sine, half * phase * fold**2 * cosine, gradient
    )


def inversion_values(vectors: Float[torch.Tensor, "n 3 3"], terms: Float[torch.Tensor, "n 3"]) -> TermValues:
    """K [C_0 + C_1 cos w + C_2 cos 2w]; q = sin w, w between the axis (first vector) and the plane of the others."""
    axis, one, two = vectors.unbind(1)
    length = axis.norm(dim=1, keepdim=True).clamp_min(TINY)
    axis = axis / length
    normal = torch.linalg.cross(one, two)
    height = normal.norm(dim=1, keepdim=True).clamp_min(1e-2)
    normal = normal / height
    sine = (axis * normal).sum(dim=1)
    across = (axis - sine[:, None] * normal) / height
    gradient = torch.stack(
        [(normal - sine[:, None] * axis) / length, torch.linalg.cross(two, across), torch.linalg.cross(across, one)],
        dim=1,
    )
    c_0, c_1, c_2 = terms.unbind(1)
    cosine = (1 - sine**2).clamp_min(0).sqrt()
    bounded = cosine.clamp_min(_FLATTEST)
    energy = c_0 + c_1 * cosine + c_2 * (1 - 2 * sine**2)
    slope = -c_1 * sine / bounded - 4 * c_2 * sine
    curvature = -c_1 / bounded**3 - 4 * c_2
    return TermValues(energy, slope, curvature, gradient)


def straightening(vectors: Float[torch.Tensor, "n 2 3"]) -> Float[torch.Tensor, "n 2 3 3"]:
    """Derivatives of the sum of an angle's two unit vectors by the two vectors: the rows of a linear angle's stiffness.

    With s that sum, cos(theta) = |s|^2/2 - 1, whose second derivatives at s = 0 are those of s squared.
    """
    lengths = vectors.norm(dim=2)[:, :, None, None].clamp_min(TINY)
    units = vectors / lengths[..., 0]
    eye = torch.eye(3, dtype=vectors.dtype, device=vectors.device)
    return (eye - units[..., :, None] * units[..., None, :]) / lengths
