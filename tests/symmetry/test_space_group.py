"""The tables themselves: groups, orbits and stabilisers, for all 230 groups and 1,731 positions."""

from __future__ import annotations

import numpy as np
import pytest

from crystaltool.errors import SymmetryError
from crystaltool.symmetry import parse_space_group, space_group
from crystaltool.symmetry.space_group import (
    LETTERS,
    N_POSITIONS,
    TRANSLATION_DENOMINATOR,
    free_coordinate_maps,
    tables,
)
from crystaltool.symmetry.symbols import settings, settings_of_symbol

TWO_ORIGINS = (
    48,
    50,
    59,
    68,
    70,
    85,
    86,
    88,
    125,
    126,
    129,
    130,
    133,
    134,
    137,
    138,
    141,
    142,
    201,
    203,
    222,
    224,
    227,
    228,
)


def keys(rotations: np.ndarray, translations: np.ndarray) -> np.ndarray:
    """One integer an affine map modulo 1, exact: rotation entries lie in -2..2, translations on 24ths."""
    grid = np.round(translations * TRANSLATION_DENOMINATOR).astype(np.int64) % TRANSLATION_DENOMINATOR
    digits = np.concatenate([rotations.reshape(*rotations.shape[:-2], 9) + 2, grid], axis=-1)
    return digits @ np.array([5**i for i in range(9)] + [5**9 * 24**i for i in range(3)])


@pytest.mark.parametrize("number", range(1, 231))
def test_group_and_orbits_are_closed(number):
    group = space_group(number)
    operations = keys(group.rotations, group.translations)
    assert len(set(operations)) == len(operations)
    assert operations[0] == keys(np.eye(3, dtype=np.int64), np.zeros(3))
    products = keys(
        group.rotations[:, None] @ group.rotations[None],
        np.einsum("aij,bj->abi", group.rotations, group.translations) + group.translations[:, None],
    )
    assert np.isin(products, operations).all()
    for position in group.positions:
        members = keys(position.rotations, position.translations)
        assert len(set(members)) == len(members) == position.multiplicity
        images = keys(
            group.rotations[:, None] @ position.rotations[None],
            np.einsum("aij,bj->abi", group.rotations, position.translations) + group.translations[:, None],
        )
        assert np.isin(images, members).all()
        assert set(images[:, 0]) == set(members)  # one orbit, not several
        stabiliser = int((images[:, 0] == members[0]).sum())
        assert stabiliser * position.multiplicity == len(group.rotations)
        assert ((position.translations >= 0) & (position.translations < 1)).all()


@pytest.mark.parametrize("number", range(1, 231))
def test_positions_are_listed_as_in_international_tables(number):
    """Letters in order, from most special to general; freedom is the rank of R."""
    group = space_group(number)
    assert "".join(position.letter for position in group.positions) == LETTERS[: len(group.positions)]
    multiplicities = [position.multiplicity for position in group.positions]
    assert multiplicities == sorted(multiplicities)
    assert multiplicities[-1] == len(group.rotations)
    assert group.positions[-1].degrees_of_freedom == 3
    for position in group.positions:
        assert np.linalg.matrix_rank(position.rotations[0]) == position.degrees_of_freedom
        assert not position.rotations[:, :, position.degrees_of_freedom :].any()


def test_free_coordinates_are_primitive():
    """U is unimodular and undoes R_0 at all 1,731 positions, so u modulo 1 names a point modulo 1 once."""
    table = tables()
    maps, origins = free_coordinate_maps()
    rotations = table["orbit_rotation"][table["first_orbit"]].astype(np.int64)
    assert len(maps) == N_POSITIONS
    np.testing.assert_allclose(np.abs(np.linalg.det(maps)), 1.0)
    expected = np.zeros((N_POSITIONS, 3, 3))
    for i in range(3):
        expected[:, i, i] = table["degrees_of_freedom"] > i
    assert np.array_equal(maps @ rotations, expected)
    assert np.array_equal(origins, table["orbit_translation"][table["first_orbit"]] / TRANSLATION_DENOMINATOR)


