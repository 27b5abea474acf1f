"""`Crystal` holds what a structure is and refuses what is none."""

from __future__ import annotations

import numpy as np
import pytest

from crystaltool.crystal import Crystal
from crystaltool.errors import InputError
from tests.textbook import BY_NAME, TEXTBOOK


def test_a_structure_knows_its_size():
    crystal = Crystal(np.diag([3.0, 4.0, 5.0]), np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]]), np.array([11, 17]), "one")
    assert (crystal.n_atoms, crystal.volume, crystal.name) == (2, pytest.approx(60.0), "one")
    np.testing.assert_allclose(crystal.cart_coords[1], [1.5, 2.0, 2.5])


def test_cartesian_coordinates_follow_the_rows_of_a_triclinic_cell():
    kyanite = BY_NAME["kyanite"].crystal()
    x, y, z = kyanite.frac_coords[0]
    a, b, c = kyanite.lattice
    np.testing.assert_allclose(kyanite.cart_coords[0], x * a + y * b + z * c)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"numbers": np.array([], dtype=np.int64), "frac_coords": np.zeros((0, 3))}, "no atoms"),
        ({"frac_coords": np.array([[0.0, 0.0, 0.0], [0.5, np.nan, 0.5]])}, "site 2"),
        ({"lattice": np.diag([3.0, 3.0, np.inf])}, "cell is not finite"),
        ({"lattice": np.diag([3.0, 3.0, -3.0])}, "volume is -27"),
        ({"lattice": np.array([[3.0, 0, 0], [0, 3.0, 0], [3.0, 3.0, 0]])}, "volume is"),
        ({"numbers": np.array([0, 17])}, "out of range 1-118"),
        ({"numbers": np.array([11, 119])}, "out of range 1-118"),
    ],
)
def test_what_is_no_structure_is_refused(changed, message):
    given = {
        "lattice": np.diag([3.0, 3.0, 3.0]),
        "frac_coords": np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]]),
        "numbers": np.array([11, 17]),
    }
    with pytest.raises(InputError, match=message):
        Crystal(**(given | changed))


@pytest.mark.parametrize("entry", TEXTBOOK, ids=lambda entry: entry.name)
def test_textbook_crystals_have_the_atoms_of_their_cell(entry):
    assert entry.crystal().n_atoms == entry.n_atoms
