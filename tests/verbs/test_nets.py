"""Wishes leave those nets, blocks and designs that can meet them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from crystaltool.errors import CheckpointError
from crystaltool.models.mofdiff.aimed import Design
from crystaltool.models.mofdiff.designs import DESIGNS, write_designs
from crystaltool.verbs.nets import NETS_FOLDER, NO_WISHES, Planned, Wishes, plan, possible_designs
from tests.conftest import ROOT

SHIPPED = ROOT / "checkpoints" / "mofdiff"


@pytest.fixture(scope="module")
def planned() -> Planned:
    return plan(str(SHIPPED), None, NO_WISHES, None)


@pytest.fixture
def checkpoint(planned: Planned, tmp_path: Path) -> Path:
    """A copy of the shipped nets whose designs are twelve fillings."""
    nets = tmp_path / NETS_FOLDER
    shutil.copytree(SHIPPED / NETS_FOLDER, nets)
    found = [one for index in range(12) for one in planned.filler.draw(0, index, planned.choices)[:1]]
    write_designs(nets / DESIGNS, [Design(one.net, one.rows, 1.0) for one in found], "co2_wc")
    return tmp_path


def test_designs_keep_to_the_wishes(planned: Planned, checkpoint: Path) -> None:
    (every,) = possible_designs(checkpoint, planned.choices).values()
    assert len(every) == 12
    zinc = plan(str(SHIPPED), None, Wishes(metals=("Zn",)), None)
    (some,) = possible_designs(checkpoint, zinc.choices).values()
    assert 0 < len(some) < len(every)
    for design in some:
        blocks = [planned.library.block(row) for row in design.rows]
        assert all(30 in block.numbers for block in blocks if block.kind == 0)


def test_without_the_file_there_are_none_and_a_damaged_one_is_said(checkpoint: Path, planned: Planned) -> None:
    path = checkpoint / NETS_FOLDER / DESIGNS
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="no designs"):
        possible_designs(checkpoint, planned.choices)
    path.unlink()
    assert possible_designs(checkpoint, planned.choices) == {}


def test_the_shipped_designs_fill_their_nets(planned: Planned) -> None:
    designs = planned.designs["co2_wc"]
    assert len(designs) > 50
    for design in designs[:: len(designs) // 5]:
        kept = dict(enumerate(design.rows))
        (one, *_) = planned.filler.fillings(design.net, planned.choices, np.random.default_rng(0), 1, kept)
        assert one.rows == design.rows and one.cost <= planned.filler.config.cost
