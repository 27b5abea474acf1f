"""Predicted properties of decoded MOFs, and which decodings suit a target."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from crystaltool.models.mofdiff.model import MOFDiff
from crystaltool.models.mofdiff.representation import describe_whole
from crystaltool.models.mofdiff.reverse import RESULT_GRID
from crystaltool.models.mofdiff.targets import Target
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


def nearest_to_target(model: MOFDiff, mofs: Sequence[CoarseMOF], target: Target, n: int) -> list[int]:
    """Rows of the `n` MOFs whose predicted property suits the target best, in the order in which they came."""
    values = torch.tensor([properties[target.name] for properties in predict_mofs(model, mofs)], dtype=torch.float64)
    return sorted(np.argsort(-target.merit(values).numpy(), kind="stable")[:n].tolist())
