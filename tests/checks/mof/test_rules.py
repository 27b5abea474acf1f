"""The rules of MOFs: sound frameworks pass, each rule finds its defect, none looks at cell, origin or order."""

from __future__ import annotations

import numpy as np
import pytest

from crystaltool.checks.mof.contacts import check_bonds
from crystaltool.checks.mof.coordination import Coordination, coordination_of
from crystaltool.checks.mof.exposure import cone_angle
from crystaltool.checks.mof.judging import judge_crystal, mof_valid
from crystaltool.checks.mof.rules import terminal_oxo, undercoordinated_nitrogen, undercoordinated_rare_earth
from crystaltool.checks.registry import MOF_CHECKS, MOF_RULES
from crystaltool.crystal import Crystal
from crystaltool.mof.elements import METAL
from crystaltool.units import SYMBOLS
from tests.checks.mof.defects import MAKERS, exchanged, with_atoms, without
from tests.mof.structures import curated, cyanides, shuffled, supercell

NAMES = [rule.name for rule in MOF_RULES]


def aminated(crystal: Crystal) -> Crystal:
    """The crystal with an amine in the place of one hydrogen of a linker."""
    bonds = Coordination(crystal)
    hydrogen = next(
        atom
        for atom in np.flatnonzero(crystal.numbers == 1).tolist()
        if crystal.numbers[bonds.neighbours(atom).atoms[0]] == 6
    )
    near = bonds.neighbours(hydrogen)
    outward = -near.vectors[0] / near.distances[0]
    carbon = crystal.cart_coords[hydrogen] + near.vectors[0]
    ring = bonds.neighbours(int(near.atoms[0]))
    others = ring.vectors[crystal.numbers[ring.atoms] == 6]
    sideward = others[0] - (others[0] @ outward) * outward
    sideward /= np.linalg.norm(sideward)
    nitrogen = carbon + 1.38 * outward
    hydrogens = [nitrogen + 0.5 * outward + side * 0.87 * sideward for side in (1, -1)]
    bare = without(crystal, [hydrogen])
    assert bare is not None
    return with_atoms(bare, np.array([nitrogen, *hydrogens]), [7, 1, 1])


def with_metal(crystal: Crystal, number: int) -> Crystal:
    """The crystal with another metal."""
    found = exchanged(crystal, METAL[crystal.numbers], number)
    assert found is not None
    return found


SOUND = {  # which framework a rule's defect is put into
    "overcoordinated-n": lambda: aminated(curated()["UiO-66"]),
    "undercoordinated-n": lambda: aminated(curated()["UiO-66"]),
    "undercoordinated-rare-earth": lambda: with_metal(curated()["UiO-66"], 58),
    "undercoordinated-alkali": lambda: with_metal(curated()["MIL-53"], 12),
    "terminal-oxo": lambda: curated()["HKUST-1"],
    "lone-molecule": lambda: curated()["MOF-5"],
}


def sound(name: str) -> Crystal:
    return SOUND.get(name, lambda: curated()["MIL-53"])()


@pytest.mark.parametrize("name", sorted(curated()))
def test_well_known_frameworks_pass_every_rule(name: str) -> None:
    verdicts = judge_crystal(curated()[name])
    assert [verdict.check for verdict in verdicts] == NAMES
    assert [verdict for verdict in verdicts if not verdict.passed] == []


@pytest.mark.parametrize("name", MAKERS)
def test_each_rule_finds_its_defect(name: str) -> None:
    crystal = sound(name)
    assert mof_valid(crystal)[name]
    for seed in range(2):
        damaged = MAKERS[name](crystal, np.random.default_rng(seed))
        assert damaged is not None
        assert not mof_valid(damaged)[name]


@pytest.mark.parametrize("name", MAKERS)
def test_verdicts_do_not_depend_on_cell_origin_or_order(name: str) -> None:
    damaged = MAKERS[name](sound(name), np.random.default_rng(2))
    assert damaged is not None
    wanted = mof_valid(damaged)
    assert mof_valid(shuffled(damaged, 3)) == wanted
    assert mof_valid(supercell(damaged, (1, 1, 2))) == wanted


