"""Genes: what counts as rebuilt, and draws that depend on their key alone."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from genes import Gene, Outcome, distance, draw_geometries, rebuild, table, to_structure

from crystaltool.asymunit import expand, reduce
from tests.textbook import BY_NAME


@pytest.fixture(scope="module")
def loaded():
    from crystaltool.models.symmcd.checkpoint import load_symmcd
    from crystaltool.models.weights import find_checkpoint

    return load_symmcd(find_checkpoint("symmcd"))


def test_a_crystal_matches_itself_in_another_cell_and_no_crystal_of_another_kind():
    rutile, halite = BY_NAME["rutile"].crystal(), BY_NAME["halite"].crystal()
    assert distance(to_structure(expand(reduce(rutile))), to_structure(rutile)) == pytest.approx(0, abs=1e-6)
    assert math.isnan(distance(to_structure(halite), to_structure(rutile)))


def test_draws_keep_the_sites_and_do_not_depend_on_their_batch(loaded):
    units = [reduce(BY_NAME[name].crystal()) for name in ("rutile", "kyanite", "pyrite")]
    keys = [(0, row, trial) for row, trial in ((7, 0), (8, 1), (9, 2))]
    together = draw_geometries(loaded, units, keys, calls=6)
    for unit, drawn, key in zip(units, together, keys, strict=True):
        (alone,) = draw_geometries(loaded, [unit], [key], calls=6)
        assert (drawn.group, drawn.letters) == (unit.group, unit.letters)
        assert np.array_equal(drawn.numbers, unit.numbers)
        assert np.allclose(drawn.free_coords, alone.free_coords) and np.allclose(drawn.lattice, alone.lattice)
        (other,) = draw_geometries(loaded, [unit], [(*key[:2], key[2] + 1)], calls=6)
        assert not np.allclose(other.free_coords, alone.free_coords, atol=1e-4) or not np.allclose(
            other.lattice, alone.lattice, atol=1e-3
        )


@pytest.mark.slow
def test_easy_genes_are_rebuilt_by_the_shipped_weights():
    genes = [
        Gene(i, reduce(BY_NAME[name].crystal()), BY_NAME[name].crystal()) for i, name in enumerate(("halite", "rutile"))
    ]
    outcomes = rebuild(genes, "symmcd", trials=3, seed=0, calls=None, churn=None)
    assert [outcome.n_orbits for outcome in outcomes] == [2, 2]
    assert all(np.isfinite(outcome.distances).any() for outcome in outcomes)


def test_table_counts_a_trial_and_the_best_of_all():
    nan = math.nan
    outcome = Outcome(0, 2, (nan, 0.1, nan), 1.0)
    lines = table([outcome, replace(outcome, distances=(nan, nan, nan)), replace(outcome, n_orbits=12)])
    assert [line.split(" | ")[:4] for line in lines[2:]] == [
        ["| 1-2", "2", "16.7", "50.0"],
        ["| 10 and more", "1", "33.3", "100.0"],
        ["| all", "3", "22.2", "66.7"],
    ]
