"""RCSR symbols: coordination sequences of the literature, and the table as its builder makes it."""

from __future__ import annotations

import numpy as np
import pytest

from crystaltool.mof.build_net_names import QUOTIENT_GRAPHS, STRUCTURES, net_of_structure
from crystaltool.mof.fragment import fragment
from crystaltool.mof.labelled_net import net_of_mof
from crystaltool.mof.net import net_of_graph
from crystaltool.mof.net_names import NAMES, name_of
from crystaltool.mof.perception import perceive_bonds
from tests.mof.structures import curated

LITERATURE = {
    "dia": (4, 12, 24, 42, 64, 92, 124, 162, 204, 252),
    "lon": (4, 12, 25, 44, 67, 96, 130, 170, 214, 264),
    "sod": (4, 10, 20, 34, 52, 74, 100, 130, 164, 202),
    "qtz": (4, 12, 30, 52, 80, 116, 156, 204, 258, 318),
    "srs": (3, 6, 12, 24, 35, 48, 69, 86, 108, 138),
    "pcu": (6, 18, 38, 66, 102, 146, 198, 258, 326, 402),
    "fcu": (12, 42, 92, 162, 252, 362, 492, 642, 812, 1002),
    "bcu": (8, 26, 56, 98, 152, 218, 296, 386, 488, 602),
    "nbo": (4, 12, 28, 50, 76, 110, 148, 194, 244, 302),
}
"""O'Keeffe, Z. Kristallogr. 1995, 210, 905; Conway and Sloane, Proc. R. Soc. A 1997, 453, 2369; IZA for sod."""


@pytest.mark.parametrize("name", sorted(LITERATURE))
def test_coordination_sequences_of_the_literature(name: str) -> None:
    ((sequence, _),) = net_of_structure(name).classes
    assert sequence == LITERATURE[name]


def test_the_table_is_what_its_builder_makes() -> None:
    found: dict[str, list[str]] = {}
    for name in (*STRUCTURES, *QUOTIENT_GRAPHS):
        net = net_of_structure(name)
        found.setdefault(f"{net.dimension}d-{net.text.split('-')[2]}", []).append(name)
    assert {names[0]: digest for digest, names in found.items() if len(names) == 1} == NAMES
    assert [sorted(names) for names in found.values() if len(names) > 1] == [["bcu", "hex"]]


def test_nets_of_two_kinds_of_vertices_have_the_stated_coordination() -> None:
    wanted = {"pts": {4}, "tbo": {3, 4}, "flu": {4, 8}, "ftw": {4, 12}, "rtl": {3, 6}, "soc": {4, 6}, "csq": {4, 8}}
    for name, degrees in wanted.items():
        net = net_of_structure(name)
        assert {sequence[0] for sequence, _ in net.classes} == degrees, name
        assert (net.dimension, net.n_nets) == (3, 1)


@pytest.mark.parametrize(("mof", "name"), [("MOF-5", "pcu"), ("HKUST-1", "tbo"), ("ZIF-8", "sod"), ("UiO-66", "fcu")])
def test_well_known_frameworks(mof: str, name: str) -> None:
    from crystaltool.mof.fragment import Limits

    crystal = curated()[mof]
    cut = fragment(crystal, perceive_bonds(crystal), Limits(connections=24))
    assert name_of(net_of_mof(cut).net()) == name


def test_interpenetration_does_not_change_a_name() -> None:
    """Two primitive cubic nets in one cell, and one whose translations are every other of the cell's."""
    pairs = np.array([[0, 0]] * 3 + [[1, 1]] * 3)
    images = np.concatenate([np.eye(3, dtype=np.int64)] * 2)
    two = net_of_graph(2, pairs, images)
    assert (name_of(two), two.n_nets) == ("pcu", 2)
    doubled = net_of_graph(1, np.zeros((3, 2), dtype=np.int64), np.array([[1, 1, 0], [1, -1, 0], [0, 0, 1]]))
    assert (name_of(doubled), doubled.n_nets) == ("pcu", 2)


def test_an_unknown_net_has_no_name() -> None:
    pairs = np.array([[0, 1], [0, 1], [0, 1], [0, 1], [0, 1]])
    images = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [2, 1, 0]])
    assert name_of(net_of_graph(2, pairs, images)) == ""