def test_counts():
    table = tables()
    assert len(table["multiplicity"]) == N_POSITIONS == 1731
    assert len(table["op_rotation"]) == 4425
    assert (table["n_positions"].max(), int(np.argmax(table["n_positions"])) + 1) == (27, 47)
    assert space_group(47).positions[-1].letter == "A"


def test_positions_that_share_a_code():
    """In 171 groups several positions share one code (at most 8); multiplicity and freedom never differ among them."""
    table = tables()
    n_pairs, n_groups, most = 0, 0, 0
    for first, count in zip(table["first_position"], table["n_positions"], strict=True):
        rows = slice(first, first + count)
        _, inverse, counts = np.unique(table["site_code"][rows], axis=0, return_inverse=True, return_counts=True)
        n_pairs, n_groups, most = n_pairs + len(counts), n_groups + bool((counts > 1).any()), max(most, counts.max())
        for code in range(len(counts)):
            same = inverse.ravel() == code
            assert len(set(table["multiplicity"][rows][same])) == 1
            assert len(set(table["degrees_of_freedom"][rows][same])) == 1
    assert (n_pairs, n_groups, most) == (1154, 171, 8)


@pytest.mark.parametrize("number", TWO_ORIGINS)
def test_second_origin_has_the_inversion_at_the_origin(number):
    """Origin choice 2: -1 is an operation without translation, which choice 1 (the setting before it) lacks."""
    import spglib

    group = space_group(number)
    assert group.symbol.endswith(":2")
    inversion = (group.rotations == -np.eye(3)).all(axis=(1, 2))
    assert (
        not group.translations[inversion][0].any()
        or not np.round(group.translations[inversion] % 1, 9).all(axis=1).any()
    )
    assert (np.abs(group.translations[inversion]).sum(axis=1) == 0).any()
    first = spglib.get_symmetry_from_database(group.hall_number - 1)
    inversion = (first["rotations"] == -np.eye(3)).all(axis=(1, 2))
    assert not (np.abs(first["translations"][inversion] % 1).sum(axis=1) < 1e-9).any()


def test_settings_that_differ_from_spglib_default():
    """spglib takes the first setting of a group in Hall's list: origin choice 1 in exactly these 24 groups."""
    import spglib

    first: dict[int, int] = {}
    for hall in range(1, 531):
        first.setdefault(spglib.get_spacegroup_type(hall).number, hall)
    assert tuple(n for n in range(1, 231) if space_group(n).hall_number != first[n]) == TWO_ORIGINS


@pytest.mark.parametrize(
    ("number", "hall_number", "symbol", "system", "centring"),
    [
        (2, 2, "P -1", "triclinic", "P"),
        (14, 81, "P 1 21/c 1", "monoclinic", "P"),
        (62, 292, "P n m a", "orthorhombic", "P"),
        (139, 424, "I 4/m m m", "tetragonal", "I"),
        (166, 458, "R -3 m:H", "trigonal", "R"),
        (194, 488, "P 63/m m c", "hexagonal", "P"),
        (225, 523, "F m -3 m", "cubic", "F"),
        (227, 526, "F d -3 m:2", "cubic", "F"),
    ],
)
def test_names_and_settings(number, hall_number, symbol, system, centring):
    group = space_group(number)
    assert (group.number, group.hall_number, group.crystal_system, group.centring) == (
        number,
        hall_number,
        system,
        centring,
    )
    assert group.symbol.replace(" :", ":") == symbol


