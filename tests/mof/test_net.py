"""Nets: coordination sequences of textbook nets, invariance, interpenetration, MOFid-like identity."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crystaltool.errors import InputError
from crystaltool.mof.blocks import CoarseMOF
from crystaltool.mof.fragment import Limits, fragment
from crystaltool.mof.net import Net, describe_net, lattice_index, mof_identity, net_of_graph, simplify
from crystaltool.mof.perception import perceive_bonds
from tests.mof.structures import TEREPHTHALATE, curated, cyanides, shuffled, supercell

WIDE = Limits(blocks=400, connections=24)


def graph(n: int, edges: list[tuple[int, int, int, int, int]]) -> Net:
    """The net of a quotient graph; edges as (i, j, a, b, c)."""
    rows = np.array(edges)
    return net_of_graph(n, rows[:, :2], rows[:, 2:])


PCU = [(0, 0, 1, 0, 0), (0, 0, 0, 1, 0), (0, 0, 0, 0, 1)]
DIA = [(0, 1, 0, 0, 0), (0, 1, 1, 0, 0), (0, 1, 0, 1, 0), (0, 1, 0, 0, 1)]
SQL = PCU[:2]
FCU = [*PCU, (0, 0, 1, -1, 0), (0, 0, 0, 1, -1), (0, 0, 1, 0, -1)]
BCU = [*PCU, (0, 0, 1, 1, 1)]

SEQUENCES = {  # coordination sequences as the Reticular Chemistry Structure Resource and the OEIS have them
    "pcu": (1, PCU, (6, 18, 38, 66, 102, 146, 198, 258, 326, 402)),  # A005899
    "dia": (2, DIA, (4, 12, 24, 42, 64, 92, 124, 162, 204, 252)),  # A008253
    "sql": (1, SQL, (4, 8, 12, 16, 20, 24, 28, 32, 36, 40)),
    "fcu": (1, FCU, (12, 42, 92, 162, 252, 362, 492, 642, 812, 1002)),  # A005901
    "bcu": (1, BCU, (8, 26, 56, 98, 152, 218, 296, 386, 488, 602)),  # A005897
}


@pytest.mark.parametrize("name", SEQUENCES)
def test_coordination_sequences_of_textbook_nets(name: str) -> None:
    n, edges, sequence = SEQUENCES[name]
    net = graph(n, edges)
    assert net.classes == ((sequence, 1),)
    assert (net.dimension, net.n_nets) == (2 if name == "sql" else 3, 1)


def test_textbook_nets_have_different_names() -> None:
    assert len({graph(n, edges).text for n, edges, _ in SEQUENCES.values()}) == len(SEQUENCES)


def test_a_linker_with_two_ends_is_an_edge_and_a_dangling_one_nothing() -> None:
    with_linkers = [
        *((0, 1 + axis, 0, 0, 0) for axis in range(3)),
        *((1 + axis, 0, *np.eye(3, dtype=int)[axis].tolist()) for axis in range(3)),
        (0, 4, 0, 0, 0),
    ]
    assert graph(5, with_linkers).text == graph(1, PCU).text
    assert simplify({(0, 1, (0, 0, 0))}) == set()


def test_two_links_to_the_same_copy_are_one() -> None:
    assert graph(1, [*PCU, (0, 0, 1, 0, 0)]).text == graph(1, PCU).text


def test_interpenetrating_nets_are_counted_however_the_cell_is_chosen() -> None:
    one_in_a_centred_cell = graph(1, [(0, 0, 1, 0, 0), (0, 0, 0, 1, 0), (0, 0, 1, 1, 2)])
    two_in_a_double_cell = graph(2, [*PCU, *((1, 1, *edge[2:]) for edge in PCU)])
    assert one_in_a_centred_cell.n_nets == two_in_a_double_cell.n_nets == 2
    assert one_in_a_centred_cell.text == two_in_a_double_cell.text
    assert one_in_a_centred_cell.text != graph(1, PCU).text


@pytest.mark.parametrize(
    ("cycles", "index"),
    [
        ((), 1),
        (((2, 0, 0),), 2),
        (((2, 4, 0),), 2),
        (((1, 2, 0),), 1),
        (((1, 1, 0), (1, -1, 0)), 2),
        (((2, 0, 0), (3, 0, 0), (0, 1, 0)), 1),
        (((3, 1, 0), (0, 2, 1), (1, 0, 5)), 31),
    ],
)
def test_index_of_the_lattice_of_cycles(cycles: tuple, index: int) -> None:
    assert lattice_index(cycles) == index


def cut(name: str) -> CoarseMOF:
    crystal = curated()[name]
    return fragment(crystal, perceive_bonds(crystal), WIDE)


def test_nets_of_well_known_frameworks() -> None:
    assert describe_net(cut("MOF-5")).text == graph(1, PCU).text
    assert describe_net(cut("UiO-66")).text == graph(1, FCU).text
    tbo = describe_net(cut("HKUST-1"))
    assert [(sequence[0], share) for sequence, share in tbo.classes] == [(3, 4), (4, 3)]
    sod = describe_net(cut("ZIF-8"))
    assert [sequence[:5] for sequence, _ in sod.classes] == [(4, 10, 20, 34, 52)]
    assert describe_net(cut("MIL-53")).text == describe_net(cut("MIL-47")).text


@pytest.mark.parametrize("name", ["MOF-5", "Ni-MOF-74", "MIL-47"])
def test_the_name_does_not_know_origin_order_or_cell(name: str) -> None:
    crystal = curated()[name]
    expected = mof_identity(cut(name))
    for other in (shuffled(crystal, 3), supercell(crystal, (1, 2, 1))):
        assert mof_identity(fragment(other, perceive_bonds(other), WIDE)) == expected


def test_identity_of_a_mof_names_nodes_linkers_bridges_and_net() -> None:
    node, linkers, bridges, net = mof_identity(cut("MOF-5")).split(";")
    assert node.startswith("OZn4_12_")
    assert (linkers, bridges, net) == ("3x" + TEREPHTHALATE, "", graph(1, PCU).text)
    assert mof_identity(cut("MIL-53")).split(";")[2].startswith("HO_2_")


def test_an_unassembled_mof_has_no_net() -> None:
    crystal = cyanides()
    mof = fragment(crystal, perceive_bonds(crystal))
    with pytest.raises(InputError, match="no connections yet"):
        describe_net(replace(mof, connections=None))
