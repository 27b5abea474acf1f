"""Properties of MOFs from what they are: the way through the encoder of training data says the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from crystaltool.models.mofdiff.model import MOFDiff
from crystaltool.models.mofdiff.properties import predict_mofs
from crystaltool.mof.blocks import CoarseMOF
from tests.models.mofdiff.tiny import SIZES, batch_of, random_model, small_data, small_table


@pytest.fixture(scope="module")
def model() -> MOFDiff:
    """Untrained."""
    return random_model(3)


@pytest.fixture(scope="module")
def mofs() -> list[CoarseMOF]:
    table = small_table()
    return [table[index] for index in range(len(table))]


def test_predictions_are_those_from_the_encoders_mean_of_training_data(model: MOFDiff, mofs: list[CoarseMOF]) -> None:
    for index, predicted in enumerate(predict_mofs(model, mofs)):
        with torch.no_grad():
            mean, _ = model.encode(batch_of(small_data(), [index]))
            expected = model.properties_of_latent(mean)[0].numpy()
        assert list(predicted) == list(SIZES.properties)
        np.testing.assert_allclose(list(predicted.values()), expected, atol=2e-5, rtol=1e-5)
    assert predict_mofs(model, []) == []


def test_choice_of_cell_and_pose_do_not_enter(model: MOFDiff, mofs: list[CoarseMOF]) -> None:
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
    change = np.array([[1, 1, 0], [0, 1, 0], [0, -2, 1]])
    turned = [
        replace(
            mof,
            lattice=change @ mof.lattice @ turn,
            centres=mof.centres @ np.linalg.inv(change),
            rotations=None,
            connections=None,
        )
        for mof in mofs
    ]
    for one, other in zip(predict_mofs(model, mofs), predict_mofs(model, turned), strict=True):
        assert list(one.values()) == pytest.approx(list(other.values()), rel=1e-4, abs=1e-5)