def test_every_rule_has_a_defect_and_a_place_in_the_registry() -> None:
    assert list(MAKERS) == NAMES
    assert [check.name for check in MOF_CHECKS if check.default] == NAMES


def test_findings_name_atoms_and_are_counted() -> None:
    damaged = MAKERS["undercoordinated-c"](curated()["MIL-53"], np.random.default_rng(0))
    assert damaged is not None
    (verdict,) = [found for found in judge_crystal(damaged) if found.check == "undercoordinated-c"]
    assert verdict.value == 1.0
    assert verdict.message.startswith("C") and "two neighbours at 1" in verdict.message


def test_no_more_than_four_findings_are_named() -> None:
    bare = without(curated()["MIL-53"], curated()["MIL-53"].numbers == 1)
    assert bare is not None
    (verdict,) = [found for found in judge_crystal(bare) if found.check == "undercoordinated-c"]
    assert verdict.value == 8.0 and verdict.message.endswith("; 4 more")


@pytest.mark.parametrize(
    ("directions", "dimension", "lone"), [("xyz", 3, False), ("xy", 2, False), ("x", 1, False), ("", 0, True)]
)
def test_dimension_and_lone_molecules(directions: str, dimension: int, lone: bool) -> None:
    crystal = cyanides(directions)
    verdicts = {verdict.check: verdict for verdict in judge_crystal(crystal)}
    assert verdicts["connected-3d"].passed == (dimension == 3)
    if dimension < 3:
        assert verdicts["connected-3d"].message == f"bonds reach in {dimension} directions"
    assert verdicts["lone-molecule"].passed != lone


def test_cyanide_and_nitrile_are_sound() -> None:
    """C of one neighbour, N of one nonmetal neighbour, both triply bound."""
    verdicts = mof_valid(cyanides("xyz"))
    assert verdicts["undercoordinated-c"] and verdicts["undercoordinated-n"]
    stretched = cyanides("xyz", edge=5.4)
    frac = stretched.frac_coords * 5.4
    frac[stretched.numbers == 7] += np.where(frac[stretched.numbers == 7] > 0, 0.2, 0.0)
    longer = Crystal(stretched.lattice, frac / 5.4, stretched.numbers, "longer")
    assert not mof_valid(longer)["undercoordinated-n"]


def test_overlapping_atoms_leave_the_other_rules_something_to_say() -> None:
    """Perception gives up below 0.5 A; the checks do not."""
    crystal = curated()["MIL-53"]
    twice = with_atoms(crystal, crystal.cart_coords[:1] + 0.2, [int(crystal.numbers[0])])
    verdicts = mof_valid(twice)
    assert not verdicts["overlap"]
    assert verdicts["has-metal"] and verdicts["connected-3d"]


def test_bonds_are_those_perceived_and_weak_ones_each_once() -> None:
    crystal = curated()["HKUST-1"]
    bonds = check_bonds(crystal)
    keys = {(*pair, *image) for pair, image in zip(bonds.pairs.tolist(), bonds.images.tolist(), strict=True)}
    assert len(keys) == len(bonds)
    lead = Crystal(np.eye(3) * 12, np.array([[0, 0, 0], [0, 0, 2.8 / 12], [0, 0, 9.0 / 12]]), np.array([82, 8, 8]), "")
    assert [sorted(pair) for pair in check_bonds(lead).pairs.tolist()] in ([[0, 1]], [[0, 1], [0, 2]])
    assert check_bonds(lead).lengths(lead).max() < 3.01


def test_the_coordination_of_a_crystal_is_found_once() -> None:
    crystal = curated()["MIL-47"]
    assert coordination_of(crystal) is coordination_of(crystal)
    assert coordination_of(curated()["MIL-53"]).crystal is curated()["MIL-53"]


