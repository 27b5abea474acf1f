"""`Batch`: many asymmetric units as padded tensors, and the Wyckoff tables as tensors.

Shape glossary, used in every docstring of batch, nn and models:
    B  crystals of the batch        M  orbit slots, padded to the largest crystal of the batch
    K  positions of a group, padded to 27                 P  all positions of all groups, 1731
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cache

import numpy as np
import torch
from torch import Tensor

from crystaltool.arrays import Bool, Float, Int
from crystaltool.lattice import crystal_system_index
from crystaltool.symmetry.operations import CENTRINGS, GROUP_ELEMENTS, SITE_ELEMENTS, TRANSLATION_DENOMINATOR
from crystaltool.symmetry.space_group import N_GROUPS, N_POSITIONS, tables

MAX_POSITIONS = 27
"""The most Wyckoff positions of one group (group 47)."""


@dataclass(frozen=True)
class Batch:
    """Asymmetric units, padded.

    Args:
        group: space-group number minus one; shape (B,).
        k: logarithm of the cell, components as in `lattice.LOG_BASIS`; shape (B, 6).
        numbers: atomic numbers, 0 where a slot is empty; shape (B, M).
        position: index into all 1731 Wyckoff positions, 0 where empty; shape (B, M).
        free_coords: free coordinates u, 0 beyond the degrees of freedom; shape (B, M, 3).
        mask: True where a slot holds an orbit; shape (B, M).
    """

    group: Int[Tensor, " B"]
    k: Float[Tensor, "B 6"]
    numbers: Int[Tensor, "B M"]
    position: Int[Tensor, "B M"]
    free_coords: Float[Tensor, "B M 3"]
    mask: Bool[Tensor, "B M"]

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Batch:
        """The batch on a device, floating-point fields in `dtype` where given."""
        moved = {}
        for field in fields(self):
            value = getattr(self, field.name)
            moved[field.name] = value.to(device, dtype if value.is_floating_point() else None)
        return Batch(**moved)

    def rows(self, chosen: Tensor, n_slots: int) -> Batch:
        """Some crystals, their slots cut or padded with empty ones to `n_slots`; `chosen` holds indices, shape (n,)."""
        taken = {field.name: getattr(self, field.name)[chosen] for field in fields(self)}
        missing = n_slots - self.mask.shape[1]
        for name in ("numbers", "position", "free_coords", "mask"):
            value = taken[name]
            empty = value.new_zeros(len(value), max(missing, 0), *value.shape[2:])
            taken[name] = torch.cat([value, empty], dim=1) if missing > 0 else value[:, :n_slots]
        return Batch(**taken)

    def replace(self, **changes: Tensor) -> Batch:
        """A copy with some fields changed."""
        return replace(self, **changes)


@dataclass(frozen=True)
class SymmetryTensors:
    """The Wyckoff tables as tensors on one device.

    Args:
        group_code: operations of each group along the 15 axes, centring and crystal system, 0/1; shape (230, 404).
        system: crystal system of each group, 0-6; shape (230,).
        centring_order: lattice points in the conventional cell, 1-4; shape (230,).
        candidates: the positions of each group, padded with 0; shape (230, K).
        candidate_mask: True where `candidates` holds a position; shape (230, K).
        site_code: one-hot site symmetry, 15 axes x 13 elements; shape (P, 195).
        multiplicity: points in the conventional cell; shape (P,).
        freedom: degrees of freedom, 0-3; shape (P,).
        rotation, translation: operation 0 of each position; shapes (P, 3, 3), (P, 3).
        first_orbit: start of each position in the orbit lists; shape (P,).
        orbit_rotation, orbit_translation: operations of all positions; shapes (14433, 3, 3), (14433, 3).
    """

    group_code: Float[Tensor, "230 404"]
    system: Int[Tensor, "230"]
    centring_order: Int[Tensor, "230"]
    candidates: Int[Tensor, "230 K"]
    candidate_mask: Bool[Tensor, "230 K"]
    site_code: Float[Tensor, "P 195"]
    multiplicity: Int[Tensor, " P"]
    freedom: Int[Tensor, " P"]
    rotation: Float[Tensor, "P 3 3"]
    translation: Float[Tensor, "P 3"]
    first_orbit: Int[Tensor, " P"]
    orbit_rotation: Float[Tensor, "n 3 3"]
    orbit_translation: Float[Tensor, "n 3"]


@cache
def symmetry_tensors(device: str = "cpu", dtype: torch.dtype = torch.float32) -> SymmetryTensors:
    """The tables on a device, floating-point ones in `dtype`; built once per device and type."""
    table = tables()
    system = crystal_system_index(np.arange(1, N_GROUPS + 1))
    group_code = np.concatenate(
        [
            table["group_code"].reshape(N_GROUPS, 15 * len(GROUP_ELEMENTS)),
            np.eye(len(CENTRINGS))[table["centring"]],
            np.eye(7)[system],
        ],
        axis=1,
    )
    candidates = np.zeros((N_GROUPS, MAX_POSITIONS), dtype=np.int64)
    for g in range(N_GROUPS):
        count = table["n_positions"][g]
        candidates[g, :count] = table["first_position"][g] + np.arange(count)
    first = table["first_orbit"]
    arrays = {
        "group_code": group_code,
        "system": system,
        "centring_order": np.array([1, 2, 2, 2, 2, 4, 3])[table["centring"]],
        "candidates": candidates,
        "candidate_mask": np.arange(MAX_POSITIONS) < table["n_positions"][:, None],
        "site_code": np.eye(len(SITE_ELEMENTS))[table["site_code"]].reshape(N_POSITIONS, -1),
        "multiplicity": table["multiplicity"].astype(np.int64),
        "freedom": table["degrees_of_freedom"].astype(np.int64),
        "rotation": table["orbit_rotation"][first].astype(float),
        "translation": table["orbit_translation"][first] / TRANSLATION_DENOMINATOR,
        "first_orbit": first,
        "orbit_rotation": table["orbit_rotation"].astype(float),
        "orbit_translation": table["orbit_translation"] / TRANSLATION_DENOMINATOR,
    }
    tensors = {name: torch.from_numpy(np.ascontiguousarray(array)).to(device) for name, array in arrays.items()}
    return SymmetryTensors(
        **{name: value.to(dtype) if value.is_floating_point() else value for name, value in tensors.items()}
    )
