"""Neighbours of the cases of `test_cif_cases`: settings, symmetry tags, elements, atoms twice, occupancies, syntax."""

from __future__ import annotations

import re

import pytest

from crystaltool.errors import InputError
from crystaltool.io.cif import parse_block
from crystaltool.io.cif_formula import composition, formula_text
from crystaltool.symmetry.detection import detect_orbits
from tests.conftest import ROOT

TEXT = (ROOT / "tests" / "data" / "cases" / "neighbours.txt").read_text(encoding="utf-8")
CASES = re.findall(r"^#: (.*)\n#= (.*) \| (.*)\n((?:(?!#: ).*\n)*)", TEXT, re.MULTILINE)


def test_there_are_as_many_as_there_were() -> None:
    assert len(CASES) == TEXT.count("\ndata_x\n") >= 80


@pytest.mark.parametrize(("name", "right", "more", "text"), CASES, ids=[case[0] for case in CASES])
def test_read_right_or_refused_with_the_reason(name: str, right: str, more: str, text: str) -> None:
    if right == "refused":
        with pytest.raises(InputError) as caught:
            parse_block(text)
        assert more in str(caught.value)
        return
    crystal = parse_block(text).crystal
    assert formula_text(composition(crystal.numbers)) == right
    if more != "0":
        assert detect_orbits(crystal, 0.01).group == int(more)
