"""The verdict on one pose: gaps, angles, contacts and net, and the posed MOF in the cell as it was given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from crystaltool.arrays import Float
from crystaltool.lattice import reduced_basis
from crystaltool.mof.assemble.assembly import Assembly, AssemblyConfig
from crystaltool.mof.assemble.contacts import OVERLAP, Pairs
from crystaltool.mof.assemble.problem import Pose, block_order
from crystaltool.mof.blocks import CoarseMOF, Connections
from crystaltool.mof.quotient import find_pieces

_DIMENSION_PENALTY = 1.0


@dataclass(frozen=True)
class Misfit:
    """What a pose leaves open.

    Args:
        closures: gaps, A; shape (n,). misses: lengths of the sums of the half bonds' unit vectors; shape (n,).
        pairs: watched pairs of atoms of the pose.
    """

    closures: Float[np.ndarray, " n"]
    misses: Float[np.ndarray, " n"]
    pairs: Pairs


def judge(mof: CoarseMOF, pose: Pose, partner, images, misfit: Misfit, config: AssemblyConfig) -> Assembly:
    """The assembly of a MOF.

    Args:
        mof: as given.
        pose: of one row, in the padded places and the reduced basis.
        partner, images: its matching without padding; shapes (n,), (n, 3).
        misfit: what the pose leaves open.
        config: limits and weights.
    """
    closures, misses, pairs = misfit.closures, misfit.misses, misfit.pairs
    posed, ends = _posed(mof, pose, partner, images)
    depth = np.clip(pairs.limits - pairs.distances, 0.0, None)
    ratios = pairs.distances / pairs.radii
    closest = float(ratios.min()) if len(ratios) else np.inf
    inverse = np.linalg.inv(mof.lattice)
    strain = inverse @ posed.lattice - np.eye(3)
    strain = np.linalg.eigvalsh((strain + strain.T) / 2)
    displacement = np.linalg.norm((posed.centres - mof.centres) @ posed.lattice, axis=1)
    cost = (
        np.square(closures).sum()
        + config.direction**2 * np.square(misses).sum()
        + config.contact_weight**2 * np.square(depth).sum()
        + config.centre_pull**2 * np.square(displacement).sum()
        + config.lattice_pull**2 * np.square(strain).sum()
    ) / len(closures)
    reason, message = "", ""
    worst = int(np.argmax(closures))
    nets = find_pieces(mof.n_blocks, ends.blocks, ends.images)
    if closures[worst] > config.max_closure:
        n_open = int((closures > config.max_closure).sum())
        pair = ends.blocks[worst] + 1
        reason, message = (
            "closure",
            (
                f"{n_open} of {len(closures)} bonds do not close, the worst (blocks {pair[0]}-{pair[1]}) by "
                f"{closures[worst]:.2f} A, the limit is {config.max_closure:g}"
            ),
        )
    elif closest < OVERLAP:
        n_overlaps = int((ratios < OVERLAP).sum())
        shortest = pairs.distances[int(np.argmin(ratios))]
        reason, message = "overlap", f"{n_overlaps} pairs of atoms overlap, {shortest:.2f} A apart"
    elif n_twice := _bonds_twice([block.connection_atoms for block in mof.blocks], ends):
        reason, message = "overlap", f"{n_twice} pairs of atoms are bound by two connection points each"
    elif min(nets.ranks) < 3:
        reason, message = "dimension", f"the blocks hang together in {min(nets.ranks)} dimensions, expected 3"
    return Assembly(
        replace(posed, nets=nets.labels),
        reason,
        message,
        closures,
        np.degrees(2 * np.arcsin(np.clip(misses / 2, 0.0, 1.0))),
        int((depth > 0).sum()),
        closest,
        float(cost) + _DIMENSION_PENALTY * (min(nets.ranks) < 3),
        float(np.abs(strain).max()),
        float(displacement.max()),
    )


def _bonds_twice(atoms: Sequence[np.ndarray], ends: Connections) -> int:
    """How many bonds repeat another: both points of one atom met both of another; `atoms` has those of the points."""
    bonds = {
        (*blocks, *(int(atoms[b][p]) for b, p in zip(blocks, points, strict=True)), *image)
        for blocks, points, image in zip(ends.blocks.tolist(), ends.points.tolist(), ends.images.tolist(), strict=True)
    }
    return len(ends) - len(bonds)


def _posed(mof: CoarseMOF, pose: Pose, partner, images) -> tuple[CoarseMOF, Connections]:
    """The MOF in its own cell basis and order of blocks, centres in the cells where they were given."""
    metal, other = block_order(mof)
    basis = reduced_basis(mof.lattice)
    lattice = np.linalg.inv(basis) @ pose.lattice[0].cpu().numpy()
    n_metal = pose.metal_centres.shape[1]
    places = np.zeros(mof.n_blocks, dtype=np.int64)
    places[metal] = np.arange(len(metal))
    places[other] = n_metal + np.arange(len(other))
    rotations = pose.rotations[0].cpu().numpy()[places]
    centres = pose.centres[0].cpu().numpy()[places] @ np.linalg.inv(lattice)
    ends = [
        np.array([(k, p) for k in order for p in range(mof.blocks[k].n_connections)], dtype=np.int64)
        for order in (metal, other)
    ]
    joined = np.stack([ends[0], ends[1][partner]], axis=1)
    connections = Connections(joined[:, :, 0], joined[:, :, 1], images @ basis)
    posed = replace(mof, lattice=lattice, centres=centres, rotations=rotations, connections=connections)
    return posed, connections
