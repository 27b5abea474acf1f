"""Against spglib in the matching setting: operations; letter and site symmetry of one crystal for every position."""

from __future__ import annotations

import numpy as np
import pytest
import spglib

from crystaltool.asymunit import canonical_free_coords, expand
from crystaltool.symmetry import space_group
from tests.symmetry.random_crystals import orbit_points, random_free_coords, random_lattices, random_unit
from tests.symmetry.test_space_group import TWO_ORIGINS, keys


@pytest.mark.parametrize("number", range(1, 231))
def test_operations_agree(number):
    group = space_group(number)
    theirs = spglib.get_symmetry_from_database(group.hall_number)
    kind = spglib.get_spacegroup_type(group.hall_number)
    assert (kind.number, kind.hall_symbol) == (number, group.hall)
    assert set(keys(theirs["rotations"].astype(np.int64), theirs["translations"])) == set(
        keys(group.rotations, group.translations)
    )


def locate(number: int, point: np.ndarray) -> int:
    """Index of the most special position that a point lies on."""
    n = len(space_group(number).positions)
    _, miss = canonical_free_coords(np.full(n, number), np.arange(n), np.tile(point, (n, 1)))
    return int(np.argmax(miss < 1e-4))


@pytest.mark.parametrize("number", range(1, 231))
def test_letter_and_symbol_of_every_position(number):
    """A crystal of the position and a general orbit that keeps the group from growing."""
    rng = np.random.default_rng(number)
    group = space_group(number)
    lattice = random_lattices(np.array([number]), rng)[0]
    for index, position in enumerate(group.positions):
        free_coords = random_free_coords(np.array([position.degrees_of_freedom, 3]), rng)
        orbit = orbit_points(number, index, free_coords[0])
        general = orbit_points(number, len(group.positions) - 1, free_coords[1])
        numbers = [1] * len(orbit) + [2] * len(general)
        cell = (lattice, np.concatenate([orbit, general]) % 1.0, numbers)
        found = spglib.get_symmetry_dataset(cell, symprec=1e-5, hall_number=group.hall_number)
        assert found is not None
        assert (found.number, found.hall_number) == (number, group.hall_number)
        # spglib may have gone to another cell of the same setting: there the orbit lies on one of our positions too.
        there = group.positions[locate(number, found.transformation_matrix @ orbit[0] + found.origin_shift)]
        assert found.wyckoffs[0] == there.letter
        assert found.site_symmetry_symbols[0] == there.site_symmetry
        unmoved = np.allclose(found.transformation_matrix, np.eye(3), atol=1e-6)
        shift = found.origin_shift - np.round(found.origin_shift)
        if unmoved and np.abs(shift).max() < 1e-5:
            assert there is position


@pytest.mark.parametrize("number", TWO_ORIGINS)
def test_own_detection_in_the_groups_with_two_origins(number):
    """spglib, left to its own default setting, finds the group of a crystal that was built in ours."""
    crystal = expand(random_unit(number, 2, np.random.default_rng(number)))
    found = spglib.get_symmetry_dataset((crystal.lattice, crystal.frac_coords, crystal.numbers), symprec=1e-4)
    assert found is not None
    assert found.number == number
    assert found.hall_number != space_group(number).hall_number
