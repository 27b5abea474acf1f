"""Nets filled with blocks: their own fit, places close the bonds, charges balance, the same whatever else is drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage

from crystaltool.errors import UsageError
from crystaltool.models.block_encoder.library import Library
from crystaltool.models.mofdiff.charges import charge_range, library_charges
from crystaltool.models.mofdiff.figures import Shapes, groups_of, reach_of, reaches_of, sorted_distances, stretched
from crystaltool.models.mofdiff.filling import Turns, fill
from crystaltool.models.mofdiff.nets_first import (
    Choices,
    Frequencies,
    NetFiller,
    NetsConfig,
    possible_nets,
    sample_nets,
)
from crystaltool.mof.assemble import AssemblyConfig, assemble
from crystaltool.mof.blocks import LINKER, NODE, CoarseMOF, assert_coarse
from crystaltool.mof.catalogue import build_catalogue
from crystaltool.mof.fragment import fragment
from crystaltool.mof.labelled_net import net_of_mof
from crystaltool.mof.linkers import linker_of_smiles
from crystaltool.mof.perception import perceive_bonds
from tests.models.mofdiff.tiny import small_library, small_table
from tests.mof.structures import curated


def mof5() -> CoarseMOF:
    crystal = curated()["MOF-5"]
    return fragment(crystal, perceive_bonds(crystal))


@pytest.mark.parametrize("name", ["MOF-5", "HKUST-1", "ZIF-8"])
def test_a_net_closes_around_its_own_blocks(name: str) -> None:
    crystal = curated()[name]
    mof = fragment(crystal, perceive_bonds(crystal))
    filling = fill(net_of_mof(mof), mof.blocks)
    # The points of HKUST-1's linker lie in one plane, its cut bonds do not: points alone do not say which side is up.
    assert filling is not None and filling.strain < (0.25 if name == "HKUST-1" else 0.15)
    assert_coarse(filling.mof)
    assert abs(np.linalg.det(filling.mof.lattice) / np.linalg.det(mof.lattice) - 1) < 0.05
    depth, closest = filling.contacts()
    assert depth < 0.05 and closest > 0.9


def test_longer_linkers_make_a_larger_cell_that_assembles() -> None:
    """MOF-5 with biphenyl-4,4'-dicarboxylate is IRMOF-10: 34.3 A instead of 25.8 A (Eddaoudi et al., 2002)."""
    mof = mof5()
    longer = linker_of_smiles("OC(=O)c1ccc(cc1)-c1ccc(cc1)C(=O)O")
    blocks = [longer if block.kind == LINKER else block for block in mof.blocks]
    filling = fill(net_of_mof(mof), blocks)
    assert filling is not None
    ratio = (np.linalg.det(filling.mof.lattice) / np.linalg.det(mof.lattice)) ** (1 / 3)
    assert abs(ratio - 34.28 / 25.83) < 0.03
    result = assemble(filling.mof, AssemblyConfig(starts=16, max_closure=1.0))
    assert result.good, result.message


def test_blocks_of_another_shape_fit_worse() -> None:
    net = net_of_mof(mof5())
    library = small_library()
    shapes = Shapes(library)
    vertices = np.flatnonzero(net.kinds == LINKER)[:3].tolist()
    rows = shapes.rows(LINKER, 4)
    assert len(rows), "the small library has linkers of four points"
    assert shapes.misfits(net, vertices).shape == rows.shape
    figure = net.figure(vertices[0])[1]
    groups = groups_of(net, vertices[0])
    assert len(np.unique(groups)) == 2
    own = next(block for block in mof5().blocks if block.kind == LINKER).connection_coords
    same = stretched(figure, groups, reach_of(own, 2))
    assert np.abs(sorted_distances(same) - sorted_distances(own)).max() < 0.05
    square = np.array([[4.0, 0, 0], [-4, 0, 0], [0, 4, 0], [0, -4, 0]])
    assert np.sqrt(np.square(sorted_distances(square) - sorted_distances(same)).mean()) > 1


def test_stretching_keeps_what_is_near_together() -> None:
    figure = np.array([[5.0, 1, 0], [5, -1, 0], [-5, 0, 1], [-5, 0, -1]])
    longer = stretched(figure, np.array([0, 0, 1, 1]), 8.0)
    assert np.allclose(longer, [[8, 1, 0], [8, -1, 0], [-8, 0, 1], [-8, 0, -1]])
    assert np.isclose(reach_of(longer, 2), 8) and np.isclose(reach_of(longer, 4), np.sqrt(65))


def test_reaches_of_many_linkers_are_those_of_each() -> None:
    points = np.random.default_rng(0).normal(size=(30, 6, 3))
    for n_groups in (1, 2, 3, 5, 6, 9):
        many = reaches_of(points, n_groups)
        assert many.tolist() == [reach_of(one, n_groups) for one in points]
        for one, reach in zip(points, many, strict=True):
            labels = np.arange(6) if n_groups >= 6 else fcluster(linkage(one), n_groups, "maxclust")
            middles = [one[labels == label].mean(axis=0) for label in np.unique(labels)]
            assert np.isclose(reach, np.linalg.norm(middles, axis=1).mean())


def test_a_block_that_was_turned_before_is_not_turned_otherwise() -> None:
    mof = mof5()
    net = net_of_mof(mof)
    turns = Turns(net)
    first, again = (fill(net, mof.blocks, turns) for _ in range(2))
    alone = fill(net, mof.blocks)
    assert first is not None and again is not None and alone is not None
    assert all(one is other for one, other in zip(turns.of(mof.blocks), turns.of(mof.blocks), strict=True))
    for one in (first, again):
        assert np.array_equal(one.rotations, alone.rotations) and one.strain == alone.strain