@pytest.mark.parametrize(
    ("vectors", "radii", "angle"),
    [
        ([[0, 0, 2]], [1.0], 60.0),
        ([[0, 0, 2], [0, 2, 0]], [1.0, 1.0], 90.0 + 60.0),
        ([[0, 0, 2], [0, 0, 4]], [1.0, 1.0], 60.0),
        ([[2, 0, 0], [0, 2, 0], [-2, 0, 0], [0, -2, 0]], [1.0] * 4, 180.0 + 60.0),
        ([[1, 1, 1], [1, -1, -1], [-1, 1, -1]], [0.0] * 3, 2 * np.degrees(np.arccos(1 / 3))),
        ([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], [0.0] * 4, 2 * np.degrees(np.arccos(-1 / 3))),
        ([[0, 0, 1.0]], [1.5], 180.0),
    ],
)
def test_cone_angles_known_by_hand(vectors, radii, angle) -> None:
    """One sphere, two at right angles, one behind another, a square, a tripod, a tetrahedron, a tip in a sphere."""
    found = cone_angle(np.array(vectors, dtype=float), np.array(radii))
    assert found == pytest.approx(angle, abs=0.1)


@pytest.mark.parametrize(("metal", "length", "flagged"), [(28, 2.10, True), (23, 1.65, False)])
def test_nitrogen_on_a_metal_alone_is_a_nitride_or_lacks_its_hydrogens(
    metal: int, length: float, flagged: bool
) -> None:
    crystal = Crystal(np.eye(3) * 12, np.array([[0, 0, 0], [0, 0, length / 12]]), np.array([metal, 7]), "")
    assert bool(undercoordinated_nitrogen(coordination_of(crystal))) == flagged


@pytest.mark.parametrize(
    ("metal", "atom", "length", "sound"),
    [
        ("Mo", "S", 2.10, True),
        ("W", "S", 2.15, True),
        ("V", "S", 2.08, True),
        ("Sn", "S", 2.33, True),
        ("Mo", "Se", 2.30, True),
        ("Zn", "S", 2.30, False),
        ("Cu", "S", 2.25, False),
        ("Cd", "S", 2.50, False),
        ("Zn", "Se", 2.40, False),
        ("Pd", "P", 2.25, False),
    ],
)
def test_sulfur_on_a_metal_alone_is_doubly_bound_or_lacks_something(
    metal: str, atom: str, length: float, sound: bool
) -> None:
    """Bonds of tetrathiomolybdate, thiostannate and the like against thiolates and phosphanes that lost the rest."""
    cart = np.array([[5.0, 5, 5], [5, 5, 5 + length], [5, 5, 5 - 2.0], [5, 5, 5 - 3.2]])
    numbers = np.array([SYMBOLS.index(symbol) for symbol in (metal, atom, "N", "C")])
    found = terminal_oxo(Coordination(Crystal(20.0 * np.eye(3), cart / 20.0, numbers)))
    assert (found == {}) is sound and set(found) <= {1}


def test_what_passes_says_what_is_there() -> None:
    said = {verdict.check: verdict.message for verdict in judge_crystal(curated()["MOF-5"])}
    assert (said["has-metal"], said["has-carbon"], said["has-hydrogen"]) == ("Zn8", "C48", "H24")
    assert said["connected-3d"] == "bonds reach in 3 directions" and said["overlap"] == "none"
    assert said["framework-charge"] == "neutral: ligands -16 e, metals +16 e (Zn8)"


def test_a_weak_contact_of_a_bared_metal_is_no_neighbour() -> None:
    """Gd with three O lacks most of its valence, so P at 3.57 A carries 5 % of what is left: no bond of gadolinium."""
    cart = np.array([[0.0, 0, 0], [2.27, 0, 0], [0, 2.46, 0], [0, 0, 2.48], [0, -3.57, 0]]) + 8.0
    crystal = Crystal(16.0 * np.eye(3), cart / 16.0, np.array([64, 8, 8, 8, 15]))
    coordination = Coordination(crystal)
    assert len(coordination.neighbours(0)) == 4 and len(coordination.strong_neighbours(0)) == 3
    assert undercoordinated_rare_earth(coordination) == {0: "3 neighbours"}
