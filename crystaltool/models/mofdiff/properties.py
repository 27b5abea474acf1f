"""Predicted properties of decoded MOFs."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from crystaltool.models.mofdiff.model import MOFDiff
from crystaltool.models.mofdiff.representation import describe_whole
from crystaltool.models.mofdiff.reverse import RESULT_GRID
from crystaltool.mof.blocks import CoarseMOF
from crystaltool.mof.table import tabulate


@torch.no_grad()
def predict_mofs(model: MOFDiff, mofs: Sequence[CoarseMOF]) -> list[dict[str, float]]:
    """Properties of MOFs by name, from their composition, density, cell and sizes of blocks.

    Poses do not enter. How many nets there are is not known before assembly: one, where a MOF does not say it.
    """
    if not mofs:
        return []
    known = (torch.as_tensor(array, device=model.device) for array in describe_whole(tabulate(mofs)))
    k, n_blocks, descriptors = (array.to(model.dtype) for array in known)
    values = (model.properties_of_mof(k, n_blocks, descriptors) / RESULT_GRID).round() * RESULT_GRID
    return [dict(zip(model.config.properties, row, strict=True)) for row in values.tolist()]
