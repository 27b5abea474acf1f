"""CHGNet's energies are those that the hull is made of: the Materials Project's, corrected. Shown on MP-20 crystals."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest

from crystaltool.io.cif import parse_crystal
from crystaltool.measure.hull import formula_amounts, load_hull, shares_of

OXYGEN = 8
OXIDE_CORRECTION = -0.687
"""eV an oxide anion (MP2020Compatibility.yaml of pymatgen, Wang et al., doi 10.1038/s41598-021-94550-5)."""

MAIN_GROUP = {3, 11, 12, 13, 14, 19, 20, 31, 32, 38, 49, 50, 56}
"""Their oxides have the anion's correction and, calculated without +U, no other."""


@pytest.mark.data
@pytest.mark.slow
def test_oxides_agree_with_corrected_energies_and_miss_uncorrected_ones(mp20: Path) -> None:
    pytest.importorskip("chgnet", reason="the mlip extra is not installed")
    from crystaltool.forcefield.chgnet import Chgnet

    csv.field_size_limit(2**24)
    hull, field = load_hull(), Chgnet()
    misses, corrections = [], []
    with gzip.open(mp20 / "test.csv.gz", "rt", newline="") as handle:
        for row in csv.DictReader(handle):
            amounts = formula_amounts(row["pretty_formula"])
            if OXYGEN not in amounts or not set(amounts) <= MAIN_GROUP | {OXYGEN} or len(misses) == 60:
                continue
            shares = shares_of(amounts)
            elements = sum(share * hull.decompose(((number, 1.0),))[0] for number, share in shares)
            crystal = parse_crystal(row["cif"])
            published = float(row["formation_energy_per_atom"]) + elements
            misses.append(field.energy(crystal) / crystal.n_atoms - published)
            corrections.append(OXIDE_CORRECTION * dict(shares)[OXYGEN])
    assert len(misses) == 60 and np.mean(corrections) < -0.3
    assert abs(np.median(misses)) < 0.03  # against corrected energies; against uncorrected ones it is their correction
    assert np.median(np.add(misses, corrections)) < -0.3
