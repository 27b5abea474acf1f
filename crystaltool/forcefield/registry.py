"""Force fields by the name that `relax --forcefield` takes: a table of rows, and any calculator of ASE.

To add one, write a class with `name`, `version` and `evaluate` (`crystaltool.forcefield.interface.ForceField`) in a
file of its own and give it a row.
"""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from functools import cache
from typing import Any

from crystaltool.defaults import MOF_FORCE_FIELD
from crystaltool.errors import MissingExtraError, UsageError
from crystaltool.forcefield.interface import ForceField

ASE_PREFIX = "ase:"
"""`ase:MODULE:FACTORY`: whatever `FACTORY()` of that module makes is a calculator of ASE."""


@dataclass(frozen=True)
class Row:
    """How a force field is loaded.

    Args:
        factory: `MODULE:NAME` of what is called without arguments to make it; empty for the one that stands on bonds.
        package: what must be installed. extra: of crystaltool, which brings it.
    """

    factory: str
    package: str = ""
    extra: str = ""


FORCE_FIELDS = {
    "chgnet": Row("crystaltool.forcefield.chgnet:Chgnet", package="chgnet", extra="mlip"),
    MOF_FORCE_FIELD: Row(""),  # of a bond graph, no `ForceField` of a bare crystal: `forcefield.uff.relaxation`
}


def is_computed(name: str) -> bool:
    """Whether a force field of that name gives energies of bare crystals here."""
    return name.startswith(ASE_PREFIX) or (name in FORCE_FIELDS and bool(FORCE_FIELDS[name].factory))


def require_force_field(force_field: str | Any) -> None:
    """Check that a force field can be loaded, without loading it.

    Args:
        force_field: a name of the table, `ase:MODULE:FACTORY`, or an object, which is there.

    Raises:
        UsageError: there is none of that name.
        MissingExtraError: its package is not installed; the message holds the line that installs it.
    """
    if not isinstance(force_field, str):
        as_force_field(force_field)
        return
    if force_field.startswith(ASE_PREFIX):
        from crystaltool.forcefield.ase_calculator import find_factory

        find_factory(force_field)
        return
    if force_field not in FORCE_FIELDS:
        known = ", ".join([*FORCE_FIELDS, f"{ASE_PREFIX}MODULE:FACTORY"])
        raise UsageError(f"no force field {force_field!r}, expected one of: {known}")
    row = FORCE_FIELDS[force_field]
    if row.package and importlib.util.find_spec(row.package) is None:
        raise MissingExtraError(
            f"force field {force_field} is not installed, install it with: pip install 'crystaltool[{row.extra}]'"
        )


def load_force_field(force_field: str | Any) -> ForceField:
    """A force field that needs no bonds, a named one loaded once a process; as `require_force_field`."""
    return _load(force_field) if isinstance(force_field, str) else as_force_field(force_field)


@cache
def _load(name: str) -> ForceField:
    require_force_field(name)
    if name.startswith(ASE_PREFIX):
        from crystaltool.forcefield.ase_calculator import AseCalculator, make_calculator

        return AseCalculator(make_calculator(name), name)
    module, _, attribute = FORCE_FIELDS[name].factory.partition(":")
    return getattr(importlib.import_module(module), attribute)()


def as_force_field(given: Any) -> ForceField:
    """The object itself if it is a force field, one around it if it is a calculator of ASE.

    Raises:
        UsageError: it is neither.
    """
    if isinstance(given, ForceField):
        return given
    if hasattr(given, "calculate") and hasattr(given, "get_property"):
        from crystaltool.forcefield.ase_calculator import AseCalculator

        return AseCalculator(given, f"{ASE_PREFIX}{type(given).__module__}:{type(given).__qualname__}")
    raise UsageError(f"a {type(given).__name__} is no force field: expected a name, an ASE calculator or a ForceField")