SPELLINGS = {
    "225": 225,
    " 1 ": 1,
    "Fm-3m": 225,
    "F m -3 m": 225,
    "P2_1/c": 14,
    "P 1 21/c 1": 14,
    "R-3m:H": 166,
    "r-3M": 166,
    "Fd-3m": 227,
    "Fd-3m:2": 227,
    "P63/mmc": 194,
    "Cmce": 64,
    "Cmme": 67,
    "Ccce": 68,
    "Aea2": 41,
    "Aem2": 39,
    "B b e m": 64,
    "C 2/m 2/c 21/e": 64,
    "C 2/m 2/c 21/a": 64,
    "Fm3m": 225,
    "Fd3m": 227,
    "Ia3d": 230,
    "Pa3": 205,
    "P2(1)/c": 14,
    "P2\u2081/c": 14,
    "P 21/b": 14,
    "P 63/m 2/m 2/c": 194,
    "F 41/d -3 2/m (origin choice 2)": 227,
    "Pnma (no. 62)": 62,
    "Fm3\u0305m": 225,
    "Fm\\bar{3}m": 225,
    "P4_{2}/mnm": 136,
    "R-3mR": 166,
    "H -3 m": 166,
    "C 2": 5,
}


@pytest.mark.parametrize(("text", "number"), SPELLINGS.items())
def test_symbols_are_read(text, number):
    assert parse_space_group(text) == number


def test_every_symbol_names_its_group():
    for number in range(1, 231):
        assert parse_space_group(space_group(number).symbol) == number


def test_every_tabulated_symbol_names_its_own_setting_and_full_ones_their_group():
    import moyopy

    for setting in settings():
        assert settings_of_symbol(setting.symbol) == (setting,)
    for hall_number in range(1, 531):
        entry = moyopy.HallSymbolEntry(hall_number)
        assert parse_space_group(entry.hm_full) == parse_space_group(entry.hm_short) == entry.number


def test_what_a_symbol_leaves_open():
    def codes(text):
        return [setting.code for setting in settings_of_symbol(text)]

    assert codes("P 2/m") == ["b", "c", "a"] and codes("P 1 2/m 1") == ["b"]
    assert codes("P 21/c") == ["b1", "a3"] and codes("P 21/c:c1") == ["c1"]
    assert codes("F d -3 m") == ["1", "2"] and codes("F d -3 m Z") == ["2"] and codes("Fd-3m:1") == ["1"]
    assert codes("R -3 m") == ["h", "r"] and codes("R3H") == ["h"]
    assert codes("Cmme") == [""] and codes("Cmme:ba-c") == ["ba-c"] and codes("Ccce") == ["1", "2"]
    with pytest.raises(SymmetryError, match="no setting '3'"):
        settings_of_symbol("F d -3 m:3")


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("P n n n (origin at 222)", ["1"]),
        ("P n n n (origin at -1)", ["2"]),
        ("I 41/a m d, origin at -4m2", ["1"]),
        ("F d -3 m (origin at centre)", ["2"]),
        ("P n n n (O1)", ["1"]),
        ("P -1 (origin at -1)", [""]),
        ("P 4/n m m:Z", ["2"]),
        ("R -3 m (R)", ["r"]),
        ("P 21/c (cell choice 2)", ["b2", "c2", "a2"]),
        ("P n m a (cab)", ["cab"]),
        ("C c (b1)", ["b1"]),
        ("P n a 21 (non-standard setting)", [""]),
        ("P n m a (D2h-16)", [""]),
    ],
)
def test_what_is_said_behind_a_symbol(text, codes):
    assert [setting.code for setting in settings_of_symbol(text)] == codes


@pytest.mark.parametrize(
    "text",
    ["P 21 21 2 (a)", "P m m m (origin at 1/4 1/4 1/4)", "F d -3 m:2 (origin choice 1)", "P m n b (cab)", "P 21/n:b1"],
)
def test_what_suits_none_of_a_symbols_settings(text):
    with pytest.raises(SymmetryError, match="no setting"):
        settings_of_symbol(text)


@pytest.mark.parametrize("text", ["0", "231", "-1", "Fm-4m", "", "1.5", "P 1 2 3 4", "Q 2", "P 21/q"])
def test_unknown_groups_are_refused(text):
    with pytest.raises(SymmetryError):
        parse_space_group(text)


@pytest.mark.parametrize("letter", ["d", "A", "", "ab", "1"])
def test_unknown_letters_are_refused(letter):
    with pytest.raises(SymmetryError, match="group 4 has no Wyckoff letter"):
        space_group(4).position(letter)
