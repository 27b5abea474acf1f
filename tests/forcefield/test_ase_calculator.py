"""Any calculator of ASE as a force field, against ASE's own relaxation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import crystaltool as ct
from crystaltool.crystal import Crystal
from crystaltool.errors import InputError, UsageError
from crystaltool.forcefield.interface import ForceField
from crystaltool.forcefield.registry import load_force_field, require_force_field
from tests.cli.one_process import one_process

pytest.importorskip("ase", reason="ASE is not installed")

EMT = "ase:ase.calculators.emt:EMT"
METALS = ("Cu", "Al", "Au")


def ase_lattice_constant(metal: str) -> float:
    """By ASE: its calculator, its cell filter, its optimiser."""
    from ase.build import bulk
    from ase.calculators.emt import EMT as Calculator
    from ase.filters import FrechetCellFilter
    from ase.optimize import BFGS

    atoms = bulk(metal, cubic=True)
    atoms.calc = Calculator()
    assert BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=1e-4, steps=200)
    return float(atoms.cell.lengths()[0])


def fcc(metal: str) -> ct.Structure:
    """The experimental crystal with cells 2 % too long."""
    from ase.build import bulk

    atoms = bulk(metal, cubic=True)
    atoms.set_cell(atoms.cell * 1.02, scale_atoms=True)
    return ct.Structure.from_ase(atoms, name=metal)


@pytest.mark.parametrize("metal", METALS)
def test_the_lattice_constant_is_that_of_ase_within_two_thousandths(metal: str) -> None:
    from ase.calculators.emt import EMT as Calculator

    expected = ase_lattice_constant(metal)
    for force_field in (EMT, Calculator()):
        relaxed = ct.relax(fcc(metal), force_field)
        assert relaxed.properties["relax_converged"] == "yes" and relaxed.properties["relax_forcefield"] == EMT
        assert relaxed.space_group == 225
        assert relaxed.lattice[0, 0] == pytest.approx(expected, rel=2e-3)


def test_the_same_from_the_shell(tmp_path: Path) -> None:
    ct.write([fcc(metal) for metal in METALS], tmp_path / "in.cif", provenance=False)
    with one_process() as child:
        ended = child.run(tmp_path, "relax", "--forcefield", EMT, "--no-provenance", "-o", "out.cif", "in.cif")
        wrong = child.run(tmp_path, "relax", "--forcefield", "ase:ase.calculators.emt:NoSuch", "in.cif")
    assert ended.code == 0, ended.err
    ct.write(ct.relax(ct.read(tmp_path / "in.cif"), EMT), tmp_path / "python.cif", provenance=False)
    assert (tmp_path / "python.cif").read_bytes() == (tmp_path / "out.cif").read_bytes()
    assert wrong.code == 2 and wrong.out == "" and wrong.err.count("\n") == 1 and "NoSuch" in wrong.err


def test_forces_and_stress_are_derivatives_of_the_energy() -> None:
    force_field = load_force_field(EMT)
    assert isinstance(force_field, ForceField)
    rng = np.random.default_rng(0)
    lattice = np.array([[3.7, 0.1, 0.0], [0.0, 3.5, 0.2], [0.1, 0.0, 3.8]])
    places = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    crystal = Crystal(lattice, places + rng.uniform(0, 0.05, (4, 3)), np.array([29, 29, 79, 13]))
    found = force_field.evaluate(crystal)
    step = 1e-4
    for atom, axis in ((0, 0), (2, 1), (3, 2)):
        moves = np.zeros((4, 3))
        moves[atom, axis] = step
        ends = [
            force_field.evaluate(
                Crystal(lattice, crystal.frac_coords + sign * moves @ np.linalg.inv(lattice), crystal.numbers)
            ).energy
            for sign in (1, -1)
        ]
        assert found.forces[atom, axis] == pytest.approx(-(ends[0] - ends[1]) / (2 * step), abs=1e-5)
    for i, j in ((0, 0), (1, 2)):
        strain = np.zeros((3, 3))
        strain[i, j] += step / 2
        strain[j, i] += step / 2
        ends = [
            force_field.evaluate(
                Crystal(lattice @ (np.eye(3) + sign * strain), crystal.frac_coords, crystal.numbers)
            ).energy
            for sign in (1, -1)
        ]
        assert found.stress[i, j] == pytest.approx((ends[0] - ends[1]) / (2 * step * crystal.volume), abs=1e-5)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ase:emt", "expected ase:MODULE:FACTORY"),
        ("ase:no_such_module_here:EMT", "No module named 'no_such_module_here'"),
        ("ase:ase.calculators.emt:NoSuch", "no attribute 'NoSuch'"),
        ("ase:ase.calculators.emt:parameters", "cannot be called"),
    ],
)
def test_what_is_no_calculator_is_named(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        require_force_field(name)
    with pytest.raises(UsageError, match="no force field"):
        require_force_field(3.5)


def test_what_the_calculator_cannot_do_is_an_error_of_the_structure() -> None:
    from ase.calculators.calculator import Calculator, PropertyNotImplementedError

    from tests.forcefield.units import ROCK_SALT

    with pytest.raises(InputError, match=r"emt:EMT fails: NotImplementedError: No EMT-potential for (Na|Cl)"):
        ct.relax(ct.Structure(ROCK_SALT, name="salt"), EMT)

    class NoStress(Calculator):
        implemented_properties = ("energy", "forces")

        def calculate(self, atoms=None, properties=("energy",), system_changes=()):
            if "stress" in properties:
                raise PropertyNotImplementedError("stress")
            self.results = {"energy": 0.0, "forces": np.zeros((len(atoms), 3))}

    with pytest.raises(InputError, match="gives no stress"):
        ct.relax(fcc("Cu"), NoStress())
