"""Operations as text, their types and axes, and the two codes that the model reads."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crystaltool.errors import SymmetryError
from crystaltool.symmetry import operations_to_xyz, space_group, xyz_to_operation
from crystaltool.symmetry.operations import (
    AXES,
    GROUP_ELEMENTS,
    SITE_ELEMENTS,
    TRANSLATION_DENOMINATOR,
    axis_index,
    rotation_type,
    site_symmetry_code,
    space_group_code,
)
from crystaltool.symmetry.space_group import tables
from tests.symmetry.random_crystals import every_position

AROUND_Z = {
    "3": ("-y,x-y,z", "-x+y,-x,z"),
    "4": ("-y,x,z", "-x,-y,z", "y,-x,z"),
    "-4": ("y,-x,-z", "-x,-y,z", "-y,x,-z"),
}


def rotations_of(*texts: str) -> np.ndarray:
    return np.stack([xyz_to_operation(text)[0] for text in ("x,y,z", *texts)])


def elements(code: np.ndarray) -> dict[tuple[int, int, int], str]:
    """The axes of a site-symmetry code that carry an element of their own."""
    return {
        axis: SITE_ELEMENTS[element]
        for axis, element in zip(AXES, code, strict=True)
        if SITE_ELEMENTS[element] not in ("1", "-1")
    }


def test_every_operation_survives_its_text():
    """All 4,425 of the tables, exactly."""
    table = tables()
    translations = table["op_translation"] / TRANSLATION_DENOMINATOR
    for rotation, translation in zip(table["op_rotation"].astype(np.int64), translations, strict=True):
        again_r, again_t = xyz_to_operation(operations_to_xyz(rotation, translation))
        assert np.array_equal(again_r, rotation)
        assert np.array_equal(again_t, translation)


@settings(deadline=None)
@given(st.integers(0, 4424), st.tuples(*[st.integers(-48, 48)] * 3))
def test_any_translation_survives_modulo_one(index, shift):
    rotation = tables()["op_rotation"][index].astype(np.int64)
    translation = np.array(shift) / TRANSLATION_DENOMINATOR
    again_r, again_t = xyz_to_operation(operations_to_xyz(rotation, translation))
    assert np.array_equal(again_r, rotation)
    np.testing.assert_allclose(again_t, translation % 1.0, atol=1e-15)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (" 'X, Y, 1/2+Z' ", "x,y,z+1/2"),
        ("-y+1/3, x-y+2/3, z+0.6667", "-y+1/3,x-y+2/3,z+2/3"),
        ("0.5-x,y,-z-1/4", "-x+1/2,y,-z+3/4"),
        ("x-y,x,z+5/6", "x-y,x,z+5/6"),
    ],
)
def test_spellings(text, written):
    assert operations_to_xyz(*xyz_to_operation(text)) == written


@pytest.mark.parametrize("text", ["x,y", "x,y,z,z", "x,y,w", "x,x,z", "x,y,z+", "2x,y,z", "", "x,y,0"])
def test_what_is_no_operation_is_refused(text):
    with pytest.raises(SymmetryError):
        xyz_to_operation(text)


@pytest.mark.parametrize(
    ("text", "symbol", "axis"),
    [
        ("x,y,z", "1", None),
        ("-x,-y,-z", "-1", None),
        ("-y,x-y,z", "3", (0, 0, 1)),
        ("z,x,y", "3", (1, 1, 1)),
        ("-z,-x,-y", "-3", (1, 1, 1)),
        ("y,-x,-z", "-4", (0, 0, 1)),
        ("x-y,x,z", "6", (0, 0, 1)),
        ("-x+y,-x,-z", "-6", (0, 0, 1)),
        ("x,-y,z", "m", (0, 1, 0)),
        ("y,x,z", "m", (1, -1, 0)),
        ("-y,-x,-z", "2", (1, -1, 0)),
        ("x-y,-y,-z", "2", (1, 0, 0)),  # hexagonal axes, International Tables group 150
        ("x,x-y,-z", "2", (2, 1, 0)),  # ... group 149
        ("-x+y,y,z", "m", (1, 0, 0)),  # hexagonal axes: the normal of the mirror x,2x,z is [100]
    ],
)
def test_type_and_axis(text, symbol, axis):
    rotation, _ = xyz_to_operation(text)
    assert rotation_type(rotation)[0] == symbol
    found = axis_index(rotation)
    assert (None if found is None else AXES[found]) == axis


def test_codes_of_point_groups():
    """One symbol an axis, the highest that it carries (International Tables A, table 3.2.1.4)."""
    assert elements(site_symmetry_code(rotations_of())) == {}
    assert elements(site_symmetry_code(rotations_of(*AROUND_Z["3"]))) == {(0, 0, 1): "3"}
    assert elements(site_symmetry_code(rotations_of(*AROUND_Z["4"]))) == {(0, 0, 1): "4"}
    assert elements(site_symmetry_code(rotations_of(*AROUND_Z["-4"]))) == {(0, 0, 1): "-4"}
    assert elements(site_symmetry_code(rotations_of("-x,y,-z", "-x,-y,-z", "x,-y,z"))) == {(0, 1, 0): "2/m"}
    assert set(site_symmetry_code(rotations_of("-x,-y,-z"))) == {SITE_ELEMENTS.index("-1")}
    rutile_ti = elements(space_group(136).position("a").code)  # m.mm
    assert rutile_ti == {(0, 0, 1): "2/m", (1, 1, 0): "2/m", (1, -1, 0): "2/m"}
    diamond = elements(space_group(227).position("a").code)  # -43m
    assert [diamond[axis] for axis in ((1, 0, 0), (1, 1, 1), (1, 1, 0))] == ["-4", "3", "m"]
    hexagonal = elements(space_group(191).position("a").code)  # 6/mmm
    assert hexagonal == {(0, 0, 1): "6/m"} | {axis: "2/m" for axis in AXES if axis[2] == 0}


# How many elements a symbol stands for, beside the identity and the inversion.
N_ELEMENTS = {
    "1": 0,
    "-1": 0,
    "2": 1,
    "3": 2,
    "4": 3,
    "6": 5,
    "m": 1,
    "-3": 4,
    "-4": 3,
    "-6": 5,
    "2/m": 2,
    "4/m": 6,
    "6/m": 10,
}
CENTROSYMMETRIC = {"-1", "-3", "2/m", "4/m", "6/m"}


def test_the_order_of_every_site_symmetry_follows_from_its_code():
    """All 1,731: counting the elements that the code names gives the order of the stabiliser."""
    groups, positions = every_position()
    for number, index in zip(groups, positions, strict=True):
        group = space_group(int(number))
        position = group.positions[index]
        assert set(position.code) <= set(range(len(SITE_ELEMENTS)))
        symbols = [SITE_ELEMENTS[element] for element in position.code]
        inversion = bool(CENTROSYMMETRIC & set(symbols))
        order = (1 + inversion) + sum(N_ELEMENTS[symbol] for symbol in symbols)
        assert order * position.multiplicity == len(group.rotations), (number, position.letter)


def screws(number: int, axis: tuple[int, int, int]) -> set[str]:
    group = space_group(number)
    row = space_group_code(group.rotations, group.translations)[AXES.index(axis)]
    return {GROUP_ELEMENTS[element] for element in np.flatnonzero(row)} - {"1", "-1"}


@pytest.mark.parametrize(
    ("number", "axis", "found"),
    [
        (4, (0, 1, 0), {"2_1"}),
        (7, (0, 1, 0), {"c"}),
        (14, (0, 1, 0), {"2_1", "c"}),
        (62, (1, 0, 0), {"2_1", "n"}),
        (76, (0, 0, 1), {"4_1", "2_1"}),
        (77, (0, 0, 1), {"4_2", "2"}),
        (78, (0, 0, 1), {"4_3", "2_1"}),
        (144, (0, 0, 1), {"3_1"}),
        (145, (0, 0, 1), {"3_2"}),
        (169, (0, 0, 1), {"6_1", "3_1", "2_1"}),
        (170, (0, 0, 1), {"6_5", "3_2", "2_1"}),
        (171, (0, 0, 1), {"6_2", "3_2", "2"}),
        (172, (0, 0, 1), {"6_4", "3_1", "2"}),
        (173, (0, 0, 1), {"6_3", "3", "2_1"}),
        (43, (1, 0, 0), {"d"}),
        (136, (1, 0, 0), {"2_1", "n"}),
    ],
)
def test_screws_and_glides_of_groups(number, axis, found):
    assert screws(number, axis) == found


ENANTIOMORPHS = (
    (76, 78), (91, 95), (92, 96), (144, 145), (151, 153), (152, 154),
    (169, 170), (171, 172), (178, 179), (180, 181), (212, 213),
)  # fmt: skip


@pytest.mark.parametrize("pair", ENANTIOMORPHS)
def test_enantiomorphic_groups_have_different_codes(pair):
    table = tables()
    assert not np.array_equal(table["group_code"][pair[0] - 1], table["group_code"][pair[1] - 1])


def test_code_and_centring_tell_all_groups_but_one_pair():
    """I222 and I2_12_12_1 hold the same elements, axes that meet or do not: no code by axes can tell them."""
    table = tables()
    groups: dict[bytes, list[int]] = {}
    for number in range(1, 231):
        key = table["group_code"][number - 1].tobytes() + bytes([int(table["centring"][number - 1])])
        groups.setdefault(key, []).append(number)
    assert [numbers for numbers in groups.values() if len(numbers) > 1] == [[23, 24]]
