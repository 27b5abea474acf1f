"""What a request says, in texts and as numbers; contradictions are one sentence that names the options."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crystaltool.errors import CheckpointError, SymmetryError, UsageError
from crystaltool.models.symmcd.feasibility import UNLIMITED, Content
from crystaltool.models.symmcd.request import Request
from crystaltool.models.symmcd.templates import (
    TEMPLATES,
    count_templates,
    read_templates,
    table_templates,
    write_templates,
)
from tests.models.tiny import textbook_table


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("LiFePO4", ((3, 1), (26, 1), (15, 1), (8, 4))),
        ("Ca(OH)2", ((20, 1), (8, 2), (1, 2))),
        ("Li2O2", ((3, 1), (8, 1))),
        ("O2", ((8, 1),)),
        ("CO", ((6, 1), (8, 1))),
        ("Co", ((27, 1),)),
        ("CuSO4(H2O)5", ((29, 1), (16, 1), (8, 9), (1, 10))),
        ("Na1 Cl1", ((11, 1), (17, 1))),
    ],
)
def test_formulas(text: str, expected: tuple) -> None:
    assert Request.parse(formula=text).formula == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "lifepo4",
        "Li0.5CoO2",
        "CaSO4.2H2O",
        "Xx2",
        "X2O",
        "D2O",
        "LiFePO4)",
        "Fe+3",
        "FeO0",
        "Li-1",
        "Li,Fe",
        "7",
    ],
)
def test_what_is_no_formula(text: str) -> None:
    with pytest.raises(UsageError, match="--formula"):
        Request.parse(formula=text)


@pytest.mark.parametrize(
    ("text", "expected"), [("24", (24, 24)), ("10:40", (10, 40)), (":40", (1, 40)), ("10:", (10, UNLIMITED))]
)
def test_ranges(text: str, expected: tuple[int, int]) -> None:
    assert Request.parse(n_atoms=text).n_atoms == expected == Request.parse(n_elements="3", n_atoms=text).n_atoms


@pytest.mark.parametrize("text", ["", ":", "0", "-3", "40:10", "1:2:3", "ten", "2.5", "0:4", "10-40"])
def test_what_is_no_range(text: str) -> None:
    for option in ("n_atoms", "n_elements"):
        with pytest.raises(UsageError, match=f"--{option.replace('_', '-')}"):
            Request.parse(**{option: text})


def test_lists_of_elements() -> None:
    request = Request.parse(elements="O,Li, Fe,O", require="Li Fe", exclude="Pb")
    assert (request.elements, request.require, request.exclude) == ((3, 8, 26), (3, 26), (82,))
    assert request.allowed == {3, 8, 26} and request.kinds == (2, 94)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"elements": ""}, "--elements is '', expected elements"),
        ({"elements": "Li;Fe"}, "--elements: 'Li;Fe' is no element"),
        ({"require": "li"}, "--require: 'li' is no element"),
        ({"exclude": "D"}, "--exclude: 'D' is no element"),
        ({"exclude": "X"}, "--exclude: 'X' is no element"),
        ({"require": "Am"}, "knows the elements up to Pu, not Am"),
        ({"formula": "AmO2"}, "knows the elements up to Pu, not Am"),
        ({"require": "Li", "exclude": "Li,Na"}, "--require and --exclude both name Li"),
        ({"require": "Li,Na", "elements": "Li,O"}, "--require names Na, --elements does not"),
        ({"elements": "Li,O", "exclude": "O,Li"}, "--exclude leaves none of --elements"),
        ({"formula": "LiFePO4", "exclude": "P"}, "--formula holds P, --elements or --exclude forbids that"),
        ({"formula": "LiFePO4", "elements": "Li,Fe,O"}, "--formula holds P"),
        ({"formula": "LiFePO4", "require": "Co"}, "--require names Co, --formula does not"),
        ({"formula": "LiFePO4", "n_elements": "3"}, "--formula holds 4 elements, --n-elements is 3"),
        ({"elements": "Li,O", "n_elements": "3"}, "--n-elements asks for 3 elements, 2 are allowed"),
        ({"require": "Li,Fe,O", "n_elements": ":2"}, "--n-elements allows 2 elements, --require names 3"),
        ({"primitive": True}, "--primitive says which cell --n-atoms counts"),
    ],
    ids=str,
)
def test_contradictions(words: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Request.parse(**words)


def test_numbers_out_of_range_are_refused_without_texts() -> None:
    for words in ({"n_atoms": (0, 3)}, {"n_atoms": (5, 4)}, {"n_elements": (0, 0)}):
        with pytest.raises(UsageError):
            Request(**words)


def test_space_groups_are_symbols_or_numbers() -> None:
    assert Request.parse(space_group=("225", "P2_1/c")).space_group == (225, 14)
    with pytest.raises(SymmetryError):
        Request.parse(space_group=("231",))


def test_the_primitive_cell_is_counted_in_the_conventional_one() -> None:
    request = Request.parse(formula="NaCl", n_atoms="2:8")
    assert request.content(4) == Content(2, 8, (1, 1))
    assert Request.parse(formula="NaCl", n_atoms="2:8", primitive=True).content(4) == Content(8, 32, (1, 1))
    assert Request.parse(n_atoms="2:", primitive=True).content(4).most == UNLIMITED


def test_a_request_for_groups_alone_is_free() -> None:
    assert Request().is_free and Request.parse(space_group=("225",)).is_free
    assert not Request.parse(exclude="Pb").is_free and Request().content(2).is_open


# ---- templates


def test_templates_are_counted_and_kept(tmp_path: Path) -> None:
    assert count_templates([(225, [1, 0]), (1, [0, 0]), (225, [0, 1])]) == ((225, (0, 1), 2), (1, (0, 0), 1))
    table = textbook_table()
    templates = table_templates(table)
    assert sum(count for *_, count in templates) == len(table)
    for unit in table:
        assert any((unit.group, tuple(sorted(unit.positions.tolist()))) == entry[:2] for entry in templates)
    write_templates(tmp_path / TEMPLATES, templates)
    assert read_templates(tmp_path) == templates


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"group": np.array([231], dtype=np.int64)}, "space group outside"),
        ({"group": np.array([0])}, "space group outside"),
        ({"count": np.array([0])}, "count below 1"),
        ({"n_orbits": np.array([3])}, "do not fit together"),
        ({"positions": np.array([0, 200])}, "its group does not have"),
        ({"positions": np.array([0, -1])}, "its group does not have"),
        ({"positions": None}, "not a file of templates"),
        ({"count": np.array([{}], dtype=object)}, "not a file of templates"),
    ],
    ids=str,
)
def test_damaged_templates_are_refused(tmp_path: Path, changes: dict, words: str) -> None:
    arrays = {
        "group": np.array([225]), "count": np.array([1]), "n_orbits": np.array([2]), "positions": np.array([0, 1]),
    }  # fmt: skip
    np.savez(tmp_path / TEMPLATES, **{k: v for k, v in {**arrays, **changes}.items() if v is not None})
    with pytest.raises(CheckpointError, match=words):
        read_templates(tmp_path)


def test_missing_templates_name_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="--template FILE"):
        read_templates(tmp_path)
    (tmp_path / TEMPLATES).write_bytes(b"PK\x03\x04 no")
    with pytest.raises(CheckpointError, match="not a file of templates"):
        read_templates(tmp_path)
