"""Values added to blocks: what stood there stays, what is added is read back, the block ends as whole ones do."""

from __future__ import annotations

import io

import numpy as np
import pytest

from crystaltool.crystal import Crystal
from crystaltool.errors import InputError
from crystaltool.io.annotate import annotate
from crystaltool.io.cif import format_crystal, parse_block
from crystaltool.io.stream import complete_blocks
from tests.checks.blocks import halite_text, textbook_text

FOREIGN = """data_foreign # by hand
_publ_section_comment
;
data_in_a_field
loop_
;
_cell_length_a 5.64(2)
_cell_length_b 5.64
_cell_length_c 5.64
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P 1'
_crystaltool_energy_per_atom -3.5
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_U_iso_or_equiv
Na1 0 0 0 0.01
Cl1 0.5 0.5 0.5 0.02
"""


def test_all_other_tags_stay_as_they_were_written() -> None:
    text = annotate(parse_block(FOREIGN), {"energy_per_atom": "-3.6", "hull_decomposition": "1.0000 NaCl (mp-22862)"})
    for line in FOREIGN.splitlines()[1:]:
        expected = line.replace("-3.5", "-3.6")
        assert expected in text.splitlines(), line
    again = parse_block(text)
    assert again.properties == {"energy_per_atom": "-3.6", "hull_decomposition": "1.0000 NaCl (mp-22862)"}
    assert (again.formula_sum, again.formula_units_z) == ("Cl Na", 1)
    assert np.array_equal(again.crystal.frac_coords, parse_block(FOREIGN).crystal.frac_coords)
    assert complete_blocks(io.BytesIO(text.encode()))[0] == ["foreign"]
    assert text.endswith("0.02\n\n") and annotate(again, {}) == text  # nothing to add, nothing changed


@pytest.mark.parametrize("text", [textbook_text("rutile"), textbook_text("kyanite"), halite_text()])
def test_a_block_cut_off_anywhere_is_not_called_whole(text: str) -> None:
    whole = annotate(
        parse_block(text), {"e_above_hull": "0.01"}, ("1 crystaltool 0.2.0 | measure --hull",), "2026-01-01"
    )
    name = parse_block(text).name
    assert complete_blocks(io.BytesIO(whole.encode()))[0] == [name]
    for end in range(0, len(whole) - 2, 7):
        assert complete_blocks(io.BytesIO(whole[:end].encode()))[0] == []


def test_history_name_and_date_are_replaced() -> None:
    crystal = parse_block(FOREIGN).crystal
    block = parse_block(format_crystal(crystal, "x", ("1 a 1 | b",), created="2025-01-01"), name="x.2")
    text = annotate(block, {"note": "it's"}, ("1 a 1 | b", "2 crystaltool 0.2.0 | measure --hull"), "2026-01-01")
    again = parse_block(text)
    assert again.name == "x.2" and again.history == ("1 a 1 | b", "2 crystaltool 0.2.0 | measure --hull")
    assert "_audit_creation_date 2026-01-01\n" in text and "2025" not in text
    assert "_audit_creation_method 'crystaltool 0.2.0 measure'\n" in text
    assert again.properties == {"note": "it's"}


def test_a_tag_that_is_a_column_is_refused() -> None:
    block = parse_block(FOREIGN.replace("_atom_site_U_iso_or_equiv", "_crystaltool_e_above_hull"))
    with pytest.raises(InputError, match="_crystaltool_e_above_hull is a column of a loop"):
        annotate(block, {"e_above_hull": "0.1"})
    with pytest.raises(InputError, match="property name 'A b'"):
        annotate(block, {"A b": "0.1"})


def test_charges_get_a_column_and_stale_values_go() -> None:
    salt = Crystal(np.eye(3) * 4.2, np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]]), np.array([12, 8]), "salt")
    block = parse_block(format_crystal(salt, "salt", properties={"old_value": "1", "kept": "2", "new": "3"}))
    charges = np.array([1.5, -1.5])
    found = parse_block(annotate(block, {"new": "4"}, drop=lambda key: key != "kept", charges=charges))
    assert found.properties == {"kept": "2", "new": "4"}
    assert found.atom_charges == pytest.approx(charges)
    again = parse_block(annotate(found, {}, charges=-charges))
    assert again.atom_charges == pytest.approx(-charges) and again.text.count("_atom_site_charge") == 1
