"""Atoms of primitive cells against the expanded conventional cell."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from crystaltool.asymunit import expand, tabulate
from crystaltool.batch import symmetry_tensors
from crystaltool.models.symmcd.primitive import PRIMITIVE_BASES, primitive_cells, primitive_sizes
from crystaltool.symmetry import space_group
from crystaltool.symmetry.operations import CENTRINGS
from tests.models.tiny import batch_of, random_unit, textbook_table


def test_every_centring_of_the_tables_has_a_basis() -> None:
    assert set(PRIMITIVE_BASES) >= {space_group(number).centring for number in range(1, 231)}
    assert set(PRIMITIVE_BASES) <= set(CENTRINGS)


@pytest.mark.parametrize("group", [1, 5, 38, 42, 62, 70, 139, 146, 166, 194, 216, 227, 230])
def test_translated_by_the_lattice_they_fill_the_conventional_cell(group: int) -> None:
    """Each atom of the conventional cell differs from exactly one primitive atom by whole primitive vectors."""
    rng = np.random.default_rng(group)
    last = len(space_group(group).positions) - 1
    unit = random_unit(group, sorted({0, last // 2, last}), rng)
    batch = batch_of([unit])
    cells = primitive_cells(batch, symmetry_tensors("cpu", torch.float64))
    found = cells.atoms(batch.free_coords)[0, cells.mask[0]].numpy()
    basis = cells.basis[0].numpy()
    crystal = expand(unit)
    order = round(1 / abs(np.linalg.det(basis)))
    assert len(found) * order == len(crystal.numbers)
    whole = crystal.frac_coords @ np.linalg.inv(basis)
    apart = whole[:, None] - found[None]
    same = np.abs(apart - np.round(apart)).max(-1) < 1e-7
    assert (same.sum(1) == 1).all() and (same.sum(0) == order).all()
    slots = cells.slot[0, cells.mask[0]].numpy()
    assert (unit.numbers[slots][same.argmax(1)] == crystal.numbers).all()


def test_sizes_of_a_data_set_are_those_of_its_cells() -> None:
    table = textbook_table()
    cells = primitive_cells(batch_of(table), symmetry_tensors("cpu", torch.float64))
    assert primitive_sizes(table).tolist() == cells.mask.sum(1).tolist()
    assert primitive_sizes(tabulate([table[0]])).tolist() == [int(cells.mask[0].sum())]
