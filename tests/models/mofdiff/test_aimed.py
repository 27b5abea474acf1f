"""Nets filled towards a target: relatives of designs, the best first, each item by itself."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from crystaltool.errors import CheckpointError
from crystaltool.models.mofdiff.aimed import Aim, Design, draw_towards, relatives
from crystaltool.models.mofdiff.designs import PARENTS, nearest, read_designs, write_designs
from crystaltool.models.mofdiff.nets_first import Choices, NetFiller, Ranked, sample_nets
from crystaltool.models.mofdiff.targets import Target
from tests.models.mofdiff.test_filling import everything, filler

__all__ = ["filler"]


def volume(fillings: list[Ranked]) -> list[float]:
    return [one.filling.crystal().volume for one in fillings]


def some_design(filler: NetFiller, choices: Choices) -> Design:
    """A filling of a net with several classes of vertices."""
    for seed in range(50):
        for one in filler.draw(seed, 0, choices):
            if len(np.unique(filler.catalogue.nets[one.net].classes)) > 1:
                return Design(one.net, one.rows, 1.0)
    raise AssertionError("no net of several classes")


def test_the_best_come_first_and_more_draws_find_no_worse(filler: NetFiller) -> None:
    choices = everything(filler)
    few, many = (draw_towards(filler, Aim(draws, volume), 3, 1, choices) for draws in (2, 16))
    assert volume(many) == sorted(volume(many), reverse=True)
    assert max(volume(many)) >= max(volume(few))


def test_items_depend_on_seed_and_number_alone(filler: NetFiller) -> None:
    choices = everything(filler)
    aim = Aim(6, volume, (some_design(filler, choices),))
    every = list(sample_nets(partial(draw_towards, filler, aim), range(3), 5, choices))
    (last,) = sample_nets(partial(draw_towards, filler, aim), [2], 5, choices)
    assert last and [rows for _, rows, _ in last] == [rows for _, rows, _ in every[2]]


def test_relatives_keep_the_net_and_most_classes(filler: NetFiller) -> None:
    choices = everything(filler)
    parent = some_design(filler, choices)
    classes = filler.catalogue.nets[parent.net].classes
    found = [one for seed in range(10) for one in relatives(filler, parent, choices, np.random.default_rng(seed))]
    assert found and all(one.net == parent.net for one in found)
    differing = {
        tuple(np.unique([c for c, ours, theirs in zip(classes, one.rows, parent.rows, strict=True) if ours != theirs]))
        for one in found
    }
    assert all(len(some) <= 2 for some in differing)
    if len(np.unique(classes)) > 2:
        assert all(len(some) < len(np.unique(classes)) for some in differing)


def test_designs_come_back_and_the_nearest_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "designs.h5"
    designs = tuple(Design(k, (k, 7)[: 1 + k % 2], k / 4) for k in range(PARENTS + 20))
    write_designs(path, designs, "co2_wc")
    assert read_designs(path) == ("co2_wc", designs)
    largest = nearest(designs, Target("co2_wc", None))
    assert len(largest) == PARENTS and largest[0] == designs[-1]
    assert nearest(designs, Target("co2_wc", 3.0))[0].value == 3.0


def test_a_file_that_is_none_is_said(tmp_path: Path) -> None:
    path = tmp_path / "designs.h5"
    path.write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="no designs"):
        read_designs(path)
