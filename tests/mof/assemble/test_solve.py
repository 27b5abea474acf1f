"""Assembly of hand-made nets and of well known frameworks: shapes, closing, invariances, refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crystaltool.bonds import assert_bonds
from crystaltool.lattice import parameters_to_matrix
from crystaltool.mof.assemble import AssemblyConfig, assemble, assemble_best, assemble_many, best
from crystaltool.mof.assemble.compare import rmsd
from crystaltool.mof.assemble.solve import _solve
from crystaltool.mof.blocks import NODE, CoarseMOF, assert_coarse
from crystaltool.mof.rebuild import to_crystal
from tests.mof.assemble.nets import HALF_BOND, cubic_net, cut, node, rod, unposed

QUICK = AssemblyConfig(starts=16, rounds=2, generations=4, max_closure=0.5)

CUBIC = 16.0 * np.eye(3)
FCC = 20.0 / 2 * np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
LONG = np.diag([13.0, 13.0, 41.0])
TRICLINIC = parameters_to_matrix(13.0, 15.0, 17.0, 71.0, 83.0, 104.0)


def bond_lengths_between_blocks(mof: CoarseMOF) -> np.ndarray:
    """From the atoms alone, A."""
    crystal, bonds = to_crystal(mof)
    assert_bonds(bonds, crystal.n_atoms)
    assert mof.connections is not None
    return bonds.lengths(crystal)[-len(mof.connections) :]


@pytest.mark.parametrize("lattice", [CUBIC, FCC, LONG, TRICLINIC], ids=["cubic", "fcc", "long", "triclinic"])
def test_blocks_keep_their_shape_in_every_cell(lattice: np.ndarray) -> None:
    """Rotating fractional vectors of another cell leaves connection points up to 4.4 A off in such cells."""
    result = assemble(cubic_net(lattice), QUICK)
    assert result.good, result.message
    assert_coarse(result.mof)
    assert result.closure_max < 0.02
    assert np.allclose(bond_lengths_between_blocks(result.mof), 2 * HALF_BOND, atol=0.05)
    crystal, _ = to_crystal(result.mof)
    start = 0
    for block in result.mof.blocks:
        placed = crystal.cart_coords[start : start + block.n_atoms]
        start += block.n_atoms
        ours, theirs = (np.linalg.norm(x[:, None] - x[None], axis=-1) for x in (placed, block.cart_coords))
        assert np.allclose(ours, theirs, atol=1e-6)


def test_errors_of_the_centres_close_only_if_centres_may_move() -> None:
    rough = unposed(cubic_net(TRICLINIC), noise=0.5, seed=3)
    held = replace(QUICK, centre_spread=1e-3, centre_pull=1e3, lattice_pull=1e5)
    fixed = assemble(rough, held)
    assert fixed.reason == "closure"
    assert fixed.closure_max > 0.5
    assert f"{fixed.closure_max:.2f} A" in fixed.message
    free = assemble(rough, QUICK)
    assert free.good
    assert free.closure_max < 0.1


@pytest.mark.parametrize(("name", "apart"), [("HKUST-1", 0.1), ("MOF-5", 0.1), ("ZIF-8", 0.5)])
def test_well_known_frameworks_come_back(name: str, apart: float) -> None:
    """The imidazolates of ZIF-8 swing about their nitrogens at next to no cost, as they do when it takes up gas."""
    true = cut(name)
    result = assemble(unposed(true), AssemblyConfig(max_closure=0.5))
    assert result.good, result.message
    assert result.closure_max < 0.1
    assert rmsd(true, result.mof) < apart


def test_errors_of_centres_and_cell_are_mended() -> None:
    true = cut("MOF-5")
    result = assemble(unposed(true, noise=0.3, strain=0.02, seed=1), AssemblyConfig(max_closure=0.5))
    assert result.good, result.message
    assert result.closure_max < 0.2
    volumes = [np.linalg.det(mof.lattice) for mof in (true, result.mof, unposed(true, 0.3, 0.02, 1))]
    assert abs(volumes[1] / volumes[0] - 1) < abs(volumes[2] / volumes[0] - 1) / 2
    assert rmsd(true, result.mof) < 0.5


def test_what_else_is_in_the_list_changes_nothing() -> None:
    mofs = [cubic_net(CUBIC), unposed(cubic_net(TRICLINIC), 0.3), cubic_net(LONG)]
    together = assemble_many(mofs, QUICK, seed=5)
    for index, mof in enumerate(mofs):
        alone = assemble(mof, QUICK, seed=5, item=index)
        assert (alone.closures == together[index].closures).all()
        assert alone.cost == together[index].cost
    assert assemble(mofs[0], QUICK, seed=6).cost != together[0].cost


def test_mofs_in_one_batch_do_not_see_each_other() -> None:
    """As on a GPU, where MOFs of one padded size are assembled at once."""
    mofs = [unposed(cubic_net(TRICLINIC), 0.3), cubic_net(LONG), cubic_net(CUBIC)]
    together = _solve(mofs, [np.random.default_rng(k) for k in range(3)], QUICK, "cpu")
    for index, mof in enumerate(mofs):
        (alone,) = _solve([mof], [np.random.default_rng(index)], QUICK, "cpu")
        assert np.allclose(alone.closures, together[index].closures, atol=1e-5)
        assert alone.cost == pytest.approx(together[index].cost, rel=1e-3, abs=1e-8)


def test_rotations_that_are_given_are_not_looked_at() -> None:
    true = cut("ZIF-8")
    with_pose, without = assemble(true, QUICK), assemble(unposed(true), QUICK)
    assert with_pose.cost == pytest.approx(without.cost, rel=1e-4)


def test_turned_cell_and_other_basis_close_too() -> None:
    """The same net with its cell turned and in a skewed basis; blocks are listed backwards."""
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    net = cubic_net(TRICLINIC)
    skew = np.array([[1, 0, 0], [2, 1, 0], [1, -1, 1]])
    other = CoarseMOF(
        skew @ net.lattice @ turn, net.blocks[::-1], net.centres[::-1] @ np.linalg.inv(skew), name="turned"
    )
    result = assemble(other, QUICK)
    assert result.good, result.message
    assert np.allclose(bond_lengths_between_blocks(result.mof), 2 * HALF_BOND, atol=0.05)
    assert [block.kind for block in result.mof.blocks] == [block.kind for block in other.blocks]


def test_parity_is_the_first_gate() -> None:
    net = cubic_net(CUBIC)
    short = replace(net, blocks=net.blocks[:3], centres=net.centres[:3])
    result = assemble(short, QUICK)
    assert result.reason == "parity"
    assert "6 connection points on metal blocks, 4 on the others" in result.message
    only = CoarseMOF(CUBIC, (net.blocks[0],), np.zeros((1, 3)))
    assert assemble(only, QUICK).reason == "parity"


def test_rods_too_short_for_the_cell_cannot_close() -> None:
    """The cell may shrink, but not by a third."""
    net = cubic_net(CUBIC)
    short = replace(net, blocks=(net.blocks[0], *(rod(3.0) for _ in range(3))))
    stiff = replace(QUICK, lattice_pull=100.0)
    result = assemble(short, stiff)
    assert result.reason == "closure"
    assert result.closure_max > 0.5


def test_atoms_on_top_of_each_other_are_an_overlap() -> None:
    """A second net through the middle of the rods of the first: every bond closes, but the rods cross."""
    net = cubic_net(CUBIC)
    shift = np.array([0.5, 0.0, 0.0])
    both = CoarseMOF(CUBIC, net.blocks * 2, np.concatenate([net.centres, net.centres + shift]))
    held = replace(QUICK, centre_pull=5.0, lattice_pull=100.0)
    result = assemble(both, held)
    assert result.reason == "overlap"
    assert result.closest < 0.4


def test_a_net_in_two_dimensions_is_refused() -> None:
    axes = np.eye(3)[:2]
    length = 16.0 - 2 * (2.0 + HALF_BOND)
    blocks = (node(np.concatenate([axes, -axes])), rod(length), rod(length))
    layer = CoarseMOF(np.diag([16.0, 16.0, 12.0]), blocks, np.array([[0, 0, 0], [0.5, 0, 0], [0, 0.5, 0]], dtype=float))
    result = assemble(layer, QUICK)
    assert result.reason == "dimension"
    assert "2 dimensions" in result.message


def test_best_takes_the_good_decoding_and_else_the_one_that_got_furthest() -> None:
    net = cubic_net(CUBIC)
    unbalanced = replace(net, blocks=net.blocks[:3], centres=net.centres[:3])
    short = replace(net, blocks=(net.blocks[0], *(rod(3.0) for _ in range(3))))
    results = assemble_many([unbalanced, short, net], replace(QUICK, lattice_pull=100.0))
    assert [result.reason for result in results] == ["parity", "closure", ""]
    assert best(results) is results[2]
    assert best(results[:2]) is results[1]


def test_of_several_decodings_the_one_that_fits_is_assembled() -> None:
    net = cubic_net(CUBIC)
    unbalanced = replace(net, blocks=net.blocks[:3], centres=net.centres[:3])
    short = replace(net, blocks=(net.blocks[0], *(rod(6.0) for _ in range(3))))
    result = assemble_best([unbalanced, short, net], QUICK)
    assert result.good
    assert [block.n_atoms for block in result.mof.blocks] == [block.n_atoms for block in net.blocks]
    assert assemble_best([unbalanced, unbalanced], QUICK).reason == "parity"
    assert assemble_best([net], QUICK, seed=4, item=2).cost == assemble_many([net], QUICK, 4, [(2, 0)])[0].cost


def test_connections_join_metal_to_other_and_use_every_point_once() -> None:
    result = assemble(unposed(cut("HKUST-1")), QUICK)
    ends = result.mof.connections
    assert ends is not None
    kinds = np.array([block.kind for block in result.mof.blocks])
    assert (kinds[ends.blocks[:, 0]] == NODE).all()
    assert (kinds[ends.blocks[:, 1]] != NODE).all()
    used = {
        (b, p) for pair, points in zip(ends.blocks, ends.points, strict=True) for b, p in zip(pair, points, strict=True)
    }
    assert len(used) == 2 * len(ends) == sum(block.n_connections for block in result.mof.blocks)
