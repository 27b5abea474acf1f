"""Predicted properties of decoded MOFs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from crystaltool.bonds import BondGraph
from crystaltool.crystal import Crystal
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


def predict_crystal(model: MOFDiff, crystal: Crystal, bonds: BondGraph | None = None) -> dict[str, float]:
    """Properties of a MOF with every atom in place, by name: its cell as it is and the blocks that it is cut into.

    Args:
        crystal: every atom of the cell.
        bonds: as stated; perceived from the geometry if None.

    Raises:
        FragmentError: it is no usable MOF. InputError: atoms overlap.
    """
    from crystaltool.mof.fragment import fragment
    from crystaltool.mof.identity import identify
    from crystaltool.mof.perception import perceive_bonds

    mof = fragment(crystal, perceive_bonds(crystal) if bonds is None else bonds)
    found = [identify(piece) for piece in mof.blocks]
    pieces = tuple(
        replace(piece, identity=identity.text, bond_orders=identity.bond_orders)
        for piece, identity in zip(mof.blocks, found, strict=True)
    )
    return predict_mofs(model, [replace(mof, blocks=pieces)])[0]
