"""Labelled nets: what their keys see and what they do not, and nets that cannot be filled."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crystaltool.errors import InputError
from crystaltool.mof.blocks import LINKER, NODE, CoarseMOF, Edges
from crystaltool.mof.fragment import fragment
from crystaltool.mof.labelled_net import LabelledNet, assert_net, classes_of, net_of_mof
from crystaltool.mof.perception import perceive_bonds
from tests.mof.structures import curated, shuffled, supercell


def cut(crystal) -> CoarseMOF:
    return fragment(crystal, perceive_bonds(crystal))


def mof5() -> LabelledNet:
    return net_of_mof(cut(curated()["MOF-5"]))


def test_the_key_knows_neither_origin_nor_order_nor_cell() -> None:
    crystal = curated()["MOF-5"]
    key = mof5().key()
    assert net_of_mof(cut(shuffled(crystal, 3))).key() == key
    assert net_of_mof(cut(curated()["HKUST-1"])).key() != key


def test_the_key_knows_no_supercell() -> None:
    crystal = curated()["MOF-5"]
    assert net_of_mof(cut(supercell(crystal, (2, 1, 1)))).key() == net_of_mof(cut(crystal)).key()


def test_the_key_knows_kinds_and_numbers_of_bonds() -> None:
    net = mof5()
    bridges = replace(net, kinds=np.where(net.kinds == LINKER, 2, net.kinds))
    assert bridges.key() != net.key() and bridges.net() == net.net()


def test_figures_are_where_the_bonds_are() -> None:
    """From both ends of an edge the middle of its bond is one place."""
    crystal = curated()["MOF-5"]
    mof = cut(crystal)
    net = net_of_mof(mof)
    assert mof.connections is not None and mof.rotations is not None
    for vertex, block in enumerate(mof.blocks):
        edges, figure = net.figure(vertex)
        side = 0 if block.kind == NODE else 1
        points = mof.connections.points[edges, side]
        assert sorted(points.tolist()) == list(range(block.n_connections))
        assert np.allclose(figure, block.connection_coords[points] @ mof.rotations[vertex], atol=1e-6)


def test_classes_are_identities_of_a_mof_and_colours_of_a_net() -> None:
    net = mof5()
    assert len(np.unique(net.classes)) == 2
    assert len(np.unique(classes_of(net.kinds, net.edges))) == 2


def test_nets_that_cannot_be_filled() -> None:
    net = mof5()
    assert_net(net)
    swapped = Edges(net.edges.blocks[:, ::-1], net.edges.images)
    chain = Edges(np.array([[0, 1], [0, 1]]), np.array([[0, 0, 0], [1, 0, 0]]))
    flat = replace(
        net,
        kinds=np.array([NODE, LINKER]),
        classes=np.array([0, 1]),
        edges=chain,
        centres=np.zeros((2, 3)),
        points=np.zeros((2, 3)),
    )
    bad = {
        "join a node": replace(net, edges=swapped),
        "dimensions": flat,
        "class": replace(net, classes=np.zeros_like(net.classes)),
        "without volume": replace(net, lattice=net.lattice[[1, 0, 2]]),
        "not finite": replace(net, points=np.full_like(net.points, np.nan)),
    }
    for words, one in bad.items():
        with pytest.raises(InputError, match=words):
            assert_net(one)