@pytest.mark.parametrize(
    ("smiles", "charge"),
    [
        ("OC(=O)c1ccc(cc1)C(=O)O", -2),
        ("OC(=O)c1cc(C(=O)O)cc(C(=O)O)c1", -3),
        ("c1cc(ccn1)-c1ccncc1", 0),
        ("c1cnc[nH]1", -1),
        ("OC(=O)c1ccncc1", -1),
    ],
)
def test_charges_of_linkers(smiles: str, charge: int) -> None:
    assert charge_range(linker_of_smiles(smiles)).tolist() == [charge, charge]


def test_charges_of_nodes() -> None:
    """Zn4O: four zinc(II) and an oxide, whatever hangs on it; six bonds to linkers change nothing."""
    node = next(block for block in mof5().blocks if block.kind == NODE)
    assert charge_range(node).tolist() == [6, 6]
    assert np.isnan(charge_range(replace(node, numbers=np.where(node.numbers == 30, 94, node.numbers)))).all() or (
        charge_range(replace(node, numbers=np.where(node.numbers == 30, 94, node.numbers)))[1] > 6
    )


@pytest.fixture(scope="module")
def filler() -> NetFiller:
    table = small_table()
    library = small_library()
    catalogue = build_catalogue(table[row] for row in range(len(table)))
    config = NetsConfig(fillings=3, nets=2, candidates=2, neutral=False)
    return NetFiller(catalogue, library, library_charges(library), Frequencies(library.occurrences), config)


def everything(filler: NetFiller) -> Choices:
    library: Library = filler.library
    return possible_nets(
        filler.catalogue, library, Choices(np.arange(len(filler.catalogue)), np.ones(len(library), dtype=bool))
    )


def test_items_depend_on_seed_and_number_alone(filler: NetFiller) -> None:
    choices = everything(filler)
    every = list(sample_nets(filler.draw, range(4), 5, choices))
    (third,) = sample_nets(filler.draw, [2], 5, choices)
    assert any(every)
    assert [rows for _, rows, _ in third] == [rows for _, rows, _ in every[2]]
    for (ours, _, _), (theirs, _, _) in zip(third, every[2], strict=True):
        assert ours.lattice.tobytes() == theirs.lattice.tobytes() and ours.name == theirs.name == "mofdiff-s5-000002"
    other = list(sample_nets(filler.draw, range(4), 6, choices))
    assert [[rows for _, rows, _ in one] for one in other] != [[rows for _, rows, _ in one] for one in every]


def test_fillings_keep_net_and_classes(filler: NetFiller) -> None:
    for found in sample_nets(filler.draw, range(4), 1, everything(filler)):
        costs = [-mof.properties["decoding_score"] for mof, _, _ in found]
        assert costs == sorted(costs)
        for number, (mof, rows, row) in enumerate(found):
            net = filler.catalogue.nets[row]
            assert_coarse(mof)
            assert mof.properties["candidate"] == number
            assert mof.edges is not None and (mof.edges.blocks == net.edges.blocks).all()
            assert [block.kind for block in mof.blocks] == net.kinds.tolist()
            for c in np.unique(net.classes):
                assert len({rows[vertex] for vertex in np.flatnonzero(net.classes == c)}) == 1


def test_a_wish_for_blocks_holds_in_every_filling(filler: NetFiller) -> None:
    library = filler.library
    nodes = np.flatnonzero(library.kinds == NODE)
    allowed = np.ones(len(library), dtype=bool)
    allowed[nodes] = False
    with pytest.raises(UsageError, match="no net"):
        possible_nets(filler.catalogue, library, Choices(np.arange(len(filler.catalogue)), allowed))
    met = 0
    for node in nodes:
        allowed[nodes] = False
        allowed[node] = True
        try:
            choices = possible_nets(filler.catalogue, library, Choices(np.arange(len(filler.catalogue)), allowed))
        except UsageError:
            continue
        for found in sample_nets(filler.draw, range(2), 3, choices):
            for mof, rows, _ in found:
                used = {row for row, block in zip(rows, mof.blocks, strict=True) if block.kind == NODE}
                assert used == {node}
                met += 1
    assert met > 0


def test_what_must_be_neutral_is(filler: NetFiller) -> None:
    library, n = filler.library, len(filler.library)
    config = replace(filler.config, neutral=True)
    kinds = library.kinds
    charges = np.where((kinds == NODE)[:, None], [2.0, 2.0], [-1.0, -1.0])
    strict = NetFiller(filler.catalogue, library, charges, Frequencies(library.occurrences), config)
    for found in sample_nets(strict.draw, range(6), 2, everything(strict)):
        for _, rows, _ in found:
            assert charges[list(rows)].sum() == 0
    never = NetFiller(filler.catalogue, library, np.ones((n, 2)), Frequencies(library.occurrences), config)
    assert not any(sample_nets(never.draw, range(3), 2, everything(never)))


@pytest.mark.parametrize("change", [{"fillings": 0}, {"cost": 0.0}, {"fit": float("inf")}, {"candidates": 0}])
def test_numbers_outside_their_range(change: dict) -> None:
    with pytest.raises(UsageError, match=next(iter(change))):
        NetsConfig(**change)
