"""Fragmentation: building blocks of well known frameworks, reassembly, invariance, refusals."""

from __future__ import annotations

from collections import Counter
from math import gcd

import numpy as np
import pytest

from crystaltool.crystal import Crystal
from crystaltool.mof.blocks import BRIDGE, LINKER, MAX_CONNECTIONS, NODE, CoarseMOF, assert_block, assert_coarse
from crystaltool.mof.fragment import FragmentError, Limits, fragment
from crystaltool.mof.identity import hill_formula, identify
from crystaltool.mof.perception import perceive_bonds
from crystaltool.mof.rebuild import to_crystal
from tests.mof.structures import (
    DIOXIDOTEREPHTHALATE,
    METHYLIMIDAZOLATE,
    TEREPHTHALATE,
    TRIMESATE,
    add_atoms,
    curated,
    cyanides,
    shuffled,
    supercell,
)

WIDE = Limits(blocks=400, connections=24)
"""UiO-66's node has 24 connection points: 12 carboxylates, two oxygens each."""

BLOCKS = {  # nodes, linkers, bridges of the cell, with connection points of each
    "HKUST-1": ({("Cu2", 8): 6}, {TRIMESATE: 8}, {}),
    "MOF-5": ({("OZn4", 12): 2}, {TEREPHTHALATE: 6}, {}),
    "UiO-66": ({("H4O8Zr6", 24): 1}, {TEREPHTHALATE: 6}, {}),
    "ZIF-8": ({("Zn", 4): 6}, {METHYLIMIDAZOLATE: 12}, {}),
    "Ni-MOF-74": ({("Ni", 5): 6}, {DIOXIDOTEREPHTHALATE: 3}, {}),
    "MIL-53": ({("Al", 6): 2}, {TEREPHTHALATE: 2}, {("HO", 2): 2}),
    "MIL-47": ({("V", 6): 2}, {TEREPHTHALATE: 2}, {("O", 2): 2}),
}


def cut(crystal: Crystal, limits: Limits | None = WIDE, remove_guests: bool = False) -> CoarseMOF:
    mof = fragment(crystal, perceive_bonds(crystal), limits, remove_guests)
    assert_coarse(mof)
    for block in mof.blocks:
        assert_block(block)
    return mof


