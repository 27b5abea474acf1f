"""Charge equilibration: Madelung constants, another Ewald sum, what can be solved by hand, invariances, no minimum."""

from __future__ import annotations

import numpy as np
import pytest

from crystaltool.checks.mof.charge import charge_limits
from crystaltool.checks.mof.eqeq import (
    COULOMB,
    SCREENING,
    NoChargesError,
    atom_parameters,
    eqeq_charges,
    ewald_matrix,
    overlap_matrix,
)
from crystaltool.crystal import Crystal
from crystaltool.errors import InputError
from tests.checks.mof.defects import squeezed
from tests.mof.structures import curated, shuffled, supercell

CHARGE_TOLERANCE = 2e-4
"""e; the Ewald sums are cut at 1e-5 per Angstrom."""

MADELUNG = {  # lattice in units of the nearest distance, positions of cation and anion; Borwein et al. 1985
    "CsCl": (np.eye(3) * 2 / np.sqrt(3), [0, 0, 0], [0.5, 0.5, 0.5], 1.76267477),
    "NaCl": (np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]), [0, 0, 0], [0.5, 0.5, 0.5], 1.74756459),
    "ZnS": (np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) * 2 / np.sqrt(3), [0, 0, 0], [0.25, 0.25, 0.25], 1.63805505),
}


def triclinic(n: int = 12, seed: int = 0) -> Crystal:
    rng = np.random.default_rng(seed)
    lattice = np.array([[9.0, 0.0, 0.0], [2.5, 8.0, 0.0], [-3.0, 1.5, 7.0]])
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)[:n]
    frac = (grid + 0.2 * rng.random((n, 3))) / 3
    return Crystal(lattice, frac, rng.choice([6, 7, 8, 12, 30], n), "triclinic")


@pytest.mark.parametrize("name", MADELUNG)
def test_madelung_constants(name: str) -> None:
    lattice, first, second, constant = MADELUNG[name]
    lattice = lattice if np.linalg.det(lattice) > 0 else lattice[[1, 0, 2]]
    crystal = Crystal(3.0 * lattice.astype(float), np.array([first, second], dtype=float), np.array([11, 17]), name)
    charges = np.array([1.0, -1.0])
    assert -charges @ ewald_matrix(crystal) @ charges / 2 * 3.0 == pytest.approx(constant, abs=2e-5)


def test_energy_of_charges_is_pymatgens() -> None:
    """The same Ewald energy of random neutral charges in a skewed cell."""
    from pymatgen.analysis.ewald import EwaldSummation
    from pymatgen.core import Lattice, Structure

    crystal = triclinic()
    charges = np.random.default_rng(1).normal(size=crystal.n_atoms)
    charges -= charges.mean()
    structure = Structure(
        Lattice(crystal.lattice),
        ["Zn"] * crystal.n_atoms,
        crystal.frac_coords,
        site_properties={"charge": charges.tolist()},
    )
    structure.add_oxidation_state_by_site(charges.tolist())
    wanted = EwaldSummation(structure, acc_factor=14).total_energy
    assert COULOMB * charges @ ewald_matrix(crystal) @ charges / 2 == pytest.approx(wanted, abs=1e-3)


def test_a_diatomic_molecule_as_by_hand() -> None:
    """Two atoms 2.36 A apart in a wide cell: q = (chi_2 - chi_1) / (J_1 + J_2 - 2 J_12)."""
    edge, distance = 200.0, 2.36
    crystal = Crystal(np.eye(3) * edge, np.array([[0, 0, 0], [distance / edge, 0, 0]]), np.array([11, 17]), "NaCl")
    chi, hardness = atom_parameters(crystal.numbers)
    assert hardness == pytest.approx([47.286 - 5.139, 12.968 - 3.613], abs=2e-3)
    assert chi == pytest.approx([(47.286 + 5.139) / 2 - (47.286 - 5.139), (12.968 + 3.613) / 2], abs=2e-3)
    a = np.sqrt(hardness.prod()) / COULOMB
    between = 1 / distance + np.exp(-((a * distance) ** 2)) * (2 * a - a * a * distance - 1 / distance)
    wanted = (chi[1] - chi[0]) / (hardness.sum() - 2 * SCREENING * COULOMB * between)
    assert eqeq_charges(crystal) == pytest.approx([wanted, -wanted], abs=2e-3)


def test_overlap_takes_the_divergence_from_two_atoms_in_one_place() -> None:
    """1 / R and the overlap term sum to 2 a as R goes to 0."""
    crystal = Crystal(np.eye(3) * 30, np.array([[0, 0, 0], [1e-4 / 30, 0, 0]]), np.array([6, 6]), "")
    hardness = np.array([10.0, 10.0])
    total = overlap_matrix(crystal, hardness)[0, 1] + 1 / 1e-4
    assert total == pytest.approx(2 * 10.0 / COULOMB, rel=1e-2)


@pytest.mark.parametrize("name", sorted(curated()))
def test_charges_are_neutral_and_of_the_right_sign(name: str) -> None:
    crystal = curated()[name]
    charges = eqeq_charges(crystal)
    assert charges.sum() == pytest.approx(0.0, abs=1e-8)
    assert (charges[crystal.numbers > 10] > 0.5).all()
    assert (charges[crystal.numbers == 8] < -0.2).all()
    assert (np.abs(charges) < charge_limits(crystal.numbers)).all()


