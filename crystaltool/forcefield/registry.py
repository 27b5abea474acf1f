"""Force fields by the name that `relax --forcefield` takes."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from crystaltool.errors import MissingExtraError, UsageError
from crystaltool.forcefield.interface import ForceField

DEFAULT_FORCE_FIELD = "chgnet"
"""For inorganic crystals."""

DEFAULT_MOF_FORCE_FIELD = "uff"
"""For metal-organic frameworks. It stands on a bond graph, so it is no `ForceField` of a bare crystal; it is always
there and `forcefield.uff.relaxation` runs it."""


@dataclass(frozen=True)
class _Entry:
    """The package a force field needs, the extra that brings it, and how it is loaded."""

    package: str
    extra: str
    load: Callable[[], ForceField]


def _chgnet() -> ForceField:
    from crystaltool.forcefield.chgnet import Chgnet

    return Chgnet()


_ENTRIES = {"chgnet": _Entry("chgnet", "mlip", _chgnet)}

FORCE_FIELDS = (*_ENTRIES, DEFAULT_MOF_FORCE_FIELD)


def require_force_field(name: str) -> None:
    """Check that a force field can be loaded, without loading it.

    Raises:
        UsageError: if there is none of that name.
        MissingExtraError: if its package is not installed; the message holds the line that installs it.
    """
    if name == DEFAULT_MOF_FORCE_FIELD:
        return
    if name not in _ENTRIES:
        raise UsageError(f"no force field {name!r}, expected one of: {', '.join(FORCE_FIELDS)}")
    entry = _ENTRIES[name]
    if importlib.util.find_spec(entry.package) is None:
        raise MissingExtraError(
            f"force field {name} is not installed, install it with: pip install 'crystaltool[{entry.extra}]'"
        )


@cache
def load_force_field(name: str) -> ForceField:
    """The force field of a name that needs no bonds, loaded once a process; errors as `require_force_field`."""
    require_force_field(name)
    return _ENTRIES[name].load()