def multiset(mof: CoarseMOF) -> Counter:
    """Kinds of blocks with their smallest whole ratios."""
    names = Counter((block.kind, identify(block).text) for block in mof.blocks)
    share = gcd(*names.values())
    return Counter({name: count // share for name, count in names.items()})


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_of_well_known_frameworks(name: str) -> None:
    mof = cut(curated()[name])
    found = {kind: Counter() for kind in (NODE, LINKER, BRIDGE)}
    for block in mof.blocks:
        formula = (hill_formula(tuple(block.numbers.tolist())), block.n_connections)
        found[block.kind][identify(block).text if block.kind == LINKER else formula] += 1
    assert (found[NODE], found[LINKER], found[BRIDGE]) == BLOCKS[name]


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_give_the_crystal_back(name: str) -> None:
    crystal = curated()[name]
    bonds = perceive_bonds(crystal)
    again, kept = to_crystal(fragment(crystal, bonds, WIDE))
    apart = again.frac_coords[:, None] - crystal.frac_coords
    distances = np.linalg.norm((apart - np.round(apart)) @ crystal.lattice, axis=2)
    nearest = distances.argmin(axis=1)
    assert sorted(nearest.tolist()) == list(range(crystal.n_atoms))
    assert distances.min(axis=1).max() < 1e-3
    assert (crystal.numbers[nearest] == again.numbers).all()
    assert np.allclose(np.sort(kept.lengths(again)), np.sort(bonds.lengths(crystal)), atol=1e-6)
    paired = {tuple(sorted(pair)) for pair in nearest[kept.pairs].tolist()}
    assert paired == {tuple(sorted(pair)) for pair in bonds.pairs.tolist()}


@pytest.mark.parametrize("name", ["MOF-5", "ZIF-8", "Ni-MOF-74", "MIL-53"])
def test_blocks_do_not_know_origin_order_or_cell(name: str) -> None:
    crystal = curated()[name]
    expected = multiset(cut(crystal))
    assert multiset(cut(shuffled(crystal, seed=2))) == expected
    assert multiset(cut(supercell(crystal, (2, 1, 1)))) == expected


def test_rotations_are_proper_and_frames_are_the_blocks_own() -> None:
    mof = cut(curated()["HKUST-1"])
    assert mof.rotations is not None
    assert np.allclose(np.linalg.det(mof.rotations), 1)
    shapes = [np.sort(np.linalg.norm(b.cart_coords, axis=1)) for b in mof.blocks if b.kind == LINKER]
    assert np.allclose(shapes, shapes[0], atol=1e-2)


def test_connections_are_the_halves_of_cut_bonds() -> None:
    mof = cut(curated()["MIL-53"])
    assert mof.rotations is not None and mof.connections is not None
    ends = mof.connections
    at = []
    for side in (0, 1):
        rows = []
        for block, point in zip(ends.blocks[:, side], ends.points[:, side], strict=True):
            rows.append(mof.blocks[block].connection_coords[point] @ mof.rotations[block])
        cells = ends.images * side
        at.append(np.array(rows) + (mof.centres[ends.blocks[:, side]] + cells) @ mof.lattice)
    assert np.abs(at[0] - at[1]).max() < 1e-6
    kinds = np.array([block.kind for block in mof.blocks])[ends.blocks]
    assert (kinds[:, 0] == NODE).all() and (kinds[:, 1] != NODE).all()


def test_two_interpenetrating_nets_are_told_apart() -> None:
    single = curated()["MOF-5"]
    inside = single.frac_coords + 0.25  # between the nodes along a body diagonal of the rhombohedral cell
    double = Crystal(single.lattice, np.concatenate([single.frac_coords, inside]), np.tile(single.numbers, 2))
    mof = cut(double)
    assert mof.nets is not None
    assert np.bincount(mof.nets).tolist() == [8, 8]


def test_guests_are_refused_or_removed_and_bound_water_stays() -> None:
    crystal = curated()["Ni-MOF-74"]
    water = [(0.0, 0.0, 0.0), (0.76, 0.59, 0.0), (-0.76, 0.59, 0.0)]
    middle = _emptiest(crystal)
    filled = add_atoms(crystal, [tuple(middle + place) for place in np.array(water)], [8, 1, 1])
    with pytest.raises(FragmentError, match=r"1 free molecule\(s\), 3 atoms") as refusal:
        cut(filled)
    assert refusal.value.reason == "guest"
    assert multiset(cut(filled, remove_guests=True)) == multiset(cut(crystal))
    nickel = int(np.flatnonzero(crystal.numbers == 28)[0])
    outward = _open_direction(crystal, nickel)
    oxygen = crystal.frac_coords[nickel] @ crystal.lattice + 2.1 * outward
    across = np.cross(outward, [0.31, 0.45, 0.84])
    across /= np.linalg.norm(across)
    bound = add_atoms(
        crystal,
        [tuple(oxygen), *(tuple(oxygen + 0.59 * outward + sign * 0.76 * across) for sign in (1, -1))],
        [8, 1, 1],
    )
    nodes = Counter(hill_formula(tuple(b.numbers.tolist())) for b in cut(bound).blocks if b.kind == NODE)
    assert nodes == {"Ni": 5, "H2NiO": 1}


def _emptiest(crystal: Crystal) -> np.ndarray:
    """The point of a grid that is farthest from all atoms."""
    grid = np.stack(np.meshgrid(*[np.arange(0, 1, 0.1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    apart = grid[:, None] - crystal.frac_coords
    cells = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), axis=-1).reshape(-1, 1, 1, 3)
    nearest = np.linalg.norm((apart + cells) @ crystal.lattice, axis=-1).min(axis=(0, 2))
    return grid[nearest.argmax()] @ crystal.lattice


def _open_direction(crystal: Crystal, atom: int) -> np.ndarray:
    """Away from the neighbours of a metal with an empty site."""
    bonds = perceive_bonds(crystal)
    vectors = bonds.vectors(crystal)
    mine = [*vectors[bonds.pairs[:, 0] == atom], *-vectors[bonds.pairs[:, 1] == atom]]
    outward = -np.sum(mine, axis=0)
    return outward / np.linalg.norm(outward)


def carbon_rod() -> Crystal:
    """Zinc between chains of carbon without end, joined by cyanide in the third direction."""
    lattice = np.diag([5.1, 4.0, 5.1])
    rows = [(0, 0, 0), (1.97, 0, 0), (3.13, 0, 0), *((0, 2.0, k * 1.275) for k in range(4))]
    return Crystal(lattice, np.array(rows) @ np.linalg.inv(lattice), np.array([30, 6, 7, 6, 6, 6, 6]))


def copper_chain() -> Crystal:
    """Layers of copper cyanide, the coppers 2.6 A above each other."""
    return cyanides("xy", metal=29, gap=2.6)


def oxide() -> Crystal:
    """Zinc oxide chains in three directions, a formyl stuck to one zinc."""
    edge = 3.8
    cube = Crystal(
        np.eye(3) * edge, np.array([[0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]]), np.array([30, 8, 8, 8])
    )
    return add_atoms(cube, [(1.3, 1.3, 1.3)], [6])


REFUSED = {
    "no-metal": cyanides(metal=8),
    "one atom": Crystal(np.eye(3) * 3, np.zeros((1, 3)), np.array([29])),
    "layers": cyanides("xy"),
    "chain": cyanides("x"),
    "carbon rod": carbon_rod(),
    "copper chain": copper_chain(),
    "oxide": oxide(),
    "superposed": add_atoms(cyanides(), [(1.97, y, z) for y in (0.7, -0.7) for z in (0.7, -0.7)], [1] * 4),
}
REASONS = {
    "no-metal": "no-metal",
    "one atom": "no-carbon",
    "layers": "dimension",
    "chain": "dimension",
    "carbon rod": "infinite-linker",
    "copper chain": "infinite-node",
    "oxide": "no-linker",
    "superposed": "disorder",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_usable_mof_is_refused_with_its_reason(name: str) -> None:
    with pytest.raises(FragmentError) as refusal:
        cut(REFUSED[name], None)
    assert refusal.value.reason == REASONS[name]


def test_the_limits_of_a_usable_mof() -> None:
    crystal = curated()["UiO-66"]
    for limits, reason in (
        (None, "too-many-connections"),
        (Limits(blocks=6, connections=24), "too-many-blocks"),
        (Limits(atoms=17, connections=24), "block-too-large"),
    ):
        with pytest.raises(FragmentError) as refusal:
            cut(crystal, limits)
        assert refusal.value.reason == reason
    assert MAX_CONNECTIONS < 24


def test_cyanides_are_a_primitive_cubic_net_of_single_atoms() -> None:
    mof = cut(cyanides(), None)
    assert [block.n_atoms for block in mof.blocks] == [1, 2, 2, 2]
    assert mof.connections is not None and len(mof.connections) == 6


def test_a_chain_of_metals_that_is_held_by_its_ligands_too_is_a_rod() -> None:
    nickel = curated()["Ni-MOF-74"]
    silver = Crystal(nickel.lattice, nickel.frac_coords, np.where(nickel.numbers == 28, 47, nickel.numbers))
    bonds = perceive_bonds(silver)
    assert (silver.numbers[bonds.pairs] == 47).all(axis=1).any()
    assert Counter(block.kind for block in cut(silver).blocks) == {NODE: 6, LINKER: 3}
