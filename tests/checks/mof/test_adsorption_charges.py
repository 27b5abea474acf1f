"""Charges for simulations: from the file or EQeq, and what no atom can have."""

from __future__ import annotations

import numpy as np
import pytest

from crystaltool.checks.mof.adsorption_charges import framework_charges, physical_range, require_physical
from crystaltool.checks.mof.eqeq import eqeq_charges
from crystaltool.crystal import Crystal
from crystaltool.errors import InputError
from crystaltool.io.cif import parse_block
from crystaltool.io.cif_format import format_crystal

SALT = Crystal(np.eye(3) * 4.2, np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]]), np.array([12, 8]), "salt")


def block_with(charges):
    return parse_block(format_crystal(SALT, "salt", charges=charges))


def test_sources():
    block = block_with(np.array([1.52, -1.50]))
    assert framework_charges(block, "none") is None
    assert framework_charges(block, "file") == pytest.approx([1.51, -1.51])  # neutral
    assert framework_charges(block, "eqeq") == pytest.approx(eqeq_charges(SALT), abs=1e-6)


def test_a_file_without_charges_is_refused():
    with pytest.raises(InputError, match="not every site states a charge"):
        framework_charges(block_with(None), "file")


@pytest.mark.parametrize(
    ("charges", "message"),
    [
        ([1.5, -1.2], r"sum to \+0.30 e, expected within 0.1 e of 0"),
        ([2.5, -2.5], r"atom 2 \(O\) has -2.50 e, expected -2.20 to"),
        ([-1.5, 1.5], r"atom 1 \(Mg\) has -1.50 e, expected -1.10 to"),
        ([4.0, -4.0], "unphysical charges"),
    ],
)
def test_unphysical_charges_are_refused(charges, message):
    with pytest.raises(InputError, match=message):
        framework_charges(block_with(np.array(charges)), "file")


def test_ranges_hold_what_atoms_have_and_not_more():
    numbers = np.array([1, 6, 7, 8, 9, 17, 14, 40, 30])
    low, high = physical_range(numbers)
    assert (low < [-0.6, -1.0, -1.5, -1.9, -0.9, -0.9, -0.5, 0.5, 0.5]).all()
    assert (high > [0.9, 1.5, 1.0, 0.5, 0.1, 0.1, 3.9, 3.2, 2.0]).all()  # SiF6: 3.3 e, UiO-66: 3.2 e by EQeq
    assert high[0] < 1.2 and low[3] > -2.5 and low[4] > -1.2
    with pytest.raises(InputError, match="not finite"):
        require_physical(np.array([1, 1]), np.array([np.nan, 0.0]))
