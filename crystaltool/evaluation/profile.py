"""`Profile`: what the metrics need of one structure, worked out once, in whatever process."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crystaltool.checks.density import mass_density
from crystaltool.checks.registry import run_checks
from crystaltool.crystal import Crystal
from crystaltool.errors import CrystaltoolError, SymmetryError
from crystaltool.evaluation.templates import TEMPLATE_SYMPREC, Template, template
from crystaltool.io.stream import BadRecord, RawBlock, parse_raw
from crystaltool.symmetry.detection import detect_orbits

GEOMETRY = ("cell", "cell-symmcd", "distance-cdvae", "distance-lemat", "density", "charge", "duplicates")
"""Checks that need the atoms alone."""

SYMMETRY = ("operations", "symmetry", "exact-group")
"""Checks of the declared operations, the slow ones."""


@dataclass(frozen=True)
class Profile:
    """One structure.

    Args:
        name: block name.
        crystal: its atoms.
        passed: verdicts by the name of the check.
        density: g/cm3. n_elements: different elements.
        declared_group: as written, None if it was not.
        template: re-detected at 0.1 A with moyopy; None where no group was found. Its first entry is the group.
    """

    name: str
    crystal: Crystal
    passed: dict[str, bool]
    density: float
    n_elements: int
    declared_group: int | None
    template: Template | None


def make_profile(record: RawBlock | BadRecord, checks: tuple[str, ...] = GEOMETRY + SYMMETRY) -> Profile | BadRecord:
    """The profile of one record; a record that cannot be read comes back bad."""
    block = record if isinstance(record, BadRecord) else parse_raw(record)
    if isinstance(block, BadRecord):
        return block
    try:
        verdicts = run_checks(block, checks)
    except CrystaltoolError as error:
        return BadRecord(block.source, block.line, block.name, str(error))
    return Profile(
        name=block.name,
        crystal=block.crystal,
        passed={verdict.check: verdict.passed for verdict in verdicts},
        density=mass_density(block.crystal),
        n_elements=len(np.unique(block.crystal.numbers)),
        declared_group=block.declared_group,
        template=detected_template(block.crystal),
    )


def detected_template(crystal: Crystal) -> Template | None:
    """The template at 0.1 A, None where no group is found."""
    try:
        orbits = detect_orbits(crystal, TEMPLATE_SYMPREC)
    except SymmetryError:
        return None
    return template(orbits.group, orbits.positions)
