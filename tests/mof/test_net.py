"""Nets: coordination sequences of textbook nets, invariance, interpenetration."""

from __future__ import annotations

import numpy as np
import pytest

from crystaltool.mof.fragment import Limits, fragment
from crystaltool.mof.net import Net, lattice_index, net_of_graph, simplify
from crystaltool.mof.perception import perceive_bonds
from tests.mof.structures import curated

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


def test_layers_and_loose_vertices_do_not_count_as_nets() -> None:
    two_layers = graph(2, [*SQL, *((1, 1, *edge[2:]) for edge in SQL)])
    assert two_layers.text == graph(1, SQL).text
    assert graph(3, PCU).text == graph(1, PCU).text


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


def net_of_blocks(name: str) -> Net:
    crystal = curated()[name]
    mof = fragment(crystal, perceive_bonds(crystal), WIDE)
    assert mof.connections is not None
    return net_of_graph(mof.n_blocks, mof.connections.blocks, mof.connections.images)


def test_nets_of_well_known_frameworks() -> None:
    assert net_of_blocks("MOF-5").text == graph(1, PCU).text
    assert net_of_blocks("UiO-66").text == graph(1, FCU).text
    tbo = net_of_blocks("HKUST-1")
    assert [(sequence[0], share) for sequence, share in tbo.classes] == [(3, 4), (4, 3)]
    sod = net_of_blocks("ZIF-8")
    assert [sequence[:5] for sequence, _ in sod.classes] == [(4, 10, 20, 34, 52)]
    assert net_of_blocks("MIL-53").text == net_of_blocks("MIL-47").text
