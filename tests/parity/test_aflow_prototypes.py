"""The 288 AFLOW prototypes that pymatgen ships: orbits from site-symmetry code and noisy representative."""

from __future__ import annotations

import pytest

pytest.importorskip("pymatgen.core", reason="needs pymatgen")


def test_all_prototypes_are_rebuilt():
    from benchmarks.symmetry import measure_prototypes

    result = measure_prototypes(n_seeds=2)
    assert (result.n, result.n_sites) == (288, 959)
    assert result.code_shared > 300  # geometry had to break these ties
    assert result.by_letter == []
    assert result.by_code == []
    assert len(result.other_group) == 4  # their coordinates have more symmetry than their label says
