"""Validation by sampling: how many samples are valid and novel. Needs torch and numpy alone, as training does."""

from __future__ import annotations

import numpy as np

from crystaltool.asymunit import AsymUnit, AsymUnitTable, expand
from crystaltool.checks.charge import smact_valid_counts
from crystaltool.checks.contacts import closest_contact
from crystaltool.checks.distance import CDVAE_MIN_DISTANCE, LEMAT_FACTOR, LEMAT_OFFSET
from crystaltool.checks.elements import LEMAT_RADIUS
from crystaltool.models.symmcd.model import SymmCD
from crystaltool.models.symmcd.sampling import SamplerConfig, plan_for, sample_symmcd
from crystaltool.symmetry.space_group import tables

Formula = tuple[tuple[int, int], ...]
"""Reduced formula: (atomic number, count) in order of atomic number."""


def validate_by_sampling(model: SymmCD, table: AsymUnitTable, n_samples: int, seed: int) -> dict[str, float]:
    """Shares of samples, groups drawn from the data, that pass each rule; `score` is valid and novel.

    Valid: the LeMat distance rule and the SMACT rule. Novel: no training structure has the same reduced formula and
    space group (a stricter notion than a structure matcher's, and as fast as a look-up).
    """
    model.eval()
    known = set(zip(_formulas(table), table.group.tolist(), strict=True))
    units = list(sample_symmcd(model, range(n_samples), plan_for(model), seed, SamplerConfig(attempts=1), 256))
    rows = [_judge(unit) for unit in units]
    new = [(formula, unit.group) not in known for unit, (*_, formula) in zip(units, rows, strict=True)]
    structure, contacts, charge = (np.array([row[i] for row in rows]) for i in range(3))
    valid = contacts & charge
    return {
        "structure_valid": float(structure.mean()),
        "contacts_valid": float(contacts.mean()),
        "composition_valid": float(charge.mean()),
        "valid": float(valid.mean()),
        "score": float((valid & np.array(new)).mean()),
    }


def _judge(unit: AsymUnit) -> tuple[bool, bool, bool, Formula]:
    """CDVAE distance rule, LeMat distance rule, SMACT rule, and the reduced formula."""
    crystal = expand(unit)
    half_limits = LEMAT_FACTOR * (LEMAT_OFFSET / 2 + LEMAT_RADIUS[crystal.numbers])
    shortest = closest_contact(crystal.lattice, crystal.frac_coords)
    contact = closest_contact(crystal.lattice, crystal.frac_coords, half_limits)
    numbers, counts = np.unique(crystal.numbers, return_counts=True)
    counts = counts // np.gcd.reduce(counts)
    formula = tuple(zip(numbers.tolist(), counts.tolist(), strict=True))
    charge = smact_valid_counts(tuple(numbers.tolist()), tuple(counts.tolist()))
    return shortest.distance >= CDVAE_MIN_DISTANCE, contact.ratio >= 1.0, charge, formula


def _formulas(table: AsymUnitTable) -> list[Formula]:
    """Reduced formulas of a data set."""
    position = tables()["first_position"][np.repeat(table.group, table.n_orbits) - 1] + table.positions
    crystal = np.repeat(np.arange(len(table)), table.n_orbits)
    totals = np.zeros((len(table), int(table.numbers.max()) + 1), dtype=np.int64)
    np.add.at(totals, (crystal, table.numbers), tables()["multiplicity"][position])
    formulas = []
    for row in totals:
        numbers = np.flatnonzero(row)
        counts = row[numbers] // np.gcd.reduce(row[numbers])
        formulas.append(tuple(zip(numbers.tolist(), counts.tolist(), strict=True)))
    return formulas
