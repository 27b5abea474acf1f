"""Lines may end in LF, CR LF, or CR alone; what is read is the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crystaltool.io.cif import CifBlock
from crystaltool.io.stream import iter_blocks
from tests.io.blocks import halite


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends(tmp_path: Path, end: str, mark: str) -> None:
    path = tmp_path / "x.cif"
    path.write_text(mark + halite(), encoding="utf-8", newline=end)
    (block,) = iter_blocks([str(path)])
    assert isinstance(block, CifBlock), block.message
    (right,) = iter_blocks([str(_plain(tmp_path))])
    assert isinstance(right, CifBlock)
    assert block.name == right.name
    assert np.array_equal(block.crystal.frac_coords, right.crystal.frac_coords)
    assert np.array_equal(block.crystal.numbers, right.crystal.numbers)


def _plain(folder: Path) -> Path:
    path = folder / "plain.cif"
    path.write_text(halite(), encoding="utf-8", newline="\n")
    return path
