"""Any calculator of ASE (Larsen et al., J. Phys.: Condens. Matter 29, 273002 (2017)) as a force field."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from crystaltool.errors import InputError, MissingExtraError, UsageError
from crystaltool.forcefield.interface import Evaluation

if TYPE_CHECKING:
    from crystaltool.crystal import Crystal


class AseCalculator:
    """A force field around a calculator.

    Args:
        calculator: gives energy (eV), forces (eV/A) and stress (eV/A^3, in ASE's sign: positive under tension).
        name: written into the structures that it relaxes.

    Raises:
        MissingExtraError: ASE is not installed.
    """

    def __init__(self, calculator: Any, name: str) -> None:
        require_ase()
        import ase

        self.name = name
        self.version = f"{name.removeprefix('ase:')} ase {ase.__version__}"
        self._calculator = calculator

    def evaluate(self, crystal: Crystal) -> Evaluation:
        """Energy, forces and stress.

        Raises:
            InputError: the calculator fails on this crystal, or gives no stress.
        """
        from ase.calculators.calculator import PropertyNotImplementedError

        atoms = self._atoms(crystal)
        try:
            energy, forces = float(atoms.get_potential_energy()), np.array(atoms.get_forces(), dtype=float)
            stress = np.array(atoms.get_stress(voigt=False), dtype=float)
        except PropertyNotImplementedError as error:
            raise InputError(f"{self.name} gives no stress, forces or energy of a crystal ({error})") from None
        except Exception as error:  # calculators fail in as many ways as there are
            raise InputError(f"{self.name} fails: {_told(error)}") from error
        return Evaluation(energy, forces, (stress + stress.T) / 2)

    def energy(self, crystal: Crystal) -> float:
        """Energy in eV per cell.

        Raises:
            InputError: the calculator fails on this crystal.
        """
        try:
            return float(self._atoms(crystal).get_potential_energy())
        except Exception as error:
            raise InputError(f"{self.name} fails: {_told(error)}") from error

    def _atoms(self, crystal: Crystal) -> Any:
        from ase import Atoms

        atoms = Atoms(numbers=crystal.numbers, scaled_positions=crystal.frac_coords, cell=crystal.lattice, pbc=True)
        atoms.calc = self._calculator
        return atoms


def require_ase() -> None:
    """Check that ASE is there.

    Raises:
        MissingExtraError: it is not; the message holds the line that installs it.
    """
    if importlib.util.find_spec("ase") is None:
        raise MissingExtraError("ASE is not installed, install it with: pip install 'crystaltool[ase]'")


def find_factory(name: str) -> Callable[[], Any]:
    """What `ase:MODULE:FACTORY` names.

    Raises:
        UsageError: another form, a module that cannot be imported, nothing of that name in it.
        MissingExtraError: ASE is not installed.
    """
    parts = name.split(":")
    if len(parts) != 3 or not all(parts):
        raise UsageError(f"force field {name!r}, expected ase:MODULE:FACTORY such as ase:ase.calculators.emt:EMT")
    require_ase()
    _, module, attribute = parts
    try:
        found: Any = importlib.import_module(module)
        for step in attribute.split("."):
            found = getattr(found, step)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"force field {name!r}: {error}") from None
    if not callable(found):
        raise UsageError(f"force field {name!r}: {attribute} cannot be called to make a calculator")
    return found


def make_calculator(name: str) -> Any:
    """The calculator of `ase:MODULE:FACTORY`; errors as `find_factory`, and UsageError where the call fails."""
    factory = find_factory(name)
    try:
        return factory()
    except Exception as error:
        raise UsageError(f"force field {name!r} cannot be made: {_told(error)}") from error


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")
