"""Frameworks of public bug reports: each passes, or fails by the rule that it should fail by and no other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crystaltool.checks.judge import judge_block
from crystaltool.checks.kind import INORGANIC, MOF, kind_of
from crystaltool.checks.mof.coordination import Coordination
from crystaltool.checks.mof.framework import inorganic_polymer
from crystaltool.checks.mof.judging import judge_crystal
from crystaltool.checks.registry import MOF_RULES, Plan
from crystaltool.checks.verdict import Verdict
from crystaltool.crystal import Crystal
from crystaltool.io.cif import CifBlock, format_crystal, parse_block
from crystaltool.mof.elements import METAL
from tests.checks.mof.defects import MAKERS, without
from tests.mof.structures import curated

CASES = Path(__file__).parents[2] / "data" / "cases" / "mof"

BROKEN = {  # case: the rules that it breaks
    "03-hydrogens-missing/input": {"has-hydrogen", "undercoordinated-c"},
    "03-hydrogens-missing/input-mof74": {"has-hydrogen", "undercoordinated-c"},
    "03-hydrogens-missing/input-complete": set(),
    "03-hydrogens-missing/input-cof": {"has-metal", "connected-3d"},
    "04-sifsix-charge/input": set(),
    "04-sifsix-charge/input-relative": set(),
    "08-terminal-oxygen/input": {"terminal-oxo", "framework-charge"},  # Cr-O 1.90 A, in no usual state of Cr
    "08-terminal-oxygen/input-iron": {"terminal-oxo", "framework-charge"},
    "08-terminal-oxygen/input-titanyl": {"connected-3d"},  # Ti=O 1.67 A; layers
    "08-terminal-oxygen/input-uio66-no-mu3H": {"framework-charge"},
    "09-small-ligands/input-CO": set(),
    "09-small-ligands/input-N2": set(),
    "09-small-ligands/input-N3": set(),
    "09-small-ligands/input-NCMe": set(),
    "09-small-ligands/input-NCS": set(),
    "09-small-ligands/input-NO": set(),
    "09-small-ligands/input-bare": set(),
    "09-small-ligands/input-imido": {"connected-3d"},  # chains, by V-Cl 2.78 A opposite the imide; see below
    "26-short-xray-hydrogen/input": set(),
    "26-short-xray-hydrogen/input-H095": set(),
}


def case(name: str) -> CifBlock:
    return parse_block((CASES / f"{name}.cif").read_text(encoding="utf-8"))


def verdicts(crystal: Crystal) -> dict[str, Verdict]:
    return {verdict.check: verdict for verdict in judge_crystal(crystal)}


@pytest.mark.parametrize("name", BROKEN)
def test_a_case_breaks_the_rules_that_it_should(name: str) -> None:
    block = case(name)
    found = verdicts(block.crystal)
    assert {check for check, verdict in found.items() if not verdict.passed} == BROKEN[name]
    assert kind_of(block) == MOF


def test_every_case_that_is_kept_here_is_tested() -> None:
    kept = {str(path.relative_to(CASES).with_suffix("")) for path in CASES.glob("0[3489]*/*.cif")}
    assert kept <= set(BROKEN)


def test_the_charge_that_is_missing_is_said() -> None:
    found = verdicts(case("08-terminal-oxygen/input-uio66-no-mu3H").crystal)["framework-charge"]
    assert found.value == -16.0  # four protons a node of four
    assert found.message.startswith("ligands -112 e, metals +96 e (Zr24): -16 e a cell")


def test_hydrogens_of_xrays_are_moved_and_those_that_are_wrong_named() -> None:
    block = case("26-short-xray-hydrogen/input")
    assert "moved to neutron distances" in verdicts(block.crystal)["high-charge"].message
    assert "moved" not in verdicts(curated()["MOF-5"])["high-charge"].message
    crystal = block.crystal
    hydrogen = int(np.flatnonzero(crystal.numbers == 1)[0])
    cart = crystal.cart_coords
    near = np.argsort(np.linalg.norm(cart - cart[hydrogen], axis=1))[1]
    cart[hydrogen] = cart[near] + 0.55 * (cart[hydrogen] - cart[near]) / np.linalg.norm(cart[hydrogen] - cart[near])
    wrong = Crystal(crystal.lattice, cart @ np.linalg.inv(crystal.lattice), crystal.numbers)
    found = verdicts(wrong)["high-charge"]
    assert found.passed or f"H{hydrogen + 1} 0.55 A from" in found.message


@pytest.mark.parametrize("name", sorted(curated()))
def test_a_framework_is_one_still_without_its_hydrogens_or_metals(name: str) -> None:
    """The kind is told by more than what the rules ask for, so that these can fail."""
    crystal = curated()[name]
    for bare in (without(crystal, crystal.numbers == 1), without(crystal, METAL[crystal.numbers])):
        assert bare is not None
        assert kind_of(parse_block(format_crystal(bare, "bare"))) == MOF


def molecules(numbers: list[int], cart, edge: float) -> CifBlock:
    return parse_block(format_crystal(Crystal(np.eye(3) * edge, np.array(cart) / edge, np.array(numbers)), "x"))


def test_what_is_no_framework_is_a_crystal() -> None:
    carbonate = molecules(
        [20, 6, 8, 8, 8], [[0, 0, 2.4], [0, 0, 0], [1.29, 0, 0], [-0.645, 1.117, 0], [-0.645, -1.117, 0]], 4.2
    )
    assert kind_of(carbonate) == INORGANIC
    carbide = molecules([20, 6, 6], [[0, 0, 0], [2.4, 2.4, 1.8], [2.4, 2.4, 3.0]], 4.8)
    assert kind_of(carbide) == INORGANIC
    cyanide = molecules([11, 6, 7], [[0, 0, 0], [2.9, 0, 0.0], [4.06, 0, 0]], 5.9)
    assert kind_of(cyanide) == INORGANIC
    methanol = molecules(
        [6, 8, 1, 1, 1, 1],
        [[0, 0, 0], [1.42, 0, 0], [-0.36, 1.03, 0], [-0.36, -0.51, 0.89], [-0.36, -0.51, -0.89], [1.74, 0.9, 0]],
        3.8,
    )
    assert kind_of(methanol) == INORGANIC
    oxalate = molecules(
        [20, 6, 6, 8, 8, 8, 8],
        [[0, 0, 3], [0.78, 0, 0], [-0.78, 0, 0], [1.4, 1.1, 0], [1.4, -1.1, 0], [-1.4, 1.1, 0], [-1.4, -1.1, 0]],
        5.5,
    )
    assert kind_of(oxalate) == MOF


def judged(block: CifBlock, kind: str | None = None) -> dict[str, Verdict]:
    plan = Plan((), tuple(rule.name for rule in MOF_RULES), kind)
    return {verdict.check: verdict for verdict in judge_block(block, plan).verdicts}


@pytest.mark.parametrize(
    ("name", "what"),
    [("09-small-ligands/input-imido", "chains of Cl V"), ("08-terminal-oxygen/input-titanyl", "layers of O Ti V")],
)
def test_chains_and_layers_that_no_ligand_links_are_no_frameworks_that_came_apart(name: str, what: str) -> None:
    """VCl3(NR): V has N at 1.64, Cl at 2.21 to 2.46 and, opposite N, at 2.78 A, and no other within 4.2 A."""
    block = case(name)
    found = judged(block)
    assert all(verdict.passed for verdict in found.values())
    assert not found["connected-3d"].judged and what in found["connected-3d"].message
    assert not judged(block, MOF)["connected-3d"].passed  # asked for, as of every framework


def test_frameworks_that_came_apart_fail_still() -> None:
    """Frameworks pulled apart, also rods whose linkers now hang on one rod alone, and nets without metals."""
    rng = np.random.default_rng(5)
    rods = 0
    for crystal in curated().values():
        torn = MAKERS["connected-3d"](crystal, rng)
        if torn is None:
            continue
        assert not judged(parse_block(format_crystal(torn, "torn")))["connected-3d"].passed
        rods += inorganic_polymer(Coordination(torn)) == "" and max(Coordination(torn).pieces.ranks) > 0
    assert rods
    assert not judged(case("03-hydrogens-missing/input-cof"))["connected-3d"].passed


def test_what_a_ligand_links_or_what_has_room_is_asked() -> None:
    imido = case("09-small-ligands/input-imido").crystal
    assert inorganic_polymer(Coordination(imido)).startswith("chains")
    lattice = imido.lattice.copy()
    lattice[2] *= 1.3  # chains run along a and b
    wide = Crystal(lattice, imido.cart_coords @ np.linalg.inv(lattice), imido.numbers)
    assert inorganic_polymer(Coordination(wide)) == ""
