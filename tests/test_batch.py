"""The Wyckoff tables as tensors, against the space groups they come from; `Batch` itself."""

from __future__ import annotations

import numpy as np
import torch

from crystaltool.batch import MAX_POSITIONS, Batch, symmetry_tensors
from crystaltool.symmetry import space_group
from crystaltool.symmetry.space_group import N_POSITIONS


def a_batch() -> Batch:
    return Batch(
        group=torch.tensor([224, 1]),
        k=torch.zeros(2, 6),
        numbers=torch.tensor([[11, 17], [8, 0]]),
        position=torch.tensor([[1500, 1501], [5, 0]]),
        free_coords=torch.zeros(2, 2, 3),
        mask=torch.tensor([[True, True], [True, False]]),
    )


def test_tensors_hold_what_the_space_groups_say() -> None:
    tensors = symmetry_tensors("cpu", torch.float64)
    order = {"P": 1, "A": 2, "B": 2, "C": 2, "I": 2, "F": 4, "R": 3}
    seen = 0
    for number in (1, 5, 47, 70, 139, 148, 166, 194, 225, 230):
        group = space_group(number)
        candidates = tensors.candidates[number - 1][tensors.candidate_mask[number - 1]].tolist()
        assert len(candidates) == len(group.positions)
        assert int(tensors.centring_order[number - 1]) == order[group.centring]
        assert group.positions[-1].multiplicity == len(group.rotations)
        for p, position in zip(candidates, group.positions, strict=True):
            assert int(tensors.multiplicity[p]) == position.multiplicity
            assert int(tensors.freedom[p]) == position.degrees_of_freedom
            orbit = slice(int(tensors.first_orbit[p]), int(tensors.first_orbit[p]) + position.multiplicity)
            np.testing.assert_array_equal(tensors.orbit_rotation[orbit].numpy(), position.rotations)
            np.testing.assert_array_equal(tensors.orbit_translation[orbit].numpy(), position.translations)
            np.testing.assert_array_equal(tensors.rotation[p].numpy(), position.rotations[0])
            np.testing.assert_array_equal(tensors.translation[p].numpy(), position.translations[0])
            code = tensors.site_code[p].view(15, -1)
            assert code.sum(1).tolist() == [1.0] * 15 and code.argmax(1).tolist() == position.code.tolist()
            seen += 1
    assert seen > 100


def test_every_position_is_a_candidate_of_one_group() -> None:
    tensors = symmetry_tensors()
    listed = tensors.candidates[tensors.candidate_mask]
    assert sorted(listed.tolist()) == list(range(N_POSITIONS))
    assert int(tensors.candidate_mask.sum(1).max()) == MAX_POSITIONS
    assert tensors.candidate_mask.sum(1).argmax() == 46


def test_tensors_are_built_once_for_each_type() -> None:
    assert symmetry_tensors("cpu") is symmetry_tensors("cpu")
    assert symmetry_tensors("cpu", torch.float64).rotation.dtype == torch.float64
    assert symmetry_tensors("cpu").rotation.dtype == torch.float32


def test_batch_moves_and_changes_as_a_whole() -> None:
    batch = a_batch()
    double = batch.to("cpu", torch.float64)
    assert double.k.dtype == double.free_coords.dtype == torch.float64
    assert double.group.dtype == torch.int64 and double.mask.dtype == torch.bool
    changed = batch.replace(k=torch.ones(2, 6))
    assert changed.k.sum() == 12 and batch.k.sum() == 0 and changed.numbers is batch.numbers
