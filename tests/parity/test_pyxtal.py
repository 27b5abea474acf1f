"""All 1,731 positions against pyxtal: letters, multiplicities, operations, freedom; and the generator against its file.

Its site-symmetry codes are no reference: two of its 15 axes are never the axis of an operation.
"""

from __future__ import annotations

import numpy as np
import pytest

from crystaltool.symmetry import build_wyckoff, space_group
from crystaltool.symmetry.space_group import tables
from tests.symmetry.test_space_group import keys

pyxtal_symmetry = pytest.importorskip("pyxtal.symmetry", reason="needs pyxtal")


@pytest.mark.parametrize("number", range(1, 231))
def test_positions_agree(number):
    ours = space_group(number).positions
    theirs = list(reversed(pyxtal_symmetry.Group(number).Wyckoff_positions))
    assert [position.letter for position in ours] == [position.letter for position in theirs]
    assert [position.multiplicity for position in ours] == [position.multiplicity for position in theirs]
    assert [position.degrees_of_freedom for position in ours] == [position.get_dof() for position in theirs]
    for own, other in zip(ours, theirs, strict=True):
        affine = np.stack([operation.affine_matrix for operation in other.ops])
        free = affine[0, :3, :3].any(axis=0)  # the columns of the variables that appear; ours stand first
        rotations = np.zeros((len(affine), 3, 3))
        rotations[:, :, : free.sum()] = affine[:, :3, :3][:, :, free]
        translations = affine[:, :3, 3]
        grid = np.round(translations * 24) / 24
        np.testing.assert_allclose(grid, translations, atol=1e-3)
        assert np.array_equal(rotations, np.round(rotations))
        assert set(keys(np.round(rotations).astype(np.int64), grid)) == set(keys(own.rotations, own.translations))


def test_the_generator_makes_the_file():
    """Every array of wyckoff.npz, bit for bit."""
    built = build_wyckoff.build()
    stored = tables()
    with np.load(build_wyckoff.OUTPUT, allow_pickle=False) as data:
        assert list(data.files) == list(built)
    for name, array in built.items():
        assert array.dtype == stored[name].dtype, name
        assert np.array_equal(array, stored[name]), name