def test_all_electronegativities_are_equal() -> None:
    """What equilibration means, the energy's derivative taken by differences."""
    crystal = triclinic()
    chi, hardness = atom_parameters(crystal.numbers)
    coulomb = SCREENING * COULOMB * (ewald_matrix(crystal) + overlap_matrix(crystal, hardness))

    def energy(charges: np.ndarray) -> float:
        return float(chi @ charges + hardness @ charges**2 / 2 + charges @ coulomb @ charges / 2)

    charges, step = eqeq_charges(crystal), 1e-3
    slopes = []
    for atom in range(crystal.n_atoms):
        move = step * (np.arange(crystal.n_atoms) == atom)
        slopes.append((energy(charges + move) - energy(charges - move)) / (2 * step))
    assert np.ptp(slopes) < 1e-6


def test_charges_do_not_depend_on_cell_origin_or_order() -> None:
    crystal = curated()["MIL-53"]
    charges = eqeq_charges(crystal)
    doubled = eqeq_charges(supercell(crystal, (1, 2, 1)))
    assert doubled == pytest.approx(np.tile(charges, 2), abs=CHARGE_TOLERANCE)
    assert np.sort(eqeq_charges(shuffled(crystal, 1))) == pytest.approx(np.sort(charges), abs=CHARGE_TOLERANCE)


def test_a_charged_cell_carries_its_charge() -> None:
    assert eqeq_charges(triclinic(), total_charge=2.0).sum() == pytest.approx(2.0, abs=1e-9)


def test_squeezed_structures_have_no_charges() -> None:
    damaged = squeezed(curated()["HKUST-1"], np.random.default_rng(0))
    assert damaged is not None
    with pytest.raises(NoChargesError, match="run away"):
        eqeq_charges(damaged)


@pytest.mark.filterwarnings("error")
def test_atoms_in_one_place_have_no_charges() -> None:
    """1 / R is infinite: no number that is none comes out, and no warning."""
    coords = np.array([[0.1, 0.2, 0.3], [0.1, 0.2, 0.3], [0.6, 0.5, 0.5]])
    crystal = Crystal(np.eye(3) * 9.0, coords, np.array([6, 8, 30]))
    with pytest.raises(NoChargesError, match="one place"):
        eqeq_charges(crystal)


def test_an_element_without_ionisation_energies_is_named() -> None:
    crystal = Crystal(np.eye(3) * 9, np.array([[0, 0, 0], [0.5, 0.5, 0.5]]), np.array([6, 118]), "")
    with pytest.raises(InputError, match="Og"):
        eqeq_charges(crystal)


def test_an_atom_may_carry_its_oxidation_state_and_a_tenth() -> None:
    limits = charge_limits(np.array([1, 6, 30, 40, 42, 92, 14, 5, 15]))
    assert limits == pytest.approx(1.1 * np.array([3, 3, 3, 4, 6, 6, 4, 3, 5]))


def test_the_table_of_elements_is_what_pymatgen_has() -> None:
    import csv
    from importlib.resources import files

    from crystaltool.checks.mof import build_elements

    lines = files("crystaltool.checks.mof").joinpath("elements.csv").read_text(encoding="ascii").splitlines()
    head, *rows = csv.reader(lines)
    assert tuple(head) == build_elements.COLUMNS
    assert [tuple(row) for row in rows] == build_elements.rows()


# ---- large cells


def test_charges_by_iteration_are_those_of_the_matrix() -> None:
    from crystaltool.checks.mof.eqeq import _iterated

    for crystal in (triclinic(24), curated()["MIL-53"], curated()["MOF-5"]):
        assert np.abs(_iterated(crystal, 0.0) - eqeq_charges(crystal)).max() < 1e-3
    charged = _iterated(curated()["MIL-53"], 1.0)
    assert charged.sum() == pytest.approx(1.0, abs=1e-9)
    assert np.abs(charged - eqeq_charges(curated()["MIL-53"], 1.0)).max() < 1e-3


def test_iteration_finds_no_minimum_where_there_is_none() -> None:
    from crystaltool.checks.mof.eqeq import _iterated

    damaged = squeezed(curated()["MIL-53"], np.random.default_rng(0))
    assert damaged is not None
    for solve in (eqeq_charges, lambda crystal: _iterated(crystal, 0.0)):
        with pytest.raises(NoChargesError) as caught:
            solve(damaged)
        assert caught.value.atoms


def test_a_supercell_is_brought_back_to_its_primitive_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    from crystaltool.checks.mof import eqeq
    from crystaltool.checks.mof.eqeq_large import primitive

    crystal = curated()["MIL-53"]
    small, _ = primitive(crystal)
    large = shuffled(supercell(crystal, (2, 1, 3)), 5)
    found, place = primitive(large)
    assert found.n_atoms == small.n_atoms <= crystal.n_atoms
    assert found.volume == pytest.approx(small.volume)
    assert (found.numbers[place] == large.numbers).all()
    monkeypatch.setattr(eqeq, "DENSE_ATOMS", crystal.n_atoms)
    assert np.abs(np.sort(eqeq_charges(large)) - np.sort(np.tile(eqeq_charges(crystal), 6))).max() < CHARGE_TOLERANCE


def test_the_rule_goes_on_beyond_dense_cells_and_says_where_it_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    from crystaltool.checks.mof import eqeq
    from crystaltool.checks.mof.judging import judge_crystal

    crystal = shuffled(supercell(curated()["MIL-53"], (1, 1, 2)), 2)
    monkeypatch.setattr(eqeq, "DENSE_ATOMS", 10)
    (whole,) = [verdict for verdict in judge_crystal(crystal) if verdict.check == "high-charge"]
    assert whole.passed and whole.judged and whole.value is not None
    monkeypatch.setattr(eqeq, "MAX_ATOMS", 10)
    again = Crystal(crystal.lattice, crystal.frac_coords, crystal.numbers)
    (stopped,) = [verdict for verdict in judge_crystal(again) if verdict.check == "high-charge"]
    assert stopped.passed and not stopped.judged and stopped.value is None
    assert stopped.message.startswith("not judged: ") and "at most 10" in stopped.message
