"""crystaltool: generate inorganic crystals and metal-organic frameworks, from the shell or from Python.

    import crystaltool as ct

    for structure in ct.load("symmcd").sample(20, space_group=225, seed=1):
        relaxed = ct.relax(structure)
        if ct.check(relaxed).passed:
            ct.write(relaxed, f"{relaxed.name}.cif")

Each verb is what the subcommand of its name calls, with the same defaults: `read`, `write`, `asym_unit`, `expand`,
`relax`, `check`, `measure_hull`, `stats`, `fragment`, `embed`, `train`, `assemble`, and `load(...).sample`. `Structure`
is the noun that travels. Nothing is loaded before it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_DOOR = {
    "Structure": "crystaltool.structure",
    "assemble": "crystaltool.verbs.assemble",
    "asym_unit": "crystaltool.verbs.units",
    "check": "crystaltool.verbs.check",
    "embed": "crystaltool.verbs.embed",
    "expand": "crystaltool.verbs.units",
    "fragment": "crystaltool.verbs.fragment",
    "known_structures": "crystaltool.verbs.check",
    "load": "crystaltool.verbs.models",
    "measure_hull": "crystaltool.verbs.measure",
    "read": "crystaltool.verbs.files",
    "relax": "crystaltool.verbs.relax",
    "stats": "crystaltool.statistics.verb",
    "train": "crystaltool.verbs.train",
    "write": "crystaltool.verbs.files",
}

__all__ = [
    "Structure",
    "__version__",
    "assemble",
    "asym_unit",
    "check",
    "embed",
    "expand",
    "fragment",
    "known_structures",
    "load",
    "measure_hull",
    "read",
    "relax",
    "stats",
    "train",
    "write",
]

if TYPE_CHECKING:
    from crystaltool.statistics.verb import stats
    from crystaltool.structure import Structure
    from crystaltool.verbs.assemble import assemble
    from crystaltool.verbs.check import check, known_structures
    from crystaltool.verbs.embed import embed
    from crystaltool.verbs.files import read, write
    from crystaltool.verbs.fragment import fragment
    from crystaltool.verbs.measure import measure_hull
    from crystaltool.verbs.models import load
    from crystaltool.verbs.relax import relax
    from crystaltool.verbs.train import train
    from crystaltool.verbs.units import asym_unit, expand


def __getattr__(name: str) -> Any:
    if name not in _DOOR:
        raise AttributeError(f"module 'crystaltool' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_DOOR[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
