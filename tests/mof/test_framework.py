"""Identities of MOFs: one for each measurement, cell and setting of a MOF, another for another MOF."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crystaltool.crystal import Crystal
from crystaltool.io.cif import CifBlock
from crystaltool.io.stream import iter_blocks
from crystaltool.mof.fragment import FragmentError
from crystaltool.mof.framework import identify_framework
from crystaltool.mof.perception import perceive_bonds
from tests.mof.structures import add_atoms, curated, cyanides, shuffled, supercell

CASES = Path(__file__).resolve().parents[1] / "data" / "cases" / "mof"
BDC = "O=C([O-])c1ccc(C(=O)[O-])cc1"

NAMES = {
    "MOF-5": f"OZn4;3x{BDC}",
    "UiO-66": f"O4Zr3;3x{BDC}",
    "HKUST-1": "Cu3;2xO=C([O-])c1cc(C(=O)[O-])cc(C(=O)[O-])c1",
    "ZIF-8": "Zn;2xCc1ncc[n-]1",
    "Ni-MOF-74": "Ni2;O=C([O-])c1cc([O-])c(C(=O)[O-])cc1[O-]",
    "MIL-53": f"AlO;{BDC}",
    "MIL-47": f"OV;{BDC}",
}


def name(crystal: Crystal) -> str:
    return identify_framework(crystal, perceive_bonds(crystal)).text


def case(file: str) -> Crystal:
    (block,) = iter_blocks([str(CASES / file)])
    assert isinstance(block, CifBlock)
    return block.crystal


def scaled(crystal: Crystal, factor: float) -> Crystal:
    return Crystal(crystal.lattice * factor, crystal.frac_coords, crystal.numbers, crystal.name)


@pytest.mark.parametrize("mof", NAMES)
def test_names_of_well_known_frameworks(mof: str) -> None:
    crystal = curated()[mof]
    identity = identify_framework(crystal, perceive_bonds(crystal))
    assert identity.blocks == NAMES[mof]
    assert identity.text.startswith(NAMES[mof] + ";3d-1-")


@pytest.mark.parametrize("mof", NAMES)
def test_origin_order_cell_and_a_small_strain_leave_the_identity(mof: str) -> None:
    crystal = curated()[mof]
    for other in (shuffled(crystal, 3), supercell(crystal, (1, 2, 1)), scaled(crystal, 0.99), scaled(crystal, 1.01)):
        assert name(other) == name(crystal)


def test_two_refinements_of_one_mof_are_one() -> None:
    folder = "06-same-mof-two-identities"
    assert name(case(f"{folder}/input.cif")) == name(case(f"{folder}/input-other-refinement.cif"))


def test_a_second_oxygen_within_reach_changes_nothing() -> None:
    """Zinc carboxylates hold a second oxygen at 2.2 to 2.7 A; here each of MOF-5's oxygens moves by up to 0.15 A."""
    crystal = curated()["MOF-5"]
    rng = np.random.default_rng(0)
    for _ in range(5):
        moved = crystal.frac_coords + (
            rng.uniform(-0.15, 0.15, (crystal.n_atoms, 3)) * (crystal.numbers == 8)[:, None]
        ) @ np.linalg.inv(crystal.lattice)
        assert name(Crystal(crystal.lattice, moved, crystal.numbers)) == name(crystal)


def test_interpenetration_and_missing_linkers_are_told() -> None:
    one, two = (case(f"17-interpenetrated-identity/input{end}.cif") for end in ("", "-two-nets"))
    assert name(one) == name(curated()["MOF-5"])
    assert name(two) == name(one).replace("3d-1-", "3d-2-")
    whole, missing, formate = (case(f"21-missing-linker/input{end}.cif") for end in ("", "-missing", "-formate"))
    assert name(whole) == name(curated()["UiO-66"])
    assert name(missing).startswith(f"O32Zr24;23x{BDC};3d-1-")
    assert name(formate).startswith(f"O32Zr24;23x{BDC}.2xO=C[O-];3d-1-")


def test_lead_hangs_together() -> None:
    assert name(case("07-lead-bonds/input.cif")).startswith(f"Pb;{BDC};3d-1-")
    assert name(case("07-lead-bonds/input-small.cif")).startswith("Pb;O=C([O-])C=CC(=O)[O-];3d-1-")


def test_the_iron_of_ferrocene_belongs_to_the_linker() -> None:
    nodes, linkers, _ = name(case("23-metal-inside-linker/input.cif")).split(";")
    assert nodes == "Cu"
    ferrocene, bipyridine = linkers.split(".[Fe].")
    assert bipyridine == "2xc1cc(-c2ccncc2)ccn1"
    assert ferrocene.count("[cH-]") + ferrocene.count("[c-]") == ferrocene.count("S(=O)") == 2


def test_bound_and_free_solvent_are_left_out() -> None:
    """Water on every second copper of HKUST-1's paddlewheels, and one that is free."""
    crystal = curated()["HKUST-1"]
    copper = int(np.flatnonzero(crystal.numbers == 29)[0])
    bonds = perceive_bonds(crystal)
    rows = (bonds.pairs == copper).any(axis=1)
    signs = np.where(bonds.pairs[rows, 0] == copper, 1.0, -1.0)
    outward = -(bonds.vectors(crystal)[rows] * signs[:, None]).sum(axis=0)
    outward /= np.linalg.norm(outward)
    oxygen = crystal.frac_coords[copper] @ crystal.lattice + 2.2 * outward
    side = np.cross(outward, [0.3, 0.5, 0.8])
    side /= np.linalg.norm(side)
    water = [oxygen, oxygen + 0.5 * outward + 0.82 * side, oxygen + 0.5 * outward - 0.82 * side]
    assert name(add_atoms(crystal, [tuple(x) for x in water], [8, 1, 1])) == name(crystal)
    free = [oxygen + 3 * outward + (x - oxygen) for x in water]
    assert name(add_atoms(crystal, [tuple(x) for x in free], [8, 1, 1])) == name(crystal)


def test_hydrogens_on_oxygen_are_not_told_apart() -> None:
    crystal = curated()["MIL-53"]
    bonds = perceive_bonds(crystal)
    ends = crystal.numbers[bonds.pairs]
    hydroxide = bonds.pairs[(np.sort(ends, axis=1) == (1, 8)).all(axis=1)]
    assert len(hydroxide) == 2
    gone = np.isin(np.arange(crystal.n_atoms), hydroxide.ravel()) & (crystal.numbers == 1)
    bare = Crystal(crystal.lattice, crystal.frac_coords[~gone], crystal.numbers[~gone])
    assert name(bare) == name(crystal)


def test_other_metals_and_other_nets_are_other_mofs() -> None:
    assert name(cyanides(metal=30)) != name(cyanides(metal=29))
    assert name(curated()["MIL-53"]) != name(curated()["MIL-47"])


def test_what_is_no_framework_has_no_identity() -> None:
    with pytest.raises(FragmentError, match="connected in 2 dimensions"):
        name(cyanides("xy"))
    with pytest.raises(FragmentError, match="no metal"):
        name(Crystal(np.eye(3) * 9, np.zeros((1, 3)), np.array([6])))
